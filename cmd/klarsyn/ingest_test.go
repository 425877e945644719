package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"klarsyn/camera"
	"klarsyn/camera/coded"
	"klarsyn/camera/rtsp/sim"
	"klarsyn/policy"
	"klarsyn/retention"
)

// noVision is where klarsyn-vision is not: a camera without zones needs none.
const noVision = "/nowhere/klarsyn-vision"

// retained is for how long the permit of a wired camera lets footage be kept.
const retained = 5 * time.Minute

// wired is a data directory whose one camera is simulated and has no zones.
func wired(t *testing.T) layout {
	t.Helper()
	return wiredAgo(t, time.Hour)
}

// wiredAgo is the same, put in force so long ago.
func wiredAgo(t *testing.T, ago time.Duration) layout {
	t.Helper()
	track, err := coded.LoadMP4("../../camera/rtsp/sim/testdata/plain.mp4")
	if err != nil {
		t.Fatal(err)
	}
	srv, err := sim.New(sim.Config{Listen: "127.0.0.1:0", Cameras: []sim.Camera{{Path: "k1", Feed: sim.Loop(track), Username: "klarsyn", Password: "s3cret"}}})
	if err != nil {
		t.Fatal(err)
	}
	whileTesting(t, srv.Run)
	l := layout{filepath.Join(t.TempDir(), "square")}
	if err := initSite(t.Context(), l, addresses{}); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`node: prov
clip: 1s
min_free_mib: 1
cameras:
  - {id: k1, url: %s, username: klarsyn, password_file: k1.password}
permits:
  - {id: plattan, version: 1, regime: municipal, basis: assessment, assessment: {sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, date: 2025-12-01, decider: Trafiknämnden, diary: TN 2025-1}, cameras: [k1], valid_from: 2020-01-01T00:00:00Z, retention: PT%dS, purposes: [crime-investigation]}
`, srv.URL("k1"), int(retained.Seconds()))
	if err := errors.Join(os.WriteFile(l.config(), []byte(config), 0o600), os.WriteFile(filepath.Join(l.root, "k1.password"), []byte("s3cret\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	appliedAgo(t, l, ago)
	return l
}

// whileTesting runs something until the test ends.
func whileTesting(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("it ended with: %v", err)
		}
	})
}

// recording records the cameras of a data directory by a system clock until the test ends.
func recording(t *testing.T, l layout, wall func() time.Time) (*site, *ingest) {
	t.Helper()
	s := opened(t, l, wall)
	t.Cleanup(func() { s.close() })
	re := openRetain(t.Context(), s, reaping{}) // it mints the day keys
	t.Cleanup(func() { re.close() })
	in, err := openIngest(t.Context(), s, noVision, nil)
	if err != nil {
		t.Fatal(err)
	}
	whileTesting(t, in.run)
	return s, in
}

// soon waits until ok is true.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// stored waits for a clip that is stored and none of those known.
func stored(t *testing.T, s *site, known map[string]bool) retention.Clip {
	t.Helper()
	var found retention.Clip
	soon(t, "a further clip is stored", func() bool {
		clips, err := s.catalogue("test").Search(t.Context(), "k1", time.Now().AddDate(-1, 0, 0), time.Now().AddDate(1, 0, 0), 1000, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range clips {
			if !known[c.ID] && c.State == retention.Committed {
				found = c
			}
		}
		return found.ID != ""
	})
	return found
}

// near reports whether two times differ by no more than a busy machine explains.
func near(a, b time.Time) bool { return a.Sub(b).Abs() < 20*time.Second }

// A camera for which nobody drew zones is recorded, not counted, and keeps nobody else from starting.
func TestCameraWithoutZones(t *testing.T) {
	s, in := recording(t, wired(t), nil)
	c := stored(t, s, nil)
	if c.ClockFlagged || !near(c.Start, time.Now()) {
		t.Errorf("stored as %+v", c)
	}
	registry := prometheus.NewRegistry()
	in.meter(meter{registry})
	families, err := registry.Gather()
	if err != nil || len(families) == 0 {
		t.Errorf("%d metrics, %v", len(families), err)
	}
	if n := in.samples.kept.Load(); n != 0 {
		t.Errorf("%d counts of a camera that has no zones", n)
	}
}

// The recorder was down for longer than the clock is trusted over: deletion waits for the operator, and what is
// recorded meanwhile bears the time at which it is, flagged, and is stored.
func TestRecordingAfterALongDowntime(t *testing.T) {
	l := wiredAgo(t, 49*time.Hour)
	before := opened(t, l, func() time.Time { return time.Now().Add(-48 * time.Hour) })
	err := before.log.Record(t.Context(), policy.Entry{Event: policy.ServiceStopped, Actor: "service:ingest"})
	if err := errors.Join(err, before.close()); err != nil {
		t.Fatal(err)
	}
	s, _ := recording(t, l, nil)
	if _, err := s.clock.Deleting(); !errors.Is(err, retention.ErrClock) {
		t.Fatalf("the clock is not doubted: %v", err)
	}
	c := stored(t, s, nil)
	if now := time.Now(); !near(c.Start, now) || !near(c.Deadline, now.Add(retained)) || !c.ClockFlagged {
		t.Errorf("at %s a clip was stored from %s with the deadline %s, flagged %v", now, c.Start, c.Deadline, c.ClockFlagged)
	}
}

// A system clock that is set ahead and put right breaks the camera's session once for each step. Recording goes
// on by the clock as it then is, and what it records is stored.
func TestClockSetWhileRecording(t *testing.T) {
	var ahead atomic.Int64
	s, in := recording(t, wired(t), func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	known := map[string]bool{}
	see := func(after time.Time) retention.Clip {
		t.Helper()
		for {
			c := stored(t, s, known)
			known[c.ID] = true
			if near(c.Deadline, after.Add(retained)) {
				return c
			}
		}
	}
	see(time.Now())
	client := in.get("k1").client
	for n, set := range []time.Duration{3 * time.Hour, 0} {
		ahead.Store(int64(set))
		soon(t, "the session breaks", func() bool { return client.Stats().Failures > uint64(n) })
		see(time.Now().Add(set))
		see(time.Now().Add(set))
		if st := client.Stats(); st.Failures != uint64(n+1) || st.Sessions != uint64(n+2) {
			t.Errorf("after %d steps of the clock: %+v", n+1, st)
		}
	}
	gap, open, err := s.catalogue("test").OpenGap(t.Context(), camera.ID("k1"))
	if err != nil || open {
		t.Errorf("the camera is in a gap: %+v, %v", gap, err)
	}
}
