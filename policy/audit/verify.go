package audit

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/verify"
)

// Violation is one thing that is not as it must be, and where: "entry 17", "checkpoint 3", "viewing 01J…".
type Violation = verify.Problem

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

// Verify reads one state of the whole stored log and checks invariant I8: what verify.Log checks of an
// exported log, and beside it that the columns that are searched say what the entries say, that nothing is
// stored beside what was checked, and that no leaf was left out.
//
// What it cannot see is a whole database set back to an earlier state of its own: only somebody outside
// who remembers a checkpoint can.
func Verify(ctx context.Context, v Verification) (Report, error) {
	engine, err := engineOf(v.Dialect)
	if err != nil {
		return Report{}, fmt.Errorf("verify the audit log: %w", err)
	}
	if v.Lag == 0 {
		v.Lag = defaultLag
	}
	tx, err := v.DB.BeginTx(ctx, &engine.snapshot)
	if err != nil {
		return Report{}, fmt.Errorf("verify the audit log: %w", err)
	}
	defer tx.Rollback()
	c := &checker{tx: tx}
	if err := c.all(ctx, v); err != nil {
		return Report{}, fmt.Errorf("verify the audit log: %w", err)
	}
	return c.report, nil
}

// checker holds the rows against what their leaves make.
type checker struct {
	tx     *sql.Tx
	report Report
	newest time.Time

	mu      sync.Mutex
	columns []Violation // of rows whose columns say something else than their entry
}

func (c *checker) all(ctx context.Context, v Verification) error {
	var signed int
	if err := c.tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM audit_checkpoint`).Scan(&signed); err != nil {
		return fmt.Errorf("count checkpoints: %w", err)
	}
	found := &verify.Report{}
	if signed > 0 { // a log that has none must hold nothing: the counts say so
		var err error
		files := &stored{ctx: ctx, from: c.tx, trusted: []string{v.Verifier}, seen: c.checkColumns}
		if found, err = verify.Log(ctx, files, verify.Options{Keys: []string{v.Verifier}}); err != nil {
			return err
		}
	}
	for _, p := range found.Problems {
		c.report.add(p.Place, "%s", p.What)
	}
	slices.SortFunc(c.columns, func(a, b Violation) int { return strings.Compare(a.Place, b.Place) })
	for _, v := range c.columns {
		c.report.add(v.Place, "%s", v.What)
	}
	c.newest = found.Newest
	if err := c.counts(ctx, found); err != nil {
		return err
	}
	if v.Stopped {
		return c.pending(ctx, c.newest.Add(-v.Lag))
	}
	return c.pending(ctx, v.Now.Add(-v.Lag))
}

// searched is what of an entry the columns repeat.
type searched struct {
	ID     string    `json:"id"`
	Time   time.Time `json:"time"`
	Event  string    `json:"event"`
	Actor  string    `json:"actor"`
	Object string    `json:"object"`
	Case   string    `json:"case"`
}

// checkColumns holds the columns that are searched against the entries that are hashed.
func (c *checker) checkColumns(rows []storedLeaf) {
	var differ []Violation
	for _, row := range rows {
		var e searched
		if json.Unmarshal(row.entry, &e) != nil {
			continue // its hash tells whether it was written so
		}
		if row.id != e.ID || row.event != e.Event || row.actor != e.Actor || row.object != e.Object || row.kase != e.Case || row.at != e.Time.UnixMicro() {
			differ = append(differ, Violation{Place: fmt.Sprintf("entry %d", row.seq), What: "a search column differs from the entry"})
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Checked += len(rows)
	c.columns = append(c.columns, differ...)
}

// counts finds what lies beside what was checked, and a sequencer's note that says more or less than there is.
func (c *checker) counts(ctx context.Context, found *verify.Report) error {
	var rows struct{ sequencers, size, sequenced, checkpoints, firstLeaf, firstCheckpoint, leaves, tiles, notes int64 }
	err := c.tx.QueryRowContext(ctx, `
		SELECT COUNT(*), COALESCE(MAX(size), -1), COALESCE(MAX(sequenced), -1), COALESCE(MAX(checkpoints), -1),
		       COALESCE(MAX(first_leaf), 0), COALESCE(MAX(first_checkpoint), 1),
		       (SELECT COUNT(*) FROM audit_leaf), (SELECT COUNT(*) FROM audit_tile),
		       (SELECT COUNT(*) FROM audit_checkpoint WHERE rotation = 0 OR number >= (SELECT first_checkpoint FROM audit_sequencer WHERE id = 1))
		FROM audit_sequencer`).Scan(&rows.sequencers, &rows.size, &rows.sequenced, &rows.checkpoints, &rows.firstLeaf, &rows.firstCheckpoint,
		&rows.leaves, &rows.tiles, &rows.notes)
	if err != nil {
		return fmt.Errorf("count rows: %w", err)
	}
	if rows.sequencers != 1 {
		c.report.add("sequencer", "it noted nothing")
		return nil
	}
	c.report.Checked += int(rows.notes)
	if want := found.Entries - rows.firstLeaf; rows.leaves != want {
		c.report.add("entries", "%d are stored, %d are signed for", rows.leaves, want)
	}
	var tiles int64
	for n := found.Entries; n > 0; n /= leaf.Width {
		tiles += (n + leaf.Width - 1) / leaf.Width
	}
	if rows.tiles != tiles {
		c.report.add("tiles", "%d are stored, %d entries make %d", rows.tiles, found.Entries, tiles)
	}
	if want := found.Checkpoints - rows.firstCheckpoint + 1; rows.notes != max(want, 0) {
		c.report.add("checkpoints", "%d are stored, the newest makes it %d", rows.notes, want)
	}
	sequenced := int64(0)
	if found.Entries > 0 || found.Checkpoints > 0 {
		sequenced = found.Newest.UnixMicro()
	}
	if rows.size != found.Entries || rows.checkpoints != found.Checkpoints || rows.sequenced != sequenced {
		c.report.add("sequencer", "it noted %d entries, %d checkpoints and time %d; there are %d and %d, the newest of time %d",
			rows.size, rows.checkpoints, rows.sequenced, found.Entries, found.Checkpoints, sequenced)
	}
	return c.columnsOfCheckpoints(ctx)
}

// columnsOfCheckpoints holds the columns of checkpoints against what was signed.
func (c *checker) columnsOfCheckpoints(ctx context.Context) error {
	rows, err := c.tx.QueryContext(ctx, `SELECT number, at, size, note, rotation FROM audit_checkpoint ORDER BY number`)
	if err != nil {
		return fmt.Errorf("read checkpoints: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var number, at, size, rotation int64
		var signed string
		if err := rows.Scan(&number, &at, &size, &signed, &rotation); err != nil {
			return fmt.Errorf("read checkpoints: %w", err)
		}
		said, err := verify.TextOf(signed)
		if err != nil || said.Number != number || said.Size != size || said.Time.UnixMicro() != at || (said.Rotation != nil) != (rotation == 1) {
			c.report.add(fmt.Sprintf("checkpoint %d", number), "its row differs from what was signed")
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read checkpoints: %w", err)
	}
	return nil
}

// pageSize is how many leaves that wait are looked at.
const pageSize = 1000

func (c *checker) pending(ctx context.Context, mustBeSequenced time.Time) error {
	rows, err := c.tx.QueryContext(ctx, `SELECT id, at, entry FROM audit_pending ORDER BY id LIMIT $1`, pageSize)
	if err != nil {
		return fmt.Errorf("read leaves that wait: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var p pending
		if err := rows.Scan(&p.id, &p.at, &p.entry); err != nil {
			return fmt.Errorf("read leaves that wait: %w", err)
		}
		c.report.Checked++
		place := "leaf " + p.id
		if e, err := decode(p.entry); err != nil || e.ID != p.id || e.Time.UnixMicro() != p.at {
			c.report.add(place, "differs from its entry")
		}
		if micros(p.at).Before(mustBeSequenced) {
			c.report.add(place, "of %s is not sequenced", micros(p.at).Format(time.RFC3339))
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read leaves that wait: %w", err)
	}
	return nil
}
