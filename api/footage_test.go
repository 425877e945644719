package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"klarsyn/policy"
	"klarsyn/retention"
)

func mediaOf(id string) string { return "/api/v1/clips/" + id + "/media" }

func TestFootageRanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.Investigator)
	size := len(w.footage)
	tests := []struct {
		name, method string
		header       []string
		status       int
		body         []byte
		length       string
	}{
		{"whole", "GET", nil, 200, w.footage, "262144"},
		{"head", "HEAD", nil, 200, nil, "262144"},
		{"first bytes", "GET", []string{"Range", "bytes=0-15"}, 206, w.footage[:16], "16"},
		{"last bytes", "GET", []string{"Range", "bytes=-10"}, 206, w.footage[size-10:], "10"},
		{"from the middle on", "GET", []string{"Range", "bytes=262140-"}, 206, w.footage[262140:], "4"},
		{"beyond the end", "GET", []string{"Range", "bytes=262144-"}, 416, nil, ""},
		{"several ranges are ignored", "GET", []string{"Range", "bytes=0-1,5-6"}, 200, w.footage, "262144"},
		{"not a range", "GET", []string{"Range", "pages=1-2"}, 416, nil, ""},
		{"same clip", "GET", []string{"Range", "bytes=0-3", "If-Range", `"` + whole + `"`}, 206, w.footage[:4], "4"},
		{"known already", "GET", []string{"If-None-Match", `"` + whole + `"`}, 304, nil, ""},
		{"another clip", "GET", []string{"If-Match", `"other"`}, 412, nil, ""},
	}
	for _, tt := range tests {
		header := append([]string{purposeHeader, "crime-investigation", caseHeader, "K1-26"}, tt.header...)
		res := b.do(tt.method, mediaOf(whole), "", header...)
		if res.err != nil || res.status != tt.status {
			t.Errorf("%s: %d %s %v; want %d", tt.name, res.status, res.body, res.err, tt.status)
			continue
		}
		if tt.status >= 400 {
			res.problem(t)
			continue
		}
		if !bytes.Equal(res.body, tt.body) {
			t.Errorf("%s: %d bytes; want %d", tt.name, len(res.body), len(tt.body))
		}
		if tt.status != 304 && (res.header.Get("Content-Type") != footageMedia || res.header.Get("Accept-Ranges") != "bytes" || res.header.Get("Content-Length") != tt.length) {
			t.Errorf("%s: headers %v", tt.name, res.header)
		}
	}
	if n := w.logged(policy.ViewingOpened); n != 1 {
		t.Errorf("%d viewings were opened by one session for one case; want 1", n)
	}
	if len(w.served) != len(tests) {
		t.Errorf("%d responses were noted; want %d", len(w.served), len(tests))
	}
	for id, n := range w.served {
		if n < 0 {
			t.Errorf("response %s never ended", id)
		}
	}
	// Three whole clips of 30 s; the small ranges are next to nothing.
	if w.seconds < 60 || w.seconds > 60.1 {
		t.Errorf("%.3f seconds were noted; want a little over 60", w.seconds)
	}
	if w.opened != 0 {
		t.Errorf("%d clips were left open", w.opened)
	}
}

// A client must notice when footage breaks off; damage that is found before the first byte is a problem.
func TestBrokenFootageIsNeverShortAndClean(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.Investigator)
	state := []string{purposeHeader, "crime-investigation", caseHeader, "K1-26"}
	for _, id := range []string{torn, short} {
		res := b.do("GET", mediaOf(id), "", state...)
		if res.status != 200 || res.err == nil {
			t.Errorf("%s: status %d, %d bytes, error %v; want an error", id, res.status, len(res.body), res.err)
		}
		res = b.do("GET", mediaOf(id), "", append(state, "Range", "bytes=200000-")...)
		if p := res.problem(t); p.Type != problemType+"damaged" || res.header.Get("Content-Range") != "" || res.header.Get("Etag") != "" {
			t.Errorf("%s from beyond the damage: %+v %v", id, p, res.header)
		}
	}
	if w.opened != 0 {
		t.Errorf("%d clips were left open", w.opened)
	}
}

func TestStatement(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.Investigator)
	tests := []struct {
		name, query string
		header      []string
		missing     []string
	}{
		{"nothing", "", nil, []string{"purpose", "case"}},
		{"no case", "?purpose=crime-investigation", nil, []string{"case"}},
		{"no purpose", "?case=K1", nil, []string{"purpose"}},
		{"other purpose", "?purpose=public-order&case=K1", nil, []string{"purpose"}},
		{"bad case", "?purpose=crime-investigation&case=+", nil, []string{"case"}},
		{"headers", "", []string{purposeHeader, "accident-inquiry", caseHeader, "K2"}, nil},
		{"query", "?purpose=accident-inquiry&case=K3", nil, nil},
	}
	for _, tt := range tests {
		denied := w.logged(policy.Denied)
		res := b.get(mediaOf(whole)+tt.query, tt.header...)
		if tt.missing == nil {
			if res.status != 200 {
				t.Errorf("%s: %d %s", tt.name, res.status, res.body)
			}
			continue
		}
		p := res.problem(t)
		if res.status != 403 || !slices.Equal(p.Missing, tt.missing) || !strings.Contains(p.Detail, caseHeader) {
			t.Errorf("%s: %d %+v", tt.name, res.status, p)
		}
		if slices.Contains(p.Missing, "purpose") != slices.Contains(p.Purposes, "accident-inquiry") {
			t.Errorf("%s: purposes %v", tt.name, p.Purposes)
		}
		if w.logged(policy.Denied) != denied+1 {
			t.Errorf("%s: the denial was not logged once", tt.name)
		}
	}
	if res := w.as(policy.Auditor).get(mediaOf(whole)); res.status != 403 || len(res.problem(t).Purposes) != 0 {
		t.Errorf("auditor: %d %s", res.status, res.body)
	}
}

// The player's requests carry no case number: the session remembers what the form stated.
func TestLookForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.Investigator)
	form := []string{"Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html"}
	res := b.do("POST", "/clips/"+whole+"/look", "purpose=&case=", form...)
	if at := res.header.Get("Location"); res.status != 303 || !strings.Contains(at, "note=purpose") || !strings.Contains(at, "note=case") {
		t.Fatalf("an empty form: %d to %s", res.status, at)
	}
	if page := b.get(res.header.Get("Location")); !strings.Contains(string(page.body), `aria-invalid="true"`) || strings.Contains(string(page.body), "<video") {
		t.Errorf("the page after an empty form: %s", page.body)
	}
	res = b.do("POST", "/clips/"+whole+"/look", "purpose=accident-inquiry&case=K+7", form...)
	if res.status != 303 || res.header.Get("Location") != "/clips/"+whole {
		t.Fatalf("a good form: %d to %s", res.status, res.header.Get("Location"))
	}
	page := string(b.get("/clips/" + whole).body)
	if !strings.Contains(page, `<video`) || !strings.Contains(page, `src="/api/v1/clips/`+whole+`/media"`) {
		t.Errorf("no player: %s", page)
	}
	if res := b.get(mediaOf(whole), "Range", "bytes=0-9"); res.status != 206 {
		t.Errorf("the player's request: %d %s", res.status, res.body)
	}
	if res := b.get(mediaOf(partial)); res.status != 403 {
		t.Errorf("another clip in the same session: %d; want 403", res.status)
	}
	if n := w.logged(policy.ViewingOpened); n != 1 {
		t.Errorf("%d viewings; want 1 for form and player", n)
	}
}

// A viewing that closes between look and response is opened anew, once.
func TestClosedViewing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := &forgetfulGate{Gate: w.cfg.Gate}
	w.cfg.Gate = gate
	w.start()
	b := w.as(policy.Investigator)
	path := mediaOf(whole) + "?purpose=crime-investigation&case=K1"
	gate.closed = 1
	if res := b.get(path); res.status != 200 || !bytes.Equal(res.body, w.footage) {
		t.Errorf("closed once: %d %s", res.status, res.body[:min(200, len(res.body))])
	}
	gate.closed = 2
	if res := b.get(path); res.status != 503 {
		t.Errorf("closed twice: %d", res.status)
	}
	if w.opened != 0 {
		t.Errorf("%d clips were left open", w.opened)
	}
}

type forgetfulGate struct {
	Gate
	closed int
}

func (g *forgetfulGate) Respond(ctx context.Context, grant policy.Grant) (func(int64, float64), error) {
	if g.closed > 0 {
		g.closed--
		return nil, policy.ErrViewingClosed
	}
	return g.Gate.Respond(ctx, grant)
}

func TestFootageWriterStopsAtAFailedWrite(t *testing.T) {
	t.Parallel()
	broken := &brokenWriter{}
	f := newFootageWriter(broken, http.MethodGet)
	f.WriteHeader(200)
	if _, err := io.Copy(f, bytes.NewReader(make([]byte, 100<<10))); !errors.Is(err, errGone) || broken.writes != 1 {
		t.Fatalf("copy: %v after %d writes", err, broken.writes)
	}
	defer func() {
		if recover() != http.ErrAbortHandler { //nolint:errorlint // net/http compares the panic's value so
			t.Error("a broken response ended cleanly")
		}
	}()
	_ = f.finish(nil)
}

var errGone = errors.New("client gone")

type brokenWriter struct{ writes int }

func (*brokenWriter) Header() http.Header         { return http.Header{} }
func (*brokenWriter) WriteHeader(int)             {}
func (b *brokenWriter) Write([]byte) (int, error) { b.writes++; return 0, errGone }

func TestSecondsOf(t *testing.T) {
	t.Parallel()
	row := retention.Clip{Start: testNow, End: testNow.Add(30e9)}
	for _, tt := range []struct {
		sent, size int64
		want       float64
	}{{0, 100, 0}, {50, 100, 15}, {100, 100, 30}, {200, 100, 30}, {5, 0, 0}} {
		if got := secondsOf(tt.sent, tt.size, row); got != tt.want {
			t.Errorf("secondsOf(%d, %d) = %v; want %v", tt.sent, tt.size, got, tt.want)
		}
	}
}
