package leaf_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"klarsyn/policy/audit/leaf"
)

// The edge is an optimisation of tlog's stored hashes: it must say the same.
func TestTreeIsTheOneOfTlog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "size")
		var stored []tlog.Hash
		read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
			var hashes []tlog.Hash
			for _, i := range indexes {
				hashes = append(hashes, stored[i])
			}
			return hashes, nil
		})
		var grown leaf.Tree
		for i := range n {
			record := []byte{byte(i), byte(i >> 8)}
			want, err := tlog.StoredHashes(int64(i), record, read)
			if err != nil {
				t.Fatal(err)
			}
			got := grown.Add(tlog.RecordHash(record))
			if len(got) != len(want) {
				t.Fatalf("record %d: %d hashes, want %d", i, len(got), len(want))
			}
			for j := range want {
				if got[j] != want[j] {
					t.Fatalf("record %d: hash %d differs", i, j)
				}
			}
			stored = append(stored, want...)
		}
		root, err := tlog.TreeHash(int64(n), read)
		if err != nil || root != grown.Root() {
			t.Fatalf("root %v, want %v, error %v", grown.Root(), root, err)
		}
	})
}

// A tree that was loaded from its tiles is the one that was stored, and goes on growing as if it had not been.
func TestTreeFromItsTiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(0, 1000), rapid.SampledFrom([]int{255, 256, 257, 65535, 65536, 65537, 66000})).Draw(t, "size")
		var grown leaf.Tree
		var levels [][]tlog.Hash
		for i := range n {
			for level, hash := range grown.Add(tlog.RecordHash(fmt.Append(nil, i))) {
				if level%8 != 0 {
					continue
				}
				if level/8 == len(levels) {
					levels = append(levels, nil)
				}
				levels[level/8] = append(levels[level/8], hash)
			}
		}
		loaded, err := leaf.Load(int64(n), func(level int, n int64, width int) ([]byte, error) {
			var tile []byte
			for _, hash := range levels[level][n*leaf.Width : n*leaf.Width+int64(width)] {
				tile = append(tile, hash[:]...)
			}
			return tile, nil
		})
		if err != nil || loaded.Root() != grown.Root() || loaded.Size() != int64(n) {
			t.Fatalf("root %v, error %v, want %v", loaded.Root(), err, grown.Root())
		}
		more := tlog.RecordHash([]byte("more"))
		grown.Add(more)
		if loaded.Add(more); loaded.Root() != grown.Root() {
			t.Error("it grows otherwise")
		}
	})
}

// The names are those of C2SP tlog-tiles, and are read back.
func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		leaf.Tile(0, 0, 256):         "tile/0/000",
		leaf.Tile(1, 1234067, 256):   "tile/1/x001/x234/067",
		leaf.Tile(0, 273, 112):       "tile/0/273.p/112",
		leaf.Entries(1000, 1):        "tile/entries/x001/000.p/1",
		leaf.Checkpoints(0, 3):       "checkpoints/000.p/3",
		leaf.Tile(2, 999_999, 256):   "tile/2/x999/999",
		leaf.Tile(2, 1_000_000, 256): "tile/2/x001/x000/000",
	} {
		if name != want {
			t.Errorf("name %s, want %s", name, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		span := leaf.Span{N: rapid.Int64Range(0, 1<<40).Draw(t, "n"), Width: rapid.IntRange(1, 256).Draw(t, "width")}
		name := leaf.Entries(span.N, span.Width)[len("tile/entries/"):]
		if got, ok := leaf.ParseSpan(name); !ok || got != span {
			t.Errorf("%s is read as %+v, %v", name, got, ok)
		}
	})
	for _, wrong := range []string{"", "1", "x001", "001/000", "000.p/0", "000.p/256", "000.p/01", "x000/000", "0000", "-01", "000/", "../000"} {
		if got, ok := leaf.ParseSpan(wrong); ok {
			t.Errorf("%q is read as %+v", wrong, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(leaf.Record([]byte(`{"id":"a","time":"2026-11-20T12:00:00Z","event":"e","actor":"b"}`), time.UnixMicro(42)))
	f.Add([]byte("{}\n042"))
	f.Add([]byte("{}{}\n42"))
	f.Fuzz(func(t *testing.T, record []byte) {
		l, err := leaf.Parse(record)
		if err == nil && !bytes.Equal(leaf.Record(l.Entry, l.Sequenced), record) {
			t.Errorf("%q has two forms", record)
		}
	})
}

func FuzzSplitBundle(f *testing.F) {
	f.Add([]byte{0, 1, 'a', 0, 0}, 2)
	f.Fuzz(func(t *testing.T, bundle []byte, n int) {
		things, err := leaf.SplitBundle(bundle, n&0xff)
		if err != nil {
			return
		}
		var again []byte
		for _, thing := range things {
			if again, err = leaf.AppendBundle(again, thing); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(again, bundle) {
			t.Errorf("%x became %x", bundle, again)
		}
	})
}
