package rules

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the rules_ tables up to date. dialect is "sqlite3" or "postgres". Processes that start
// at the same time may call it at the same time: every statement may run twice.
func Migrate(ctx context.Context, db *sql.DB, dialect string) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("rules migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.Dialect(dialect), db, files, goose.WithTableName("rules_migrations"))
	if err != nil {
		return fmt.Errorf("rules migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("rules migrations: %w", err)
	}
	return nil
}

// ErrNotKept says that a revision was never in force here.
var ErrNotKept = errors.New("no such revision of the rules was kept")

// Keep stores the text in force under its revision, so that every decision that names the revision in
// the log can be repeated for as long as the log lives. Call it after New and after each Load.
func (r *Rules) Keep(ctx context.Context, db *sql.DB, now time.Time) error {
	current := r.current.Load()
	if current == nil {
		return errors.New("keep rules: none are in force")
	}
	_, err := db.ExecContext(ctx, `
		INSERT INTO rules_revision (revision, since, model, policy, truth) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (revision) DO NOTHING`,
		current.name, now.UnixMicro(), current.text.Model, current.text.Policy, current.text.Truth)
	if err != nil {
		return fmt.Errorf("keep rules revision %s: %w", current.name, err)
	}
	return nil
}

// Kept reads the text of a revision that was in force. A text that does not hash to its revision is refused.
func Kept(ctx context.Context, db *sql.DB, revision string) (Text, error) {
	var t Text
	err := db.QueryRowContext(ctx, `SELECT model, policy, truth FROM rules_revision WHERE revision = $1`, revision).
		Scan(&t.Model, &t.Policy, &t.Truth)
	if errors.Is(err, sql.ErrNoRows) {
		return Text{}, fmt.Errorf("rules revision %q: %w", revision, ErrNotKept)
	}
	if err != nil {
		return Text{}, fmt.Errorf("rules revision %q: %w", revision, err)
	}
	if t.Revision() != revision {
		return Text{}, fmt.Errorf("rules revision %q was changed: its text is revision %s", revision, t.Revision())
	}
	return t, nil
}
