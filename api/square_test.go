package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"klarsyn/policy"
	"klarsyn/retention"
)

const (
	applyPath    = "/api/v1/square"
	simulatePath = "/api/v1/permits/simulate"
)

func timelineOf(camera string) string {
	return "/api/v1/cameras/" + camera + "/timeline?from=2026-11-23T12:00:00Z"
}

// Each role changes what it is there for, nobody changes accounts from here, and half a description is never applied.
func TestWhoMayApplyWhat(t *testing.T) {
	t.Parallel()
	const forbidden, usersLocal = "forbidden", "users-local"
	for name, tt := range map[string]struct {
		role policy.Role
		text string
		kind string // of the problem; empty: it is applied
	}{
		"compliance officer, a permit":             {policy.ComplianceOfficer, "permit plattan@3 activated", ""},
		"compliance officer, a group":              {policy.ComplianceOfficer, "group inre changed", ""},
		"compliance officer, permit and group":     {policy.ComplianceOfficer, "group inre changed\npermit plattan@3 activated", ""},
		"compliance officer, a camera":             {policy.ComplianceOfficer, "camera k1 changed", forbidden},
		"compliance officer, permit and camera":    {policy.ComplianceOfficer, "permit plattan@3 activated\ncamera k1 changed", forbidden},
		"compliance officer, a user":               {policy.ComplianceOfficer, "user anna added", usersLocal},
		"compliance officer, permit and user":      {policy.ComplianceOfficer, "permit plattan@3 activated\nuser anna added", usersLocal},
		"operator, a camera":                       {policy.Operator, "camera k1 changed", ""},
		"operator, a permit":                       {policy.Operator, "permit plattan@3 activated", forbidden},
		"operator, a group":                        {policy.Operator, "group inre changed", forbidden},
		"operator, camera and permit":              {policy.Operator, "camera k1 changed\npermit plattan@3 activated", forbidden},
		"operator, a user":                         {policy.Operator, "user anna added", usersLocal},
		"operator, camera and user":                {policy.Operator, "camera k1 changed\nuser anna added", usersLocal},
		"auditor, a permit":                        {policy.Auditor, "permit plattan@3 activated", forbidden},
		"auditor, a camera":                        {policy.Auditor, "camera k1 changed", forbidden},
		"auditor, a user":                          {policy.Auditor, "user anna added", forbidden},
		"auditor, what changes nothing":            {policy.Auditor, "nothing", forbidden},
		"auditor, what makes no sense":             {policy.Auditor, "nonsense", forbidden},
		"investigator, a permit":                   {policy.Investigator, "permit plattan@3 activated", forbidden},
		"dashboard viewer, a permit":               {policy.DashboardViewer, "permit plattan@3 activated", forbidden},
		"a stranger, a permit":                     {"", "permit plattan@3 activated", "not-logged-in"},
		"compliance officer, something unheard of": {policy.ComplianceOfficer, "witness w1 changed", usersLocal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			b := w.as(tt.role)
			for _, query := range []string{"?dry_run=true", ""} {
				before := len(w.denied())
				res := b.do("POST", applyPath+query, tt.text, "Content-Type", "application/yaml")
				if tt.kind != "" {
					want := 403
					if tt.role == "" {
						want = 401
					}
					if p := res.problem(t); res.status != want || p.Type != problemType+tt.kind {
						t.Errorf("%q: %d %s; want %d %s", query, res.status, res.body, want, tt.kind)
					}
					if !w.square.untouched() {
						t.Fatalf("%q: what was refused was applied or tried", query)
					}
					denied := w.denied()
					if tt.role == "" {
						continue // strangers' denials are coalesced
					}
					if len(denied) != before+1 {
						t.Fatalf("%q: %d denials were logged, want 1", query, len(denied)-before)
					}
					if last := denied[len(denied)-1]; last.Actor != string(tt.role) || (last.Details["action"] == "" && last.Reason != usersLocal) {
						t.Errorf("%q: logged %+v", query, last)
					}
					continue
				}
				var p Plan
				if err := json.Unmarshal(res.body, &p); err != nil || res.status != 200 || len(p.Changes) != 1+strings.Count(tt.text, "\n") {
					t.Fatalf("%q: %d %s %v", query, res.status, res.body, err)
				}
				if p.Applied != (query == "") || len(w.square.applied) != int(p.Revision) || p.Applied != (p.Revision == 1) {
					t.Errorf("%q: plan %+v, in force %q", query, p, w.square.applied)
				}
			}
			if tt.role == policy.Auditor && len(w.square.asked) != 0 {
				t.Error("what an auditor sent was compared with what holds")
			}
		})
	}
}

// Where a refusal cannot be logged, or the rules cannot be asked, nothing is applied.
func TestApplyFailsClosed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text string
		fail func(*world)
		kind string
	}{
		"a refusal without log":     {"permit plattan@3 activated", func(w *world) { w.logDown = true }, "log-unavailable"},
		"a user without log":        {"user anna added", func(w *world) { w.logDown = true }, "log-unavailable"},
		"a change without rules":    {"camera k1 changed", func(w *world) { w.gateDown = true }, "unavailable"},
		"a change without accounts": {"camera k1 changed", func(w *world) { w.dbDown = true }, "unavailable"},
		"without catalogue": {"camera k1 changed", func(w *world) { w.square.failure = fmt.Errorf("%w: %w", retention.ErrUnavailable, errDown) },
			"store-unavailable"},
		"with a catalogue that does not say what is wrong": {"camera k1 changed", func(w *world) { w.square.failure = errDown }, "unavailable"},
		"without the log of the change": {"camera k1 changed", func(w *world) { w.square.failure = fmt.Errorf("%w: %w", policy.ErrLogUnavailable, errDown) },
			"log-unavailable"},
	} {
		w := newWorld(t)
		b := w.as(policy.Operator)
		tt.fail(w)
		res := b.do("POST", applyPath, tt.text)
		if p := res.problem(t); res.status != 503 || p.Type != problemType+tt.kind || res.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s; want 503 %s", name, res.status, res.body, tt.kind)
		}
		if strings.Contains(string(res.body), "10.0.0") || !w.square.untouched() {
			t.Errorf("%s: %s; applied %q", name, res.body, w.square.applied)
		}
	}
}

func TestBadDescription(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.ComplianceOfficer)
	for _, path := range []string{applyPath, applyPath + "?dry_run=true", simulatePath} {
		res := b.do("POST", path, "permit plattan@3 activated\nnonsense\n\ncamera k1", "Content-Type", "application/yaml")
		p := res.problem(t)
		if res.status != 422 || p.Type != problemType+"bad-description" {
			t.Fatalf("%s: %d %s", path, res.status, res.body)
		}
		want := []ProblemField{
			{Message: `description:2:1: "nonsense": want a kind, an id and what changes`}, {Message: `description:4:1: "camera k1": want a kind, an id and what changes`},
		}
		if !slices.Equal(p.Errors, want) {
			t.Errorf("%s: errors %+v, want %+v", path, p.Errors, want)
		}
	}
	if !w.square.untouched() || len(w.square.asked) != 0 {
		t.Errorf("a bad description was applied: %q, tried %q", w.square.applied, w.square.tried)
	}
	several := problemFor(&BadDescription{errors.New("a:1:1: this\r\n\n  > 1 | where\n")})
	if want := []ProblemField{{Message: "a:1:1: this"}, {Message: "  > 1 | where"}}; !slices.Equal(several.Errors, want) {
		t.Errorf("errors %+v, want %+v", several.Errors, want)
	}
}

func TestChangedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.square.failure = fmt.Errorf("%w: revision 7 holds", ErrChangedMeanwhile)
	for _, path := range []string{applyPath, applyPath + "?dry_run=true", simulatePath} {
		res := w.as(policy.ComplianceOfficer).do("POST", path, "permit plattan@3 activated")
		if p := res.problem(t); res.status != 409 || p.Type != problemType+"changed-meanwhile" || !w.square.untouched() {
			t.Errorf("%s: %d %s", path, res.status, res.body)
		}
	}
}

// A description may be long, but nothing else that is sent here.
func TestLargeDescriptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.ComplianceOfficer)
	fits := strings.Repeat("nothing\n", maxDescription/8)
	send := func(path, body string, length int64) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", path, io.MultiReader(strings.NewReader(body))) // of which nobody knows the length
		r.ContentLength = length
		r.Header.Set("Cookie", b.cookie)
		r.Header.Set("Content-Type", "application/yaml")
		rec := httptest.NewRecorder()
		w.server.ServeHTTP(rec, r)
		return rec
	}
	for _, path := range []string{applyPath, simulatePath} {
		for _, known := range []bool{true, false} {
			for body, want := range map[string]int{fits: 200, fits + "#": 413, fits + fits: 413} {
				length := int64(-1)
				if known {
					length = int64(len(body))
				}
				rec := send(path, body, length)
				if rec.Code != want {
					t.Errorf("%s, %d bytes, length told: %v: %d %.200s; want %d", path, len(body), known, rec.Code, rec.Body, want)
				}
				if want == 413 && (rec.Header().Get("Content-Type") != problemMedia || !strings.Contains(rec.Body.String(), problemType+"too-large")) {
					t.Errorf("%s: %s", path, rec.Body)
				}
			}
		}
	}
	for _, path := range []string{"/api/v1/login", "/api/v1/square/", "/api/v1/squares", "/api/v1/logout"} {
		if rec := send(path, fits, maxDescription); rec.Code != 413 {
			t.Errorf("%s takes %d bytes: %d", path, len(fits), rec.Code)
		}
	}
	if !w.square.untouched() {
		t.Error("what was too large was applied")
	}
}

// What was meant as a try is never made.
func TestDryRunIsNeverLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.ComplianceOfficer)
	const text = "permit plattan@3 activated"
	for query, want := range map[string]int{
		"dry_run=true": 200, "dry_run=1": 200, "dry_run": 422, "dry_run=": 422, "dry_run=yes": 422, "dry_run=true&dry_run=false": 422,
		"dry_run=false&dry_run=true": 422, "dry_run=true;x": 422, "dry_run=%zz": 422, "dryrun=true": 422, "dry-run=true": 422, "DRY_RUN=true": 422,
		"dry_run=false&x=1": 422, "&dry_run=true&": 200, "dry%5Frun=true": 200,
	} {
		if res := b.do("POST", applyPath+"?"+query, text); res.status != want {
			t.Errorf("%s: %d %s; want %d", query, res.status, res.body, want)
		}
	}
	if len(w.square.applied) != 0 {
		t.Fatalf("a try was made: %q", w.square.applied)
	}
	if len(w.square.tried) != 4 {
		t.Errorf("%d tries, want 4", len(w.square.tried))
	}
	if res := b.do("POST", applyPath+"?dry_run=false", text); res.status != 200 || len(w.square.applied) != 1 {
		t.Errorf("what is no try: %d %s", res.status, res.body)
	}
	if res := b.do("POST", simulatePath+"?dry_run=false", text); res.status != 422 || len(w.square.applied) != 1 {
		t.Errorf("a simulation of what is no try: %d %s", res.status, res.body)
	}
}

// A plan shows lists also where there is nothing to list.
func TestPlanOfNothing(t *testing.T) {
	t.Parallel()
	res := newWorld(t).as(policy.Operator).do("POST", applyPath, "nothing")
	for _, want := range []string{`"changes":[]`, `"effects":[]`, `"sights":[]`, `"applied":false`} {
		if res.status != 200 || !strings.Contains(string(res.body), want) {
			t.Errorf("%d %s lacks %s", res.status, res.body, want)
		}
	}
}

// An auditor sees permits. Where cameras are is nothing that he could learn: neither from what holds nor by guessing at it.
func TestAuditorGetsNoAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.Auditor)
	before := len(w.denied())
	requests := []string{"GET " + applyPath, "GET /api/v1/permits", "GET /api/v1/cameras", "GET " + timelineOf("k1"), "GET /register", "GET /register.csv",
		"GET /api/v1/register", "GET /api/v1/permits/explain?camera=k1", "GET /", "GET /api/v1/audit"}
	bodies := map[string]map[string]bool{}
	for _, path := range []string{applyPath, applyPath + "?dry_run=true", simulatePath} {
		bodies[path] = map[string]bool{}
		for _, guess := range []string{"nothing", "camera k1 changed", "camera k2 added", "user anna changed", "nonsense", "permit plattan@3 activated"} {
			res := b.do("POST", path, guess)
			if res.status != 403 {
				t.Errorf("%s %q: %d", path, guess, res.status)
			}
			bodies[path][string(res.body)] = true
		}
		if len(bodies[path]) != 1 {
			t.Errorf("%s: a guess is answered in %d ways", path, len(bodies[path]))
		}
	}
	if len(w.square.asked) != 0 || !w.square.untouched() {
		t.Error("guesses were compared with what holds")
	}
	if n := len(w.denied()) - before; n != 18 {
		t.Errorf("%d denials were logged, want 18", n)
	}
	for _, request := range requests {
		method, path, _ := strings.Cut(request, " ")
		res := b.do(method, path, "")
		if want := map[bool]int{true: 403, false: 200}[path == applyPath]; res.status != want {
			t.Errorf("%s: %d, want %d", request, res.status, want)
		}
		if strings.Contains(string(res.body), "192.0.2.") || strings.Contains(string(res.body), "rtsp") {
			t.Errorf("%s tells an address: %s", request, res.body)
		}
	}
	for _, role := range []policy.Role{policy.Operator, policy.ComplianceOfficer} {
		res := w.as(role).get(applyPath)
		if res.status != 200 || !strings.Contains(string(res.body), cameraAddress) || res.header.Get("Content-Type") != "application/yaml" {
			t.Errorf("%s: %d %v %s", role, res.status, res.header, res.body)
		}
	}
}

// An operator has no use for how many clips would go: what stores hold of whom is not his to find out by trying permits.
func TestSimulateIsForWhoDecides(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const text = "camera k1 changed\nuser anna added\npermit plattan@3 activated"
	if res := w.as(policy.Operator).do("POST", simulatePath, text); res.status != 403 || !w.square.untouched() {
		t.Errorf("operator: %d %s", res.status, res.body)
	}
	res := w.as(policy.ComplianceOfficer).do("POST", simulatePath, text)
	var p Plan
	if err := json.Unmarshal(res.body, &p); err != nil || res.status != 200 || len(p.Changes) != 3 || p.Applied {
		t.Errorf("compliance officer: %d %s", res.status, res.body)
	}
	if len(w.square.applied) != 0 || len(w.square.tried) != 1 {
		t.Errorf("in force %q, tried %q", w.square.applied, w.square.tried)
	}
}

// A program that keeps no cookies sends the same token, and has no other rights with it.
func TestBearerToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tls := range []bool{false, true} {
		w.cfg.TLS = tls
		w.start()
		login := w.as("").do("POST", "/api/v1/login", `{"user":"operator","password":"pw"}`, "Content-Type", "application/json")
		cookie, _, _ := strings.Cut(login.header.Get("Set-Cookie"), ";")
		_, token, _ := strings.Cut(cookie, "=")
		if login.status != 200 || token == "" {
			t.Fatalf("login: %d %v", login.status, login.header)
		}
		b := w.as("")
		for header, want := range map[string]int{
			"Bearer " + token: 200, "bearer " + token: 200, "BEARER  " + token: 200, "Bearer " + token + "x": 401, "Bearer " + token[1:]: 401, "Bearer ": 401, "Bearer": 401, "": 401,
			token: 401, "Basic " + token: 401, "Token " + token: 401, "Bearer klarsyn=" + token: 401,
		} {
			if res := b.get("/api/v1/me", "Authorization", header); res.status != want {
				t.Errorf("TLS %v, %q: %d; want %d", tls, strings.Replace(header, token, "TOKEN", 1), res.status, want)
			}
			if res := b.get("/", "Authorization", header); strings.Contains(string(res.body), "operator") != (want == 200) {
				t.Errorf("TLS %v: the page of %q", tls, strings.Replace(header, token, "TOKEN", 1))
			}
		}
		own := []string{"Authorization", "Bearer " + token}
		for _, foreign := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
			res := b.do("POST", applyPath, "camera k1 changed", append(foreign, own...)...)
			if p := res.problem(t); res.status != 403 || p.Type != problemType+"cross-origin" || !w.square.untouched() {
				t.Errorf("TLS %v, %v: %d %s", tls, foreign, res.status, res.body)
			}
		}
		if res := b.do("POST", applyPath, "permit plattan@3 activated", own...); res.status != 403 || !w.square.untouched() {
			t.Errorf("TLS %v, what the role may not: %d", tls, res.status)
		}
		if res := b.do("POST", applyPath+"?dry_run=true", "camera k1 changed", own...); res.status != 200 {
			t.Errorf("TLS %v, what it may: %d %s", tls, res.status, res.body)
		}
		w.square.tried = nil
		w.changed = testNow.Add(time.Microsecond)
		if res := b.get("/api/v1/me", own...); res.status != 401 {
			t.Errorf("TLS %v, an account that was changed: %d", tls, res.status)
		}
		w.changed = time.Time{}
		if res := b.get("/api/v1/me", own...); res.status != 401 {
			t.Errorf("TLS %v: the session came back", tls)
		}
	}
	w.cfg.TLS = false
	w.start()
	auditor, operator := w.as(policy.Auditor), w.as(policy.Operator)
	token := strings.TrimPrefix(operator.cookie, "klarsyn=")
	if res := auditor.get("/api/v1/me", "Authorization", "Bearer "+token); !strings.Contains(string(res.body), `"auditor"`) {
		t.Errorf("a cookie beside a token: %s", res.body)
	}
	stranger := w.as("")
	if res := stranger.do("POST", "/api/v1/logout", "", "Authorization", "Bearer "+token); res.status != 204 || w.logged(policy.LoggedOut) != 1 {
		t.Errorf("logout: %d", res.status)
	}
	if res := operator.get("/api/v1/me"); res.status != 401 {
		t.Errorf("the session after a logout by its token: %d", res.status)
	}
	// A token that somebody made up never becomes that of a session.
	planted := strings.Repeat("A", len(token))
	res := stranger.do("POST", "/api/v1/login", `{"user":"auditor","password":"pw"}`, "Content-Type", "application/json", "Authorization", "Bearer "+planted)
	if res.status != 200 || strings.Contains(stranger.cookie, planted) {
		t.Errorf("login with a planted token: %d %s", res.status, stranger.cookie)
	}
	if res := w.as("").get("/api/v1/me", "Authorization", "Bearer "+planted); res.status != 401 {
		t.Errorf("the planted token: %d", res.status)
	}
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.Auditor)
	now := testNow.Format(time.RFC3339)
	for query, tt := range map[string]struct {
		status   int
		from, to string // that the square was asked for
	}{
		"from=2026-11-23T12:00:00Z":                                       {200, "2026-11-23T12:00:00Z", now},
		"from=2026-11-23T12:00:00Z&to=2026-11-23T13:00:00Z":               {200, "2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z"},
		"from=2026-11-23T13:00:00%2B01:00&to=2026-11-23T14:00:00%2B01:00": {200, "2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z"},
		"from=2026-11-23T12:00:00Z&to=2026-11-23T13:03:21Z":               {200, "2026-11-23T12:00:00Z", now},
		"from=2026-11-23T12:00:00Z&to=2099-01-01T00:00:00Z":               {200, "2026-11-23T12:00:00Z", now},
		"from=2026-10-22T13:03:20Z":                                       {200, "2026-10-22T13:03:20Z", now}, // 32 days
		"from=2026-10-22T13:03:19Z":                                       {422, "", ""},
		"from=2026-10-22T13:03:19Z&to=2099-01-01T00:00:00Z":               {422, "", ""},
		"from=2026-11-23T12:00:00Z&to=2026-11-23T12:00:00Z":               {422, "", ""},
		"from=2026-11-23T12:00:00Z&to=2026-11-23T11:00:00Z":               {422, "", ""},
		"from=" + now: {422, "", ""},
		"from=2026-11-24T00:00:00Z&to=2026-11-25T00:00:00Z":        {422, "", ""},
		"from=0000-01-01T00:00:00%2B14:00&to=0000-01-03T00:00:00Z": {422, "", ""},
		"from=0001-01-01T00:00:00Z":                                {422, "", ""},
		"from=yesterday":                                           {422, "", ""},
		"":                                                         {422, "", ""},
		"from=2026-11-23T12:00:00Z&until=2026-11-23T13:00:00Z": {422, "", ""},
	} {
		w.square.from, w.square.to = time.Time{}, time.Time{}
		res := b.get("/api/v1/cameras/k1/timeline?" + query)
		if res.status != tt.status {
			t.Errorf("%s: %d %s; want %d", query, res.status, res.body, tt.status)
			continue
		}
		if tt.status == 422 {
			if p := res.problem(t); len(p.Errors) == 0 || !w.square.from.IsZero() {
				t.Errorf("%s: %s; asked from %s", query, res.body, w.square.from)
			}
			continue
		}
		if from, to := w.square.from.Format(time.RFC3339), w.square.to.Format(time.RFC3339); from != tt.from || to != tt.to {
			t.Errorf("%s: [%s, %s) was asked for, want [%s, %s)", query, from, to, tt.from, tt.to)
		}
		var told struct {
			Camera    string
			From, To  string
			Intervals []Stretch
		}
		if err := json.Unmarshal(res.body, &told); err != nil || told.Camera != "k1" || told.From != tt.from || told.To != tt.to {
			t.Errorf("%s: %s, %v", query, res.body, err)
		}
		if len(told.Intervals) != 2 || told.Intervals[0].Clip != whole || told.Intervals[1].Cause != "not-permitted" || told.Intervals[1].Clause != "schedule" {
			t.Errorf("%s: %+v", query, told.Intervals)
		}
	}
	w.square.stretches = nil
	if res := b.get(timelineOf("k1")); res.status != 200 || !strings.Contains(string(res.body), `"intervals":[]`) {
		t.Errorf("no stretches: %d %s", res.status, res.body)
	}
}

// A camera that somebody may not search looks exactly like none, and leaves the same trace.
func TestTimelineOfHiddenIsMissing(t *testing.T) {
	t.Parallel()
	for _, role := range []policy.Role{policy.Investigator, policy.Auditor, policy.ComplianceOfficer} {
		w := newWorld(t)
		b := w.as(role)
		var first answer
		for i, id := range []string{"k9", "k8", "K%201", strings.Repeat("x", 63)} {
			before := len(w.denied())
			res := b.get(timelineOf(id))
			if i == 0 {
				first = res
			}
			res.header.Del("Date")
			first.header.Del("Date")
			if res.status != 404 || string(res.body) != string(first.body) || !slices.Equal(keys(res.header), keys(first.header)) {
				t.Errorf("%s, %s: %d %s; hidden: %s", role, id, res.status, res.body, first.body)
			}
			denied := w.denied()
			if len(denied) != before+1 {
				t.Fatalf("%s, %s: %d denials were logged", role, id, len(denied)-before)
			}
			if last := denied[before]; last.Details["action"] != string(policy.SearchClips) || last.Revision != "" {
				t.Errorf("%s, %s: logged %+v", role, id, last)
			}
		}
		if !w.square.from.IsZero() {
			t.Errorf("%s: a timeline was asked for", role)
		}
	}
	w := newWorld(t)
	for _, role := range []policy.Role{policy.Operator, policy.DashboardViewer} { // to whom every camera is hidden
		seen, none := w.as(role).get(timelineOf("k1")), w.as(role).get(timelineOf("k8"))
		if seen.status != 404 || string(seen.body) != string(none.body) {
			t.Errorf("%s: %d %s, %s", role, seen.status, seen.body, none.body)
		}
	}
}

func TestPermitsAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	draft := w.square.versions[1]
	draft.Permit.Version, draft.Steps = 3, nil
	w.square.versions = append(w.square.versions, draft)
	b := w.as(policy.Auditor)
	res := b.get("/api/v1/permits")
	var told struct{ Permits []policy.Version }
	if err := json.Unmarshal(res.body, &told); err != nil || len(told.Permits) != 3 {
		t.Fatalf("%d %s %v", res.status, res.body, err)
	}
	if p := told.Permits; p[0].Permit.Ref() != "plattan@1" || len(p[0].Steps) != 2 || p[0].Steps[1].State != policy.Superseded || p[1].Permit.Retention.String() != "P1M" {
		t.Errorf("%+v", p)
	}
	if told.Permits[2].Steps == nil {
		t.Errorf("a draft has no list of steps: %s", res.body)
	}
	w.square.versions = nil
	if res := b.get("/api/v1/permits"); !strings.Contains(string(res.body), `"permits":[]`) {
		t.Errorf("no permits: %s", res.body)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.Auditor)
	for query, want := range map[string]policy.Answer{
		"camera=k1":                         {Recording: true, Counting: true, Cause: policy.CauseRecorded, Permit: "plattan", Version: 2, Clause: policy.ClauseCameras},
		"camera=k1&at=2026-02-01T00:00:00Z": {Recording: true, Counting: true, Cause: policy.CauseRecorded, Permit: "plattan", Version: 1, Clause: policy.ClauseCameras},
		"camera=nowhere":                    {Cause: policy.CauseNotPermitted, Clause: policy.ClauseNone},
		"camera=k1&at=2199-12-31T23:59:59Z": {Recording: true, Counting: true, Cause: policy.CauseRecorded, Permit: "plattan", Version: 2, Clause: policy.ClauseCameras},
		"camera=k1&at=1970-01-01T00:00:00Z": {Cause: policy.CauseNotPermitted, Permit: "plattan", Version: 2, Clause: policy.ClauseState},
		"camera=%3Cscript%3E;--":            {},
		"camera=k1&at=9999-12-31T23:59:59Z": {},
		"camera=k1&at=0000-01-01T00:00:00Z": {},
		"camera=k1&at=1969-12-31T23:59:59Z": {},
		"camera=" + strings.Repeat("k", 64): {},
		"camera=k1&at=now":                  {},
	} {
		res := b.get("/api/v1/permits/explain?" + query)
		if want == (policy.Answer{}) {
			if res.problem(t); res.status != 422 {
				t.Errorf("%s: %d %s; want 422", query, res.status, res.body)
			}
			continue
		}
		var got policy.Answer
		if err := json.Unmarshal(res.body, &got); err != nil || res.status != 200 {
			t.Errorf("%s: %d %s %v", query, res.status, res.body, err)
			continue
		}
		got.Detail, got.Deadline, got.Since, got.Until = "", time.Time{}, time.Time{}, time.Time{}
		if got != want {
			t.Errorf("%s: %+v; want %+v", query, got, want)
		}
	}
}
