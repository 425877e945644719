package catalogue

import (
	"context"
	"database/sql"
	"fmt"

	"klarsyn/camera"
	"klarsyn/retention/database"
)

// What differs between the two databases. SQLite lets one transaction write at a time, so there the locks
// below are held already.

// skippingLocked ends a SELECT of rows that its transaction changes: sweepers pass over what another one has
// in hand, instead of waiting for it to find that nothing is left.
func (c *Catalogue) skippingLocked() string {
	if c.Dialect == database.Postgres {
		return ` FOR UPDATE SKIP LOCKED`
	}
	return ``
}

// locked ends a SELECT of one row that its transaction changes.
func (c *Catalogue) locked() string {
	if c.Dialect == database.Postgres {
		return ` FOR UPDATE`
	}
	return ``
}

// databaseTime is the time by the clock of the database, in microseconds: all who share the database share it. SQLite's is the
// clock of the machine that all who open the file are on.
func (c *Catalogue) databaseTime() string {
	if c.Dialect == database.Postgres {
		return `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`
	}
	return `CAST(unixepoch('subsec') * 1000000 AS INTEGER)`
}

// lockTimeline keeps a camera's timeline to this transaction: what it reads of clips and gaps stays true until
// it has written its own.
func (c *Catalogue) lockTimeline(ctx context.Context, tx *sql.Tx, cam camera.ID) error {
	if c.Dialect != database.Postgres {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('klarsyn timeline ' || $1, 0))`, string(cam)); err != nil {
		return fmt.Errorf("locking the timeline: %w", err)
	}
	return nil
}

// lockPermits keeps who reserves a clip and who changes a permit apart: what is reserved under a version is there when the
// change of that version looks for it, or finds it changed.
func (c *Catalogue) lockPermits(ctx context.Context, tx *sql.Tx, change bool) error {
	if c.Dialect != database.Postgres {
		return nil
	}
	lock := `SELECT pg_advisory_xact_lock_shared(hashtextextended('klarsyn permits', 0))`
	if change {
		lock = `SELECT pg_advisory_xact_lock(hashtextextended('klarsyn permits', 0))`
	}
	if _, err := tx.ExecContext(ctx, lock); err != nil {
		return fmt.Errorf("locking the permits: %w", err)
	}
	return nil
}
