//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrAllowed says that a forbidden thing was possible after the drop.
var ErrAllowed = errors.New("the sandbox let it through")

// attempt is one forbidden thing, and whether the kernel must kill for it or refuse it.
type attempt struct {
	name string
	try  func() error // nil and every other error of the kernel mean: let through
}

// attempts are the ways out that a decoder under foreign control would try.
func attempts() []attempt {
	call := func(nr uintptr, args ...uintptr) func() error {
		return func() error {
			var a [6]uintptr
			copy(a[:], args)
			_, _, e := syscall.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
			return e
		}
	}
	path := uintptr(unsafe.Pointer(unsafe.StringData("/etc/passwd\x00"))) //nolint:gosec // a raw system call wants an address
	cwd := ^uintptr(99)                                                   // AT_FDCWD
	return append(machineAttempts(),
		attempt{"socket-udp", call(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM, 0)},
		attempt{"socket-tcp", call(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0)},
		attempt{"connect", call(unix.SYS_CONNECT, 1, 0, 0)},
		attempt{"fork", call(unix.SYS_CLONE, uintptr(unix.SIGCHLD))},
		attempt{"execve", call(unix.SYS_EXECVE, path, 0, 0)},
		attempt{"openat", call(unix.SYS_OPENAT, cwd, path, unix.O_RDONLY)},
		attempt{"openat2", call(unix.SYS_OPENAT2, cwd, path, 0, 0)},
		attempt{"io-uring", call(unix.SYS_IO_URING_SETUP, 1, 0)},
		attempt{"ptrace", call(unix.SYS_PTRACE, unix.PTRACE_TRACEME)},
		attempt{"kill", call(unix.SYS_KILL, 1, 0)},
		attempt{"tgkill-other", call(unix.SYS_TGKILL, uintptr(unix.Getppid()), uintptr(unix.Getppid()), 0)},
		attempt{"setown", call(unix.SYS_FCNTL, 0, unix.F_SETOWN, uintptr(unix.Getppid()))},
		attempt{"memfd", call(unix.SYS_MEMFD_CREATE, path, 0)},
		attempt{"ioctl", call(unix.SYS_IOCTL, 0, unix.TCGETS)},
		attempt{"mmap-exec", call(unix.SYS_MMAP, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, ^uintptr(0), 0)},
		attempt{"mprotect-exec", call(unix.SYS_MPROTECT, 0, 4096, unix.PROT_EXEC)},
		attempt{"dumpable", call(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1)},
	)
}

// Attempts names what Attempt can try. Every one of them must kill the process with SIGSYS.
func Attempts() []string {
	var names []string
	for _, a := range attempts() {
		names = append(names, a.name)
	}
	return names
}

// Attempt drops as production does and then tries the named thing on a thread that was there before:
// the filter must hold on all of them. It does not return when the sandbox works. The name "none" tries
// nothing and returns nil: the control.
func Attempt(name string, l Limits) error {
	all := attempts()
	i := slices.IndexFunc(all, func(a attempt) bool { return a.name == name })
	if i < 0 && name != "none" {
		return fmt.Errorf("no attempt %q: want none, %s", name, strings.Join(Attempts(), ", "))
	}
	dropped, done := make(chan struct{}), make(chan error)
	ready := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(ready)
		<-dropped
		if i < 0 {
			done <- nil
			return
		}
		done <- fmt.Errorf("%s: %w (the kernel said: %w)", name, ErrAllowed, all[i].try())
	}()
	<-ready
	if err := Drop(l); err != nil {
		return err
	}
	close(dropped)
	return <-done
}
