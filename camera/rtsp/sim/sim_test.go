package sim

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
)

func TestLoadMP4(t *testing.T) {
	for _, tc := range []struct {
		file      string
		frames    int
		codec     camera.Codec
		reordered bool
	}{
		{"plain.mp4", 20, camera.H264, false},
		{"fragmented.mp4", 20, camera.H264, false},
		{"bframes_audio.mp4", 50, camera.H264, true},
		{"hevc.mp4", 20, camera.H265, true},
	} {
		track, err := LoadMP4(filepath.Join("testdata", tc.file))
		if err != nil {
			t.Fatal(err)
		}
		if len(track.Frames) != tc.frames || track.Format.Codec != tc.codec {
			t.Errorf("%s: %d frames, %s", tc.file, len(track.Frames), track.Format.Codec)
		}
		if d := track.Duration(); d != 2*time.Second {
			t.Errorf("%s lasts %v, want 2s", tc.file, d)
		}
		keys, offsets := 0, map[time.Duration]bool{}
		for _, f := range track.Frames {
			if f.Keyframe {
				keys++
			}
			offsets[f.PTSOffset] = true
		}
		if keys != 2 || (len(offsets) > 1) != tc.reordered {
			t.Errorf("%s: %d keyframes, %d presentation offsets", tc.file, keys, len(offsets))
		}
	}
}

func TestLoadMP4NamesFileAndMend(t *testing.T) {
	dir := t.TempDir()
	good, err := os.ReadFile("testdata/plain.mp4")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"text.mp4":  []byte("this is not a video at all, but it is long enough"),
		"empty.mp4": nil,
		"cut.mp4":   good[:len(good)/2],
		"moov.mp4":  good[:600],
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadMP4(path)
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "ffmpeg") {
			t.Errorf("%s: %v names no file or no mend", name, err)
		}
	}
	if _, err := LoadMP4(dir); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := LoadMP4(filepath.Join(dir, "none.mp4")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func FuzzLoadMP4(f *testing.F) {
	for _, name := range []string{"plain.mp4", "fragmented.mp4", "bframes_audio.mp4", "hevc.mp4"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		track, err := parseMP4(bytes.Clone(raw)) // it rewrites its input
		if err != nil {
			return
		}
		if err = track.Validate(); err != nil {
			t.Fatalf("an invalid track was given: %v", err)
		}
		for _, frame := range track.Frames {
			dress(track.Format, frame, canarySEI(track.Format.Codec))
		}
	})
}

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
		if got := types(dress(f, Frame{NALUs: in, Keyframe: tc.key}, canarySEI(f.Codec))); got != tc.want {
			t.Errorf("%v becomes %s, want %s", tc.in, got, tc.want)
		}
	}
	for _, c := range []camera.Codec{camera.H264, camera.H265} {
		sei := canarySEI(c)
		if !bytes.Contains(sei, []byte(Canary)) || len(Canary) != 16 || len(canaryUUID) != 16 {
			t.Errorf("%s: the message does not hold the canary", c)
		}
		if bytes.IndexByte(sei, 0) >= 0 {
			t.Errorf("%s: a zero byte would call for emulation prevention", c)
		}
	}
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
	track, err := LoadMP4("testdata/plain.mp4")
	if err != nil {
		t.Fatal(err)
	}
	good := Camera{Path: "k1", Feed: track.Feed(), Username: "u", Password: "p"}
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

func (failing) Frame(context.Context, int) (Frame, error) { return Frame{}, errors.New("encoder died") }

func TestRunReportsAFailedFeed(t *testing.T) {
	track, err := LoadMP4("testdata/plain.mp4")
	if err != nil {
		t.Fatal(err)
	}
	srv, err := New(Config{Listen: "127.0.0.1:0", Cameras: []Camera{{Path: "k1", Feed: failing{track.Feed()}, Username: "u", Password: "p"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err = srv.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "k1") || !strings.Contains(err.Error(), "encoder died") {
		t.Errorf("Run: %v", err)
	}
}
