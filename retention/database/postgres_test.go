package database_test

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
	"klarsyn/retention/database"
	"klarsyn/retention/database/databasetest"
)

// What is wrong with an address is said, and its password is not.
func TestOpenPostgresNamesMistakes(t *testing.T) {
	databasetest.Only(t, database.Postgres)
	server := testenv.StartPostgres(t)
	good, err := url.Parse(server.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(*url.URL)) string {
		u := *good
		change(&u)
		return u.String()
	}
	for name, c := range map[string]struct{ address, want string }{
		"no address":     {"postgres://anna:s3cret@:x y/", "postgres://USER@HOST"},
		"nobody there":   {with(func(u *url.URL) { u.Host = "127.0.0.1:1"; u.User = url.UserPassword("anna", "s3cret") }), "127.0.0.1:1"},
		"wrong password": {with(func(u *url.URL) { u.User = url.UserPassword(server.User, "s3cret") }), "password authentication failed"},
		"no database":    {with(func(u *url.URL) { u.Path = "/nowhere" }), "nowhere"},
		"TLS demanded":   {with(func(u *url.URL) { u.RawQuery = "sslmode=require" }), "TLS"},
	} {
		db, err := database.OpenPostgres(t.Context(), c.address)
		if err == nil {
			db.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), server.Password) {
			t.Errorf("%s: %v, want something of %q and no password", name, err, c.want)
		}
	}
}

// The password may lie in a file of its own, out of addresses and process lists.
func TestPasswordFile(t *testing.T) {
	databasetest.Only(t, database.Postgres)
	server := testenv.StartPostgres(t)
	u, err := url.Parse(server.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "passwords")
	if err := os.WriteFile(file, []byte("*:*:*:"+server.User+":"+server.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.User = url.User(server.User)
	u.RawQuery += "&passfile=" + url.QueryEscape(file)
	db, err := database.OpenPostgres(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
}

// A server that was stopped fails what it is asked meanwhile, soon, and is used again by the same pool.
func TestReconnect(t *testing.T) {
	databasetest.Only(t, database.Postgres)
	server := testenv.StartPostgres(t)
	db, err := database.OpenPostgres(t.Context(), server.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE kept (n BIGINT)`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `INSERT INTO kept VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	began := time.Now()
	if _, err := db.ExecContext(t.Context(), `INSERT INTO kept VALUES (2)`); err == nil {
		t.Error("a stopped server took a row")
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s to find the server away", took)
	}
	server.Start(t)
	var n int
	testenv.Eventually(t, 20*time.Second, "the pool finds the server again", func() bool {
		return db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM kept`).Scan(&n) == nil
	})
	if n != 1 {
		t.Errorf("%d rows are left of the one that was acknowledged", n)
	}
}

// Nobody waits for ever: for a lock, for a statement, for who forgot his transaction.
func TestPatienceEnds(t *testing.T) {
	databasetest.Only(t, database.Postgres)
	d := databasetest.Open(t)
	for setting, want := range map[string]string{
		"statement_timeout": "30s", "lock_timeout": "15s", "idle_in_transaction_session_timeout": "1min", "synchronous_commit": "on", "TimeZone": "UTC",
	} {
		var have string
		if err := d.QueryRowContext(t.Context(), `SELECT current_setting($1)`, setting).Scan(&have); err != nil || have != want {
			t.Errorf("%s is %q, %v, want %q", setting, have, err, want)
		}
	}
	// And a context is obeyed at once, by a statement that runs.
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	var none sql.NullString
	if err := d.QueryRowContext(ctx, `SELECT pg_sleep(20)`).Scan(&none); err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}
