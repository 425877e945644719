package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/policy/audit/verify"
	"klarsyn/policy/identity"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
	"klarsyn/retention/keys"
	"klarsyn/retention/vault"
)

// exportedLog is a directory that klarsyn log export wrote.
type exportedLog struct{ fs.FS }

func (l exportedLog) ReadFile(name string) ([]byte, error) { return fs.ReadFile(l.FS, name) }

// readNewer reads the newest copy of the log, if one was given, entry by entry, and holds it against where the log ended.
func (r *restore) readNewer(ctx context.Context, signed string) error {
	if r.o.log == "" {
		return nil
	}
	if r.rows == nil { // the rows that are there say where
		return r.readNewerThanRows(ctx)
	}
	return r.readLog(ctx, r.o.log, signed)
}

// readNewerThanRows is readNewer for who reconciles the rows that are there.
func (r *restore) readNewerThanRows(ctx context.Context) (err error) {
	if r.at.catalogue == "" {
		if _, err := os.Stat(r.layout.catalogue()); err != nil {
			return usageError{fmt.Errorf("there is no catalogue to reconcile: %w", err)}
		}
	}
	db, err := openRows(ctx, r.layout.catalogue(), r.at.catalogue, true, catalogueTables())
	if err != nil {
		return err
	}
	signed, err := newestCheckpoint(ctx, db)
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	return r.readLog(ctx, r.o.log, signed)
}

func (r *restore) readLog(ctx context.Context, dir, signed string) error {
	report, err := verify.Dir(ctx, dir, verify.Options{Keys: []string{r.trusted}})
	if err != nil {
		return fmt.Errorf("--log %s: %w", dir, err)
	}
	if len(report.Problems) > 0 {
		return fmt.Errorf("the log in %s is not whole, and nothing is put back by it: %s: %s", dir, report.Problems[0].Place, report.Problems[0].What)
	}
	if r.newer, err = audit.NewNewer(exportedLog{os.DirFS(dir)}, signed); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return nil
}

// readOld reads the log of the catalogue that was moved aside, where no newer one was given: what it knew of deletions must not be
// forgotten because its file was replaced.
func (r *restore) readOld(ctx context.Context) error {
	if r.rows == nil {
		return nil
	}
	var old rows
	var err error
	if r.at.catalogue == "" {
		file := r.asideFile(r.layout.catalogue())
		r.said.Aside = append(r.said.Aside, existing(file, r.asideFile(r.layout.keyStore()))...)
		if _, statErr := os.Stat(file); errors.Is(statErr, fs.ErrNotExist) {
			return nil
		}
		old.dialect = database.SQLite
		old.DB, err = database.ReadSQLite(ctx, file)
	} else {
		old.dialect = database.Postgres
		var there bool
		old.DB, there, err = r.oldSchema(ctx)
		if err == nil && !there {
			return nil
		}
		if there {
			r.said.Aside = append(r.said.Aside, "schema "+r.asideSchema())
		}
	}
	if err == nil {
		defer old.Close()
		err = r.readOldLog(ctx, old)
	}
	if errors.Is(err, audit.ErrForked) {
		return fmt.Errorf("the catalogue that was moved aside: %w; if it is not to count, since it was a copy of before or was begun anew, move away %s and repeat this", err, strings.Join(r.said.Aside, " and "))
	}
	r.asideRead = err == nil
	if err != nil && r.newer == nil {
		return fmt.Errorf("the log of the catalogue that was moved aside cannot be read, and with it what was deleted since the backup was made: everything stays closed; repeat this, or give an exported log with --log; if both are lost, move away %s, and what was deleted since is unknown: %w",
			strings.Join(r.said.Aside, " and "), err)
	}
	if err != nil {
		r.logger.Error("the log of the catalogue that was moved aside cannot be read; the one that was given is used", "err", err)
	}
	return nil
}

func existing(files ...string) []string {
	var there []string
	for _, f := range files {
		if _, err := os.Stat(f); err == nil {
			there = append(there, f)
		}
	}
	return there
}

// oldSchema opens what was moved aside on a server.
func (r *restore) oldSchema(ctx context.Context) (*sql.DB, bool, error) {
	u, err := url.Parse(r.at.catalogue)
	if err != nil {
		return nil, false, err
	}
	q := u.Query()
	q.Set("search_path", `"`+r.asideSchema()+`"`)
	u.RawQuery = q.Encode()
	db, err := database.OpenPostgres(ctx, u.String())
	if err != nil {
		return nil, false, err
	}
	var there bool
	err = db.QueryRowContext(ctx, `SELECT to_regclass('audit_sequencer') IS NOT NULL`).Scan(&there)
	if err != nil || !there {
		return nil, false, errors.Join(err, db.Close())
	}
	return db, true, nil
}

func (r *restore) readOldLog(ctx context.Context, old rows) error {
	log, err := audit.New(audit.Config{DB: old.DB, Dialect: old.dialect})
	if err != nil {
		return err
	}
	waiting, err := audit.Waiting(ctx, old.DB)
	if err != nil {
		return err
	}
	dir := r.layout.restoringLog()
	_, err = log.Export(ctx, audit.Export{Dir: dir, Keys: []string{r.trusted}})
	switch {
	case errors.Is(err, audit.ErrNotNumbered) && r.rows.Log.Checkpoint == "": // all that it knows still waits
		r.waiting = waiting
		return nil
	case err != nil:
		return err
	}
	if given := r.newer; given != nil {
		aside, err := audit.NewNewer(exportedLog{os.DirFS(dir)}, "")
		if err != nil {
			return err
		}
		if aside.Newest.Size <= given.Newest.Size { // what was given goes first
			r.waiting = waiting
			return nil
		}
		if err := r.readLog(ctx, dir, given.Newest.Note); err != nil { // it knows more, and must grow from what was given
			r.newer = given
			return err
		}
	}
	if err := r.readLog(ctx, dir, r.rows.Log.Checkpoint); err != nil {
		return err
	}
	r.waiting = waiting // only with the numbered entries before them
	return nil
}

// entries goes through what was done since the backup was made.
func (r *restore) entries(visit func(policy.Entry) error) error {
	seen := map[string]bool{}
	if r.newer != nil {
		for e, err := range r.newer.Entries() {
			if err != nil {
				return err
			}
			seen[e.ID] = true
			if r.known[e.ID] {
				continue
			}
			if err := visit(e.Entry); err != nil {
				return err
			}
		}
	}
	for _, e := range r.waiting {
		if !seen[e.ID] && !r.known[e.ID] {
			if err := visit(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// shut closes the rows to everybody, on this machine and on others, until they are open again; strays stay until somebody answers for them.
func (r *restore) shut(ctx context.Context, books *catalogue.Catalogue) error {
	if r.rows != nil {
		return books.Close(ctx, r.closed())
	}
	// The rows that are there are held against the objects: nobody works on them meanwhile.
	if _, err := books.BeginEpoch(ctx); err != nil {
		return err
	}
	return books.Close(ctx, catalogue.Epoch{Restoring: r.id()})
}

// replay does to rows and keys what was done since, in one transaction of the rows. Keys come first: a key that is destroyed again
// is destroyed, whatever becomes of the rest.
func (r *restore) replay(ctx context.Context) error {
	books, log, clock, err := r.books(ctx)
	if err != nil {
		return err
	}
	known, err := audit.Waiting(ctx, r.db.DB)
	if err != nil {
		return err
	}
	r.known = map[string]bool{}
	for _, e := range known {
		r.known[e.ID] = true
	}
	if err := r.shut(ctx, books); err != nil {
		return err
	}
	custody, err := r.custody(books, clock)
	if err != nil {
		return err
	}
	opened, err := r.unlock(ctx, books, custody)
	if err != nil {
		return err
	}
	// A case that was closed and opened again since gets another key, which must not go with the first one.
	if err := r.destroyKeys(ctx); err != nil {
		return err
	}
	seals, err := r.seal(ctx, opened, custody)
	if err != nil {
		return err
	}
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if r.newer != nil {
		if err := log.Adopt(ctx, tx, r.newer); err != nil {
			return err
		}
		r.said.Known = r.newer.Newest.Time
	}
	for _, e := range r.waiting {
		if err := log.AdoptWaiting(ctx, tx, e); err != nil {
			return err
		}
		r.said.Known = e.Time
	}
	r.said.Replayed, err = books.Replay(ctx, tx, r.entries, catalogue.Rebuilding{Seals: seals, PlainSize: vault.PlainSize, Backup: r.id()})
	if err != nil {
		return err
	}
	if _, err := identity.Distrust(ctx, tx, r.said.Replayed.Accounts, time.Now()); err != nil {
		return err
	}
	result := "replayed from the log"
	if r.said.Unknown != "" {
		result = "what was deleted since is unknown"
	}
	entries := []policy.Entry{policy.DeletionsReplayedEntry(books.Actor, r.id(), r.said.Replayed.Shredded, result)}
	if r.rows != nil {
		entries = append([]policy.Entry{policy.BackupRestoredEntry(books.Actor, r.id(), r.sum, r.rows.Made)}, entries...)
	}
	for _, e := range entries {
		if err := log.Append(ctx, tx, e); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// destroyKeys destroys again the keys that were destroyed since.
func (r *restore) destroyKeys(ctx context.Context) error {
	ring := &keys.Store{DB: r.keyDB.DB}
	return r.entries(func(e policy.Entry) error {
		var err error
		switch e.Event {
		case policy.DayKeyDestroyed:
			if day, ok := policy.DayKeyOf(e); ok {
				_, err = ring.Destroy(ctx, keys.Key{Permit: day.Permit, Day: day.Day})
			}
		case policy.CaseKeyDestroyed:
			_, err = ring.DestroyCase(ctx, e.Case, e.Time)
		}
		return err
	})
}
