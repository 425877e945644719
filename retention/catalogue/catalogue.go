// Package catalogue keeps what is known of every clip, gap and permit version in SQL: one text for
// SQLite and PostgreSQL. What changes a clip's state appends its audit entry in the same transaction.
package catalogue

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/database"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations make the catalogue_ tables, for SQLite and PostgreSQL.
func Migrations() fs.FS {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	return files
}

// Catalogue answers for clips, gaps and permits. Dialect is SQLite or Postgres. Actor names the process in the
// audit log, for example "service:ingest".
type Catalogue struct {
	DB      *sql.DB
	Dialect string
	Log     policy.Log
	Actor   string
	Now     func() time.Time
}

// tries is how often a transaction is begun that the database takes back for the sake of another one.
const tries = 3

// within runs f in one transaction, and anew in another one if the database took that back: who locks several rows one by one does so
// in order of their ids, but a statement that changes many takes them as it comes by. So f sets anew what it hands out, and does
// nothing that a rollback would not undo.
func (c *Catalogue) within(ctx context.Context, what string, f func(tx *sql.Tx) error) error {
	err := c.once(ctx, what, f)
	for n := 1; n < tries && database.Contended(err); n++ {
		err = c.once(ctx, what, f)
	}
	return err
}

func (c *Catalogue) once(ctx context.Context, what string, f func(tx *sql.Tx) error) error {
	tx, err := c.DB.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: catalogue: %w", what, err)
	}
	defer tx.Rollback() // after Commit it does nothing
	if err := f(tx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%s: catalogue: %w", what, err)
	}
	return nil
}

// querier is what *sql.DB and *sql.Tx have in common for reading.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

const clipColumns = `id, camera, permit, permit_version, start_us, end_us, camera_us, clock_flagged, deadline_us, state,
	key_day, object_key, object_version, size, plain_size, sha256, frames, codec, node, deleted_us, counted_us, rule,
	holds, cased_us, parent, key_case`

// clips reads rows of clipColumns.
func clips(ctx context.Context, q querier, where string, args ...any) ([]retention.Clip, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+clipColumns+` FROM catalogue_clip `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading clips: %w", err)
	}
	defer rows.Close()
	var out []retention.Clip
	for rows.Next() {
		c, err := scanClip(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("reading clips: %w", err)
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

func oneClip(ctx context.Context, q querier, where string, args ...any) (retention.Clip, error) {
	c, err := scanClip(q.QueryRowContext(ctx, `SELECT `+clipColumns+` FROM catalogue_clip `+where, args...).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return c, retention.ErrNotFound
	}
	if err != nil {
		return c, fmt.Errorf("reading a clip: %w", err)
	}
	return c, nil
}

func scanClip(scan func(...any) error) (retention.Clip, error) {
	var c retention.Clip
	var start, end, cam, deadline, deleted, flagged, counted, cased int64
	var sum []byte
	err := scan(&c.ID, &c.Camera, &c.Permit, &c.PermitVersion, &start, &end, &cam, &flagged, &deadline, &c.State,
		&c.KeyDay, &c.ObjectKey, &c.Version, &c.Size, &c.PlainSize, &sum, &c.Frames, &c.Codec, &c.Node, &deleted, &counted, &c.Rule,
		&c.Holds, &cased, &c.Parent, &c.KeyCase)
	c.Start, c.End, c.CameraTime, c.Deadline, c.DeletedAt = instant(start), instant(end), instant(cam), instant(deadline), instant(deleted)
	c.ClockFlagged, c.Counted, c.Cased = flagged != 0, instant(counted), instant(cased)
	copy(c.SHA256[:], sum)
	return c, err
}

// micros and instant keep times as microseconds UTC; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// refOf is what audit entries say of a clip.
func refOf(c retention.Clip) policy.ClipRef {
	return policy.ClipRef{ID: c.ID, Camera: string(c.Camera), Permit: policy.PermitRef{ID: c.Permit, Version: c.PermitVersion}}
}
