package catalogue_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/policy/audit"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
)

// After a claim and a scrub no file of the database holds a byte of the headers that were destroyed.
func TestShreddedHeadersLeaveNoBytes(t *testing.T) {
	db := sqlite(t)(t)
	b := newBooks(t, db, database.SQLite)
	var headers [][]byte
	from := start
	for range 60 {
		header := make([]byte, 1627)
		rand.Read(header)
		headers = append(headers, header)
		c := newClip("k1", from)
		b.must(b.Reserve(t.Context(), c, header))
		from = from.Add(time.Second)
		b.must(b.End(t.Context(), c.ID, from, 1))
	}
	folder := databaseFolder(t, b)
	if n := found(t, folder, headers); n != 60 {
		t.Fatalf("the test looks for the wrong bytes: %d of 60 are there", n)
	}
	// Half of them fall due, in two claims, so that pages are emptied as well as thinned out.
	claimed := 0
	for _, second := range []int{9, 29} {
		claimed += len(b.claim(start.Add(time.Hour + time.Duration(second)*time.Second)))
	}
	b.must(database.Scrub(t.Context(), db, database.SQLite))
	if n := found(t, folder, headers[:claimed]); n != 0 || claimed != 30 {
		t.Errorf("%d of %d destroyed headers can still be found", n, claimed)
	}
	if n := found(t, folder, headers[claimed:]); n != 30 {
		t.Errorf("%d of 30 others are there", n)
	}
}

// The whole of a deletion, as a sweeper does it beside a recorder that goes on: when the tombstones are written no file of the
// database, write-ahead log included, holds a header of what was deleted; headers of what is kept are all there.
func TestDeletionLeavesNoHeader(t *testing.T) {
	db := sqlite(t)(t)
	b := newBooks(t, db, database.SQLite)
	plant := func(n int, from time.Time) (headers [][]byte) {
		for range n {
			header := make([]byte, 1627)
			rand.Read(header)
			headers = append(headers, header)
			c := newClip("k1", from)
			b.must(b.Reserve(t.Context(), c, header))
			from = from.Add(time.Second)
			b.must(b.End(t.Context(), c.ID, from, 1))
			b.must(b.Commit(t.Context(), stored(c, retention.Committed)))
		}
		return headers
	}
	due, kept := plant(150, start), plant(20, start.Add(10*time.Hour))
	s := retention.NewSweeper(retention.SweeperConfig{
		Ledger: b.Catalogue, Eraser: nothingThere{}, Batch: 40,
		Scrub: func(ctx context.Context) error { return database.Scrub(ctx, db, database.SQLite) },
		Clock: retention.NewClock(func() time.Time { return start.Add(5 * time.Hour) }, start.Add(5*time.Hour), false),
	})
	var recording sync.WaitGroup
	recording.Go(func() { kept = append(kept, plant(20, start.Add(20*time.Hour))...) })
	for again := true; again; {
		var err error
		if again, err = s.Sweep(t.Context()); err != nil && !errors.Is(err, database.ErrScrubBusy) {
			t.Fatal(err)
		}
	}
	recording.Wait()
	if _, err := s.Sweep(t.Context()); err != nil { // the last scrub may have found the recorder at work
		t.Fatal(err)
	}
	if n := s.Stats().Deleted; n != 150 {
		t.Fatalf("%d were deleted", n)
	}
	if n := found(t, databaseFolder(t, b), due); n != 0 {
		t.Errorf("%d of 150 destroyed headers can still be found", n)
	}
	if n := found(t, databaseFolder(t, b), kept); n != 40 {
		t.Errorf("%d of 40 others are there", n)
	}
}

// nothingThere is a store that holds nothing of any clip.
type nothingThere struct{}

func (nothingThere) Erase(_ context.Context, keys []string) []retention.Erasure {
	return make([]retention.Erasure, len(keys))
}

func databaseFolder(t *testing.T, b *books) string {
	t.Helper()
	var n int
	var name, path string
	if err := b.DB.QueryRow(`PRAGMA database_list`).Scan(&n, &name, &path); err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(path)
}

// found counts the headers of which a piece lies in a file of the folder.
func found(t *testing.T, folder string, headers [][]byte) int {
	t.Helper()
	var files []byte
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, content...)
	}
	n := 0
	for _, h := range headers {
		for _, piece := range [][]byte{h[:24], h[800:824], h[len(h)-24:]} {
			if bytes.Contains(files, piece) {
				n++
				break
			}
		}
	}
	return n
}

// A reader keeps the log from being emptied: that is said soon, keeps no writer waiting, and passes.
func TestScrubGivesWayToReaders(t *testing.T) {
	db := sqlite(t)(t)
	b := newBooks(t, db, database.SQLite)
	b.put("k1", start, start.Add(time.Second), retention.Committed)
	b.put("k2", start, start.Add(time.Second), retention.Committed)
	rows, err := db.Query(`SELECT id FROM catalogue_clip`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Next() {
		t.Fatal("nothing to read")
	}
	b.claim(start.Add(2 * time.Hour))
	began := time.Now()
	if err := database.Scrub(t.Context(), db, database.SQLite); !errors.Is(err, database.ErrScrubBusy) {
		t.Errorf("error %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s, which every writer had to wait", took)
	}
	b.put("k3", start, start.Add(time.Second), retention.Committed)
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	b.must(database.Scrub(t.Context(), db, database.SQLite))
	if st, err := os.Stat(filepath.Join(databaseFolder(t, b), "catalogue.db-wal")); err != nil || st.Size() != 0 {
		t.Errorf("the write-ahead log has %d bytes, %v", st.Size(), err)
	}
	// The connection that scrubbed waits as long as the others again.
	for range 20 {
		var ms int
		if err := db.QueryRow(`PRAGMA busy_timeout`).Scan(&ms); err != nil || ms != 15000 {
			t.Fatalf("a connection waits %d ms, %v", ms, err)
		}
	}
}

func TestScrubLeavesOtherEnginesAlone(t *testing.T) {
	if err := database.Scrub(t.Context(), nil, "postgres"); err != nil {
		t.Error(err)
	}
}

// A recorder, a sweeper and a reader, each with its own connection to the file as in three processes: they
// wait for each other, and nobody is told that the database is busy.
func TestProcessesShareTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalogue.db")
	db := openFile(t, path)
	if err := errors.Join(database.Migrate(t.Context(), db, database.SQLite, database.Owner{Name: "audit", Files: audit.Migrations()}), database.Migrate(t.Context(), db, database.SQLite, database.Owner{Name: "catalogue", Files: catalogue.Migrations()})); err != nil {
		t.Fatal(err)
	}
	const cameras, each = 3, 25
	ctx, cancel := context.WithCancel(t.Context())
	var recorders, others sync.WaitGroup
	for n := range cameras {
		b := newBooks(t, openFile(t, path), database.SQLite)
		cam := camera.ID(fmt.Sprintf("k%d", n))
		recorders.Go(func() {
			for i := range each {
				c := newClip(cam, at(float64(i)))
				err := errors.Join(b.Reserve(t.Context(), c, make([]byte, 1600)), b.End(t.Context(), c.ID, at(float64(i+1)), 1),
					b.Commit(t.Context(), stored(c, retention.Committed)))
				if err != nil && !errors.Is(err, retention.ErrGone) { // the sweeper may be faster
					t.Error(err)
				}
			}
		})
	}
	sweeper := newBooks(t, openFile(t, path), database.SQLite)
	others.Go(func() {
		for ctx.Err() == nil {
			if _, err := sweeper.Claim(t.Context(), start.Add(time.Hour+10*time.Second), 5); err != nil {
				t.Error(err)
			}
			charges, err := sweeper.TakeCharge(t.Context(), retention.Lease{Sweeper: "test", For: time.Minute}, "", 5)
			if err != nil {
				t.Error(err)
			}
			var stones []retention.Tombstone
			for _, c := range charges {
				stones = append(stones, retention.Tombstone{Charge: c, At: start.Add(time.Hour), Removed: 1})
			}
			if _, err := sweeper.Bury(t.Context(), stones); err != nil {
				t.Error(err)
			}
			if err := database.Scrub(t.Context(), sweeper.DB, database.SQLite); err != nil && !errors.Is(err, database.ErrScrubBusy) {
				t.Error(err)
			}
		}
	})
	reader := newBooks(t, openFile(t, path), database.SQLite)
	others.Go(func() {
		for ctx.Err() == nil {
			for _, err := range reader.All(t.Context()) {
				if err != nil {
					t.Error(err)
				}
			}
		}
	})
	recorders.Wait()
	cancel()
	others.Wait()
	n := 0
	for _, err := range reader.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != cameras*each {
		t.Errorf("%d clips, want %d", n, cameras*each)
	}
}

func TestOddPaths(t *testing.T) {
	for _, name := range []string{"with space", "50%", "a?b=c", "a#b", "å", "a&_pragma=journal_mode(OFF)"} {
		path := filepath.Join(t.TempDir(), name, "catalogue.db")
		db, err := database.OpenSQLite(t.Context(), path)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		var mode string
		if err := db.QueryRow(`PRAGMA journal_mode`).Scan(&mode); err != nil || mode != "wal" {
			t.Errorf("%q: journal mode %q, %v", name, mode, err)
		}
		var sync, secure int
		if err := errors.Join(db.QueryRow(`PRAGMA synchronous`).Scan(&sync), db.QueryRow(`PRAGMA secure_delete`).Scan(&secure)); err != nil || sync != 2 || secure != 1 {
			t.Errorf("%q: synchronous %d, secure_delete %d, %v", name, sync, secure, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%q: the file is elsewhere: %v", name, err)
		}
	}
	if _, err := database.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "a", "..")); err == nil {
		t.Error("a folder was taken for a database")
	}
}
