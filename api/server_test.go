package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"

	"klarsyn/policy"
	"klarsyn/retention"
)

// TestMain looks for goroutines that outlive the tests, once the connections that the tests keep are closed.
// goleak.Cleanup would take the place of goleak's own exit, and with it of its verdict.
func TestMain(m *testing.M) {
	code := m.Run()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "api:", err)
		code = 1
	}
	os.Exit(code)
}

func TestProblemTable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		status int
		kind   string
	}{
		{errNotLoggedIn, 401, "not-logged-in"},
		{ErrWrongCredentials, 401, "wrong-credentials"},
		{&TooManyTries{After: time.Minute}, 429, "too-many-tries"},
		{&policy.DeniedError{Reason: policy.ReasonRole}, 403, "denied"},
		{retention.ErrNoGrant, 403, "denied"},
		{errForbidden, 403, "forbidden"},
		{errCrossOrigin, 403, "cross-origin"},
		{retention.ErrNotFound, 404, "no-such-clip"},
		{errNoCamera, 404, "no-such-camera"},
		{errNoRoute, 404, "no-such-page"},
		{errMethod, 405, "method-not-allowed"},
		{retention.ErrNotReady, 409, "not-ready"},
		{retention.ErrGone, 410, "gone"},
		{retention.ErrNoFootage, 410, "no-footage"},
		{&http.MaxBytesError{Limit: 5}, 413, "too-large"},
		{errUnsatisfied, 416, "range"},
		{retention.ErrDamaged, 500, "damaged"},
		{errors.New("secret"), 500, "internal"},
		{retention.ErrUnavailable, 503, "store-unavailable"},
		{errTooManyDenials, 429, "too-many-denials"},
		{errUsersLocal, 403, "users-local"},
		{&BadDescription{errors.New("description:1:1: cameras: want at least one")}, 422, "bad-description"},
		{ErrChangedMeanwhile, 409, "changed-meanwhile"},
		{unavailable("catalogue", fmt.Errorf("%w: revision 7", ErrChangedMeanwhile)), 409, "changed-meanwhile"},
		{policy.ErrLogUnavailable, 503, "log-unavailable"},
		{policy.ErrViewingClosed, 503, "viewing-closed"},
		{&NotReady{Part: "store", Err: errDown}, 503, "not-serving"},
		{unavailable("catalogue", errDown), 503, "unavailable"},
		{unavailable("catalogue", retention.ErrGone), 410, "gone"},
		{context.DeadlineExceeded, 503, "timeout"},
	} {
		p := problemFor(tt.err)
		if p.Status != tt.status || p.Type != problemType+tt.kind {
			t.Errorf("%v: %d %s; want %d %s", tt.err, p.Status, p.Type, tt.status, tt.kind)
		}
		if strings.Contains(p.Detail, "secret") || strings.Contains(p.Detail, "10.0.0") {
			t.Errorf("%v: the detail tells too much: %s", tt.err, p.Detail)
		}
		if (p.Status == 503 || p.Status == 429) && p.GetHeaders().Get("Retry-After") == "" {
			t.Errorf("%v: no Retry-After", tt.err)
		}
		if p.Status >= 400 && !errors.Is(p, tt.err) {
			t.Errorf("%v: the cause is lost to the log", tt.err)
		}
	}
}

func TestNewRefusesHalfAConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, spoil := range map[string]func(*Config){
		"Gate": func(c *Config) { c.Gate = nil }, "Log": func(c *Config) { c.Log = nil }, "Sessions": func(c *Config) { c.Sessions = nil },
		"Proxies": func(c *Config) { c.Proxies = make([]netip.Prefix, 1) },
		"Square":  func(c *Config) { c.Square = nil }, "Cameras": func(c *Config) { c.Cameras = nil },
	} {
		cfg := w.cfg
		spoil(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as("")
	login := func(body string) answer {
		return b.do("POST", "/api/v1/login", body, "Content-Type", "application/json")
	}
	res := login(`{"user":"auditor","password":"wrong"}`)
	if p := res.problem(t); res.status != 401 || p.Type != problemType+"wrong-credentials" || b.cookie != "" {
		t.Errorf("wrong password: %d %s", res.status, res.body)
	}
	if res := login(`{"user":"auditor","password":123456789}`); res.status != 422 || strings.Contains(string(res.body), "123456789") {
		t.Errorf("a password of the wrong type comes back: %d %s", res.status, res.body)
	}
	res = login(`{"user":"auditor","password":"pw"}`)
	cookie := res.header.Get("Set-Cookie")
	if res.status != 200 || !strings.Contains(string(res.body), `"role":"auditor"`) {
		t.Fatalf("login: %d %s", res.status, res.body)
	}
	for _, want := range []string{"klarsyn=", "HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("cookie %q lacks %s", cookie, want)
		}
	}
	token := strings.TrimPrefix(b.cookie, "klarsyn=")
	if _, ok := w.cfg.Sessions.(*memorySessions).m[token]; ok {
		t.Error("the store holds the token itself")
	}
	old := *b
	if res := login(`{"user":"operator","password":"pw"}`); res.status != 200 {
		t.Fatalf("second login: %d", res.status)
	}
	if res := old.get("/api/v1/me"); res.status != 401 {
		t.Error("the token of before the login still works: it could have been planted")
	}
	after := *b
	if res := b.do("POST", "/api/v1/logout", ""); res.status != 204 || w.logged(policy.LoggedOut) != 1 {
		t.Errorf("logout: %d %s", res.status, res.body)
	}
	if res := after.get("/api/v1/me"); res.status != 401 {
		t.Errorf("me after logout: %d", res.status)
	}
	w.tries = 100
	if res := login(`{"user":"auditor","password":"pw"}`); res.status != 429 || res.header.Get("Retry-After") != "2" {
		t.Errorf("too many tries: %d Retry-After %q", res.status, res.header.Get("Retry-After"))
	}
	w.cfg.TLS = true
	w.start()
	w.tries = 0
	res = login(`{"user":"auditor","password":"pw"}`)
	if c := res.header.Get("Set-Cookie"); !strings.HasPrefix(c, "__Host-klarsyn=") || !strings.Contains(c, "Secure") || res.header.Get("Strict-Transport-Security") == "" {
		t.Errorf("over TLS: %q", c)
	}
}

func TestRevokedSessionsAreOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.Investigator)
	w.changed = testNow
	if res := b.get("/api/v1/me"); res.status != 200 {
		t.Errorf("an account changed before the login: %d", res.status)
	}
	w.changed = testNow.Add(time.Microsecond)
	if res := b.get("/api/v1/me"); res.status != 401 {
		t.Errorf("an account changed after the login: %d %s", res.status, res.body)
	}
	if n := len(w.cfg.Sessions.(*memorySessions).m); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// A page left open must not keep an investigator logged in; a dashboard on a wall may stay.
func TestPollingIsNoPerson(t *testing.T) {
	t.Parallel()
	for role, stays := range map[policy.Role]bool{policy.Investigator: false, policy.DashboardViewer: true} {
		w := newWorld(t)
		now := testNow
		w.cfg.Now = func() time.Time { return now }
		w.start()
		b := w.as(role)
		store := w.cfg.Sessions.(*memorySessions)
		before := expiry(store)
		now = now.Add(5 * time.Minute)
		time.Sleep(5 * time.Millisecond)
		b.get(pollRoute)
		if moved := expiry(store).After(before); moved != stays {
			t.Errorf("%s: polling moved the idle timeout: %v; want %v", role, moved, stays)
		}
		before = expiry(store)
		now = now.Add(5 * time.Minute)
		time.Sleep(5 * time.Millisecond)
		b.get("/api/v1/me")
		if !expiry(store).After(before) {
			t.Errorf("%s: a person's request did not move the idle timeout", role)
		}
	}
}

func expiry(m *memorySessions) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.m {
		return s.expires
	}
	return time.Time{}
}

func TestForeignAndOversizedRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.Auditor)
	for _, h := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		if res := b.do("POST", "/api/v1/logout", "", h...); res.status != 403 || res.problem(t).Type != problemType+"cross-origin" {
			t.Errorf("%v: %d", h, res.status)
		}
	}
	big := `{"user":"` + strings.Repeat("x", maxBodyBytes) + `"}`
	if res := b.do("POST", "/api/v1/login", big, "Content-Type", "application/json"); res.status != 413 {
		t.Errorf("a large body: %d", res.status)
	} else {
		res.problem(t)
	}
	if res := b.do("DELETE", "/api/v1/me", ""); res.header.Get("Allow") == "" {
		t.Error("405 without Allow")
	}
}

func TestPanicIsAProblem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.engine.GET("/panic", func(*gin.Context) { panic("secret") })
	w.server.access["GET /panic"] = access{auth: anyone}
	w.server.engine.GET("/late", func(c *gin.Context) { c.String(200, "half"); c.Writer.Flush(); panic("late") })
	w.server.access["GET /late"] = access{auth: anyone}
	res := w.as("").get("/panic")
	if p := res.problem(t); res.status != 500 || strings.Contains(p.Detail, "secret") {
		t.Errorf("panic: %d %s", res.status, res.body)
	}
	if res := w.as("").get("/late"); res.err == nil {
		t.Errorf("a panic after the first byte ended cleanly: %d %q", res.status, res.body)
	}
}

// The access log must not keep what a query says: it may hold a case number.
func TestAccessLogHoldsNoQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.as(policy.Investigator).get(mediaOf(whole) + "?purpose=crime-investigation&case=SECRETCASE")
	w.web.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	log := w.logs.String()
	if strings.Contains(log, "SECRETCASE") || !strings.Contains(log, "clip="+whole) || !strings.Contains(log, "user=investigator") {
		t.Errorf("access log: %s", log)
	}
}

func TestServeStopsGracefully(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	entered, release := make(chan struct{}), make(chan struct{})
	w.server.engine.GET("/slow", func(c *gin.Context) { close(entered); <-release; c.String(200, "done") })
	w.server.access["GET /slow"] = access{auth: anyone}
	l := listenLocal(t)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- w.server.Serve(ctx, l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	stop()
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("a request under way was cut: %v", err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if err := <-ended; err != nil || string(body) != "done" {
		t.Errorf("Serve: %v, body %q", err, body)
	}
}

func listenLocal(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A request that is cut off still notes how it ended: Serve waits for its handler.
func TestServeWaitsForWhatItCuts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.grace = 20 * time.Millisecond
	entered := make(chan struct{})
	var noted atomic.Bool
	w.server.engine.GET("/endless", func(c *gin.Context) {
		close(entered)
		<-c.Request.Context().Done()
		time.Sleep(200 * time.Millisecond)
		noted.Store(true)
	})
	w.server.access["GET /endless"] = access{auth: anyone}
	l := listenLocal(t)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- w.server.Serve(ctx, l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	stop()
	if err := <-ended; err != nil || !noted.Load() {
		t.Errorf("Serve returned (%v) with a handler at work: %v", err, !noted.Load())
	}
}

func TestServeTellsWhyItCannot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := listenLocal(t)
	l.Close()
	if err := w.server.Serve(context.Background(), l); err == nil || !strings.Contains(err.Error(), "serving on") {
		t.Errorf("Serve on a closed listener: %v", err)
	}
}

func BenchmarkLatest(b *testing.B) {
	w := newWorld(&testing.T{})
	defer w.web.Close()
	w.cfg.Logger = slog.New(slog.DiscardHandler)
	s, err := New(w.cfg)
	if err != nil {
		b.Fatal(err)
	}
	cookie := w.as(policy.Operator).cookie
	for b.Loop() {
		r := httptest.NewRequest("GET", pollRoute, nil)
		r.Header.Set("Cookie", cookie)
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		if rec.Code != 200 {
			b.Fatal(rec.Code)
		}
	}
}
