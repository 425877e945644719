package camera_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"klarsyn/camera"
)

// permits holds the instants at which the answer changes; it is yes before the first.
type permits []struct {
	at time.Time
	ok bool
}

func (p permits) Allowed(_ camera.ID, at time.Time) camera.Allowance {
	ok, version := true, 1
	var since time.Time
	for _, edge := range p {
		if edge.at.After(at) {
			return allowance(ok, version, since, edge.at)
		}
		ok, since = edge.ok, edge.at
		version++
	}
	return allowance(ok, version, since, time.Time{})
}

// allowance is what a version of a permit says that lets a camera do all or nothing.
func allowance(ok bool, version int, from, until time.Time) camera.Allowance {
	a := camera.Allowance{Record: ok, Count: ok, Permit: fmt.Sprintf("plattan@%d", version), From: from, Until: until}
	if !ok {
		a.Cause, a.Detail, a.Clause = camera.NotPermitted, "no valid permit", "valid_to"
	}
	return a
}

// The permit ends and begins again: nothing is pulled in between, and the hole has its cause.
func TestWorkerPullsOnlyWhilePermitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec, src := &recorder{}, &source{sessions: []func(context.Context, camera.Sink) error{frames}}
		begin := time.Now()
		ends, again := begin.Add(2050*time.Millisecond), begin.Add(10*time.Second)
		_, stop := start(t, camera.WorkerConfig{Source: src, Recorder: rec, Permission: permits{{ends, false}, {again, true}}})
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if src.runs.Load() != 1 || rec.pictures() != 21 {
			t.Errorf("%d sessions and %d pictures while the permit was away", src.runs.Load(), rec.pictures())
		}
		if !rec.ended() {
			t.Error("the clip was not closed when the permit ended")
		}
		time.Sleep(3 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if got := rec.causes(); !slices.Equal(got, []string{"not-permitted: no valid permit", waiting, stopped}) {
			t.Errorf("gaps %q", got)
		}
		if g := rec.gaps[1]; !g.From.Equal(again) {
			t.Errorf("recording was permitted again from %s on, the gap says %s", again, g.From)
		}
		if g := rec.gaps[0]; !g.From.Equal(ends) || g.Camera != "k1" {
			t.Errorf("the gap is %+v, want one of k1 from %s on", g, ends)
		}
		if src.runs.Load() != 2 || rec.pictures() < 35 {
			t.Errorf("%d sessions and %d pictures: it did not go on when the permit came back", src.runs.Load(), rec.pictures())
		}
	})
}

// Another version takes over: the clip of the old one ends there, without a word about the camera.
func TestWorkerEndsTheClipWhenThePermitChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		w, stop := start(t, camera.WorkerConfig{
			Source:   &source{sessions: []func(context.Context, camera.Sink) error{frames}},
			Recorder: rec, Permission: permits{{time.Now().Add(1050 * time.Millisecond), true}},
		})
		time.Sleep(2 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if got := rec.causes(); !slices.Equal(got, []string{"our-fault: reconnecting under a new permit version", stopped}) {
			t.Errorf("gaps %q", got)
		}
		between := slices.Index(rec.told, "our-fault")
		if rec.told[between+1] != "K" {
			t.Errorf("after the change came %q, want a keyframe", rec.told[between+1])
		}
		if w.Stats().Downs != 0 {
			t.Error("the change was counted against the camera")
		}
	})
}

// The end of a permit is a time on the clock, not a span that was measured when the session began: whoever
// sets the clock moves the end with it.
func TestWorkerKeepsToAClockThatIsSet(t *testing.T) {
	const recheck = time.Second
	for name, c := range map[string]struct {
		ends     time.Duration // from the beginning, by the clock
		set      time.Duration // the clock, after three seconds
		pictures int           // by the eighth second
		gap      string
	}{
		"ahead, over the end": {time.Hour, time.Hour, 31, "not-permitted: no valid permit"},
		"ahead, up to it":     {time.Hour, time.Hour - 5*time.Second, 50, "not-permitted: no valid permit"},
		"back, before it":     {5 * time.Second, -time.Hour, 50, "not-permitted: by their own time the pictures are outside what is permitted"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var set atomic.Int64
				now := func() time.Time { return time.Now().Add(time.Duration(set.Load())) }
				rec := &recorder{}
				_, stop := start(t, camera.WorkerConfig{
					Source: &source{sessions: []func(context.Context, camera.Sink) error{frames}}, Recorder: rec,
					Permission: permits{{begin.Add(c.ends), false}}, Now: now, Recheck: recheck,
				})
				time.Sleep(3*time.Second - 50*time.Millisecond)
				set.Store(int64(c.set))
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if got := rec.pictures(); got < c.pictures-1 || got > c.pictures+1 {
					t.Errorf("%d pictures, want %d", got, c.pictures)
				}
				if gaps := rec.causes(); c.gap == "" && len(gaps) > 0 || c.gap != "" && !slices.Equal(gaps, []string{c.gap}) {
					t.Errorf("gaps %q, want %q", gaps, c.gap)
				}
				if err := stop(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// A permit that is withdrawn before its end stops the recording within Recheck.
func TestWorkerStopsWhenThePermitIsWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var withdrawn atomic.Bool
		rec := &recorder{}
		_, stop := start(t, camera.WorkerConfig{
			Source: &source{sessions: []func(context.Context, camera.Sink) error{frames}}, Recorder: rec, Recheck: time.Second,
			Permission: permissionFunc(func() bool { return !withdrawn.Load() }),
		})
		time.Sleep(2550 * time.Millisecond)
		withdrawn.Store(true)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := rec.pictures(); got < 26 || got > 31 || !rec.ended() {
			t.Errorf("%d pictures, the clip ended %v", got, rec.ended())
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// waiting is said from where recording is permitted again until a clip begins.
const waiting = "camera-down: no whole picture yet since recording is permitted"

type permissionFunc func() bool

func (f permissionFunc) Allowed(camera.ID, time.Time) camera.Allowance {
	return allowance(f(), 1, time.Time{}, time.Time{})
}

// steady delivers ten pictures a second, every tenth a keyframe, of a camera whose own clock is off.
func steady(off time.Duration, f camera.Format) func(context.Context, camera.Sink) error {
	return func(ctx context.Context, sink camera.Sink) error {
		sink.Up(f)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			now := time.Now()
			sink.Put(f, camera.AccessUnit{Time: now, CameraTime: now.Add(off), DTS: time.Duration(n) * 100 * time.Millisecond, Keyframe: n%10 == 0})
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		}
	}
}

// A picture was taken at two times, its camera's and ours. Both lie in the permitted time, or it is not recorded; a camera
// whose clock is far off is not believed.
func TestWorkerKeepsToTheCamerasTimeToo(t *testing.T) {
	for name, c := range map[string]struct {
		off      time.Duration
		pictures int // recorded, of 20 in the permitted two seconds: from a keyframe on
		counted  int
	}{
		"the same":                 {0, 20, 20},
		"on its way for 300 ms":    {-300 * time.Millisecond, 10, 17},
		"ahead by 300 ms":          {300 * time.Millisecond, 17, 17},
		"off by an hour":           {-time.Hour, 20, 20},
		"off by all that there is": {-3 * time.Second, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec, cnt := &recorder{}, &counter{}
				begin := time.Now().Add(time.Second)
				src := &source{sessions: []func(context.Context, camera.Sink) error{steady(c.off, camera.Format{Codec: camera.H264})}}
				only := permits{{begin.Add(-time.Hour), false}, {begin, true}, {begin.Add(2 * time.Second), false}}
				w, stop := start(t, camera.WorkerConfig{Source: src, Recorder: rec, Counter: cnt, Permission: only})
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if got := rec.pictures(); got != c.pictures {
					t.Errorf("%d pictures are recorded, want %d", got, c.pictures)
				}
				if got := cnt.offers(); got != c.counted {
					t.Errorf("%d pictures are counted, want %d", got, c.counted)
				}
				// The one at the very end may come before the session ends.
				if refused := w.Stats().Refused - int64(20-c.pictures); refused < 0 || refused > 1 {
					t.Errorf("%d pictures were refused", w.Stats().Refused)
				}
				if err := stop(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// allowing is a permission that is always the same.
type allowing camera.Allowance

func (a allowing) Allowed(camera.ID, time.Time) camera.Allowance { return camera.Allowance(a) }

// A permit that lets people be counted, and nothing be recorded, leaves nothing but counts.
func TestWorkerOnlyCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec, cnt := &recorder{}, &counter{}
		src := &source{sessions: []func(context.Context, camera.Sink) error{frames}}
		_, stop := start(t, camera.WorkerConfig{Source: src, Recorder: rec, Counter: cnt, Permission: allowing{
			Count: true, Cause: camera.NotPermitted, Detail: "only counts", Permit: "plattan@1", Clause: "mode",
		}})
		time.Sleep(2050 * time.Millisecond)
		synctest.Wait()
		if rec.pictures() != 0 || cnt.offers() != 21 {
			t.Errorf("%d pictures recorded, %d counted", rec.pictures(), cnt.offers())
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if got := rec.causes(); !slices.Equal(got, []string{"not-permitted: only counts", stopped}) || rec.gaps[0].Clause != "mode" || rec.gaps[0].Permit != "plattan@1" {
			t.Errorf("gaps %q, the first %+v", got, rec.gaps[0])
		}
	})
}

// A camera that sends more pictures than the permit allows is counted and not recorded; one that sends as many is recorded as
// soon as that is known.
func TestWorkerKeepsToTheLimits(t *testing.T) {
	const measured = "not-permitted: the rate of pictures is being measured"
	for limit, c := range map[float64]struct {
		pictures int
		gaps     []string
	}{
		10: {20, []string{measured}}, // from the keyframe after the first second on
		8:  {0, []string{measured, "not-permitted: the camera sends more than the 8 pictures a second that the permit allows: set the camera down"}},
		0:  {31, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			rec, cnt := &recorder{}, &counter{}
			src := &source{sessions: []func(context.Context, camera.Sink) error{frames}}
			_, stop := start(t, camera.WorkerConfig{Source: src, Recorder: rec, Counter: cnt, Permission: allowing{
				Record: true, Count: true, Permit: "plattan@1", Limits: camera.Limits{Rate: limit},
			}})
			time.Sleep(3050 * time.Millisecond)
			synctest.Wait()
			if got := rec.pictures(); got < c.pictures-1 || got > c.pictures+1 || cnt.offers() != 31 {
				t.Errorf("limit %g: %d pictures recorded, want %d; %d counted", limit, got, c.pictures, cnt.offers())
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if got := rec.causes(); !slices.Equal(got, append(c.gaps, stopped)) {
				t.Errorf("limit %g: gaps %q, want %q", limit, got, c.gaps)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		src := &source{sessions: []func(context.Context, camera.Sink) error{frames}}
		_, stop := start(t, camera.WorkerConfig{Source: src, Recorder: rec, Permission: allowing{Record: true, Limits: camera.Limits{Width: 640}}})
		time.Sleep(2050 * time.Millisecond)
		synctest.Wait()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if rec.pictures() != 0 || rec.gaps[0].Clause != "limits" || rec.gaps[0].Cause != camera.NotPermitted {
			t.Errorf("a picture whose size nobody knows: %d recorded, gap %+v", rec.pictures(), rec.gaps[0])
		}
	})
}

// counter counts what it is offered.
type counter struct{ n atomic.Int64 }

func (c *counter) Offer(camera.Format, camera.AccessUnit) { c.n.Add(1) }
func (c *counter) Miss(time.Time)                         {}
func (c *counter) offers() int                            { return int(c.n.Load()) }
