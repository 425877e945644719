package camera_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"klarsyn/camera"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source plays one function per session; the last one goes on being played.
type source struct {
	sessions []func(ctx context.Context, sink camera.Sink) error
	runs     atomic.Int32
}

func (s *source) Run(ctx context.Context, sink camera.Sink) error {
	play := s.sessions[min(int(s.runs.Add(1)), len(s.sessions))-1]
	return play(ctx, sink)
}

// frames delivers ten pictures a second, every tenth a keyframe, until ctx ends; then it reports the end
// as the RTSP client does.
func frames(ctx context.Context, sink camera.Sink) error {
	sink.Up(camera.Format{Codec: camera.H264})
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		sink.Put(camera.Format{Codec: camera.H264}, camera.AccessUnit{Time: time.Now(), DTS: time.Duration(n) * 100 * time.Millisecond, Keyframe: n%10 == 0})
		select {
		case <-ctx.Done():
			sink.Down(time.Now(), ctx.Err())
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// recorder writes down what it is told: "f" for a picture, "K" for a keyframe, a cause for a gap.
type recorder struct {
	mu     sync.Mutex
	told   []string
	gaps   []camera.Gap
	err    error
	closed bool // the last thing it was told was a gap
	block  chan struct{}
}

func (r *recorder) Record(_ context.Context, _ camera.Format, au camera.AccessUnit) error {
	if r.block != nil {
		<-r.block
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = false
	r.told = append(r.told, map[bool]string{true: "K", false: "f"}[au.Keyframe])
	return r.err
}

func (r *recorder) Interrupt(_ context.Context, g camera.Gap) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.told = append(r.told, string(g.Cause))
	r.gaps = append(r.gaps, g)
	return r.err
}

// causes are the gaps in order, with their details.
func (r *recorder) causes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var s []string
	for _, g := range r.gaps {
		s = append(s, string(g.Cause)+": "+g.Detail)
	}
	return s
}

// ended reports whether nothing was recorded since the last gap.
func (r *recorder) ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

func (r *recorder) pictures() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.told) - len(r.gaps)
}

const stopped = "our-fault: recorder stopped by its operator"

func start(t *testing.T, cfg camera.WorkerConfig) (w *camera.Worker, stop func() error) {
	t.Helper()
	cfg.Camera = "k1"
	if cfg.Permission == nil {
		cfg.Permission = permits{}
	}
	w = camera.NewWorker(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return w, func() error { cancel(); return <-done }
}

func TestWorkerRecordsWhatTheCameraDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		w, stop := start(t, camera.WorkerConfig{Source: &source{sessions: []func(context.Context, camera.Sink) error{frames}}, Recorder: rec})
		time.Sleep(950 * time.Millisecond)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(rec.told, ""); got != "K"+strings.Repeat("f", 9)+"our-fault" {
			t.Errorf("recorded %s", got)
		}
		if !rec.ended() {
			t.Error("the end of the run did not close the clip")
		}
		if got := rec.causes(); !slices.Equal(got, []string{stopped}) {
			t.Errorf("gaps %q: our own cancellation is no fault of the camera", got)
		}
		if s := w.Stats(); s != (camera.Stats{Frames: 10}) {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestWorkerSaysWhenTheCameraIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		// A network's timeout is a context.DeadlineExceeded by its own account.
		timeout := fmt.Errorf("no answer: %w", context.DeadlineExceeded)
		w, stop := start(t, camera.WorkerConfig{Recorder: rec, Source: &source{sessions: []func(context.Context, camera.Sink) error{
			func(ctx context.Context, sink camera.Sink) error {
				sink.Down(time.Now(), timeout)
				time.Sleep(time.Second)
				sink.Down(time.Now(), errors.New("wrong password"))
				return frames(ctx, sink)
			},
		}}})
		time.Sleep(2 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		want := []string{"camera-down: no answer: context deadline exceeded", "camera-down: wrong password", stopped}
		if got := rec.causes(); !slices.Equal(got, want) {
			t.Errorf("gaps %q, want %q", got, want)
		}
		if n := w.Stats().Downs; n != 2 {
			t.Errorf("%d downs, want 2", n)
		}
	})
}

// A recorder that hangs: Put goes on, pictures are dropped up to a keyframe for which there is room,
// and the hole is ours.
func TestWorkerNeverBlocksTheCamera(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queue = 16
		rec := &recorder{block: make(chan struct{})}
		unblocked := make(chan struct{})
		w, stop := start(t, camera.WorkerConfig{Queue: queue, Recorder: rec, Source: &source{sessions: []func(context.Context, camera.Sink) error{
			func(ctx context.Context, sink camera.Sink) error {
				putAt(sink, 0, true)
				synctest.Wait() // the recorder has taken the first and hangs in it
				for n := range 100 {
					putAt(sink, 1+n, n%10 == 9) // keyframes without room are dropped too
				}
				close(rec.block)
				synctest.Wait() // the queue is empty
				putAt(sink, 101, false)
				putAt(sink, 102, true)
				putAt(sink, 103, false)
				synctest.Wait()
				close(unblocked)
				<-ctx.Done()
				return ctx.Err()
			},
		}}})
		<-unblocked
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		want := "K" + strings.Repeat("f", 9) + "K" + strings.Repeat("f", queue-1-10) + "our-fault" + "Kf" + "our-fault"
		if got := strings.Join(rec.told, ""); got != want {
			t.Errorf("recorded %s\n    want %s", got, want)
		}
		if got := rec.causes(); !slices.Equal(got, []string{"our-fault: recorder could not keep up", stopped}) {
			t.Errorf("gaps %q", got)
		}
		if s := w.Stats(); s.Frames != 104 || s.Dropped != 100-(queue-1)+1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// The camera goes away while the recorder hangs and the queue is full: that is not forgotten, only told later,
// and before whatever comes after it.
func TestWorkerTellsLaterWhatHadNoRoom(t *testing.T) {
	const keptUp, away = "our-fault: recorder could not keep up", "camera-down: cable cut"
	for name, c := range map[string]struct {
		then func(sink camera.Sink) // once the queue is empty again
		want string                 // told to the recorder after the pictures before
		gaps []string
	}{
		"with the next keyframe": {func(sink camera.Sink) { putAt(sink, 100, true) }, "our-fault camera-down K our-fault", []string{keptUp, away, stopped}},
		"not before a keyframe":  {func(sink camera.Sink) { putAt(sink, 100, false) }, "our-fault camera-down our-fault", []string{keptUp, away, stopped}},
		"with the next fault": {func(sink camera.Sink) { sink.Down(time.Now(), errors.New("wrong password")) },
			"our-fault camera-down camera-down our-fault", []string{keptUp, away, "camera-down: wrong password", stopped}},
		"at the end": {func(camera.Sink) {}, "our-fault camera-down our-fault", []string{keptUp, away, stopped}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const queue = 8
				rec := &recorder{block: make(chan struct{})}
				played := make(chan struct{})
				_, stop := start(t, camera.WorkerConfig{Queue: queue, Recorder: rec, Source: &source{sessions: []func(context.Context, camera.Sink) error{
					func(ctx context.Context, sink camera.Sink) error {
						putAt(sink, 0, true)
						synctest.Wait() // the recorder has taken the first and hangs in it
						for n := range 2 * queue {
							putAt(sink, 1+n, false)
						}
						sink.Down(time.Now(), errors.New("no route")) // an earlier one gives way
						sink.Down(time.Now(), errors.New("cable cut"))
						close(rec.block)
						synctest.Wait()
						c.then(sink)
						synctest.Wait()
						close(played)
						<-ctx.Done()
						return ctx.Err()
					},
				}}})
				<-played
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				if got := strings.TrimLeft(strings.Join(rec.told, " "), "Kf "); got != c.want {
					t.Errorf("told %s\nwant %s", got, c.want)
				}
				if got := rec.causes(); !slices.Equal(got, c.gaps) {
					t.Errorf("gaps %q\nwant %q", got, c.gaps)
				}
			})
		})
	}
}

func putAt(sink camera.Sink, second int, keyframe bool) {
	sink.Put(camera.Format{}, camera.AccessUnit{Time: time.Now(), DTS: time.Duration(second) * time.Second, Keyframe: keyframe})
}

// The smallest queue still records: one place for pictures, one for the gap.
func TestWorkerWithTheSmallestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		_, stop := start(t, camera.WorkerConfig{Queue: 1, Recorder: rec, Source: &source{sessions: []func(context.Context, camera.Sink) error{frames}}})
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if rec.pictures() < 9 {
			t.Errorf("%d pictures recorded", rec.pictures())
		}
	})
}

func TestWorkerGoesOnWhenTheRecorderFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{err: errors.New("disk full")}
		_, stop := start(t, camera.WorkerConfig{Recorder: rec, Source: &source{sessions: []func(context.Context, camera.Sink) error{frames}}})
		time.Sleep(time.Second)
		synctest.Wait()
		rec.mu.Lock()
		rec.err = nil
		rec.mu.Unlock()
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Errorf("%v: what passed is no error of the run", err)
		}
		if rec.pictures() < 19 {
			t.Errorf("%d pictures were offered to the recorder", rec.pictures())
		}
	})
}

// A source that cannot go on ends the run, and not without closing the clip.
func TestWorkerWhoseSourceGivesUp(t *testing.T) {
	broken := errors.New("no such network")
	for name, c := range map[string]struct{ returned, want error }{
		"with an error": {broken, broken},
		"without one":   {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := &recorder{}
				w := camera.NewWorker(camera.WorkerConfig{Camera: "k1", Recorder: rec, Permission: permits{}, Source: &source{
					sessions: []func(context.Context, camera.Sink) error{func(ctx context.Context, sink camera.Sink) error {
						sink.Put(camera.Format{}, camera.AccessUnit{Time: time.Now(), Keyframe: true})
						return c.returned
					}},
				}})
				err := w.Run(t.Context())
				if err == nil || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("error %v", err)
				}
				if !rec.ended() {
					t.Error("the clip stayed open")
				}
			})
		})
	}
}

// The counter is offered every picture, also those that the full queue turns away.
func TestCounterIsOfferedEveryPicture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counted := 0
		rec := &recorder{}
		w, stop := start(t, camera.WorkerConfig{
			Recorder: rec, Source: &source{sessions: []func(context.Context, camera.Sink) error{frames}},
			Counter: counterFunc(func() { counted++ }),
		})
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if int64(counted) != w.Stats().Frames || counted == 0 {
			t.Errorf("%d of %d pictures", counted, w.Stats().Frames)
		}
	})
}

type counterFunc func()

func (f counterFunc) Offer(camera.Format, camera.AccessUnit) { f() }
func (counterFunc) Miss(time.Time)                           {}

// Pictures that are lost while a session goes on end the clip before them, with the cause that they were lost for;
// the counter learns that nobody knows; and what follows is recorded again.
func TestLossWithinASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		var missed []time.Time
		lossy := func(ctx context.Context, sink camera.Sink) error {
			now := time.Now()
			sink.Up(camera.Format{})
			sink.Put(camera.Format{}, camera.AccessUnit{Time: now, Keyframe: true})
			sink.Lost(now, camera.CameraDown, errors.New("packets were lost"))
			sink.Put(camera.Format{}, camera.AccessUnit{Time: now.Add(2 * time.Second), Keyframe: true})
			<-ctx.Done()
			sink.Down(time.Now(), ctx.Err())
			return ctx.Err()
		}
		w, stop := start(t, camera.WorkerConfig{
			Recorder: rec, Source: &source{sessions: []func(context.Context, camera.Sink) error{lossy}},
			Counter: missCounter(func(at time.Time) { missed = append(missed, at) }),
		})
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if s := w.Stats(); s.Losses != 1 || s.Downs != 0 || s.Frames != 2 {
			t.Errorf("counted %+v", s)
		}
		if len(missed) != 1 {
			t.Errorf("the counter missed %d pictures", len(missed))
		}
		if want := []string{"K", "camera-down", "K", "our-fault"}; !slices.Equal(rec.told, want) {
			t.Errorf("the recorder was told %v, want %v", rec.told, want)
		}
		if want := []string{"camera-down: packets were lost", stopped}; !slices.Equal(rec.causes(), want) {
			t.Errorf("gaps %v, want %v", rec.causes(), want)
		}
	})
}

type missCounter func(time.Time)

func (missCounter) Offer(camera.Format, camera.AccessUnit) {}
func (f missCounter) Miss(at time.Time)                    { f(at) }
