package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
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
	"klarsyn/retention/keys"
)

// backup is what copying a square needs of it: its rows, and no object.
type backup struct {
	layout    layout
	addresses addresses
	square    *square
	db        rows
	log       *audit.Log
	clock     *retention.Clock
	public    string // the log's key
}

func openBackup(ctx context.Context, c common) (_ *backup, err error) {
	b := &backup{layout: layout{c.data}}
	if c.config == "" {
		c.config = b.layout.config()
	}
	if b.square, err = loadSquare(c.config); err != nil {
		return nil, err
	}
	b.addresses = c.addresses.over(b.square.addresses)
	if err := b.addresses.check(); err != nil {
		return nil, usageError{err}
	}
	if b.public, err = audit.LoadVerifier(b.layout.audit()); err != nil {
		return nil, err
	}
	if b.db, err = openCatalogue(ctx, b.layout, b.addresses); err != nil {
		return nil, err
	}
	b.log, b.clock, err = logOver(ctx, b.db, c.trustClock)
	if err != nil {
		return nil, errors.Join(err, b.db.Close())
	}
	return b, nil
}

// logOver is the log of rows, with the clock that stamps it.
func logOver(ctx context.Context, db rows, trustClock bool) (*audit.Log, *retention.Clock, error) {
	unclocked, err := audit.New(audit.Config{DB: db.DB, Dialect: db.dialect})
	if err != nil {
		return nil, nil, err
	}
	last, err := unclocked.LastTime(ctx)
	if err != nil {
		return nil, nil, err
	}
	clock := retention.NewClock(time.Now, last, trustClock)
	log, err := audit.New(audit.Config{DB: db.DB, Dialect: db.dialect, Now: clock.Logging})
	return log, clock, err
}

// backedUp is what was made.
type backedUp struct {
	ID      string    `json:"id"`
	Made    time.Time `json:"made"`
	Folder  string    `json:"folder"`
	Keys    string    `json:"keys,omitempty"`
	Expires time.Time `json:"keys_expire,omitzero"`
	Entries int64     `json:"log_entries"`
	Root    string    `json:"log_root"`
	Bytes   int64     `json:"bytes"`
	Needs   []string  `json:"needs"`
}

// make copies the rows into the folder out, and the keys into another one, while the square runs. Rows come first: a day key that
// is minted meanwhile is copied with the keys, and one that is destroyed meanwhile is needed by nothing that matters.
func (b *backup) make(ctx context.Context, out, keysTo string) (_ backedUp, err error) {
	now := b.clock.Logging().UTC().Truncate(time.Second)
	id := ulid.Make().String()
	said := backedUp{ID: id, Made: now, Folder: out, Keys: keysTo, Needs: needs()}
	books := &catalogue.Catalogue{DB: b.db.DB, Dialect: b.db.dialect}
	if _, err := beginEpoch(ctx, b.db); err != nil {
		return said, err
	}
	rowsPart, err := b.begin(ctx, books, out, backupOfCatalogue, id, now)
	if err != nil {
		return said, err
	}
	defer rowsPart.abandon(&err)
	if err := rowsPart.copy(ctx, b.db, b.addresses.catalogue, catalogueTables(), b.public); err != nil {
		return said, err
	}
	crashpoint.Here("backup.copied")
	parts := []*backupPart{rowsPart}
	var ring *keys.Store
	if keysTo != "" {
		keyDB, err := openKeyStore(ctx, b.layout, b.addresses)
		if err != nil {
			return said, err
		}
		defer keyDB.Close()
		ring = &keys.Store{DB: keyDB.DB}
		keyPart, err := b.begin(ctx, books, keysTo, backupOfKeys, id, now)
		if err != nil {
			return said, err
		}
		defer keyPart.abandon(&err)
		versions, err := books.Versions(ctx)
		if err != nil {
			return said, err
		}
		keyPart.Expires = now.Add(keyLife(b.square.backup.keysKeep, versions, now))
		said.Expires = keyPart.Expires
		if err := keyPart.copy(ctx, keyDB, b.addresses.keys, keyTables(), ""); err != nil {
			return said, err
		}
		crashpoint.Here("backup.keys")
		parts = []*backupPart{keyPart, rowsPart} // what is whole without the other is placed first
	}
	var sum policy.Hash
	for _, p := range parts {
		if sum, err = p.seal(); err != nil {
			return said, err
		}
	}
	crashpoint.Here("backup.written")
	if err := b.logMade(ctx, books, ring, id, sum); err != nil {
		return said, err
	}
	crashpoint.Here("backup.logged")
	for _, p := range parts {
		if err := p.place(); err != nil {
			return said, err
		}
		said.Bytes += p.Files[0].Size
	}
	crashpoint.Here("backup.placed")
	said.Entries, said.Root = rowsPart.Log.Entries, rowsPart.Log.Root
	return said, nil
}

// logMade logs the backup, and begins another epoch: whoever puts this copy back by hand is found.
func (b *backup) logMade(ctx context.Context, books *catalogue.Catalogue, ring *keys.Store, id string, sum policy.Hash) error {
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("logging the backup: %w", err)
	}
	defer tx.Rollback()
	if err := books.Raise(ctx, tx, 0); err != nil {
		return err
	}
	if err := b.log.Append(ctx, tx, policy.BackupMadeEntry(commandActor(), id, sum)); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("logging the backup: %w", err)
	}
	if ring == nil {
		return nil
	}
	e, err := books.Epoch(ctx)
	if err != nil {
		return err
	}
	if err := ring.SetEpoch(ctx, e.Installation, e.Number); err != nil {
		return err
	}
	return books.EpochKeyed(ctx, e.Number)
}

// backupPart is one of the two folders while it is being made, beside its place.
type backupPart struct {
	manifest
	target, work string
}

// begin makes the folder in which a part is made. Its place must be free, or an empty folder.
func (b *backup) begin(ctx context.Context, books *catalogue.Catalogue, out, kind, id string, now time.Time) (*backupPart, error) {
	out = filepath.Clean(out)
	if inside, err := os.ReadDir(out); err == nil && len(inside) > 0 {
		return nil, usageError{fmt.Errorf("%s is not empty: each backup has a folder of its own", out)}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, usageError{fmt.Errorf("backup: %w", err)}
	}
	p := &backupPart{manifest: manifest{Format: 1, Kind: kind, ID: id, Made: now, Engine: b.db.dialect, Needs: needs()}, target: out, work: out + ".new-" + id}
	if kind == backupOfKeys && b.addresses.keys == "" {
		p.Engine = database.SQLite
	} else if kind == backupOfKeys {
		p.Engine = database.Postgres
	}
	if err := p.installationOf(ctx, books); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o700); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	if err := os.Mkdir(p.work, 0o700); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	return p, nil
}

// abandon removes what was made of a part that failed.
func (p *backupPart) abandon(failed *error) {
	if *failed != nil {
		*failed = errors.Join(*failed, os.RemoveAll(p.work))
	}
}

// copy takes one state of the rows.
func (p *backupPart) copy(ctx context.Context, db rows, address string, tables []database.Owner, public string) (err error) {
	if p.Tables, err = database.Versions(ctx, db.DB, db.dialect, tables...); err != nil {
		return err
	}
	path := filepath.Join(p.work, p.file())
	if db.dialect == database.SQLite {
		if err := database.CopySQLite(ctx, db.DB, path); err != nil {
			return err
		}
		if public == "" {
			return p.describe(p.work, p.file())
		}
		copied, err := database.ReadSQLite(ctx, path)
		if err != nil {
			return err
		}
		defer copied.Close()
		// What the manifest says of the log is what the copy says, not what was numbered since.
		if p.Log, err = logOf(ctx, rows{copied, db.dialect}, public); err != nil {
			return err
		}
		return p.describe(p.work, p.file())
	}
	if err := database.ProgramFits(ctx, db.DB); err != nil {
		return err
	}
	state, err := database.TakeSnapshot(ctx, db.DB)
	if err != nil {
		return err
	}
	defer state.Rollback()
	if public != "" {
		signed, err := audit.CheckpointIn(ctx, state.Tx)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if p.Log, err = logState(signed, public); err != nil {
			return err
		}
	}
	if err := database.DumpPostgres(ctx, address, state.Name, path); err != nil {
		return err
	}
	return p.describe(p.work, p.file())
}

// seal writes the manifest, and returns its hash.
func (p *backupPart) seal() (policy.Hash, error) {
	text, err := p.text()
	if err != nil {
		return policy.Hash{}, err
	}
	if err := durable.Write(filepath.Join(p.work, manifestFile), text, 0o600); err != nil {
		return policy.Hash{}, fmt.Errorf("backup: %w", err)
	}
	return sha256.Sum256(text), nil
}

// place gives the folder its name: from here on it is a backup.
func (p *backupPart) place() error {
	if err := os.Rename(p.work, p.target); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := durable.SyncFolder(filepath.Dir(p.target)); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}
