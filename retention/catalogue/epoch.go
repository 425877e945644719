package catalogue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
)

// Epoch says which installation the rows are of, and how often it was copied or put back since it was made. A copy that is put
// back by hand is of an earlier epoch than what lies beside it.
type Epoch struct {
	Installation string // ULID
	Number       int64
	Since        time.Time
	Stored       bool   // the object store was told
	Keyed        bool   // the key store was told
	Restoring    string // the backup that is being put back; empty: none
	Unreconciled bool   // what lies in the object store without a row waits for an operator's word
}

// ErrNoEpoch says that the rows do not tell of which installation they are.
var ErrNoEpoch = errors.New("the catalogue does not say of which installation it is; run klarsyn init, as the owner of the database")

// Epoch is the one that the rows are of.
func (c *Catalogue) Epoch(ctx context.Context) (Epoch, error) { return epoch(ctx, c.DB) }

func epoch(ctx context.Context, q querier) (Epoch, error) {
	var e Epoch
	var since, stored, keyed, unreconciled int64
	err := q.QueryRowContext(ctx, `SELECT installation, epoch, since_us, stored_us, keyed_us, restoring, unreconciled FROM catalogue_epoch WHERE id = 1`).
		Scan(&e.Installation, &e.Number, &since, &stored, &keyed, &e.Restoring, &unreconciled)
	if errors.Is(err, sql.ErrNoRows) {
		return e, ErrNoEpoch
	}
	if err != nil {
		return e, fmt.Errorf("reading of which installation the catalogue is: %w", err)
	}
	e.Since, e.Stored, e.Keyed, e.Unreconciled = instant(since), stored != 0, keyed != 0, unreconciled != 0
	return e, nil
}

// BeginEpoch gives the rows their installation unless they have one.
func (c *Catalogue) BeginEpoch(ctx context.Context) (Epoch, error) {
	have, err := c.Epoch(ctx)
	if !errors.Is(err, ErrNoEpoch) {
		return have, err
	}
	if _, err := c.DB.ExecContext(ctx, `INSERT INTO catalogue_epoch (id, installation, epoch, since_us) VALUES (1, $1, 1, $2) ON CONFLICT (id) DO NOTHING`,
		ulid.Make().String(), micros(time.Now())); err != nil {
		return Epoch{}, fmt.Errorf("naming the installation: %w", err)
	}
	return c.Epoch(ctx)
}

// Raise begins the next epoch after n, or after the one that holds: the object store and the key store are to be told.
func (c *Catalogue) Raise(ctx context.Context, tx *sql.Tx, n int64) error {
	_, err := tx.ExecContext(ctx, `UPDATE catalogue_epoch SET epoch = CASE WHEN epoch < $1 THEN $1 ELSE epoch END + 1, since_us = $2, stored_us = 0, keyed_us = 0
		WHERE id = 1`, n, micros(time.Now()))
	if err != nil {
		return fmt.Errorf("beginning another epoch: %w", err)
	}
	return nil
}

// EpochStored notes that the object store was told of the epoch.
func (c *Catalogue) EpochStored(ctx context.Context, n int64) error {
	return c.told(ctx, `UPDATE catalogue_epoch SET stored_us = $1 WHERE id = 1 AND epoch = $2`, n)
}

// EpochKeyed notes that the key store was told of the epoch.
func (c *Catalogue) EpochKeyed(ctx context.Context, n int64) error {
	return c.told(ctx, `UPDATE catalogue_epoch SET keyed_us = $1 WHERE id = 1 AND epoch = $2`, n)
}

func (c *Catalogue) told(ctx context.Context, statement string, n int64) error {
	if _, err := c.DB.ExecContext(ctx, statement, micros(time.Now()), n); err != nil {
		return fmt.Errorf("noting who was told of epoch %d: %w", n, err)
	}
	return nil
}

// Close keeps everybody from rows that are being put back from a backup, which were made of that installation and epoch.
func (c *Catalogue) Close(ctx context.Context, e Epoch) error {
	_, err := c.DB.ExecContext(ctx, `INSERT INTO catalogue_epoch (id, installation, epoch, since_us, restoring, unreconciled) VALUES (1, $1, $2, $3, $4, 1)
		ON CONFLICT (id) DO UPDATE SET restoring = excluded.restoring, unreconciled = 1`, e.Installation, e.Number, micros(e.Since), e.Restoring)
	if err != nil {
		return fmt.Errorf("closing the catalogue while it is put back: %w", err)
	}
	return nil
}

// Reopen lets everybody in again.
func (c *Catalogue) Reopen(ctx context.Context) error {
	if _, err := c.DB.ExecContext(ctx, `UPDATE catalogue_epoch SET restoring = '' WHERE id = 1`); err != nil {
		return fmt.Errorf("opening the catalogue that was put back: %w", err)
	}
	return nil
}

// Reconciled notes that somebody has answered for what lies in the object store without a row.
func (c *Catalogue) Reconciled(ctx context.Context) error {
	if _, err := c.DB.ExecContext(ctx, `UPDATE catalogue_epoch SET unreconciled = 0 WHERE id = 1`); err != nil {
		return fmt.Errorf("noting that store and rows were reconciled: %w", err)
	}
	return nil
}
