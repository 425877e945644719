//go:build cgo

package decode

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"maps"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"klarsyn/camera"
	"klarsyn/camera/decode/hostile"
)

// small is a fit that has an answer for every picture.
func small(w, h int) (int, int) { return max(2, w/4*2), max(2, h/4*2) }

func newDecoder(t testing.TB, f camera.Format) *Decoder {
	t.Helper()
	d, err := New(f, small)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// eachCodec runs a test on a film of either codec and on the corpus that is made of it.
func eachCodec(t *testing.T, test func(t *testing.T, film hostile.Film, corpus []hostile.Member)) {
	for _, codec := range []camera.Codec{camera.H264, camera.H265} {
		t.Run(string(codec), func(t *testing.T) {
			film := hostile.Code(t, codec, "320x240")
			test(t, film, hostile.Corpus(t, film))
		})
	}
}

// What is damaged, cut or absurd gives no picture, what is only odd gives the picture, and none spoils the next.
func TestHostileKeyframes(t *testing.T) {
	eachCodec(t, func(t *testing.T, film hostile.Film, corpus []hostile.Member) {
		d := newDecoder(t, film.Format)
		good := film.Keys()[0]
		p, err := d.Keyframe(good)
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Clone(p.I420)
		refused := 0
		for _, m := range corpus {
			own, err := New(m.Format, small)
			if err != nil {
				t.Fatalf("%s: %v", m.Name, err)
			}
			got, err := own.Keyframe(m.NALUs)
			switch {
			case m.Want == hostile.Refused && !errors.Is(err, ErrNoPicture):
				t.Errorf("%s: got a picture of %dx%d, %v; want ErrNoPicture", m.Name, got.CodedWidth, got.CodedHeight, err)
			case m.Want == hostile.Whole && err != nil:
				t.Errorf("%s: %v", m.Name, err)
			case m.Want == hostile.Whole && got.CodedWidth == 320 && !bytes.Equal(got.I420, want):
				t.Errorf("%s: got another picture", m.Name)
			case err == nil && len(got.I420) != got.Width*got.Height*3/2:
				t.Errorf("%s: %d bytes for %dx%d", m.Name, len(got.I420), got.Width, got.Height)
			}
			if err != nil {
				refused++
			}
			own.Close()

			_, _ = d.Keyframe(m.InBand())
			if p, err := d.Keyframe(good); err != nil || !bytes.Equal(p.I420, want) {
				t.Fatalf("%s spoilt the next picture: %v", m.Name, err)
			}
		}
		t.Logf("%d of %d give no picture", refused, len(corpus))
	})
}

// shown are the pictures that a stream shows, by their numbers.
type shown map[int64][sha256.Size]byte

// send hands over an access unit; what is no picture is what the test is about.
func (got shown) send(t testing.TB, s *Stream, n int64, nalus [][]byte) {
	err := s.Send(nalus, n, func(int64) bool { return true }, func(at int64, p Picture) error {
		got[at] = sha256.Sum256(p.I420)
		return nil
	})
	if err != nil && !errors.Is(err, ErrNoPicture) {
		t.Fatalf("unit %d: %v", n, err)
	}
}

// play shows two pictures of a film, whatever comes then, and all of the film; got are the latter pictures alone.
func play(t testing.TB, d *Decoder, film hostile.Film, between func(got shown, s *Stream)) shown {
	t.Helper()
	s, err := d.Stream()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got := shown{}
	for n, u := range film.Units[:2] {
		got.send(t, s, int64(n), u.NALUs)
	}
	between(got, s)
	for n, u := range film.Units {
		got.send(t, s, int64(1000+n), u.NALUs)
	}
	got.send(t, s, 0, nil)
	maps.DeleteFunc(got, func(n int64, _ [sha256.Size]byte) bool { return n < 1000 })
	return got
}

// In a stream, too, a keyframe ends whatever came before it: the film that follows is shown as if alone.
func TestHostileStream(t *testing.T) {
	eachCodec(t, func(t *testing.T, film hostile.Film, corpus []hostile.Member) {
		d := newDecoder(t, film.Format)
		want := play(t, d, film, func(shown, *Stream) {})
		if len(want) != len(film.Units) {
			t.Fatalf("%d pictures of %d", len(want), len(film.Units))
		}
		for _, m := range corpus {
			got := play(t, d, film, func(got shown, s *Stream) { got.send(t, s, 100, m.InBand()) })
			if !maps.Equal(got, want) {
				t.Errorf("%s: %d pictures follow, want the same %d", m.Name, len(got), len(want))
			}
		}
	})
}

// A thousand hostile pictures, of all sizes in turn, each as a keyframe and in a stream, leave nothing behind.
func TestHostileMemory(t *testing.T) {
	eachCodec(t, func(t *testing.T, film hostile.Film, corpus []hostile.Member) {
		d := newDecoder(t, film.Format)
		s, err := d.Stream()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		pictures := 1000
		if testing.Short() {
			pictures = 500
		}
		before, got := 0, shown{}
		for n := range pictures {
			// The heap has its size when everything was there once: it is never given back.
			if n == len(corpus) {
				before = resident(t, "VmRSS")
			}
			m := corpus[n%len(corpus)]
			_, _ = d.Keyframe(m.InBand())
			got.send(t, s, int64(n), m.InBand())
			if n%50 == 0 {
				got.send(t, s, int64(n), film.Keys()[0])
				clear(got)
			}
		}
		after := resident(t, "VmRSS")
		t.Logf("%d MB after %d pictures, %d MB after %d", before>>10, len(corpus), after>>10, pictures)
		if after-before > 64<<10 { // a leak of one small picture each would be 110 MB
			t.Errorf("grew by %d MB", (after-before)>>10)
		}
	})
}

// A size beyond the bound, and units without number, are refused before memory is spent: 7680x4320 alone would be 50 MB.
func TestRefusedBeforeMemoryIsSpent(t *testing.T) {
	eachCodec(t, func(t *testing.T, film hostile.Film, corpus []hostile.Member) {
		beyond := map[string]bool{}
		for _, m := range corpus {
			switch strings.TrimPrefix(m.Name, "sets/") {
			case "size/7680x4320", "size/16384x16384", "size/15984x15984", "size/one row above 4096x2304", "size/2^31 wide",
				"size/2^32 wide and high", "flood/100000 slices", "flood/a million slices in one unit":
			default:
				continue
			}
			beyond[m.Name] = true
			d := newDecoder(t, m.Format)
			d.coded = make([]byte, 0, 8<<20) // the copy of what came is bounded by what came
			before := resident(t, "VmRSS")
			if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // the peak begins anew
				t.Fatal(err)
			}
			_, err := d.Keyframe(m.NALUs)
			if spent := resident(t, "VmHWM") - before; !errors.Is(err, ErrNoPicture) || spent > 24<<10 {
				t.Errorf("%s: %d MB were spent, %v", m.Name, spent>>10, err)
			}
		}
		if len(beyond) < 7 {
			t.Errorf("only %v are beyond the bounds", beyond)
		}
	})
}

// resident is a line of the kernel's about this process, in KiB.
func resident(t testing.TB, key string) int {
	t.Helper()
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), key+":")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Formats that no camera of ours sends and that are whole give their pictures.
func TestOddFormats(t *testing.T) {
	for name, c := range map[string]struct {
		codec   camera.Codec
		options []string
	}{
		"h264 MBAFF":     {camera.H264, []string{"-flags", "+ildct+ilme"}},
		"h264 10 bit":    {camera.H264, []string{"-pix_fmt", "yuv420p10le"}},
		"h264 4:4:4":     {camera.H264, []string{"-pix_fmt", "yuv444p"}},
		"h264 lossless":  {camera.H264, []string{"-qp", "0"}},
		"h264 RGB":       {camera.H264, []string{"-c:v", "libx264rgb", "-pix_fmt", "rgb24"}},
		"h264 greys":     {camera.H264, []string{"-pix_fmt", "gray"}},
		"h264 reordered": {camera.H264, []string{"-refs", "16", "-bf", "3", "-b_strategy", "0", "-profile:v", "high"}},
		"h265 10 bit":    {camera.H265, []string{"-pix_fmt", "yuv420p10le"}},
		"h265 4:2:2":     {camera.H265, []string{"-pix_fmt", "yuv422p12le"}},
		"h265 4:4:4":     {camera.H265, []string{"-pix_fmt", "yuv444p"}},
		"h265 greys":     {camera.H265, []string{"-pix_fmt", "gray"}},
	} {
		t.Run(name, func(t *testing.T) {
			film := hostile.Code(t, c.codec, "320x240", c.options...)
			d := newDecoder(t, film.Format)
			for n, key := range film.Keys() {
				if p, err := d.Keyframe(key); err != nil || p.CodedWidth != 320 || p.CodedHeight != 240 {
					t.Errorf("keyframe %d: %dx%d, %v", n, p.CodedWidth, p.CodedHeight, err)
				}
			}
		})
	}
}
