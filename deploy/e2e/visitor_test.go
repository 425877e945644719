package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
)

// square is a running demo and what it told about itself.
type square struct {
	*testenv.Process
	URL   string `json:"url"`
	Users []struct {
		Name, Role, Password string
	} `json:"users"`
	data    string
	summary string
}

// startDemo runs a demo with a data directory that outlives it.
func startDemo(t *testing.T, data string, args ...string) *square {
	t.Helper()
	folder := t.TempDir()
	credentials, summary := filepath.Join(folder, "credentials.json"), filepath.Join(folder, "summary.json")
	args = append([]string{"demo", "--data", data, "--listen", "127.0.0.1:0", "--credentials", credentials, "--summary", summary}, args...)
	s := &square{Process: testenv.Start(t, klarsyn(), args), data: data, summary: summary}
	testenv.Eventually(t, 60*time.Second, "the demo writes its credentials", func() bool {
		if s.Ended() {
			t.Fatalf("the demo ended:\n%s", s.Output())
		}
		b, err := os.ReadFile(credentials)
		return err == nil && json.Unmarshal(b, s) == nil && s.URL != ""
	})
	if st, err := os.Stat(credentials); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("credentials: %v, mode %v, want 0600", err, st.Mode())
	}
	return s
}

// visitor is one browser.
type visitor struct {
	t    *testing.T
	base string
	http *http.Client
}

func newVisitor(t *testing.T, base string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t, base, &http.Client{Jar: jar, Timeout: 30 * time.Second}}
}

// as logs in with the demo's account of a role.
func (s *square) as(t *testing.T, role string) *visitor {
	t.Helper()
	v := newVisitor(t, s.URL)
	for _, u := range s.Users {
		if u.Role == role {
			v.logIn(u.Name, u.Password)
			return v
		}
	}
	t.Fatalf("the demo has no account for %s", role)
	return nil
}

func (v *visitor) logIn(name, password string) {
	v.t.Helper()
	body, err := json.Marshal(map[string]string{"user": name, "password": password})
	if err != nil {
		v.t.Fatal(err)
	}
	resp, err := v.http.Post(v.base+"/api/v1/login", "application/json", bytes.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		v.t.Fatalf("login as %s: %s %s", name, resp.Status, b)
	}
}

// answer is what came back, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (v *visitor) get(path string, query url.Values, headers ...string) answer {
	v.t.Helper()
	a, err := v.try(path, query, headers...)
	if err != nil {
		v.t.Fatal(err)
	}
	return a
}

// try is get where an answer may be cut off.
func (v *visitor) try(path string, query url.Values, headers ...string) (answer, error) {
	v.t.Helper()
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.base+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := v.http.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("GET %s: %w", path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, fmt.Errorf("GET %s: %w", path, err)
	}
	return answer{resp.StatusCode, resp.Header, b}, nil
}

// read gets JSON and wants 200.
func (v *visitor) read(path string, query url.Values, into any) {
	v.t.Helper()
	a := v.get(path, query)
	if a.status != http.StatusOK {
		v.t.Fatalf("GET %s: %d %s", path, a.status, a.body)
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		v.t.Fatalf("GET %s: %v in %s", path, err, a.body)
	}
}

// clip is a row of /clips.
type clip struct {
	ID, Camera, State string
	From              time.Time
	To                *time.Time
	Deadline          time.Time
	Seconds           float64
	Frames            int
	Bytes             int64
}

// clips lists all clips of a camera, page by page.
func (v *visitor) clips(camera string) []clip {
	v.t.Helper()
	var all []clip
	query := url.Values{"camera": {camera}, "from": {time.Now().Add(-time.Hour).Format(time.RFC3339)}}
	for {
		var page struct {
			Clips []clip
			Next  string
		}
		v.read("/api/v1/clips", query, &page)
		all = append(all, page.Clips...)
		if page.Next == "" {
			return all
		}
		query.Set("after", page.Next)
	}
}

// stored waits for a camera's first clip that can be read.
func (v *visitor) stored(camera string, within time.Duration) clip {
	v.t.Helper()
	return v.several(camera, 1, within)[0]
}

// several waits for n clips of a camera that can be read.
func (v *visitor) several(camera string, n int, within time.Duration) (stored []clip) {
	v.t.Helper()
	testenv.Eventually(v.t, within, fmt.Sprintf("%d clips of camera %s are stored", n, camera), func() bool {
		stored = nil
		for _, c := range v.clips(camera) {
			if c.State == "committed" {
				stored = append(stored, c)
			}
		}
		return len(stored) >= n
	})
	return stored
}

// gone says that footage is not there any more, for somebody who may search. A look that is under way at the deadline is cut
// off, which is no answer yet.
func (v *visitor) gone(id string) bool {
	v.t.Helper()
	path, query := media(id)
	a, err := v.try(path, query)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		v.t.Fatal(err)
	}
	return err == nil && a.status == http.StatusGone
}

// look asks for footage with purpose and case.
func (v *visitor) look(id string, headers ...string) answer {
	v.t.Helper()
	path, query := media(id)
	return v.get(path, query, headers...)
}

// media is where the footage of a clip is, with a purpose and a case.
func media(id string) (path string, query url.Values) {
	return "/api/v1/clips/" + id + "/media", url.Values{"purpose": {"crime-investigation"}, "case": {"0105-K1-26"}}
}
