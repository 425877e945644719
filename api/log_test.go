package api

import (
	"encoding/json"
	"maps"
	"net/url"
	"strings"
	"testing"

	"klarsyn/policy"
)

// The log is searched by everything that an auditor may ask, and each question is itself in the log.
func TestLogIsSearched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.Auditor)
	w.mu.Lock()
	for _, e := range []policy.Entry{
		policy.ServiceStartedEntry("service:serve"),
		policy.CameraStartedEntry("service:ingest", "k1", policy.PermitRef{ID: "plattan", Version: 1}),
		policy.CameraStartedEntry("service:ingest", "k2", policy.PermitRef{ID: "plattan", Version: 1}),
	} {
		e.Time = testNow
		w.entries = append(w.entries, e)
	}
	w.mu.Unlock()
	for question, want := range map[string]int{
		"event=camera-started": 2, "event=camera-started&object=camera:k1": 1, "action=collection": 2, "action=erasure": 0,
		"actor=service:serve": 1, "object=camera:k2": 1, "from=2030-01-01T00:00:00Z": 0, "to=2020-01-01T00:00:00Z": 0, "case=K-9": 0,
	} {
		var page struct{ Entries []auditBody }
		if err := json.Unmarshal(b.get("/api/v1/audit?"+question).body, &page); err != nil {
			t.Fatal(err)
		}
		if len(page.Entries) != want {
			t.Errorf("%s: %d entries, want %d", question, len(page.Entries), want)
		}
		body := string(b.get("/log?"+strings.ReplaceAll(question, "Z", ""), "Accept", "text/html", "Accept-Language", "sv").body)
		if got := strings.Count(body, "<th scope=\"row\">"); got != want {
			t.Errorf("%s: the page shows %d entries, want %d", question, got, want)
		}
		if want == 0 && !strings.Contains(body, "Ingen post svarar mot urvalet") {
			t.Errorf("%s: the page does not say that nothing was found", question)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := 0
	for _, e := range w.entries {
		if e.Event == policy.LogRead && e.Details["object"] == "camera:k1" && e.Details["event"] == "camera-started" {
			asked++
		}
	}
	if asked != 2 {
		t.Errorf("the question is %d times in the log, want 2", asked)
	}
}

// What is wrong with a question stands by its field, nothing is read, and nothing is said to be missing: a question
// that was understood in part would be answered with entries that it did not ask for.
func TestAWrongQuestionToTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.Auditor)
	before := w.logged(policy.LogRead)
	for question, field := range map[string]string{
		"object=k1": "object", "event=nonsense": "event", "event=clip-deleted&action=collection": "action", "action=nonsense": "action",
		"from=yesterday": "from", "to=2026-13-01T00:00": "to", "from=2026-11-23T14:00&to=2026-11-23T13:00": "to",
		"actor=" + strings.Repeat("a", 101): "actor", "object=clip:" + strings.Repeat("x", 200): "object", "case=" + strings.Repeat("9", 101): "case",
		"event=" + strings.Repeat("e", 64): "event", "from=" + strings.Repeat("2", 33): "from",
	} {
		body := string(b.get("/log?"+question, "Accept", "text/html", "Accept-Language", "sv").body)
		if !strings.Contains(body, `aria-invalid="true" aria-describedby="wrong-`+field+`"`) || !strings.Contains(body, `id="wrong-`+field+`"`) {
			t.Errorf("%.60s: the page does not say what is wrong by its field", question)
		}
		if n := strings.Count(body, "aria-invalid"); n != 1 {
			t.Errorf("%.60s: %d fields are said to be wrong, want 1", question, n)
		}
		if strings.Contains(body, `<th scope="row">`) || strings.Contains(body, swedish().NothingAsked) || strings.Contains(body, swedish().NothingLogged) {
			t.Errorf("%.60s: the page answers a question that it did not ask", question)
		}
	}
	for _, after := range []string{"x", "0", "-1", "99999999999999999999"} { // no field of the form, so nothing to stand by
		body := string(b.get("/log?after="+after, "Accept", "text/html", "Accept-Language", "sv").body)
		if !strings.Contains(body, swedish().BadAfter) || strings.Contains(body, `<th scope="row">`) {
			t.Errorf("after=%s: the page shows entries, or does not say what is wrong", after)
		}
	}
	if n := w.logged(policy.LogRead); n != before {
		t.Errorf("the log was read %d times", n-before)
	}
	var p Problem
	if err := json.Unmarshal(b.get("/api/v1/audit?event=nonsense&action=collection").body, &p); err != nil || len(p.Errors) != 1 || p.Errors[0].Location != "query.event" {
		t.Errorf("an unknown event beside an action: %+v, %v; want one error, of the event", p.Errors, err)
	}
}

// The entry of a reading holds the whole question: two that differ must not look the same in the log.
func TestAQuestionIsLoggedWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.Auditor)
	want := map[string]string{
		"before": "9", "limit": "7", "event": "clip-deleted", "action": "erasure", "actor": strings.Repeat("å", 100), "object": "clip:" + strings.Repeat("x", 195),
		"case": strings.Repeat("9", 100), "since": "2026-11-23T13:00:00Z", "until": "2026-11-23T14:00:00Z",
	}
	q := url.Values{
		"after": {want["before"]}, "limit": {want["limit"]}, "from": {want["since"]}, "to": {want["until"]},
		"event": {want["event"]}, "action": {want["action"]}, "actor": {want["actor"]}, "object": {want["object"]}, "case": {want["case"]},
	}
	if res := b.get("/api/v1/audit?" + q.Encode()); res.status != 200 {
		t.Fatalf("%d %s", res.status, res.body)
	}
	q.Del("limit")
	q.Set("from", "2026-11-23T14:00")
	q.Set("to", "2026-11-23T15:00:00.000") // as some browsers write it
	body := string(b.get("/log?"+q.Encode(), "Accept", "text/html", "Accept-Language", "sv").body)
	for _, said := range []string{"Ingen post svarar mot urvalet", want["actor"], want["object"], want["case"], "inspelning gallrad", "radering", "2026-11-23 15:00:00 &#43;01:00", "Äldre än post"} {
		if !strings.Contains(body, said) {
			t.Errorf("what was asked for in vain is not named: the page lacks %q", said)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	read := w.entries[len(w.entries)-2:]
	for i, limit := range []string{"7", "100"} {
		want["limit"] = limit
		if read[i].Event != policy.LogRead || !maps.Equal(read[i].Details, want) {
			t.Errorf("entry %d: %s %v\nwant %v", i, read[i].Event, read[i].Details, want)
		}
	}
}

// The address is the page's state: the other language shows the same.
func TestAnotherLanguageKeepsTheQuestion(t *testing.T) {
	t.Parallel()
	b := newWorld(t).as(policy.Auditor)
	body := string(b.get("/log?actor=anna&lang=sv", "Accept", "text/html").body)
	if !strings.Contains(body, `href="?actor=anna&amp;lang=en"`) {
		t.Error("the link to English forgets what was asked")
	}
}

// The page tells how far the log is and who has seen it.
func TestStateOfTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := string(w.as(policy.Auditor).get("/log", "Accept", "text/html", "Accept-Language", "sv").body)
	for _, want := range []string{"klarsyn/test", "cm9vdA==", "witness.example/w1", "har sett till och med post", "har aldrig hörts av"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}
