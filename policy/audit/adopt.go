package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strconv"
	"strings"

	"klarsyn/policy"
	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/verify"
)

// ErrForked says that two logs do not grow from one another.
var ErrForked = errors.New("the two logs are not one: the newer does not grow from the one in the backup; ask the witnesses which of them they saw")

// Newer is a later state of a log, outside of its database: what somebody exported of it. Its owner checked it as a whole.
type Newer struct {
	Files  verify.Files
	Newest verify.Checkpoint
	first  verify.Checkpoint // what of it is known already
}

// NewNewer opens a later state of a log that ended with the checkpoint signed (empty: before its first). Its tree must have had
// that very root when it was of that size.
func NewNewer(files verify.Files, signed string) (*Newer, error) {
	newest, err := files.ReadFile(leaf.Newest)
	if err != nil {
		return nil, fmt.Errorf("the newer log: %w", err)
	}
	n := &Newer{Files: files}
	if n.Newest, err = verify.TextOf(string(newest)); err != nil {
		return nil, fmt.Errorf("the newer log: %w", err)
	}
	if signed == "" {
		return n, nil
	}
	if n.first, err = verify.TextOf(signed); err != nil {
		return nil, fmt.Errorf("the log in the backup: %w", err)
	}
	if n.first.Origin != n.Newest.Origin || n.first.Size > n.Newest.Size || n.first.Number > n.Newest.Number {
		return nil, ErrForked
	}
	tree, err := leaf.Load(n.first.Size, func(level int, number int64, width int) ([]byte, error) {
		return n.tile(level, number, width)
	})
	if err != nil {
		return nil, fmt.Errorf("the newer log: %w", err)
	}
	if tree.Root() != n.first.Root {
		return nil, ErrForked
	}
	return n, nil
}

// tile is the beginning of a tile as the newer log has it: by now it may be wider.
func (n *Newer) tile(level int, number int64, width int) ([]byte, error) {
	whole := int(min(leaf.Width, n.Newest.Size>>(8*level)-number*leaf.Width))
	hashes, err := n.Files.ReadFile(leaf.Tile(level, number, whole))
	if err != nil {
		return nil, err
	}
	if want := width * 32; len(hashes) >= want {
		return hashes[:want], nil
	}
	return nil, fmt.Errorf("%s is too short", leaf.Tile(level, number, whole))
}

// Entries are those that are new, in their order.
func (n *Newer) Entries() iter.Seq2[Numbered, error] {
	return func(yield func(Numbered, error) bool) {
		for l, err := range n.leaves() {
			var e Numbered
			if err == nil {
				e.Seq, e.Sequenced = l.seq, l.Sequenced
				e.Entry, err = decode(l.Entry)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

type newLeaf struct {
	leaf.Leaf
	seq int64
}

func (n *Newer) leaves() iter.Seq2[newLeaf, error] {
	return func(yield func(newLeaf, error) bool) {
		for _, span := range leaf.Spans(n.first.Size, n.Newest.Size) {
			bundle, err := n.Files.ReadFile(leaf.Entries(span.N, span.Width))
			var records [][]byte
			if err == nil {
				records, err = leaf.SplitBundle(bundle, span.Width)
			}
			if err != nil {
				yield(newLeaf{}, fmt.Errorf("the newer log: %s: %w", leaf.Entries(span.N, span.Width), err))
				return
			}
			for i, record := range records {
				seq := span.First() + int64(i)
				if seq < n.first.Size {
					continue
				}
				l, err := leaf.Parse(record)
				if err != nil {
					err = fmt.Errorf("the newer log: entry %d: %w", seq, err)
				}
				if !yield(newLeaf{l, seq}, err) || err != nil {
					return
				}
			}
		}
	}
}

// Adopt takes the new entries into the stored log, with their numbers, and the checkpoints over them, so that it goes on from
// there and not from where the backup left it: no witness sees it set back. What waited in the backup and was numbered since
// waits no more. Viewings are made anew from the entries that tell of them.
func (l *Log) Adopt(ctx context.Context, tx *sql.Tx, n *Newer) error {
	grown, err := loadEdge(ctx, tx, n.first.Size)
	if err != nil {
		return fmt.Errorf("adopting the newer log: %w", err)
	}
	for le, err := range n.leaves() {
		if err != nil {
			return err
		}
		if err := adoptLeaf(ctx, tx, le); err != nil {
			return fmt.Errorf("adopting entry %d: %w", le.seq, err)
		}
		if err := grown.add(ctx, tx, leaf.Hash(le.Entry, le.Sequenced)); err != nil {
			return fmt.Errorf("adopting entry %d: %w", le.seq, err)
		}
	}
	if err := grown.store(ctx, tx); err != nil {
		return fmt.Errorf("adopting the newer log: %w", err)
	}
	if grown.Root() != n.Newest.Root || grown.Size() != n.Newest.Size {
		return ErrForked
	}
	if err := n.adoptCheckpoints(ctx, tx); err != nil {
		return fmt.Errorf("adopting the newer log: %w", err)
	}
	_, err = tx.ExecContext(ctx, `UPDATE audit_sequencer SET holder = '', expires = 0, size = $1, sequenced = $2, checkpoints = $3 WHERE id = 1`,
		n.Newest.Size, n.Newest.Time.UnixMicro(), n.Newest.Number)
	if err != nil {
		return fmt.Errorf("adopting the newer log: %w", err)
	}
	return n.prune(ctx, tx)
}

func adoptLeaf(ctx context.Context, tx *sql.Tx, le newLeaf) error {
	e, err := decode(le.Entry)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO audit_leaf (seq, id, sequenced, at, event, actor, object, kase, entry) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		le.seq, e.ID, le.Sequenced.UnixMicro(), e.Time.UnixMicro(), string(e.Event), e.Actor, e.Object, e.Case, le.Entry); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM audit_pending WHERE id = $1`, e.ID); err != nil {
		return err
	}
	return adoptViewing(ctx, tx, e)
}

// AdoptWaiting takes in an entry that the newer log had not numbered yet, unless it is there already: it waits here, too.
func (l *Log) AdoptWaiting(ctx context.Context, tx *sql.Tx, e policy.Entry) error {
	known, err := isLogged(ctx, tx, e.ID)
	if err != nil || known {
		return err
	}
	if err := l.Append(ctx, tx, e); err != nil {
		return err
	}
	return adoptViewing(ctx, tx, e)
}

func adoptViewing(ctx context.Context, tx *sql.Tx, e policy.Entry) error {
	switch e.Event {
	case policy.ViewingOpened:
		return adoptOpened(ctx, tx, e)
	case policy.ViewingClosed:
		return adoptClosed(ctx, tx, e)
	}
	return nil
}

func adoptOpened(ctx context.Context, tx *sql.Tx, e policy.Entry) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO audit_viewing (`+viewingColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (id) DO NOTHING`,
		e.ID, strings.TrimPrefix(e.Object, policy.KindClip.Of("")), e.Details["camera"], e.Permit, e.PermitVersion, e.Actor, string(e.Role), e.Session, e.Remote,
		e.Purpose, e.Case, e.Time.UnixMicro(), e.Time.UnixMicro())
	return err
}

// adoptClosed ends a viewing. Of its responses the log tells the sum alone: one of them gets all of it.
func adoptClosed(ctx context.Context, tx *sql.Tx, e policy.Entry) error {
	viewing, at := e.Details["viewing"], e.Time.UnixMicro()
	if _, err := tx.ExecContext(ctx, `UPDATE audit_viewing SET closed = $1, closing = $2 WHERE id = $3`, at, e.ID, viewing); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM audit_response WHERE viewing = $1`, viewing); err != nil {
		return err
	}
	responses, err1 := strconv.Atoi(e.Details["responses"])
	unfinished, err2 := strconv.Atoi(e.Details["unfinished"])
	bytes, err3 := strconv.ParseInt(e.Details["bytes"], 10, 64)
	seconds, err4 := strconv.ParseFloat(e.Details["seconds"], 64)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	for i := range responses {
		var ended any = at
		if i >= responses-unfinished {
			ended = nil
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO audit_response (id, viewing, begun, ended, bytes, seconds)
			VALUES ($1, $2, (SELECT opened FROM audit_viewing WHERE id = $2), $3, $4, $5)`,
			fmt.Sprintf("%s-%d", viewing, i+1), viewing, ended, bytes, seconds); err != nil {
			return err
		}
		bytes, seconds = 0, 0
	}
	return nil
}

func (n *Newer) adoptCheckpoints(ctx context.Context, tx *sql.Tx) error {
	for _, span := range leaf.Spans(n.first.Number, n.Newest.Number) {
		bundle, err := n.Files.ReadFile(leaf.Checkpoints(span.N, span.Width))
		if errors.Is(err, fs.ErrNotExist) {
			continue // pruned since
		}
		var notes [][]byte
		if err == nil {
			notes, err = leaf.SplitBundle(bundle, span.Width)
		}
		if err != nil {
			return err
		}
		for _, signed := range notes {
			c, err := verify.TextOf(string(signed))
			if err != nil {
				return err
			}
			if c.Number <= n.first.Number {
				continue
			}
			rotation := 0
			if c.Rotation != nil {
				rotation = 1
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO audit_checkpoint (number, at, size, note, rotation) VALUES ($1, $2, $3, $4, $5)`,
				c.Number, c.Time.UnixMicro(), c.Size, string(signed), rotation); err != nil {
				return err
			}
		}
	}
	return nil
}

// prune removes what the newer log has no more.
func (n *Newer) prune(ctx context.Context, tx *sql.Tx) error {
	content, err := n.Files.ReadFile(leaf.First)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	p := prunable{any: true}
	if err == nil {
		_, err = fmt.Sscanf(string(content), "%d %d", &p.entry, &p.checkpoint)
	}
	if err != nil {
		return fmt.Errorf("adopting the newer log: %s: %w", leaf.First, err)
	}
	return p.remove(ctx, tx)
}

// Waiting are the entries of a database that have no number yet: the log's newest words, which no export has.
func Waiting(ctx context.Context, db *sql.DB) ([]policy.Entry, error) {
	rows, err := db.QueryContext(ctx, `SELECT entry FROM audit_pending ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("read entries that wait: %w", err)
	}
	defer rows.Close()
	var all []policy.Entry
	for rows.Next() {
		var entry []byte
		if err := rows.Scan(&entry); err != nil {
			return nil, fmt.Errorf("read entries that wait: %w", err)
		}
		e, err := decode(entry)
		if err != nil {
			return nil, fmt.Errorf("read entries that wait: %w", err)
		}
		all = append(all, e)
	}
	return all, rows.Err()
}

// isLogged reports whether the log of a transaction has an entry, numbered or not.
func isLogged(ctx context.Context, tx *sql.Tx, id string) (known bool, err error) {
	err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM audit_leaf WHERE id = $1) OR EXISTS (SELECT 1 FROM audit_pending WHERE id = $1)`, id).Scan(&known)
	return known, err
}
