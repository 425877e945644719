package audit

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"klarsyn/policy"
)

// Violation is one thing that is not as it must be, and where.
type Violation struct {
	Place string `json:"place"` // "leaf 17", "checkpoint 3", "viewing 01J…"
	What  string `json:"what"`
}

// Report is what a verification found.
type Report struct {
	Checked    int         `json:"checked"` // leaves and checkpoints, or viewings and responses
	Violations []Violation `json:"violations"`
}

// maxViolations is where a report stops: a log with that many is not repaired line by line.
const maxViolations = 100

func (r *Report) add(place, format string, args ...any) {
	if len(r.Violations) < maxViolations {
		r.Violations = append(r.Violations, Violation{Place: place, What: fmt.Sprintf(format, args...)})
	}
}

// Verification says what to verify and with which key.
type Verification struct {
	DB       *sql.DB
	Dialect  string
	Verifier string // the public key, as in audit.pub
	Now      time.Time
	// Lag is how old a leaf may be that is not sequenced; 0: 30 s.
	Lag time.Duration
	// Stopped says that no process sequences at the moment: then leaves may wait, but none that is
	// older than the newest checkpoint by more than Lag.
	Stopped bool
}

const defaultLag = 30 * time.Second

// Verify reads one state of the whole log and checks invariant I8: every leaf hashed anew, numbers
// without a gap, times that never decrease, every stored hash and every checkpoint the one that the
// leaves make, every checkpoint signed and numbered, none missing, and no leaf left out. Because each
// root is computed from all leaves before it, each checkpoint extends all previous ones.
//
// What it cannot see is a whole database set back to an earlier state of its own: only somebody outside
// who remembers a checkpoint can.
func Verify(ctx context.Context, v Verification) (Report, error) {
	engine, err := engineOf(v.Dialect)
	if err != nil {
		return Report{}, fmt.Errorf("verify the audit log: %w", err)
	}
	verifier, err := note.NewVerifier(v.Verifier)
	if err != nil {
		return Report{}, fmt.Errorf("verify the audit log: public key: %w", err)
	}
	if v.Lag == 0 {
		v.Lag = defaultLag
	}
	tx, err := v.DB.BeginTx(ctx, &engine.snapshot)
	if err != nil {
		return Report{}, fmt.Errorf("verify the audit log: %w", err)
	}
	defer tx.Rollback()
	c := &checker{tx: tx, verifier: verifier}
	if err := c.all(ctx, v); err != nil {
		return Report{}, fmt.Errorf("verify the audit log: %w", err)
	}
	return c.report, nil
}

// checker walks leaves, hashes and checkpoints side by side.
type checker struct {
	tx       *sql.Tx
	verifier note.Verifier
	report   Report

	tree   tree
	last   int64 // sequencing time of the newest leaf walked
	hashes []storedHash
	next   int64 // stored index that the walk expects next

	checkpoints []storedCheckpoint
	number      int64 // of the newest checkpoint walked
	newest      Checkpoint
}

type storedHash struct {
	idx  int64
	hash []byte
}

type storedCheckpoint struct {
	number, at, size int64
	note             string
}

type storedLeaf struct {
	id                         string
	seq, sequenced             sql.NullInt64
	at                         int64
	event, actor, object, kase string
	entry                      []byte
}

const pageSize = 1000

func (c *checker) all(ctx context.Context, v Verification) error {
	if err := c.walk(ctx); err != nil {
		return err
	}
	if err := c.leftovers(ctx); err != nil {
		return err
	}
	if v.Stopped {
		return c.pending(ctx, c.newest.Time.Add(-v.Lag))
	}
	return c.pending(ctx, v.Now.Add(-v.Lag))
}

func (c *checker) walk(ctx context.Context) error {
	for after := int64(math.MinInt64); ; {
		leaves, err := c.leaves(ctx, after)
		if err != nil {
			return err
		}
		for _, leaf := range leaves {
			place := fmt.Sprintf("leaf %d", leaf.seq.Int64)
			if leaf.seq.Int64 != c.tree.size {
				// Behind a gap every hash would differ; the gap is the finding.
				c.report.add(place, "number %d is missing", c.tree.size)
				return nil
			}
			c.checkLeaf(place, leaf)
			if err := c.grow(ctx, place, leaf); err != nil {
				return err
			}
			after = leaf.seq.Int64
		}
		if len(leaves) < pageSize {
			return nil
		}
	}
}

func (c *checker) checkLeaf(place string, leaf storedLeaf) {
	c.report.Checked++
	if !leaf.sequenced.Valid || leaf.sequenced.Int64 < c.last {
		c.report.add(place, "sequencing time decreases")
	}
	c.last = leaf.sequenced.Int64
	c.checkColumns(place, leaf)
}

// checkColumns holds the columns that are searched against the entry that is hashed.
func (c *checker) checkColumns(place string, leaf storedLeaf) {
	e, err := decode(leaf.entry)
	if err != nil {
		c.report.add(place, "%v", err)
		return
	}
	columns := policy.Entry{ID: leaf.id, Event: policy.Event(leaf.event), Actor: leaf.actor, Object: leaf.object, Case: leaf.kase}
	hashed := policy.Entry{ID: e.ID, Event: e.Event, Actor: e.Actor, Object: e.Object, Case: e.Case}
	if columns.ID != hashed.ID || columns.Event != hashed.Event || columns.Actor != hashed.Actor ||
		columns.Object != hashed.Object || columns.Case != hashed.Case || leaf.at != e.Time.UnixMicro() {
		c.report.add(place, "a search column differs from the entry")
	}
}

// grow adds the leaf to the tree, compares what is stored, and checks the checkpoints of that size.
func (c *checker) grow(ctx context.Context, place string, leaf storedLeaf) error {
	for _, want := range c.tree.add(hashOf(leaf.entry, micros(leaf.sequenced.Int64))) {
		got, err := c.storedHash(ctx)
		if err != nil {
			return err
		}
		if got.idx != c.next || string(got.hash) != string(want[:]) {
			c.report.add(place, "stored hash %d is not the one that the leaves make", c.next)
		}
		c.next++
	}
	for {
		stored, ok, err := c.peekCheckpoint(ctx)
		if err != nil {
			return err
		}
		if !ok || stored.size > c.tree.size {
			return nil
		}
		c.checkpoints = c.checkpoints[1:]
		c.checkCheckpoint(stored)
	}
}

func (c *checker) checkCheckpoint(stored storedCheckpoint) {
	c.report.Checked++
	place := fmt.Sprintf("checkpoint %d", stored.number)
	c.number++
	if stored.number != c.number {
		c.report.add(place, "number %d is missing", c.number)
		c.number = stored.number
	}
	opened, err := OpenCheckpoint(stored.note, c.verifier)
	if err != nil {
		c.report.add(place, "%v", err)
		return
	}
	if opened.Number != stored.number || opened.Size != stored.size || opened.Time.UnixMicro() != stored.at {
		c.report.add(place, "its row differs from what was signed")
		return
	}
	if opened.Time.Before(c.newest.Time) {
		c.report.add(place, "its time decreases")
	}
	if opened.Size != c.tree.size || c.tree.size == 0 || opened.Root != c.tree.root() {
		c.report.add(place, "its root is not the one that the first %d leaves make", opened.Size)
	}
	c.newest = opened
}

// leftovers finds what lies beyond the walk: rows that nothing accounts for, and a sequencer's note that
// says more or less than there is.
func (c *checker) leftovers(ctx context.Context) error {
	for {
		stored, ok, err := c.peekCheckpoint(ctx)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		c.checkpoints = c.checkpoints[1:]
		c.checkCheckpoint(stored)
	}
	var size, sequenced, checkpoints, hashes, leaves, rows int64
	err := c.tx.QueryRowContext(ctx, `
		SELECT COALESCE(MAX(size), -1), COALESCE(MAX(sequenced), -1), COALESCE(MAX(checkpoints), -1),
		       (SELECT COUNT(*) FROM audit_hash), (SELECT COUNT(*) FROM audit_leaf WHERE seq IS NOT NULL),
		       (SELECT COUNT(*) FROM audit_checkpoint)
		FROM audit_sequencer`).Scan(&size, &sequenced, &checkpoints, &hashes, &leaves, &rows)
	if err != nil {
		return fmt.Errorf("count rows: %w", err)
	}
	n := c.tree.size
	if leaves != n {
		c.report.add("leaves", "%d are numbered, %d follow each other without a gap", leaves, n)
	}
	if hashes != tlog.StoredHashCount(n) {
		c.report.add("hashes", "%d are stored, %d leaves make %d", hashes, n, tlog.StoredHashCount(n))
	}
	if size != n || checkpoints != rows || (n > 0 && sequenced < c.last) {
		c.report.add("sequencer", "it noted size %d, time %d and %d checkpoints; there are %d leaves up to time %d and %d checkpoints",
			size, sequenced, checkpoints, n, c.last, rows)
	}
	if c.newest.Size != n {
		c.report.add("checkpoints", "the newest covers %d of %d leaves", c.newest.Size, n)
	}
	if n > 0 && sequenced != c.newest.Time.UnixMicro() {
		c.report.add("sequencer", "it noted time %d, the newest checkpoint says %d", sequenced, c.newest.Time.UnixMicro())
	}
	return nil
}

func (c *checker) pending(ctx context.Context, mustBeSequenced time.Time) error {
	rows, err := c.tx.QueryContext(ctx, leafSelect+` WHERE seq IS NULL ORDER BY id LIMIT $1`, pageSize)
	leaves, err := scanLeaves(rows, err)
	for _, leaf := range leaves {
		place := "leaf " + leaf.id
		c.checkColumns(place, leaf)
		if leaf.sequenced.Valid {
			c.report.add(place, "has a sequencing time but no number")
		}
		if micros(leaf.at).Before(mustBeSequenced) {
			c.report.add(place, "of %s is not sequenced", micros(leaf.at).Format(time.RFC3339))
		}
	}
	return err
}

const leafSelect = `SELECT id, seq, sequenced, at, event, actor, object, kase, entry FROM audit_leaf`

func (c *checker) leaves(ctx context.Context, after int64) ([]storedLeaf, error) {
	rows, err := c.tx.QueryContext(ctx, leafSelect+` WHERE seq > $1 ORDER BY seq LIMIT $2`, after, pageSize)
	return scanLeaves(rows, err)
}

func scanLeaves(rows *sql.Rows, err error) ([]storedLeaf, error) {
	if err != nil {
		return nil, fmt.Errorf("read leaves: %w", err)
	}
	defer rows.Close()
	var leaves []storedLeaf
	for rows.Next() {
		var l storedLeaf
		if err := rows.Scan(&l.id, &l.seq, &l.sequenced, &l.at, &l.event, &l.actor, &l.object, &l.kase, &l.entry); err != nil {
			return nil, fmt.Errorf("read leaves: %w", err)
		}
		leaves = append(leaves, l)
	}
	return leaves, rows.Err()
}

// storedHash is the next stored hash; idx -1 when there is none left.
func (c *checker) storedHash(ctx context.Context) (storedHash, error) {
	if len(c.hashes) == 0 {
		rows, err := c.tx.QueryContext(ctx, `SELECT idx, hash FROM audit_hash WHERE idx >= $1 ORDER BY idx LIMIT $2`, c.next, 2*pageSize)
		if err != nil {
			return storedHash{}, fmt.Errorf("read hashes: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var h storedHash
			if err := rows.Scan(&h.idx, &h.hash); err != nil {
				return storedHash{}, fmt.Errorf("read hashes: %w", err)
			}
			c.hashes = append(c.hashes, h)
		}
		if err := rows.Err(); err != nil {
			return storedHash{}, fmt.Errorf("read hashes: %w", err)
		}
	}
	if len(c.hashes) == 0 || c.hashes[0].idx != c.next {
		return storedHash{idx: -1}, nil
	}
	h := c.hashes[0]
	c.hashes = c.hashes[1:]
	return h, nil
}

func (c *checker) peekCheckpoint(ctx context.Context) (storedCheckpoint, bool, error) {
	if len(c.checkpoints) > 0 {
		return c.checkpoints[0], true, nil
	}
	rows, err := c.tx.QueryContext(ctx, `SELECT number, at, size, note FROM audit_checkpoint WHERE number > $1 ORDER BY number LIMIT $2`,
		c.number, pageSize)
	if err != nil {
		return storedCheckpoint{}, false, fmt.Errorf("read checkpoints: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var s storedCheckpoint
		if err := rows.Scan(&s.number, &s.at, &s.size, &s.note); err != nil {
			return storedCheckpoint{}, false, fmt.Errorf("read checkpoints: %w", err)
		}
		c.checkpoints = append(c.checkpoints, s)
	}
	if err := rows.Err(); err != nil {
		return storedCheckpoint{}, false, fmt.Errorf("read checkpoints: %w", err)
	}
	if len(c.checkpoints) == 0 {
		return storedCheckpoint{}, false, nil
	}
	return c.checkpoints[0], true, nil
}
