package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"klarsyn/policy/audit/leaf"
)

// Files is where a log lies: a directory that was exported, or something that answers like one. What is not
// there is fs.ErrNotExist; any other error ends the check, for it says nothing of the log.
type Files interface {
	ReadFile(name string) ([]byte, error)
}

// Options say whom to trust.
type Options struct {
	Keys      []string   // verifier keys of the log; the one of any time will do
	Witnesses []*Witness // of whom the asker knows the key
	First     bool       // stop at the first problem
	// Workers read and hash beside each other; 0: one for each processor.
	Workers int
	// Each is given the entries that the log still has, in their order, as they are checked; nil: nobody is. What it made of
	// them is worth nothing if the report has problems.
	Each func(index int64, l leaf.Leaf)
	// Progress is told from time to time how many entries of how many are checked; nil: nobody is.
	Progress func(done, of int64)
}

// Log checks a whole log: every entry and every tile hashed anew, numbers without a gap, times that never
// decrease, every checkpoint signed by the key of its time, numbered, none missing, its root the one that
// the entries make, so that each extends all before it, and every cosignature. An error means that the log
// could not be read; what is wrong with it is in the report.
//
// What it cannot see is a whole log that was written anew with the log's own key: for that there are
// cosignatures, whose keys the asker got from the witnesses themselves.
func Log(ctx context.Context, files Files, o Options) (*Report, error) {
	w := &walk{ctx: ctx, files: files, options: o, report: &Report{stop: o.First, Cosigned: []Cosigned{}, Problems: []Problem{}}}
	if w.options.Workers == 0 {
		w.options.Workers = runtime.GOMAXPROCS(0)
	}
	for _, step := range []func() error{w.open, w.walk, w.finish} {
		if err := step(); err != nil {
			if errors.Is(err, errEnough) {
				break
			}
			return nil, fmt.Errorf("verify the log: %w", err)
		}
		if w.report.enough() {
			break
		}
	}
	return w.report, nil
}

// errEnough ends a walk whose report says all there is to say.
var errEnough = errors.New("enough")

// walk goes through entries, tiles and checkpoints side by side.
type walk struct {
	ctx     context.Context
	files   Files
	options Options
	report  *Report

	chain       *Chain
	newest      Checkpoint
	rotations   map[int64]string // by the number of the checkpoint
	pruned      pruning          // what the log's files say was pruned
	saidPruned  pruning          // what its newest entry of a pruning says
	checkpoints checkpoints
	cosigned    cosigned

	made    leaf.Tree // of the entries
	said    leaf.Tree // of the hashes in the tiles
	doubts  []doubt
	groups  []tlog.Hash // roots of the full tiles of level 0
	last    time.Time   // sequencing time of the newest entry
	matched Checkpoint  // the newest checkpoint whose root was right
}

// have reads a file, if the log has it.
func (w *walk) have(name string) (content []byte, ok bool, err error) {
	content, err = w.files.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", name, err)
	}
	return content, true, nil
}

// want reads a file that the log must have.
func (w *walk) want(name string) (content []byte, ok bool, err error) {
	content, ok, err = w.have(name)
	if err == nil && !ok {
		w.report.add(name, "is missing")
	}
	return content, ok, err
}

// open finds out who may sign, and how long the log is.
func (w *walk) open() error {
	if err := w.follow(); err != nil {
		return err
	}
	if err := w.readPruned(); err != nil {
		return err
	}
	signed, ok, err := w.want(leaf.Newest)
	if err != nil {
		return err
	}
	if !ok {
		return errEnough
	}
	own, lines := apart(string(signed), w.chain)
	if w.newest, err = w.chain.Open(own); err != nil {
		w.report.add(leaf.Newest, "%v", err)
		return errEnough // without it nobody knows how long the log is
	}
	if err := w.readCosignatures(); err != nil {
		return err
	}
	w.cosigned.lines[w.newest.Number] = append(w.cosigned.lines[w.newest.Number], lines...)
	w.report.Log, w.report.Entries, w.report.Checkpoints = w.newest.Origin, w.newest.Size, w.newest.Number
	w.report.Root, w.report.Newest, w.report.Keys = w.newest.Root.String(), w.newest.Time, w.chain.Keys()
	w.report.FirstEntry = w.pruned.entry
	w.checkpoints = checkpoints{files: w.files, last: w.newest.Number, next: w.pruned.checkpoint}
	return nil
}

// follow reads the rotations of the signing key and which keys there are.
func (w *walk) follow() error {
	bundle, _, err := w.have(leaf.Rotations)
	if err != nil {
		return err
	}
	rotations, err := SplitNotes(bundle)
	if err != nil {
		w.report.add(leaf.Rotations, "%v", err)
		return errEnough
	}
	if w.chain, err = NewChain(w.options.Keys, rotations); err != nil {
		w.report.add(leaf.Rotations, "%v", err)
		return errEnough
	}
	w.rotations = map[int64]string{}
	for i, signed := range rotations {
		w.rotations[w.chain.keys[i].until] = signed
	}
	keys, _, err := w.have(leaf.Keys)
	if err != nil {
		return err
	}
	if len(rotations) > 0 && keys != nil && string(keys) != strings.Join(w.chain.Keys(), "\n")+"\n" {
		w.report.add(leaf.Keys, "does not list the keys that signed the log")
	}
	return nil
}

// finish checks what only the whole log shows.
func (w *walk) finish() error {
	for _, d := range w.doubts {
		w.report.add(d.place(), "differs from its hash in %s, and no checkpoint decides which is right", d.tile())
	}
	if w.checkpoints.next <= w.newest.Number {
		w.report.add(checkpointPlace(w.checkpoints.next), "is of more entries than the log has")
	}
	if err := w.upperTiles(); err != nil {
		return err
	}
	if w.pruned != w.saidPruned {
		w.report.add(leaf.First, "says that the log begins with entry %d and checkpoint %d; its entries say %d and %d",
			w.pruned.entry, w.pruned.checkpoint, w.saidPruned.entry, w.saidPruned.checkpoint)
	}
	w.stray()
	return nil
}
