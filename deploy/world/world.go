// Package world is a whole installation in the hands of a test: the real catalogue, log, keys, vault, sweeper and store, wired as
// the commands wire them, over a data directory or over servers. Only its time is its own.
package world

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/occupancy"
	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/policy/identity"
	"klarsyn/policy/rules"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
	"klarsyn/retention/keys"
	"klarsyn/retention/object"
	"klarsyn/retention/object/dir"
	"klarsyn/retention/object/s3"
	"klarsyn/retention/vault"
)

// Addresses say where a world lies. What is empty lies in its folder.
type Addresses struct {
	Folder    string `json:"folder"`
	Catalogue string `json:"catalogue,omitempty"` // postgres://…
	Keys      string `json:"keys,omitempty"`      // postgres://…
	Objects   string `json:"objects,omitempty"`   // s3://…
}

// Start is when a world begins whose time need not be anybody's.
var Start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// Retention is how long the world's permit lets a clip be kept.
const Retention = 10 * time.Minute

// Cameras are the world's cameras.
var Cameras = []camera.ID{"k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8"}

func (a Addresses) path(parts ...string) string {
	return filepath.Join(append([]string{a.Folder}, parts...)...)
}

func tables() []database.Owner {
	return []database.Owner{
		{Name: "audit", Files: audit.Migrations()}, {Name: "rules", Files: rules.Migrations()}, {Name: "identity", Files: identity.Migrations()},
		{Name: "catalogue", Files: catalogue.Migrations()}, {Name: "occupancy", Files: occupancy.Migrations()},
	}
}

func keyTables() []database.Owner { return []database.Owner{{Name: "keys", Files: keys.Migrations()}} }

// Make makes an empty world, with its permit in force and a clock that stands at start.
func Make(ctx context.Context, a Addresses, start time.Time) error {
	for _, f := range []string{"catalogue", "keys", "master", "audit", "spool"} {
		if err := os.MkdirAll(a.path(f), 0o770); err != nil {
			return err
		}
	}
	if _, err := OpenWall(a.path("now"), start); err != nil {
		return err
	}
	db, err := a.openCatalogue(ctx)
	if err != nil {
		return err
	}
	keyDB, err := a.openKeys(ctx)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	err = errors.Join(database.Migrate(ctx, db, a.dialect(a.Catalogue), tables()...), database.Migrate(ctx, keyDB, a.dialect(a.Keys), keyTables()...),
		keys.CreateMaster(a.path("master")))
	if err == nil {
		_, err = audit.LoadOrCreateKey(a.path("audit"))
	}
	if err := errors.Join(err, db.Close(), keyDB.Close()); err != nil {
		return err
	}
	w, err := Open(ctx, a)
	if err != nil {
		return err
	}
	p, err := Permit(1)
	if err == nil {
		err = w.Books.Activate(ctx, p)
	}
	if err == nil {
		_, err = w.Books.BeginEpoch(ctx)
	}
	return errors.Join(err, w.Close())
}

func (a Addresses) dialect(address string) string {
	if address == "" {
		return database.SQLite
	}
	return database.Postgres
}

func (a Addresses) openCatalogue(ctx context.Context) (*sql.DB, error) {
	if a.Catalogue != "" {
		return database.OpenPostgres(ctx, a.Catalogue)
	}
	return database.OpenSQLite(ctx, a.path("catalogue", "catalogue.db"))
}

func (a Addresses) openKeys(ctx context.Context) (*sql.DB, error) {
	if a.Keys != "" {
		return database.OpenPostgres(ctx, a.Keys)
	}
	return database.OpenSQLite(ctx, a.path("keys", "keys.db"))
}

// World is an opened installation, as one process sees it.
type World struct {
	Addresses
	Wall  *Wall
	Clock *retention.Clock
	DB    *sql.DB
	KeyDB *sql.DB
	Log   *audit.Log
	Books *catalogue.Catalogue
	Keys  *keys.Store
	Store object.Store
	// Intake is the recorder; nil until Recover.
	Intake  *vault.Intake
	Sweeper *retention.Sweeper
	Tender  *keys.Tender
	Reaper  *object.Reaper
	Vault   *vault.Vault
	Custody *vault.Custody
	Cutter  *vault.Cutter
	Barrier *retention.Barrier
	// Backgrounds ends what counters have learnt.
	Backgrounds *vault.BackgroundReaper

	closeStore func()
}

// actor is who the log says the world's processes are.
const actor = "service:retain"

// Open opens a world as a starting process does; nothing is recovered before Recover. What comes around the store is what the
// process takes for it.
func Open(ctx context.Context, a Addresses, around ...func(object.Store) object.Store) (_ *World, err error) {
	w := &World{Addresses: a, closeStore: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if w.Wall, err = OpenWall(a.path("now"), Start); err != nil {
		return nil, err
	}
	if w.DB, err = a.openCatalogue(ctx); err != nil {
		return nil, err
	}
	if w.KeyDB, err = a.openKeys(ctx); err != nil {
		return nil, err
	}
	key, err := audit.LoadKey(a.path("audit"))
	if err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	cfg := audit.Config{DB: w.DB, Dialect: a.dialect(a.Catalogue), Key: key, Logger: quiet}
	unclocked, err := audit.New(cfg)
	if err != nil {
		return nil, err
	}
	last, err := unclocked.LastTime(ctx)
	if err != nil {
		return nil, err
	}
	w.Clock = retention.NewClock(w.Wall.Now, last, false)
	cfg.Now = w.Clock.Logging
	if w.Log, err = audit.New(cfg); err != nil {
		return nil, err
	}
	w.Books = &catalogue.Catalogue{DB: w.DB, Dialect: cfg.Dialect, Log: w.Log, Actor: actor, Now: w.Clock.Logging}
	if err := w.openStore(); err != nil {
		return nil, err
	}
	for _, a := range around {
		w.Store = a(w.Store)
	}
	public, err := keys.LoadPublic(a.path("master"))
	if err != nil {
		return nil, err
	}
	secret, err := keys.LoadSecret(a.path("master"))
	if err != nil {
		return nil, err
	}
	w.Keys = &keys.Store{DB: w.KeyDB, Sealer: public, Opener: secret, Now: w.Clock.Logging}
	w.wire(quiet)
	return w, nil
}

func (w *World) openStore() error {
	if w.Objects == "" {
		d, err := dir.Open(w.path("objects"))
		w.Store = d
		return err
	}
	cfg, err := s3.ParseAddress(w.Objects)
	if err != nil {
		return err
	}
	cfg.Tries, cfg.Silence = 2, 3*time.Second
	s, err := s3.Open(cfg)
	if err != nil {
		return err
	}
	w.Store, w.closeStore = s, s.Close
	return nil
}

// wire puts the parts together as the commands do, in one process.
func (w *World) wire(quiet *slog.Logger) {
	scrub := func(ctx context.Context) error { return database.Scrub(ctx, w.DB, w.dialect(w.Catalogue)) }
	scrubKeys := func(ctx context.Context) error { return database.Scrub(ctx, w.KeyDB, w.dialect(w.Addresses.Keys)) }
	w.Sweeper = w.Another()
	w.Tender = &keys.Tender{
		Store: w.Keys, Board: w.Books, Permits: func(time.Time) []string { return []string{"plattan"} }, Now: w.Clock.Receiving, Log: quiet, Scrub: scrubKeys,
	}
	w.Reaper = &object.Reaper{Store: w.Store, Owners: w.Books, Prefix: "clips/", Age: time.Nanosecond, Now: time.Now, Log: quiet}
	w.Backgrounds = &vault.BackgroundReaper{Rows: w.Books, Spool: w.Spool(), Scrub: scrub, Now: w.Clock.Receiving, Log: quiet}
	w.Barrier = &retention.Barrier{Book: w.Books, Store: legalHolds{w.Store}, Log: quiet}
	w.Vault = &vault.Vault{Shelf: w.Books, Keyring: w.Keys, Store: w.Store, Clock: w.Clock, Timeout: 10 * time.Second}
	w.Custody = &vault.Custody{Vault: w.Vault, Book: w.Books, Keys: w.Keys, Minting: w.Books.LogCaseKeyMinted, Now: w.Clock.Logging}
	w.Cutter = &vault.Cutter{Vault: w.Vault, List: w.Books, Book: w.Books, Keys: w.Keys, Store: w.Store, Now: w.Clock.Logging, Log: quiet, Timeout: 10 * time.Second}
}

// Another makes another sweeper over the world, as another process would have it.
func (w *World) Another() *retention.Sweeper {
	return retention.NewSweeper(retention.SweeperConfig{
		Ledger: w.Books, Clock: w.Clock, Eraser: retention.Places{
			{Name: "spool", Eraser: vault.Spool{Leftovers: vault.Leftovers{Folder: w.Spool()}}},
			{Name: "store", Eraser: object.Eraser{Store: w.Store}},
		},
		Scrub: func(ctx context.Context) error { return database.Scrub(ctx, w.DB, w.dialect(w.Catalogue)) },
	})
}

// legalHolds are the object store's, in the words of retention.
type legalHolds struct{ store object.Store }

func (l legalHolds) LegalHold(ctx context.Context, key, version string, on bool) error {
	err := l.store.LegalHold(ctx, key, version, on)
	switch {
	case errors.Is(err, object.ErrNoLegalHold):
		return retention.ErrNoBarrier
	case errors.Is(err, object.ErrNotFound) && !on:
		return nil
	}
	return err
}

// Spool is the recorder's folder.
func (w *World) Spool() string { return w.path("spool") }

// Rotate gives the key store another master key.
func (w *World) Rotate(ctx context.Context) error {
	master, err := keys.OpenLocalMaster(w.path("master"))
	if err != nil {
		return err
	}
	r := keys.Rotation{
		Store: &keys.Store{DB: w.KeyDB, Sealer: master, Opener: master, Now: w.Clock.Logging}, To: master,
		Log: func(ctx context.Context, done keys.Rotated) error {
			return w.Log.Record(ctx, policy.MasterRotatedEntry(actor, policy.Rotation(done)))
		},
		Scrub: func(ctx context.Context) error { return database.Scrub(ctx, w.KeyDB, w.dialect(w.Addresses.Keys)) },
	}
	if w.dialect(w.Addresses.Keys) == database.Postgres {
		r.Exclude = func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `LOCK TABLE keys_day, keys_case IN SHARE ROW EXCLUSIVE MODE`)
			return err
		}
	}
	_, err = r.Run(ctx)
	return err
}

// Rotating reports whether somebody began to rotate the master key, and did not end it.
func (w *World) Rotating(ctx context.Context) (bool, error) {
	var step string
	err := w.KeyDB.QueryRowContext(ctx, `SELECT step FROM keys_master`).Scan(&step)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	files, err := os.ReadDir(w.path("master"))
	return step != "" || len(files) > 2, err
}

// Recover starts the recorder: what a crash left in the spool gets its end.
func (w *World) Recover(ctx context.Context) error {
	versions, err := w.Books.Versions(ctx)
	if err != nil {
		return err
	}
	permits, err := policy.PermitsOf(versions)
	if err != nil {
		return err
	}
	if w.Intake != nil { // as when its process died: what it had open stays open
		if err := w.Intake.Close(); err != nil {
			return err
		}
	}
	w.Intake, err = vault.OpenIntake(ctx, vault.IntakeConfig{
		Reservations: w.Books, Timeline: w.Books, Outcomes: w.Books, Store: w.Store, Permit: permits.At, Spool: w.Spool(), Node: "n1",
		Now: w.Clock.Receiving, ClockDoubted: w.Clock.Doubted(), Timeout: 30 * time.Second,
	})
	return err
}

// Record takes a take into the spool; the world's time passes with it.
func (w *World) Record(ctx context.Context, t Take) error {
	if err := t.record(ctx, w.Intake, w.Wall.Advance); err != nil {
		return fmt.Errorf("recording %s: %w", t.Camera, err)
	}
	return nil
}

// Sweep deletes until nothing is due.
func (w *World) Sweep(ctx context.Context) error {
	for {
		again, err := w.Sweeper.Sweep(ctx)
		if err != nil || !again {
			return err
		}
	}
}

// Close gives everything back.
func (w *World) Close() error {
	var errs []error
	if w.Intake != nil {
		errs = append(errs, w.Intake.Close())
	}
	w.closeStore()
	for _, db := range []*sql.DB{w.DB, w.KeyDB} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
