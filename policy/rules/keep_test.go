package rules_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/rules"
	"klarsyn/retention/database"
	"klarsyn/retention/database/databasetest"
)

// TestMain runs all tests on each database.
func TestMain(m *testing.M) { os.Exit(databasetest.Main{M: m}.Run()) }

// book is a log that keeps entries in a table, so that they share their transaction's fate.
type book struct{ fail error }

func (b book) Append(ctx context.Context, tx *sql.Tx, e policy.Entry) error {
	if err := errors.Join(b.fail, e.Validate()); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO book SELECT COUNT(*), $1 FROM book`, string(e.Event)+" "+e.Actor+" "+e.Revision+" after "+e.Details["before"])
	return err
}

func (book) Record(context.Context, policy.Entry) error { panic("the entry has a transaction") }

// Every decision names its revision: its text is kept, and the log says from when on it decided, also when
// an older one comes back, and also by a clock that was set back.
func TestRevisionsAreKeptAndLogged(t *testing.T) {
	db := databasetest.Open(t).DB
	ctx := t.Context()
	for range 2 {
		if err := database.Migrate(ctx, db, databasetest.Dialect(), database.Owner{Name: "rules", Files: rules.Migrations()}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.ExecContext(ctx, `CREATE TABLE book (place BIGINT, line TEXT)`); err != nil {
		t.Fatal(err)
	}
	first, second := rules.Default(), rules.Default()
	second.Policy += "p, auditor.search.north, auditor, search, north, -\n"
	a, b := first.Revision(), second.Revision()
	now := time.Now()
	var want []string
	r := defaults(t)
	if err := r.Keep(ctx, db, book{policy.ErrLogUnavailable}, "service:serve", now); !errors.Is(err, policy.ErrLogUnavailable) {
		t.Errorf("without a log: error %v", err)
	}
	for _, step := range []struct {
		text    rules.Text
		clock   time.Duration
		changes string
	}{
		{first, 0, a + " after "}, {first, time.Hour, ""}, {second, 2 * time.Hour, b + " after " + a}, {second, 3 * time.Hour, ""},
		{first, -time.Hour, a + " after " + b}, {first, 0, ""}, {second, -2 * time.Hour, b + " after " + a},
	} {
		if err := r.Load(step.text); err != nil {
			t.Fatal(err)
		}
		if err := r.Keep(ctx, db, book{}, "service:serve", now.Add(step.clock)); err != nil {
			t.Fatal(err)
		}
		if step.changes != "" {
			want = append(want, "rules-activated service:serve "+step.changes)
		}
		if got := column(t, db, `SELECT line FROM book ORDER BY place`); !slices.Equal(got, want) {
			t.Errorf("logged %q, want %q", got, want)
		}
	}
	for _, text := range []rules.Text{first, second} {
		kept := column(t, db, `SELECT model || policy || truth FROM rules_revision WHERE revision = '`+text.Revision()+`'`)
		if !slices.Equal(kept, []string{text.Model + text.Policy + text.Truth}) {
			t.Errorf("revision %s: kept %d texts, or another one", text.Revision(), len(kept))
		}
	}
}

func column(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
