//go:build linux && (amd64 || arm64)

// Package sandbox takes every right from the running process that decoding video does not need. Only
// klarsyn-vision imports it, and calls Drop before it reads the first byte of its input.
package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	llsys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// ErrNotEnforced says that the kernel took a restriction and does not enforce it.
var ErrNotEnforced = errors.New("sandbox is not enforced")

// Limits are the bounds that stay when the rights are gone.
type Limits struct {
	Data   uint64 // bytes of private writable memory (RLIMIT_DATA)
	Output uint64 // bytes that may be written to a file that is open already, such as standard output (RLIMIT_FSIZE)
}

// Drop gives up files, network, processes and privileges for good, and asserts that they are gone. The
// order matters: what needs a right comes before the step that takes it, the filter is last. After an
// error the process must end: it may be half dropped.
func Drop(l Limits) error {
	// The prctl and seccomp calls must be on one thread: no_new_privs is a thread's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	if err := closeInherited(); err != nil {
		return err
	}
	for _, limit := range []struct {
		name  string
		which int
		value uint64
	}{
		{"RLIMIT_DATA", unix.RLIMIT_DATA, l.Data},
		{"RLIMIT_CORE", unix.RLIMIT_CORE, 0}, // a core file would hold decoded pictures
		{"RLIMIT_FSIZE", unix.RLIMIT_FSIZE, l.Output},
	} {
		if err := unix.Setrlimit(limit.which, &unix.Rlimit{Cur: limit.value, Max: limit.value}); err != nil {
			return fmt.Errorf("set %s to %d: %w", limit.name, limit.value, err)
		}
	}
	// Not dumpable: no other process of the same user may ptrace it or read its memory.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("set not dumpable: %w", err)
	}
	if err := denyPaths(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	return filter()
}

// closeInherited closes every file, socket and directory beyond the three standard ones: the drop takes
// the right to open, not what is open.
func closeInherited() error {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("look for inherited files: %w (is /proc mounted?)", err)
	}
	for _, n := range names {
		fd, err := strconv.Atoi(n.Name())
		if err != nil || fd <= 2 {
			continue
		}
		target, err := os.Readlink("/proc/self/fd/" + n.Name())
		if errors.Is(err, os.ErrNotExist) {
			continue // the descriptor of the listing itself
		}
		if err != nil {
			return fmt.Errorf("look for inherited files: %w", err)
		}
		if strings.HasPrefix(target, "anon_inode:[event") {
			continue // the Go runtime's poller
		}
		if err := unix.Close(fd); err != nil {
			return fmt.Errorf("close inherited file descriptor %d (%s): %w", fd, target, err)
		}
	}
	return nil
}

// denyPaths enforces a landlock domain with no rule at all, with every right that the running kernel
// knows how to take. BestEffort would report success on a kernel that enforces nothing.
func denyPaths() error {
	version, err := llsys.LandlockGetABIVersion()
	if err != nil || version < 1 {
		return fmt.Errorf("landlock is missing: boot Linux 5.13 or later with landlock in the lsm= list: %w", ErrNotEnforced)
	}
	configs := []landlock.Config{landlock.V1, landlock.V2, landlock.V3, landlock.V4, landlock.V5,
		landlock.V6, landlock.V7, landlock.V8, landlock.V9, landlock.V10, landlock.V11}
	if err := configs[min(version, len(configs))-1].Restrict(); err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	// The proof is a refusal of what any process may do otherwise.
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	if !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("landlock: opening / gave %v instead of a refusal: %w", err, ErrNotEnforced) //nolint:errorlint // nil is the fault
	}
	return nil
}
