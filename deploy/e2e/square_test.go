package e2e

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
)

// TestSquare is the whole of it once: a square is recorded, counted, looked at and forgotten.
func TestSquare(t *testing.T) {
	t.Parallel()
	s := startDemo(t, t.TempDir(), "--clip", "4s", "--retention", "25s", "--tour=false")
	investigator, viewer, auditor := s.as(t, "investigator"), s.as(t, "dashboard-viewer"), s.as(t, "auditor")
	stranger := newVisitor(t, s.URL)

	c := investigator.stored("k1", 60*time.Second)
	lookAt(t, c, stranger, investigator, viewer, auditor)
	countsAreServed(t, auditor, viewer)
	descriptionsAreServed(t, stranger, investigator)
	forgotten(t, c, investigator, viewer, auditor)
	logged(t, c, auditor)
	for _, id := range cameras {
		testenv.Eventually(t, 60*time.Second, "two clips of camera "+id+" are deleted", func() bool { return len(deletions(auditor, id, c.From)) >= 2 })
	}
	// When everything above was waited for, however long that took: no figure below depends on the machine's pace.
	if code := s.Stop(t, time.Minute); code != 0 {
		t.Fatalf("the demo ended with %d", code)
	}
	sum := summaryOf(t, s)
	for name, ok := range map[string]bool{
		"cameras":          sum["cameras"] == 3,
		"clips_committed":  sum["clips_committed"] > sum["clips_deleted"],
		"clips_deleted":    sum["clips_deleted"] >= 6,
		"overdue":          sum["overdue"] == 0,
		"max_delete_lag_s": sum["max_delete_lag_s"] > 0 && sum["max_delete_lag_s"] <= 10,
		"samples":          sum["samples"] > 0,
		"count_mae":        sum["count_mae"] > 0 && sum["count_mae"] < 10,
		"gaps":             sum["gaps"] == 0,
		"reads_granted":    sum["reads_granted"] == 1,
		"reads_denied":     sum["reads_denied"] >= 3,
		"audit_size":       sum["audit_size"] > 50,
		"fsck_violations":  sum["fsck_violations"] == 0,
	} {
		if !ok {
			t.Errorf("summary: %s is %v", name, sum[name])
		}
	}
	clean(t, fsck(t, s.data))
}

// A demo that was told how long to run ends by itself, in order.
func TestDemoEndsByItself(t *testing.T) {
	t.Parallel()
	s := startDemo(t, t.TempDir(), "--for", "8s", "--clip", "2s", "--retention", "10s", "--tour=false")
	if code := s.Wait(t, 2*time.Minute); code != 0 {
		t.Fatalf("the demo ended with %d", code)
	}
	if sum := summaryOf(t, s); sum["seconds"] < 8 || sum["overdue"] != 0 || sum["fsck_violations"] != 0 {
		t.Errorf("summary: %v", sum)
	}
}

// lookAt tries every way to footage, the right one last.
func lookAt(t *testing.T, c clip, stranger, investigator, viewer, auditor *visitor) {
	t.Helper()
	media := "/api/v1/clips/" + c.ID + "/media"
	for what, a := range map[string]struct {
		answer
		want int
	}{
		"a stranger":                        {stranger.look(c.ID), http.StatusUnauthorized},
		"a dashboard viewer":                {viewer.look(c.ID), http.StatusNotFound},
		"a dashboard viewer, a missing one": {viewer.look("01ARZ3NDEKTSV4RRFFQ69G5FAV"), http.StatusNotFound},
		"an auditor":                        {auditor.look(c.ID), http.StatusForbidden},
		"no purpose":                        {investigator.get(media, url.Values{"case": {"0105-K1-26"}}), http.StatusForbidden},
		"no case":                           {investigator.get(media, url.Values{"purpose": {"crime-investigation"}}), http.StatusForbidden},
		"a purpose that the permit lacks":   {investigator.get(media, url.Values{"purpose": {"curiosity"}, "case": {"0105-K1-26"}}), http.StatusForbidden},
	} {
		if a.status != a.want {
			t.Errorf("%s: %d, want %d: %s", what, a.status, a.want, a.body)
		}
		if got := a.header.Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("%s: the problem comes as %q", what, got)
		}
		if bytes.Contains(a.body, []byte(canary)) {
			t.Errorf("%s: footage came with the refusal", what)
		}
	}
	whole := investigator.look(c.ID)
	if whole.status != http.StatusOK {
		t.Fatalf("the look was refused: %d %s", whole.status, whole.body)
	}
	if !bytes.Contains(whole.body, []byte(canary)) {
		t.Error("the footage does not carry the canary: searching for plaintext would find nothing")
	}
	if p := decode(t, whole.body); p.frames != c.Frames || p.frames < 30 {
		t.Errorf("ffprobe decodes %d frames, the catalogue says %d", p.frames, c.Frames)
	}
	if got := whole.header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
		t.Errorf("footage may be cached: %q", got)
	}
	part := investigator.look(c.ID, "Range", "bytes=1000-70999")
	if part.status != http.StatusPartialContent || !bytes.Equal(part.body, whole.body[1000:71000]) {
		t.Errorf("a range came as %d with %d bytes", part.status, len(part.body))
	}
	if beyond := investigator.look(c.ID, "Range", "bytes=99999999-"); beyond.status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("a range beyond the end: %d", beyond.status)
	}
}

// sample is a row of /occupancy.
type sample struct {
	Camera, Zone, Quality string
	Method                string
	Time                  time.Time
	Present, Low, High    *float64
	Suppressed            bool
}

// countsAreServed waits until a zone is known, and sees that small counts are not for everybody.
func countsAreServed(t *testing.T, auditor, viewer *visitor) {
	t.Helper()
	var known sample
	testenv.Eventually(t, 60*time.Second, "people are counted", func() bool {
		for _, m := range samples(auditor, "k1") {
			if m.Quality == "ok" && m.Present != nil {
				known = m
				return *m.Low <= *m.Present && *m.Present <= *m.High
			}
		}
		return false
	})
	for _, m := range samples(auditor, "k1") {
		if m.Quality != "ok" && m.Present != nil {
			t.Errorf("a count of quality %s has a number", m.Quality)
		}
	}
	for _, m := range samples(viewer, "k1") {
		if m.Present != nil && *m.Present < 5 {
			t.Errorf("a dashboard shows %g people", *m.Present)
		}
	}
	if known.Time.IsZero() {
		t.Error("the count has no time")
	}
}

func samples(v *visitor, camera string) []sample {
	v.t.Helper()
	var page struct{ Samples []sample }
	v.read("/api/v1/occupancy", url.Values{"camera": {camera}, "from": {time.Now().Add(-10 * time.Minute).Format(time.RFC3339)}}, &page)
	return page.Samples
}

// descriptionsAreServed sees what machines ask for.
func descriptionsAreServed(t *testing.T, stranger, investigator *visitor) {
	t.Helper()
	for path, want := range map[string][]string{
		"/healthz":      nil,
		"/readyz":       nil,
		"/openapi.json": {`"3.1.`, "/api/v1/clips/{id}/media", "/api/v1/occupancy", "/api/v1/deletions", "/api/v1/audit"},
		"/metrics": {"klarsyn_frames_total", "klarsyn_gaps_total", "klarsyn_clips_committed_total", "klarsyn_clip_bytes_total", "klarsyn_samples_total",
			"klarsyn_vision_restarts_total", "klarsyn_retention_oldest_overdue_seconds", "klarsyn_audit_entries"},
		"/": {"<html", "lang="},
	} {
		a := stranger.get(path, nil)
		if a.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
		for _, w := range want {
			if !bytes.Contains(a.body, []byte(w)) {
				t.Errorf("%s lacks %q", path, w)
			}
		}
	}
	for _, path := range []string{"/api/v1/clips", "/api/v1/occupancy"} {
		if a := investigator.get(path, url.Values{"camera": {"k1"}}); a.status != http.StatusOK || len(a.body) < 200 {
			t.Errorf("%s of a camera without a time: %d %s", path, a.status, a.body)
		}
	}
	var list struct {
		Cameras []struct{ ID string }
	}
	investigator.read("/api/v1/cameras", nil, &list)
	if len(list.Cameras) != 3 {
		t.Errorf("%d cameras are listed", len(list.Cameras))
	}
	if page := investigator.get("/", nil); page.status != http.StatusOK || !bytes.Contains(page.body, []byte("k1")) {
		t.Errorf("the page of somebody who is logged in: %d", page.status)
	}
}

// forgotten waits for the clip's deadline: gone for those who may search, never there for the others.
func forgotten(t *testing.T, c clip, investigator, viewer, auditor *visitor) {
	t.Helper()
	testenv.Eventually(t, time.Until(c.Deadline)+10*time.Second, "the clip is gone", func() bool {
		return investigator.gone(c.ID)
	})
	if got := viewer.look(c.ID).status; got != http.StatusNotFound {
		t.Errorf("a dashboard viewer learns that the clip was there: %d", got)
	}
	var found deletion
	testenv.Eventually(t, 15*time.Second, "the deletion is listed", func() bool {
		listed := deletions(auditor, "k1", c.From)
		i := slices.IndexFunc(listed, func(d deletion) bool { return d.Clip == c.ID })
		if i >= 0 {
			found = listed[i]
		}
		return i >= 0
	})
	if lag := found.DeletedAt.Sub(found.Deadline); lag < 0 || lag > 10*time.Second || found.Listed != 0 {
		t.Errorf("deleted %s after the deadline, %d traces left", lag, found.Listed)
	}
}

// deletion is a row of /deletions.
type deletion struct {
	Clip      string
	Deadline  time.Time
	DeletedAt time.Time `json:"deleted_at"`
	Listed    int
}

func deletions(v *visitor, camera string, from time.Time) []deletion {
	v.t.Helper()
	var page struct{ Deletions []deletion }
	v.read("/api/v1/deletions", url.Values{"camera": {camera}, "from": {from.Add(-time.Minute).Format(time.RFC3339)}}, &page)
	return page.Deletions
}

// logged sees the look and the refusals in the log, and that reading it is logged, too.
func logged(t *testing.T, c clip, auditor *visitor) {
	t.Helper()
	events := func(event string) int {
		var page struct {
			Entries []struct {
				Entry struct{ Event, Actor, Object, Case, Purpose string }
			}
		}
		auditor.read("/api/v1/audit", url.Values{"event": {event}, "limit": {"200"}}, &page)
		n := 0
		for _, row := range page.Entries {
			e := row.Entry
			if strings.Contains(e.Object, c.ID) || event == "log-read" {
				n++
			}
			if event == "viewing-opened" && (e.Actor != "utredare" || e.Case != "0105-K1-26" || e.Purpose != "crime-investigation") {
				t.Errorf("the viewing is logged as %+v", e)
			}
		}
		return n
	}
	testenv.Eventually(t, 10*time.Second, "the log has the one viewing, the denials and its own reading", func() bool {
		return events("viewing-opened") == 1 && events("denied") >= 3 && events("clip-deleted") == 1 && events("log-read") >= 1
	})
}
