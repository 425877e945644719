package database_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"klarsyn/retention/database"
	"klarsyn/retention/database/databasetest"
)

// A copy of a database that is in use is one state of it, and holds nothing that was deleted.
func TestCopySQLite(t *testing.T) {
	databasetest.Only(t, database.SQLite)
	d := databasetest.Open(t)
	for _, statement := range []string{
		`CREATE TABLE thing (id TEXT)`, `INSERT INTO thing VALUES ('a-row-that-was-deleted'), ('a-row-that-stays')`, `DELETE FROM thing WHERE id LIKE '%deleted'`,
	} {
		if _, err := d.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := database.CopySQLite(t.Context(), d.DB, path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || bytes.Contains(b, []byte("was-deleted")) || !bytes.Contains(b, []byte("a-row-that-stays")) {
		t.Errorf("the copy of %d bytes holds what was deleted, or lacks what was not: %v", len(b), err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if err := database.CopySQLite(t.Context(), d.DB, path); err == nil {
		t.Error("a copy was overwritten")
	}
	read, err := database.ReadSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	if _, err := read.ExecContext(t.Context(), `DELETE FROM thing`); err == nil {
		t.Error("a copy was changed")
	}
	if err := database.Unshared(t.Context(), d.Address()); !errors.Is(err, database.ErrShared) {
		t.Errorf("a database that is open elsewhere: %v", err)
	}
	if err := errors.Join(d.Close(), database.Unshared(t.Context(), d.Address())); err != nil {
		t.Errorf("one that nobody has open: %v", err)
	}
	if err := os.WriteFile(path, append(b[:len(b)/2:len(b)/2], make([]byte, len(b)/2)...), 0o600); err != nil {
		t.Fatal(err)
	}
	if db, err := database.ReadSQLite(t.Context(), path); err == nil {
		db.Close()
		t.Error("a damaged file was opened")
	}
}

// A dump is of the snapshot that was kept, not of what was written since, and fits into tables made anew.
func TestDumpPostgres(t *testing.T) {
	databasetest.Only(t, database.Postgres)
	d := databasetest.Open(t)
	if err := database.Migrate(t.Context(), d.DB, database.Postgres, versions(2)); err != nil {
		t.Fatal(err)
	}
	made, err := database.Versions(t.Context(), d.DB, database.Postgres, versions(3))
	if err != nil || made["thing"] != 2 {
		t.Fatalf("versions %v, %v", made, err)
	}
	if _, err := d.ExecContext(t.Context(), `INSERT INTO thing_one (id) VALUES ('before')`); err != nil {
		t.Fatal(err)
	}
	if err := database.ProgramFits(t.Context(), d.DB); err != nil {
		t.Fatal(err)
	}
	state, err := database.TakeSnapshot(t.Context(), d.DB)
	if err != nil {
		t.Fatal(err)
	}
	defer state.Rollback()
	if _, err := d.ExecContext(t.Context(), `INSERT INTO thing_one (id) VALUES ('after')`); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rows.dump")
	if err := database.DumpPostgres(t.Context(), d.Address(), state.Name, path); err != nil {
		t.Fatal(err)
	}
	if err := state.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := database.CheckDump(t.Context(), path); err != nil {
		t.Error(err)
	}
	if err := database.MoveSchema(t.Context(), d.Address(), "before", "thing_one"); err != nil {
		t.Fatal(err)
	}
	if err := database.MigrateTo(t.Context(), d.DB, database.Postgres, versions(3), 2); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(database.LoadPostgres(t.Context(), d.Address(), path), database.Migrate(t.Context(), d.DB, database.Postgres, versions(3))); err != nil {
		t.Fatal(err)
	}
	var id string
	if err := d.QueryRowContext(t.Context(), `SELECT string_agg(id, ' ') FROM public.thing_one`).Scan(&id); err != nil || id != "before" {
		t.Errorf("it holds %q, %v", id, err)
	}
	if err := d.QueryRowContext(t.Context(), `SELECT string_agg(id, ' ' ORDER BY id) FROM before.thing_one`).Scan(&id); err != nil || id != "after before" {
		t.Errorf("what was moved aside holds %q, %v", id, err)
	}
	if err := database.MigrateTo(t.Context(), d.DB, database.Postgres, versions(2), 3); err == nil {
		t.Error("tables of a version that is not known were made")
	}
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, b[:len(b)/2], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := database.CheckDump(t.Context(), path); err == nil {
		t.Error("half a dump passes for a whole one")
	}
	t.Setenv("PATH", t.TempDir())
	if err := database.ProgramFits(t.Context(), d.DB); !errors.Is(err, database.ErrNoProgram) {
		t.Errorf("without the programs: %v", err)
	}
}
