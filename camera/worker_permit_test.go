package camera_test

import (
	"context"
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

func (p permits) Permitted(_ camera.ID, at time.Time) (ok bool, until time.Time) {
	ok = true
	for _, edge := range p {
		if edge.at.After(at) {
			return ok, edge.at
		}
		ok = edge.ok
	}
	return ok, time.Time{}
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
		if got := rec.causes(); !slices.Equal(got, []string{"not-permitted: no valid permit", stopped}) {
			t.Errorf("gaps %q", got)
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
		"back, before it":     {5 * time.Second, -time.Hour, 80, ""},
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

type permissionFunc func() bool

func (f permissionFunc) Permitted(camera.ID, time.Time) (bool, time.Time) { return f(), time.Time{} }
