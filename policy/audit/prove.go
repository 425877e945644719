package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/verify"
)

// Errors of an entry that cannot be proven.
var (
	ErrNoEntry = errors.New("the log has no such entry")
	ErrPruned  = errors.New("the entry was removed when its time was over; a proof that was given before still holds")
)

// Prove proves that the entry of that number is in the log: by the newest checkpoint that a witness has
// cosigned, if that covers it, else by the newest. Whoever calls it logs first that the log is read.
func (l *Log) Prove(ctx context.Context, index int64) (verify.Proof, error) {
	tx, err := l.db.BeginTx(ctx, &l.engine.snapshot)
	if err != nil {
		return verify.Proof{}, fmt.Errorf("prove entry %d: %w", index, err)
	}
	defer tx.Rollback()
	p, err := prove(ctx, tx, index)
	if err != nil {
		return verify.Proof{}, fmt.Errorf("prove entry %d: %w", index, err)
	}
	return p, nil
}

func prove(ctx context.Context, tx *sql.Tx, index int64) (verify.Proof, error) {
	var size, first int64
	if err := tx.QueryRowContext(ctx, `SELECT size, first_leaf FROM audit_sequencer WHERE id = 1`).Scan(&size, &first); err != nil {
		return verify.Proof{}, err
	}
	switch {
	case index < 0 || index >= size:
		return verify.Proof{}, fmt.Errorf("%w: it has %d, the first of them is 0", ErrNoEntry, size)
	case index < first:
		return verify.Proof{}, fmt.Errorf("%w; the first that is left is %d", ErrPruned, first)
	}
	rows, err := storedLeaves(ctx, tx, index, index+1)
	if err != nil {
		return verify.Proof{}, err
	}
	if len(rows) == 0 {
		return verify.Proof{}, fmt.Errorf("%w: its row is missing", ErrDamaged)
	}
	signed, size, err := provingCheckpoint(ctx, tx, index)
	if err != nil {
		return verify.Proof{}, err
	}
	hashes, err := inclusion(ctx, tx, size, index)
	if err != nil {
		return verify.Proof{}, err
	}
	return verify.Proof{
		Index: index, Record: leaf.Record(rows[0].entry, micros(rows[0].sequenced)), Hashes: hashes, Checkpoint: signed,
	}, nil
}

// provingCheckpoint is the newest checkpoint that a witness has cosigned, if that covers the entry, else the newest; with what
// witnesses said of it, and its size. Whoever gets the proof can then ask the witness, too.
func provingCheckpoint(ctx context.Context, tx *sql.Tx, index int64) (signed string, size int64, err error) {
	var number int64
	err = tx.QueryRowContext(ctx, `
		SELECT c.number, c.note FROM audit_cosignature s JOIN audit_checkpoint c ON c.number = s.number
		WHERE c.size > $1 ORDER BY s.number DESC LIMIT 1`, index).Scan(&number, &signed)
	if errors.Is(err, sql.ErrNoRows) {
		err = tx.QueryRowContext(ctx, `SELECT number, note FROM audit_checkpoint ORDER BY number DESC LIMIT 1`).Scan(&number, &signed)
	}
	if err != nil {
		return "", 0, err
	}
	checkpoint, err := verify.TextOf(signed)
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	cosigned, err := cosignaturesOf(ctx, tx, `number = $1`, number)
	if err != nil {
		return "", 0, err
	}
	for _, c := range cosigned {
		signed += c.line
	}
	return signed, checkpoint.Size, nil
}

// inclusion is the way of an entry to the root of the tree of that size.
func inclusion(ctx context.Context, tx *sql.Tx, size, index int64) (tlog.RecordProof, error) {
	return tlog.ProveRecord(size, index, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		return storedHashes(ctx, tx, indexes)
	}))
}

// storedHashes reads nodes of the tree, by tlog's indexes, from the tiles that hold what is below them.
func storedHashes(ctx context.Context, tx *sql.Tx, indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		height := level % 8 // above the tile's own hashes
		first := n << height
		tile, err := storedTile(ctx, tx, level/8, first/leaf.Width)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, leaf.Tile(level/8, first/leaf.Width, leaf.Width), err)
		}
		all, err := leaf.SplitTile(tile, len(tile)/tlog.HashSize)
		from, to := first%leaf.Width, first%leaf.Width+1<<height
		if err != nil || to > int64(len(all)) {
			return nil, fmt.Errorf("%w: %s is too short", ErrDamaged, leaf.Tile(level/8, first/leaf.Width, leaf.Width))
		}
		hashes[i] = leaf.Fold(all[from:to])
	}
	return hashes, nil
}
