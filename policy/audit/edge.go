package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"klarsyn/policy/audit/leaf"
)

// edge is the tree's right edge with the tiles that are not full yet: what is needed to grow the stored tree.
type edge struct {
	leaf.Tree
	tiles []growing // by level
}

// growing is a tile that is not full.
type growing struct {
	n      int64
	hashes []byte
	dirty  bool
}

// loadEdge reads the right edge of the stored tree of that size.
func loadEdge(ctx context.Context, tx *sql.Tx, size int64) (*edge, error) {
	e := &edge{}
	var any bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM audit_tile)`).Scan(&any); err != nil {
		return nil, fmt.Errorf("read the tree: %w", err)
	}
	if !any && size > 0 {
		return e, e.rebuild(ctx, tx, size)
	}
	for level := 0; size>>(8*level) > 0; level++ {
		e.tiles = append(e.tiles, growing{n: size >> (8 * level) / leaf.Width})
	}
	tree, err := leaf.Load(size, func(level int, n int64, width int) ([]byte, error) {
		hashes, err := storedTile(ctx, tx, level, n)
		if errors.Is(err, sql.ErrNoRows) || (err == nil && len(hashes) != width*tlog.HashSize) {
			return nil, fmt.Errorf("%w: %s is not there, or of another width", ErrDamaged, leaf.Tile(level, n, width))
		}
		if err != nil {
			return nil, fmt.Errorf("read the tree: %w", err)
		}
		e.tiles[level].hashes = hashes
		return hashes, nil
	})
	e.Tree = tree
	return e, err
}

// rebuild makes the tiles of a log from before there were any. Its root is held against the newest
// checkpoint like any other.
func (e *edge) rebuild(ctx context.Context, tx *sql.Tx, size int64) error {
	for from := int64(0); from < size; from += leaf.Width {
		rows, err := storedLeaves(ctx, tx, from, min(from+leaf.Width, size))
		if err != nil {
			return err
		}
		for i, row := range rows {
			if row.seq != from+int64(i) {
				return fmt.Errorf("%w: leaf %d is missing", ErrDamaged, from+int64(i))
			}
			if err := e.add(ctx, tx, leaf.Hash(row.entry, micros(row.sequenced))); err != nil {
				return err
			}
		}
	}
	return nil
}

// add grows the tree by one record, and stores the tiles that are full.
func (e *edge) add(ctx context.Context, tx *sql.Tx, record tlog.Hash) error {
	ended := e.Add(record)
	for level := 0; level*8 < len(ended); level++ {
		if level == len(e.tiles) {
			e.tiles = append(e.tiles, growing{})
		}
		t := &e.tiles[level]
		t.hashes = append(t.hashes, ended[level*8][:]...)
		t.dirty = true
		if len(t.hashes) == leaf.Width*tlog.HashSize {
			if err := t.store(ctx, tx, level); err != nil {
				return err
			}
			*t = growing{n: t.n + 1}
		}
	}
	return nil
}

// store stores the tiles that are not full.
func (e *edge) store(ctx context.Context, tx *sql.Tx) error {
	for level := range e.tiles {
		if err := e.tiles[level].store(ctx, tx, level); err != nil {
			return err
		}
	}
	return nil
}

func (t *growing) store(ctx context.Context, tx *sql.Tx, level int) error {
	if !t.dirty {
		return nil
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO audit_tile (level, n, hashes) VALUES ($1, $2, $3)
		ON CONFLICT (level, n) DO UPDATE SET hashes = excluded.hashes`, level, t.n, t.hashes)
	if err != nil {
		return fmt.Errorf("store %s: %w", leaf.Tile(level, t.n, leaf.Width), err)
	}
	t.dirty = false
	return nil
}

// queryer is a database or a transaction that is read from.
type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// storedTile is the bytes of a tile; sql.ErrNoRows if there is none.
func storedTile(ctx context.Context, from queryer, level int, n int64) ([]byte, error) {
	var hashes []byte
	err := from.QueryRowContext(ctx, `SELECT hashes FROM audit_tile WHERE level = $1 AND n = $2`, level, n).Scan(&hashes)
	return hashes, err
}

// storedLeaf is a row of the log.
type storedLeaf struct {
	seq, sequenced, at             int64
	id, event, actor, object, kase string
	entry                          []byte
}

// storedLeaves are the rows from number from up to, and without, number to.
func storedLeaves(ctx context.Context, from queryer, first, to int64) ([]storedLeaf, error) {
	rows, err := from.QueryContext(ctx, `
		SELECT seq, id, sequenced, at, event, actor, object, kase, entry FROM audit_leaf WHERE seq >= $1 AND seq < $2 ORDER BY seq`, first, to)
	if err != nil {
		return nil, fmt.Errorf("read leaves: %w", err)
	}
	defer rows.Close()
	leaves := make([]storedLeaf, 0, to-first)
	for rows.Next() {
		var l storedLeaf
		if err := rows.Scan(&l.seq, &l.id, &l.sequenced, &l.at, &l.event, &l.actor, &l.object, &l.kase, &l.entry); err != nil {
			return nil, fmt.Errorf("read leaves: %w", err)
		}
		leaves = append(leaves, l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read leaves: %w", err)
	}
	return leaves, nil
}
