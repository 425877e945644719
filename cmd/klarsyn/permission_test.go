package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
)

// permitted is a site over a description that was just applied, with what a worker asks.
func permitted(t *testing.T, text string) (*site, permission) {
	t.Helper()
	l := installed(t)
	if _, err := applyText(t, l, text); err != nil {
		t.Fatal(err)
	}
	s := opened(t, l, nil)
	t.Cleanup(func() { s.close() })
	return s, permission{s.current, newViews()}
}

func applyText(t *testing.T, l layout, text string) (revision int64, err error) {
	t.Helper()
	s := opened(t, l, nil)
	defer s.close()
	p, err := s.apply(t.Context(), "square.yaml", []byte(text), localActor(), false, nil)
	return p.Revision, err
}

// allowance is what a camera may do, in few words.
func allowance(a camera.Allowance) string {
	return strings.TrimSpace(fmt.Sprintf("record %v count %v %s %s %s", a.Record, a.Count, a.Permit, a.Cause, a.Clause))
}

// What permits say reaches the worker whole: what it may do, why not, under what, until when, and within which limits.
func TestPermission(t *testing.T) {
	t.Parallel()
	const mask = "[{camera: k1, id: windows, version: 4, kind: blur, polygon: [{x: 0.6, y: 0}, {x: 1, y: 0}, {x: 1, y: 0.4}], calibration: v1}]"
	s, may := permitted(t, squareOf(
		permitOf("plattan", 3, fields{"valid_to": "2036-01-01T00:00:00Z", "limits": "{width: 1920, height: 1080, rate: 12.5}"}),
		permitOf("trappan", 1, fields{"cameras": "[k2]", "state": "draft"})))
	now := s.clock.Receiving()
	a := may.Allowed("k1", now)
	if got := allowance(a); got != "record true count true plattan@3" || a.Limits != (camera.Limits{Width: 1920, Height: 1080, Rate: 12.5}) || a.From.After(now) || !a.Until.After(now) || a.Detail != "" {
		t.Errorf("%s: %+v", got, a)
	}
	for _, c := range []struct {
		id   camera.ID
		at   time.Time
		want string
	}{
		{"k1", time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC), "record false count false plattan@3 not-permitted valid_to"},
		{"k2", now, "record false count false trappan@1 not-permitted state"}, {"k3", now, "record false count false  not-permitted no-permit"},
	} {
		if a := may.Allowed(c.id, c.at); allowance(a) != c.want || a.Detail == "" || a.Limits != (camera.Limits{}) {
			t.Errorf("%s at %s: %+v, want %s", c.id, c.at, a, c.want)
		}
	}
	for _, c := range []struct {
		f     fields
		want  string
		masks int
	}{
		{fields{"masks": mask}, "record false count true plattan@4 mask-failed masks", 1},
		{fields{"masks": mask, "state": "suspended", "reason": "x"}, "record false count false plattan@4 suspended state", 0},
		{fields{"masks": mask}, "record false count true plattan@4 mask-failed masks", 1},
		{fields{"version": "5", "mode": "count-only", "assessment": paper(5)}, "record false count true plattan@5 not-permitted mode", 0},
		{fields{"version": "5", "mode": "count-only", "assessment": paper(5), "state": "ended", "reason": "x"}, "record false count false plattan@5 not-permitted state", 0},
	} {
		if _, err := applyText(t, s.layout, squareOf(permitOf("plattan", 4, c.f))); err != nil {
			t.Fatal(err)
		}
		if err := s.current.poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		now := s.clock.Receiving()
		if got := allowance(may.Allowed("k1", now)); got != c.want {
			t.Errorf("%v: %s, want %s", c.f, got, c.want)
		}
		masks := s.current.now().masks("k1", now)
		if len(masks) != c.masks || len(s.current.now().masks("k2", now)) != 0 {
			t.Errorf("%v: masks %+v", c.f, masks)
		}
		for _, m := range masks {
			if m.ID != "plattan-windows" || m.Version != 4 || m.Kind != camera.MaskBlur || m.Calibration != "v1" || len(m.Polygon) != 3 || m.Polygon[2] != (camera.Point{X: 1, Y: 0.4}) {
				t.Errorf("mask %+v", m)
			}
			if err := (camera.Profile{Masks: masks}).Validate(); err != nil {
				t.Errorf("the counter would refuse it: %v", err)
			}
		}
	}
}

// While the catalogue does not answer, permits are believed for a while, and then nothing is recorded until it does; whoever
// watches it finds that out alone.
func TestPermissionWithoutACatalogue(t *testing.T) {
	t.Parallel()
	s, may := permitted(t, squareOf(permitOf("plattan", 3, nil)))
	silentFor := func(d time.Duration) { s.current.heard.Store(int64(time.Since(s.current.began) - d)) }
	expect := func(when, want string) {
		t.Helper()
		if got := allowance(may.Allowed("k1", s.clock.Receiving())); got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	const yes, no = "record true count true plattan@3", "record false count false  our-fault"
	expect("it answers", yes)
	for name, c := range map[string]struct{ breakIt, mend string }{
		"without its tables":         {`ALTER TABLE catalogue_square RENAME TO hidden`, `ALTER TABLE hidden RENAME TO catalogue_square`},
		"of a version to come":       {`INSERT INTO catalogue_square SELECT 99, 'cameras: [{id: k1, lens: wide}]', '', 0, '' FROM catalogue_square LIMIT 1`, `DELETE FROM catalogue_square WHERE revision = 99`},
		"with a permit of that":      {`INSERT INTO catalogue_permit VALUES ('neu', 1, '{"retention": "soon"}', 0)`, `DELETE FROM catalogue_permit WHERE id = 'neu'`},
		"with a permit that is torn": {`INSERT INTO catalogue_permit VALUES ('neu', 1, '{"reten', 0)`, `DELETE FROM catalogue_permit WHERE id = 'neu'`},
	} {
		altered(t, s.layout, c.breakIt)
		if strings.Contains(c.breakIt, "catalogue_permit ") { // permits are read with a revision
			altered(t, s.layout, `UPDATE catalogue_square SET revision = revision + 1 WHERE revision = (SELECT MAX(revision) FROM catalogue_square)`)
		}
		if err := s.current.poll(t.Context()); err == nil {
			t.Errorf("%s: it can be read", name)
		}
		silentFor(believedFor - time.Second)
		expect(name+", for a while", yes)
		silentFor(believedFor + time.Millisecond)
		expect(name, no)
		altered(t, s.layout, c.mend)
		expect(name+", mended and not heard", no)
		if err := s.current.poll(t.Context()); err != nil {
			t.Errorf("%s: mended, and %v", name, err)
		}
		expect(name+", mended", yes)
	}

	altered(t, s.layout, `ALTER TABLE catalogue_square RENAME TO hidden`)
	silentFor(believedFor + time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan error, 1)
	go func() { watched <- s.watchSquare(ctx) }()
	time.Sleep(pollEvery + pollEvery/2)
	expect("it is watched, and silent", no)
	altered(t, s.layout, `ALTER TABLE hidden RENAME TO catalogue_square`)
	soon(t, "it is heard again", func() bool { return may.Allowed("k1", s.clock.Receiving()).Record })
	cancel()
	if err := <-watched; err != nil {
		t.Error(err)
	}
}

// A camera that was seen to point elsewhere is recorded no more. One that swayed comes back; one whose counter learnt another
// picture does when somebody applied another view. People are counted all along.
func TestMovedCameras(t *testing.T) {
	t.Parallel()
	const (
		ok, moved, learning, dark = camera.QualityOK, camera.QualityCameraMoved, camera.QualityLearning, camera.QualityTooDark
		lost, unknown             = camera.QualityDecoderLost, camera.QualityUnknown
	)
	text := func(version int, view string, f fields) string {
		return strings.Replace(squareOf(permitOf("plattan", version, f)), "{id: k1, ", "{id: k1, view: \""+view+"\", ", 1)
	}
	s, may := permitted(t, text(3, "", nil))
	in := &ingest{site: s}
	for name, c := range map[string]struct {
		seen    []camera.Quality
		records bool
	}{
		"nothing yet":                  {nil, true},
		"all is well":                  {[]camera.Quality{learning, ok, dark, ok, lost, unknown, learning, ok}, true},
		"it moved":                     {[]camera.Quality{ok, moved}, false},
		"it moves":                     {[]camera.Quality{ok, moved, moved, moved}, false},
		"it swayed":                    {[]camera.Quality{ok, moved, moved, ok}, true},
		"it sways":                     {[]camera.Quality{ok, moved, ok, moved, ok, moved}, false},
		"it moved in the dark":         {[]camera.Quality{ok, moved, dark}, false},
		"it swayed in the dark":        {[]camera.Quality{ok, moved, dark, ok}, true},
		"it moved and nobody looks":    {[]camera.Quality{ok, moved, unknown, lost, unknown}, false},
		"it moved, and is learnt":      {[]camera.Quality{ok, moved, learning}, false},
		"it moved, and is known":       {[]camera.Quality{ok, moved, learning, ok}, false},
		"it moved, was learnt, swayed": {[]camera.Quality{ok, moved, learning, ok, moved, ok}, false},
		"it moved right away":          {[]camera.Quality{learning, moved, ok}, true},
	} {
		in.views = newViews()
		may.views = in.views
		for _, q := range c.seen {
			in.look([]camera.Sample{{Camera: "k1", Zone: "z", Quality: q}, {Camera: "k2", Zone: "z", Quality: ok}, {Camera: "k9", Zone: "z", Quality: moved}})
		}
		want := "record true count true plattan@3"
		if !c.records {
			want = "record false count true plattan@3 mask-failed ptz"
		}
		a := may.Allowed("k1", s.clock.Receiving())
		if got := allowance(a); got != want || !c.records && !strings.Contains(a.Detail, "(view first)") {
			t.Errorf("%s: %s, %q, want %s", name, got, a.Detail, want)
		}
		if !may.Allowed("k1", s.clock.Receiving()).Count || may.views.moved("k2", "") {
			t.Errorf("%s: another camera moved, or people are not counted", name)
		}
	}

	in.views = newViews()
	may.views = in.views
	expect := func(when, want string) {
		t.Helper()
		if err := s.current.poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := allowance(may.Allowed("k1", s.clock.Receiving())); got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	apply := func(text string) {
		t.Helper()
		if _, err := applyText(t, s.layout, text); err != nil {
			t.Fatal(err)
		}
	}
	see := func(qualities ...camera.Quality) {
		for _, q := range qualities {
			in.look([]camera.Sample{{Camera: "k1", Quality: q}})
		}
	}
	see(ok, moved, learning, ok)
	apply(text(4, "", nil))
	expect("another permit, and the same view", "record false count true plattan@4 mask-failed ptz")
	apply(text(4, "2026-11", nil))
	expect("another view", "record true count true plattan@4")
	see(learning, ok)
	expect("another view, which is learnt", "record true count true plattan@4")
	see(moved, learning)
	expect("moved again", "record false count true plattan@4 mask-failed ptz")
	apply(text(5, "2026-11", fields{"ptz": "true"}))
	expect("it may be turned", "record true count true plattan@5")
	apply(text(6, "2026-11", nil))
	expect("it may no more be turned", "record false count true plattan@6 mask-failed ptz")
	apply(text(6, "", nil))
	expect("the view before", "record true count true plattan@6")

	// A recorder that comes after a crash finds the gap that was left.
	gap := func(detail, clause string, cause camera.Cause) camera.Gap {
		return camera.Gap{Camera: "k1", Cause: cause, Detail: detail, Clause: clause, Permit: "plattan@6"}
	}
	for name, c := range map[string]struct {
		open     camera.Gap
		view     string
		remember bool
	}{
		"the same view":      {gap(movedDetail("a"), policy.ClauseView, camera.MaskFailed), "a", true},
		"no view":            {gap(movedDetail(""), policy.ClauseView, camera.MaskFailed), "", true},
		"another view":       {gap(movedDetail("a"), policy.ClauseView, camera.MaskFailed), "b", false},
		"a view like it":     {gap(movedDetail("ab"), policy.ClauseView, camera.MaskFailed), "a", false},
		"masks":              {gap("the permit demands 1 masks", policy.ClauseMasks, camera.MaskFailed), "a", false},
		"something else":     {gap(movedDetail("a"), policy.ClauseView, camera.CameraDown), "a", false},
		"no gap to speak of": {camera.Gap{}, "", false},
	} {
		v := newViews()
		v.remember("k1", c.view, c.open)
		v.see("k1", c.view, ok) // that it shows something now proves nothing
		if got := v.moved("k1", c.view); got != c.remember {
			t.Errorf("%s: remembered %v, want %v", name, got, c.remember)
		}
	}
}

// What recorders saw is recalled over all that is no recording since, and only once.
func TestRecall(t *testing.T) {
	t.Parallel()
	l := installed(t)
	s := opened(t, l, nil)
	defer s.close()
	books := s.catalogue("test")
	now := time.Now().Add(-time.Minute).Truncate(time.Second)
	gaps := map[string]camera.Gap{
		"moved":   {Cause: camera.MaskFailed, Clause: policy.ClauseView, Detail: movedDetail("")},
		"other":   {Cause: camera.MaskFailed, Clause: policy.ClauseView, Detail: movedDetail("b")},
		"stopped": {Cause: camera.OurFault, Detail: "recorder stopped by its operator"}, "down": {Cause: camera.CameraDown, Detail: "timeout"},
		"hours": {Cause: camera.NotPermitted, Clause: policy.ClauseSchedule, Detail: "outside the hours"},
	}
	for n, c := range []struct {
		past string
		want bool
	}{
		{"", false}, {"clip", false}, {"stopped", false}, {"clip moved", true}, {"clip moved stopped", true}, {"moved stopped hours stopped down", true},
		{"clip moved stopped moved stopped hours", true}, {"moved clip", false}, {"moved clip stopped", false}, {"moved stopped clip hours", false}, {"clip hours stopped", false},
		{"moved stopped other stopped", false}, // another view was applied since
	} {
		cam := camera.ID(fmt.Sprintf("c%d", n))
		for _, what := range strings.Fields(c.past) {
			now = now.Add(time.Second)
			if what == "clip" {
				id := fmt.Sprintf("01CLIP%020d", now.UnixMicro())
				clip := retention.Clip{ID: id, Camera: cam, Permit: "plattan", PermitVersion: 2, Start: now, Deadline: now.Add(time.Hour),
					State: retention.Pending, KeyDay: "2026-11-20", ObjectKey: id, Codec: camera.H264, Node: "n1"}
				if err := errors.Join(books.Reserve(t.Context(), clip, []byte("h")), books.End(t.Context(), id, now.Add(time.Second), 1)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			g := gaps[what]
			g.Camera, g.From = cam, now
			if _, err := books.Interrupt(t.Context(), g); err != nil {
				t.Fatal(err)
			}
		}
		in := &ingest{site: s, views: newViews(), recalled: map[camera.ID]bool{}}
		cc := cameraConfig{ID: string(cam)}
		if err := in.recall(t.Context(), cc); err != nil {
			t.Fatal(err)
		}
		if got := in.views.moved(cam, ""); got != c.want {
			t.Errorf("after %q: recalled %v, want %v", c.past, got, c.want)
		}
		in.views = newViews() // since then it was seen to be well
		if err := in.recall(t.Context(), cc); err != nil || in.views.moved(cam, "") {
			t.Errorf("after %q: recalled twice, %v", c.past, err)
		}
	}
}

// That a camera points elsewhere outlives the recorder, however that ended, until another view is applied.
func TestMovedCameraIsRememberedOverARestart(t *testing.T) {
	t.Parallel()
	l := wired(t)
	known := map[string]bool{}
	recorder := func(what string, do func(t *testing.T, s *site, in *ingest)) {
		t.Helper()
		t.Run(what, func(t *testing.T) {
			s, in := recording(t, l, nil)
			whileTesting(t, s.watchSquare)
			do(t, s, in)
		})
	}
	halted := func(t *testing.T, s *site) bool {
		t.Helper()
		gap, open, err := s.catalogue("test").OpenGap(t.Context(), "k1")
		if err != nil {
			t.Fatal(err)
		}
		return open && gap.Cause == camera.MaskFailed && gap.Clause == policy.ClauseView
	}
	recorder("it moves", func(t *testing.T, s *site, in *ingest) {
		known[stored(t, s, known).ID] = true
		for _, q := range []camera.Quality{camera.QualityCameraMoved, camera.QualityLearning} {
			in.look([]camera.Sample{{Camera: "k1", Quality: q}})
		}
		soon(t, "recording stops", func() bool { return halted(t, s) })
	})
	recorder("after a stop", func(t *testing.T, s *site, _ *ingest) {
		soon(t, "it is remembered", func() bool { return halted(t, s) })
		time.Sleep(1500 * time.Millisecond) // a clip's length
		if !halted(t, s) {
			t.Error("it is recorded again")
		}
	})
	recorder("another view, after another stop", func(t *testing.T, s *site, in *ingest) {
		if !in.views.moved("k1", "") {
			t.Error("after two stops it is forgotten")
		}
		clips, err := s.catalogue("test").Search(t.Context(), "k1", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), 1000, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range clips {
			known[c.ID] = true
		}
		h := s.current.now()
		text, err := s.document(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(text), "- id: "+h.Cameras[0].ID+"\n", "- id: "+h.Cameras[0].ID+"\n  view: looked-at\n", 1)
		if _, err := applyText(t, l, changed); err != nil {
			t.Fatal(err)
		}
		stored(t, s, known)
	})
}
