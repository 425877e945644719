package hostile

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"klarsyn/camera"
)

// Want is what a decoder must make of a member.
type Want int

// What may become of a member.
const (
	Any     Want = iota // a picture or none: damage can look like video
	Refused             // no picture: what came out would not be what the camera saw
	Whole               // the picture: it is odd, and nothing of it is missing
)

// Member is one keyframe of the corpus, with the parameter sets to decode it by.
type Member struct {
	Name   string
	Want   Want
	Format camera.Format
	NALUs  [][]byte
}

// InBand is the member's NAL units with its parameter sets among them, for a decoder that was made for another format.
func (m Member) InBand() [][]byte {
	var out [][]byte
	for _, set := range [][]byte{m.Format.VPS, m.Format.SPS, m.Format.PPS} {
		if len(set) > 0 {
			out = append(out, set)
		}
	}
	return append(out, m.NALUs...)
}

// corpus collects members that are derived from one keyframe.
type corpus struct {
	film    Film
	key     [][]byte
	members []Member
}

// Corpus is made of a film that Code made: of its first keyframe, and of other pictures that are mixed with it. The
// same film gives the same corpus.
func Corpus(t testing.TB, film Film) []Member {
	t.Helper()
	c := &corpus{film: film, key: film.Keys()[0]}
	c.cuts()
	c.flips()
	c.slices()
	c.floods()
	c.noise()
	if err := c.sets(); err != nil {
		t.Fatalf("corpus: %v", err)
	}
	return c.members
}

func (c *corpus) add(want Want, nalus [][]byte, name string, args ...any) {
	c.members = append(c.members, Member{fmt.Sprintf(name, args...), want, c.film.Format, nalus})
}

func size(nalus [][]byte) int {
	n := 0
	for _, u := range nalus {
		n += len(u)
	}
	return n
}

// upTo is the first n bytes of a picture.
func upTo(nalus [][]byte, n int) [][]byte {
	var out [][]byte
	for _, u := range nalus {
		u = u[:min(n, len(u))]
		if n -= len(u); len(u) > 0 {
			out = append(out, u)
		}
	}
	return out
}

func (c *corpus) cuts() {
	all := size(c.key)
	for _, n := range []int{0, 1, 2, 3, 5, 8, 16, 40} {
		c.add(Refused, upTo(c.key, n), "cut/after %d bytes", n)
	}
	for i := 1; i < 16; i++ {
		c.add(Refused, upTo(c.key, all*i/16), "cut/after %d sixteenths", i)
	}
	for n := range 4 {
		// The last bytes may hold no more than the end of the last block.
		c.add(Any, upTo(c.key, all-1-n), "cut/%d bytes short", 1+n)
	}
	for i, s := range c.key {
		short := append([][]byte(nil), c.key...)
		short[i] = s[:len(s)/2]
		c.add(Refused, short, "cut/slice %d by half", i)
	}
}

// Flip changes about one bit in every n, and in every slice at least one, but leaves the units' types alone.
func Flip(nalus [][]byte, n int, seed uint64) [][]byte {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	out := make([][]byte, len(nalus))
	for i, u := range nalus {
		out[i] = bytes.Clone(u)
		for range 1 + 8*len(u)/n {
			if at := 8*2 + r.IntN(max(1, 8*(len(u)-2))); at < 8*len(u) {
				out[i][at/8] ^= 1 << (at % 8)
			}
		}
	}
	return out
}

func (c *corpus) flips() {
	for _, n := range []int{1000, 100, 8} {
		for seed := range uint64(8) {
			c.add(Any, Flip(c.key, n, seed), "flip/1 in %d/%d", n, seed)
		}
	}
}

func (c *corpus) slices() {
	k, other := c.key, c.film.Keys()[1]
	for i := range k {
		var rest [][]byte
		rest = append(append(rest, k[:i]...), k[i+1:]...)
		c.add(Refused, rest, "slices/without number %d", i)
		c.add(Refused, [][]byte{k[i]}, "slices/number %d alone", i)
	}
	c.add(Refused, [][]byte{k[3], k[2], k[1], k[0]}, "slices/in reverse")
	c.add(Any, [][]byte{k[0], k[2], k[1], k[3]}, "slices/two swapped") // H.264 allows it
	c.add(Refused, [][]byte{k[0], k[0], k[1], k[1], k[2], k[2], k[3], k[3]}, "slices/each twice")
	c.add(Refused, append(append([][]byte(nil), k...), k...), "slices/the picture twice")
	c.add(Refused, append(append([][]byte(nil), k...), other...), "slices/two pictures")
	c.add(Any, [][]byte{k[0], other[1], k[2], other[3]}, "slices/of two pictures")
	c.add(Any, c.film.Units[1].NALUs, "slices/leaning on a picture that is not there")
	c.add(Any, append(append([][]byte(nil), k[:2]...), c.film.Units[1].NALUs[2:]...), "slices/half of them leaning")
}

// Slices is n slices that each begin as the film's first: none is whole.
func Slices(film Film, n int) [][]byte {
	first := film.Keys()[0][0]
	out := make([][]byte, n)
	for i := range out {
		out[i] = first[:min(len(first), 8+i%40)]
	}
	return out
}

// unit is a NAL unit of a type in the film's codec.
func (c *corpus) unit(h264, h265 byte, payload []byte) []byte {
	if c.film.Format.Codec == camera.H265 {
		return append([]byte{h265 << 1, 1}, payload...)
	}
	return append([]byte{h264}, payload...)
}

func (c *corpus) before(units ...[]byte) [][]byte { return append(units, c.key...) }

// floods are what is allowed in a stream, more often or larger than any camera sends it.
func (c *corpus) floods() {
	c.add(Refused, Slices(c.film, 4096), "flood/4096 slices")
	c.add(Refused, Slices(c.film, 100_000), "flood/100000 slices")
	sei := append([]byte{5}, bytes.Repeat([]byte{0xff}, 12_000)...) // user data of 255 times as many bytes, and a few
	sei = append(append(sei, 16), bytes.Repeat([]byte("klarsyn "), 255*12_000/8+2)...)
	c.add(Whole, c.before(c.unit(6, 39, append(sei, 0x80))), "flood/SEI of 3 MB")
	c.add(Any, c.before(c.unit(6, 39, bytes.Repeat([]byte{0xff}, 1<<20))), "flood/SEI type without end")
	c.add(Any, c.before(c.unit(6, 39, append([]byte{5}, bytes.Repeat([]byte{0xff}, 5000)...))), "flood/SEI that claims a megabyte")
	for _, kind := range []byte{0, 1, 4, 6, 19, 45, 137, 147} {
		c.add(Any, c.before(c.unit(6, 39, append([]byte{kind, 64}, bytes.Repeat([]byte{0xa5, 0x5a}, 32)...))), "flood/SEI %d of noise", kind)
	}
	many := make([][]byte, 4000)
	for i := range many {
		many[i] = c.unit(6, 39, []byte{5, 17, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 0x80})
	}
	c.add(Whole, c.before(many...), "flood/4000 SEI")
	c.add(Whole, c.before(c.unit(12, 38, bytes.Repeat([]byte{0xff}, 4<<20))), "flood/filler of 4 MB")
	c.add(Any, c.before(c.unit(12, 38, make([]byte, 4<<20))), "flood/4 MB of zeros")
	c.add(Any, append(c.before(), bytes.Repeat([]byte{0, 0, 3}, 1<<20)), "flood/3 MB of emulation prevention")
	c.add(Any, append(c.before(), bytes.Repeat([]byte{0, 0, 1}, 1<<20)), "flood/a million start codes")
	hidden := c.unit(0x65, 19, []byte{0x88, 0x80})
	c.add(Refused, [][]byte{bytes.Repeat(append([]byte{0, 0, 1}, hidden...), 1<<20)}, "flood/a million slices in one unit")
	var repeated [][]byte
	for range 100 {
		repeated = append(repeated, Member{Format: c.film.Format}.InBand()...)
	}
	c.add(Whole, c.before(repeated...), "flood/parameter sets a hundred times")
}

// noise is no video at all.
func (c *corpus) noise() {
	r := rand.New(rand.NewPCG(1, 2))
	bytesOf := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	for _, n := range []int{1, 10, 1000, 100_000} {
		c.add(Refused, [][]byte{bytesOf(n)}, "noise/%d bytes", n)
		slice := c.unit(0x65, 19, bytesOf(n))
		c.add(Refused, [][]byte{slice}, "noise/%d bytes as a slice", n)
	}
	for kind := range byte(64) {
		// Only H.265 has more than 32 types.
		if kind < 32 || c.film.Format.Codec == camera.H265 {
			c.add(Any, c.before(c.unit(0x60|kind, kind, bytesOf(60))), "noise/unit of type %d", kind)
		}
	}
}
