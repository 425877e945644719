package testenv

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
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
	Address        string
	User, Password string

	folder, program string
	args            []string
	as              Option
	running         *Process
}

// errMissing is a program or user that deploy/setup.sh --tests installs.
type errMissing struct{ what string }

func (e errMissing) Error() string { return e.what + " is missing; run: deploy/setup.sh --tests" }

// StartPostgres starts a PostgreSQL server over a new cluster that nobody but this test uses. It keeps
// what it is told (fsync on), as a user's would.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	p, err := LaunchPostgres()
	var missing errMissing
	if errors.As(err, &missing) {
		Missing(t, missing.what, "deploy/setup.sh --tests")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Remove()
		if t.Failed() {
			t.Logf("output of PostgreSQL:\n%s", tail(p.running.Output(), 4000))
		}
	})
	return p
}

// LaunchPostgres is StartPostgres for who has no test yet, such as a TestMain, with settings such as "fsync=off".
// Who calls it calls Remove.
func LaunchPostgres(settings ...string) (_ *Postgres, err error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	// A folder of its own: PostgreSQL refuses root, and the other user must get in.
	folder, err := os.MkdirTemp("", "klarsyn-postgres-")
	if err != nil {
		return nil, err
	}
	p := &Postgres{User: "administrator", Password: rand.Text(), folder: folder, program: filepath.Join(bin, "postgres")}
	defer func() {
		if err != nil {
			p.Remove()
		}
	}()
	if p.as, err = asPostgres(folder); err != nil {
		return nil, err
	}
	password, data := filepath.Join(folder, "password"), filepath.Join(folder, "data")
	if err := os.WriteFile(password, []byte(p.Password+"\n"), 0o644); err != nil {
		return nil, err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata", data, "--username", p.User, "--pwfile", password,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync")
	p.as(initdb)
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if p.Address, err = freeAddress(); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(p.Address)
	if err != nil {
		return nil, err
	}
	p.args = []string{"-D", data, "-h", host, "-p", port, "-k", folder, "-c", "max_connections=200", "-c", "logging_collector=off"}
	for _, setting := range settings {
		p.args = append(p.args, "-c", setting)
	}
	return p, p.start()
}

func (p *Postgres) start() (err error) {
	if p.running, err = launch(p.program, p.args, []Option{p.as}); err != nil {
		return err
	}
	db, err := sql.Open("pgx", p.url("postgres").String())
	if err != nil {
		return err
	}
	defer db.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := db.PingContext(ctx)
		cancel()
		switch {
		case err == nil:
			return nil
		case p.running.Ended():
			return fmt.Errorf("PostgreSQL ended:\n%s", p.running.Output())
		case time.Now().After(deadline):
			return fmt.Errorf("PostgreSQL does not answer: %w", err)
		}
	}
}

// Start starts the server again after Stop.
func (p *Postgres) Start(t testing.TB) {
	t.Helper()
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
}

// Stop ends the server at once, with all that it is asked just then, and leaves it as a power cut would.
func (p *Postgres) Stop() {
	// SIGQUIT, not SIGKILL: the server takes its children with it, which would else keep the cluster.
	_ = syscall.Kill(p.running.PID(), syscall.SIGQUIT) // it may have ended
	<-p.running.done
}

// Remove stops the server and removes its cluster.
func (p *Postgres) Remove() {
	if p.running != nil {
		p.Stop()
	}
	os.RemoveAll(p.folder)
}

// Database makes an empty database and returns its address, with the administrator's password in it.
func (p *Postgres) Database(t testing.TB) string {
	t.Helper()
	address, err := NewDatabase(p.url("postgres").String())
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// NewDatabase makes an empty database on a server, named by the address of another database on it, and returns
// its address.
func NewDatabase(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", errors.New("the address of the PostgreSQL server is none: want postgres://USER:PASSWORD@HOST:PORT/DATABASE")
	}
	db, err := sql.Open("pgx", server)
	if err != nil {
		return "", err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	name := "t" + strings.ToLower(rand.Text())
	if _, err := db.ExecContext(ctx, `CREATE DATABASE `+name); err != nil {
		return "", fmt.Errorf("create a database: %w", err)
	}
	u.Path = "/" + name
	return u.String(), nil
}

// Server is the address of the server's first database, with the administrator's password in it.
func (p *Postgres) Server() string { return p.url("postgres").String() }

func (p *Postgres) url(database string) *url.URL {
	return &url.URL{Scheme: "postgres", Host: p.Address, Path: "/" + database, User: url.UserPassword(p.User, p.Password), RawQuery: "sslmode=disable"}
}

// postgresPrograms is the folder of the newest PostgreSQL that Debian has installed.
func postgresPrograms() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errMissing{"PostgreSQL"}
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4]) // another name sorts first
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

// asPostgres gives folder to the user under whom PostgreSQL runs: ours, or, as it refuses root, postgres.
func asPostgres(folder string) (Option, error) {
	if os.Getuid() != 0 {
		return func(*exec.Cmd) {}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, errMissing{"the user postgres"}
	}
	uid, uidErr := strconv.Atoi(u.Uid)
	gid, gidErr := strconv.Atoi(u.Gid)
	if err := errors.Join(uidErr, gidErr, os.Chown(folder, uid, gid)); err != nil {
		return nil, err
	}
	return func(c *exec.Cmd) {
		c.Dir = folder
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}, nil
}

// Environment is how psql finds the server and its administrator, without a password in it.
func (p *Postgres) Environment(t testing.TB) []string {
	t.Helper()
	host, port, err := net.SplitHostPort(p.Address)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"PGHOST=" + host, "PGPORT=" + port, "PGUSER=" + p.User, "PGPASSFILE=" + PasswordFile(t, p.User, p.Password), "PGSSLMODE=disable"}
}

// PasswordFile writes a password as psql and Klarsyn read it, and returns the file's path.
func PasswordFile(t testing.TB, user, password string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), user+".pgpass")
	if err := os.WriteFile(path, []byte("*:*:*:"+user+":"+password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
