package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"klarsyn/policy"
)

// TestMatrix holds who gets which status where. Every route of the engine must be in it.
func TestMatrix(t *testing.T) {
	t.Parallel()
	const media = "/media?purpose=crime-investigation&case=K1"
	since := "&from=2026-11-23T13:00:00Z"
	tests := []struct {
		route, request string
		// statuses of: stranger, investigator, dashboard viewer, auditor, operator, compliance officer
		want [7]int
	}{
		{"POST /api/v1/login", "POST /api/v1/login", [7]int{400, 400, 400, 400, 400, 400, 400}},
		{"POST /api/v1/logout", "POST /api/v1/logout", [7]int{401, 204, 204, 204, 204, 204, 204}},
		{"GET /api/v1/me", "GET /api/v1/me", [7]int{401, 200, 200, 200, 200, 200, 200}},
		{"GET /api/v1/cameras", "GET /api/v1/cameras", [7]int{401, 200, 200, 200, 200, 200, 200}},
		{"GET /api/v1/clips", "GET /api/v1/clips?camera=k1" + since, [7]int{401, 200, 404, 200, 404, 200, 200}},
		{"GET /api/v1/clips", "GET /api/v1/clips?camera=k9" + since, [7]int{401, 404, 404, 404, 404, 404, 404}},
		{"GET /api/v1/clips", "GET /api/v1/clips?camera=nowhere" + since, [7]int{401, 404, 404, 404, 404, 404, 404}},
		{"GET /api/v1/clips", "GET /api/v1/clips?camera=k1&from=yesterday", [7]int{401, 422, 422, 422, 422, 422, 422}},
		{"GET /api/v1/clips", "GET /api/v1/clips?camera=k1&form=x" + since, [7]int{401, 422, 422, 422, 422, 422, 422}},
		{"GET /api/v1/clips", "GET /api/v1/clips?camera=k1&from=2026-11-23T14:00:00Z", [7]int{401, 422, 422, 422, 422, 422, 422}},
		{"GET /api/v1/clips/:id", "GET /api/v1/clips/" + whole, [7]int{401, 200, 404, 200, 404, 200, 200}},
		{"GET /api/v1/clips/:id", "GET /api/v1/clips/" + tombstone, [7]int{401, 200, 404, 200, 404, 200, 200}},
		{"GET /api/v1/clips/:id", "GET /api/v1/clips/" + hidden, [7]int{401, 404, 404, 404, 404, 404, 404}},
		{"GET /api/v1/clips/:id", "GET /api/v1/clips/" + missing, [7]int{401, 404, 404, 404, 404, 404, 404}},
		{"GET /api/v1/clips/:id", "GET /api/v1/clips/..%2f..%2fetc%2fpasswd", [7]int{404, 404, 404, 404, 404, 404, 404}},
		{"GET /api/v1/clips/:id/media", "GET /api/v1/clips/" + whole + media, [7]int{401, 200, 404, 403, 404, 403, 403}},
		{"GET /api/v1/clips/:id/media", "GET /api/v1/clips/" + whole + "/media", [7]int{401, 403, 404, 403, 404, 403, 403}},
		{"GET /api/v1/clips/:id/media", "GET /api/v1/clips/" + whole + "/media?purpose=curiosity&case=K1", [7]int{401, 403, 404, 403, 404, 403, 403}},
		{"GET /api/v1/clips/:id/media", "GET /api/v1/clips/" + partial + media, [7]int{401, 200, 404, 403, 404, 403, 403}},
		{"GET /api/v1/clips/:id/media", "GET /api/v1/clips/" + pending + media, [7]int{401, 409, 404, 409, 404, 409, 409}},
		{"GET /api/v1/clips/:id/media", "GET /api/v1/clips/" + lost + media, [7]int{401, 410, 404, 410, 404, 410, 410}},
		{"GET /api/v1/clips/:id/media", "GET /api/v1/clips/" + overdue + media, [7]int{401, 410, 404, 410, 404, 410, 410}},
		{"GET /api/v1/clips/:id/media", "GET /api/v1/clips/" + shredding + media, [7]int{401, 410, 404, 410, 404, 410, 410}},
		{"GET /api/v1/clips/:id/media", "GET /api/v1/clips/" + tombstone + media, [7]int{401, 410, 404, 410, 404, 410, 410}},
		{"GET /api/v1/clips/:id/media", "GET /api/v1/clips/" + damaged + media, [7]int{401, 500, 404, 403, 404, 403, 403}},
		{"GET /api/v1/clips/:id/media", "GET /api/v1/clips/" + unreachable + media, [7]int{401, 503, 404, 403, 404, 403, 403}},
		{"GET /api/v1/clips/:id/media", "GET /api/v1/clips/" + orphaned + media, [7]int{401, 503, 404, 503, 404, 503, 503}},
		{"GET /api/v1/clips/:id/media", "GET /api/v1/clips/" + hidden + media, [7]int{401, 404, 404, 404, 404, 404, 404}},
		{"GET /api/v1/clips/:id/media", "GET /api/v1/clips/" + missing + media, [7]int{401, 404, 404, 404, 404, 404, 404}},
		{"GET /api/v1/clips/:id/media", "GET /api/v1/clips/" + strings.ToLower(whole) + media, [7]int{401, 404, 404, 404, 404, 404, 404}},
		{"HEAD /api/v1/clips/:id/media", "HEAD /api/v1/clips/" + whole + media, [7]int{401, 200, 404, 403, 404, 403, 403}},
		{"GET /api/v1/occupancy", "GET /api/v1/occupancy?camera=k1" + since, [7]int{401, 200, 200, 200, 200, 200, 200}},
		{"GET /api/v1/occupancy", "GET /api/v1/occupancy?camera=k9" + since, [7]int{401, 404, 404, 404, 404, 404, 404}},
		{"GET /api/v1/occupancy", "GET /api/v1/occupancy?camera=k1&zone=z" + since, [7]int{401, 404, 404, 404, 404, 404, 404}},
		{"GET " + pollRoute, "GET " + pollRoute, [7]int{401, 200, 200, 200, 200, 200, 200}},
		{"GET /api/v1/deletions", "GET /api/v1/deletions", [7]int{401, 403, 403, 200, 403, 200, 403}},
		{"GET /api/v1/clips/:id/deletion-proof", "GET /api/v1/clips/" + tombstone + "/deletion-proof", [7]int{401, 403, 403, 200, 403, 200, 403}},
		{"GET /api/v1/clips/:id/deletion-proof", "GET /api/v1/clips/" + whole + "/deletion-proof", [7]int{401, 403, 403, 409, 403, 409, 403}},
		{"GET /api/v1/clips/:id/deletion-proof", "GET /api/v1/clips/" + shredding + "/deletion-proof", [7]int{401, 403, 403, 409, 403, 409, 403}},
		{"GET /api/v1/clips/:id/deletion-proof", "GET /api/v1/clips/" + hidden + "/deletion-proof", [7]int{401, 403, 403, 404, 403, 404, 403}},
		{"GET /api/v1/clips/:id/deletion-proof", "GET /api/v1/clips/" + missing + "/deletion-proof", [7]int{401, 403, 403, 404, 403, 404, 403}},
		{"GET /api/v1/clips/:id/deletion-proof", "GET /api/v1/clips/x/deletion-proof", [7]int{401, 403, 403, 404, 403, 404, 403}},
		{"GET /api/v1/audit", "GET /api/v1/audit", [7]int{401, 403, 403, 200, 403, 403, 403}},
		{"GET /api/v1/cameras/:id/timeline", "GET /api/v1/cameras/k1/timeline?from=2026-11-23T13:00:00Z", [7]int{401, 200, 404, 200, 404, 200, 200}},
		{"GET /api/v1/cameras/:id/timeline", "GET /api/v1/cameras/k9/timeline?from=2026-11-23T13:00:00Z", [7]int{401, 404, 404, 404, 404, 404, 404}},
		{"GET /api/v1/cameras/:id/timeline", "GET /api/v1/cameras/nowhere/timeline?from=2026-11-23T13:00:00Z", [7]int{401, 404, 404, 404, 404, 404, 404}},
		{"GET /api/v1/cameras/:id/timeline", "GET /api/v1/cameras/k1/timeline", [7]int{401, 422, 422, 422, 422, 422, 422}},
		{"GET /api/v1/cameras/:id/timeline", "GET /api/v1/cameras/k1/timeline?from=2026-11-23T14:00:00Z", [7]int{401, 422, 404, 422, 404, 422, 422}},
		{"GET /api/v1/permits", "GET /api/v1/permits", [7]int{401, 403, 403, 200, 200, 200, 403}},
		{"GET /api/v1/permits/explain", "GET /api/v1/permits/explain?camera=k1", [7]int{401, 403, 403, 200, 200, 200, 403}},
		{"GET /api/v1/permits/explain", "GET /api/v1/permits/explain?camera=k1&at=2027-02-31T00:00:00Z", [7]int{401, 403, 403, 422, 422, 422, 403}},
		{"GET /api/v1/permits/explain", "GET /api/v1/permits/explain", [7]int{401, 403, 403, 422, 422, 422, 403}},
		{"POST /api/v1/permits/simulate", "POST /api/v1/permits/simulate\npermit plattan@3 activated", [7]int{401, 403, 403, 403, 403, 200, 403}},
		{"POST /api/v1/permits/simulate", "POST /api/v1/permits/simulate\ncamera k1 changed\nuser anna added", [7]int{401, 403, 403, 403, 403, 200, 403}},
		{"POST /api/v1/permits/simulate", "POST /api/v1/permits/simulate\nnonsense", [7]int{401, 403, 403, 403, 403, 422, 403}},
		{"POST /api/v1/permits/simulate", "POST /api/v1/permits/simulate", [7]int{401, 403, 403, 403, 403, 400, 403}},
		{"GET /api/v1/register", "GET /api/v1/register", [7]int{401, 403, 403, 200, 200, 200, 403}},
		{"GET /api/v1/square", "GET /api/v1/square", [7]int{401, 403, 403, 403, 200, 200, 403}},
		{"POST /api/v1/square", "POST /api/v1/square?dry_run=true\npermit plattan@3 activated", [7]int{401, 403, 403, 403, 403, 200, 403}},
		{"POST /api/v1/square", "POST /api/v1/square?dry_run=true\ncamera k1 changed", [7]int{401, 403, 403, 403, 200, 403, 403}},
		{"POST /api/v1/square", "POST /api/v1/square?dry_run=true\nuser anna added", [7]int{401, 403, 403, 403, 403, 403, 403}},
		{"POST /api/v1/square", "POST /api/v1/square?dry_run=true\nnothing", [7]int{401, 403, 403, 403, 200, 200, 403}},
		{"POST /api/v1/square", "POST /api/v1/square\nnonsense", [7]int{401, 403, 403, 403, 422, 422, 403}},
		{"POST /api/v1/square", "POST /api/v1/square", [7]int{401, 403, 403, 403, 400, 400, 403}},
		{"GET /register", "GET /register", [7]int{401, 403, 403, 200, 200, 200, 403}},
		{"GET /register.csv", "GET /register.csv", [7]int{401, 403, 403, 200, 200, 200, 403}},
		{"GET /log/checkpoint", "GET /log/checkpoint", [7]int{200, 200, 200, 200, 200, 200, 200}},
		{"GET /log/rotations", "GET /log/rotations", [7]int{404, 404, 404, 404, 404, 404, 404}},
		{"GET /log/tile/*name", "GET /log/tile/0/000.p/1", [7]int{200, 200, 200, 200, 200, 200, 200}},
		{"GET /log/tile/*name", "GET /log/tile/9/000", [7]int{404, 404, 404, 404, 404, 404, 404}},
		{"GET /log/tile/*name", "GET /log/tile/entries/000.p/1", [7]int{401, 403, 403, 200, 403, 403, 403}},
		{"GET /log/tile/*name", "GET /log/tile/entries/001", [7]int{401, 403, 403, 404, 403, 403, 403}},
		{"GET /log/tile/*name", "GET /log/tile//entries/000.p/1", [7]int{404, 404, 404, 404, 404, 404, 404}},
		{"GET /log/tile/*name", "GET /log/tile/0/../entries/000.p/1", [7]int{404, 404, 404, 404, 404, 404, 404}},
		{"POST /log/cosignatures", "POST /log/cosignatures", [7]int{409, 409, 409, 409, 409, 409, 409}},
		{"GET /openapi.json", "GET /openapi.json", [7]int{200, 200, 200, 200, 200, 200, 200}},
		{"GET /healthz", "GET /healthz", [7]int{200, 200, 200, 200, 200, 200, 200}},
		{"GET /readyz", "GET /readyz", [7]int{200, 200, 200, 200, 200, 200, 200}},
		{"GET /metrics", "GET /metrics", [7]int{200, 200, 200, 200, 200, 200, 200}},
		{"GET /", "GET /", [7]int{200, 200, 200, 200, 200, 200, 200}},
		{"POST /login", "POST /login", [7]int{303, 303, 303, 303, 303, 303, 303}},
		{"POST /logout", "POST /logout", [7]int{303, 303, 303, 303, 303, 303, 303}},
		{"GET /clips/:id", "GET /clips/" + whole, [7]int{401, 200, 404, 200, 404, 200, 200}},
		{"GET /clips/:id", "GET /clips/" + hidden, [7]int{401, 404, 404, 404, 404, 404, 404}},
		{"POST /clips/:id/look", "POST /clips/" + whole + "/look", [7]int{401, 303, 404, 303, 404, 303, 303}},
		{"POST /clips/:id/look", "POST /clips/" + tombstone + "/look", [7]int{401, 410, 404, 410, 404, 410, 410}},
		{"POST /api/v1/holds", "POST /api/v1/holds\n" + holdBodyOf(whole), [7]int{401, 403, 403, 403, 403, 403, 201}},
		{"POST /api/v1/holds", "POST /api/v1/holds\n" + holdBodyOf(hidden), [7]int{401, 403, 403, 403, 403, 403, 404}},
		{"POST /api/v1/holds", "POST /api/v1/holds\n" + holdBodyOf(tombstone), [7]int{401, 403, 403, 403, 403, 403, 410}},
		{"GET /api/v1/holds", "GET /api/v1/holds", [7]int{401, 403, 403, 200, 403, 200, 200}},
		{"GET /api/v1/holds/:id", "GET /api/v1/holds/" + oldHold, [7]int{401, 403, 403, 200, 403, 200, 200}},
		{"GET /api/v1/holds/:id", "GET /api/v1/holds/x", [7]int{401, 403, 403, 404, 403, 404, 404}},
		{"POST /api/v1/holds/:id/lift", "POST /api/v1/holds/" + oldHold + "/lift\n{}", [7]int{401, 403, 403, 403, 403, 403, 200}},
		{"POST /api/v1/holds/:id/lift", "POST /api/v1/holds/" + whole + "/lift\n{}", [7]int{401, 403, 403, 403, 403, 403, 404}},
		{"POST /api/v1/holds/:id/extend", "POST /api/v1/holds/" + whole + "/extend\n{\"review\": \"2027-01-01T00:00:00Z\"}", [7]int{401, 403, 403, 403, 403, 403, 404}},
		{"GET /log", "GET /log", [7]int{401, 403, 403, 200, 403, 403, 403}},
		{"GET /log", "GET /log?event=nonsense&object=x&from=y", [7]int{401, 403, 403, 200, 403, 403, 403}},
		{"GET /api/v1/audit", "GET /api/v1/audit?event=nonsense", [7]int{401, 403, 403, 422, 403, 403, 403}},
		{"GET /api/v1/audit", "GET /api/v1/audit?action=none", [7]int{401, 403, 403, 422, 403, 403, 403}},
		{"GET /api/v1/audit", "GET /api/v1/audit?object=k1", [7]int{401, 403, 403, 422, 403, 403, 403}},
		{"GET /api/v1/audit", "GET /api/v1/audit?from=2026-11-23T14:00:00Z&to=2026-11-23T14:00:00Z", [7]int{401, 403, 403, 422, 403, 403, 403}},
		{"GET /api/v1/audit", "GET /api/v1/audit?action=erasure&object=camera:k1&actor=anna&case=K1&from=2026-11-23T13:00:00Z&to=2026-11-23T14:00:00Z", [7]int{401, 403, 403, 200, 403, 403, 403}},
		{"GET /assets/:file", "GET /assets/style.css", [7]int{200, 200, 200, 200, 200, 200, 200}},
		{"GET /assets/:file", "GET /assets/layout.html", [7]int{404, 404, 404, 404, 404, 404, 404}},
		{"", "GET /api/v1/nothing", [7]int{404, 404, 404, 404, 404, 404, 404}},
		{"", "DELETE /api/v1/clips/" + whole, [7]int{405, 405, 405, 405, 405, 405, 405}},
	}
	w := newWorld(t)
	roles := [7]policy.Role{"", policy.Investigator, policy.DashboardViewer, policy.Auditor, policy.Operator, policy.ComplianceOfficer, policy.InvestigationLead}
	covered := map[string]bool{}
	for _, tt := range tests {
		covered[tt.route] = true
		for i, role := range roles {
			w.tries = 0
			line, body, _ := strings.Cut(tt.request, "\n")
			method, path, _ := strings.Cut(line, " ")
			b := w.as(role)
			res := b.do(method, path, body)
			if res.status != tt.want[i] {
				t.Errorf("%q %s: %d %s; want %d", role, tt.request, res.status, res.body, tt.want[i])
				continue
			}
			if res.status >= 400 && method != http.MethodHead {
				res.problem(t)
			}
			for _, leak := range []string{"secret-key", "10.0.0.", "goroutine"} {
				if strings.Contains(string(res.body), leak) {
					t.Errorf("%q %s leaks %q", role, tt.request, leak)
				}
			}
			if strings.Contains(string(res.body), cameraAddress) && role != policy.Operator && role != policy.ComplianceOfficer {
				t.Errorf("%q %s tells the address of a camera", role, tt.request)
			}
			if cc := res.header.Get("Cache-Control"); cc != "no-store" && !strings.HasPrefix(tt.route, "GET /assets") && tt.route != "GET /openapi.json" {
				t.Errorf("%s: Cache-Control %q", tt.request, cc)
			}
		}
	}
	for _, r := range w.server.engine.Routes() {
		if !covered[r.Method+" "+r.Path] {
			t.Errorf("route %s %s is not in the matrix", r.Method, r.Path)
		}
	}
	if w.opened != 0 {
		t.Errorf("%d clips were left open", w.opened)
	}
}

func TestUndecidedRoutesAreRefused(t *testing.T) {
	t.Parallel()
	table := map[string]access{"GET /decided": {auth: anyone}, "GET /gone": {auth: anyone}}
	err := undecided(gin.RoutesInfo{{Method: "GET", Path: "/decided"}, {Method: "GET", Path: "/forgotten"}}, table)
	if err == nil || !strings.Contains(err.Error(), "/forgotten") || !strings.Contains(err.Error(), "/gone") {
		t.Fatalf("undecided: %v", err)
	}
	for _, drop := range []string{"GET /forgotten", "GET /gone"} {
		delete(table, drop)
	}
	if err := undecided(gin.RoutesInfo{{Method: "GET", Path: "/decided"}}, table); err != nil {
		t.Fatal(err)
	}
}

// A clip that may not be known must look exactly like one that does not exist, and be logged alike.
func TestHiddenIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.Investigator)
	for _, suffix := range []string{"", "/media", "/media?purpose=crime-investigation&case=K1"} {
		before := w.logged(policy.Denied)
		a, c, m := b.get("/api/v1/clips/"+hidden+suffix), b.get("/api/v1/clips/"+missing+suffix), b.get("/api/v1/clips/x"+suffix)
		for _, other := range []answer{c, m} {
			if string(a.body) != string(other.body) || a.status != other.status {
				t.Errorf("hidden%s: %s\nmissing: %s", suffix, a.body, other.body)
			}
		}
		a.header.Del("Date")
		c.header.Del("Date")
		if !slices.Equal(keys(a.header), keys(c.header)) {
			t.Errorf("headers differ: %v %v", a.header, c.header)
		}
		if n := w.logged(policy.Denied) - before; n != 3 {
			t.Errorf("%d denials logged; want 3", n)
		}
	}
}

func keys(h http.Header) []string {
	var k []string
	for name, v := range h {
		k = append(k, name+"="+strings.Join(v, ","))
	}
	slices.Sort(k)
	return k
}

// What cannot be logged, decided or looked up is not shown.
func TestFailsClosed(t *testing.T) {
	t.Parallel()
	const look = "/api/v1/clips/" + whole + "/media?purpose=crime-investigation&case=K1"
	tests := []struct {
		name string
		role policy.Role
		path string
		fail func(*world)
		kind string
	}{
		{"look without log", policy.Investigator, look, func(w *world) { w.logDown = true }, "log-unavailable"},
		{"denial without log", policy.Auditor, look, func(w *world) { w.logDown = true }, "log-unavailable"},
		{"hidden without log", policy.Operator, look, func(w *world) { w.logDown = true }, "log-unavailable"},
		{"audit without log", policy.Auditor, "/api/v1/audit", func(w *world) { w.logDown = true }, "log-unavailable"},
		{"look without rules", policy.Investigator, look, func(w *world) { w.gateDown = true }, "unavailable"},
		{"audit without rules", policy.Auditor, "/api/v1/audit", func(w *world) { w.gateDown = true }, "unavailable"},
		{"clip without catalogue", policy.Investigator, "/api/v1/clips/" + whole, func(w *world) { w.dbDown = true }, "unavailable"},
		{"deletions without catalogue", policy.Auditor, "/api/v1/deletions", func(w *world) { w.dbDown = true }, "unavailable"},
		{"anything without sessions", policy.Operator, "/api/v1/me", func(w *world) { w.cfg.Sessions.(*memorySessions).down = true }, "unavailable"},
		{"register without log", policy.Auditor, "/api/v1/register", func(w *world) { w.logDown = true }, "log-unavailable"},
		{"register as CSV without log", policy.Auditor, "/register.csv", func(w *world) { w.logDown = true }, "log-unavailable"},
		{"square denied without log", policy.Auditor, "/api/v1/square", func(w *world) { w.logDown = true }, "log-unavailable"},
		{"square without rules", policy.Operator, "/api/v1/square", func(w *world) { w.gateDown = true }, "unavailable"},
		{"square without catalogue", policy.Operator, "/api/v1/square", func(w *world) { w.square.failure = errDown }, "unavailable"},
		{"permits without catalogue", policy.Auditor, "/api/v1/permits", func(w *world) { w.square.failure = errDown }, "unavailable"},
		{"explain without catalogue", policy.Auditor, "/api/v1/permits/explain?camera=k1", func(w *world) { w.square.failure = errDown }, "unavailable"},
		{"register without catalogue", policy.Auditor, "/api/v1/register", func(w *world) { w.square.failure = errDown }, "unavailable"},
		{"timeline without catalogue", policy.Auditor, timelineOf("k1"), func(w *world) { w.square.failure = errDown }, "unavailable"},
		{"timeline without rules", policy.Auditor, timelineOf("k1"), func(w *world) { w.gateDown = true }, "unavailable"},
		{"not ready", "", "/readyz", func(w *world) { w.ready = &NotReady{Part: "store", Err: errDown} }, "not-serving"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			b := w.as(tt.role)
			tt.fail(w)
			res := b.get(tt.path)
			p := res.problem(t)
			if res.status != 503 || p.Type != problemType+tt.kind || res.header.Get("Retry-After") == "" {
				t.Errorf("%d %s, Retry-After %q; want 503 %s with Retry-After", res.status, res.body, res.header.Get("Retry-After"), tt.kind)
			}
			if strings.Contains(string(res.body), "10.0.0") {
				t.Errorf("the body tells an address: %s", res.body)
			}
			if len(w.served) != 0 {
				t.Error("a response was noted")
			}
		})
	}
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	res := w.as("").get("/openapi.json")
	var doc struct {
		OpenAPI    string                    `json:"openapi"`
		Paths      map[string]map[string]any `json:"paths"`
		Components struct {
			Schemas map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(res.body, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" || doc.Components.Schemas["Problem"] == nil || strings.Contains(string(res.body), "ErrorModel") {
		t.Errorf("openapi %s, schemas %v", doc.OpenAPI, doc.Components.Schemas)
	}
	if square, _ := json.Marshal(doc.Paths["/api/v1/square"]["get"]); !strings.Contains(string(square), `"application/yaml"`) || strings.Contains(string(square), "base64") {
		t.Errorf("the square is described as %s", square)
	}
	for _, r := range w.server.engine.Routes() {
		path := strings.ReplaceAll(r.Path, ":id", "{id}")
		if strings.HasPrefix(path, "/api/") && doc.Paths[path][strings.ToLower(r.Method)] == nil {
			t.Errorf("%s %s is not described", r.Method, path)
		}
	}
}
