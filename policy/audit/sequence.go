package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"klarsyn/policy/audit/verify"
)

const (
	pollEvery  = 250 * time.Millisecond // leaves are numbered at most this long after their commit, and a bit
	leaseLife  = 6 * time.Second        // after a crash another process sequences when this is over
	heartbeat  = time.Hour              // a log that does not grow still says so
	batchSize  = 2000                   // leaves in one transaction: bounds how long appenders wait
	pruneEvery = time.Hour
	stopWithin = 5 * time.Second
)

// sequencer numbers and hashes leaves while it holds the lease. Its fence grows with every holder and is
// checked inside each transaction: a process that lost the lease without noticing changes nothing.
type sequencer struct {
	log    *Log
	key    *Key
	holder string

	leading     bool
	fence       int64
	renewAt     time.Time
	sealed      time.Time // when the newest checkpoint was made, by this process's clock
	pruned      time.Time // when it was last looked for what is too old, by this process's clock
	checkpoints int64
	nextFault   string // what was told of the key that is to follow
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
	key := l.key.Load()
	if key == nil {
		return nil, errors.New("audit sequencer: no signing key was given: this process may append and read only")
	}
	holder, err := l.ids.next(l.now())
	if err != nil {
		return nil, fmt.Errorf("audit sequencer: name this run: %w", err)
	}
	return &sequencer{log: l, key: key, holder: holder}, nil
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
		err := s.log.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM audit_pending)`).Scan(&pending)
		if err != nil {
			return fmt.Errorf("look for new leaves: %w", err)
		}
		now := s.log.now()
		beat := s.checkpoints > 0 && now.Sub(s.sealed) >= heartbeat
		next := s.nextKey()
		prune := s.log.keep != nil && (now.Sub(s.pruned) >= pruneEvery || now.Before(s.pruned))
		if !pending && !beat && !prune && next == nil && now.Before(s.renewAt) && s.renewAt.Sub(now) <= leaseLife {
			return nil
		}
		n, err := s.sequence(ctx, due{beat: beat, prune: prune, next: next})
		if err != nil || n < batchSize {
			return err
		}
	}
}

// due is what a turn has to do beside numbering.
type due struct {
	beat, prune bool
	next        *Key // the key that signs from now on
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
		if err := s.finishRotation(ctx); err != nil {
			return err
		}
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

// sequence renews the lease, numbers one batch, does what else is due and signs a checkpoint, all in one
// transaction.
func (s *sequencer) sequence(ctx context.Context, d due) (int, error) {
	now := s.log.now()
	var n int
	var made *verify.Checkpoint
	pruning := false
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
		// Two processes, or one after a step of its clock, may append with times out of order by a
		// little or a lot. The sequencing time is the one that never decreases.
		stamp := micros(max(sequenced, now.UnixMicro()))
		var old prunable
		if d.prune {
			if old, err = s.log.prunable(ctx, tx, stamp); err != nil {
				return err
			}
		}
		pruning = old.more
		own, err := s.log.ownEntries(s.key, d.next, old)
		if err != nil {
			return err
		}
		leaves = append(leaves, own...)
		if len(leaves) == 0 && (!d.beat || size == 0) {
			return nil
		}
		grown, err := s.trustedTree(ctx, tx, size)
		if err != nil {
			return err
		}
		if err := number(ctx, tx, grown, leaves, stamp); err != nil {
			return err
		}
		if err := old.remove(ctx, tx); err != nil {
			return err
		}
		made, err = s.seal(ctx, tx, grown, stamp, d.next)
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
	if d.prune && !pruning {
		s.pruned = now
	}
	if made != nil {
		s.sealed, s.checkpoints = now, made.Number
	}
	if d.next != nil && made != nil {
		return n, s.promote(d.next)
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

func pendingLeaves(ctx context.Context, tx *sql.Tx) ([]pending, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, at, entry FROM audit_pending ORDER BY id LIMIT $1`, batchSize)
	if err != nil {
		return nil, fmt.Errorf("read new leaves: %w", err)
	}
	defer rows.Close()
	var leaves []pending
	for rows.Next() {
		var p pending
		if err := rows.Scan(&p.id, &p.at, &p.entry); err != nil {
			return nil, fmt.Errorf("read new leaves: %w", err)
		}
		leaves = append(leaves, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read new leaves: %w", err)
	}
	return leaves, nil
}

// trustedTree loads the tree and holds it against the newest checkpoint: a tree that somebody changed
// is never signed again.
func (s *sequencer) trustedTree(ctx context.Context, tx *sql.Tx, size int64) (*edge, error) {
	t, err := loadEdge(ctx, tx, size)
	if err != nil {
		return nil, err
	}
	if size == 0 && s.checkpoints == 0 {
		return t, nil
	}
	last, err := s.lastCheckpoint(ctx, tx)
	if err != nil {
		return nil, err
	}
	if size == 0 || last.Size != size || last.Root != t.Root() {
		return nil, fmt.Errorf("%w: tree of size %d does not match checkpoint %d", ErrDamaged, size, last.Number)
	}
	return t, nil
}

// ErrDamaged says that what is stored is not what was signed.
var ErrDamaged = errors.New("the stored log is not what was signed: run klarsyn fsck; restore the database, or the signing key audit.key if another one took its place")

func (s *sequencer) lastCheckpoint(ctx context.Context, from queryer) (verify.Checkpoint, error) {
	chain, err := loadChain(ctx, from, s.key.Public)
	if err != nil {
		return verify.Checkpoint{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if keys := chain.Keys(); keys[len(keys)-1] != s.key.Public {
		return verify.Checkpoint{}, fmt.Errorf("%w: another key has followed this one", ErrDamaged)
	}
	var signed string
	err = from.QueryRowContext(ctx, `SELECT note FROM audit_checkpoint WHERE number = $1`, s.checkpoints).Scan(&signed)
	if errors.Is(err, sql.ErrNoRows) {
		return verify.Checkpoint{}, fmt.Errorf("%w: checkpoint %d is missing", ErrDamaged, s.checkpoints)
	}
	if err != nil {
		return verify.Checkpoint{}, fmt.Errorf("read checkpoint %d: %w", s.checkpoints, err)
	}
	last, err := chain.Open(signed)
	if err != nil {
		return verify.Checkpoint{}, fmt.Errorf("%w: checkpoint %d was not signed by this key: %w", ErrDamaged, s.checkpoints, err)
	}
	return last, nil
}

// seal signs and stores a checkpoint of the grown tree and notes how far the log is.
func (s *sequencer) seal(ctx context.Context, tx *sql.Tx, t *edge, stamp time.Time, next *Key) (*verify.Checkpoint, error) {
	checkpoint := verify.Checkpoint{Origin: s.key.Signer.Name(), Size: t.Size(), Root: t.Root(), Number: s.checkpoints + 1, Time: stamp}
	signers := []note.Signer{s.key.Signer}
	rotation := 0
	if next != nil {
		checkpoint.Rotation = &verify.Rotation{Old: s.key.Public, New: next.Public}
		signers = append(signers, next.Signer)
		rotation = 1
	}
	signed, err := note.Sign(&note.Note{Text: checkpoint.Body()}, signers...)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint %d: %w", checkpoint.Number, err)
	}
	checkpoint.Note = string(signed)
	_, err = tx.ExecContext(ctx, `INSERT INTO audit_checkpoint (number, at, size, note, rotation) VALUES ($1, $2, $3, $4, $5)`,
		checkpoint.Number, checkpoint.Time.UnixMicro(), checkpoint.Size, checkpoint.Note, rotation)
	if err != nil {
		return nil, fmt.Errorf("store checkpoint %d: %w", checkpoint.Number, err)
	}
	_, err = tx.ExecContext(ctx, `UPDATE audit_sequencer SET size = $1, sequenced = $2, checkpoints = $3 WHERE id = 1`,
		t.Size(), stamp.UnixMicro(), checkpoint.Number)
	if err != nil {
		return nil, fmt.Errorf("note the log's size %d: %w", t.Size(), err)
	}
	return &checkpoint, nil
}
