package audit

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the audit_ tables up to date. dialect is "sqlite3" or "postgres". Processes that start
// at the same time may call it at the same time: every statement may run twice.
func Migrate(ctx context.Context, db *sql.DB, dialect string) error {
	if _, err := engineOf(dialect); err != nil {
		return err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("audit migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.Dialect(dialect), db, files, goose.WithTableName("audit_migrations"))
	if err != nil {
		return fmt.Errorf("audit migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("audit migrations: %w", err)
	}
	return nil
}
