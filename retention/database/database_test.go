package database_test

import (
	"errors"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"

	"klarsyn/retention/database"
	"klarsyn/retention/database/databasetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(databasetest.Main{M: m}) }

// versions are the tables of an owner that has grown: what an installation of each age has applied.
func versions(n int) database.Owner {
	files := fstest.MapFS{}
	for i, text := range []string{
		"-- +goose Up\nCREATE TABLE thing_one (id TEXT PRIMARY KEY);\n",
		"-- +goose Up\nALTER TABLE thing_one ADD COLUMN name TEXT NOT NULL DEFAULT 'nameless';\n",
		"-- +goose Up\nCREATE INDEX thing_by_name ON thing_one (name);\n",
	}[:n] {
		files[[]string{"00001_one.sql", "00002_name.sql", "00003_index.sql"}[i]] = &fstest.MapFile{Data: []byte(text)}
	}
	return database.Owner{Name: "thing", Files: files}
}

// Tables grow from nothing and from every older state, keep their rows, and are current only then.
func TestMigrate(t *testing.T) {
	for from := range 4 {
		d := databasetest.Open(t)
		if err := database.Migrate(t.Context(), d.DB, databasetest.Dialect(), versions(max(1, from))); from > 0 && err != nil {
			t.Fatal(err)
		}
		if from > 0 {
			if _, err := d.ExecContext(t.Context(), `INSERT INTO thing_one (id) VALUES ('kept')`); err != nil {
				t.Fatal(err)
			}
		}
		err := database.Current(t.Context(), d.DB, databasetest.Dialect(), versions(3))
		if from < 3 != errors.Is(err, database.ErrOutdated) || from == 3 && err != nil {
			t.Errorf("from version %d: %v", from, err)
		}
		for range 2 {
			if err := database.Migrate(t.Context(), d.DB, databasetest.Dialect(), versions(3)); err != nil {
				t.Fatalf("from version %d: %v", from, err)
			}
		}
		if err := database.Current(t.Context(), d.DB, databasetest.Dialect(), versions(3)); err != nil {
			t.Errorf("from version %d, afterwards: %v", from, err)
		}
		var kept int
		if err := d.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM thing_one WHERE name = 'nameless'`).Scan(&kept); err != nil || (kept == 1) != (from > 0) {
			t.Errorf("from version %d: %d rows kept, %v", from, kept, err)
		}
	}
}

// Two owners in one database know nothing of each other's age.
func TestOwnersAreApart(t *testing.T) {
	d := databasetest.Open(t)
	other := database.Owner{Name: "other", Files: fstest.MapFS{"00001_o.sql": {Data: []byte("-- +goose Up\nCREATE TABLE other_one (id TEXT);\n")}}}
	if err := database.Migrate(t.Context(), d.DB, databasetest.Dialect(), versions(2), other); err != nil {
		t.Fatal(err)
	}
	if err := database.Current(t.Context(), d.DB, databasetest.Dialect(), other); err != nil {
		t.Error(err)
	}
	if err := database.Current(t.Context(), d.DB, databasetest.Dialect(), versions(3)); !errors.Is(err, database.ErrOutdated) {
		t.Errorf("the owner that has grown: %v", err)
	}
}
