package fsck_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
	"klarsyn/retention/fsck"
	"klarsyn/retention/object"
	"klarsyn/retention/object/dir"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// site is a catalogue and a store with some clips in every state, checked at now.
type site struct {
	t       *testing.T
	root    string
	db      *sql.DB
	books   *catalogue.Catalogue
	store   *dir.Store
	now     time.Time
	spooled []string
	clips   map[retention.State]retention.Clip

	clock time.Time // of who writes rows and log
	cam   camera.ID
	held  held // see newHeldSite
}

func newSite(t *testing.T) *site {
	t.Helper()
	ctx := t.Context()
	s := &site{t: t, root: filepath.Join(t.TempDir(), "objects"), now: noon.Add(10 * time.Minute), clock: noon, cam: "k1", clips: map[retention.State]retention.Clip{}}
	var err error
	s.db, err = database.OpenSQLite(ctx, filepath.Join(t.TempDir(), "catalogue.db"))
	s.must(err)
	t.Cleanup(func() { s.db.Close() })
	s.must(errors.Join(database.Migrate(ctx, s.db, database.SQLite, database.Owner{Name: "audit", Files: audit.Migrations()}), database.Migrate(ctx, s.db, database.SQLite, database.Owner{Name: "catalogue", Files: catalogue.Migrations()})))
	log, err := audit.New(audit.Config{DB: s.db, Dialect: database.SQLite, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return s.clock }})
	s.must(err)
	s.books = &catalogue.Catalogue{DB: s.db, Log: log, Dialect: database.SQLite, Actor: "service:test", Now: func() time.Time { return s.clock }}
	s.store, err = dir.Open(s.root)
	s.must(err)
	hour, err := policy.ParsePeriod("PT1H")
	s.must(err)
	s.must(s.books.Activate(ctx, policy.Permit{
		ID: "plattan", Version: 1, Regime: policy.Municipal, Basis: policy.Assessment, Cameras: []string{"k1", "k2"}, ValidFrom: noon.AddDate(0, -1, 0),
		Retention: hour, Purposes: []string{policy.CrimeInvestigation},
	}))

	// Deleted clips are two hours old, the others are of the last minutes.
	s.record(retention.Deleted, noon.Add(-2*time.Hour), 5*time.Second)
	s.interrupt(noon.Add(-2*time.Hour + 5*time.Second))
	s.record(retention.Committed, noon, 5*time.Second)
	s.record(retention.Partial, noon.Add(5*time.Second), 3*time.Second)
	s.record(retention.Lost, noon.Add(8*time.Second), 0)
	s.record("second", noon.Add(8*time.Second), 5*time.Second)
	s.record(retention.Pending, noon.Add(13*time.Second), -1)
	return s
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) interrupt(from time.Time) {
	s.t.Helper()
	_, err := s.books.Interrupt(s.t.Context(), camera.Gap{Camera: s.cam, From: from, Cause: camera.CameraDown})
	s.must(err)
}

// record takes a clip to a state; "second" is one more that is committed, a length of -1 is still open.
func (s *site) record(state retention.State, from time.Time, length time.Duration) retention.Clip {
	s.t.Helper()
	ctx := s.t.Context()
	id := fmt.Sprintf("%026d", len(s.clips))
	c := retention.Clip{
		ID: id, Camera: s.cam, Permit: "plattan", PermitVersion: 1, Start: from, Deadline: from.Add(time.Hour), KeyDay: "2026-11-20",
		ObjectKey: retention.ObjectKey(s.cam, from, id), Codec: camera.H264, Node: "n1",
	}
	s.must(s.books.Reserve(ctx, c, []byte("header of "+id)))
	if length >= 0 {
		c.End, c.Frames = from.Add(length), 10
		s.must(s.books.End(ctx, id, from.Add(length), 10))
	}
	switch state {
	case retention.Lost:
		s.must(s.books.Lose(ctx, c, "for the test"))
	case retention.Pending:
	default:
		committed := retention.Committed
		if state == retention.Partial {
			committed = state
		}
		c = s.commit(c, committed)
		if state == retention.Deleted {
			_, err := s.books.Claim(ctx, c.Deadline, 10)
			s.must(err)
			_, err = s.store.Delete(ctx, c.ObjectKey)
			s.must(err)
			s.bury(c, c.Deadline)
		}
	}
	s.clips[state] = c
	return c
}

// bury writes the tombstone of a clip that is being deleted.
func (s *site) bury(c retention.Clip, at time.Time) {
	s.t.Helper()
	taken, err := s.books.TakeCharge(s.t.Context(), retention.Lease{Sweeper: "test", For: time.Minute}, "", 100)
	s.must(err)
	for _, charge := range taken {
		if charge.ID == c.ID {
			_, err = s.books.Bury(s.t.Context(), []retention.Tombstone{{Charge: charge, At: at, Removed: 1}})
			s.must(err)
			return
		}
	}
	s.t.Fatalf("nobody may bury clip %s", c.ID)
}

// commit stores a clip.
func (s *site) commit(c retention.Clip, state retention.State) retention.Clip {
	s.t.Helper()
	body := "sealed bytes of " + c.ID
	c.State, c.Size, c.PlainSize, c.SHA256 = state, int64(len(body)), 5, sha256.Sum256([]byte(body))
	_, err := s.store.Put(s.t.Context(), c.ObjectKey, strings.NewReader(body), c.Size, c.SHA256)
	s.must(err)
	s.must(s.books.Commit(s.t.Context(), c))
	return c
}

func (s *site) check() fsck.Check {
	books := catalogue.Checked{Catalogue: s.books}
	return fsck.Check{
		Books: books, HoldBooks: books, Store: s.store, Now: s.now, Grace: time.Minute, Stray: time.Hour,
		Spool: func() ([]string, error) { return s.spooled, nil }, Backgrounds: s.books.Backgrounds,
	}
}

func (s *site) exec(query string, args ...any) {
	s.t.Helper()
	_, err := s.db.Exec(query, args...)
	s.must(err)
}

func (s *site) path(c retention.Clip) string { return filepath.Join(s.root, c.ObjectKey) }

// lay puts an object of an age into the store, as if nobody knew of it.
func (s *site) lay(key string, age time.Duration) {
	s.t.Helper()
	_, err := s.store.Put(s.t.Context(), key, strings.NewReader("x"), 1, sha256.Sum256([]byte("x")))
	s.must(err)
	at := s.now.Add(-age)
	s.must(os.Chtimes(filepath.Join(s.root, key), at, at))
}

func TestCleanInstallation(t *testing.T) {
	s := newSite(t)
	results, err := fsck.Run(t.Context(), s.check())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range results {
		ids = append(ids, r.ID)
		looked := !slices.Contains([]string{"I4", "I7", "I10", "I13", "I14"}, r.ID) // holds, keys and log have tests of their own
		if len(r.Violations) != 0 || r.Violations == nil || r.Findings == nil || looked != (r.Checked > 0) || r.What == "" {
			t.Errorf("%+v", r)
		}
	}
	if !slices.Equal(ids, []string{"I1", "I2", "I3", "I5", "I9", "I10", "I12", "I13", "I7", "I14", "I4"}) {
		t.Errorf("checked %v", ids)
	}
}

// Each invariant is broken once: exactly that one is reported, once, and it names what is wrong.
func TestBrokenInvariants(t *testing.T) {
	for name, c := range map[string]struct {
		id    string
		wrong func(s *site) string // returns what the violation must name
	}{
		"an old object without a row": {"I1", func(s *site) string {
			s.lay("clips/k1/stray", 61*time.Minute)
			return "clips/k1/stray"
		}},
		"an old object of a clip that was lost": {"I1", func(s *site) string {
			s.lay(s.clips[retention.Lost].ObjectKey, 61*time.Minute)
			return s.clips[retention.Lost].ID
		}},
		"an upload beside a stored object": {"I1", func(s *site) string {
			c := s.clips[retention.Committed]
			s.must(os.WriteFile(filepath.Join(s.root, ".uploads", strings.ReplaceAll(c.ObjectKey, "/", "%2F")+"~X"), nil, 0o600))
			return c.ID
		}},
		"a stored object is missing": {"I2", func(s *site) string {
			s.must(os.Remove(s.path(s.clips[retention.Committed])))
			return s.clips[retention.Committed].ID
		}},
		"a stored object has another size": {"I2", func(s *site) string {
			s.must(os.Truncate(s.path(s.clips[retention.Partial]), 3))
			return s.clips[retention.Partial].ID
		}},
		"a stored object has other bytes": {"I2", func(s *site) string {
			c := s.clips[retention.Committed]
			s.must(os.WriteFile(s.path(c), []byte(strings.Repeat("x", int(c.Size))), 0o600))
			return c.ID
		}},
		"a deleted clip has a header": {"I3", func(s *site) string {
			s.exec(`INSERT INTO catalogue_header (clip, header) VALUES ($1, 'x')`, s.clips[retention.Deleted].ID)
			return s.clips[retention.Deleted].ID
		}},
		"a lost clip has a header": {"I3", func(s *site) string {
			s.exec(`INSERT INTO catalogue_header (clip, header) VALUES ($1, 'x')`, s.clips[retention.Lost].ID)
			return s.clips[retention.Lost].ID
		}},
		"a clip can be opened after its deadline": {"I3", func(s *site) string {
			s.exec(`UPDATE catalogue_clip SET deadline_us = $1 WHERE id = $2`, s.now.Add(-61*time.Second).UnixMicro(), s.clips[retention.Committed].ID)
			return s.clips[retention.Committed].ID
		}},
		"a clip is still being deleted long after its deadline": {"I3", func(s *site) string {
			s.exec(`UPDATE catalogue_clip SET state = 'deleting' WHERE id = $1`, s.clips[retention.Deleted].ID)
			return s.clips[retention.Deleted].ID
		}},
		"a deleted clip has bytes": {"I3", func(s *site) string {
			s.lay(s.clips[retention.Deleted].ObjectKey, time.Minute)
			return s.clips[retention.Deleted].ID
		}},
		"a deleted clip lies in the spool": {"I3", func(s *site) string {
			s.spooled = []string{s.clips[retention.Deleted].ID}
			return s.clips[retention.Deleted].ID
		}},
		"a background can be opened after its deadline": {"I3", func(s *site) string {
			s.must(s.books.KeepBackground(s.t.Context(), "k7", "key", s.now.Add(-61*time.Second)))
			return "k7"
		}},
		"a deadline later than the permit allows": {"I5", func(s *site) string {
			s.exec(`UPDATE catalogue_clip SET deadline_us = deadline_us + 1 WHERE id = $1`, s.clips[retention.Partial].ID)
			return s.clips[retention.Partial].ID
		}},
		"a permit that never was": {"I5", func(s *site) string {
			s.exec(`UPDATE catalogue_clip SET permit_version = 9 WHERE id = $1`, s.clips[retention.Committed].ID)
			return "plattan@9"
		}},
		"a camera that the permit does not cover": {"I5", func(s *site) string {
			document := `{"id":"plattan","version":2,"basis":"assessment","cameras":["k9"],"valid_from":"2026-01-01T00:00:00Z","retention":"PT1H","purposes":["x"],"min_cell":0}`
			s.exec(`INSERT INTO catalogue_permit (id, version, document, activated_us) VALUES ('plattan', 2, $1, 1)`, document)
			s.exec(`INSERT INTO catalogue_permit_step (id, version, step, state, at_us, actor) VALUES ('plattan', 2, 1, 'ended', 1, 'x')`)
			s.exec(`UPDATE catalogue_clip SET permit_version = 2 WHERE id = $1`, s.clips[retention.Committed].ID)
			return s.clips[retention.Committed].ID + " of camera k1 was recorded"
		}},
		"a version that nobody put in force": {"I5", func(s *site) string {
			s.exec(`INSERT INTO catalogue_permit (id, version, document, activated_us) SELECT id, 3, json_set(document, '$.version', 3), 1 FROM catalogue_permit`)
			s.exec(`UPDATE catalogue_clip SET permit_version = 3 WHERE id = $1`, s.clips[retention.Committed].ID)
			return "plattan@3, which was never activated"
		}},
		"a clip that reaches over the hours of its permit": {"I5", func(s *site) string {
			// Noon in UTC is one o'clock in Stockholm. Of the clips there the open one alone is not over when the hours are.
			hours := `{"weekly":[{"days":["mon","tue","wed","thu","fri","sat","sun"],"from":"00:00","to":"13:00:12"}]}`
			s.exec(`UPDATE catalogue_permit SET document = json_set(document, '$.schedule', json($1))`, hours)
			s.exec(`UPDATE catalogue_clip SET counted_us = $1, deadline_us = $2 WHERE id = $3`, noon.Add(5*time.Second).UnixMicro(),
				noon.Add(time.Hour).UnixMicro(), s.clips[retention.Pending].ID)
			return s.clips["second"].ID + " of camera k1 reaches to"
		}},
		"a deadline that a later version would have moved": {"I5", func(s *site) string {
			s.exec(`INSERT INTO catalogue_permit (id, version, document, activated_us) SELECT id, 2, json_set(document, '$.version', 2, '$.retention', 'PT30M'), 1 FROM catalogue_permit`)
			s.exec(`INSERT INTO catalogue_permit_step (id, version, step, state, at_us, actor) VALUES ('plattan', 2, 1, 'active', $1, 'x')`, noon.Add(12*time.Second).UnixMicro())
			s.exec(`UPDATE catalogue_clip SET deadline_us = start_us + 1800000000 WHERE state <> 'deleted' AND id <> $1`, s.clips[retention.Partial].ID)
			return s.clips[retention.Partial].ID
		}},
		"one header for two clips": {"I9", func(s *site) string {
			s.exec(`UPDATE catalogue_header SET header = (SELECT header FROM catalogue_header WHERE clip = $1) WHERE clip = $2`,
				s.clips[retention.Committed].ID, s.clips["second"].ID)
			return s.clips["second"].ID
		}},
		"a hole": {"I12", func(s *site) string {
			s.exec(`UPDATE catalogue_clip SET end_us = end_us - 1 WHERE id = $1`, s.clips[retention.Committed].ID)
			return s.clips[retention.Committed].ID
		}},
		"an overlap": {"I12", func(s *site) string {
			s.exec(`UPDATE catalogue_clip SET end_us = end_us + 1 WHERE id = $1`, s.clips[retention.Committed].ID)
			return s.clips[retention.Committed].ID
		}},
		"a gap that is gone": {"I12", func(s *site) string {
			s.exec(`DELETE FROM catalogue_gap`)
			return "k1"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			names := c.wrong(s)
			results, err := fsck.Run(t.Context(), s.check())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				switch {
				case r.ID != c.id && len(r.Violations) > 0:
					t.Errorf("%s was reported too: %v", r.ID, r.Violations)
				case r.ID == c.id && (len(r.Violations) != 1 || !strings.Contains(r.Violations[0], names)):
					t.Errorf("%s: %q, want one violation that names %s", r.ID, r.Violations, names)
				}
			}
		})
	}
}

// What is on its way in or out is no violation.
func TestGrace(t *testing.T) {
	s := newSite(t)
	s.lay("clips/k1/young", 59*time.Minute)
	s.lay(s.clips[retention.Pending].ObjectKey, 0)
	s.spooled = []string{s.clips[retention.Pending].ID}
	s.exec(`UPDATE catalogue_clip SET deadline_us = $1 WHERE id = $2`, s.now.Add(-59*time.Second).UnixMicro(), s.clips[retention.Committed].ID)
	s.clean(s.check())
}

func (s *site) clean(c fsck.Check) {
	s.t.Helper()
	results, err := fsck.Run(s.t.Context(), c)
	s.must(err)
	for _, r := range results {
		if len(r.Violations) > 0 {
			s.t.Errorf("%s: %v", r.ID, r.Violations)
		}
	}
}

// No grace is no grace.
func TestWithoutGrace(t *testing.T) {
	s := newSite(t)
	s.lay("clips/k1/young", time.Millisecond)
	s.exec(`UPDATE catalogue_clip SET deadline_us = $1 WHERE id = $2`, s.now.Add(-time.Millisecond).UnixMicro(), s.clips[retention.Committed].ID)
	c := s.check()
	c.Grace, c.Stray = 0, 0
	results, err := fsck.Run(t.Context(), c)
	s.must(err)
	for _, r := range results {
		if want := map[string]int{"I1": 1, "I3": 1}[r.ID]; len(r.Violations) != want {
			t.Errorf("%s: %q, want %d violations", r.ID, r.Violations, want)
		}
	}
}

// Recording and deleting go on during a check: what changes between two of its readings is no violation.
func TestCheckOfARunningInstallation(t *testing.T) {
	ctx := t.Context()
	upload := func(s *site) string {
		return filepath.Join(s.root, ".uploads", strings.ReplaceAll(s.clips[retention.Pending].ObjectKey, "/", "%2F")+"~X")
	}
	for name, c := range map[string]struct{ before, change func(s *site) }{
		"a clip is deleted": {func(s *site) {
			old := s.now.Add(-3 * time.Hour)
			s.must(os.Chtimes(s.path(s.clips[retention.Committed]), old, old))
		}, func(s *site) {
			c := s.clips[retention.Committed]
			s.exec(`UPDATE catalogue_clip SET state = 'deleting' WHERE id = $1`, c.ID)
			s.exec(`DELETE FROM catalogue_header WHERE clip = $1`, c.ID)
			_, err := s.store.Delete(ctx, c.ObjectKey)
			s.must(err)
			s.bury(c, s.now)
		}},
		"a clip ends and a gap begins": {nil, func(s *site) {
			s.must(s.books.End(ctx, s.clips[retention.Pending].ID, noon.Add(20*time.Second), 10))
			s.interrupt(noon.Add(20 * time.Second))
		}},
		"a put ends and its clip is committed": {func(s *site) {
			s.must(os.WriteFile(upload(s), []byte("half"), 0o600))
		}, func(s *site) {
			s.must(os.Remove(upload(s)))
			s.must(s.books.End(ctx, s.clips[retention.Pending].ID, noon.Add(20*time.Second), 10))
			s.commit(s.clips[retention.Pending], retention.Committed)
		}},
		"a stray object is reaped": {func(s *site) { s.lay("clips/k1/stray", 2*time.Hour) }, func(s *site) {
			_, err := s.store.Delete(ctx, "clips/k1/stray")
			s.must(err)
		}},
	} {
		for _, after := range []string{"the store was listed", "the rows were read"} {
			t.Run(name+" after "+after, func(t *testing.T) {
				s := newSite(t)
				if c.before != nil {
					c.before(s)
				}
				check := s.check()
				w := &watched{Checked: catalogue.Checked{Catalogue: s.books}, Store: s.store}
				w.then = map[string]func(){after: func() { c.change(s) }}
				check.Books, check.HoldBooks, check.Store = w, w, w
				s.clean(check)
				if len(w.then) != 0 {
					t.Error("nothing was changed")
				}
			})
		}
	}
}

// A store that lost everything costs one look-up for each clip, not one reading of all rows.
func TestManyMissingObjects(t *testing.T) {
	s := newSite(t)
	s.must(os.RemoveAll(filepath.Join(s.root, "clips")))
	w := &watched{Checked: catalogue.Checked{Catalogue: s.books}, Store: s.store}
	c := s.check()
	c.Books = w
	results, err := fsck.Run(t.Context(), c)
	s.must(err)
	for _, r := range results {
		if r.ID == "I2" && len(r.Violations) != 3 {
			t.Errorf("%q, want the three that were stored", r.Violations)
		}
	}
	if w.readings != 1 {
		t.Errorf("all rows were read %d times", w.readings)
	}
}

// watched does something once, right after one of the check's readings.
type watched struct {
	catalogue.Checked
	*dir.Store
	then     map[string]func()
	readings int // of all rows
}

func (w *watched) did(what string) {
	if f, ok := w.then[what]; ok {
		maps.DeleteFunc(w.then, func(k string, _ func()) bool { return k == what })
		f()
	}
}

func (w *watched) All(ctx context.Context) iter.Seq2[retention.Row, error] {
	return func(yield func(retention.Row, error) bool) {
		for row, err := range w.Checked.All(ctx) {
			if !yield(row, err) {
				return
			}
		}
		w.readings++
		w.did("the rows were read")
	}
}

func (w *watched) Traces(ctx context.Context, prefix string) iter.Seq2[object.Trace, error] {
	return func(yield func(object.Trace, error) bool) {
		for t, err := range w.Store.Traces(ctx, prefix) {
			if !yield(t, err) {
				return
			}
		}
		w.did("the store was listed")
	}
}

// What cannot be read is an error, not a clean bill.
func TestUnreadableIsNotClean(t *testing.T) {
	s := newSite(t)
	c := s.check()
	c.Spool = func() ([]string, error) { return nil, errors.New("broken") }
	if _, err := fsck.Run(t.Context(), c); err == nil {
		t.Error("a spool that cannot be read")
	}
	s.must(s.db.Close())
	if _, err := fsck.Run(t.Context(), s.check()); err == nil {
		t.Error("a catalogue that cannot be read")
	}
}
