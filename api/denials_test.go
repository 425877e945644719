package api

import (
	"context"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"klarsyn/policy"
)

// denied are the entries of denials, newest last.
func (w *world) denied() []policy.Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []policy.Entry
	for _, e := range w.entries {
		if e.Event == policy.Denied {
			found = append(found, e)
		}
	}
	return found
}

// Whoever is turned away at the door leaves a trace, and cannot flood the log with it.
func TestStrangersDenialsAreLogged(t *testing.T) {
	t.Parallel()
	html := []string{"Accept", "text/html"}
	for name, tt := range map[string]struct {
		role           policy.Role
		method, path   string
		header         []string
		status         int
		object, reason string
	}{
		"not logged in":       {"", "GET", "/api/v1/me", nil, 401, "route:GET /api/v1/me", "not-logged-in"},
		"a clip":              {"", "GET", "/api/v1/clips/" + whole, nil, 401, "route:GET /api/v1/clips/:id", "not-logged-in"},
		"a clip's page":       {"", "GET", "/clips/" + whole, html, 303, "route:GET /clips/:id", "not-logged-in"},
		"metrics":             {"", "GET", "/metrics", []string{"Via", "x"}, 401, "route:GET /metrics", "not-logged-in"},
		"from another site":   {policy.Auditor, "POST", "/api/v1/logout", []string{"Sec-Fetch-Site", "cross-site"}, 403, "route:POST /api/v1/logout", "cross-origin"},
		"another site's form": {"", "POST", "/login", []string{"Origin", "https://evil.example"}, 403, "route:POST /login", "cross-origin"},
		"to nowhere":          {"", "POST", "/secret", []string{"Origin", "https://evil.example"}, 403, "route:unmatched", "cross-origin"},
	} {
		w := newWorld(t)
		b := w.as(tt.role)
		for range 20 {
			if res := b.do(tt.method, tt.path, "", tt.header...); res.status != tt.status {
				t.Fatalf("%s: %d %s; want %d", name, res.status, res.body, tt.status)
			}
		}
		want := policy.Entry{Time: testNow, Event: policy.Denied, Actor: "unknown", Remote: "127.0.0.1", Object: tt.object, Decision: "deny", Reason: tt.reason}
		logged := w.denied()
		if len(logged) != 1 || logged[0].Details != nil || logged[0].Object != want.Object || logged[0].Reason != want.Reason ||
			logged[0].Actor != want.Actor || logged[0].Remote != want.Remote || logged[0].Decision != want.Decision {
			t.Errorf("%s: logged at once %+v, want %+v", name, logged, want)
		}
		if err := w.server.denials.Flush(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if logged = w.denied(); len(logged) != 2 || logged[1].Details["more"] != "18" {
			t.Errorf("%s: logged later %+v, want one entry for 19", name, logged)
		}
		w.server.denials = policy.NewCoalescer(w, func() time.Time { return testNow })
		w.logDown = true
		if res := b.do(tt.method, tt.path, "", tt.header...); res.status != 503 {
			t.Errorf("%s, without a log: %d", name, res.status)
		}
	}
}

// A session that is refused without end does not keep the log busy: it is made to wait, and the rest is
// told in one entry.
func TestTooManyDenialsWait(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		role policy.Role
		path string
		want int
	}{
		"clips that are not there": {policy.Investigator, "/api/v1/clips/" + missing, 404},
		"cameras out of sight":     {policy.Investigator, "/api/v1/clips?camera=k9&from=2026-11-23T13:00:00Z", 404},
		"the log":                  {policy.Operator, "/api/v1/audit", 403},
		"metrics":                  {policy.Auditor, "/metrics", 403},
		"looks without a case":     {policy.Investigator, mediaOf(whole), 403},
		"footage in another page":  {policy.Investigator, mediaOf(whole), 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			now := testNow
			w.cfg.Now = func() time.Time { return now }
			w.start()
			b, other := w.as(tt.role), w.as(tt.role)
			header := []string{"Via", "x"}
			if name == "footage in another page" {
				header = append(header, "Sec-Fetch-Site", "same-site")
			}
			for i := range 100 {
				res := b.get(tt.path, header...)
				want := tt.want
				if i >= 30 {
					want = 429
				}
				if res.status != want {
					t.Fatalf("refusal %d: %d %s; want %d", i+1, res.status, res.body, want)
				}
				if p := res.problem(t); want == 429 && (p.Type != problemType+"too-many-denials" || res.header.Get("Retry-After") != "2") {
					t.Fatalf("refusal %d: %+v, Retry-After %q", i+1, p, res.header.Get("Retry-After"))
				}
			}
			if n := len(w.denied()); n != 31 {
				t.Errorf("%d entries for 100 refusals, want 31 at once", n)
			}
			if err := w.server.denials.Flush(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			told := 0
			for _, e := range w.denied() {
				more, _ := strconv.Atoi(e.Details["more"])
				told += 1 + more
				if e.Actor != string(tt.role) || e.Session == "" {
					t.Errorf("logged %+v", e)
				}
			}
			if n := len(w.denied()); n != 32 || told != 100 {
				t.Errorf("%d entries tell of %d refusals, want 32 of 100", n, told)
			}
			if res := b.get("/api/v1/me"); res.status != 200 {
				t.Errorf("what nobody refuses: %d", res.status)
			}
			if res := other.get(tt.path, header...); res.status != tt.want {
				t.Errorf("another session: %d", res.status)
			}
			now = now.Add(2 * time.Second)
			if res := b.get(tt.path, header...); res.status != tt.want {
				t.Errorf("two seconds later: %d", res.status)
			}
		})
	}
}

// Looks that are allowed cost nothing of it; when it is used up, looks wait like the rest, and a page says so.
func TestAllowanceIsForDenials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.Investigator)
	for range 50 {
		if res := b.get(mediaOf(whole)+"?purpose=crime-investigation&case=K1", "Range", "bytes=0-1"); res.status != 206 {
			t.Fatalf("a look: %d %s", res.status, res.body)
		}
	}
	for range 30 {
		b.get(mediaOf(whole))
	}
	if res := b.get(mediaOf(whole) + "?purpose=crime-investigation&case=K1"); res.status != 429 {
		t.Errorf("a look when too much was denied: %d", res.status)
	}
	form := []string{"Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html"}
	res := b.do("POST", "/clips/"+whole+"/look", "purpose=accident-inquiry&case=K7", form...)
	if at := res.header.Get("Location"); at != "/clips/"+whole+"?note=wait" {
		t.Fatalf("the form: %d to %q", res.status, at)
	}
	if page := b.get(res.header.Get("Location"), form[2:]...); !strings.Contains(string(page.body), english().TooManyTries) {
		t.Errorf("the page does not say to wait: %s", page.body)
	}
	if page := b.get("/clips/"+missing, form[2:]...); page.status != 429 || !strings.Contains(string(page.body), english().TooManyTries) {
		t.Errorf("a missing clip's page: %d %s", page.status, page.body)
	}
}

func TestAllowanceIsBounded(t *testing.T) {
	t.Parallel()
	a := newAllowance()
	now := testNow
	for i := range 3 * maxAllowances {
		now = now.Add(denialEvery)
		a.take(strconv.Itoa(i), now)
	}
	if n := len(a.left); n > maxAllowances {
		t.Errorf("%d sessions are remembered, want at most %d", n, maxAllowances)
	}
}

// A page of a sister site that embeds a clip would open a viewing in the name of whoever looks at that page.
func TestFootageIsNotEmbeddedElsewhere(t *testing.T) {
	t.Parallel()
	for site, want := range map[string]int{"": 200, "same-origin": 200, "none": 200, "same-site": 403, "cross-site": 403, "x": 403} {
		for _, method := range []string{"GET", "HEAD"} {
			w := newWorld(t)
			b := w.as(policy.Investigator)
			res := b.do(method, mediaOf(whole), "", purposeHeader, "crime-investigation", caseHeader, "K1", "Sec-Fetch-Site", site)
			if res.status != want {
				t.Errorf("%s %q: %d; want %d", method, site, res.status, want)
			}
			if opened := w.logged(policy.ViewingOpened); (opened == 1) != (want == 200) {
				t.Errorf("%s %q: %d viewings were opened", method, site, opened)
			}
			if want == 200 {
				continue
			}
			if logged := w.denied(); len(logged) != 1 || logged[0].Object != "clip:"+whole || logged[0].Reason != "cross-origin" || logged[0].Actor != "investigator" {
				t.Errorf("%s %q: logged %+v", method, site, logged)
			}
			if method == "GET" && res.problem(t).Type != problemType+"cross-origin" {
				t.Errorf("%s %q: %s", method, site, res.body)
			}
		}
	}
}

// A person gets a page, also when it is the door that fails.
func TestDoorFailsInWords(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*world){
		"sessions": func(w *world) { w.cfg.Sessions.(*memorySessions).down = true },
		"accounts": func(w *world) { w.dbDown = true },
	} {
		w := newWorld(t)
		b := w.as(policy.Investigator)
		fail(w)
		for accept, want := range map[string]string{"text/html": "text/html; charset=utf-8", "application/json": problemMedia} {
			res := b.get("/", "Accept", accept)
			if res.status != 503 || res.header.Get("Content-Type") != want || res.header.Get("Retry-After") == "" {
				t.Errorf("%s, %s: %d %v", name, accept, res.status, res.header)
			}
		}
	}
}

// A viewing that is open already does not make up for a log that is down.
func TestNextRangeWithoutTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.Investigator)
	path := mediaOf(whole) + "?purpose=crime-investigation&case=K1"
	if res := b.get(path, "Range", "bytes=0-9"); res.status != 206 {
		t.Fatalf("first range: %d", res.status)
	}
	w.mu.Lock()
	w.logDown = true
	w.mu.Unlock()
	if res := b.get(path, "Range", "bytes=10-19"); res.status != 503 || res.problem(t).Type != problemType+"log-unavailable" {
		t.Errorf("next range: %d %s", res.status, res.body)
	}
	if len(w.served) != 1 {
		t.Errorf("%d responses were noted, want the first", len(w.served))
	}
}

// Two requests of one session at the same time: the slower one, which read the session before a look was
// stated, does not undo the statement.
func TestLookOutlivesASlowRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := testNow
	w.cfg.Now = func() time.Time { return now }
	w.start()
	b := w.as(policy.Investigator)
	now = now.Add(70 * time.Second) // so that the next request moves the idle timeout
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	w.cfg.Sessions.(*memorySessions).before = func() {
		faster := *b
		if res := faster.do("POST", "/clips/"+whole+"/look", "purpose=accident-inquiry&case=K7", form...); res.header.Get("Location") != "/clips/"+whole {
			t.Errorf("the form: %d to %s", res.status, res.header.Get("Location"))
		}
	}
	if res := b.get("/api/v1/me"); res.status != 200 {
		t.Fatalf("the slow request: %d", res.status)
	}
	if w.logged(policy.ViewingOpened) != 1 {
		t.Fatal("the form was not sent meanwhile")
	}
	if res := b.get(mediaOf(whole), "Range", "bytes=0-9"); res.status != 206 {
		t.Errorf("the player's request: %d %s", res.status, res.body)
	}
	stranger := w.as(policy.Investigator)
	if res := stranger.get(mediaOf(whole)); res.status != 403 {
		t.Errorf("another session of the same account: %d; want 403", res.status)
	}
	if res := b.do("POST", "/api/v1/logout", ""); res.status != 204 {
		t.Fatalf("logout: %d", res.status)
	}
	again := httptest.NewRequest("GET", mediaOf(whole), nil)
	again.Header.Set("Cookie", b.cookie)
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, again)
	if rec.Code != 401 {
		t.Errorf("after logout: %d", rec.Code)
	}
}

// What could not be counted before a stop is written by it.
func TestServeWritesWhatItCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := listenLocal(t)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- w.server.Serve(ctx, l) }()
	b := w.as("")
	for range 5 {
		b.get("/api/v1/me") // by the test's own listener: it is one server
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if logged := w.denied(); len(logged) != 2 || logged[1].Details["more"] != "3" {
		t.Errorf("logged %+v, want one at once and one for four", logged)
	}
}
