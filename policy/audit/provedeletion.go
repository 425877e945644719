package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/replay"
	"klarsyn/policy/audit/verify"
)

// Errors of a deletion that cannot be proven.
var (
	ErrNotDeleted = errors.New("no entry of the log says that the clip was deleted")
	ErrNotYet     = errors.New("the entry that says so waits for its number: is klarsyn retain running?")
)

// patience is how long ProveDeletion waits for a number, and how often it asks. A sequencer takes a quarter of a second.
const (
	patience   = 3 * time.Second
	askedEvery = 100 * time.Millisecond
)

// ProveDeletion proves that a clip was deleted: with all entries that say something of it and the holds that kept it, and a
// checkpoint as in Prove. It waits a moment for entries that have no number yet. Whoever calls it logs first that the log is read.
func (l *Log) ProveDeletion(ctx context.Context, clip string) (verify.DeletionProof, error) {
	ctx, cancel := context.WithTimeout(ctx, patience+proofTime)
	defer cancel()
	for begun := time.Now(); ; {
		p, err := l.proveDeletion(ctx, clip)
		if !errors.Is(err, ErrNotYet) || time.Since(begun) > patience {
			if err != nil {
				err = fmt.Errorf("prove the deletion of clip %s: %w", clip, err)
			}
			return p, err
		}
		select {
		case <-ctx.Done():
			return verify.DeletionProof{}, fmt.Errorf("prove the deletion of clip %s: %w", clip, ctx.Err())
		case <-time.After(askedEvery):
		}
	}
}

// proofTime is how long the reading itself may take.
const proofTime = 20 * time.Second

func (l *Log) proveDeletion(ctx context.Context, clip string) (verify.DeletionProof, error) {
	tx, err := l.db.BeginTx(ctx, &l.engine.snapshot)
	if err != nil {
		return verify.DeletionProof{}, err
	}
	defer tx.Rollback()
	told, err := deletionOf(ctx, tx, clip)
	if err != nil {
		return verify.DeletionProof{}, err
	}
	if told == nil {
		waits, err := deletionWaits(ctx, tx, clip)
		if err == nil && waits {
			err = ErrNotYet
		} else if err == nil {
			err = ErrNotDeleted
		}
		return verify.DeletionProof{}, err
	}
	p := verify.DeletionProof{}
	signed, size, err := provingCheckpoint(ctx, tx, told[len(told)-1].seq)
	if err != nil {
		return p, err
	}
	p.Checkpoint = signed
	var leaves []verify.Numbered
	for _, row := range told {
		one := verify.Included{Index: row.seq, Record: leaf.Record(row.entry, micros(row.sequenced))}
		if one.Hashes, err = inclusion(ctx, tx, size, row.seq); err != nil {
			return p, err
		}
		read, err := leaf.Parse(one.Record)
		if err != nil {
			return p, fmt.Errorf("%w: entry %d: %w", ErrDamaged, row.seq, err)
		}
		p.Entries, leaves = append(p.Entries, one), append(leaves, verify.Numbered{Index: row.seq, Leaf: read})
	}
	d, err := verify.DeletionOf(clip, leaves)
	if err != nil {
		return p, err
	}
	p.Tombstone = d.Tombstone
	return p, nil
}

// deletionOf are the entries that tell of a clip's deletion, in their order: its own, and those of the holds that kept it. Nil
// if none of them says that it was deleted.
func deletionOf(ctx context.Context, tx *sql.Tx, clip string) ([]storedLeaf, error) {
	own, err := leavesOf(ctx, tx, `object = $1 AND event IN ('clip-reserved', 'clip-committed', 'clip-partial', 'clip-lost', 'deletion-planned',
		'clip-held-over', 'clip-cut', 'clip-shredded', 'clip-deleted')`, policy.KindClip.Of(clip))
	if err != nil {
		return nil, err
	}
	gone := slices.IndexFunc(own, func(r storedLeaf) bool { return r.event == string(policy.ClipDeleted) })
	if gone < 0 {
		return nil, nil
	}
	holds, err := holdsOf(ctx, tx, clip, own[0].seq, own[len(own)-1].seq)
	if err != nil {
		return nil, err
	}
	all := append(own, holds...)
	slices.SortFunc(all, func(a, b storedLeaf) int { return int(a.seq - b.seq) })
	return all, nil
}

// holdsOf are the entries of holds that kept a clip, and of parts of it that were cut out, between two entries of its own.
func holdsOf(ctx context.Context, tx *sql.Tx, clip string, first, last int64) ([]storedLeaf, error) {
	rows, err := leavesOf(ctx, tx, `seq > $1 AND seq < $2 AND event IN ('hold-placed', 'hold-lifted', 'clip-cut')`, first, last)
	if err != nil {
		return nil, err
	}
	keeping, lifted := map[string]bool{}, map[string]int{} // by hold; where its end stands among the chosen
	var chosen []storedLeaf
	for _, row := range rows {
		read, err := leaf.Parse(leaf.Record(row.entry, micros(row.sequenced)))
		if err != nil {
			return nil, fmt.Errorf("%w: entry %d: %w", ErrDamaged, row.seq, err)
		}
		e, _, err := replay.Read(read)
		if err != nil {
			return nil, fmt.Errorf("%w: entry %d: %w", ErrDamaged, row.seq, err)
		}
		named := slices.Contains(e.Clips(), clip)
		switch policy.Event(e.Event) {
		case policy.HoldPlaced:
			if named {
				keeping[e.ID] = true
				chosen = append(chosen, row)
			}
		case policy.ClipCut:
			if e.ID == clip { // its own entry is there already
				keeping[e.Details["hold"]] = true
			} else if e.Details["parent"] == clip && keeping[e.Details["hold"]] {
				chosen = append(chosen, row)
				delete(keeping, e.Details["hold"]) // the part has it now
			}
		case policy.HoldLifted:
			// A hold on many clips ends in many entries, of which the one that names the clip says most.
			at, known := lifted[e.ID]
			switch {
			case !keeping[e.ID]:
			case !known:
				lifted[e.ID] = len(chosen)
				chosen = append(chosen, row)
			case named:
				chosen[at] = row
			}
		}
	}
	return chosen, nil
}

const leafColumns = `seq, id, sequenced, at, event, actor, object, kase, entry`

// leavesOf reads the leaves of a condition in their order.
func leavesOf(ctx context.Context, tx *sql.Tx, where string, args ...any) ([]storedLeaf, error) {
	rows, err := tx.QueryContext(ctx, `SELECT `+leafColumns+` FROM audit_leaf WHERE `+where+` ORDER BY seq`, args...) //nolint:gosec // the conditions are written above
	if err != nil {
		return nil, fmt.Errorf("read leaves: %w", err)
	}
	defer rows.Close()
	var leaves []storedLeaf
	for rows.Next() {
		var r storedLeaf
		if err := rows.Scan(&r.seq, &r.id, &r.sequenced, &r.at, &r.event, &r.actor, &r.object, &r.kase, &r.entry); err != nil {
			return nil, fmt.Errorf("read leaves: %w", err)
		}
		leaves = append(leaves, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read leaves: %w", err)
	}
	return leaves, nil
}

// deletionWaits reports whether the entry of a clip's deletion waits for its number.
func deletionWaits(ctx context.Context, tx *sql.Tx, clip string) (bool, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, at, entry FROM audit_pending`)
	if err != nil {
		return false, fmt.Errorf("read leaves that wait: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var p pending
		if err := rows.Scan(&p.id, &p.at, &p.entry); err != nil {
			return false, fmt.Errorf("read leaves that wait: %w", err)
		}
		if !strings.Contains(string(p.entry), clip) {
			continue
		}
		if e, err := decode(p.entry); err == nil && e.Event == policy.ClipDeleted && e.Object == policy.KindClip.Of(clip) {
			return true, nil
		}
	}
	if err := rows.Err(); err != nil {
		return false, fmt.Errorf("read leaves that wait: %w", err)
	}
	return false, nil
}
