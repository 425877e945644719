package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	_ "modernc.org/sqlite" // somebody else at the database

	"klarsyn/deploy/testenv"
)

// readOnly lets nobody write into the log of a data directory, as a full table space or a replica that became the
// only one would, until allow is called.
func readOnly(t *testing.T, data string) (allow func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "catalogue", "catalogue.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	exec := func(statement string) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if _, err := db.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TRIGGER read_only BEFORE INSERT ON audit_pending BEGIN SELECT RAISE(ABORT, 'the log is read-only'); END`)
	return func() { exec(`DROP TRIGGER read_only`) }
}

// nothingIsServed asks for everything that would have to be logged first.
func nothingIsServed(t *testing.T, s *square, investigator, auditor *visitor, c clip) {
	t.Helper()
	look := investigator.look(c.ID)
	if look.status != http.StatusServiceUnavailable || bytes.Contains(look.body, []byte(canary)) {
		t.Errorf("footage: %d with %d bytes, want 503 and none of it", look.status, len(look.body))
	}
	if got := look.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("the refusal comes as %q", got)
	}
	if got := auditor.get("/api/v1/audit", nil).status; got != http.StatusServiceUnavailable {
		t.Errorf("the log itself: %d, want 503, since its reading could not be logged", got)
	}
	for _, u := range s.Users {
		body, err := json.Marshal(map[string]string{"user": u.Name, "password": u.Password})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post(s.URL+"/api/v1/login", "application/json", bytes.NewReader(body)) //nolint:noctx // the test has a deadline
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s is let in with %d although the login cannot be logged", u.Name, resp.StatusCode)
		}
	}
	if got := newVisitor(t, s.URL).get("/readyz", nil).status; got != http.StatusServiceUnavailable {
		t.Errorf("readyz says %d", got)
	}
}

// TestLogReadOnly is ruling 4, clause by clause: the clip that is open when the log can be written no more finishes into
// the spool, none opens, the timeline says our-fault, nothing is served, and the spool drains later.
func TestLogReadOnly(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "square")
	s := startDemo(t, data, "--clip", "4s", "--retention", "120s", "--tour=false")
	investigator, auditor := s.as(t, "investigator"), s.as(t, "auditor")
	c := investigator.stored("k1", 60*time.Second)

	// A clip is open at any time; which one, the catalogue says.
	var open clip
	testenv.Eventually(t, 20*time.Second, "a clip is open", func() bool {
		for _, other := range investigator.clips("k1") {
			if other.State == "pending" && time.Since(other.From) < 2*time.Second {
				open = other
				return true
			}
		}
		return false
	})
	began := time.Now()
	allow := readOnly(t, data)
	nothingIsServed(t, s, investigator, auditor, c)
	testenv.Eventually(t, 20*time.Second, "the open clip lies whole in the spool", func() bool {
		b, err := os.ReadFile(filepath.Join(data, "spool", open.ID+".idx"))
		return err == nil && bytes.HasSuffix(bytes.TrimSpace(b), []byte("end"))
	})
	time.Sleep(10 * time.Second) // two clips' time and more
	for _, other := range investigator.clips("k1") {
		if other.From.After(began.Add(5 * time.Second)) {
			t.Errorf("clip %s of %s was opened %s after the log could be written no more", other.ID, other.From, other.From.Sub(began))
		}
		if other.ID == open.ID && other.State != "pending" {
			t.Errorf("the clip is %s although that could not be logged", other.State)
		}
	}
	nothingIsServed(t, s, investigator, auditor, c)
	ended := time.Now()
	allow()

	testenv.Eventually(t, 40*time.Second, "the spool drains", func() bool {
		for _, other := range investigator.clips("k1") {
			if other.ID == open.ID {
				open = other
				return other.State == "committed"
			}
		}
		return false
	})
	whole := investigator.look(open.ID)
	if whole.status != http.StatusOK {
		t.Fatalf("the clip that was open: %d %s", whole.status, whole.body)
	}
	if p := decode(t, whole.body); p.frames != open.Frames || open.Seconds < 3.5 {
		t.Errorf("the clip that was open has %d frames and %.1f s, the catalogue says %d", p.frames, open.Seconds, open.Frames)
	}
	testenv.Eventually(t, 40*time.Second, "recording goes on", func() bool {
		for _, other := range investigator.clips("k1") {
			if other.From.After(ended.Add(-time.Second)) && other.State == "committed" {
				return true
			}
		}
		return false
	})
	ourFault(t, data, "k1", began.Add(8*time.Second), ended)
	if code := s.Stop(t, time.Minute); code != 0 {
		t.Errorf("the demo ended with %d", code)
	}
	clean(t, fsck(t, data))
}

// ourFault wants the camera's time between two instants to be a gap that is our fault, or has one of the other causes.
func ourFault(t *testing.T, data, camera string, from, to time.Time, or ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "catalogue", "catalogue.db")+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT from_us, CASE to_us WHEN 0 THEN 9000000000000000 ELSE to_us END, cause FROM catalogue_gap WHERE camera = $1 ORDER BY from_us`, camera)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := ""
	for rows.Next() {
		var begins, ends int64
		var cause string
		if err := rows.Scan(&begins, &ends, &cause); err != nil {
			t.Fatal(err)
		}
		found += time.UnixMicro(begins).UTC().String() + " to " + time.UnixMicro(ends).UTC().String() + ": " + cause + "\n"
		if (cause == "our-fault" || slices.Contains(or, cause)) && begins <= from.UnixMicro() && ends >= to.Add(-time.Second).UnixMicro() {
			return
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	t.Errorf("the time from %s to %s is not told as our fault:\n%s", from.UTC(), to.UTC(), found)
}

// TestLogDiskFull fills the disk to the last byte. While it is full, and not only afterwards, what is due is deleted and
// numbered in the log, out of the room that is kept for it, and nobody else may log, look or record.
func TestLogDiskFull(t *testing.T) {
	t.Parallel()
	disk := testenv.Tmpfs(t, 160)
	data := filepath.Join(disk, "square")
	spent := func() bool {
		_, err := os.Stat(filepath.Join(data, "catalogue", "reserve"))
		return os.IsNotExist(err)
	}
	s := startDemo(t, data, "--clip", "3s", "--retention", "25s", "--tour=false", "--min-free", "16")
	investigator, auditor := s.as(t, "investigator"), s.as(t, "auditor")
	stored := investigator.several("k1", 2, 60*time.Second)
	last := stored[len(stored)-1]
	db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "catalogue", "catalogue.db")+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	count := func(query string, args ...any) (n int64) {
		if err := db.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}

	ballast := filepath.Join(disk, "ballast")
	testenv.Fill(t, ballast)
	testenv.Eventually(t, 20*time.Second, "the reserve is spent", spent)
	full := time.Now()
	for _, c := range stored {
		if !c.Deadline.After(full) {
			t.Fatalf("clip %s was due before the disk was full: it would show nothing", c.ID)
		}
	}
	nothingIsServed(t, s, investigator, auditor, last)
	testenv.Eventually(t, time.Until(last.Deadline)+15*time.Second, "what is due is deleted, and its deletion numbered, on the full disk", func() bool {
		for _, c := range stored {
			if count(`SELECT COUNT(*) FROM catalogue_clip WHERE id = $1 AND state = 'deleted'`, c.ID) != 1 ||
				count(`SELECT COUNT(*) FROM audit_leaf WHERE event = 'clip-deleted' AND object = $1`, "clip:"+c.ID) != 1 {
				return false
			}
		}
		return true
	})
	if n := count(`SELECT COUNT(*) FROM catalogue_clip WHERE start_us > $1`, full.Add(time.Second).UnixMicro()); n != 0 {
		t.Errorf("%d clips were opened while the reserve was spent", n)
	}
	if n := count(`SELECT COUNT(*) FROM occupancy_sample WHERE time_us > $1`, full.Add(3*time.Second).UnixMicro()); n != 0 {
		t.Errorf("%d counts were kept in the room that is deletion's", n)
	}
	if !spent() {
		t.Fatal("the reserve was made again meanwhile: it showed nothing")
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	freed := time.Now()
	testenv.Eventually(t, 40*time.Second, "recording goes on when there is room", func() bool {
		return !spent() && count(`SELECT COUNT(*) FROM catalogue_clip WHERE camera = 'k1' AND start_us > $1`, freed.UnixMicro()) > 0
	})
	// Spool and log lie on one disk: whichever finds it full first says why nothing is recorded.
	ourFault(t, data, "k1", full.Add(5*time.Second), freed, "storage-full")
	if code := s.Stop(t, time.Minute); code != 0 {
		t.Errorf("the demo ended with %d", code)
	}
	clean(t, fsck(t, data))
}
