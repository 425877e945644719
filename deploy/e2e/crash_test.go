package e2e

import (
	"bytes"
	"math"
	"net/url"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
)

// A simulated camera sends ten pictures a second; gop is the time from one keyframe to the next.
const (
	gop          = 2 * time.Second
	framesPerGOP = 20
)

// cameras of a demo.
var cameras = []string{"k1", "k2", "k3"}

// The counting child dies: no picture is lost, the count says that it does not know, and the child is back.
func TestKillVision(t *testing.T) {
	t.Parallel()
	s := startDemo(t, t.TempDir(), "--clip", "4s", "--retention", "5m", "--tour=false")
	auditor, investigator := s.as(t, "auditor"), s.as(t, "investigator")
	investigator.stored("k1", 60*time.Second)
	testenv.Eventually(t, 90*time.Second, "the scenes are drawn, and one child counts for each camera", func() bool {
		return len(testenv.Children(t, s.PID(), "klarsyn-vision")) == 3
	})

	// A child may be back before the next keyframe comes: it dies until one came while it was away. Each time it
	// stays away longer.
	for try := 1; ; try++ {
		bound := restartBound(t)
		at, took := killChildren(t, s, auditor)
		t.Logf("children back after %s", took)
		if try == 1 && took > bound {
			t.Errorf("the children were back after %s, want %s", took, bound)
		}
		if unknownSince(auditor, at.Add(-time.Second)) {
			break
		}
		if try == 6 {
			t.Fatal("the count never says that it does not know")
		}
	}
	if restarts := metric(t, newVisitor(t, s.URL), "klarsyn_vision_restarts_total"); restarts < 3 {
		t.Errorf("%g restarts are counted", restarts)
	}
	time.Sleep(6 * time.Second) // a clip from before, one across, one after
	for _, id := range cameras {
		clips := settled(investigator.clips(id))
		tiled(t, id, clips)
		for _, c := range clips {
			// Whole groups of pictures, as many as fit the clip's time. That time is the server's, which on a
			// busy machine is found in the first seconds of a session: it may be off by a part of a group.
			if groups := math.Round(c.Seconds / gop.Seconds()); float64(c.Frames) != groups*framesPerGOP {
				t.Errorf("camera %s: clip %s has %d frames in %.2f s of 10 a second", id, c.ID, c.Frames, c.Seconds)
			}
		}
	}
	if code := s.Stop(t, time.Minute); code != 0 {
		t.Errorf("the demo ended with %d", code)
	}
	clean(t, fsck(t, s.data))
}

// restartBound is how soon the children must be back: in two seconds, unless something else keeps this machine so
// busy that a child alone needs long to begin.
func restartBound(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	if out, err := exec.Command(filepath.Join(binaries, "klarsyn-vision"), "selftest", "none").CombinedOutput(); err != nil {
		t.Fatalf("starting a child: %v: %s", err, out)
	}
	if took := time.Since(began); took > 800*time.Millisecond {
		t.Logf("this machine is busy: a child needs %s to begin", took)
		return 10 * time.Second
	}
	return 2 * time.Second
}

// killChildren kills the counting children just before a keyframe of k1 is due, and waits until all are back.
func killChildren(t *testing.T, s *square, auditor *visitor) (at time.Time, took time.Duration) {
	t.Helper()
	var seen []sample
	testenv.Eventually(t, 30*time.Second, "camera k1 is counted", func() bool { seen = samples(auditor, "k1"); return len(seen) > 0 })
	killed := map[int]bool{}
	testenv.Eventually(t, 30*time.Second, "one child counts for each camera", func() bool {
		clear(killed)
		for _, pid := range testenv.Children(t, s.PID(), "klarsyn-vision") {
			killed[pid] = true
		}
		return len(killed) == len(cameras)
	})
	next := seen[len(seen)-1].Time
	for time.Until(next) < 300*time.Millisecond {
		next = next.Add(gop)
	}
	time.Sleep(time.Until(next) - 150*time.Millisecond)
	for pid := range killed {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	at = time.Now()
	testenv.Eventually(t, 30*time.Second, "the children are back", func() bool {
		back := 0
		for _, pid := range testenv.Children(t, s.PID(), "klarsyn-vision") {
			if !killed[pid] {
				back++
			}
		}
		return back == len(cameras)
	})
	return at, time.Since(at)
}

// unknownSince reports whether a count of k1 says within a few keyframes that its decoder is lost, without a number.
func unknownSince(auditor *visitor, since time.Time) bool {
	for began := time.Now(); time.Since(began) < 3*gop; time.Sleep(100 * time.Millisecond) {
		for _, m := range samples(auditor, "k1") {
			if m.Time.After(since) && m.Quality == "decoder-lost" && m.Present == nil {
				return true
			}
		}
	}
	return false
}

// settled leaves out the clip that is being recorded.
func settled(clips []clip) []clip {
	for len(clips) > 0 && clips[len(clips)-1].To == nil {
		clips = clips[:len(clips)-1]
	}
	return clips
}

// metric adds up all series of a metric.
func metric(t *testing.T, v *visitor, name string) float64 {
	t.Helper()
	return testenv.Metric(t, bytes.NewReader(v.get("/metrics", nil).body), name)
}

// A power cut: what was recorded up to the last second is there after the next start, and all is in order.
func TestKillDemo(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	args := []string{"--clip", "5s", "--retention", "4m", "--tour=false"}
	s := startDemo(t, data, args...)
	s.as(t, "investigator").stored("k1", 60*time.Second)
	time.Sleep(7 * time.Second)
	s.Kill()
	cut := time.Now()
	clean(t, fsck(t, data, "--stray", "2m"))

	s = startDemo(t, data, args...)
	investigator := s.as(t, "investigator")
	for _, id := range cameras {
		var partial clip
		testenv.Eventually(t, 30*time.Second, "the cut-off clip of camera "+id+" is settled", func() bool {
			for _, c := range investigator.clips(id) {
				if c.From.Before(cut) && c.State == "pending" {
					return false
				}
				if c.From.Before(cut) && c.State == "partial" {
					partial = c
				}
			}
			return true
		})
		clips := investigator.clips(id)
		whole := clips[0]
		last := whole
		for _, c := range clips {
			if c.From.Before(cut) && c.To != nil && c.To.After(*last.To) {
				last = c
			}
		}
		// The open fragment, and 64 KiB of stream that were not sealed yet.
		rate := float64(whole.Bytes) / whole.Seconds
		allowed := time.Duration((1 + 65536/rate) * float64(time.Second))
		lost := cut.Sub(*last.To)
		t.Logf("camera %s lost %s, allowed %s (%.0f bytes/s)", id, lost.Round(time.Millisecond), allowed.Round(time.Millisecond), rate)
		if lost > allowed+500*time.Millisecond { // the time that killing took
			t.Errorf("camera %s lost %s, allowed is %s", id, lost, allowed)
		}
		if partial.ID == "" {
			continue // the cut fell where nothing was open, or too little to keep
		}
		a := investigator.look(partial.ID)
		if a.status != 200 || !bytes.Contains(a.body, []byte(canary)) {
			t.Errorf("camera %s: the cut-off clip cannot be seen: %d %s", id, a.status, a.body[:min(300, len(a.body))])
			continue
		}
		if p := decode(t, a.body); p.frames != partial.Frames {
			t.Errorf("camera %s: the cut-off clip decodes %d frames of %d", id, p.frames, partial.Frames)
		}
	}
	// Recording has gone on, and the time between is accounted for.
	testenv.Eventually(t, 60*time.Second, "recording goes on", func() bool {
		for _, c := range investigator.clips("k1") {
			if c.From.After(cut) && c.State == "committed" {
				return true
			}
		}
		return false
	})
	if code := s.Stop(t, time.Minute); code != 0 {
		t.Errorf("the demo ended with %d", code)
	}
	clean(t, fsck(t, data, "--stray", "2m"))
}

// pendingIsRefused is used where a clip is asked for while it is recorded.
func pendingIsRefused(t *testing.T, v *visitor, camera string) {
	t.Helper()
	for _, c := range v.clips(camera) {
		if c.State == "pending" {
			a := v.get("/api/v1/clips/"+c.ID+"/media", url.Values{"purpose": {"crime-investigation"}, "case": {"0105-K1-26"}})
			if a.status != 409 {
				t.Errorf("a clip that is being recorded: %d %s", a.status, a.body)
			}
			return
		}
	}
}
