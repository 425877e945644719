package database_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"klarsyn/retention/database"
	"klarsyn/retention/database/databasetest"
)

// The processes that share a database file run as different users of one group: each may write what another one
// made, also the files that SQLite puts beside it, whatever anybody's umask.
func TestFileIsSharedWhateverTheUmask(t *testing.T) {
	databasetest.Only(t, database.SQLite)
	defer syscall.Umask(syscall.Umask(0o022))
	for folder, want := range map[fs.FileMode]fs.FileMode{0o770 | fs.ModeSetgid: 0o660, 0o750: 0o640, 0o700: 0o600} {
		path := t.TempDir()
		if err := os.Chmod(path, folder); err != nil {
			t.Fatal(err)
		}
		db, err := database.OpenSQLite(t.Context(), filepath.Join(path, "rows.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), `CREATE TABLE thing (id TEXT)`); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"rows.db", "rows.db-wal", "rows.db-shm"} {
			if st, err := os.Stat(filepath.Join(path, name)); err != nil || st.Mode() != want {
				t.Errorf("in a folder of mode %s: %s, %v, want %s", folder, name, err, want)
			}
		}
	}
}

// A file that is there keeps the mode that somebody gave it.
func TestOldFileKeepsItsMode(t *testing.T) {
	databasetest.Only(t, database.SQLite)
	path := filepath.Join(t.TempDir(), "rows.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(path), 0o770); err != nil {
		t.Fatal(err)
	}
	db, err := database.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}
