package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"klarsyn/camera/occupancy"
	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/policy/identity"
	"klarsyn/policy/rules"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
	"klarsyn/retention/keys"
	"klarsyn/retention/object/dir"
)

// layout is where things lie in a data directory. Each process needs only some of it:
//
//	catalogue/  all                    objects/  all
//	spool/      ingest; retain removes what expires there
//	keys/       retain and serve: the sealed day keys
//	master/     serve: master.key; everybody: master.pub
//	audit/      retain: audit.key; everybody: audit.pub
type layout struct{ root string }

func (l layout) config() string    { return filepath.Join(l.root, "square.yaml") }
func (l layout) catalogue() string { return filepath.Join(l.root, "catalogue", "catalogue.db") }
func (l layout) spool() string     { return filepath.Join(l.root, "spool") }
func (l layout) objects() string   { return filepath.Join(l.root, "objects") }
func (l layout) keyFolder() string { return filepath.Join(l.root, "keys") }
func (l layout) keyStore() string  { return filepath.Join(l.root, "keys", "keys.db") }
func (l layout) master() string    { return filepath.Join(l.root, "master") }
func (l layout) audit() string     { return filepath.Join(l.root, "audit") }

// initSite makes a data directory: folders, master key, signing key, databases. It never replaces
// anything, so that it may be repeated.
func initSite(ctx context.Context, l layout) error {
	if err := makeFolders(l); err != nil {
		return err
	}
	// A store without the key that belongs to it is a loss to report, never a reason to make a new key.
	if _, err := os.Stat(l.keyStore()); errors.Is(err, fs.ErrNotExist) {
		if err := keys.CreateMaster(l.master()); err != nil {
			return err
		}
	}
	if _, err := os.Stat(l.catalogue()); errors.Is(err, fs.ErrNotExist) {
		if _, err := audit.LoadOrCreateKey(l.audit()); err != nil {
			return err
		}
	}
	keyDB, err := openKeyStore(ctx, l)
	if err != nil {
		return err
	}
	db, err := openCatalogue(ctx, l)
	if err != nil {
		return errors.Join(err, keyDB.Close())
	}
	if err := errors.Join(db.Close(), keyDB.Close()); err != nil {
		return err
	}
	// SQLite gives the files beside a database the mode of the database.
	for _, file := range []string{l.catalogue(), l.catalogue() + ".lock", l.keyStore(), l.keyStore() + ".lock"} {
		if err := os.Chmod(file, 0o660); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
	}
	return nil
}

// makeFolders makes the folders that do not exist. What several processes share is open to one group
// and hands that group on; whoever runs them as different users gives each folder its group.
func makeFolders(l layout) error {
	shared := 0o770 | fs.ModeSetgid
	for _, f := range []struct {
		path string
		mode fs.FileMode
	}{
		{l.root, 0o755}, {filepath.Dir(l.catalogue()), shared}, {l.objects(), shared}, {filepath.Join(l.objects(), ".uploads"), shared},
		{l.spool(), shared}, {l.keyFolder(), shared}, {l.master(), 0o755}, {l.audit(), 0o755},
	} {
		if _, err := os.Stat(f.path); err == nil {
			continue
		}
		// Not MkdirAll's mode alone: the umask would take the group's rights.
		if err := errors.Join(os.MkdirAll(f.path, 0o700), os.Chmod(f.path, f.mode)); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
	}
	return nil
}

// openCatalogue opens the database that the three processes share and brings it up to date, one
// process at a time.
func openCatalogue(ctx context.Context, l layout) (*sql.DB, error) {
	if _, err := os.Stat(filepath.Dir(l.catalogue())); err != nil {
		return nil, usageError{fmt.Errorf("%s is no data directory of Klarsyn (%w); make one with: klarsyn init --data %s", l.root, err, l.root)}
	}
	unlock, err := lockFile(ctx, l.catalogue()+".lock")
	if err != nil {
		return nil, err
	}
	defer unlock()
	db, err := database.OpenSQLite(ctx, l.catalogue())
	if err != nil {
		return nil, err
	}
	if err := database.Migrate(ctx, db, database.SQLite, catalogueTables()...); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// catalogueTables are what the database that the three processes share holds, by owner.
func catalogueTables() []database.Owner {
	return []database.Owner{
		{Name: "audit", Files: audit.Migrations()}, {Name: "rules", Files: rules.Migrations()}, {Name: "identity", Files: identity.Migrations()},
		{Name: "catalogue", Files: catalogue.Migrations()}, {Name: "occupancy", Files: occupancy.Migrations()},
	}
}

// keyTables are what the key store holds.
func keyTables() []database.Owner { return []database.Owner{{Name: "keys", Files: keys.Migrations()}} }

// openKeyStore opens the database of day keys, which is apart so that its backups can live shorter.
func openKeyStore(ctx context.Context, l layout) (*sql.DB, error) {
	unlock, err := lockFile(ctx, l.keyStore()+".lock")
	if err != nil {
		return nil, err
	}
	defer unlock()
	db, err := database.OpenSQLite(ctx, l.keyStore())
	if err != nil {
		return nil, err
	}
	if err := database.Migrate(ctx, db, database.SQLite, keyTables()...); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// lockFile waits up to a minute for its turn.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o660)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("lock %s is held by another process: %w", path, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// site is an opened data directory with what every process needs of it.
type site struct {
	layout layout
	square *square
	db     *sql.DB
	log    *audit.Log
	clock  *retention.Clock
	store  *dir.Store
	logger *slog.Logger
	keyErr error // why this process cannot number the log, if it should
}

// siteOptions are what a process is started with.
type siteOptions struct {
	data       string
	config     string // "": square.yaml of the data directory
	trustClock bool
	wall       func() time.Time // nil: the system clock
	signing    bool             // this process numbers the log, if it has the key for it
	logger     *slog.Logger
}

func openSite(ctx context.Context, o siteOptions) (_ *site, err error) {
	s := &site{layout: layout{o.data}, logger: o.logger}
	if o.config == "" {
		o.config = s.layout.config()
	}
	if o.wall == nil {
		o.wall = time.Now
	}
	if s.square, err = loadSquare(o.config); err != nil {
		return nil, err
	}
	if s.db, err = openCatalogue(ctx, s.layout); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.db.Close())
		}
	}()
	if s.store, err = dir.Open(s.layout.objects()); err != nil {
		return nil, err
	}
	var key *audit.Key
	if o.signing {
		// Without the key deletion goes on: it is the log's numbering that waits, and retain says so.
		key, s.keyErr = audit.LoadKey(s.layout.audit())
	}
	cfg := audit.Config{DB: s.db, Dialect: database.SQLite, Key: key, Logger: o.logger}
	unclocked, err := audit.New(cfg)
	if err != nil {
		return nil, err
	}
	last, err := unclocked.LastTime(ctx)
	if err != nil {
		return nil, err
	}
	s.clock = retention.NewClock(o.wall, last, o.trustClock)
	cfg.Now = s.clock.Logging // the log must not vouch for a clock that leapt
	if s.log, err = audit.New(cfg); err != nil {
		return nil, err
	}
	return s, s.checkClock(ctx)
}

// checkClock says aloud, once, that a clock is not what it was.
func (s *site) checkClock(ctx context.Context) error {
	what := ""
	if behind := s.clock.Behind(); behind > retention.ClockTolerance {
		what = fmt.Sprintf("the system clock is %s behind the last log entry; deadlines go by the later of the two", behind.Round(time.Second))
	}
	if _, err := s.clock.Deleting(); err != nil {
		what = err.Error()
	}
	if what == "" {
		return nil
	}
	s.logger.Error("clock fault", "what", what)
	return s.log.Record(ctx, policy.Entry{Event: policy.ClockFault, Actor: "service", Reason: what})
}

func (s *site) catalogue(actor string) *catalogue.Catalogue {
	return &catalogue.Catalogue{DB: s.db, Log: s.log, Actor: actor, Now: s.clock.Logging}
}

func (s *site) close() error { return s.db.Close() }
