package sim

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/coded"
)

func TestCanaryStandsBeforeTheFirstSlice(t *testing.T) {
	f := camera.Format{Codec: camera.H264, SPS: []byte{0x67, 1}, PPS: []byte{0x68, 1}}
	types := func(nalus [][]byte) (s string) {
		for _, n := range nalus {
			s += string("0123456789"[naluType(f.Codec, n)])
		}
		return s
	}
	for _, tc := range []struct {
		in   [][]byte
		key  bool
		want string
	}{
		{[][]byte{{0x65}}, true, "7865"},
		{[][]byte{{0x09}, {0x65}, {0x65}}, true, "978655"},
		{[][]byte{{0x67}, {0x68}, {0x06}, {0x65}}, true, "78665"},
		{[][]byte{{0x41}}, false, "61"},
		{[][]byte{{0x06}}, false, "66"},
		{nil, false, "6"},
	} {
		in := append([][]byte(nil), tc.in...)
		if got := types(dress(f, coded.Frame{NALUs: in, Keyframe: tc.key}, canarySEI(f.Codec, time.Now()))); got != tc.want {
			t.Errorf("%v becomes %s, want %s", tc.in, got, tc.want)
		}
	}
	for _, c := range []camera.Codec{camera.H264, camera.H265} {
		sei := canarySEI(c, time.Now())
		if !bytes.Contains(sei, []byte(Canary)) || len(Canary) != 16 || len(canaryUUID) != 16 {
			t.Errorf("%s: the message does not hold the canary", c)
		}
		if bytes.IndexByte(sei, 0) >= 0 {
			t.Errorf("%s: a zero byte would call for emulation prevention", c)
		}
	}
}

// Whatever units a file holds, each picture bears the canary exactly once and loses nothing.
func FuzzDress(f *testing.F) {
	f.Add([]byte{0x65, 1}, []byte{0x09}, true, true)
	f.Add([]byte{0x26, 1}, []byte{}, false, true)
	f.Fuzz(func(t *testing.T, one, two []byte, h264, key bool) {
		format := camera.Format{Codec: camera.H265, VPS: []byte{0x40, 1}, SPS: []byte{0x42, 1}, PPS: []byte{0x44, 1}}
		if h264 {
			format = camera.Format{Codec: camera.H264, SPS: []byte{0x67, 1}, PPS: []byte{0x68, 1}}
		}
		sei, canaries, kept := canarySEI(format.Codec, time.Now()), 0, 0
		for _, n := range dress(format, coded.Frame{NALUs: [][]byte{one, two}, Keyframe: key}, sei) {
			if bytes.Equal(n, sei) {
				canaries++
			}
			if bytes.Equal(n, one) || bytes.Equal(n, two) {
				kept++
			}
		}
		if canaries < 1 || kept < 2 {
			t.Fatalf("%d canaries, %d of 2 units", canaries, kept)
		}
	})
}

func TestHistory(t *testing.T) {
	h := newHistory(4)
	began := time.Now()
	if _, ok := h.at(began); ok {
		t.Error("an empty history knows a frame")
	}
	for n := range 10 {
		h.add(began.Add(time.Duration(n)*time.Second), n)
	}
	for _, tc := range []struct {
		at time.Duration
		n  int
		ok bool
	}{{5500 * time.Millisecond, 0, false}, {6 * time.Second, 6, true}, {7999 * time.Millisecond, 7, true}, {time.Hour, 9, true}} {
		if n, ok := h.at(began.Add(tc.at)); ok != tc.ok || (ok && n != tc.n) {
			t.Errorf("at %v: %d, %v", tc.at, n, ok)
		}
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	track, err := coded.LoadMP4("testdata/plain.mp4")
	if err != nil {
		t.Fatal(err)
	}
	good := Camera{Path: "k1", Feed: Loop(track), Username: "u", Password: "p"}
	first, err := New(Config{Listen: "127.0.0.1:0", Cameras: []Camera{good}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { first.Close() })
	with := func(f func(*Camera)) []Camera {
		c := good
		f(&c)
		return []Camera{c}
	}
	for _, tc := range []struct {
		cfg  Config
		want string
	}{
		{Config{Listen: first.Addr(), Cameras: []Camera{good}}, first.Addr()},
		{Config{Listen: first.Addr(), Cameras: []Camera{good}}, "choose another"},
		{Config{Listen: "127.0.0.1:0"}, "none given"},
		{Config{Listen: "127.0.0.1:0", Cameras: []Camera{good, good}}, "twice"},
		{Config{Listen: "127.0.0.1:0", Cameras: with(func(c *Camera) { c.Path = "a/b" })}, "slashes"},
		{Config{Listen: "127.0.0.1:0", Cameras: with(func(c *Camera) { c.Password = "" })}, "needed"},
		{Config{Listen: "127.0.0.1:0", Cameras: with(func(c *Camera) { c.Feed = nil })}, "feed"},
	} {
		if _, err := New(tc.cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v does not say %q", err, tc.want)
		}
	}
}

// failing is a feed whose encoder dies.
type failing struct{ Feed }

func (failing) Frame(context.Context, int) (coded.Frame, error) {
	return coded.Frame{}, errors.New("encoder died")
}

func TestRunReportsAFailedFeed(t *testing.T) {
	track, err := coded.LoadMP4("testdata/plain.mp4")
	if err != nil {
		t.Fatal(err)
	}
	srv, err := New(Config{Listen: "127.0.0.1:0", Cameras: []Camera{{Path: "k1", Feed: failing{Loop(track)}, Username: "u", Password: "p"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err = srv.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "k1") || !strings.Contains(err.Error(), "encoder died") {
		t.Errorf("Run: %v", err)
	}
}
