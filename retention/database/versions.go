package database

import (
	"context"
	"database/sql"
	"fmt"
)

// Versions says of what version each owner's tables are.
func Versions(ctx context.Context, db *sql.DB, dialect string, owners ...Owner) (map[string]int64, error) {
	versions := map[string]int64{}
	for _, o := range owners {
		p, err := o.provider(db, dialect)
		if err != nil {
			return nil, err
		}
		if versions[o.Name], err = p.GetDBVersion(ctx); err != nil {
			return nil, fmt.Errorf("looking how old the tables of %s are: %w", o.Name, err)
		}
	}
	return versions, nil
}

// MigrateTo makes an owner's tables as they were at a version: rows of that time fit into them.
func MigrateTo(ctx context.Context, db *sql.DB, dialect string, o Owner, version int64) error {
	p, err := o.provider(db, dialect)
	if err != nil {
		return err
	}
	newest := int64(0)
	for _, s := range p.ListSources() {
		newest = max(newest, s.Version)
	}
	if version > newest {
		return fmt.Errorf("tables of %s: version %d is newer than this program, which knows %d: use the program that made the backup, or a newer one", o.Name, version, newest)
	}
	if _, err := p.UpTo(ctx, version); err != nil {
		return fmt.Errorf("making the tables of %s as of version %d: %w", o.Name, version, err)
	}
	return nil
}
