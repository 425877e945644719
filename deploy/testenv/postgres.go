package testenv

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"
)

// Postgres is a running PostgreSQL server and its administrator.
type Postgres struct {
	*Server
	User, Password string
}

// StartPostgres starts a PostgreSQL server over a new cluster that nobody but this test uses. It keeps
// what it is told (fsync on), as a user's would.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	bin := postgresPrograms(t)
	// A folder of its own: PostgreSQL refuses root, and the other user must get in.
	folder, err := os.MkdirTemp("", "klarsyn-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	as := asPostgres(t, folder)
	p := &Postgres{User: "administrator", Password: "an-administrators-password"}
	password := filepath.Join(folder, "password")
	if err := os.WriteFile(password, []byte(p.Password+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(folder, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata", data, "--username", p.User, "--pwfile", password,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync")
	as(initdb)
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	address := Address(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	admin := p.open(t, address, "postgres")
	p.Server = serveAt(t, address, filepath.Join(bin, "postgres"), []string{
		"-D", data, "-h", host, "-p", port, "-k", folder, "-c", "max_connections=200", "-c", "logging_collector=off",
	}, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return admin.PingContext(ctx)
	}, as)
	return p
}

// postgresPrograms is the folder of the newest PostgreSQL that Debian has installed.
func postgresPrograms(t testing.TB) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		Missing(t, "PostgreSQL", "deploy/setup.sh --tests")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4]) //nolint:errcheck // another name sorts first
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest)
}

// asPostgres gives folder to the user under whom PostgreSQL runs: ours, or, as it refuses root, postgres.
func asPostgres(t testing.TB, folder string) Option {
	t.Helper()
	if os.Getuid() != 0 {
		return func(*exec.Cmd) {}
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		Missing(t, "the user postgres", "deploy/setup.sh --tests")
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(folder, uid, gid); err != nil {
		t.Fatal(err)
	}
	return func(c *exec.Cmd) {
		c.Dir = folder
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
}

// Database makes an empty database and returns its address, with the administrator's password in it.
func (p *Postgres) Database(t testing.TB) string {
	t.Helper()
	admin := p.open(t, p.Address, "postgres")
	name := fmt.Sprintf("t%d", time.Now().UnixNano())
	if _, err := admin.ExecContext(t.Context(), `CREATE DATABASE `+name); err != nil {
		t.Fatalf("create database: %v", err)
	}
	return p.url(p.Address, name).String()
}

func (p *Postgres) url(address, database string) *url.URL {
	return &url.URL{Scheme: "postgres", Host: address, Path: "/" + database, User: url.UserPassword(p.User, p.Password), RawQuery: "sslmode=disable"}
}

func (p *Postgres) open(t testing.TB, address, database string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", p.url(address, database).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}
