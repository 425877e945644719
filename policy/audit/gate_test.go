package audit_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/retention/database"
	"klarsyn/retention/database/databasetest"
)

type everything struct{}

func (everything) Allow(policy.Role, policy.Action, string, string) (policy.Verdict, error) {
	return policy.Verdict{Allowed: true, Rule: "test", Revision: "test"}, nil
}

func gateOver(t *testing.T, l *audit.Log) *policy.Gate {
	t.Helper()
	g, err := policy.NewGate(policy.GateConfig{
		Rules: everything{}, Log: l, Viewings: l, Idle: 40 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func look(clip string) policy.Request {
	return policy.Request{
		Action: policy.ViewOriginal, Camera: "k1", Clip: clip, Purpose: policy.CrimeInvestigation, Case: "K-1",
		Permit: policy.Permit{ID: "plattan", Version: 1, Purposes: []string{policy.CrimeInvestigation}},
	}
}

// The Gate over the real log, with players that read ranges at the same time: afterwards both
// invariants hold, and every opening has its closing.
func TestGateOverTheLog(t *testing.T) {
	db := fresh(t).DB
	k := key(t)
	l := newLog(t, db, k)
	g := gateOver(t, l)
	ctx, cancel := context.WithCancel(t.Context())
	var running, players sync.WaitGroup
	running.Go(func() {
		if err := g.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for _, clip := range []string{"A", "B", "A", "C"} {
		players.Go(func() {
			for range 10 {
				grant, err := g.Look(t.Context(), policy.Subject{Name: "anna", Role: policy.Investigator, Session: "s1"}, look(clip))
				if err != nil {
					t.Error(err)
					return
				}
				done, err := g.Respond(t.Context(), grant)
				if errors.Is(err, policy.ErrViewingClosed) {
					continue // so short an idle time may close it between the two
				}
				if err != nil {
					t.Error(err)
					return
				}
				done(100, 0.5)
			}
		})
	}
	players.Wait()
	cancel()
	running.Wait()
	sequenced(t, l)
	clean(t, verified(t, db, k))
	report, err := audit.VerifyViewings(t.Context(), db, databasetest.Dialect())
	if err != nil {
		t.Fatal(err)
	}
	clean(t, report)
	opened, err := l.Entries(t.Context(), audit.Query{Events: []policy.Event{policy.ViewingOpened}})
	if err != nil {
		t.Fatal(err)
	}
	closed, err := l.Entries(t.Context(), audit.Query{Events: []policy.Event{policy.ViewingClosed}})
	if err != nil || len(opened) < 3 || len(opened) != len(closed) {
		t.Errorf("%d viewings opened, %d closed, error %v", len(opened), len(closed), err)
	}
}

// A log that cannot be written opens nothing, for whatever reason it cannot.
func TestNoGrantWithoutTheLog(t *testing.T) {
	for name, breakIt := range map[string]func(t *testing.T, d *databasetest.Database) *sql.DB{
		"read-only": func(t *testing.T, d *databasetest.Database) *sql.DB {
			db := d.Again(t)
			db.SetMaxOpenConns(1) // the setting is of one connection
			if databasetest.Dialect() == database.Postgres {
				exec(t, db, `SET default_transaction_read_only = on`)
			} else {
				exec(t, db, `PRAGMA query_only = ON`)
			}
			return db
		},
		"full": func(t *testing.T, d *databasetest.Database) *sql.DB {
			databasetest.Only(t, database.SQLite) // a PostgreSQL without room stops as a whole
			d.SetMaxOpenConns(1)
			exec(t, d.DB, `PRAGMA max_page_count = 1`) // SQLite makes that the present size
			l := newLog(t, d.DB, nil)
			for l.Record(t.Context(), policy.ServiceStartedEntry("a")) == nil {
				continue // what is larger than this does not fit either
			}
			return d.DB
		},
		"without its table": func(t *testing.T, d *databasetest.Database) *sql.DB {
			exec(t, d.DB, `DROP TABLE audit_pending`)
			return d.DB
		},
		"closed": func(t *testing.T, d *databasetest.Database) *sql.DB {
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			return d.DB
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := fresh(t)
			l := newLog(t, d.DB, nil)
			if err := l.Probe(t.Context()); err != nil {
				t.Errorf("a probe of the whole log: %v", err)
			}
			if n := pending(t, l); n != 0 {
				t.Errorf("the probe left %d entries", n)
			}
			l = newLog(t, breakIt(t, d), nil)
			if err := l.Probe(t.Context()); name != "full" && !errors.Is(err, policy.ErrLogUnavailable) {
				t.Errorf("a probe: error %v, want ErrLogUnavailable", err)
			}
			g := gateOver(t, l)
			denied := look("A")
			denied.Case = ""
			for _, r := range []policy.Request{look("A"), denied} {
				grant, err := g.Look(t.Context(), policy.Subject{Name: "anna", Role: policy.Investigator}, r)
				if grant != (policy.Grant{}) || !errors.Is(err, policy.ErrLogUnavailable) {
					t.Errorf("grant %+v, error %v, want ErrLogUnavailable", grant, err)
				}
			}
		})
	}
}

func TestProcessesMayMigrateAtTheSameTime(t *testing.T) {
	d := databasetest.Open(t)
	var starting sync.WaitGroup
	for range 4 {
		db := d.Again(t)
		starting.Go(func() {
			if err := database.Migrate(t.Context(), db, databasetest.Dialect(), database.Owner{Name: "audit", Files: audit.Migrations()}); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
	record(t, newLog(t, d.DB, nil), 1)
}
