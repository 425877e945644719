package catalogue_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database/databasetest"
	"klarsyn/retention/timeline"
)

// spans is the camera's whole timeline.
func (b *books) spans(cam camera.ID) []timeline.Span {
	b.t.Helper()
	var spans []timeline.Span
	rows, err := b.DB.Query(`SELECT start_us, end_us FROM catalogue_clip WHERE camera = $1 ORDER BY start_us, id`, cam)
	b.must(err)
	defer rows.Close()
	for rows.Next() {
		var from, to int64
		b.must(rows.Scan(&from, &to))
		span := timeline.Span{From: time.UnixMicro(from), Name: "clip"}
		if to != 0 {
			span.To = time.UnixMicro(to)
		}
		spans = append(spans, span)
	}
	gaps, err := catalogue.Checked{Catalogue: b.Catalogue}.Gaps(b.t.Context(), string(cam))
	b.must(err)
	for _, g := range gaps {
		spans = append(spans, timeline.Span{From: g.From, To: g.To, Name: string(g.Cause)})
	}
	return spans
}

// told is the timeline in seconds after start, for reading: "0-5 clip, 5- camera-down".
func (b *books) told(cam camera.ID) string {
	b.t.Helper()
	if faults := timeline.Check(b.spans(cam)); len(faults) > 0 {
		b.t.Errorf("the timeline has faults: %v", faults)
	}
	var clips, gaps []string
	for _, s := range b.spans(cam) {
		to := ""
		if !s.To.IsZero() {
			to = fmt.Sprint(s.To.Sub(start).Seconds())
		}
		line := fmt.Sprintf("%g-%s %s", s.From.Sub(start).Seconds(), to, s.Name)
		if s.Name == "clip" {
			clips = append(clips, line)
		} else {
			gaps = append(gaps, line)
		}
	}
	return strings.Join(append(clips, gaps...), ", ")
}

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

func gapsFollowClips(t *testing.T, b *books) {
	ctx := t.Context()
	gap := func(cam camera.ID, from float64, cause camera.Cause, detail string) error {
		entries := b.entries()
		opened, err := b.Interrupt(ctx, camera.Gap{Camera: cam, From: at(from), Cause: cause, Detail: detail})
		if logged := b.entries() != entries; opened != logged {
			t.Errorf("camera %s: it says that it opened a gap: %v; the log says so: %v", cam, opened, logged)
		}
		return err
	}
	for name, c := range map[string]struct {
		play    func(cam camera.ID)
		want    string
		entries int64
	}{
		"the first thing known of a camera": {func(cam camera.ID) {
			b.must(gap(cam, 3, camera.CameraDown, "off"))
		}, "3- camera-down", 1},
		"after a clip": {func(cam camera.ID) {
			b.put(cam, at(0), at(5), retention.Committed)
			b.must(gap(cam, 5, camera.CameraDown, "off"))
		}, "0-5 clip, 5- camera-down", 1},
		"said to begin within the clip": {func(cam camera.ID) {
			b.put(cam, at(0), at(5), retention.Committed)
			b.must(gap(cam, 4, camera.CameraDown, "off"))
		}, "0-5 clip, 5- camera-down", 1},
		"the time before it is not the camera's fault": {func(cam camera.ID) {
			b.put(cam, at(0), at(5), retention.Committed)
			b.must(gap(cam, 60, camera.CameraDown, "off"))
		}, "0-5 clip, 5-60 our-fault, 60- camera-down", 1},
		"the same again goes on": {func(cam camera.ID) {
			for i := range 3 {
				b.must(gap(cam, float64(i), camera.CameraDown, "off"))
			}
		}, "0- camera-down", 1},
		"the same again, though its detail was too long to keep": {func(cam camera.ID) {
			for i := range 3 {
				b.must(gap(cam, float64(i), camera.CameraDown, strings.Repeat("å", 300)))
			}
		}, "0- camera-down", 1},
		"another cause": {func(cam camera.ID) {
			b.must(gap(cam, 0, camera.CameraDown, "off"))
			b.must(gap(cam, 7, camera.NotPermitted, "no permit"))
		}, "0-7 camera-down, 7- not-permitted", 2},
		"another cause at once": {func(cam camera.ID) {
			b.must(gap(cam, 0, camera.CameraDown, "off"))
			b.must(gap(cam, 0, camera.NotPermitted, "no permit"))
		}, "0- not-permitted", 2},
		"another cause, said to begin before": {func(cam camera.ID) {
			b.must(gap(cam, 5, camera.CameraDown, "off"))
			b.must(gap(cam, 2, camera.NotPermitted, "no permit"))
		}, "5- not-permitted", 2},
		"a clip ends it": {func(cam camera.ID) {
			b.must(gap(cam, 0, camera.CameraDown, "off"))
			b.put(cam, at(9), at(14), retention.Committed)
		}, "9-14 clip, 0-9 camera-down", 1},
		"a clip at once": {func(cam camera.ID) {
			b.must(gap(cam, 0, camera.CameraDown, "off"))
			b.put(cam, at(0), at(5), retention.Committed)
		}, "0-5 clip", 1},
		"nobody said why": {func(cam camera.ID) {
			b.put(cam, at(0), at(5), retention.Committed)
			b.put(cam, at(20), at(25), retention.Committed)
		}, "0-5 clip, 20-25 clip, 5-20 our-fault", 0},
		"a clip of which nothing was kept": {func(cam camera.ID) {
			b.put(cam, at(0), at(0), retention.Lost)
			b.must(gap(cam, 0, camera.OurFault, "disk"))
			b.put(cam, at(2), at(4), retention.Committed)
		}, "0-0 clip, 2-4 clip, 0-2 our-fault", 1},
		"a lost clip and another at the same time": {func(cam camera.ID) {
			b.put(cam, at(0), at(0), retention.Lost)
			b.put(cam, at(0), at(4), retention.Committed)
			b.put(cam, at(4), at(8), retention.Committed)
		}, "0-0 clip, 0-4 clip, 4-8 clip", 0},
		"an open clip has no end yet where a gap could begin": {func(cam camera.ID) {
			c := b.put(cam, at(0), time.Time{}, "")
			if err := gap(cam, 5, camera.CameraDown, "off"); !errors.Is(err, catalogue.ErrOpenClip) {
				t.Errorf("error %v", err)
			}
			b.must(b.End(ctx, c.ID, at(5), 10))
			b.must(gap(cam, 5, camera.CameraDown, "off"))
		}, "0-5 clip, 5- camera-down", 1},
	} {
		t.Run(name, func(t *testing.T) {
			cam := camera.ID(strings.ReplaceAll(name, " ", "-"))
			before := b.gapEntries(cam)
			c.play(cam)
			if got := b.told(cam); got != c.want {
				t.Errorf("timeline %q\n    want %q", got, c.want)
			}
			if n := b.gapEntries(cam) - before; n != c.entries {
				t.Errorf("%d log entries about the gaps, want %d", n, c.entries)
			}
		})
	}
	b.breakLog(errors.New("broken"))
	before := b.dump()
	if err := gap("k99", 0, camera.CameraDown, "off"); err == nil || b.dump() != before {
		t.Error("a gap was recorded without a log entry")
	}
}

// gapEntries counts committed log entries that say that a camera stopped or was refused.
func (b *books) gapEntries(cam camera.ID) int64 {
	b.t.Helper()
	var n int64
	for _, e := range databasetest.Logged(b.t, b.DB) {
		if e.Object == "camera:"+string(cam) && (e.Event == policy.CameraStopped || e.Event == policy.CameraRefused) {
			n++
		}
	}
	return n
}

// Reserve, End, Commit, Lose, Interrupt, Claim and crashes in any order, at any times: what the catalogue
// takes, tiles.
func timeTiles(t *testing.T, b *books) {
	ctx, cams := t.Context(), 0
	rapid.Check(t, func(rt *rapid.T) {
		cams++
		cam := camera.ID(fmt.Sprintf("c%d", cams))
		now := start.Add(time.Duration(cams) * 24 * time.Hour)
		var writing *retention.Clip // the recorder's open clip; a crash forgets it
		for range rapid.IntRange(1, 14).Draw(rt, "steps") {
			step := rapid.SampledFrom([]string{"reserve", "reserve", "end", "end", "interrupt", "crash", "claim", "set clock"}).Draw(rt, "step")
			now = now.Add(time.Duration(rapid.SampledFrom([]int64{0, 1, 999, 1000, 5e9, 7777777777}).Draw(rt, "passes")))
			switch step {
			case "reserve":
				c := newClip(cam, now)
				err := b.Reserve(ctx, c, []byte("h"))
				switch {
				case err == nil:
					writing = &c
				case !errors.Is(err, catalogue.ErrOverlap) && !errors.Is(err, catalogue.ErrOpenClip):
					rt.Fatal(err)
				}
			case "end":
				if writing != nil {
					if err := b.End(ctx, writing.ID, later(now, writing.Start), 1); err != nil {
						rt.Fatal(err)
					}
					if rapid.Bool().Draw(rt, "lost") {
						if err := b.Lose(ctx, *writing, "x"); err != nil && !errors.Is(err, retention.ErrGone) {
							rt.Fatal(err)
						}
					}
					writing = nil
				}
			case "interrupt":
				from := now.Add(time.Duration(rapid.Int64Range(-3e9, 3e9).Draw(rt, "from")))
				cause := rapid.SampledFrom([]camera.Cause{camera.CameraDown, camera.OurFault}).Draw(rt, "cause")
				if _, err := b.Interrupt(ctx, camera.Gap{Camera: cam, From: from, Cause: cause}); err != nil && !errors.Is(err, catalogue.ErrOpenClip) {
					rt.Fatal(err)
				}
			case "crash": // the recorder starts again and ends what it finds, wherever its files reach
				open, err := b.Open(ctx, "n1")
				if err != nil {
					rt.Fatal(err)
				}
				for _, c := range open {
					if c.Camera == cam && c.End.IsZero() {
						reach := time.Duration(rapid.Int64Range(0, max(0, int64(now.Sub(c.Start)))).Draw(rt, "reach"))
						if err := b.End(ctx, c.ID, c.Start.Add(reach), 1); err != nil {
							rt.Fatal(err)
						}
					}
				}
				writing = nil
			case "claim":
				if _, err := b.Claim(ctx, now.Add(2*time.Hour), 100); err != nil {
					rt.Fatal(err)
				}
			case "set clock":
				now = now.Add(-10 * time.Second)
			}
			if faults := timeline.Check(b.spans(cam)); len(faults) > 0 {
				rt.Fatalf("after %s: %v", step, faults)
			}
		}
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// interrupt opens a gap of a camera that is down.
func (b *books) interrupt(cam camera.ID, from time.Time) {
	b.t.Helper()
	opened, err := b.Interrupt(b.t.Context(), camera.Gap{Camera: cam, From: from, Cause: camera.CameraDown})
	b.must(err)
	if !opened {
		b.t.Errorf("no gap of camera %s was opened", cam)
	}
}

func overlapIsRefused(t *testing.T, b *books) {
	b.put("k1", at(0), at(5), retention.Committed)
	if err := b.Reserve(t.Context(), newClip("k1", at(4.999999)), []byte("h")); !errors.Is(err, catalogue.ErrOverlap) {
		t.Errorf("a clip over a clip: %v", err)
	}
	b.interrupt("k2", at(10))
	if err := b.Reserve(t.Context(), newClip("k2", at(9)), []byte("h")); !errors.Is(err, catalogue.ErrOverlap) {
		t.Errorf("a clip before an open gap: %v", err)
	}
	open := b.put("k3", at(0), time.Time{}, "")
	before := b.dump()
	if err := b.Reserve(t.Context(), newClip("k3", at(5)), []byte("h")); !errors.Is(err, catalogue.ErrOpenClip) {
		t.Errorf("a clip beside open clip %s: %v", open.ID, err)
	}
	if b.dump() != before {
		t.Error("a refused clip left something")
	}
	// What is more precise than the catalogue meets it all the same.
	b.put("k1", at(5).Add(999), at(6), retention.Committed)
}

func coveredTime(t *testing.T, b *books) {
	ctx := t.Context()
	check := func(want time.Time) {
		t.Helper()
		if got, err := b.Covered(ctx, "k1"); err != nil || !got.Equal(want) {
			t.Errorf("covered to %s, %v, want %s", got, err, want)
		}
	}
	check(time.Time{})
	c := b.put("k1", at(0), time.Time{}, "")
	check(at(0))
	b.must(b.End(ctx, c.ID, at(5), 1))
	check(at(5))
	b.interrupt("k1", at(5))
	check(at(5))
	if g, ok, err := b.OpenGap(ctx, "k1"); err != nil || !ok || !g.From.Equal(at(5)) || g.Cause != camera.CameraDown {
		t.Errorf("open gap %+v, %v, %v", g, ok, err)
	}
	b.put("k1", at(9), at(12), retention.Committed)
	check(at(12))
	if _, ok, err := b.OpenGap(ctx, "k1"); err != nil || ok {
		t.Errorf("a gap is open: %v", err)
	}
	gaps, err := b.Gaps(ctx, "k1", at(8), at(20))
	if err != nil || len(gaps) != 1 || !gaps[0].To.Equal(at(9)) {
		t.Errorf("gaps %+v, %v", gaps, err)
	}
	if gaps, err = b.Gaps(ctx, "", at(9), at(20)); err != nil || len(gaps) != 0 {
		t.Errorf("a gap that ended at the beginning of the range was listed: %+v, %v", gaps, err)
	}
}
