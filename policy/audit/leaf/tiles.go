package leaf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Width is how many hashes or entries a full tile holds.
const Width = 256

// Names of the files of a tiled log. Those of tiles are C2SP tlog-tiles; the others are ours, because an
// auditor wants every checkpoint and not only the newest.
const (
	Newest       = "checkpoint"   // the newest checkpoint, with the cosignatures that it has
	Rotations    = "rotations"    // bundle of the checkpoints at which the signing key changed; absent if none
	Cosignatures = "cosignatures" // what witnesses said of older checkpoints; absent if nothing
	First        = "first"        // "ENTRY CHECKPOINT": what a pruned log begins with; absent if nothing was pruned
	Keys         = "keys"         // verifier keys of the log, oldest first
	Witnesses    = "witnesses"    // verifier keys of the witnesses that the log's server knows; absent if none
)

// Tile names the tile of that level and number; width is Width for a full one.
func Tile(level int, n int64, width int) string {
	return "tile/" + strconv.Itoa(level) + "/" + numbered(n, width)
}

// Entries names a bundle of entries.
func Entries(n int64, width int) string { return "tile/entries/" + numbered(n, width) }

// Checkpoints names a bundle of checkpoints: those of number n*Width+1 and on.
func Checkpoints(n int64, width int) string { return "checkpoints/" + numbered(n, width) }

// numbered is a number in three-digit path elements, all but the last marked with an x.
func numbered(n int64, width int) string {
	path := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		path = fmt.Sprintf("x%03d/%s", n%1000, path)
	}
	if width < Width {
		path += ".p/" + strconv.Itoa(width)
	}
	return path
}

// Span is one of the tiles that hold n things, a bundle's worth at a time.
type Span struct {
	N     int64
	Width int
}

// First is the number of its first thing.
func (s Span) First() int64 { return s.N * Width }

// Spans are the tiles of a level that hold n things, from the one that holds number first.
func Spans(first, n int64) []Span {
	var spans []Span
	for i := first / Width; i*Width < n; i++ {
		spans = append(spans, Span{i, int(min(Width, n-i*Width))})
	}
	return spans
}

// AppendBundle adds one thing to a bundle: its length in 16 bits, big-endian, then its bytes.
func AppendBundle(bundle, thing []byte) ([]byte, error) {
	if len(thing) > 0xffff {
		return nil, fmt.Errorf("%d bytes do not fit a bundle", len(thing))
	}
	return append(binary.BigEndian.AppendUint16(bundle, uint16(len(thing))), thing...), nil
}

// ErrBundle says that a bundle does not hold what its name promises.
var ErrBundle = errors.New("the bundle is cut off or has bytes to spare")

// SplitBundle reads a bundle of n things. With an error come the things before the damage.
func SplitBundle(bundle []byte, n int) ([][]byte, error) {
	things := make([][]byte, 0, n)
	for range n {
		if len(bundle) < 2 {
			return things, ErrBundle
		}
		size := int(binary.BigEndian.Uint16(bundle))
		if len(bundle)-2 < size {
			return things, ErrBundle
		}
		things = append(things, bundle[2:2+size:2+size])
		bundle = bundle[2+size:]
	}
	if len(bundle) > 0 {
		return things, ErrBundle
	}
	return things, nil
}

// ParseSpan reads the number and width at the end of a tile's name. A name has one form.
func ParseSpan(name string) (Span, bool) {
	path, partial, cut := strings.Cut(name, ".p/")
	span := Span{Width: Width}
	if cut {
		width, err := strconv.Atoi(partial)
		if err != nil || width < 1 || width >= Width {
			return Span{}, false
		}
		span.Width = width
	}
	for _, element := range strings.Split(path, "/") {
		digits := strings.TrimPrefix(element, "x")
		n, err := strconv.Atoi(digits)
		if err != nil || n < 0 || len(digits) != 3 || span.N > 1<<40 {
			return Span{}, false
		}
		span.N = span.N*1000 + int64(n)
	}
	return span, numbered(span.N, span.Width) == name
}
