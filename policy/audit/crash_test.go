package audit_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"sync"
	"testing"

	"klarsyn/policy/audit"
	"klarsyn/retention/database"
	"klarsyn/retention/database/databasetest"
)

// errCrash is what a process that died would have seen, had it lived.
var errCrash = errors.New("crash")

// dying opens connections that die with the n'th thing that they are asked: before it is done, or after it was
// done and before anybody learns of it. Nothing is done after that.
type dying struct {
	driver driver.Driver
	dsn    string
	after  bool

	mu   sync.Mutex
	left int
	dead bool
}

func (d *dying) Connect(context.Context) (driver.Conn, error) {
	c, err := d.driver.Open(d.dsn)
	if err != nil {
		return nil, err
	}
	return &mortal{c.(conn), d}, nil
}

func (d *dying) Driver() driver.Driver { return d.driver }

// step reports whether to do the thing, and whether to own up to it.
func (d *dying) step() (do, tell bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return false, false
	}
	if d.left--; d.left > 0 {
		return true, true
	}
	d.dead = true
	return d.after, false
}

type conn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
}

type mortal struct {
	conn
	world *dying
}

func (m *mortal) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	do, tell := m.world.step()
	if !do {
		return nil, errCrash
	}
	tx, err := m.conn.BeginTx(ctx, o)
	if !tell {
		return nil, errCrash
	}
	return &mortalTx{tx, m.world}, err
}

func (m *mortal) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	do, tell := m.world.step()
	if !do {
		return nil, errCrash
	}
	result, err := m.conn.ExecContext(ctx, query, args)
	if !tell {
		return nil, errCrash
	}
	return result, err
}

func (m *mortal) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	do, tell := m.world.step()
	if !do {
		return nil, errCrash
	}
	rows, err := m.conn.QueryContext(ctx, query, args)
	if !tell {
		if err == nil {
			_ = drained(rows)
		}
		return nil, errCrash
	}
	return rows, err
}

// drained lets an UPDATE … RETURNING have its effect.
func drained(rows driver.Rows) error {
	row := make([]driver.Value, len(rows.Columns()))
	for {
		if err := rows.Next(row); errors.Is(err, io.EOF) || err != nil {
			return rows.Close()
		}
	}
}

type mortalTx struct {
	driver.Tx
	world *dying
}

func (m *mortalTx) Commit() error {
	do, tell := m.world.step()
	if !do {
		return errCrash
	}
	err := m.Tx.Commit()
	if !tell {
		return errCrash
	}
	return err
}

// Wherever the sequencer dies, in whatever it does, the next one goes on: no fork, no gap, nothing lost, and what was
// exported before is a part of what is exported after.
func TestCrashAtEveryStepOfSequencing(t *testing.T) {
	databasetest.Only(t, database.SQLite) // the steps are the same; a server's own crash is PostgreSQL's to survive
	for _, rotate := range []bool{false, true} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("rotating %v, after the step %v", rotate, after), func(t *testing.T) {
				step := 1
				for ; crashes(t, step, after, rotate); step++ {
				}
				t.Logf("%d steps", step-1)
				if step < 12 {
					t.Errorf("the sequencer made %d steps only: nothing was tried", step-1)
				}
			})
		}
	}
}

// crashes lets a sequencer die at a step, and reports whether it came to that.
func crashes(t *testing.T, step int, after, rotate bool) bool {
	t.Helper()
	d := fresh(t)
	exec(t, d.DB, `PRAGMA synchronous = OFF`)
	dir, export := t.TempDir(), t.TempDir()
	k, err := audit.LoadOrCreateKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	l := newLog(t, d.DB, k)
	record(t, l, 5)
	sequenced(t, l)
	exported(t, l, k, export)
	record(t, l, 7)
	if rotate {
		if _, err := audit.PrepareRotation(dir); err != nil {
			t.Fatal(err)
		}
	}
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(5000)", "synchronous(OFF)"}}
	world := &dying{
		driver: d.Driver(), dsn: (&url.URL{Scheme: "file", Opaque: url.PathEscape(d.Address()), RawQuery: q.Encode()}).String(), after: after, left: step,
	}
	db := sql.OpenDB(world)
	dies, err := audit.New(audit.Config{DB: db, Dialect: databasetest.Dialect(), Key: k, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	err = dies.Sequence(t.Context())
	if err := db.Close(); err != nil { // the process is gone, and with it what it had begun
		t.Fatal(err)
	}
	if !world.dead {
		if err != nil {
			t.Fatal(err)
		}
		return false
	}
	// The lease of the dead one runs out.
	exec(t, d.DB, `UPDATE audit_sequencer SET expires = 0`)
	if k, err = audit.LoadKey(dir); err != nil {
		t.Fatalf("step %d: %v", step, err)
	}
	l = newLog(t, d.DB, k)
	record(t, l, 3)
	sequenced(t, l)
	if k, err = audit.LoadKey(dir); err != nil {
		t.Fatalf("step %d: %v", step, err)
	}
	clean(t, verified(t, d.DB, k))
	said := exported(t, l, k, export)
	if report := checked(t, export, k.Public); len(report.Problems) > 0 {
		t.Fatalf("step %d: %+v", step, report.Problems)
	}
	want := int64(15)
	if rotate {
		want++ // and the entry that says so
	}
	if said.Entries != want {
		t.Fatalf("step %d: %d entries, want %d", step, said.Entries, want)
	}
	return true
}
