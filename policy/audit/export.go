package audit

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"klarsyn/policy/audit/durable"
	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/verify"
)

// Export is a copy of the log for whoever checks it elsewhere.
type Export struct {
	Dir  string   // made if it is not there; an older export of the same log is brought up to date
	Keys []string // verifier keys that are trusted, as in audit.pub
	// Progress is told how many entries of how many are written; nil: nobody is.
	Progress func(done, of int64)
}

// Exported says what was written.
type Exported struct {
	Log         string `json:"log"`
	Entries     int64  `json:"entries"`
	FirstEntry  int64  `json:"first_entry"`
	Checkpoints int64  `json:"checkpoints"`
	Root        string `json:"root"`
	Files       int    `json:"files_written"`
}

// ErrNotNumbered says that all entries of a log still wait for their number.
var ErrNotNumbered = errors.New("nothing was numbered yet: start klarsyn retain, or the demo, and try again in a second")

// ErrOtherExport says that a directory holds what this log never was.
var ErrOtherExport = errors.New("the directory holds an export of another log, or of a later state of this one: was the log set back? Compare the two with klarsyn verify log, or choose an empty directory")

// Export writes one state of the log as a directory: tiles, entries, checkpoints and public keys. Only what is
// new is written, the newest checkpoint last, so that an interrupted export is finished by the next one.
// Whoever calls it logs first that the log is read.
func (l *Log) Export(ctx context.Context, x Export) (Exported, error) {
	tx, err := l.db.BeginTx(ctx, &l.engine.snapshot)
	if err != nil {
		return Exported{}, fmt.Errorf("export the log: %w", err)
	}
	defer tx.Rollback()
	w := &exporter{ctx: ctx, x: x, from: &stored{ctx: ctx, from: tx, trusted: x.Keys}}
	if err := w.run(tx); err != nil {
		return Exported{}, fmt.Errorf("export the log to %s: %w", x.Dir, err)
	}
	return w.said, nil
}

type exporter struct {
	ctx  context.Context
	x    Export
	from *stored
	said Exported
}

func (w *exporter) run(tx *sql.Tx) error {
	newest, before, err := w.compare()
	if err != nil {
		return err
	}
	err = tx.QueryRowContext(w.ctx, `SELECT first_leaf FROM audit_sequencer WHERE id = 1`).Scan(&w.said.FirstEntry)
	if err != nil {
		return err
	}
	w.said.Log, w.said.Entries, w.said.Checkpoints, w.said.Root = newest.Origin, newest.Size, newest.Number, newest.Root.String()
	if err := w.entries(newest, before); err != nil {
		return err
	}
	firstCheckpoint := int64(1)
	if err := tx.QueryRowContext(w.ctx, `SELECT first_checkpoint FROM audit_sequencer WHERE id = 1`).Scan(&firstCheckpoint); err != nil {
		return err
	}
	if err := w.pruneCheckpoints(firstCheckpoint); err != nil {
		return err
	}
	for _, span := range leaf.Spans(max(firstCheckpoint-1, before.Number), newest.Number) {
		if err := w.tile(func(width int) string { return leaf.Checkpoints(span.N, width) }, span); err != nil {
			return err
		}
	}
	for _, name := range []string{leaf.Keys, leaf.Witnesses, leaf.Rotations, leaf.Cosignatures, leaf.First, leaf.Newest} {
		content, err := w.from.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			err = os.Remove(w.path(name))
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		} else if err == nil {
			err = w.write(name, content)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// compare reads the newest checkpoint, and the one that was exported before. The older one must be of this log.
func (w *exporter) compare() (newest, before verify.Checkpoint, err error) {
	signed, err := w.from.ReadFile(leaf.Newest)
	if errors.Is(err, fs.ErrNotExist) {
		return newest, before, ErrNotNumbered
	}
	if err != nil {
		return newest, before, err
	}
	if newest, err = verify.TextOf(string(signed)); err != nil {
		return newest, before, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	old, err := os.ReadFile(w.path(leaf.Newest))
	if errors.Is(err, fs.ErrNotExist) {
		return newest, before, nil
	}
	if err != nil {
		return newest, before, err
	}
	if before, err = verify.TextOf(string(old)); err != nil || before.Origin != newest.Origin || before.Number > newest.Number {
		return newest, before, ErrOtherExport
	}
	bundle := (before.Number - 1) / leaf.Width
	width := int(min(leaf.Width, newest.Number-bundle*leaf.Width))
	content, err := w.from.ReadFile(leaf.Checkpoints(bundle, width))
	if errors.Is(err, fs.ErrNotExist) {
		return newest, verify.Checkpoint{}, nil // pruned since
	}
	if err != nil {
		return newest, before, err
	}
	notes, err := leaf.SplitBundle(content, width)
	if err != nil {
		return newest, before, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	same, err := verify.TextOf(string(notes[before.Number-1-bundle*leaf.Width]))
	if err != nil || same.Body() != before.Body() {
		return newest, before, ErrOtherExport
	}
	return newest, before, nil
}

// entries writes tiles and entries that are not there yet, and removes entries that were pruned.
func (w *exporter) entries(newest, before verify.Checkpoint) error {
	for n := int64(0); n < w.said.FirstEntry/leaf.Width; n++ {
		if err := w.remove(leaf.Entries(n, leaf.Width)); err != nil {
			return err
		}
	}
	for level, n := 0, newest.Size; n > 0; level, n = level+1, n/leaf.Width {
		had := before.Size >> (8 * level)
		for _, span := range leaf.Spans(had, n) {
			if err := w.ctx.Err(); err != nil {
				return err
			}
			if err := w.tile(func(width int) string { return leaf.Tile(level, span.N, width) }, span); err != nil {
				return err
			}
			if level > 0 || span.First() < w.said.FirstEntry {
				continue
			}
			if err := w.tile(func(width int) string { return leaf.Entries(span.N, width) }, span); err != nil {
				return err
			}
			if w.x.Progress != nil {
				w.x.Progress(span.First()+int64(span.Width), newest.Size)
			}
		}
	}
	return nil
}

// tile writes a tile or bundle, and then removes narrower ones that earlier exports left.
func (w *exporter) tile(name func(width int) string, span leaf.Span) error {
	content, err := w.from.ReadFile(name(span.Width))
	if err != nil {
		return fmt.Errorf("%s: %w", name(span.Width), err)
	}
	if err := w.write(name(span.Width), content); err != nil {
		return err
	}
	partial := name(leaf.Width) + ".p"
	narrower, err := os.ReadDir(w.path(partial))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, file := range narrower {
		if old := partial + "/" + file.Name(); old != name(span.Width) {
			if err := w.remove(old); err != nil {
				return err
			}
		}
	}
	return nil
}

// pruneCheckpoints removes bundles of checkpoints that the log has no more.
func (w *exporter) pruneCheckpoints(first int64) error {
	for n := int64(0); n < (first-1)/leaf.Width; n++ {
		if err := w.remove(leaf.Checkpoints(n, leaf.Width)); err != nil {
			return err
		}
	}
	return nil
}

func (w *exporter) remove(name string) error {
	err := os.Remove(w.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (w *exporter) path(name string) string { return filepath.Join(w.x.Dir, filepath.FromSlash(name)) }

// write puts a whole file in its place: entries name people who work here, so only their owner reads them.
func (w *exporter) write(name string, content []byte) error {
	path := w.path(name)
	if present, err := os.ReadFile(path); err == nil && bytes.Equal(present, content) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := durable.Write(path, content, 0o600); err != nil {
		return err
	}
	w.said.Files++
	return nil
}
