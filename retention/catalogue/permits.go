package catalogue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"klarsyn/policy"
)

// ErrPermitChanged says that a permit version differs from what it said when it was activated.
var ErrPermitChanged = errors.New("a permit version never changes once it is in force: give the change a new version")

// Activate keeps the permit version as it stands, for as long as anything recorded under it matters.
// Activating the same again does nothing.
func (c *Catalogue) Activate(ctx context.Context, p policy.Permit) error {
	document, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("permit %s: %w", p.Ref(), err)
	}
	return c.within(ctx, "activating permit "+p.Ref(), func(tx *sql.Tx) error {
		var old string
		err := tx.QueryRowContext(ctx, `SELECT document FROM catalogue_permit WHERE id = $1 AND version = $2`, p.ID, p.Version).Scan(&old)
		switch {
		case err == nil && old == string(document):
			return nil
		case err == nil:
			return ErrPermitChanged
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO catalogue_permit (id, version, document, activated_us) VALUES ($1, $2, $3, $4)`,
			p.ID, p.Version, string(document), micros(c.Now())); err != nil {
			return err
		}
		return c.Log.Append(ctx, tx, policy.PermitActivatedEntry(c.Actor, policy.PermitRef{ID: p.ID, Version: p.Version}, string(document)))
	})
}

// Permit is a permit version as it was activated.
func (c *Catalogue) Permit(ctx context.Context, id string, version int) (policy.Permit, bool, error) {
	var p policy.Permit
	var document string
	err := c.DB.QueryRowContext(ctx, `SELECT document FROM catalogue_permit WHERE id = $1 AND version = $2`, id, version).Scan(&document)
	if errors.Is(err, sql.ErrNoRows) {
		return p, false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("reading permit %s@%d: %w", id, version, err)
	}
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		return p, false, fmt.Errorf("permit %s@%d in the catalogue is damaged: %w", id, version, err)
	}
	return p, true, nil
}
