package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/keys"
	"klarsyn/retention/object/s3"
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

// initSite makes a data directory: folders, databases, master key, signing key. It never replaces
// anything, so that it may be repeated.
func initSite(ctx context.Context, l layout, a addresses) (err error) {
	if err := l.open(); err != nil {
		return err
	}
	if err := makeFolders(l); err != nil {
		return err
	}
	db, err := openRows(ctx, l.catalogue(), a.catalogue, true, catalogueTables())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	keyDB, err := openRows(ctx, l.keyStore(), a.keys, true, keyTables())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keyDB.Close()) }()
	if _, err := (&catalogue.Catalogue{DB: db.DB, Dialect: db.dialect}).BeginEpoch(ctx); err != nil {
		return err
	}
	if err := checkKeyEpoch(ctx, l, db, keyDB, true); err != nil {
		return err
	}
	if err := makeKeys(ctx, l, a, db, keyDB); err != nil {
		return err
	}
	// SQLite gives the files beside a database the mode of the database.
	for file, elsewhere := range map[string]string{l.catalogue(): a.catalogue, l.keyStore(): a.keys} {
		if elsewhere != "" {
			continue
		}
		if err := errors.Join(os.Chmod(file, 0o660), os.Chmod(file+".lock", 0o660)); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
	}
	return nil
}

// makeKeys makes the master key and the signing key where nothing depends on one yet. A store without the
// key that belongs to it is a loss to report, never a reason to make a new key.
func makeKeys(ctx context.Context, l layout, a addresses, db, keyDB rows) error {
	minted, err := (&keys.Store{DB: keyDB.DB}).Before(ctx, "9999-12-31")
	if err != nil {
		return err
	}
	if len(minted) == 0 && isFile(a.master) {
		if err := keys.CreateMaster(l.master()); err != nil {
			return err
		}
	}
	log, err := audit.New(audit.Config{DB: db.DB, Dialect: db.dialect})
	if err != nil {
		return err
	}
	last, err := log.LastTime(ctx)
	if err == nil && last.IsZero() {
		_, err = audit.LoadOrCreateKey(l.audit())
	}
	return err
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
	layout      layout
	addresses   addresses
	given       siteOptions // what is read anew while it runs begins with it
	square      *square
	current     *current // what was applied
	db          rows
	log         *audit.Log
	deletionLog *audit.Log // of who deletes: it may write into the last room there is
	reserve     *reserve   // nil with a database server
	clock       *retention.Clock
	store       objects
	logger      *slog.Logger
	epoch       epochWatch
	keyErr      error // why this process cannot number the log, if it should
}

// siteOptions are what a process is started with.
type siteOptions struct {
	data       string
	config     string    // "": square.yaml of the data directory
	addresses  addresses // over those of the configuration
	rights     s3.Right  // what this process does with the object store; 0: nothing
	trustClock bool
	wall       func() time.Time // nil: the system clock
	signing    bool             // this process numbers the log, if it has the key for it
	logger     *slog.Logger
}

func openSite(ctx context.Context, o siteOptions) (_ *site, err error) {
	s := &site{layout: layout{o.data}, logger: o.logger, epoch: epochWatch{rights: o.rights}}
	if o.config == "" {
		o.config = s.layout.config()
	}
	if o.wall == nil {
		o.wall = time.Now
	}
	s.given = o
	if s.square, err = loadSquare(o.config); err != nil {
		return nil, err
	}
	s.addresses = o.addresses.over(s.square.addresses)
	if err := s.addresses.check(); err != nil {
		return nil, usageError{err}
	}
	if s.db, err = openCatalogue(ctx, s.layout, s.addresses); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.db.Close())
		}
	}()
	if s.store, err = openObjects(ctx, s.layout, s.addresses, o.rights, o.logger); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.store.close()
		}
	}()
	if err := s.checkEpoch(ctx); err != nil {
		return nil, err
	}
	var key *audit.Key
	if o.signing {
		// Without the key deletion goes on: it is the log's numbering that waits, and retain says so.
		key, s.keyErr = audit.LoadKey(s.layout.audit())
	}
	cfg := audit.Config{DB: s.db.DB, Dialect: s.db.dialect, Key: key, Keep: &s.square.logRetention, Logger: o.logger}
	unclocked, err := audit.New(cfg)
	if err != nil {
		return nil, err
	}
	last, err := unclocked.LastTime(ctx)
	if err != nil {
		return nil, err
	}
	s.clock = retention.NewClock(o.wall, last, o.trustClock)
	if o.rights&s3.Erase != 0 { // who deletes
		s.clock.Among(s.witnesses()...)
		s.clock.Ask(ctx)
	}
	cfg.Now = s.clock.Logging // the log must not vouch for a clock that leapt
	if s.deletionLog, err = audit.New(cfg); err != nil {
		return nil, err
	}
	if s.addresses.catalogue == "" {
		s.reserve = &reserve{path: filepath.Join(filepath.Dir(s.layout.catalogue()), "reserve"), size: s.square.reserve, beside: s.square.minFree}
		// Without it nothing is recorded or shown, but deletion goes on.
		if _, err := s.reserve.make(); err != nil {
			s.logger.Error("room for deletion could not be kept: nothing is recorded or shown until it can", "err", err)
		}
	}
	cfg.Room = s.reserve.kept
	if s.log, err = audit.New(cfg); err != nil {
		return nil, err
	}
	if s.current, err = newCurrent(ctx, s.catalogue("service")); err != nil {
		return nil, err
	}
	return s, s.checkClock(ctx)
}

// checkClock says aloud, once, that a clock is not what it was.
func (s *site) checkClock(ctx context.Context) error {
	what, state := "", policy.ClockBehind
	if behind := s.clock.Behind(); behind > retention.ClockTolerance {
		what = fmt.Sprintf("the system clock is %s behind the last log entry; deadlines go by the later of the two", behind.Round(time.Second))
	}
	if err := s.clock.Fault(); err != nil {
		what, state = err.Error(), policy.ClockDoubted
	}
	if what == "" {
		return nil
	}
	s.logger.Error("clock fault", "what", what)
	err := s.log.Record(ctx, policy.ClockFaultEntry("service", state, what))
	if errors.Is(err, errSpent) { // whoever deletes must be able to start
		err = s.deletionLog.Record(ctx, policy.ClockFaultEntry("service", state, what))
	}
	return err
}

func (s *site) catalogue(actor string) *catalogue.Catalogue { return s.catalogueOver(s.log, actor) }

func (s *site) catalogueOver(log *audit.Log, actor string) *catalogue.Catalogue {
	return &catalogue.Catalogue{DB: s.db.DB, Dialect: s.db.dialect, Log: log, Actor: actor, Now: s.clock.Logging}
}

func (s *site) close() error {
	s.store.close()
	return s.db.Close()
}
