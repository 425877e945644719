package api

import (
	"encoding/json"
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

// What is wrong with a question stands by its field, and nothing is read.
func TestAWrongQuestionToTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.Auditor)
	before := w.logged(policy.LogRead)
	for question, field := range map[string]string{
		"object=k1": "wrong-object", "event=nonsense": "wrong-event", "event=clip-deleted&action=collection": "wrong-event",
		"from=yesterday": "wrong-end", "from=2026-11-23T14:00&to=2026-11-23T13:00": "wrong-end",
	} {
		body := string(b.get("/log?"+question, "Accept", "text/html", "Accept-Language", "en").body)
		if !strings.Contains(body, `aria-invalid="true" aria-describedby="`+field+`"`) || !strings.Contains(body, `id="`+field+`"`) {
			t.Errorf("%s: the page does not say what is wrong by its field", question)
		}
	}
	if n := w.logged(policy.LogRead); n != before {
		t.Errorf("the log was read %d times", n-before)
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
