package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"klarsyn/policy/audit"
	"klarsyn/policy/audit/verify"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
)

// manifestFile is what makes a folder a backup: it is written last.
const manifestFile = "manifest.json"

// The two kinds of backups. They are apart because one must be gone sooner.
const (
	backupOfCatalogue = "catalogue"
	backupOfKeys      = "keys"
)

// manifest says what a backup is, and what is not in it.
type manifest struct {
	Format       int              `json:"format"`
	Kind         string           `json:"kind"`
	ID           string           `json:"id"` // ULID; the same of both kinds that were made together
	Made         time.Time        `json:"made"`
	Engine       string           `json:"engine"` // sqlite3, postgres
	Installation string           `json:"installation"`
	Epoch        int64            `json:"epoch"`
	Tables       map[string]int64 `json:"tables"` // of what version the tables of each owner are
	Log          *backedLog       `json:"log,omitempty"`
	Files        []backedFile     `json:"files"`
	Expires      time.Time        `json:"expires,omitzero"` // of keys: from then on the folder must be gone
	Needs        []string         `json:"needs"`            // what else is needed to serve again, and is not in it
}

// backedLog is how far the log was.
type backedLog struct {
	Name       string `json:"name"`
	Entries    int64  `json:"entries"`
	Root       string `json:"root"`
	Checkpoint string `json:"checkpoint"` // the newest, signed; empty: nothing was numbered yet
	Key        string `json:"key"`
}

type backedFile struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// needs are what no backup holds. A backup of rows lives long and lies elsewhere: with the log's signing key in it, who steals it
// could write the log anew; with the master key beside day keys, he could open footage. Both change only when they are rotated, and
// their owner keeps a copy of them apart.
func needs() []string {
	return []string{
		"audit/audit.key: the log's signing key; without it nothing is numbered or signed any more",
		"master/master.key, or the key in the key server: without it no day key can be opened",
		"square.yaml and the files with passwords that it names",
		"the objects: footage is in no backup",
	}
}

// describe adds a file of the folder to the manifest.
func (m *manifest) describe(folder, name string) error {
	f, err := os.Open(filepath.Join(folder, name))
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	m.Files = append(m.Files, backedFile{name, n, hex.EncodeToString(sum.Sum(nil))})
	return nil
}

func (m *manifest) text() ([]byte, error) {
	var b bytes.Buffer
	err := printJSON(&b, m)
	return b.Bytes(), err
}

// file is the one that holds the rows.
func (m *manifest) file() string {
	if m.Engine == database.SQLite {
		return m.Kind + ".db"
	}
	return m.Kind + ".dump"
}

// readManifest reads what a folder says of itself, and its hash.
func readManifest(folder, kind string) (*manifest, [sha256.Size]byte, error) {
	b, err := os.ReadFile(filepath.Join(folder, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, [sha256.Size]byte{}, usageError{fmt.Errorf("%s is no backup: it has no %s; a backup that was interrupted has none either", folder, manifestFile)}
	}
	if err != nil {
		return nil, [sha256.Size]byte{}, fmt.Errorf("backup: %w", err)
	}
	var m manifest
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return nil, [sha256.Size]byte{}, fmt.Errorf("%s: %w: the backup is damaged", filepath.Join(folder, manifestFile), err)
	}
	switch {
	case m.Format != 1:
		return nil, [sha256.Size]byte{}, fmt.Errorf("%s is of format %d, this program knows 1: use a newer one", folder, m.Format)
	case kind != "" && m.Kind != kind:
		return nil, [sha256.Size]byte{}, usageError{fmt.Errorf("%s is a backup of the %s: want one of the %s", folder, m.Kind, kind)}
	case len(m.Files) != 1 || m.Files[0].Name != m.file():
		return nil, [sha256.Size]byte{}, fmt.Errorf("%s does not name the one file that a backup has: it is damaged", filepath.Join(folder, manifestFile))
	}
	return &m, sha256.Sum256(b), nil
}

// check reports what is wrong with a backup: its files against their hashes, and what can be seen in them without loading them.
// trusted is the log's public key, from whom the asker trusts; empty: the one that the backup names.
func (m *manifest) check(ctx context.Context, folder, trusted string, now time.Time) (problems []string, err error) {
	if m.Kind == backupOfKeys && !now.Before(m.Expires) {
		problems = append(problems, fmt.Sprintf("it expired %s: these keys must be gone; run klarsyn backup expire", m.Expires.Format(time.RFC3339)))
	}
	again := *m
	again.Files = nil
	if err := again.describe(folder, m.file()); err != nil {
		return append(problems, err.Error()), nil
	}
	if again.Files[0] != m.Files[0] {
		return append(problems, fmt.Sprintf("%s is not what was written: its hash or size differs from the manifest's", m.file())), nil
	}
	if m.Engine == database.Postgres {
		err := database.CheckDump(ctx, filepath.Join(folder, m.file()))
		if errors.Is(err, database.ErrNoProgram) {
			return problems, err
		}
		if err != nil {
			problems = append(problems, err.Error())
		}
		return problems, nil
	}
	db, err := database.ReadSQLite(ctx, filepath.Join(folder, m.file()))
	if err != nil {
		return append(problems, err.Error()), nil
	}
	defer db.Close()
	if m.Kind == backupOfKeys {
		return problems, nil
	}
	more, err := m.checkRows(ctx, rows{db, m.Engine}, trusted, now)
	return append(problems, more...), err
}

// checkRows holds the rows of a catalogue against the manifest, and its log against what was signed.
func (m *manifest) checkRows(ctx context.Context, db rows, trusted string, now time.Time) (problems []string, err error) {
	if trusted == "" {
		trusted = m.Log.Key
	}
	signed, err := newestCheckpoint(ctx, db)
	if err != nil {
		return nil, err
	}
	if signed != m.Log.Checkpoint {
		problems = append(problems, "its log does not end with the checkpoint that the manifest names")
	}
	report, err := audit.Verify(ctx, audit.Verification{DB: db.DB, Dialect: db.dialect, Verifier: trusted, Now: now, Stopped: true})
	if err != nil {
		return problems, err
	}
	for _, v := range report.Violations {
		problems = append(problems, "its log: "+v.Place+": "+v.What)
	}
	return problems, nil
}

// newestCheckpoint is the newest signed note of the log; empty if there is none.
func newestCheckpoint(ctx context.Context, db rows) (string, error) {
	log, err := audit.New(audit.Config{DB: db.DB, Dialect: db.dialect})
	if err != nil {
		return "", err
	}
	b, err := log.Checkpoint(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return b, err
}

// logOf is how far a log is.
func logOf(ctx context.Context, db rows, key string) (*backedLog, error) {
	signed, err := newestCheckpoint(ctx, db)
	if err != nil {
		return nil, err
	}
	return logState(signed, key)
}

func logState(signed, key string) (*backedLog, error) {
	l := &backedLog{Name: originOf(key), Key: key, Checkpoint: signed}
	if signed == "" {
		return l, nil
	}
	c, err := verify.TextOf(signed)
	if err != nil {
		return nil, fmt.Errorf("the log's newest checkpoint: %w", err)
	}
	l.Entries, l.Root = c.Size, c.Root.String()
	return l, nil
}

// installationOf says of which installation and epoch rows are.
func (m *manifest) installationOf(ctx context.Context, books *catalogue.Catalogue) error {
	e, err := books.Epoch(ctx)
	m.Installation, m.Epoch = e.Installation, e.Number
	return err
}
