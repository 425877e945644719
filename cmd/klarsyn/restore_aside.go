package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"klarsyn/policy/audit/durable"
	"klarsyn/retention/database"
)

// restorePart is one of the two databases.
type restorePart struct {
	what, file, address, folder string
	m                           *manifest
	tables                      []database.Owner
	probe                       string // a table that is there if anything is
}

func (r *restore) parts() []restorePart {
	return []restorePart{
		{"catalogue", r.layout.catalogue(), r.at.catalogue, r.o.from, r.rows, catalogueTables(), "audit_sequencer"},
		{"key store", r.layout.keyStore(), r.at.keys, r.o.keysFrom, r.keys, keyTables(), "keys_day"},
	}
}

// occupied reports whether there is something already. It is an error if somebody has it open.
func (r *restore) occupied(ctx context.Context, part restorePart) (bool, error) {
	if part.address == "" {
		if _, err := os.Stat(part.file); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		err := database.Unshared(ctx, part.file)
		if errors.Is(err, database.ErrShared) {
			return true, usageError{err}
		}
		if err != nil {
			r.logger.Warn("what is there cannot be opened: it is only moved aside", "what", part.what, "err", err)
		}
		return true, nil
	}
	db, err := database.OpenPostgres(ctx, part.address)
	if err != nil {
		return false, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if r.rows != nil {
		if err := database.ProgramFits(ctx, db); err != nil {
			return false, err
		}
	}
	others, err := database.Sessions(ctx, db)
	if err != nil {
		return false, err
	}
	if others > 0 {
		return false, usageError{fmt.Errorf("%s: %w", part.what, database.ErrShared)}
	}
	var there bool
	err = db.QueryRowContext(ctx, `SELECT to_regclass('public.' || $1) IS NOT NULL`, part.probe).Scan(&there)
	return there, err
}

// asideFile and asideSchema are where what was there before is moved.
func (r *restore) asideFile(file string) string {
	return filepath.Join(filepath.Dir(file), "replaced-"+r.runID, filepath.Base(file))
}

func (r *restore) asideSchema() string { return "replaced_" + r.runID }

// moveAside moves aside what is there, or only one part of it.
func (r *restore) moveAside(ctx context.Context, only ...string) error {
	for _, part := range r.parts() {
		if part.m == nil || len(only) > 0 && !slices.Contains(only, part.what) {
			continue
		}
		if part.address != "" {
			if err := database.MoveSchema(ctx, part.address, r.asideSchema(), part.probe); err != nil {
				return err
			}
			continue
		}
		target := r.asideFile(part.file)
		for _, beside := range []string{"", "-wal", "-shm"} {
			if _, err := os.Stat(part.file + beside); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			err := errors.Join(os.MkdirAll(filepath.Dir(target), 0o700), os.Rename(part.file+beside, target+beside), durable.SyncFolder(filepath.Dir(part.file)))
			if err != nil {
				return fmt.Errorf("moving the %s aside: %w", part.what, err)
			}
		}
	}
	return nil
}
