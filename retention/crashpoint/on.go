//go:build crashpoints

package crashpoint

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Environment names the variable that says where to die: "NAME" at the first passing of that point, "NAME:3" at the third.
const Environment = "KLARSYN_CRASH"

// Passed names the variable with a file to which each point that is passed is appended, a name to a line.
const Passed = "KLARSYN_CRASH_PASSED"

var (
	mu     sync.Mutex
	passed = map[string]int{}
)

// Here marks a place between two steps. If it is the one that the environment names the process dies as by a power cut: nothing
// is flushed, closed or deferred.
func Here(name string) {
	mu.Lock()
	defer mu.Unlock()
	passed[name]++
	if path := os.Getenv(Passed); path != "" && passed[name] == 1 {
		if f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
			_, _ = f.WriteString(name + "\n")
			_ = f.Close()
		}
	}
	want, count, _ := strings.Cut(os.Getenv(Environment), ":")
	if want != name {
		return
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		n = 1
	}
	if passed[name] == n {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until it arrives
	}
}
