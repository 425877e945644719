package vision

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"reflect"
	"sync"
	"syscall"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/vision/wire"
)

// startTimeout is the least time that a child gets from start to hello: loading OpenCV and FFmpeg takes
// half a second on an idle machine, and many times that on one whose disk is cold and whose processors are busy.
const startTimeout = 30 * time.Second

// child is one running klarsyn-vision and the two goroutines that wait for it and read its stderr; stop
// ends all three.
type child struct {
	cmd    *exec.Cmd
	mode   wire.Mode
	in     *os.File // its stdin
	out    *os.File // its stdout
	writer *wire.Writer
	reader *wire.Reader
	stderr *lineLog
	format *camera.Format // the last one sent

	once  sync.Once
	ended chan struct{} // closed when the process is gone and its end is in state
	state error         // of exec.Cmd.Wait; read after ended
}

// start runs the program with three pipes, an empty environment and nothing else: no argument but the
// mode, no working directory but the root, no other open file.
func start(path string, mode wire.Mode, log *slog.Logger) (*child, error) {
	theirIn, ourIn, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	defer func() { _ = theirIn.Close() }()
	ourOut, theirOut, err := os.Pipe()
	if err != nil {
		_ = ourIn.Close()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	defer func() { _ = theirOut.Close() }()

	c := &child{
		mode: mode, in: ourIn, out: ourOut, stderr: &lineLog{log: log},
		writer: wire.NewWriter(ourIn), reader: wire.NewReader(ourOut), ended: make(chan struct{}),
	}
	c.cmd = exec.Command(path, string(mode))
	c.cmd.Env = []string{} // nil would hand our own down
	c.cmd.Dir = "/"
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = theirIn, theirOut, c.stderr
	// A Ctrl-C at the terminal is the parent's to handle; it then ends the child.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.cmd.WaitDelay = time.Second
	if err := c.cmd.Start(); err != nil {
		_ = ourIn.Close()
		_ = ourOut.Close()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	go func() {
		c.state = c.cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// kill ends the process at once and with it every read and write on its pipes. It may be called from
// any goroutine, and twice.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may be gone already
	c.once.Do(func() {
		// The deadlines wake a read or write that a pipe held open elsewhere would keep waiting.
		_ = c.in.SetDeadline(time.Now())
		_ = c.out.SetDeadline(time.Now())
	})
}

// stop kills the child and returns when nothing of it is left.
func (c *child) stop() {
	c.kill()
	<-c.ended
	_ = c.in.Close()
	_ = c.out.Close()
}

// greet waits for the child's hello, looks at its sandbox from outside, and only then says the first
// word.
func (c *child) greet(watchdog time.Duration) error {
	m, err := c.receive(max(startTimeout, watchdog))
	if err != nil {
		return c.because(fmt.Errorf("no hello: %w", err))
	}
	hello, ok := m.(wire.Hello)
	if !ok {
		return c.because(fmt.Errorf("it began with %T instead of a hello: %w", m, wire.ErrMalformed))
	}
	own := wire.NewHello(c.mode)
	if err := own.Check(hello); err != nil {
		return err
	}
	if err := checkSandbox(c.pid()); err != nil {
		return err
	}
	if err := c.send(own, watchdog); err != nil {
		return c.because(err)
	}
	return nil
}

// send writes one message within d.
func (c *child) send(m wire.Message, d time.Duration) error {
	if err := c.in.SetWriteDeadline(time.Now().Add(d)); err != nil {
		return fmt.Errorf("write to klarsyn-vision: %w", err)
	}
	if err := c.writer.Write(m); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("it took nothing for %v: %w", d, err)
		}
		return fmt.Errorf("write to klarsyn-vision: %w", err)
	}
	return nil
}

// knows is true for the format that the child decodes already.
func (c *child) knows(f camera.Format) bool {
	return c.format != nil && reflect.DeepEqual(*c.format, f)
}

func (c *child) sendFormat(f camera.Format, d time.Duration) error {
	if err := c.send(wire.Format{Format: f}, d); err != nil {
		return err
	}
	c.format = &f
	return nil
}

// receive reads one message within d. A fault that the child reports is an error.
func (c *child) receive(d time.Duration) (wire.Message, error) {
	if err := c.out.SetReadDeadline(time.Now().Add(d)); err != nil {
		return nil, fmt.Errorf("read from klarsyn-vision: %w", err)
	}
	m, err := c.reader.Next()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("it gave no answer for %v: %w", d, err)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("it closed its output: %w", err)
	case err != nil:
		return nil, fmt.Errorf("read from klarsyn-vision: %w", err)
	}
	if fault, ok := m.(wire.Fault); ok {
		return nil, errors.New(fault.Text)
	}
	return m, nil
}

// because ends the child and adds to err how its process ended and what it said last: an end of file
// alone tells nobody what to mend.
func (c *child) because(err error) error {
	// A child that is ending by itself gets a moment, so that its own end is told and not our kill.
	select {
	case <-c.ended:
	case <-time.After(200 * time.Millisecond):
	}
	c.kill()
	<-c.ended
	how := "exited"
	var exit *exec.ExitError
	if errors.As(c.state, &exit) {
		how = exit.Error()
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			how = "was killed by " + ws.Signal().String()
			if ws.Signal() == syscall.SIGSYS {
				how += " (it tried a system call that its sandbox forbids)"
			}
		}
	}
	if said := c.stderr.firstLine(); said != "" {
		how += "; it said: " + said
	}
	return fmt.Errorf("klarsyn-vision %s: %w; the process %s", c.mode, err, how)
}
