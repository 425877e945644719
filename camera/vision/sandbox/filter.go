//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// allowed are the calls that the Go runtime, glibc, FFmpeg, x264 and OpenCV make between the drop and
// the end. Whoever adds one writes the reason into the README.
func allowed() []string {
	return []string{
		"read", "readv", "write", "writev", "close", "fstat",
		"futex", "munmap", "madvise", "mremap", "brk",
		"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
		"nanosleep", "clock_gettime", "clock_getres", "clock_nanosleep", "gettimeofday",
		"getpid", "gettid", "exit", "exit_group", "restart_syscall",
		"sched_yield", "sched_getaffinity",
		"epoll_create1", "epoll_ctl", "epoll_pwait", "eventfd2", "pipe2",
		"getrandom", "set_robust_list", "rseq", "getrusage",
	}
}

// prSetVMA is PR_SET_VMA, with which the Go runtime names its memory.
const prSetVMA = 0x53564d41

// policy kills the whole process on any call that is not named. go-seccomp-bpf sends calls of another
// architecture (int 0x80 on amd64) to the default action, too. self is the process that is dropped.
func policy(self int) seccomp.Policy {
	when := func(name string, arg uint32, op seccomp.Operation, value uint64) seccomp.NameWithConditions {
		return seccomp.NameWithConditions{Name: name, Conditions: seccomp.ArgumentConditions{
			{Argument: arg, Operation: op, Value: value},
		}}
	}
	return seccomp.Policy{
		DefaultAction: seccomp.ActionKillProcess,
		Syscalls: []seccomp.SyscallGroup{
			{Action: seccomp.ActionAllow, Names: allowed(), NamesWithCondtions: []seccomp.NameWithConditions{
				// Threads, never processes.
				when("clone", 0, seccomp.BitsSet, unix.CLONE_THREAD),
				// Memory is for data: no new code after the drop.
				when("mmap", 2, seccomp.BitsNotSet, unix.PROT_EXEC),
				when("mprotect", 2, seccomp.BitsNotSet, unix.PROT_EXEC),
				// Signals to our own threads, never to the recorder or anybody else of the same user.
				when("tgkill", 0, seccomp.Equal, uint64(self)),
				// Flags of open files; not whom the kernel sends signals to (F_SETOWN).
				when("fcntl", 1, seccomp.Equal, unix.F_GETFD),
				when("fcntl", 1, seccomp.Equal, unix.F_SETFD),
				when("fcntl", 1, seccomp.Equal, unix.F_GETFL),
				when("fcntl", 1, seccomp.Equal, unix.F_SETFL),
				when("fcntl", 1, seccomp.Equal, unix.F_DUPFD_CLOEXEC),
				when("prctl", 0, seccomp.Equal, unix.PR_GET_SECCOMP),
				when("prctl", 0, seccomp.Equal, unix.PR_SET_NAME),
				when("prctl", 0, seccomp.Equal, prSetVMA),
			}},
			// The flags of clone3 lie in memory, where a filter cannot look. glibc and Go fall back to
			// clone on ENOSYS; on EPERM the Go runtime ends the process.
			{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: []string{"clone3"}},
		},
	}
}

// filter loads the policy on every thread and asks the kernel whether it is on. LoadFilter alone does
// not tell: with TSYNC the call gives the number of a thread that would not follow instead of an error,
// and nothing is loaded.
func filter() error {
	err := seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: policy(unix.Getpid())})
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("seccomp: ask for the mode: %w", err)
	}
	if mode != 2 { // SECCOMP_MODE_FILTER
		return fmt.Errorf("seccomp: mode is %d instead of 2: %w", mode, ErrNotEnforced)
	}
	return nil
}
