package audit_test

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/retention/database"
	"klarsyn/retention/database/databasetest"
)

var start = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// fresh is the database of an empty log.
func fresh(t testing.TB) *databasetest.Database {
	t.Helper()
	d := databasetest.Open(t)
	if err := database.Migrate(t.Context(), d.DB, databasetest.Dialect(), database.Owner{Name: "audit", Files: audit.Migrations()}); err != nil {
		t.Fatal(err)
	}
	return d
}

func key(t testing.TB) *audit.Key {
	t.Helper()
	k, err := audit.LoadOrCreateKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newLog(t testing.TB, db *sql.DB, k *audit.Key) *audit.Log {
	t.Helper()
	l, err := audit.New(audit.Config{DB: db, Dialect: databasetest.Dialect(), Key: k, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// sequenced leaves nothing pending.
func sequenced(t testing.TB, l *audit.Log) {
	t.Helper()
	if err := l.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, _, err := l.Pending(t.Context()); err != nil || n != 0 {
		t.Fatalf("%d entries pending, error %v, after a run", n, err)
	}
}

func record(t testing.TB, l *audit.Log, n int) {
	t.Helper()
	for i := range n {
		e := policy.Entry{
			Event: policy.ClipCommitted, Actor: "service:ingest", Object: fmt.Sprintf("clip:%d", i),
			Permit: "plattan", PermitVersion: 1, Case: "K-1", Details: map[string]string{"b": "<&>", "a": "å", "sha256": "0"},
		}
		if err := l.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

func verified(t testing.TB, db *sql.DB, k *audit.Key) audit.Report {
	t.Helper()
	return verifyAt(t, db, k, time.Now())
}

func verifyAt(t testing.TB, db *sql.DB, k *audit.Key, now time.Time) audit.Report {
	t.Helper()
	report, err := audit.Verify(t.Context(), audit.Verification{DB: db, Dialect: databasetest.Dialect(), Verifier: k.Public, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// newestCheckpoint is the newest signed note; empty if nothing was sequenced yet.
func newestCheckpoint(t testing.TB, db *sql.DB) string {
	t.Helper()
	var signed string
	err := db.QueryRowContext(t.Context(), `SELECT note FROM audit_checkpoint ORDER BY number DESC LIMIT 1`).Scan(&signed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		t.Fatal(err)
	}
	return signed
}

func clean(t testing.TB, report audit.Report) {
	t.Helper()
	for _, v := range report.Violations {
		t.Errorf("%s: %s", v.Place, v.What)
	}
}

// changedEntry is an entry, in SQL, with one text put for another.
func changedEntry(old, new string) string {
	if databasetest.Dialect() == database.Postgres {
		return fmt.Sprintf(`convert_to(replace(convert_from(entry, 'UTF8'), '%s', '%s'), 'UTF8')`, old, new)
	}
	return fmt.Sprintf(`CAST(replace(CAST(entry AS TEXT), '%s', '%s') AS BLOB)`, old, new)
}

// zeroes is a hash of nothing but zeroes, in SQL.
func zeroes() string {
	if databasetest.Dialect() == database.Postgres {
		return `decode(repeat('00', 32), 'hex')`
	}
	return `zeroblob(32)`
}
