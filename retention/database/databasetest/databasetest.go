// Package databasetest runs the tests of a package that speaks SQL on every database that Klarsyn supports:
// SQLite, then PostgreSQL.
package databasetest

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"klarsyn/deploy/testenv"
	"klarsyn/policy"
	"klarsyn/retention/database"
)

// variable names the PostgreSQL server that the tests of this process run on; without it they run on SQLite.
const variable = "KLARSYN_TEST_POSTGRES"

// Main is a testing.M whose Run runs all tests once for each database. A package's TestMain passes it to
// goleak.VerifyTestMain, or calls Run.
type Main struct{ M *testing.M }

// Run is what the tests come to on both.
func (m Main) Run() int {
	if os.Getenv(variable) != "" { // somebody gives us a server, and wants to know of nothing else
		return m.M.Run()
	}
	if code := m.M.Run(); code != 0 {
		return code
	}
	// No test of a package cuts the power, and a database for each test is many files to sync.
	server, err := testenv.LaunchPostgres("fsync=off", "full_page_writes=off")
	if err != nil {
		fmt.Fprintln(os.Stderr, "the tests did not run on PostgreSQL:", err)
		if testenv.CI() {
			return 1
		}
		return 0
	}
	defer server.Remove()
	if err := os.Setenv(variable, server.Server()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("on PostgreSQL:")
	return m.M.Run()
}

// Database is one empty database.
type Database struct {
	*sql.DB
	address string
}

// Open makes an empty database that is closed when the test ends.
func Open(t testing.TB) *Database {
	t.Helper()
	d := &Database{address: filepath.Join(t.TempDir(), "database.db")}
	if Dialect() == database.Postgres {
		var err error
		if d.address, err = testenv.NewDatabase(os.Getenv(variable)); err != nil {
			t.Fatal(err)
		}
	}
	d.DB = d.Again(t)
	return d
}

// Address is where the database lies: a file, or a PostgreSQL address.
func (d *Database) Address() string { return d.address }

// Again opens the same database as another process would.
func (d *Database) Again(t testing.TB) *sql.DB {
	t.Helper()
	open := database.OpenSQLite
	if Dialect() == database.Postgres {
		open = database.OpenPostgres
	}
	db, err := open(context.Background(), d.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// Dialect is the one of the database that the tests run on now.
func Dialect() string {
	if os.Getenv(variable) != "" {
		return database.Postgres
	}
	return database.SQLite
}

// Only skips the test on every other database: what it is about exists on one alone.
func Only(t testing.TB, dialect string) {
	t.Helper()
	if here := Dialect(); here != dialect {
		t.Skipf("this is about %s, and now it is the turn of %s", dialect, here)
	}
}

// Logged are the entries that wait in the log for their numbers: in a test that runs no sequencer, all.
func Logged(t testing.TB, db *sql.DB) []policy.Entry {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), `SELECT entry FROM audit_pending ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var logged []policy.Entry
	for rows.Next() {
		var line []byte
		var e policy.Entry
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		logged = append(logged, e)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return logged
}
