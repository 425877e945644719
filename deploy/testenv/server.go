package testenv

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Installed finds a program that deploy/setup.sh --tests put into .tools/bin.
func Installed(t testing.TB, name string) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			break
		}
		if folder == "/" {
			t.Fatal("no go.mod above the test: where is .tools/bin?")
		}
	}
	path := filepath.Join(folder, ".tools", "bin", name)
	if _, err := os.Stat(path); err != nil {
		Missing(t, name, "deploy/setup.sh --tests")
	}
	return path
}

// Address is an address of this machine with a port that was free a moment ago.
func Address(t testing.TB) string {
	t.Helper()
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func freeAddress() (string, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Server is a real server that a test starts, stops, halts and starts again at one address.
type Server struct {
	Address string
	path    string
	args    []string
	options []Option
	ready   func() error
	running *Process
}

// serveAt starts a server and waits until it answers.
func serveAt(t testing.TB, address, path string, args []string, ready func() error, options ...Option) *Server {
	t.Helper()
	s := &Server{Address: address, path: path, args: args, options: options, ready: ready}
	s.Start(t)
	return s
}

// Start starts the server, again if it was stopped.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.running = Start(t, s.path, s.args, s.options...)
	Eventually(t, time.Minute, filepath.Base(s.path)+" answers at "+s.Address, func() bool {
		if s.running.Ended() {
			t.Fatalf("%s ended:\n%s", filepath.Base(s.path), s.running.Output())
		}
		return s.ready() == nil
	})
}

// Stop ends the server at once, as a power cut would.
func (s *Server) Stop() { s.running.Kill() }

// Halt lets the server hang: it takes connections and answers nothing. Resume ends that.
func (s *Server) Halt(t testing.TB) { s.signal(t, syscall.SIGSTOP) }

// Resume lets a halted server go on.
func (s *Server) Resume(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(s.running.PID(), sig); err != nil {
		t.Fatalf("%s to %s: %v", sig, filepath.Base(s.path), err)
	}
}

// Env adds to the environment of a process: secrets do not belong into arguments.
func Env(pairs ...string) Option {
	return func(c *exec.Cmd) {
		if c.Env == nil {
			c.Env = os.Environ()
		}
		c.Env = append(c.Env, pairs...)
	}
}

// Metric adds up all series of a metric in Prometheus's text form.
func Metric(t testing.TB, text io.Reader, name string) float64 {
	t.Helper()
	sum := 0.0
	for lines := bufio.NewScanner(text); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		sum += value
	}
	return sum
}
