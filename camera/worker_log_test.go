package camera_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"klarsyn/camera"
)

// logged is a log that can be read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// lines counts the lines of level warn and above that hold s.
func (l *logged) lines(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// keyframesOnly fails for every keyframe, as a recorder on a full disk does: for the pictures between them it
// has nothing to do and nothing to say.
type keyframesOnly struct {
	mu  sync.Mutex
	err error
}

func (r *keyframesOnly) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *keyframesOnly) Record(_ context.Context, _ camera.Format, au camera.AccessUnit) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !au.Keyframe {
		return nil
	}
	return r.err
}

func (r *keyframesOnly) Interrupt(context.Context, camera.Gap) error { return nil }

// A disk that is full for an hour is one line. Once something was recorded again the next fault is news.
func TestOneLineForOneFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, rec := &logged{}, &keyframesOnly{}
		_, stop := start(t, camera.WorkerConfig{
			Source: &source{sessions: []func(context.Context, camera.Sink) error{frames}}, Recorder: rec, Log: log.logger(),
		})
		for round := 1; round <= 2; round++ {
			rec.fail(errors.New("disk full"))
			time.Sleep(time.Minute)
			if n := log.lines("disk full"); n != round {
				t.Errorf("after %d minutes on a full disk %d lines say so", round, n)
			}
			rec.fail(errors.New("disk gone"))
			time.Sleep(time.Minute)
			if n := log.lines("disk gone"); n != round {
				t.Errorf("another fault is told in %d lines, want %d", n, round)
			}
			rec.fail(nil)
			time.Sleep(time.Minute)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// Why a camera is away is its source's to say, which knows when it will try again: the worker counts it.
func TestSourcesSayWhyACameraIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logged{}
		attempts := func(sink camera.Sink, why string) {
			for range 100 {
				sink.Down(time.Now(), errors.New(why))
				time.Sleep(30 * time.Second)
			}
		}
		played := make(chan struct{})
		w, stop := start(t, camera.WorkerConfig{Recorder: &recorder{}, Log: log.logger(), Source: &source{sessions: []func(context.Context, camera.Sink) error{
			func(ctx context.Context, sink camera.Sink) error {
				attempts(sink, "no route")
				attempts(sink, "wrong password")
				sink.Up(camera.Format{Codec: camera.H264})
				attempts(sink, "wrong password")
				close(played)
				<-ctx.Done()
				return ctx.Err()
			},
		}}})
		<-played
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if route, password := log.lines("no route"), log.lines("wrong password"); route+password != 0 {
			t.Errorf("%d lines say again what the source has said", route+password)
		}
		if n := w.Stats().Downs; n != 300 {
			t.Errorf("%d attempts are counted", n)
		}
	})
}
