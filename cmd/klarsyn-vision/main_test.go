//go:build cgo

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"klarsyn/camera/decode"
	"klarsyn/camera/vision/sandbox"
	"klarsyn/camera/vision/wire"
)

// built is the program, without the race detector whatever the tests are built with: its runtime makes
// system calls that the sandbox kills for. KLARSYN_VISION names one built already.
var built string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if err := decode.Prepare(); err != nil { // for the tests that use the libraries in this process
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if built = os.Getenv("KLARSYN_VISION"); built != "" {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "klarsyn-vision-test")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		built = filepath.Join(dir, "klarsyn-vision")
		if out, err := exec.Command("go", "build", "-race=false", "-o", built, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build klarsyn-vision: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// Every way out that a decoder under foreign control would try ends the dropped process, with everything
// that production links and starts.
func TestWaysOut(t *testing.T) {
	if out, err := exec.Command(built, "selftest", "none").CombinedOutput(); err != nil {
		t.Fatalf("the control, which tries nothing: %v\n%s", err, out)
	}
	names := sandbox.Attempts()
	must := []string{"socket-udp", "fork", "openat", "io-uring", "connect", "execve"}
	if runtime.GOARCH == "amd64" { // what arm64 has no gate and no call for
		must = append(must, "int80-socket", "open", "fork-old")
	}
	for _, must := range must {
		if !slices.Contains(names, must) {
			t.Errorf("%s is not tried", must)
		}
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command(built, "selftest", name).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("got %v\n%s", err, out)
			}
			ws := exit.Sys().(syscall.WaitStatus)
			if name == "int80-socket" && bytes.Contains(out, []byte("unexpected fault address")) {
				return // a kernel without a 32-bit gate: the instruction itself faults, and no call is made
			}
			if !ws.Signaled() || ws.Signal() != syscall.SIGSYS {
				t.Errorf("ended with %v instead of SIGSYS\n%s", exit, out)
			}
			if ws.CoreDump() {
				t.Error("it left a core file")
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		out  string
		err  string
	}{
		"nothing":      {nil, 2, "", "no mode given"},
		"help":         {[]string{"--help"}, 0, "Example:", ""},
		"version":      {[]string{"version"}, 0, wire.ThisBuild().Protocol, ""},
		"unknown":      {[]string{"dance"}, 2, "", `unknown mode "dance"`},
		"arguments":    {[]string{"count", "file.mp4"}, 2, "", "everything is a flag"},
		"not pipes":    {[]string{"count"}, 2, "", "must be pipes"},
		"bad selftest": {[]string{"selftest", "x"}, 1, "", "want none, "},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(built, c.args...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			_ = cmd.Run()
			if cmd.ProcessState.ExitCode() != c.code || !strings.Contains(stdout.String(), c.out) || !strings.Contains(stderr.String(), c.err) {
				t.Errorf("exit code %d, want %d\nstdout: %s\nstderr: %s", cmd.ProcessState.ExitCode(), c.code, &stdout, &stderr)
			}
		})
	}
}

// spoken starts the program in a mode and gives its pipes.
func spoken(t *testing.T, mode string, extra ...*os.File) (*exec.Cmd, *os.File, *os.File) {
	t.Helper()
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(built, mode)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = []string{}, theirIn, theirOut, os.Stderr, extra
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = theirIn.Close(), theirOut.Close()
	t.Cleanup(func() {
		_, _ = in.Close(), out.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, in, out
}

// The child speaks only after its drop, holds nothing that it was not to hold, and ends with its input.
func TestEndOfInput(t *testing.T) {
	leak, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = leak.Close() }()
	cmd, in, out := spoken(t, "count", ours)
	_ = ours.Close()
	r := wire.NewReader(out)
	if m, err := r.Next(); err != nil {
		t.Fatal(err)
	} else if _, ok := m.(wire.Hello); !ok {
		t.Fatalf("got %T", m)
	}
	// We closed our writing end; if the child had kept the one it inherited, this would wait.
	_ = leak.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := leak.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the inherited pipe is open: %d, %v", n, err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("at the end of its input: %v", err)
	}
}

// A parent of another build, and one that breaks the protocol, get a word and an end.
func TestBadParents(t *testing.T) {
	other := wire.NewHello(wire.ModeCount)
	other.Build.Protocol = "0000000000000000"
	for name, c := range map[string]struct {
		say  []wire.Message
		want string
	}{
		"another build":  {[]wire.Message{other}, "different builds"},
		"no hello":       {[]wire.Message{wire.Progress{}}, "instead of a hello"},
		"no profile":     {[]wire.Message{wire.NewHello(wire.ModeCount), wire.Progress{}}, "before the profile"},
		"another method": {[]wire.Message{wire.NewHello(wire.ModeCount), wire.Setup{Method: "neural/1"}}, `count by "neural/1"`},
		"wrong mode":     {[]wire.Message{wire.NewHello(wire.ModeScene)}, `mode "count" here, "scene" there`},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, in, out := spoken(t, "count")
			w, r := wire.NewWriter(in), wire.NewReader(out)
			if _, err := r.Next(); err != nil {
				t.Fatal(err)
			}
			for _, m := range c.say {
				if err := w.Write(m); err != nil {
					t.Fatal(err)
				}
			}
			m, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if fault, ok := m.(wire.Fault); !ok || !strings.Contains(fault.Text, c.want) {
				t.Errorf("got %+v, want %q", m, c.want)
			}
			_ = cmd.Wait()
			if cmd.ProcessState.ExitCode() != exitFailed {
				t.Errorf("ended with %v", cmd.ProcessState)
			}
		})
	}
}
