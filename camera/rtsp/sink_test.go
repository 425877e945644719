package rtsp_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/coded"
	"klarsyn/camera/rtsp"
	"klarsyn/camera/rtsp/sim"
)

const password = "hemlig-torg-47"

// event is one call of the sink.
type event struct {
	kind   string // up, put, lost, down
	format camera.Format
	au     camera.AccessUnit
	at     time.Time
	err    error
}

// sink keeps what it is given and polices the order of the calls.
type sink struct {
	t  *testing.T
	mu sync.Mutex
	up bool
	// wantKey: the first unit after Up must be a keyframe.
	wantKey bool
	last    time.Time
	lastDTS time.Duration
	events  chan event
	// stepsBack: a new session may begin before the end of the last, after the clock was put right.
	stepsBack bool
}

func newSink(t *testing.T) *sink { return &sink{t: t, events: make(chan event, 4096)} }

func (s *sink) mayStepBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stepsBack = true
}

func (s *sink) Up(f camera.Format) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up {
		s.t.Error("Up while up")
	}
	s.up, s.wantKey, s.lastDTS = true, true, -1
	if s.stepsBack {
		s.last = time.Time{}
	}
	s.events <- event{kind: "up", format: f}
}

func (s *sink) Put(f camera.Format, au camera.AccessUnit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		s.t.Error("Put without Up")
	}
	if s.wantKey && !au.Keyframe {
		s.t.Error("the first unit of a session is not a keyframe")
	}
	if au.Time.Before(s.last) {
		s.t.Errorf("Time stepped back by %v", s.last.Sub(au.Time))
	}
	if au.DTS < s.lastDTS || au.PTS < au.DTS {
		s.t.Errorf("DTS %v after %v, PTS %v", au.DTS, s.lastDTS, au.PTS)
	}
	if au.Time.Location() != time.UTC {
		s.t.Error("Time is not UTC")
	}
	s.wantKey, s.last, s.lastDTS = false, au.Time, au.DTS
	s.events <- event{kind: "put", format: f, au: au, at: time.Now()}
}

func (s *sink) Lost(at time.Time, cause camera.Cause, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		s.t.Error("Lost without Up")
	}
	if s.wantKey {
		s.t.Error("Lost twice without a picture in between")
	}
	if at.Before(s.last) {
		s.t.Errorf("Lost at %v is before the last stamp", at)
	}
	s.wantKey = true // what follows is drawn over what was lost
	s.events <- event{kind: "lost", at: at, err: err}
}

func (s *sink) Down(at time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.Before(s.last) {
		s.t.Errorf("Down at %v is before the last stamp", at)
	}
	s.up = false
	s.last = at
	s.events <- event{kind: "down", at: at, err: err}
}

// next waits for the next event of a kind and drops the others. A session that ends meanwhile fails the test.
func (s *sink) next(kind string) event {
	s.t.Helper()
	return s.wait(kind, false)
}

// again waits as next does, over as many ends of sessions as come.
func (s *sink) again(kind string) event {
	s.t.Helper()
	return s.wait(kind, true)
}

func (s *sink) wait(kind string, overDowns bool) event {
	s.t.Helper()
	deadline := time.NewTimer(6 * loaded)
	defer deadline.Stop()
	for {
		select {
		case e := <-s.events:
			if e.kind == kind {
				return e
			}
			if e.kind == "down" && !overDowns {
				s.t.Fatalf("waiting for %s: down: %v", kind, e.err)
			}
		case <-deadline.C:
			s.t.Fatalf("no %s within %v", kind, 6*loaded)
		}
	}
}

// square starts a server with one camera and gives what is needed to reach it.
func square(t *testing.T, file string) (*sim.Server, *coded.Track, camera.Camera) {
	t.Helper()
	track, err := coded.LoadMP4("sim/testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := sim.New(sim.Config{
		Listen:  "127.0.0.1:0",
		Cameras: []sim.Camera{{Path: "k1", Feed: sim.Loop(track), Username: "klarsyn", Password: password}},
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, func(ctx context.Context) error { return srv.Run(ctx) })
	return srv, track, camera.Camera{ID: "k1", URL: srv.URL("k1"), Username: "klarsyn", Password: password}
}

// run ties a Run method to the test.
func run(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// client runs a client against cam with a log that is searched for the password at the end.
func client(t *testing.T, cam camera.Camera) (*rtsp.Client, *sink) {
	t.Helper()
	return patient(t, cam, rtsp.Config{FrameTimeout: loaded})
}

// patient is client with another patience or clock.
func patient(t *testing.T, cam camera.Camera, cfg rtsp.Config) (*rtsp.Client, *sink) {
	t.Helper()
	log := &lockedBuffer{}
	cfg.DialTimeout, cfg.BackoffMin, cfg.BackoffMax = loaded, 20*time.Millisecond, 200*time.Millisecond
	cfg.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c, err := rtsp.New(cam, cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := newSink(t)
	t.Cleanup(func() {
		if bytes.Contains(log.Bytes(), []byte(cam.Password)) && cam.Password != "" {
			t.Errorf("the log holds the password:\n%s", log.Bytes())
		}
		if len(log.Bytes()) == 0 {
			t.Error("nothing was logged: the search for the password proves nothing")
		}
	})
	run(t, func(ctx context.Context) error { return c.Run(ctx, s) })
	return c, s
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) Bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}
