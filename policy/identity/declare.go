package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"klarsyn/policy"
)

// Declared is an account as a description of the square names it: who there is, and what for. It has no password: that is given
// by other means, and until then nobody logs in with it.
type Declared struct {
	Name     string      `json:"name" yaml:"name"`
	Role     policy.Role `json:"role" yaml:"role"`
	Disabled bool        `json:"disabled,omitempty" yaml:"disabled,omitempty"`
}

// Check says what is wrong with it.
func (d Declared) Check() error {
	if !accountName.MatchString(d.Name) {
		return fmt.Errorf("name %q: %w", d.Name, ErrBadName)
	}
	if !slices.Contains(policy.Roles(), d.Role) {
		return fmt.Errorf("role %q: %w; roles are %v", d.Role, ErrBadRole, policy.Roles())
	}
	return nil
}

// List are all accounts, by name.
func (a *Accounts) List(ctx context.Context) ([]Declared, error) {
	rows, err := a.cfg.DB.QueryContext(ctx, `SELECT name, role, disabled IS NOT NULL FROM identity_account ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	defer rows.Close()
	var all []Declared
	for rows.Next() {
		var d Declared
		if err := rows.Scan(&d.Name, &d.Role, &d.Disabled); err != nil {
			return nil, fmt.Errorf("list accounts: %w", err)
		}
		all = append(all, d)
	}
	return all, rows.Err()
}

// Declare makes the account what is declared of it, inside tx. before is what it was; nil: there was none.
func (a *Accounts) Declare(ctx context.Context, tx *sql.Tx, d Declared, before *Declared) error {
	if err := d.Check(); err != nil {
		return fmt.Errorf("declare account: %w", err)
	}
	now := a.cfg.Now().UnixMicro()
	step := func(entry policy.Entry, statement string, args ...any) error {
		result, err := tx.ExecContext(ctx, statement, args...)
		if err != nil {
			return fmt.Errorf("declare account %s: %w", d.Name, err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 { // somebody was faster
			return fmt.Errorf("declare account %s: it was made or removed meanwhile: apply again: %w", d.Name, errors.Join(ErrExists, err))
		}
		return a.cfg.Log.Append(ctx, tx, entry)
	}
	if before == nil {
		if err := step(policy.AccountCreatedEntry(a.cfg.Actor, d.Name, d.Role),
			`INSERT INTO identity_account (name, role, hash, created, changed) VALUES ($1, $2, $3, $4, $4) ON CONFLICT (name) DO NOTHING`, d.Name, string(d.Role), a.decoy, now); err != nil {
			return err
		}
		before = &Declared{Name: d.Name, Role: d.Role}
	}
	if before.Role != d.Role {
		if err := step(policy.AccountChangedEntry(a.cfg.Actor, d.Name, policy.AccountChange{What: "role", Role: d.Role}),
			`UPDATE identity_account SET role = $1, changed = $2 WHERE name = $3`, string(d.Role), now, d.Name); err != nil {
			return err
		}
	}
	switch {
	case d.Disabled && !before.Disabled:
		return step(policy.AccountChangedEntry(a.cfg.Actor, d.Name, policy.AccountChange{What: "disabled"}),
			`UPDATE identity_account SET disabled = $1, changed = $1 WHERE name = $2`, now, d.Name)
	case !d.Disabled && before.Disabled:
		return step(policy.AccountChangedEntry(a.cfg.Actor, d.Name, policy.AccountChange{What: "enabled"}),
			`UPDATE identity_account SET disabled = NULL, changed = $1 WHERE name = $2`, now, d.Name)
	}
	return nil
}
