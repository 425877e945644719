// Package testenv gives end-to-end tests what a user's machine has: the built commands as real
// processes, small disks, tools to check with. What is missing is named together with the command that
// installs it; in continuous integration it is a failure, never a skip.
package testenv

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// CI reports whether something missing must fail.
func CI() bool { return os.Getenv("CI") != "" }

// Missing skips, or in continuous integration fails, and says what to run.
func Missing(t testing.TB, what, run string) {
	t.Helper()
	if CI() {
		t.Fatalf("%s is missing; run: %s", what, run)
	}
	t.Skipf("%s is missing; run: %s", what, run)
}

// Tool finds a program on PATH.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, name, "deploy/setup.sh")
	}
	return path
}

// AsNobody does something without the rights of root, who may read everything.
func AsNobody(t testing.TB, do func()) {
	t.Helper()
	if os.Getuid() == 0 {
		const nobody = 65534
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := syscall.Setfsuid(nobody); err != nil { // of this thread alone
			t.Fatal(err)
		}
		defer syscall.Setfsuid(0) // it always works
	}
	do()
}

// Root skips, or in continuous integration fails, unless the test may act as other users and mount.
func Root(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		Missing(t, "root (to act as another user, or to mount a small disk)", "sudo -E go test ./deploy/e2e")
	}
}

// Build builds both commands into folder, klarsyn with the race detector, klarsyn-vision without: the
// detector needs system calls that its sandbox kills.
func Build(folder string) error {
	for _, c := range [][]string{
		{"build", "-race", "-o", filepath.Join(folder, "klarsyn"), "klarsyn/cmd/klarsyn"},
		{"build", "-o", filepath.Join(folder, "klarsyn-vision"), "klarsyn/cmd/klarsyn-vision"},
	} {
		if out, err := exec.Command("go", c...).CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", strings.Join(c, " "), err, out)
		}
	}
	return nil
}

// Tmpfs mounts an empty disk of so many MiB for the length of the test.
func Tmpfs(t testing.TB, mib int) string {
	t.Helper()
	Root(t)
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		Missing(t, "the right to mount a small disk ("+err.Error()+")", "the test in a machine of its own")
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting the small disk: %v", err)
		}
	})
	return folder
}

// Fill writes a file that fills its disk to the last byte.
func Fill(t testing.TB, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4096, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
}

// Process is a running command. Its output is kept, and shown when the test fails.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error

	mu  sync.Mutex
	out bytes.Buffer
}

// Option changes how a process is started.
type Option func(*exec.Cmd)

// Start runs a command until the test ends, when it is killed if it still runs.
func Start(t testing.TB, path string, args []string, options ...Option) *Process {
	t.Helper()
	p, err := launch(path, args, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("output of %s %s:\n%s", filepath.Base(path), strings.Join(args, " "), tail(withoutRequests(p.Output()), 12000))
		}
	})
	return p
}

// launch runs a command until somebody kills it.
func launch(path string, args []string, options []Option) (*Process, error) {
	p := &Process{cmd: exec.Command(path, args...), done: make(chan struct{})}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	for _, o := range options {
		o(p.cmd)
	}
	err = p.cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer r.Close()
		for lines := bufio.NewReader(r); ; {
			line, err := lines.ReadString('\n')
			p.mu.Lock()
			p.out.WriteString(line)
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	go func() {
		p.err = p.cmd.Wait()
		<-read
		close(p.done)
	}()
	return p, nil
}

// withoutRequests leaves out what a test's own polling wrote.
func withoutRequests(s string) string {
	var kept []string
	for line := range strings.SplitSeq(s, "\n") {
		if !strings.Contains(line, "msg=request") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "…" + s[len(s)-n:]
}

// Output is everything that the process has written so far.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the process at once, as a power cut would, and waits for it.
func (p *Process) Kill() {
	p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// Stop asks the process to end and returns its exit code.
func (p *Process) Stop(t testing.TB, within time.Duration) int {
	t.Helper()
	p.cmd.Process.Signal(os.Interrupt) // it may have ended
	return p.Wait(t, within)
}

// Wait waits for the process to end by itself and returns its exit code.
func (p *Process) Wait(t testing.TB, within time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(within):
		t.Fatalf("the process still runs after %s:\n%s", within, tail(p.Output(), 4000))
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		t.Fatalf("waiting for the process: %v", p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Ended reports whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Eventually asks until the answer is yes.
func Eventually(t testing.TB, within time.Duration, what string, ask func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(100 * time.Millisecond) {
		if ask() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// Children lists the processes that a process started, by the name of their executable; without a name, all.
func Children(t testing.TB, pid int, name string) []int {
	t.Helper()
	var pids []int
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		// pid (name) state ppid …; the kernel cuts names to 15 bytes.
		open, shut := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
		if open < 0 || shut < open {
			continue
		}
		var child, parent int
		var state string
		if _, err := fmt.Sscanf(string(b[shut+2:]), "%s %d", &state, &parent); err != nil || parent != pid || state == "Z" {
			continue
		}
		if _, err := fmt.Sscan(e.Name(), &child); err == nil && (name == "" || strings.HasPrefix(name, string(b[open+1:shut]))) {
			pids = append(pids, child)
		}
	}
	return pids
}

// CopyFile copies one file, for tests that must not harm the original.
func CopyFile(t testing.TB, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
