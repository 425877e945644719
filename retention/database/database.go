// Package database opens the two databases that Klarsyn keeps its rows in, SQLite and PostgreSQL, so that what
// is acknowledged survives a power cut, and brings each owner's tables up to date. It knows no table itself.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

// The dialects, as goose spells them. The SQL is the same text for both; the little that differs asks.
const (
	SQLite   = "sqlite3"
	Postgres = "postgres"
)

// Owner is a package with tables of its own, all under its name as prefix, and the files that make them.
type Owner struct {
	Name  string
	Files fs.FS
}

// ErrOutdated says that tables are older than this program.
var ErrOutdated = errors.New("the database is older than this program")

// Migrate brings the owners' tables up to date. Several processes may call it at the same time.
func Migrate(ctx context.Context, db *sql.DB, dialect string, owners ...Owner) error {
	for _, o := range owners {
		p, err := o.provider(db, dialect)
		if err != nil {
			return err
		}
		if err := up(ctx, p, dialect); err != nil {
			return fmt.Errorf("bringing the tables of %s up to date: %w", o.Name, err)
		}
	}
	return nil
}

// up takes every step that is left. SQLite has no lock over several steps, as goose has on PostgreSQL: another process may
// have taken the same one meanwhile, and then it fails here. As long as somebody gets further it is begun again.
func up(ctx context.Context, p *goose.Provider, dialect string) error {
	for {
		before, err := p.GetDBVersion(ctx)
		if err != nil {
			return err
		}
		if _, err = p.Up(ctx); err == nil || dialect != SQLite {
			return err
		}
		if after, versionErr := p.GetDBVersion(ctx); versionErr != nil || after == before {
			return errors.Join(err, versionErr)
		}
	}
}

// Current is ErrOutdated if a table is not up to date. It changes nothing, and needs no right to.
func Current(ctx context.Context, db *sql.DB, dialect string, owners ...Owner) error {
	for _, o := range owners {
		p, err := o.provider(db, dialect)
		if err != nil {
			return err
		}
		pending, err := p.HasPending(ctx)
		if err != nil {
			return fmt.Errorf("looking how old the tables of %s are: %w", o.Name, err)
		}
		if pending {
			return fmt.Errorf("tables of %s: %w", o.Name, ErrOutdated)
		}
	}
	return nil
}

func (o Owner) provider(db *sql.DB, dialect string) (*goose.Provider, error) {
	store, err := database.NewStore(database.Dialect(dialect), o.Name+"_migrations")
	if err != nil {
		return nil, fmt.Errorf("tables of %s: %w", o.Name, err)
	}
	options := []goose.ProviderOption{goose.WithStore(store)}
	if dialect == Postgres {
		// On SQLite a lock file does this: the first process makes the file, too.
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return nil, fmt.Errorf("tables of %s: %w", o.Name, err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	p, err := goose.NewProvider("", db, o.Files, options...)
	if err != nil {
		return nil, fmt.Errorf("tables of %s: %w", o.Name, err)
	}
	return p, nil
}
