package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	pollEvery  = 500 * time.Millisecond // leaves are numbered at most this long after their commit, and a bit
	leaseLife  = 6 * time.Second        // after a crash another process sequences when this is over
	heartbeat  = time.Hour              // a log that does not grow still says so
	batchSize  = 500                    // leaves in one transaction: bounds how long appenders wait
	stopWithin = 5 * time.Second
)

// sequencer numbers and hashes leaves while it holds the lease. Its fence grows with every holder and is
// checked inside each transaction: a process that lost the lease without noticing changes nothing.
type sequencer struct {
	log      *Log
	verifier note.Verifier
	holder   string

	leading     bool
	fence       int64
	renewAt     time.Time
	sealed      time.Time // when the newest checkpoint was made, by this process's clock
	checkpoints int64
}

// Run sequences until ctx ends, whenever no other process does. It returns an error only when it must
// not go on: no key, or a stored tree that is not what was signed. It tries again what may pass.
func (l *Log) Run(ctx context.Context) error {
	s, err := l.sequencer()
	if err != nil {
		return err
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if err := s.turn(ctx); err != nil {
			if errors.Is(err, ErrDamaged) {
				return fmt.Errorf("audit sequencer: %w", err)
			}
			if ctx.Err() == nil {
				l.logger.Error("leaves were not sequenced; trying again", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return s.stop(ctx)
		case <-tick.C:
		}
	}
}

// Sequence does once what Run does, unless another process holds the lease. A service calls it when
// everything that appends has stopped, so that a clean end leaves nothing pending.
func (l *Log) Sequence(ctx context.Context) error {
	s, err := l.sequencer()
	if err != nil {
		return err
	}
	return s.stop(ctx)
}

func (l *Log) sequencer() (*sequencer, error) {
	if l.key == nil {
		return nil, errors.New("audit sequencer: no signing key was given: this process may append and read only")
	}
	verifier, err := note.NewVerifier(l.key.Public)
	if err != nil {
		return nil, fmt.Errorf("audit sequencer: public key: %w", err)
	}
	holder, err := l.ids.next(l.now())
	if err != nil {
		return nil, fmt.Errorf("audit sequencer: name this run: %w", err)
	}
	return &sequencer{log: l, verifier: verifier, holder: holder}, nil
}

// stop sequences what is left and gives the lease back, so that a clean end leaves a complete log.
func (s *sequencer) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := s.turn(ctx); err != nil {
		return fmt.Errorf("audit sequencer: last leaves: %w", err)
	}
	if !s.leading {
		return nil
	}
	_, err := s.log.db.ExecContext(ctx, `UPDATE audit_sequencer SET holder = '', expires = 0 WHERE id = 1 AND holder = $1 AND fence = $2`,
		s.holder, s.fence)
	if err != nil {
		return fmt.Errorf("audit sequencer: give the lease back: %w", err)
	}
	return nil
}

// turn does what is due: take or renew the lease, sequence everything that is there, keep the heartbeat.
func (s *sequencer) turn(ctx context.Context) error {
	if !s.leading {
		if err := s.lead(ctx); err != nil || !s.leading {
			return err
		}
	}
	for {
		var pending bool
		err := s.log.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM audit_leaf WHERE seq IS NULL)`).Scan(&pending)
		if err != nil {
			return fmt.Errorf("look for new leaves: %w", err)
		}
		now := s.log.now()
		beat := s.checkpoints > 0 && now.Sub(s.sealed) >= heartbeat
		if !pending && !beat && now.Before(s.renewAt) && s.renewAt.Sub(now) <= leaseLife {
			return nil
		}
		n, err := s.sequence(ctx, beat)
		if err != nil || n < batchSize {
			return err
		}
	}
}

// lead takes the lease if it is free. A lease that ends too far ahead was written by a wrong clock.
func (s *sequencer) lead(ctx context.Context) error {
	now := s.log.now()
	err := s.log.db.QueryRowContext(ctx, `
		UPDATE audit_sequencer SET holder = $1, fence = fence + 1, expires = $2
		WHERE id = 1 AND (expires <= $3 OR expires > $4) RETURNING fence, checkpoints`,
		s.holder, now.Add(leaseLife).UnixMicro(), now.UnixMicro(), now.Add(2*leaseLife).UnixMicro()).
		Scan(&s.fence, &s.checkpoints)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("take the lease: %w", err)
	}
	s.leading, s.renewAt, s.sealed = true, now.Add(leaseLife/3), now
	if s.checkpoints > 0 {
		last, err := s.lastCheckpoint(ctx, s.log.db)
		if err != nil {
			return err
		}
		if last.Time.Before(now) {
			s.sealed = last.Time
		}
	}
	return nil
}

// sequence renews the lease, numbers one batch and signs a checkpoint, all in one transaction.
func (s *sequencer) sequence(ctx context.Context, beat bool) (int, error) {
	now := s.log.now()
	var n int
	var made *Checkpoint
	err := s.log.within(ctx, func(tx *sql.Tx) error {
		size, sequenced, err := s.hold(ctx, tx, now)
		if err != nil {
			return err
		}
		leaves, err := pendingLeaves(ctx, tx)
		if err != nil {
			return err
		}
		n = len(leaves)
		if n == 0 && (!beat || size == 0) {
			return nil
		}
		grown, err := s.trustedTree(ctx, tx, size)
		if err != nil {
			return err
		}
		// Two processes, or one after a step of its clock, may append with times out of order by a
		// little or a lot. The sequencing time is the one that never decreases.
		stamp := micros(max(sequenced, now.UnixMicro()))
		if err := number(ctx, tx, &grown, leaves, stamp); err != nil {
			return err
		}
		made, err = s.seal(ctx, tx, grown, stamp)
		return err
	})
	if errors.Is(err, errNotLeading) {
		s.leading = false
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	s.renewAt = now.Add(leaseLife / 3)
	if made != nil {
		s.sealed, s.checkpoints = now, made.Number
	}
	return n, nil
}

var errNotLeading = errors.New("another process sequences")

func (s *sequencer) hold(ctx context.Context, tx *sql.Tx, now time.Time) (size, sequenced int64, err error) {
	err = tx.QueryRowContext(ctx, `
		UPDATE audit_sequencer SET expires = $1 WHERE id = 1 AND holder = $2 AND fence = $3
		RETURNING size, sequenced, checkpoints`, now.Add(leaseLife).UnixMicro(), s.holder, s.fence).
		Scan(&size, &sequenced, &s.checkpoints)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, 0, errNotLeading
	}
	if err != nil {
		return 0, 0, fmt.Errorf("renew the lease: %w", err)
	}
	return size, sequenced, nil
}

type pendingLeaf struct {
	id    string
	entry []byte
}

func pendingLeaves(ctx context.Context, tx *sql.Tx) ([]pendingLeaf, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, entry FROM audit_leaf WHERE seq IS NULL ORDER BY id LIMIT $1`, batchSize)
	if err != nil {
		return nil, fmt.Errorf("read new leaves: %w", err)
	}
	defer rows.Close()
	var leaves []pendingLeaf
	for rows.Next() {
		var leaf pendingLeaf
		if err := rows.Scan(&leaf.id, &leaf.entry); err != nil {
			return nil, fmt.Errorf("read new leaves: %w", err)
		}
		leaves = append(leaves, leaf)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read new leaves: %w", err)
	}
	return leaves, nil
}

// trustedTree loads the tree and holds it against the newest checkpoint: a tree that somebody changed
// is never signed again.
func (s *sequencer) trustedTree(ctx context.Context, tx *sql.Tx, size int64) (tree, error) {
	t, err := loadTree(ctx, tx, size)
	if errors.Is(err, sql.ErrNoRows) {
		return tree{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return tree{}, err
	}
	if size == 0 && s.checkpoints == 0 {
		return t, nil
	}
	last, err := s.lastCheckpoint(ctx, tx)
	if err != nil {
		return tree{}, err
	}
	if size == 0 || last.Size != size || last.Root != t.root() {
		return tree{}, fmt.Errorf("%w: tree of size %d does not match checkpoint %d", ErrDamaged, size, last.Number)
	}
	return t, nil
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (s *sequencer) lastCheckpoint(ctx context.Context, from queryer) (Checkpoint, error) {
	var signed string
	err := from.QueryRowContext(ctx, `SELECT note FROM audit_checkpoint WHERE number = $1`, s.checkpoints).Scan(&signed)
	if errors.Is(err, sql.ErrNoRows) {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint %d is missing", ErrDamaged, s.checkpoints)
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read checkpoint %d: %w", s.checkpoints, err)
	}
	last, err := OpenCheckpoint(signed, s.verifier)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint %d was not signed by this key: %w", ErrDamaged, s.checkpoints, err)
	}
	return last, nil
}

// number gives the leaves their numbers and stores the hashes that the tree grew by.
func number(ctx context.Context, tx *sql.Tx, t *tree, leaves []pendingLeaf, stamp time.Time) error {
	first := tlog.StoredHashCount(t.size)
	var hashes []tlog.Hash
	set, err := tx.PrepareContext(ctx, `UPDATE audit_leaf SET seq = $1, sequenced = $2 WHERE id = $3 AND seq IS NULL`)
	if err != nil {
		return fmt.Errorf("number leaves: %w", err)
	}
	defer set.Close() //nolint:errcheck // the transaction's end tells
	for _, leaf := range leaves {
		if _, err := set.ExecContext(ctx, t.size, stamp.UnixMicro(), leaf.id); err != nil {
			return fmt.Errorf("number leaf %s: %w", leaf.id, err)
		}
		hashes = append(hashes, t.add(hashOf(leaf.entry, stamp))...)
	}
	const rowsAtOnce = 100
	for begin := 0; begin < len(hashes); begin += rowsAtOnce {
		var values []string
		var args []any
		for i, hash := range hashes[begin:min(begin+rowsAtOnce, len(hashes))] {
			values = append(values, fmt.Sprintf("($%d, $%d)", 2*i+1, 2*i+2))
			args = append(args, first+int64(begin+i), hash[:])
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO audit_hash (idx, hash) VALUES `+strings.Join(values, ", "), args...); err != nil { //nolint:gosec // only placeholders are joined
			return fmt.Errorf("store hashes of the tree: %w", err)
		}
	}
	return nil
}

// seal signs and stores a checkpoint of the grown tree and notes how far the log is.
func (s *sequencer) seal(ctx context.Context, tx *sql.Tx, t tree, stamp time.Time) (*Checkpoint, error) {
	checkpoint, err := Checkpoint{
		Origin: s.verifier.Name(), Size: t.size, Root: t.root(), Number: s.checkpoints + 1, Time: stamp,
	}.sign(s.log.key.Signer)
	if err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO audit_checkpoint (number, at, size, note) VALUES ($1, $2, $3, $4)`,
		checkpoint.Number, checkpoint.Time.UnixMicro(), checkpoint.Size, checkpoint.Note)
	if err != nil {
		return nil, fmt.Errorf("store checkpoint %d: %w", checkpoint.Number, err)
	}
	_, err = tx.ExecContext(ctx, `UPDATE audit_sequencer SET size = $1, sequenced = $2, checkpoints = $3 WHERE id = 1`,
		t.size, stamp.UnixMicro(), checkpoint.Number)
	if err != nil {
		return nil, fmt.Errorf("note the log's size %d: %w", t.size, err)
	}
	return &checkpoint, nil
}
