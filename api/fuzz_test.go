package api

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"klarsyn/policy"
)

func FuzzClipID(f *testing.F) {
	want := regexp.MustCompile(`\A[0-9A-HJKMNP-TV-Z]{26}\z`)
	for _, s := range []string{"", whole, strings.ToLower(whole), whole + "\n", "../../../../../../etc/pass", whole[:25] + "I", whole[:25] + "Å"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := validClipID(s); got != want.MatchString(s) {
			t.Errorf("validClipID(%q) = %v", s, got)
		}
	})
}

func FuzzWallTime(f *testing.F) {
	p, err := newPage()
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"2026-10-25T02:30", "2026-03-29T02:30:00", "0000-01-01T00:00", "9999-12-31T23:59:59", "", "2026-10-25T02:30:00Z", "::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		earlier, later, err := p.wallTime(s)
		if err != nil {
			return
		}
		if later.Before(earlier) || later.Sub(earlier) > time.Hour {
			t.Errorf("wallTime(%q) = %s, %s", s, earlier, later)
		}
	})
}

func FuzzPreferred(f *testing.F) {
	f.Add("sv-SE,sv;q=0.9,en;q=0.8")
	f.Add(";q=,,sv;q=1e309")
	f.Fuzz(func(t *testing.T, s string) {
		if got := preferred(s); got != "sv" && got != "en" {
			t.Errorf("preferred(%q) = %q", s, got)
		}
	})
}

// FuzzRange asks for footage in every way: the answer is the bytes it says it is, or a problem.
func FuzzRange(f *testing.F) {
	w := newWorld(&testing.T{})
	f.Cleanup(w.web.Close)
	cookie, since := w.as(policy.Investigator).cookie, time.Now()
	for _, s := range []string{"", "bytes=0-", "bytes=-1", "bytes=5-2", "bytes=0-0,2-3", "bytes=99999999999999999999-", "bytes=--1", "items=0-1", "bytes=262143-262144"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if time.Since(since) > sessionIdle/2 { // the world's clock stands still, and with it what keeps a session alive
			cookie, since = w.as(policy.Investigator).cookie, time.Now()
		}
		r := httptest.NewRequest("GET", mediaOf(whole), nil)
		r.RemoteAddr = "127.0.0.1:1"
		r.Header = http.Header{"Cookie": {cookie}, "Range": {s}, purposeHeader: {"accident-inquiry"}, caseHeader: {"K1"}}
		rec := httptest.NewRecorder()
		w.server.ServeHTTP(rec, r)
		switch rec.Code {
		case 200:
			if rec.Body.Len() != len(w.footage) {
				t.Errorf("range %q: 200 with %d bytes", s, rec.Body.Len())
			}
		case 206:
			var from, to, size int
			if _, err := fmt.Sscanf(rec.Header().Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &size); err != nil {
				t.Fatalf("range %q: Content-Range %q", s, rec.Header().Get("Content-Range"))
			}
			if rec.Body.String() != string(w.footage[from:to+1]) || rec.Header().Get("Content-Length") != strconv.Itoa(to-from+1) {
				t.Errorf("range %q: %d bytes for %d-%d", s, rec.Body.Len(), from, to)
			}
		case 416, 422:
			if rec.Header().Get("Content-Type") != problemMedia {
				t.Errorf("range %q: %d %s", s, rec.Code, rec.Body)
			}
		default:
			t.Errorf("range %q: %d %s", s, rec.Code, rec.Body)
		}
	})
}

// FuzzQuery sends anything as a search: it is answered or refused as a problem, and never a fault.
func FuzzQuery(f *testing.F) {
	w := newWorld(&testing.T{})
	f.Cleanup(w.web.Close)
	cookie := w.as(policy.Auditor).cookie
	f.Add("k1", "2026-11-23T13:00:00Z", "", "10", "", "")
	f.Add("k1", "2026-11-23T13:00:00+01:00", "2026-11-23T14:00:00Z", "0", whole, "camera:k1")
	f.Add("..", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1e3", "'; --", "clip-deleted")
	f.Add("", "2026-10-25T02:30", "2026-10-25T02:30:00.000", "", "7", "erasure")
	f.Add("", "", "", "", "", ":")
	f.Add("k1", "9999-12-31T23:59:59Z", "", "", "", "")
	f.Add("k1", "0000-01-01T00:00:00+14:00", "0000-01-03T00:00:00Z", "", "", "")
	f.Fuzz(func(t *testing.T, camera, from, to, limit, after, word string) {
		common := url.Values{"from": {from}, "to": {to}, "limit": {limit}, "after": {after}}
		with := func(more url.Values) string {
			maps.Copy(more, common)
			return more.Encode()
		}
		clips := with(url.Values{"camera": {camera}})
		for _, target := range []string{
			"/api/v1/clips?" + clips, "/api/v1/occupancy?" + clips, "/api/v1/deletions?" + clips, "/?" + clips,
			"/api/v1/audit?" + with(url.Values{"object": {word}, "actor": {camera}}), "/api/v1/audit?" + with(url.Values{"event": {word}, "action": {camera}}),
			"/api/v1/cameras/" + url.PathEscape(camera) + "/timeline?" + url.Values{"from": {from}, "to": {to}}.Encode(),
			"/api/v1/cameras/k1/timeline?" + url.Values{"from": {from}, "to": {to}}.Encode(),
			"/api/v1/permits/explain?" + url.Values{"camera": {camera}, "at": {from}}.Encode(),
			"/log?" + with(url.Values{"object": {word}, "actor": {camera}}), "/log?" + with(url.Values{"event": {word}, "action": {camera}, "case": {word}}),
		} {
			r := httptest.NewRequest("GET", target, nil)
			r.RemoteAddr = "127.0.0.1:1"
			r.Header.Set("Cookie", cookie)
			rec := httptest.NewRecorder()
			w.server.ServeHTTP(rec, r)
			if rec.Code >= 500 || (rec.Code >= 400 && rec.Header().Get("Content-Type") != problemMedia) {
				t.Errorf("%s: %d %s", target, rec.Code, rec.Body)
			}
		}
	})
}
