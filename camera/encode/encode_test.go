//go:build cgo

package encode

import (
	"bytes"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"klarsyn/camera"
)

// picture n has a square that moves over a ramp.
func picture(w, h, n int) []byte {
	p := bytes.Repeat([]byte{128}, w*h*3/2)
	for y := range h {
		for x := range w {
			p[y*w+x] = byte(x + y)
			if x/16 == n%(w/16) && y < 16 {
				p[y*w+x] = 235
			}
		}
	}
	return p
}

func run(t *testing.T, frames int) (camera.Format, []Frame) {
	t.Helper()
	e, err := New(160, 96, 5)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var out []Frame
	for n := range frames {
		f, err := e.Encode(picture(160, 96, n))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return e.Format(), out
}

func TestFrames(t *testing.T) {
	format, frames := run(t, 35)
	if format.Codec != camera.H264 || len(format.SPS) == 0 || format.SPS[0]&0x1f != 7 || len(format.PPS) == 0 || format.PPS[0]&0x1f != 8 {
		t.Fatalf("format %+v", format)
	}
	for n, f := range frames {
		if f.N != n || f.Keyframe != (n%10 == 0) {
			t.Errorf("frame %d: number %d, keyframe %v; want a keyframe every 2 s", n, f.N, f.Keyframe)
		}
		for _, nalu := range f.NALUs {
			if kind := nalu[0] & 0x1f; kind != 1 && kind != 5 || (kind == 5) != f.Keyframe {
				t.Errorf("frame %d has a NAL unit of type %d", n, kind)
			}
		}
	}
}

// The same pictures give the same bytes: the scene is deterministic, and so is the camera made of it.
func TestSameBytes(t *testing.T) {
	fa, a := run(t, 12)
	fb, b := run(t, 12)
	if !reflect.DeepEqual(fa, fb) || !reflect.DeepEqual(a, b) {
		t.Error("two runs differ")
	}
}

// Another decoder than ours sees every picture.
func TestFFmpegDecodesIt(t *testing.T) {
	format, frames := run(t, 25)
	var stream bytes.Buffer
	unit := func(n []byte) { stream.Write([]byte{0, 0, 0, 1}); stream.Write(n) }
	unit(format.SPS)
	unit(format.PPS)
	for _, f := range frames {
		for _, n := range f.NALUs {
			unit(n)
		}
	}
	path := filepath.Join(t.TempDir(), "a.h264")
	if err := os.WriteFile(path, stream.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	raw, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "gray", "-").Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v (run deploy/setup.sh)", err)
	}
	if len(raw) != 25*160*96 {
		t.Fatalf("ffmpeg gave %d pictures, want 25", len(raw)/160/96)
	}
	seen := map[[32]byte]bool{}
	for n := range 10 {
		p := raw[n*160*96:][:160*96]
		seen[sha256.Sum256(p)] = true
		if x := n%10*16 + 8; p[8*160+x] < 180 {
			t.Errorf("picture %d: the square is not at %d", n, x)
		}
	}
	if len(seen) != 10 {
		t.Errorf("%d different pictures of 10", len(seen))
	}
}

func TestNewRefuses(t *testing.T) {
	for _, bad := range [][3]int{{0, 0, 10}, {161, 96, 10}, {8192, 96, 10}, {160, 96, 0}, {160, 96, 1000}} {
		if e, err := New(bad[0], bad[1], bad[2]); err == nil {
			e.Close()
			t.Errorf("%v: no error", bad)
		}
	}
	e, err := New(160, 96, 5)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Encode(make([]byte, 7)); err == nil || !strings.Contains(err.Error(), "want 23040") {
		t.Errorf("got %v", err)
	}
}

func TestSplitAnnexB(t *testing.T) {
	for in, want := range map[string][]string{
		"":                                  nil,
		"\x00\x00\x01":                      nil,
		"abc":                               nil,
		"\x00\x00\x01a\x00\x00\x00\x01bc":   {"a", "bc"},
		"\x00\x00\x00\x01a\x00\x00\x01":     {"a"},
		"\x00\x00\x01a\x00\x00\x02\x00\x00": {"a\x00\x00\x02"},
	} {
		var got []string
		for _, u := range splitAnnexB([]byte(in)) {
			got = append(got, string(u))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
