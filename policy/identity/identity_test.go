package identity_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"go.uber.org/goleak"

	"klarsyn/policy"
	"klarsyn/policy/identity"
	"klarsyn/retention/database"
	"klarsyn/retention/database/databasetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(databasetest.Main{M: m}, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

// book is a log that keeps entries in memory, refuses what the real one would, and fails when told to.
type book struct {
	mu      sync.Mutex
	entries []policy.Entry
	fail    error
}

func (b *book) Append(ctx context.Context, _ *sql.Tx, e policy.Entry) error {
	return b.Record(ctx, e)
}

func (b *book) Record(ctx context.Context, e policy.Entry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := errors.Join(b.fail, ctx.Err(), e.Validate()); err != nil {
		return err
	}
	b.entries = append(b.entries, e)
	return nil
}

func (b *book) take() []policy.Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.entries
	b.entries = nil
	return taken
}

type bench struct {
	*identity.Accounts
	db  *sql.DB
	log *book
	now time.Time
}

const password = "correct-horse-battery"

func setUp(t *testing.T) *bench {
	t.Helper()
	db := databasetest.Open(t).DB
	for range 2 {
		if err := database.Migrate(t.Context(), db, databasetest.Dialect(), database.Owner{Name: "identity", Files: identity.Migrations()}); err != nil {
			t.Fatal(err)
		}
	}
	b := &bench{db: db, log: &book{}, now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	var err error
	b.Accounts, err = identity.NewAccounts(identity.Config{
		DB: db, Log: b.log, Cost: identity.Cost{Memory: 64, Time: 1, Threads: 1},
		Now: func() time.Time { return b.now }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) with(t *testing.T, name string, role policy.Role) {
	t.Helper()
	if err := b.Create(t.Context(), name, role, password); err != nil {
		t.Fatal(err)
	}
	b.log.take()
}

func TestLogin(t *testing.T) {
	b := setUp(t)
	b.with(t, "anna", policy.Investigator)
	b.with(t, "gone", policy.Operator)
	if err := b.Disable(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, name, password string
		want                 error
		actor, reason        string
	}{
		{"right", "anna", password, nil, "anna", ""},
		{"wrong password", "anna", password + "x", identity.ErrBadLogin, "anna", "wrong password"},
		{"no password", "anna", "", identity.ErrBadLogin, "anna", "wrong password"},
		{"unknown name", "nobody", password, identity.ErrBadLogin, "unknown", "unknown account"},
		{"password as name", password, password, identity.ErrBadLogin, "unknown", "unknown account"},
		{"very long name", strings.Repeat("a", 1<<20), password, identity.ErrBadLogin, "unknown", "unknown account"},
		{"very long password", "anna", strings.Repeat("a", 1<<20), identity.ErrBadLogin, "unknown", "unknown account"},
		{"disabled account", "gone", password, identity.ErrBadLogin, "gone", "disabled account"},
		{"upper case", "Anna", password, identity.ErrBadLogin, "unknown", "unknown account"},
		{"SQL", "' OR 1=1 --", password, identity.ErrBadLogin, "unknown", "unknown account"},
	} {
		b.log.take()
		b.now = b.now.Add(time.Hour)
		subject, err := b.Authenticate(t.Context(), c.name, c.password, "192.0.2.7")
		if !errors.Is(err, c.want) || (err == nil) != (subject.Name != "") {
			t.Errorf("%s: subject %+v, error %v, want %v", c.what, subject, err, c.want)
		}
		entries := b.log.take()
		if len(entries) != 1 || entries[0].Actor != c.actor || entries[0].Reason != c.reason || entries[0].Remote != "192.0.2.7" {
			t.Errorf("%s: logged %+v, want one entry of %s, %q", c.what, entries, c.actor, c.reason)
		}
		if err == nil && (subject.Role != policy.Investigator || subject.Session == "" || entries[0].Session != subject.Session) {
			t.Errorf("%s: subject %+v, entry %+v", c.what, subject, entries[0])
		}
	}
}

func TestNoLoginWithoutTheLog(t *testing.T) {
	b := setUp(t)
	b.with(t, "anna", policy.Investigator)
	b.log.fail = policy.ErrLogUnavailable
	for _, p := range []string{password, "wrong"} {
		if s, err := b.Authenticate(t.Context(), "anna", p, "192.0.2.7"); !errors.Is(err, policy.ErrLogUnavailable) || s != (policy.Subject{}) {
			t.Errorf("subject %+v, error %v, want ErrLogUnavailable", s, err)
		}
	}
	if err := b.Create(t.Context(), "bo", policy.Operator, password); !errors.Is(err, policy.ErrLogUnavailable) {
		t.Errorf("create: error %v, want ErrLogUnavailable", err)
	}
	b.log.fail = nil
	if _, err := b.Authenticate(t.Context(), "bo", password, "192.0.2.8"); !errors.Is(err, identity.ErrBadLogin) {
		t.Errorf("an account exists that was not logged: error %v", err)
	}
}

func TestAccountRules(t *testing.T) {
	b := setUp(t)
	b.with(t, "anna", policy.Investigator)
	for _, c := range []struct {
		what, name string
		role       policy.Role
		password   string
		want       error
	}{
		{"short password", "bo", policy.Auditor, "elevenchars", identity.ErrWeakPassword},
		{"endless password", "bo", policy.Auditor, strings.Repeat("a", 129), identity.ErrWeakPassword},
		{"not text", "bo", policy.Auditor, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", identity.ErrWeakPassword},
		{"no role", "bo", "", password, identity.ErrBadRole},
		{"unknown role", "bo", "root", password, identity.ErrBadRole},
		{"bad name", "Bo B", policy.Auditor, password, identity.ErrBadName},
		{"taken name", "anna", policy.Auditor, password, identity.ErrExists},
		{"twelve letters", "bo", policy.Auditor, "twelveletter", nil},
	} {
		if err := b.Create(t.Context(), c.name, c.role, c.password); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.what, err, c.want)
		}
	}
	if entries := b.log.take(); len(entries) != 1 || entries[0].Event != policy.AccountCreated || entries[0].Object != "account:bo" {
		t.Errorf("logged %+v, want the one account that was made", entries)
	}
	for what, err := range map[string]error{
		"password": b.SetPassword(t.Context(), "nobody", password), "role": b.SetRole(t.Context(), "nobody", policy.Auditor),
		"enabling": b.Enable(t.Context(), "nobody"), "disabling": b.Disable(t.Context(), "nobody"),
	} {
		if !errors.Is(err, identity.ErrNoAccount) {
			t.Errorf("%s of nobody: error %v", what, err)
		}
	}
	if err := b.SetRole(t.Context(), "anna", "root"); !errors.Is(err, identity.ErrBadRole) {
		t.Errorf("an unknown role: error %v", err)
	}
	var hash string
	if err := b.db.QueryRowContext(t.Context(), `SELECT hash FROM identity_account WHERE name = 'anna'`).Scan(&hash); err != nil ||
		!strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=1,p=1$") || strings.Contains(hash, password) {
		t.Errorf("stored hash %q, error %v", hash, err)
	}
}

func TestChangedAccountEndsItsSessions(t *testing.T) {
	for name, change := range map[string]func(*bench) error{
		"disabled":         func(b *bench) error { return b.Disable(context.Background(), "anna") },
		"password changed": func(b *bench) error { return b.SetPassword(context.Background(), "anna", password+"2") },
		"another role":     func(b *bench) error { return b.SetRole(context.Background(), "anna", policy.Operator) },
		"disabled for a while": func(b *bench) error {
			return errors.Join(b.Disable(context.Background(), "anna"), b.Enable(context.Background(), "anna"))
		},
	} {
		b := setUp(t)
		b.with(t, "anna", policy.Investigator)
		s, err := b.Authenticate(t.Context(), "anna", password, "192.0.2.7")
		if err != nil {
			t.Fatal(err)
		}
		since := b.now
		if err := b.Current(t.Context(), s, since); err != nil {
			t.Errorf("%s: before: error %v", name, err)
		}
		b.now = b.now.Add(time.Second)
		if err := change(b); err != nil {
			t.Fatal(err)
		}
		if err := b.Current(t.Context(), s, since); !errors.Is(err, identity.ErrRevoked) {
			t.Errorf("%s: after: error %v, want ErrRevoked", name, err)
		}
		for _, e := range b.log.take()[1:] {
			if e.Event != policy.AccountChanged || e.Object != "account:anna" || e.Details["changed"] == "" {
				t.Errorf("%s: logged %+v", name, e)
			}
		}
		again, err := b.Authenticate(t.Context(), "anna", password, "192.0.2.7")
		switch name {
		case "disabled", "password changed":
			if !errors.Is(err, identity.ErrBadLogin) {
				t.Errorf("%s: login as before: error %v", name, err)
			}
		default:
			if err != nil || (again.Role == policy.Operator) != (name == "another role") {
				t.Errorf("%s: login as before: %+v, error %v", name, again, err)
			}
		}
		promoted := s
		promoted.Role = policy.Auditor
		if err := b.Current(t.Context(), promoted, since); !errors.Is(err, identity.ErrRevoked) {
			t.Errorf("%s: another role: error %v, want ErrRevoked", name, err)
		}
	}
}

func TestNewPassword(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		p := identity.NewPassword()
		if len(p) != 29 || strings.Count(p, "-") != 4 || strings.ContainsAny(p, "ilou") || seen[p] || identity.CheckPassword(p) != nil {
			t.Fatalf("password %q", p)
		}
		seen[p] = true
	}
}

func TestSessions(t *testing.T) {
	b := setUp(t)
	s := identity.NewSessions(b.db, func() time.Time { return b.now }, nil)
	if err := s.Commit("t1", []byte("one"), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit("t1", []byte("two"), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit("t2", []byte("short"), time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	find := func(token, want string) {
		t.Helper()
		data, found, err := s.Find(token)
		if err != nil || found != (want != "") || string(data) != want {
			t.Errorf("%s: %q, found %v, error %v, want %q", token, data, found, err, want)
		}
	}
	find("t1", "two")
	find("t2", "short")
	find("none", "")
	b.now = b.now.Add(time.Minute)
	find("t2", "")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	deadline := time.Now().Add(10 * time.Second)
	for rows := 2; rows != 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d sessions are left: expired ones are not removed", rows)
		}
		if err := b.db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM identity_session`).Scan(&rows); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := s.Delete("t1"); err != nil {
			t.Error(err)
		}
	}
	find("t1", "")
	// A request that was under way when its session ended does not bring it back.
	if err := s.Commit("t1", []byte("late"), time.Now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
	find("t1", "")
}

func TestSessionManagerKeepsNoToken(t *testing.T) {
	b := setUp(t)
	manager := &scs.SessionManager{ // scs.New starts a goroutine for a store that is not used
		Store: identity.NewSessions(b.db, nil, nil), HashTokenInStore: true, Lifetime: time.Hour, Codec: scs.GobCodec{},
	}
	ctx, err := manager.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	manager.Put(ctx, "name", "anna")
	token, _, err := manager.Commit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var stored string
	if err := b.db.QueryRowContext(t.Context(), `SELECT token FROM identity_session`).Scan(&stored); err != nil || stored == token {
		t.Errorf("stored token %q, cookie %q, error %v", stored, token, err)
	}
	ctx, err = manager.Load(t.Context(), token)
	if err != nil || manager.GetString(ctx, "name") != "anna" {
		t.Errorf("session not found again: error %v", err)
	}
}
