// Package identity knows who somebody is: local accounts with argon2id passwords, slow answers to
// guessing, every login and failure in the audit log, and the server's sessions.
package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"time"

	"klarsyn/policy"
)

// Errors that a caller must tell apart.
var (
	ErrBadLogin  = errors.New("name or password is wrong") // the same for unknown, wrong and disabled
	ErrBadName   = errors.New("not an account name: want 1 to 63 of a-z, 0-9, '.', '_', '@' and '-', beginning with a letter or digit")
	ErrBadRole   = errors.New("not a role")
	ErrExists    = errors.New("an account of that name exists")
	ErrNoAccount = errors.New("no such account")
	ErrRevoked   = errors.New("the account was disabled or changed: log in again")
)

// WaitError says that too many logins failed, and for how long none will be tried.
type WaitError struct{ For time.Duration }

func (e *WaitError) Error() string {
	return fmt.Sprintf("too many failed logins: wait %s", e.For.Round(time.Second))
}

// Config is what Accounts need. DB and Log are required.
type Config struct {
	DB     *sql.DB
	Log    policy.Log
	Actor  string           // who the log says made or changed accounts; "": "service:identity"
	Cost   Cost             // zero: DefaultCost
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: slog.Default
}

// Accounts are the local accounts of one database.
type Accounts struct {
	cfg      Config
	hasher   *hasher
	decoy    string // hash of nobody's password: an unknown name costs the same work as a known one
	throttle *throttle
	failures *policy.Coalescer
}

// NewAccounts checks the configuration. The tables must exist: see Migrate.
func NewAccounts(cfg Config) (*Accounts, error) {
	if cfg.DB == nil || cfg.Log == nil {
		return nil, errors.New("accounts: database and log must be given: no login without a log")
	}
	if cfg.Actor == "" {
		cfg.Actor = "service:identity"
	}
	if cfg.Cost == (Cost{}) {
		cfg.Cost = DefaultCost()
	}
	if !cfg.Cost.bounded() {
		return nil, fmt.Errorf("accounts: password cost %+v is out of bounds", cfg.Cost)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	a := &Accounts{
		cfg: cfg, hasher: newHasher(cfg.Cost),
		throttle: newThrottle(), failures: policy.NewCoalescer(cfg.Log, cfg.Now),
	}
	var err error
	a.decoy, err = a.hasher.hash(context.Background(), NewPassword())
	return a, err
}

var accountName = regexp.MustCompile(`^[a-z0-9][a-z0-9._@-]{0,62}$`)

// Create makes an account. The account and its log entry stand or fall together.
func (a *Accounts) Create(ctx context.Context, name string, role policy.Role, password string) error {
	if !accountName.MatchString(name) {
		return fmt.Errorf("create account %q: %w", name, ErrBadName)
	}
	if !slices.Contains(policy.Roles(), role) {
		return fmt.Errorf("create account %s with role %q: %w", name, role, ErrBadRole)
	}
	if err := CheckPassword(password); err != nil {
		return fmt.Errorf("create account %s: %w", name, err)
	}
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return fmt.Errorf("create account %s: %w", name, err)
	}
	now := a.cfg.Now().UnixMicro()
	entry := policy.AccountCreatedEntry(a.cfg.Actor, name, role)
	return a.change(ctx, entry, ErrExists, `
		INSERT INTO identity_account (name, role, hash, created, changed) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (name) DO NOTHING`, name, string(role), hash, now, now)
}

// SetPassword replaces a password. Sessions from before are over.
func (a *Accounts) SetPassword(ctx context.Context, name, password string) error {
	if err := CheckPassword(password); err != nil {
		return fmt.Errorf("set password of %s: %w", name, err)
	}
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return fmt.Errorf("set password of %s: %w", name, err)
	}
	entry := policy.AccountChangedEntry(a.cfg.Actor, name, policy.AccountChange{What: "password"})
	return a.change(ctx, entry, ErrNoAccount, `UPDATE identity_account SET hash = $1, changed = $2 WHERE name = $3`,
		hash, a.cfg.Now().UnixMicro(), name)
}

// SetRole gives an account another role. Sessions from before are over.
func (a *Accounts) SetRole(ctx context.Context, name string, role policy.Role) error {
	if !slices.Contains(policy.Roles(), role) {
		return fmt.Errorf("set role of %s to %q: %w", name, role, ErrBadRole)
	}
	entry := policy.AccountChangedEntry(a.cfg.Actor, name, policy.AccountChange{What: "role", Role: role})
	return a.change(ctx, entry, ErrNoAccount, `UPDATE identity_account SET role = $1, changed = $2 WHERE name = $3`,
		string(role), a.cfg.Now().UnixMicro(), name)
}

// Enable lets an account that was disabled log in again.
func (a *Accounts) Enable(ctx context.Context, name string) error {
	entry := policy.AccountChangedEntry(a.cfg.Actor, name, policy.AccountChange{What: "enabled"})
	return a.change(ctx, entry, ErrNoAccount, `UPDATE identity_account SET disabled = NULL, changed = $1 WHERE name = $2`,
		a.cfg.Now().UnixMicro(), name)
}

// Disable ends an account: no login, and its sessions are over.
func (a *Accounts) Disable(ctx context.Context, name string) error {
	now := a.cfg.Now().UnixMicro()
	entry := policy.AccountChangedEntry(a.cfg.Actor, name, policy.AccountChange{What: "disabled"})
	return a.change(ctx, entry, ErrNoAccount, `UPDATE identity_account SET disabled = $1, changed = $2 WHERE name = $3`, now, now, name)
}

// change runs one statement and logs it in the same transaction; none is the error if it met no row.
func (a *Accounts) change(ctx context.Context, entry policy.Entry, none error, statement string, args ...any) error {
	tx, err := a.cfg.DB.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", entry.Event, entry.Object, err)
	}
	defer tx.Rollback()
	result, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", entry.Event, entry.Object, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return fmt.Errorf("%s of %s: %w", entry.Event, entry.Object, errors.Join(none, err))
	}
	if err := a.cfg.Log.Append(ctx, tx, entry); err != nil {
		return fmt.Errorf("%s of %s: %w", entry.Event, entry.Object, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%s of %s: %w", entry.Event, entry.Object, err)
	}
	return nil
}

type account struct {
	role     policy.Role
	hash     string
	changed  int64
	disabled bool
}

// Current fails with ErrRevoked if the account of a session that began at since is disabled, gone, has
// another role, or was changed after that. The server asks it at every request.
func (a *Accounts) Current(ctx context.Context, s policy.Subject, since time.Time) error {
	found, known, err := a.find(ctx, s.Name)
	if err != nil {
		return err
	}
	if !known || found.disabled || found.role != s.Role || found.changed > since.UnixMicro() {
		return fmt.Errorf("session of %s: %w", s.Name, ErrRevoked)
	}
	return nil
}

func (a *Accounts) find(ctx context.Context, name string) (account, bool, error) {
	var found account
	var role string
	var disabled sql.NullInt64
	err := a.cfg.DB.QueryRowContext(ctx, `SELECT role, hash, changed, disabled FROM identity_account WHERE name = $1`, name).
		Scan(&role, &found.hash, &found.changed, &disabled)
	if errors.Is(err, sql.ErrNoRows) {
		return account{}, false, nil
	}
	if err != nil {
		return account{}, false, fmt.Errorf("find account: %w", err)
	}
	found.role, found.disabled = policy.Role(role), disabled.Valid
	return found, true, nil
}
