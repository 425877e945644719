package leaf

import (
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Tree is the right edge of a Merkle tree (RFC 6962): the roots of its complete subtrees, largest first.
// It is all that is needed to grow the tree and to know its root.
type Tree struct {
	size int64
	edge []tlog.Hash
}

// Size is the number of records in the tree.
func (t *Tree) Size() int64 { return t.size }

// Add grows the tree by one record. It returns the roots of the complete subtrees that end with it: the
// record's own hash, then, as far as there are any, those of 2, 4, 8 … records.
func (t *Tree) Add(record tlog.Hash) []tlog.Hash {
	ended := make([]tlog.Hash, 1, 9)
	ended[0] = record
	for full := bits.TrailingZeros64(^uint64(t.size)); full > 0; full-- {
		left := t.edge[len(t.edge)-1]
		t.edge = t.edge[:len(t.edge)-1]
		record = tlog.NodeHash(left, record)
		ended = append(ended, record)
	}
	t.edge = append(t.edge, record)
	t.size++
	return ended
}

// Root is the tree's hash. The root of no records is the hash of nothing.
func (t *Tree) Root() tlog.Hash {
	if len(t.edge) == 0 {
		root, err := tlog.TreeHash(0, nil)
		if err != nil {
			panic(err) // the empty tree reads no hash
		}
		return root
	}
	root := t.edge[len(t.edge)-1]
	for i := len(t.edge) - 2; i >= 0; i-- {
		root = tlog.NodeHash(t.edge[i], root)
	}
	return root
}

// Clone is a tree that grows by itself.
func (t *Tree) Clone() Tree {
	return Tree{size: t.size, edge: append([]tlog.Hash(nil), t.edge...)}
}

// TileReader returns the bytes of a tile: width hashes, one after the other.
type TileReader func(level int, n int64, width int) ([]byte, error)

// Load is the tree of that size, from its partial tiles.
func Load(size int64, read TileReader) (Tree, error) {
	t := Tree{size: size}
	for level := (bits.Len64(uint64(size)) - 1) / 8; level >= 0 && size > 0; level-- {
		n := size >> (8 * level)
		width := int(n % Width)
		if width == 0 {
			continue
		}
		tile, err := read(level, n/Width, width)
		if err != nil {
			return Tree{}, err
		}
		hashes, err := SplitTile(tile, width)
		if err != nil {
			return Tree{}, fmt.Errorf("%s: %w", Tile(level, n/Width, width), err)
		}
		for bit := 7; bit >= 0; bit-- {
			if width>>bit&1 == 1 {
				t.edge = append(t.edge, Fold(hashes[:1<<bit]))
				hashes = hashes[1<<bit:]
			}
		}
	}
	return t, nil
}

// Fold is the root over hashes, whose number is a power of two.
func Fold(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	return tlog.NodeHash(Fold(hashes[:half]), Fold(hashes[half:]))
}

// SplitTile reads the hashes of a tile.
func SplitTile(tile []byte, width int) ([]tlog.Hash, error) {
	if len(tile) != width*tlog.HashSize {
		return nil, fmt.Errorf("the tile has %d bytes, %d hashes have %d", len(tile), width, width*tlog.HashSize)
	}
	hashes := make([]tlog.Hash, width)
	for i := range hashes {
		copy(hashes[i][:], tile[i*tlog.HashSize:])
	}
	return hashes, nil
}
