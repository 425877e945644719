package vision

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
)

// ErrNotSandboxed says that a child decodes with rights that it should have given up.
var ErrNotSandboxed = errors.New("klarsyn-vision is not sandboxed: it was killed before it got any video")

// checkSandbox reads from the kernel, not from the child, that every thread has a system call filter and
// no way to new privileges.
func checkSandbox(pid int) error {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look at the child's sandbox: %w", err)
	}
	seen := 0
	for _, t := range tasks {
		err := checkTask(dir + "/" + t.Name() + "/status")
		if errors.Is(err, os.ErrNotExist) {
			continue // the thread ended
		}
		if err != nil {
			return fmt.Errorf("thread %s: %w", t.Name(), err)
		}
		seen++
	}
	if seen == 0 {
		return fmt.Errorf("look at the child's sandbox: process %d has no thread left", pid)
	}
	return nil
}

// checkTask wants "Seccomp: 2" (a filter) and "NoNewPrivs: 1".
func checkTask(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	got := map[string]string{"Seccomp": "missing", "NoNewPrivs": "missing"}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		if _, ok := got[key]; ok {
			got[key] = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if got["Seccomp"] != "2" || got["NoNewPrivs"] != "1" {
		return fmt.Errorf("%w (Seccomp %s, want 2; NoNewPrivs %s, want 1)", ErrNotSandboxed, got["Seccomp"], got["NoNewPrivs"])
	}
	return nil
}
