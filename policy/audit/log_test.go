package audit_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/retention/database/databasetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(databasetest.Main{M: m}, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

func TestEntryStandsOrFallsWithItsTransaction(t *testing.T) {
	db := fresh(t).DB
	l := newLog(t, db, nil)
	for _, commit := range []bool{false, true} {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Append(t.Context(), tx, policy.ServiceStartedEntry("service:retain")); err != nil {
			t.Fatal(err)
		}
		if commit {
			err = tx.Commit()
		} else {
			err = tx.Rollback()
		}
		if err != nil {
			t.Fatal(err)
		}
		n, _, err := l.Pending(t.Context())
		if err != nil || (n == 1) != commit {
			t.Errorf("committed %v: %d entries, error %v", commit, n, err)
		}
	}
}

func TestWhatCannotBeLoggedSaysSo(t *testing.T) {
	for name, e := range map[string]policy.Entry{
		"no event":     {Actor: "anna"},
		"no actor":     {Event: policy.Denied},
		"not a ULID":   {Event: policy.Denied, Actor: "anna", Decision: "deny", ID: "1"},
		"far too long": {Event: policy.Denied, Actor: strings.Repeat("a", 20_000), Decision: "deny"},
	} {
		db := fresh(t).DB
		if err := newLog(t, db, nil).Record(t.Context(), e); !errors.Is(err, policy.ErrLogUnavailable) {
			t.Errorf("%s: error %v, want ErrLogUnavailable", name, err)
		}
	}
	db := fresh(t).DB
	l := newLog(t, db, nil)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Record(t.Context(), policy.Entry{Event: policy.Denied, Actor: "anna", Decision: "deny"}); !errors.Is(err, policy.ErrLogUnavailable) {
		t.Errorf("database closed: error %v, want ErrLogUnavailable", err)
	}
}

func TestSequencingNumbersEverythingAndSigns(t *testing.T) {
	db := fresh(t).DB
	k := key(t)
	l := newLog(t, db, k)
	if signed := newestCheckpoint(t, db); signed != "" {
		t.Errorf("empty log has checkpoint %q", signed)
	}
	record(t, l, 1203)
	sequenced(t, l)
	record(t, l, 1)
	sequenced(t, l)
	size, err := l.Size(t.Context())
	if err != nil || size != 1204 {
		t.Errorf("size %d, error %v, want 1204", size, err)
	}
	if signed := newestCheckpoint(t, db); !strings.Contains(signed, "\n1204\n") {
		t.Errorf("checkpoint %q, want one of size 1204", signed)
	}
	clean(t, verified(t, db, k))
	newest, err := l.Entries(t.Context(), audit.Query{Newest: true, Limit: 2})
	if err != nil || len(newest) != 2 || newest[0].Seq != 1203 || newest[1].Seq != 1202 {
		t.Errorf("newest entries %+v, error %v", newest, err)
	}
	last, err := l.LastTime(t.Context())
	if err != nil || !last.Equal(newest[0].Sequenced) || last.Before(newest[0].Time) {
		t.Errorf("last time %s, error %v, want %s", last, err, newest[0].Sequenced)
	}
}

func TestEntriesAreFound(t *testing.T) {
	db := fresh(t).DB
	l := newLog(t, db, key(t))
	clips := map[string]string{"clips": "A"}
	entries := []policy.Entry{
		{Event: policy.LoggedIn, Actor: "anna", Role: policy.Auditor, Session: "s1", Decision: "allow", Time: start},
		{Event: policy.HoldLifted, Actor: "anna", Role: policy.Investigator, Object: "hold:1", Case: "K-1", Reason: "r", Details: clips, Time: start.Add(time.Minute)},
		{Event: policy.HoldLifted, Actor: "bo", Role: policy.Investigator, Object: "hold:2", Case: "K-2", Reason: "r", Details: clips, Time: start.Add(2 * time.Minute)},
	}
	for _, e := range entries {
		if err := l.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	sequenced(t, l)
	for name, c := range map[string]struct {
		query audit.Query
		want  []int64
	}{
		"all":      {audit.Query{}, []int64{0, 1, 2}},
		"range":    {audit.Query{From: 1, To: 2}, []int64{1}},
		"since":    {audit.Query{Since: start.Add(time.Minute)}, []int64{1, 2}},
		"until":    {audit.Query{Until: start.Add(time.Minute)}, []int64{0}},
		"object":   {audit.Query{Object: "hold:2"}, []int64{2}},
		"events":   {audit.Query{Events: []policy.Event{policy.LoggedIn, policy.HoldLifted}, Actor: "anna"}, []int64{0, 1}},
		"event":    {audit.Query{Events: []policy.Event{policy.LoggedIn}}, []int64{0}},
		"actor":    {audit.Query{Actor: "anna"}, []int64{0, 1}},
		"newest":   {audit.Query{Events: []policy.Event{policy.HoldLifted}, Newest: true}, []int64{2, 1}},
		"case":     {audit.Query{Case: "K-2"}, []int64{2}},
		"both":     {audit.Query{Actor: "anna", Case: "K-2"}, nil},
		"injected": {audit.Query{Actor: "' OR 1=1 --"}, nil},
		"limit":    {audit.Query{Limit: 1}, []int64{0}},
	} {
		got, err := l.Entries(t.Context(), c.query)
		if err != nil || len(got) != len(c.want) {
			t.Errorf("%s: %d entries, error %v, want %v", name, len(got), err, c.want)
			continue
		}
		for i, n := range got {
			if n.Seq != c.want[i] || n.Actor != entries[n.Seq].Actor || !n.Time.Equal(entries[n.Seq].Time) {
				t.Errorf("%s: %+v, want number %d", name, n, c.want[i])
			}
		}
	}
}

// Two processes over one file: both append, both offer to sequence, one does.
func TestTwoProcessesOneLog(t *testing.T) {
	d := fresh(t)
	k := key(t)
	logs := []*audit.Log{newLog(t, d.DB, k), newLog(t, d.Again(t), k)}
	ctx, cancel := context.WithCancel(t.Context())
	var running, appending sync.WaitGroup
	const each = 150
	for _, l := range logs {
		running.Go(func() {
			if err := l.Run(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		})
		appending.Go(func() { record(t, l, each) })
	}
	appending.Wait()
	deadline := time.Now().Add(10 * time.Second)
	for {
		n, _, err := logs[0].Pending(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 || time.Now().After(deadline) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	cancel()
	running.Wait()
	if size, err := logs[1].Size(t.Context()); err != nil || size != 2*each {
		t.Errorf("size %d, error %v, want %d", size, err, 2*each)
	}
	clean(t, verified(t, d.DB, k))
}

// A clock that steps back, or ids from two clocks, must not make sequencing times decrease.
func TestSequencingTimeNeverDecreases(t *testing.T) {
	db := fresh(t).DB
	k := key(t)
	now := start
	l, err := audit.New(audit.Config{DB: db, Dialect: databasetest.Dialect(), Key: k, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []time.Duration{0, time.Hour, -24 * time.Hour, time.Second, 48 * time.Hour} {
		now = now.Add(step)
		record(t, l, 3)
		sequenced(t, l)
	}
	report, err := audit.Verify(t.Context(), audit.Verification{DB: db, Dialect: databasetest.Dialect(), Verifier: k.Public, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	clean(t, report)
	entries, err := l.Entries(t.Context(), audit.Query{})
	if err != nil || len(entries) != 15 {
		t.Fatalf("%d entries, error %v, want 15", len(entries), err)
	}
	for i := 1; i < len(entries); i++ {
		if entries[i].Sequenced.Before(entries[i-1].Sequenced) {
			t.Errorf("entry %d sequenced at %s, before its predecessor", i, entries[i].Sequenced)
		}
	}
}

func TestLeaseOfADeadProcessRunsOut(t *testing.T) {
	for name, expires := range map[string]time.Time{
		"expired":                  start.Add(-time.Second),
		"written by a wrong clock": start.Add(24 * time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			db := fresh(t).DB
			exec(t, db, `UPDATE audit_sequencer SET holder = 'dead', fence = 7, expires = $1`, expires.UnixMicro())
			l, err := audit.New(audit.Config{DB: db, Dialect: databasetest.Dialect(), Key: key(t), Now: func() time.Time { return start }})
			if err != nil {
				t.Fatal(err)
			}
			record(t, l, 1)
			sequenced(t, l)
		})
	}
}

func TestALogThatDoesNotGrowSaysSoHourly(t *testing.T) {
	db := fresh(t).DB
	k := key(t)
	now := start
	l, err := audit.New(audit.Config{DB: db, Dialect: databasetest.Dialect(), Key: k, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	record(t, l, 1)
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {59 * time.Minute, 1}, {2 * time.Minute, 2}, {time.Minute, 2}} {
		now = now.Add(c.after)
		sequenced(t, l)
		var n int
		if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM audit_checkpoint`).Scan(&n); err != nil || n != c.want {
			t.Errorf("at %s: %d checkpoints, error %v, want %d", now.Format(time.TimeOnly), n, err, c.want)
		}
	}
	report, err := audit.Verify(t.Context(), audit.Verification{DB: db, Dialect: databasetest.Dialect(), Verifier: k.Public, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	clean(t, report)
}

func TestSequencerRefuses(t *testing.T) {
	t.Run("without a key", func(t *testing.T) {
		db := fresh(t).DB
		if err := newLog(t, db, nil).Run(t.Context()); err == nil {
			t.Error("it ran")
		}
	})
	damage := map[string]string{
		"a tree that was changed":       `UPDATE audit_tile SET hashes = ` + zeroes(),
		"a tree with a hole":            `UPDATE audit_tile SET hashes = substr(hashes, 1, 32)`,
		"a checkpoint that was changed": `UPDATE audit_checkpoint SET note = replace(note, 'klarsyn', 'klarsym')`,
		"a checkpoint that is missing":  `DELETE FROM audit_checkpoint`,
		"a size that was set back":      `UPDATE audit_sequencer SET size = 0`,
	}
	for name, sql := range damage {
		t.Run(name, func(t *testing.T) {
			db := fresh(t).DB
			l := newLog(t, db, key(t))
			record(t, l, 3)
			sequenced(t, l)
			exec(t, db, sql)
			record(t, l, 1)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := l.Run(ctx); !errors.Is(err, audit.ErrDamaged) {
				t.Errorf("error %v, want ErrDamaged", err)
			}
		})
	}
	t.Run("to go on with another key", func(t *testing.T) {
		db := fresh(t).DB
		l := newLog(t, db, key(t))
		record(t, l, 3)
		sequenced(t, l)
		if err := newLog(t, db, key(t)).Run(t.Context()); !errors.Is(err, audit.ErrDamaged) {
			t.Errorf("error %v, want ErrDamaged", err)
		}
	})
}

func TestKey(t *testing.T) {
	dir := t.TempDir()
	first, err := audit.LoadOrCreateKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := audit.LoadOrCreateKey(dir)
	if err != nil || again.Public != first.Public {
		t.Errorf("second load gives %v, error %v", again, err)
	}
	if public, err := audit.LoadVerifier(dir); err != nil || public != first.Public {
		t.Errorf("public key %q, error %v, want %q", public, err, first.Public)
	}
	private := filepath.Join(dir, "audit.key")
	if info, err := os.Stat(private); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("private key: %v, error %v, want mode 0600", info, err)
	}
	if err := os.Chmod(private, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.LoadOrCreateKey(dir); err == nil {
		t.Error("a key that others may read was taken")
	}
	if err := os.WriteFile(private, []byte("not a key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(private, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.LoadOrCreateKey(dir); err == nil {
		t.Error("a damaged key was taken or replaced")
	}
}

func exec(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

var someClip = policy.ClipRef{ID: "01JD4Z9S5T8Q4W1V9D3M2N7K6P", Permit: policy.PermitRef{ID: "plattan", Version: 1}}

func BenchmarkRecord(b *testing.B) {
	db := fresh(b).DB
	l := newLog(b, db, nil)
	e := policy.ClipCommittedEntry("service:ingest", someClip, policy.Seal{})
	for b.Loop() {
		if err := l.Record(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkSequenceAndVerify(b *testing.B) {
	const n = 20_000
	db := fresh(b).DB
	k := key(b)
	l := newLog(b, db, k)
	tx, err := db.BeginTx(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	for range n {
		if err := l.Append(b.Context(), tx, policy.ClipCommittedEntry("service:ingest", someClip, policy.Seal{})); err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	sequenced(b, l)
	b.ReportMetric(n/time.Since(began).Seconds(), "sequenced/s")
	for b.Loop() {
		clean(b, verified(b, db, k))
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "verified/s")
}
