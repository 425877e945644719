package audit_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/audit"
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
	db, _ := database(t)
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
	clean(t, verify(t, db, k))
	report, err := audit.VerifyViewings(t.Context(), db, "sqlite3")
	if err != nil {
		t.Fatal(err)
	}
	clean(t, report)
	opened, err := l.Entries(t.Context(), audit.Query{Event: policy.ViewingOpened})
	if err != nil {
		t.Fatal(err)
	}
	closed, err := l.Entries(t.Context(), audit.Query{Event: policy.ViewingClosed})
	if err != nil || len(opened) < 3 || len(opened) != len(closed) {
		t.Errorf("%d viewings opened, %d closed, error %v", len(opened), len(closed), err)
	}
}

// A log that cannot be written opens nothing, for whatever reason it cannot.
func TestNoGrantWithoutTheLog(t *testing.T) {
	for name, breakIt := range map[string]func(t *testing.T, db *sql.DB, path string) *sql.DB{
		"read-only": func(t *testing.T, _ *sql.DB, path string) *sql.DB {
			db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			return db
		},
		"full": func(t *testing.T, db *sql.DB, _ string) *sql.DB {
			db.SetMaxOpenConns(1)                    // the pragma is of one connection
			exec(t, db, `PRAGMA max_page_count = 1`) // SQLite makes that the present size
			l := newLog(t, db, nil)
			for l.Record(t.Context(), policy.Entry{Event: "e", Actor: "a"}) == nil {
				continue // what is larger than this does not fit either
			}
			return db
		},
		"without its table": func(t *testing.T, db *sql.DB, _ string) *sql.DB {
			exec(t, db, `DROP TABLE audit_leaf`)
			return db
		},
		"closed": func(t *testing.T, db *sql.DB, _ string) *sql.DB {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			return db
		},
	} {
		t.Run(name, func(t *testing.T) {
			db, path := database(t)
			l := newLog(t, db, nil)
			if err := l.Probe(t.Context()); err != nil {
				t.Errorf("a probe of the whole log: %v", err)
			}
			if n := pending(t, l); n != 0 {
				t.Errorf("the probe left %d entries", n)
			}
			l = newLog(t, breakIt(t, db, path), nil)
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
	path := filepath.Join(t.TempDir(), "klarsyn.db")
	var starting sync.WaitGroup
	for range 4 {
		db := open(t, path)
		starting.Go(func() {
			if err := audit.Migrate(t.Context(), db, "sqlite3"); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
	record(t, newLog(t, open(t, path), nil), 1)
}
