package verify

import (
	"errors"
	"fmt"
	"io/fs"

	"klarsyn/policy/audit/leaf"
)

// checkpoints reads the signed notes of a log in their order, a bundle at a time.
type checkpoints struct {
	files  Files
	next   int64 // number of the one that is read next
	last   int64 // number of the newest
	bundle [][]byte
	first  int64       // number of the first in the bundle
	wrong  error       // why the bundle could not be read to its end
	ahead  *Checkpoint // the next one, opened already
}

func checkpointPlace(number int64) string { return fmt.Sprintf("checkpoint %d", number) }

// peek is the next note without taking it. missing says why there is none although there should be.
func (c *checkpoints) peek() (signed string, missing error, err error) {
	if c.next > c.last {
		return "", nil, nil
	}
	if i := c.next - c.first; c.bundle == nil || i >= leaf.Width {
		if err := c.load((c.next - 1) / leaf.Width); err != nil {
			return "", nil, err
		}
	}
	i := c.next - c.first
	if i >= int64(len(c.bundle)) {
		return "", c.wrong, nil
	}
	return string(c.bundle[i]), nil, nil
}

func (c *checkpoints) load(n int64) error {
	width := int(min(leaf.Width, c.last-n*leaf.Width))
	name := leaf.Checkpoints(n, width)
	content, err := c.files.ReadFile(name)
	c.first, c.bundle, c.wrong = n*leaf.Width+1, [][]byte{}, nil
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.wrong = fmt.Errorf("%s is missing", name)
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	}
	c.bundle, err = leaf.SplitBundle(content, width)
	if err != nil {
		c.wrong = fmt.Errorf("%s: %w", name, err)
		if len(c.bundle) == width {
			c.bundle = c.bundle[:width-1] // bytes to spare belong to nobody: the last is to blame
		}
	}
	return nil
}

// reached checks every checkpoint of the tree as it is now.
func (w *walk) reached() error {
	for w.checkpoints.next <= w.newest.Number {
		number := w.checkpoints.next
		if ahead := w.checkpoints.ahead; ahead != nil {
			if ahead.Size > w.made.Size() {
				return nil
			}
			w.checkpoints.ahead = nil
			w.checkpoints.next++
			w.check(number, *ahead)
			if w.report.enough() {
				return errEnough
			}
			continue
		}
		signed, missing, err := w.checkpoints.peek()
		if err != nil {
			return err
		}
		if missing != nil {
			w.report.add(checkpointPlace(number), "cannot be read: %v", missing)
			w.checkpoints.next++
			w.checkpoints.skip()
			continue
		}
		c, err := w.chain.open(signed)
		if err != nil {
			w.report.add(checkpointPlace(number), "%v", err)
			w.checkpoints.next++
			continue
		}
		w.checkpoints.ahead = &c
	}
	return nil
}

// skip leaves the rest of a bundle that cannot be read: one problem says it.
func (c *checkpoints) skip() {
	c.next = min(c.first+leaf.Width, c.last+1)
}

// check holds a checkpoint against the entries so far.
func (w *walk) check(number int64, c Checkpoint) {
	place := checkpointPlace(number)
	switch signed, rotates := w.rotations[number]; {
	case c.Number != number:
		w.report.add(place, "is number %d", c.Number)
		return
	case rotates && signed != c.Note:
		w.report.add(place, "is not the one among the rotations")
	case number == w.newest.Number && c.Note != w.newest.Note:
		w.report.add(leaf.Newest, "is not the last of the checkpoints")
	}
	if c.Time.Before(w.matched.Time) || c.Time.Before(w.last) {
		w.report.add(place, "its time decreases")
	}
	if c.Size < w.made.Size() {
		w.report.add(place, "is of %d entries and comes after one of %d", c.Size, w.made.Size())
		return
	}
	w.decide(place, c)
	w.cosign(c)
}

// decide compares roots. Where an entry and its tile differ, what was signed says which of them is right.
func (w *walk) decide(place string, c Checkpoint) {
	made, said := w.made.Root(), w.said.Root()
	switch {
	case c.Root == made && c.Root == said:
	case c.Root == said: // the tiles are right
		for _, d := range w.doubts {
			w.report.add(d.place(), "is not the one that was signed")
		}
		w.made = w.said.Clone()
	case c.Root == made: // the entries are right
		for _, d := range w.doubts {
			w.report.add(d.tile(), "the hash of entry %d is not the one that was signed", d.index)
		}
		w.settle()
	default:
		for _, d := range w.doubts {
			w.report.add(d.place(), "differs from its hash in %s, and neither is what was signed", d.tile())
		}
		w.report.add(place, "its root is not the one that the first %d entries make; the last that is, is checkpoint %d of %d entries: look at entries %d to %d",
			c.Size, w.matched.Number, w.matched.Size, w.matched.Size, c.Size-1)
		w.settle()
		return
	}
	w.doubts = nil
	w.matched = c
}

// settle goes on with the entries as they are.
func (w *walk) settle() {
	for _, d := range w.doubts {
		w.regroup(d)
	}
	w.said, w.doubts = w.made.Clone(), nil
}
