//go:build cgo

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"klarsyn/camera/count"
	"klarsyn/camera/decode"
	"klarsyn/camera/vision/sandbox"
	"klarsyn/camera/vision/wire"
)

var errNotPipes = errors.New("stdin and stdout must be pipes: klarsyn starts klarsyn-vision itself")

// goMemory is what the Go heap may hold before it collects harder. C holds the pictures.
const goMemory = 32 << 20

func countLimits() sandbox.Limits { return sandbox.Limits{Data: 256 << 20} }

// sceneLimits leaves room for the encoder's reference pictures. The scene is our own, not a camera's.
func sceneLimits() sandbox.Limits { return sandbox.Limits{Data: 512 << 20} }

// session is a child after drop and handshake.
type session struct {
	in  <-chan wire.Message
	end func() error // why in was closed; nil for an orderly end
	out *wire.Writer
}

// child runs one mode: libraries made quiet and single, drop, handshake, work. Nothing of stdin is read before
// the drop is done.
func child(mode wire.Mode, limits sandbox.Limits, work func(*session) error) error {
	for _, f := range []*os.File{os.Stdin, os.Stdout} {
		if info, err := f.Stat(); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
			return errNotPipes
		}
	}
	if err := prepare(); err != nil {
		return err
	}
	if err := sandbox.Drop(limits); err != nil {
		return err
	}
	out := wire.NewWriter(os.Stdout)
	hello := wire.NewHello(mode)
	if err := out.Write(hello); err != nil {
		return fmt.Errorf("greet klarsyn: %w", err)
	}
	s := &session{out: out}
	s.in, s.end = receive(os.Stdin)
	err := s.greeted(hello)
	if err == nil {
		err = work(s)
	}
	if err != nil {
		// The parent logs it with the camera's name; stderr has it, too.
		_ = out.Write(wire.Fault{Text: err.Error()})
	}
	return err
}

// prepare is what must happen while there still are rights.
func prepare() error {
	debug.SetMemoryLimit(goMemory)
	if err := decode.Prepare(); err != nil {
		return err
	}
	return count.SingleThread()
}

func (s *session) greeted(own wire.Hello) error {
	m, ok := <-s.in
	if !ok {
		return s.end()
	}
	hello, ok := m.(wire.Hello)
	if !ok {
		return fmt.Errorf("first message is %T instead of a hello", m)
	}
	return own.Check(hello)
}

// receive reads ahead in a goroutine of its own, so that the end of the input is seen even when a
// decoder runs wild in C: then the process ends by force. The goroutine lives as long as the process.
func receive(r io.Reader) (<-chan wire.Message, func() error) {
	in := make(chan wire.Message, 1)
	var end error
	go func() {
		reader := wire.NewReader(r)
		for {
			m, err := reader.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					end = fmt.Errorf("read from klarsyn: %w", err)
				}
				time.AfterFunc(grace, func() { os.Exit(exitFailed) })
				close(in)
				return
			}
			// A full channel must not hide the end of the input.
			hung := time.AfterFunc(wild, func() { os.Exit(exitFailed) })
			in <- m
			hung.Stop()
		}
	}()
	return in, func() error { return end }
}

const (
	// grace is how long the work may go on when the input has ended.
	grace = 2 * time.Second
	// wild is how long two messages may wait for one picture. The parent's watchdog is shorter; this is
	// for a child whose parent died.
	wild = time.Minute
)
