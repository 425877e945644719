package verify

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"klarsyn/policy/audit/leaf"
)

// doubt is an entry that differs from its hash in the tile, until a checkpoint says which is right.
type doubt struct {
	index int64
	width int       // of its tile
	group tlog.Hash // what the entries of its tile make, if the tile is full
}

func (d doubt) place() string { return entryPlace(d.index) }
func (d doubt) tile() string  { return leaf.Tile(0, d.index/leaf.Width, d.width) }

func entryPlace(index int64) string { return fmt.Sprintf("entry %d", index) }

// read is a tile of level 0 and the bundle of its entries, read and hashed.
type read struct {
	span    leaf.Span
	said    []tlog.Hash // in the tile; nil if it could not be read
	leaves  []hashed    // nil where the entries were pruned
	cut     error       // why there are fewer entries than there should be
	missing []string    // files
	wrong   error       // of the tile
	err     error       // reading failed
}

type hashed struct {
	leaf.Leaf
	hash  tlog.Hash
	wrong error
}

// walk goes through all entries in their order; several workers read ahead.
func (w *walk) walk() error {
	if err := w.reached(); err != nil { // what was signed before the first entry that is kept
		return err
	}
	order := make(chan chan read, w.options.Workers)
	stop := make(chan struct{})
	defer close(stop)
	spans := leaf.Spans(0, w.newest.Size)
	go func() {
		defer close(order)
		for _, span := range spans {
			ready := make(chan read, 1)
			select {
			case order <- ready:
			case <-stop:
				return
			}
			go func() { ready <- w.load(span) }()
		}
	}()
	for ready := range order {
		r := <-ready
		if r.err != nil {
			return r.err
		}
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := w.tile(r); err != nil {
			return err
		}
		if w.options.Progress != nil {
			w.options.Progress(w.made.Size(), w.newest.Size)
		}
	}
	return nil
}

func (w *walk) load(span leaf.Span) read {
	r := read{span: span}
	name := leaf.Tile(0, span.N, span.Width)
	tile, ok, err := w.have(name)
	if err != nil {
		return read{err: err}
	}
	if !ok {
		r.missing = append(r.missing, name)
	} else if r.said, r.wrong = leaf.SplitTile(tile, span.Width); r.wrong != nil {
		r.said = nil
	}
	if span.First() < w.pruned.entry {
		return r
	}
	name = leaf.Entries(span.N, span.Width)
	bundle, ok, err := w.have(name)
	if err != nil {
		return read{err: err}
	}
	if !ok {
		r.missing = append(r.missing, name)
	}
	records, err := leaf.SplitBundle(bundle, span.Width)
	r.cut = err
	r.leaves = make([]hashed, len(records))
	for i, record := range records {
		r.leaves[i].Leaf, r.leaves[i].wrong = leaf.Parse(record)
		r.leaves[i].hash = tlog.RecordHash(record)
	}
	return r
}

// firstWrong is where a bundle that is cut off went wrong: a wrong length shows in the next entry only.
func (r read) firstWrong() int64 {
	for i, l := range r.leaves {
		if r.said != nil && l.hash != r.said[i] {
			return int64(i)
		}
	}
	return int64(min(len(r.leaves), r.span.Width-1))
}

// tile takes a tile and its entries into the trees.
func (w *walk) tile(r read) error {
	for _, name := range r.missing {
		w.report.add(name, "is missing")
	}
	if r.wrong != nil {
		w.report.add(leaf.Tile(0, r.span.N, r.span.Width), "%v", r.wrong)
	}
	pruned := r.span.First() < w.pruned.entry
	if r.cut != nil {
		w.report.add(entryPlace(r.span.First()+r.firstWrong()), "%s: %v", leaf.Entries(r.span.N, r.span.Width), r.cut)
	}
	if w.report.enough() {
		return errEnough
	}
	for i := range r.span.Width {
		index := r.span.First() + int64(i)
		var made, said tlog.Hash
		switch {
		case pruned && r.said == nil, i >= len(r.leaves) && r.said == nil:
			return errEnough // nothing tells what stood here
		case pruned || i >= len(r.leaves):
			made, said = r.said[i], r.said[i]
		default:
			l := r.leaves[i]
			made, said = l.hash, l.hash
			if r.said != nil {
				said = r.said[i]
			}
			w.entry(index, l, made == said)
		}
		if made != said {
			w.doubts = append(w.doubts, doubt{index: index, width: r.span.Width})
		}
		ended, endedSaid := w.made.Add(made), w.said.Add(said)
		if index%leaf.Width == leaf.Width-1 {
			w.groups = append(w.groups, endedSaid[8])
			for d := len(w.doubts) - 1; d >= 0 && w.doubts[d].index/leaf.Width == r.span.N; d-- {
				w.doubts[d].group = ended[8]
			}
		}
		if err := w.reached(); err != nil {
			return err
		}
	}
	return nil
}

// regroup goes on with what the entries make, where a tile was wrong.
func (w *walk) regroup(d doubt) {
	if n := d.index / leaf.Width; n < int64(len(w.groups)) && d.group != (tlog.Hash{}) {
		w.groups[n] = d.group
	}
}

// entry checks what an entry says of itself.
func (w *walk) entry(index int64, l hashed, sure bool) {
	if l.wrong != nil {
		if sure { // else its hash tells already that it was changed
			w.report.add(entryPlace(index), "%v", l.wrong)
		}
		return
	}
	if l.Sequenced.Before(w.last) && sure {
		w.report.add(entryPlace(index), "its sequencing time is earlier than that of the entry before")
	}
	if sure {
		w.last = l.Sequenced
	}
	if sure && w.options.Each != nil {
		w.options.Each(index, l.Leaf)
	}
	if l.Event == PrunedEvent && sure {
		w.saidPruned = pruningOf(l.Details())
	}
}

// PrunedEvent is the event of the entry that says what of the log was pruned.
const PrunedEvent = "log-pruned"

// Details of that entry.
const (
	FirstEntry      = "first_entry"
	FirstCheckpoint = "first_checkpoint"
)

// pruning says what is the first that is kept. Entries are pruned in whole bundles, and so are checkpoints.
type pruning struct{ entry, checkpoint int64 }

func pruningOf(details map[string]string) pruning {
	entry, entryErr := strconv.ParseInt(details[FirstEntry], 10, 64)
	checkpoint, checkpointErr := strconv.ParseInt(details[FirstCheckpoint], 10, 64)
	if entryErr != nil || checkpointErr != nil {
		return pruning{entry: -1, checkpoint: -1}
	}
	return pruning{entry, checkpoint}
}

// readPruned reads which entries and checkpoints the log still has: "ENTRY CHECKPOINT", or nothing if all.
func (w *walk) readPruned() error {
	w.pruned = pruning{0, 1}
	w.saidPruned = w.pruned
	content, _, err := w.have(leaf.First)
	if err != nil || content == nil {
		return err
	}
	entry, checkpoint, _ := strings.Cut(strings.TrimSuffix(string(content), "\n"), " ")
	w.pruned = pruningOf(map[string]string{FirstEntry: entry, FirstCheckpoint: checkpoint})
	if w.pruned.entry%leaf.Width != 0 || w.pruned.checkpoint%leaf.Width != 1 || w.pruned.entry < 0 || string(content) != FormatFirst(w.pruned.entry, w.pruned.checkpoint) {
		w.report.add(leaf.First, "does not say with which entry and checkpoint the log begins")
		return errEnough
	}
	return nil
}

// FormatFirst is the content of the file that says with what a pruned log begins.
func FormatFirst(entry, checkpoint int64) string { return fmt.Sprintf("%d %d\n", entry, checkpoint) }
