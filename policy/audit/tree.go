package audit

import (
	"context"
	"database/sql"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// tree is the right edge of the Merkle tree: the roots of its complete subtrees, largest first. It is
// all that is needed to grow the tree and to know its root.
type tree struct {
	size int64
	edge []tlog.Hash
}

// add grows the tree by one record and returns the hashes to store, in the order of their stored
// indexes, beginning at tlog.StoredHashCount(size before).
func (t *tree) add(record tlog.Hash) []tlog.Hash {
	stored := []tlog.Hash{record}
	for full := bits.TrailingZeros64(^uint64(t.size)); full > 0; full-- {
		left := t.edge[len(t.edge)-1]
		t.edge = t.edge[:len(t.edge)-1]
		record = tlog.NodeHash(left, record)
		stored = append(stored, record)
	}
	t.edge = append(t.edge, record)
	t.size++
	return stored
}

// root is the tree hash; it must not be asked of an empty tree.
func (t *tree) root() tlog.Hash {
	root := t.edge[len(t.edge)-1]
	for i := len(t.edge) - 2; i >= 0; i-- {
		root = tlog.NodeHash(t.edge[i], root)
	}
	return root
}

// loadTree reads the right edge of the stored tree of that size.
func loadTree(ctx context.Context, tx *sql.Tx, size int64) (tree, error) {
	t := tree{size: size}
	for level := bits.Len64(uint64(size)) - 1; level >= 0; level-- {
		if size>>level&1 == 0 {
			continue
		}
		idx := tlog.StoredHashIndex(level, size>>level-1)
		var stored []byte
		if err := tx.QueryRowContext(ctx, `SELECT hash FROM audit_hash WHERE idx = $1`, idx).Scan(&stored); err != nil {
			return tree{}, fmt.Errorf("hash %d of the tree of size %d: %w", idx, size, err)
		}
		var hash tlog.Hash
		if copy(hash[:], stored) != tlog.HashSize {
			return tree{}, fmt.Errorf("hash %d of the tree has %d bytes: %w", idx, len(stored), ErrDamaged)
		}
		t.edge = append(t.edge, hash)
	}
	return t, nil
}
