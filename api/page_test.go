package api

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
)

func TestLanguagesHaveTheSameWords(t *testing.T) {
	t.Parallel()
	sv, en := reflect.ValueOf(swedish()), reflect.ValueOf(english())
	for _, f := range reflect.VisibleFields(sv.Type()) {
		if sv.FieldByIndex(f.Index).IsZero() {
			t.Errorf("Swedish lacks %s", f.Name)
		}
		if en.FieldByIndex(f.Index).IsZero() {
			t.Errorf("English lacks %s", f.Name)
		}
	}
	for _, q := range camera.Qualities() {
		if q != camera.QualityOK && (swedish().Qualities[q] == "" || english().Qualities[q] == "") {
			t.Errorf("a language lacks the quality %s", q)
		}
	}
}

// Every value that the page can meet has words of its own.
func TestEveryValueHasWords(t *testing.T) {
	t.Parallel()
	for _, w := range []words{swedish(), english()} {
		seen := map[string]bool{}
		for _, st := range []retention.State{retention.Pending, retention.Committed, retention.Partial, retention.Lost, retention.Deleting, retention.Deleted} {
			seen["state "+w.state(st)] = true
		}
		for _, r := range policy.Roles() {
			seen["role "+w.role(r)] = true
		}
		for _, c := range []camera.Cause{camera.NotPermitted, camera.Suspended, camera.MaskFailed, camera.CameraDown, camera.OurFault, camera.StorageFull} {
			seen["cause "+w.cause(c)] = true
		}
		for _, s := range []policy.PermitState{policy.Draft, policy.Active, policy.Suspended, policy.Superseded, policy.Expired, policy.Revoked, policy.Ended} {
			seen["permit "+w.permitState(s)] = true
		}
		if want := 6 + len(policy.Roles()) + 6 + 7; len(seen) != want {
			t.Errorf("%s: %d different words for %d values: %v", w.Lang, len(seen), want, seen)
		}
		for _, p := range []string{policy.CrimeInvestigation, policy.CrimePrevention, policy.PublicOrder, policy.AccidentInquiry, policy.MissingPerson} {
			if w.purpose(p) == p {
				t.Errorf("%s has no words for the purpose %s", w.Lang, p)
			}
		}
		said := map[string]policy.Event{}
		for _, e := range policy.Events() {
			text := w.event(e)
			if text == string(e) {
				t.Errorf("%s has no words for the event %s", w.Lang, e)
			}
			if other, twice := said[text]; twice {
				t.Errorf("%s says %q of both %s and %s", w.Lang, text, e, other)
			}
			said[text] = e
		}
	}
}

func TestPreferredLanguage(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"": "en", "sv": "sv", "sv-SE,sv;q=0.9,en;q=0.8": "sv", "en-GB,en;q=0.9,sv;q=0.8": "en",
		"de,sv;q=0.5": "sv", "fi,da": "en", "sv;q=0": "en", "sv;q=NaN": "en", "sv;q=x,en;q=0.1": "en", "*": "en",
	} {
		if got := preferred(header); got != want {
			t.Errorf("preferred(%q) = %s; want %s", header, got, want)
		}
	}
}

func TestPageShowsEachRoleItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tests := []struct {
		role      policy.Role
		has, lack []string
	}{
		{"", []string{`action="/login"`}, []string{`id="live"`, "Plattan"}},
		{policy.Investigator, []string{`id="live"`, "118 ± 15", "3 ± 2", "/clips/" + whole, "spelar in"}, []string{`id="deletions"`, `id="audit"`, "/register", "Dold"}},
		{policy.DashboardViewer, []string{"färre än 5", "118 ± 14", "okänt"}, []string{"/clips/", "3 ± 2", `id="deletions"`, `id="audit"`, "/register"}},
		{policy.Auditor, []string{"/clips/" + whole, `id="deletions"`, "2,0 s", `id="audit"`, "logged-in-not", `href="/register"`}, nil},
		{policy.Operator, []string{`id="live"`, `href="/register"`}, []string{"/clips/", `id="deletions"`, `id="audit"`}},
		{policy.ComplianceOfficer, []string{"/clips/" + whole, `id="deletions"`, `href="/register"`, "Visa förteckningen"}, []string{`id="audit"`, "Dold"}},
	}
	tests[3].has[4] = swedish().event(policy.LogRead)
	for _, tt := range tests {
		res := w.as(tt.role).get("/", "Accept-Language", "sv", "Accept", "text/html")
		body := string(res.body)
		if !strings.Contains(body, `<html lang="sv">`) || strings.Contains(body, "{{") {
			t.Errorf("%q: not a Swedish page: %.200s", tt.role, body)
		}
		for _, s := range tt.has {
			if !strings.Contains(body, s) {
				t.Errorf("%q: the page lacks %q", tt.role, s)
			}
		}
		for _, s := range tt.lack {
			if strings.Contains(body, s) {
				t.Errorf("%q: the page has %q", tt.role, s)
			}
		}
		csp := res.header.Get("Content-Security-Policy")
		if strings.Contains(csp, "unsafe") || strings.Contains(body, "style=") || strings.Contains(body, "<script>") || strings.Contains(body, "onclick") {
			t.Errorf("%q: inline code or style, or a policy that allows it: %s", tt.role, csp)
		}
	}
}

func TestPageLanguageIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as("")
	res := b.get("/?lang=en", "Accept-Language", "sv")
	if !strings.Contains(string(res.body), `lang="en"`) || !strings.Contains(res.header.Get("Set-Cookie"), "klarsyn_lang=en") {
		t.Fatalf("asked for English: %v", res.header)
	}
	b.cookie = "klarsyn_lang=en"
	if res := b.get("/", "Accept-Language", "sv"); !strings.Contains(string(res.body), `<html lang="en">`) {
		t.Error("the choice was not kept")
	}
}

func TestLoginForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	b := w.as("")
	if res := b.do("POST", "/login", "user=auditor&password=wrong", form...); res.header.Get("Location") != "/?note=wrong" {
		t.Errorf("wrong password: %d to %s", res.status, res.header.Get("Location"))
	}
	if res := b.get("/?note=wrong"); !strings.Contains(string(res.body), `role="alert"`) {
		t.Error("a wrong password is not told")
	}
	if res := b.get("/?note=%3Cscript%3E"); strings.Contains(string(res.body), `role="alert"`) {
		t.Error("the page shows what an address says")
	}
	w.logDown = true
	if res := b.do("POST", "/login", "user=auditor&password=pw", form...); res.header.Get("Location") != "/?note=unavailable" {
		t.Errorf("log down: %d to %s", res.status, res.header.Get("Location"))
	}
	w.logDown = false
	if res := b.do("POST", "/login", "user=auditor&password=pw", form...); res.status != http.StatusSeeOther || res.header.Get("Location") != "/" {
		t.Errorf("right password: %d to %s", res.status, res.header.Get("Location"))
	}
	if res := b.do("POST", "/logout", "", form...); res.status != http.StatusSeeOther || w.logged(policy.LoggedOut) != 1 {
		t.Errorf("logout: %d", res.status)
	}
	if res := b.get("/clips/"+whole, "Accept", "text/html"); res.status != http.StatusSeeOther || res.header.Get("Location") != "/" {
		t.Errorf("a stranger's browser on a clip: %d; want the login form", res.status)
	}
	w.tries = 100
	if res := b.do("POST", "/login", "user=auditor&password=pw", form...); res.header.Get("Location") != "/?note=wait" {
		t.Errorf("too many tries: %s", res.header.Get("Location"))
	}
}

func TestWallTime(t *testing.T) {
	t.Parallel()
	p, err := newPage()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ in, earlier, later string }{
		{"2026-11-23T14:03:20", "2026-11-23T13:03:20Z", "2026-11-23T13:03:20Z"},
		{"2026-07-01T00:00", "2026-06-30T22:00:00Z", "2026-06-30T22:00:00Z"},
		{"2026-10-25T02:30", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"}, // shown twice
		{"2026-03-29T02:30", "2026-03-29T01:30:00Z", "2026-03-29T01:30:00Z"}, // skipped
		{"2026-10-25T01:59:59", "2026-10-24T23:59:59Z", "2026-10-24T23:59:59Z"},
		{"2026-10-25T03:00", "2026-10-25T02:00:00Z", "2026-10-25T02:00:00Z"},
	} {
		a, b, err := p.wallTime(tt.in)
		if err != nil || a.Format(time.RFC3339) != tt.earlier || b.Format(time.RFC3339) != tt.later {
			t.Errorf("wallTime(%s) = %s, %s, %v; want %s, %s", tt.in, a.Format(time.RFC3339), b.Format(time.RFC3339), err, tt.earlier, tt.later)
		}
	}
}

// What a case needs beyond its deadline says so, in place of a deadline that has passed.
func TestPageSaysWhatIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.held = map[string]retention.Hold{newHold: {ID: newHold, Clips: []retention.HeldClip{{Clip: overdue}}}}
	page := string(w.as(policy.Investigator).do("GET", "/clips/"+overdue, "").body)
	if !strings.Contains(page, "held for a case") || !strings.Contains(page, `name="purpose"`) || strings.Contains(page, "time is up") {
		t.Errorf("the page says\n%s", page)
	}
}
