package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"

	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/policy/audit/durable"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/crashpoint"
	"klarsyn/retention/database"
)

// restore puts a backup back. Each step may be repeated, and until the last one the data directory is closed.
type restore struct {
	o       restoreOptions
	layout  layout
	at      addresses
	trusted string // the log's public key
	logger  *slog.Logger
	rows    *manifest // nil: the rows that are there are to hold
	sum     policy.Hash
	keys    *manifest
	newer   *audit.Newer    // nil: nobody knows what was done since
	waiting []policy.Entry  // what the old catalogue had logged and not numbered
	known   map[string]bool // entries that the backup had logged and not numbered: its rows know what they tell
	db      rows
	keyDB   rows
	said    restored
	// asideRead says that what the catalogue that was moved aside had logged is known.
	asideRead bool
	runID     string // what was there before lies under this name
}

// newRestore checks all that can be checked before anything is touched.
func newRestore(ctx context.Context, o restoreOptions, logger *slog.Logger) (*restore, error) {
	r := &restore{o: o, layout: layout{o.data}, logger: logger, said: restored{Missing: []string{}, Strays: []string{}, Aside: []string{}, Next: []string{}}}
	var err error
	if r.at, err = o.addresses.configured(r.layout, o.config); err != nil {
		return nil, err
	}
	if err := r.trust(); err != nil {
		return nil, err
	}
	if o.from == "" {
		return r, r.readNewer(ctx, "")
	}
	for _, part := range []struct {
		folder, kind, address string
		into                  **manifest
	}{{o.from, backupOfCatalogue, r.at.catalogue, &r.rows}, {o.keysFrom, backupOfKeys, r.at.keys, &r.keys}} {
		if part.folder == "" {
			continue
		}
		m, sum, err := readManifest(part.folder, part.kind)
		if err != nil {
			return nil, err
		}
		if (part.address == "") != (m.Engine == database.SQLite) {
			return nil, usageError{fmt.Errorf("%s holds rows of %s: it is put back into a database of the same kind; see --catalogue and --keys", part.folder, m.Engine)}
		}
		problems, err := m.check(ctx, part.folder, r.trusted, time.Now())
		if err != nil {
			return nil, err
		}
		if len(problems) > 0 {
			return nil, fmt.Errorf("%s is not put back: %s", part.folder, problems[0])
		}
		*part.into = m
		if part.kind == backupOfCatalogue {
			r.sum = sum
		}
	}
	if r.keys != nil && r.keys.Installation != r.rows.Installation {
		return nil, usageError{errors.New("rows and keys are backups of two installations")}
	}
	return r, r.readNewer(ctx, r.rows.Log.Checkpoint)
}

// trust finds the log's public key. The one in a backup proves nothing.
func (r *restore) trust() error {
	if r.o.key != "" {
		keys, err := readKeys(r.o.key)
		if err != nil {
			return err
		}
		r.trusted = keys[len(keys)-1]
		return nil
	}
	var err error
	if r.trusted, err = audit.LoadVerifier(r.layout.audit()); err != nil {
		return usageError{fmt.Errorf("%w: put the folder audit back first, or give the log's public key with --key", err)}
	}
	return nil
}

func (r *restore) close() error {
	var errs []error
	for _, db := range []rows{r.db, r.keyDB} {
		if db.DB != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// id names what is being put back.
func (r *restore) id() string {
	if r.rows == nil {
		return "reconcile"
	}
	return r.rows.ID
}

// keysID names the backup of the keys that is put back; empty: the key store stays as it is.
func (r *restore) keysID() string {
	if r.keys == nil {
		return ""
	}
	return r.keys.ID
}

// sameKeys refuses to go on with other keys than the restore was begun with. Keys may be added as long as nothing was made of the
// rows: then the key store that is there is moved aside, too, as its day keys may be nowhere else.
func (r *restore) sameKeys(ctx context.Context, m *restoreMarker) error {
	switch {
	case m.Keys == r.keysID(), m.Run == "": // the latter was begun by a program that did not write them down
		return nil
	case m.Keys != "":
		return usageError{fmt.Errorf("%s is closed: a restore was begun with the keys of backup %s: repeat it with --keys-from and that backup", r.layout.root, m.Keys)}
	case m.Stage == stageReplayed:
		return usageError{fmt.Errorf("%s is closed: the rows were put back without keys: repeat it without --keys-from, and put the keys back with another restore afterwards", r.layout.root)}
	}
	if m.Stage == stageAside { // else both are moved with the rest
		if err := r.moveAside(ctx, "key store"); err != nil {
			return err
		}
	}
	m.Keys = r.keysID()
	return r.layout.mark(*m)
}

func (r *restore) run(ctx context.Context) (restored, error) {
	r.said.Backup = r.id()
	m, err := r.layout.marker()
	if err != nil {
		return r.said, err
	}
	if m.Backup != "" && m.Backup != r.id() {
		return r.said, usageError{fmt.Errorf("%s is closed: backup %s is being put back; finish that first, by repeating the restore that was begun", r.layout.root, m.Backup)}
	}
	if m.Backup == "" {
		if err := r.mayBegin(ctx); err != nil {
			return r.said, err
		}
		if err := makeFolders(r.layout); err != nil {
			return r.said, err
		}
		m = restoreMarker{Backup: r.id(), Stage: stageClosed, Run: ulid.Make().String(), Keys: r.keysID()}
		if err := r.layout.mark(m); err != nil {
			return r.said, err
		}
		crashpoint.Here("restore.closed")
	}
	if r.runID = m.Run; r.runID == "" { // begun by a program that named it by its backup
		r.runID = r.id()
	}
	if err := r.sameKeys(ctx, &m); err != nil {
		return r.said, err
	}
	if r.rows != nil {
		r.said.Made = r.rows.Made
	}
	if m.Stage != stageReplayed {
		if err := r.putBack(ctx, &m); err != nil {
			return r.said, err
		}
	} else {
		if m.Said != nil {
			r.said = *m.Said
		}
		if err := r.open(ctx); err != nil {
			return r.said, err
		}
	}
	return r.said, r.finish(ctx)
}

// putBack loads the rows and does to them what was done since.
func (r *restore) putBack(ctx context.Context, m *restoreMarker) error {
	if r.rows != nil {
		if m.Stage == stageClosed {
			if err := r.moveAside(ctx); err != nil {
				return err
			}
			crashpoint.Here("restore.aside")
			m.Stage = stageAside
			if err := r.layout.mark(*m); err != nil {
				return err
			}
		}
		if err := r.readOld(ctx); err != nil {
			return err
		}
		if r.newer == nil && !r.asideRead {
			r.said.Unknown = fmt.Sprintf("what was deleted, held or changed since %s, when the backup was made: no newer log was given; whoever witnesses the log will say that it was set back, and is right",
				r.rows.Made.Format("2006-01-02T15:04:05Z07:00"))
		}
		if err := r.load(ctx); err != nil {
			return err
		}
		crashpoint.Here("restore.loaded")
	}
	if err := r.open(ctx); err != nil {
		return err
	}
	if r.rows != nil {
		problems, err := r.rows.checkRows(ctx, r.db, r.trusted, time.Now())
		if err != nil {
			return err
		}
		if len(problems) > 0 {
			return fmt.Errorf("what was loaded is not what was copied, and stays closed: %s", problems[0])
		}
	}
	if r.rows != nil || r.newer != nil {
		if err := r.replay(ctx); err != nil {
			return err
		}
	} else {
		books, _, _, err := r.books(ctx)
		if err == nil {
			err = r.shut(ctx, books)
		}
		if err != nil {
			return err
		}
	}
	crashpoint.Here("restore.replayed")
	m.Stage, m.Said = stageReplayed, &r.said
	return r.layout.mark(*m)
}

// open opens what was loaded, as its owner.
func (r *restore) open(ctx context.Context) (err error) {
	if r.db.DB == nil {
		if r.db, err = openRows(ctx, r.layout.catalogue(), r.at.catalogue, true, catalogueTables()); err != nil {
			return err
		}
	}
	if r.keyDB.DB == nil {
		r.keyDB, err = openRows(ctx, r.layout.keyStore(), r.at.keys, true, keyTables())
	}
	return err
}

// mayBegin refuses what is in use, and what is not empty unless it may be moved aside.
func (r *restore) mayBegin(ctx context.Context) error {
	for _, part := range r.parts() {
		if part.m == nil && r.rows != nil {
			continue // it stays as it is
		}
		used, err := r.occupied(ctx, part)
		if err != nil {
			return err
		}
		if used && r.rows != nil && !r.o.replace {
			return usageError{fmt.Errorf("the %s is not empty: give --replace to have it moved aside", part.what)}
		}
		if !used && r.rows == nil && part.what == "catalogue" {
			return usageError{fmt.Errorf("%s holds no catalogue to reconcile", r.layout.root)}
		}
	}
	return nil
}

// load loads the copies. What an earlier try left there goes.
func (r *restore) load(ctx context.Context) error {
	for _, part := range r.parts() {
		if part.m == nil {
			continue
		}
		var err error
		if part.address == "" {
			err = loadFile(filepath.Join(part.folder, part.m.file()), part.file)
		} else {
			err = r.loadDump(ctx, part)
		}
		if err != nil {
			return fmt.Errorf("loading the %s: %w", part.what, err)
		}
	}
	return nil
}

func loadFile(from, to string) error {
	for _, beside := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(to + beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return durable.Write(to, content, 0o660)
}

func (r *restore) loadDump(ctx context.Context, part restorePart) error {
	db, err := database.OpenPostgres(ctx, part.address)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := database.EmptySchema(ctx, db); err != nil {
		return err
	}
	for _, o := range part.tables {
		if err := database.MigrateTo(ctx, db, database.Postgres, o, part.m.Tables[o.Name]); err != nil {
			return err
		}
		if o.Name == "catalogue" { // before the last table is there, and with it somebody might start
			books := &catalogue.Catalogue{DB: db, Dialect: database.Postgres}
			if err := books.Close(ctx, r.closed()); err != nil {
				return err
			}
		}
	}
	if err := database.EmptyTables(ctx, db, "catalogue_epoch"); err != nil {
		return err
	}
	return database.LoadPostgres(ctx, part.address, filepath.Join(part.folder, part.m.file()))
}

// closed is the epoch of rows that are being put back.
func (r *restore) closed() catalogue.Epoch {
	return catalogue.Epoch{Installation: r.rows.Installation, Number: r.rows.Epoch, Since: r.rows.Made, Restoring: r.id()}
}

// books are the rows that were put back, with a log that is stamped by a clock.
func (r *restore) books(ctx context.Context) (*catalogue.Catalogue, *audit.Log, *retention.Clock, error) {
	unclocked, err := audit.New(audit.Config{DB: r.db.DB, Dialect: r.db.dialect})
	if err != nil {
		return nil, nil, nil, err
	}
	last, err := unclocked.LastTime(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	if r.newer != nil && r.newer.Newest.Time.After(last) {
		last = r.newer.Newest.Time
	}
	for _, e := range r.waiting { // what is logged here comes after it
		if e.Time.After(last) {
			last = e.Time
		}
	}
	clock := retention.NewClock(time.Now, last, r.o.trustClock)
	log, err := audit.New(audit.Config{DB: r.db.DB, Dialect: r.db.dialect, Now: clock.Logging})
	return &catalogue.Catalogue{DB: r.db.DB, Dialect: r.db.dialect, Log: log, Actor: commandActor(), Now: clock.Logging}, log, clock, err
}
