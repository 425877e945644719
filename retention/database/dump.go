package database

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// The two programs that come with PostgreSQL.
const (
	dumper   = "pg_dump"
	restorer = "pg_restore"
)

// ErrNoProgram says that a program of PostgreSQL is missing on this machine, or too old for the server.
var ErrNoProgram = errors.New("install PostgreSQL's client programs (Debian: postgresql-client) of the server's version or a newer one")

// DumpPostgres writes the rows of a database into a new file, as they are in the snapshot: see Snapshot. Tables that an owner's
// migrations make are not among it, nor whose they are: who loads them makes the tables first.
func DumpPostgres(ctx context.Context, address, snapshot, path string) error {
	env, err := libpq(address)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("dumping a database: %w", err)
	}
	defer f.Close()
	// Where rows are guarded by policies the backup's role is shown all of them, or what it lacks is missed by who checks the log.
	args := []string{"--format=custom", "--data-only", "--no-password", "--lock-wait-timeout=15s", "--enable-row-security",
		"--exclude-table=*_migrations", "--exclude-table=*_epoch", "--schema=public", "--snapshot=" + snapshot}
	if err := postgresProgram(ctx, dumper, args, env, f); err != nil {
		return errors.Join(fmt.Errorf("dumping a database: %w", err), os.Remove(path))
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("dumping a database: %w", err)
	}
	return nil
}

// CheckDump reports whether a dump can be read from its beginning to its end.
func CheckDump(ctx context.Context, path string) error {
	if err := postgresProgram(ctx, restorer, []string{"--file=/dev/null", "--data-only", path}, nil, nil); err != nil {
		return fmt.Errorf("dump %s: %w", path, err)
	}
	return nil
}

// LoadPostgres loads a dump into tables that are there and empty, in one transaction.
func LoadPostgres(ctx context.Context, address, path string) error {
	env, err := libpq(address)
	if err != nil {
		return err
	}
	u, err := url.Parse(address)
	if err != nil {
		return errAddress
	}
	args := []string{"--data-only", "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--no-password",
		"--dbname=" + strings.Trim(u.Path, "/"), path}
	if err := postgresProgram(ctx, restorer, args, env, nil); err != nil {
		return fmt.Errorf("loading a dump: %w", err)
	}
	return nil
}

var major = regexp.MustCompile(`\) (\d+)`)

// ProgramFits is ErrNoProgram if what dumps and loads is missing, or older than the server.
func ProgramFits(ctx context.Context, db *sql.DB) error {
	var server int
	if err := db.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int / 10000`).Scan(&server); err != nil {
		return fmt.Errorf("asking for the server's version: %w", err)
	}
	for _, name := range []string{dumper, restorer} {
		path, err := exec.LookPath(name)
		if err != nil {
			return fmt.Errorf("%s is not installed: %w", name, ErrNoProgram)
		}
		out, err := exec.CommandContext(ctx, path, "--version").Output()
		if err != nil {
			return fmt.Errorf("%s --version: %w: %w", name, err, ErrNoProgram)
		}
		found := major.FindSubmatch(out)
		if found == nil {
			return fmt.Errorf("%s tells no version: %q: %w", name, bytes.TrimSpace(out), ErrNoProgram)
		}
		if have, err := strconv.Atoi(string(found[1])); err != nil || have < server {
			return fmt.Errorf("%s is of PostgreSQL %s, the server is %d: %w", name, found[1], server, ErrNoProgram)
		}
	}
	return nil
}

// postgresProgram runs a program of PostgreSQL's. Whom it asks, and as whom, stands in its environment: arguments are seen by everybody.
func postgresProgram(ctx context.Context, name string, args, env []string, out *os.File) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return fmt.Errorf("%s is not installed: %w", name, ErrNoProgram)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(env, "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME"), "LC_ALL=C")
	var said bytes.Buffer
	cmd.Stderr = &said
	if out != nil {
		cmd.Stdout = out
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(said.String()))
	}
	return nil
}

var errAddress = errors.New("database: not an address: want postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full")

// variables are what an address may say, as libpq's programs hear it.
var variables = map[string]string{
	"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY", "sslcrl": "PGSSLCRL",
	"sslsni": "PGSSLSNI", "passfile": "PGPASSFILE", "connect_timeout": "PGCONNECT_TIMEOUT", "channel_binding": "PGCHANNELBINDING",
	"krbsrvname": "PGKRBSRVNAME", "target_session_attrs": "PGTARGETSESSIONATTRS", "host": "PGHOST", "port": "PGPORT", "password": "PGPASSWORD",
}

// libpq is the environment that leads PostgreSQL's programs to an address.
func libpq(address string) ([]string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errAddress // not its cause: it may quote a password
	}
	env := []string{"PGDATABASE=" + strings.Trim(u.Path, "/"), "PGUSER=" + u.User.Username(), "PGAPPNAME=klarsyn-backup"}
	if host := u.Hostname(); host != "" {
		env = append(env, "PGHOST="+host)
	}
	if port := u.Port(); port != "" {
		env = append(env, "PGPORT="+port)
	}
	if password, written := u.User.Password(); written {
		env = append(env, "PGPASSWORD="+password)
	}
	for name, values := range u.Query() {
		variable, known := variables[name]
		if !known || len(values) != 1 {
			return nil, fmt.Errorf("database: %s says %q of its address what %s cannot be told", strings.Trim(u.Path, "/"), name, dumper)
		}
		env = append(env, variable+"="+values[0])
	}
	for _, name := range []string{"PGPASSFILE", "PGSSLMODE", "PGSSLROOTCERT", "PGSERVICEFILE"} {
		if value, set := os.LookupEnv(name); set && !u.Query().Has(strings.ToLower(strings.TrimPrefix(name, "PG"))) {
			env = append(env, name+"="+value)
		}
	}
	return env, nil
}

// Snapshot is one state of a PostgreSQL database, which others can read as well while it is kept.
type Snapshot struct {
	*sql.Tx
	Name string
}

// TakeSnapshot keeps the state of the database as it is now. Who takes it rolls it back.
func TakeSnapshot(ctx context.Context, db *sql.DB) (*Snapshot, error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return nil, fmt.Errorf("keeping a state of the database: %w", err)
	}
	s := &Snapshot{Tx: tx}
	// Its owner says nothing while others read for as long as it takes.
	if _, err = tx.ExecContext(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0`); err == nil {
		err = tx.QueryRowContext(ctx, `SELECT pg_export_snapshot()`).Scan(&s.Name)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("keeping a state of the database: %w", err), tx.Rollback())
	}
	return s, nil
}

// Sessions counts who else has a PostgreSQL database open, of Klarsyn's processes.
func Sessions(ctx context.Context, db *sql.DB) (int, error) {
	var n int
	err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'klarsyn' AND pid <> pg_backend_pid()`).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("asking who has the database open: %w", err)
	}
	return n, nil
}
