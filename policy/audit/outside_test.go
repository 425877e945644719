package audit_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	witnessnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/verify"
	"klarsyn/retention/database"
	"klarsyn/retention/database/databasetest"
)

func exported(t testing.TB, l *audit.Log, k *audit.Key, dir string) audit.Exported {
	t.Helper()
	said, err := l.Export(t.Context(), audit.Export{Dir: dir, Keys: []string{k.Public}})
	if err != nil {
		t.Fatal(err)
	}
	return said
}

func checked(t testing.TB, dir string, keys ...string) *verify.Report {
	t.Helper()
	report, err := verify.Dir(t.Context(), dir, verify.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// What is exported verifies elsewhere, and an export is brought up to date file by file.
func TestExport(t *testing.T) {
	db := fresh(t).DB
	k := key(t)
	l := newLog(t, db, k)
	dir := filepath.Join(t.TempDir(), "export")
	if _, err := l.Export(t.Context(), audit.Export{Dir: dir, Keys: []string{k.Public}}); err == nil {
		t.Error("a log without an entry was exported")
	}
	for _, grown := range []struct{ entries, size int }{{5, 5}, {245, 250}, {6, 256}, {1, 257}, {300, 557}, {0, 557}} {
		record(t, l, grown.entries)
		sequenced(t, l)
		said := exported(t, l, k, dir)
		if said.Entries != int64(grown.size) || (grown.entries == 0) != (said.Files == 0) {
			t.Errorf("exported %+v, want %d entries", said, grown.size)
		}
		report := checked(t, dir, k.Public)
		if len(report.Problems) > 0 || report.Entries != said.Entries || report.Root != said.Root {
			t.Fatalf("%d entries: %+v", grown.size, report)
		}
	}
	// An interrupted export leaves what the next one finishes.
	if err := os.Remove(filepath.Join(dir, leaf.Newest)); err != nil {
		t.Fatal(err)
	}
	exported(t, l, k, dir)
	if report := checked(t, dir, k.Public); len(report.Problems) > 0 {
		t.Errorf("after an interruption: %+v", report)
	}
	// A file that nobody accounts for is found.
	if err := os.MkdirAll(filepath.Join(dir, "tile/2/000.p"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tile/2/000.p/7"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if report := checked(t, dir, k.Public); len(report.Problems) != 1 || report.Problems[0].Place != "tile/2/000.p/7" {
		t.Errorf("a stray file: %+v", report)
	}
}

// A log that was set back is not exported over what it was.
func TestExportRefusesALogThatWasSetBack(t *testing.T) {
	k := key(t)
	long, short := newLog(t, fresh(t).DB, k), newLog(t, fresh(t).DB, k)
	record(t, long, 3)
	sequenced(t, long)
	record(t, long, 3)
	sequenced(t, long)
	record(t, short, 3)
	sequenced(t, short)
	dir := t.TempDir()
	exported(t, long, k, dir)
	if _, err := short.Export(t.Context(), audit.Export{Dir: dir, Keys: []string{k.Public}}); !errors.Is(err, audit.ErrOtherExport) {
		t.Errorf("error %v, want ErrOtherExport", err)
	}
	for range 3 { // longer, but with another past
		record(t, short, 3)
		sequenced(t, short)
	}
	if _, err := short.Export(t.Context(), audit.Export{Dir: dir, Keys: []string{k.Public}}); !errors.Is(err, audit.ErrOtherExport) {
		t.Errorf("error %v, want ErrOtherExport", err)
	}
	if report := checked(t, dir, k.Public); len(report.Problems) > 0 {
		t.Errorf("the older export is not what it was: %+v", report)
	}
}

func TestProofs(t *testing.T) {
	db := fresh(t).DB
	k := key(t)
	l := newLog(t, db, k)
	for range 3 {
		record(t, l, 100)
		sequenced(t, l)
	}
	for _, index := range []int64{0, 1, 99, 255, 256, 299} {
		p, err := l.Prove(t.Context(), index)
		if err != nil {
			t.Fatal(err)
		}
		proven, err := p.Check([]string{k.Public}, nil, 0)
		if err != nil || proven.Event != string(policy.ClipCommitted) || proven.Checkpoint.Size != 300 {
			t.Errorf("entry %d: %+v, error %v", index, proven, err)
		}
	}
	for _, index := range []int64{-1, 300} {
		if _, err := l.Prove(t.Context(), index); !errors.Is(err, audit.ErrNoEntry) {
			t.Errorf("entry %d: error %v, want ErrNoEntry", index, err)
		}
	}
}

// witness cosigns with somebody else's library.
func witness(t testing.TB, name string) (signer note.Signer, vkey string) {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := witnessnote.NewSignerForCosignatureV1(private)
	if err != nil {
		t.Fatal(err)
	}
	if vkey, err = witnessnote.VKeyToCosignatureV1(public); err != nil {
		t.Fatal(err)
	}
	return s, vkey
}

func cosigned(t testing.TB, signed string, by note.Signer) string {
	t.Helper()
	text, _, _ := strings.Cut(signed, "\n\n")
	answer, err := note.Sign(&note.Note{Text: text + "\n"}, by)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestCosignatures(t *testing.T) {
	db := fresh(t).DB
	k := key(t)
	l := newLog(t, db, k)
	signer, vkey := witness(t, "witness.example/w1")
	stranger, _ := witness(t, "witness.example/w1")
	w, err := verify.NewWitness(vkey)
	if err != nil {
		t.Fatal(err)
	}
	known := []*verify.Witness{w}
	record(t, l, 5)
	sequenced(t, l)
	signed := newestCheckpoint(t, db)
	if err := l.Cosign(t.Context(), cosigned(t, signed, signer), known); err != nil {
		t.Fatal(err)
	}
	other := newLog(t, fresh(t).DB, k)
	record(t, other, 5)
	sequenced(t, other)
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"a stranger of the same name":   {cosigned(t, signed, stranger), audit.ErrUnknownWitness},
		"of a log that never was":       {cosigned(t, strings.Replace(signed, "\n5\n", "\n6\n", 1), signer), audit.ErrOtherCheckpoint},
		"of a number that never was":    {cosigned(t, strings.Replace(signed, "checkpoint 1", "checkpoint 9", 1), signer), audit.ErrOtherCheckpoint},
		"the log's own signature":       {signed, audit.ErrUnknownWitness},
		"no note":                       {"hello", audit.ErrOtherCheckpoint},
		"two signatures":                {cosigned(t, signed, signer) + "— x y\n", audit.ErrOtherCheckpoint},
		"a signature of something else": {strings.SplitAfter(cosigned(t, signed, signer), "\n\n")[0] + strings.SplitAfter(cosigned(t, strings.Replace(signed, "\n5\n", "\n6\n", 1), signer), "\n\n")[1], audit.ErrUnknownWitness},
	} {
		if err := l.Cosign(t.Context(), c.body, known); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
	newest, err := l.Cosigned(t.Context())
	if err != nil || len(newest) != 1 || newest[0].Witness != "witness.example/w1" || newest[0].Size != 5 {
		t.Errorf("%+v, error %v", newest, err)
	}
	// A proof takes the checkpoint that a witness has seen; the first word of a witness is in the log itself.
	sequenced(t, l)
	if said, err := l.Entries(t.Context(), audit.Query{Events: []policy.Event{policy.CheckpointCosigned}}); err != nil || len(said) != 1 || said[0].Object != "checkpoint:1" {
		t.Errorf("entries %+v, error %v", said, err)
	}
	p, err := l.Prove(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if proven, err := p.Check([]string{k.Public}, known, 1); err != nil || proven.Checkpoint.Number != 1 {
		t.Errorf("%+v, error %v", proven, err)
	}
	// It is exported, checked, and vouched for only where the asker brings the key.
	dir := t.TempDir()
	exported(t, l, k, dir)
	report, err := verify.Dir(t.Context(), dir, verify.Options{Keys: []string{k.Public}, Witnesses: known})
	if err != nil || len(report.Problems) > 0 || len(report.Cosigned) != 1 || !report.Cosigned[0].Given {
		t.Errorf("%+v, error %v", report, err)
	}
	if report := checked(t, dir, k.Public); len(report.Problems) > 0 || len(report.Cosigned) != 1 || report.Cosigned[0].Given {
		t.Errorf("%+v", report)
	}
	clean(t, verified(t, db, k))
}

// The signing key changes while entries come, whoever crashes in between, and every old proof holds.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	k, err := audit.LoadOrCreateKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	db := fresh(t).DB
	l := newLog(t, db, k)
	record(t, l, 3)
	sequenced(t, l)
	before, err := l.Prove(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	public, err := audit.PrepareRotation(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := audit.PrepareRotation(dir); err != nil || again != public {
		t.Errorf("asked twice: %s and %s, error %v", public, again, err)
	}
	// A crash between the checkpoint that both signed and the new key's place: the next start goes on.
	next, err := os.ReadFile(filepath.Join(dir, "audit.next.key"))
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join(dir, "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	record(t, l, 2)
	sequenced(t, l)
	write(t, filepath.Join(dir, "audit.key"), old)
	write(t, filepath.Join(dir, "audit.next.key"), next)
	for range 2 {
		if k, err = audit.LoadKey(dir); err != nil {
			t.Fatal(err)
		}
		l = newLog(t, db, k)
		record(t, l, 2)
		sequenced(t, l)
	}
	if k.Public != public {
		t.Errorf("the log signs with %s, want %s", k.Public, public)
	}
	if _, err := os.Stat(filepath.Join(dir, "audit.next.key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the next key is still there: %v", err)
	}
	if said, err := audit.LoadVerifier(dir); err != nil || said != public {
		t.Errorf("audit.pub says %s, error %v", said, err)
	}
	entries, err := l.Entries(t.Context(), audit.Query{Events: []policy.Event{policy.LogKeyRotated}})
	if err != nil || len(entries) != 1 || entries[0].Details["new"] != public {
		t.Errorf("entries %+v, error %v", entries, err)
	}
	clean(t, verified(t, db, k))
	out := t.TempDir()
	exported(t, l, k, out)
	first := strings.Split(string(old), "\n")[1]
	for _, key := range []string{first, public} {
		if report := checked(t, out, key); len(report.Problems) > 0 || !slices.Equal(report.Keys, []string{first, public}) {
			t.Errorf("%+v", report)
		}
	}
	if _, err := before.Check([]string{first}, nil, 0); err != nil {
		t.Errorf("a proof from before: %v", err)
	}
	if after, err := l.Prove(t.Context(), 1); err != nil {
		t.Error(err)
	} else if _, err := after.Check([]string{public}, nil, 0); err != nil {
		t.Errorf("a proof from after: %v", err)
	}
	// Whoever has the old key alone cannot go on.
	write(t, filepath.Join(dir, "audit.key"), old)
	if k, err = audit.LoadKey(dir); err != nil {
		t.Fatal(err)
	}
	if err := newLog(t, db, k).Sequence(t.Context()); !errors.Is(err, audit.ErrDamaged) {
		t.Errorf("the old key: error %v, want ErrDamaged", err)
	}
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What is older than the log is kept goes in whole bundles, with the viewings that ended then; what is left is
// whole, and older proofs hold.
func TestPruning(t *testing.T) {
	db := fresh(t).DB
	k := key(t)
	now := start
	keep, err := policy.ParsePeriod("P5Y")
	if err != nil {
		t.Fatal(err)
	}
	l, err := audit.New(audit.Config{DB: db, Dialect: databasetest.Dialect(), Key: k, Keep: &keep, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	old, young := viewing(t, l, start), policy.Viewing{}
	if closed, err := l.Close(t.Context(), old.ID, now, now, closingAt(now)); err != nil || !closed {
		t.Fatalf("closed %v, error %v", closed, err)
	}
	for range 3 {
		record(t, l, 100)
		sequenced(t, l)
	}
	before, err := l.Prove(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	now = keep.After(start).Add(-2 * time.Hour)
	young = viewing(t, l, now)
	record(t, l, 300)
	sequenced(t, l)
	if entries, err := l.Entries(t.Context(), audit.Query{Events: []policy.Event{policy.LogPruned}}); err != nil || len(entries) != 0 {
		t.Errorf("pruned too early: %+v, error %v", entries, err)
	}
	now = now.Add(3 * time.Hour)
	if closed, err := l.Close(t.Context(), young.ID, now, now, closingAt(now)); err != nil || !closed {
		t.Fatalf("closed %v, error %v", closed, err)
	}
	sequenced(t, l)
	sequenced(t, l)
	entries, err := l.Entries(t.Context(), audit.Query{Events: []policy.Event{policy.LogPruned}})
	if err != nil || len(entries) != 1 || entries[0].Details["first_entry"] != "256" || entries[0].Details["keep"] != "P5Y" {
		t.Fatalf("entries %+v, error %v", entries, err)
	}
	var rows, viewings int
	if err := db.QueryRowContext(t.Context(), `SELECT (SELECT MIN(seq) FROM audit_leaf), (SELECT COUNT(*) FROM audit_viewing)`).Scan(&rows, &viewings); err != nil || rows != 256 || viewings != 1 {
		t.Errorf("the first row is %d, %d viewings are left, error %v", rows, viewings, err)
	}
	report, err := audit.Verify(t.Context(), audit.Verification{DB: db, Dialect: databasetest.Dialect(), Verifier: k.Public, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	clean(t, report)
	if report, err = audit.VerifyViewings(t.Context(), db, databasetest.Dialect()); err != nil {
		t.Fatal(err)
	}
	clean(t, report)
	if _, err := before.Check([]string{k.Public}, nil, 0); err != nil {
		t.Errorf("an older proof: %v", err)
	}
	if _, err := l.Prove(t.Context(), 7); !errors.Is(err, audit.ErrPruned) {
		t.Errorf("a new proof of what is gone: error %v, want ErrPruned", err)
	}
	if p, err := l.Prove(t.Context(), 256); err != nil {
		t.Error(err)
	} else if _, err := p.Check([]string{k.Public}, nil, 0); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	exported(t, l, k, dir)
	if report := checked(t, dir, k.Public); len(report.Problems) > 0 || report.FirstEntry != 256 {
		t.Errorf("%+v", report)
	}
	// Removing more than the log says is found.
	exec(t, db, `DELETE FROM audit_leaf WHERE seq < 512`)
	exec(t, db, `UPDATE audit_sequencer SET first_leaf = 512`)
	if report, err := audit.Verify(t.Context(), audit.Verification{DB: db, Dialect: databasetest.Dialect(), Verifier: k.Public, Now: now}); err != nil || len(report.Violations) == 0 {
		t.Errorf("more was removed and nothing found, error %v", err)
	}
}

// A log from before there were tiles gets them from its leaves, if they make what was signed.
func TestTilesOfAnOlderLog(t *testing.T) {
	db := fresh(t).DB
	k := key(t)
	l := newLog(t, db, k)
	record(t, l, 300)
	sequenced(t, l)
	exec(t, db, `DELETE FROM audit_tile`)
	record(t, l, 1)
	sequenced(t, l)
	clean(t, verified(t, db, k))

	exec(t, db, `DELETE FROM audit_tile`)
	exec(t, db, `UPDATE audit_leaf SET sequenced = sequenced + 1 WHERE seq = 300`)
	record(t, l, 1)
	if err := l.Sequence(t.Context()); !errors.Is(err, audit.ErrDamaged) {
		t.Errorf("error %v, want ErrDamaged", err)
	}
}

// The tables of the first version, with what they held, become those of today.
func TestMigrationKeepsTheLog(t *testing.T) {
	d := databasetest.Open(t)
	all := audit.Migrations()
	first := only{all, "00001_log.sql"}
	if err := database.Migrate(t.Context(), d.DB, databasetest.Dialect(), database.Owner{Name: "audit", Files: first}); err != nil {
		t.Fatal(err)
	}
	exec(t, d.DB, `INSERT INTO audit_leaf (id, seq, sequenced, at, event, actor, object, kase, entry) VALUES
		('01JD4Z9S5T8Q4W1V9D3M2N7K6P', 0, 5, 4, 'denied', 'anna', '', '', $1), ('01JD4Z9S5T8Q4W1V9D3M2N7K6Q', NULL, NULL, 6, 'denied', 'bo', '', '', $2)`,
		[]byte(`{"id":"01JD4Z9S5T8Q4W1V9D3M2N7K6P","time":"1970-01-01T00:00:00.000004Z","event":"denied","actor":"anna"}`),
		[]byte(`{"id":"01JD4Z9S5T8Q4W1V9D3M2N7K6Q","time":"1970-01-01T00:00:00.000006Z","event":"denied","actor":"bo"}`))
	if err := database.Migrate(t.Context(), d.DB, databasetest.Dialect(), database.Owner{Name: "audit", Files: all}); err != nil {
		t.Fatal(err)
	}
	l := newLog(t, d.DB, nil)
	entries, err := l.Entries(t.Context(), audit.Query{})
	if err != nil || len(entries) != 1 || entries[0].Actor != "anna" {
		t.Errorf("entries %+v, error %v", entries, err)
	}
	if n, oldest, err := l.Pending(t.Context()); err != nil || n != 1 || oldest.UnixMicro() != 6 {
		t.Errorf("%d pending since %s, error %v", n, oldest, err)
	}
}

// only is a folder with one of its files.
type only struct {
	fs.FS
	name string
}

func (o only) Open(name string) (fs.File, error) {
	if name != "." && name != o.name {
		return nil, fs.ErrNotExist
	}
	return o.FS.Open(name)
}

func (o only) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(o.FS, name)
	return slices.DeleteFunc(all, func(e fs.DirEntry) bool { return e.Name() != o.name }), err
}

// Whoever records at the same time shares commits; each is told of its own entry, and nobody's is lost.
func TestRecordingTogether(t *testing.T) {
	db := fresh(t).DB
	k := key(t)
	l := newLog(t, db, k)
	const writers, each = 32, 20
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				ctx, cancel := context.WithCancel(t.Context())
				if (w+i)%7 == 0 {
					cancel() // gone before its turn, or too late to matter
				}
				e := policy.Entry{Event: policy.Denied, Decision: "deny", Actor: fmt.Sprintf("w%d-%d", w, i)}
				err := l.Record(ctx, e)
				cancel()
				if n := count(t, db, e.Actor); (err == nil) != (n == 1) {
					t.Errorf("entry of %s: error %v, %d rows", e.Actor, err, n)
				}
			}
		})
	}
	all.Wait()
	sequenced(t, l)
	clean(t, verified(t, db, k))
}

func count(t testing.TB, db *sql.DB, actor string) (n int) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT entry FROM audit_pending`)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer rows.Close()
	for rows.Next() {
		var entry []byte
		if err := rows.Scan(&entry); err != nil {
			t.Error(err)
		}
		if strings.Contains(string(entry), `"`+actor+`"`) {
			n++
		}
	}
	return n
}

// One entry that the database refuses takes none of those with it that were written together.
func TestOneThatFailsFailsAlone(t *testing.T) {
	db := fresh(t).DB
	l := newLog(t, db, nil)
	taken := policy.Entry{ID: "01JD4Z9S5T8Q4W1V9D3M2N7K6P", Event: policy.Denied, Decision: "deny", Actor: "first"}
	if err := l.Record(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			e := policy.Entry{Event: policy.Denied, Decision: "deny", Actor: "bo"}
			if i%4 == 0 {
				e = taken
			}
			if err := l.Record(t.Context(), e); (err != nil) != (i%4 == 0) {
				t.Errorf("entry %d: error %v", i, err)
			}
		})
	}
	all.Wait()
	if n := pending(t, l); n != 13 {
		t.Errorf("%d entries, want 13", n)
	}
}

// A next key that cannot be used keeps nothing from being numbered: the log keeps the key that it has.
func TestANextKeyThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	k, err := audit.LoadOrCreateKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	if _, err := audit.LoadOrCreateKey(other); err != nil {
		t.Fatal(err)
	}
	ofAnother, err := os.ReadFile(filepath.Join(other, "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	db := fresh(t).DB
	l := newLog(t, db, k)
	for _, next := range []string{"", "hello\n", string(ofAnother)} {
		write(t, filepath.Join(dir, "audit.next.key"), []byte(next))
		record(t, l, 2)
		sequenced(t, l)
	}
	clean(t, verified(t, db, k))
}
