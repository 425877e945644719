package rules

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"klarsyn/policy"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations make the rules_ tables, for SQLite and PostgreSQL.
func Migrations() fs.FS {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	return files
}

// Keep stores the text in force under its revision, so that every decision that names the revision in
// the log can be repeated for as long as the log lives. If another revision was in force before, or none,
// the log says in the same transaction that this one decides from here. Call it after New and after each Load.
func (r *Rules) Keep(ctx context.Context, db *sql.DB, log policy.Log, actor string, now time.Time) error {
	current := r.current.Load()
	if current == nil {
		return errors.New("keep rules: none are in force")
	}
	if err := keep(ctx, db, log, actor, now, current); err != nil {
		return fmt.Errorf("keep rules revision %s: %w", current.name, err)
	}
	return nil
}

func keep(ctx context.Context, db *sql.DB, log policy.Log, actor string, now time.Time, current *revision) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var newest string
	var since int64
	err = tx.QueryRowContext(ctx, `SELECT revision, since FROM rules_revision ORDER BY since DESC LIMIT 1`).Scan(&newest, &since)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if newest == current.name {
		return nil
	}
	// Later than the newest also by a clock that was set back: the order is what the next start reads.
	since = max(since+1, now.UnixMicro())
	_, err = tx.ExecContext(ctx, `
		INSERT INTO rules_revision (revision, since, model, policy, truth) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (revision) DO UPDATE SET since = excluded.since`,
		current.name, since, current.text.Model, current.text.Policy, current.text.Truth)
	if err != nil {
		return err
	}
	entry := policy.RulesActivatedEntry(actor, current.name, newest)
	if err := log.Append(ctx, tx, entry); err != nil {
		return err
	}
	return tx.Commit()
}
