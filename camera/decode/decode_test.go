//go:build cgo

package decode

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"pgregory.net/rapid"

	"klarsyn/camera"
)

func TestMain(m *testing.M) {
	if err := Prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func half(w, h int) (int, int) { return w / 4 * 2, h / 4 * 2 }

// clip has ffmpeg code its test picture in a codec: the format and the keyframes.
func clip(t testing.TB, codec camera.Codec, options ...string) (camera.Format, [][][]byte) {
	t.Helper()
	lib, ext := "libx264", "h264"
	if codec == camera.H265 {
		lib, ext = "libx265", "hevc"
		options = append(options, "-x265-params", "log-level=none:pools=1:frame-threads=1")
	}
	path := filepath.Join(t.TempDir(), "clip."+ext)
	args := append([]string{"-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=5", "-frames:v", "20",
		"-c:v", lib, "-preset", "ultrafast", "-g", "5", "-threads", "1"}, options...)
	if out, err := exec.Command("ffmpeg", append(args, path)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v (run deploy/setup.sh)\n%s", err, out)
	}
	stream, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var nalus h264.AnnexB // the byte stream is the same for both
	if err := nalus.Unmarshal(stream); err != nil {
		t.Fatal(err)
	}
	f := camera.Format{Codec: codec}
	var keys [][][]byte
	for _, n := range nalus {
		kind := int(n[0] & 0x1f)
		if codec == camera.H265 {
			kind = 100 + int(n[0]>>1&0x3f)
		}
		switch kind {
		case 7, 133:
			f.SPS = n
		case 8, 134:
			f.PPS = n
		case 132:
			f.VPS = n
		case 5, 119, 120, 121:
			keys = append(keys, [][]byte{n})
		}
	}
	if len(keys) < 3 {
		t.Fatalf("%d keyframes", len(keys))
	}
	return f, keys
}

func TestKeyframes(t *testing.T) {
	for name, c := range map[string]struct {
		codec   camera.Codec
		options []string
	}{
		"h264":            {camera.H264, nil},
		"h264 reordered":  {camera.H264, []string{"-bf", "3", "-profile:v", "main"}},
		"h264 full range": {camera.H264, []string{"-pix_fmt", "yuvj420p"}},
		"h264 4:2:2":      {camera.H264, []string{"-pix_fmt", "yuv422p"}},
		"h265":            {camera.H265, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f, keys := clip(t, c.codec, c.options...)
			d, err := New(f, half)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			var last []byte
			for i, k := range keys {
				p, err := d.Keyframe(k)
				if err != nil {
					t.Fatalf("keyframe %d: %v", i, err)
				}
				if p.Width != 160 || p.Height != 120 || p.CodedWidth != 320 || p.CodedHeight != 240 || len(p.I420) != 160*120*3/2 {
					t.Fatalf("keyframe %d: %dx%d of %dx%d, %d bytes", i, p.Width, p.Height, p.CodedWidth, p.CodedHeight, len(p.I420))
				}
				// The test picture moves: a picture held back and given late would be the last one again.
				if bytes.Equal(last, p.I420) {
					t.Errorf("keyframe %d looks like the one before", i)
				}
				last = bytes.Clone(p.I420)
			}
			// The first one again gives the first picture: nothing of the others is left.
			first, err := d.Keyframe(keys[0])
			if err != nil {
				t.Fatal(err)
			}
			again := bytes.Clone(first.I420)
			if p, err := d.Keyframe(keys[0]); err != nil || !bytes.Equal(again, p.I420) {
				t.Errorf("the same keyframe gives another picture (%v)", err)
			}
		})
	}
}

// In-band parameter sets win over those of the session.
func TestInBandParameterSets(t *testing.T) {
	f, keys := clip(t, camera.H264)
	d, err := New(camera.Format{Codec: camera.H264, SPS: []byte{0x67, 0}, PPS: []byte{0x68, 0}}, half)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Keyframe(keys[0]); !errors.Is(err, ErrNoPicture) {
		t.Errorf("with broken sets: %v", err)
	}
	if _, err := d.Keyframe([][]byte{f.SPS, f.PPS, keys[0][0]}); err != nil {
		t.Errorf("with its own sets: %v", err)
	}
}

// A picture of which the lower half is missing is no picture: what FFmpeg would paint there is not what
// the camera saw.
func TestCutPicture(t *testing.T) {
	for _, codec := range []camera.Codec{camera.H264, camera.H265} {
		f, keys := clip(t, codec)
		d, err := New(f, half)
		if err != nil {
			t.Fatal(err)
		}
		key := keys[1][0]
		if _, err := d.Keyframe([][]byte{key[:len(key)/2]}); !errors.Is(err, ErrNoPicture) {
			t.Errorf("%s: got %v, want ErrNoPicture", codec, err)
		}
		d.Close()
	}
}

// A picture of 16384x16384 is refused before memory is spent on it.
func TestAbsurdSize(t *testing.T) {
	_, keys := clip(t, camera.H264)
	// Baseline, level 5.2, 1024x1024 macroblocks: the sizes are Exp-Golomb codes of 1023.
	huge := []byte{0x67, 0x42, 0x00, 0x34, 0xf4, 0x00, 0x20, 0x00, 0x01, 0x00, 0x08, 0x00, 0x40, 0x80}
	d, err := New(camera.Format{Codec: camera.H264, SPS: huge, PPS: []byte{0x68, 0xce, 0x38, 0x80}}, half)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Keyframe(keys[0]); !errors.Is(err, ErrNoPicture) {
		t.Errorf("got %v, want ErrNoPicture", err)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(camera.Format{Codec: "av1"}, half); err == nil {
		t.Error("av1 was accepted")
	}
}

// Damage gives an error or a picture, never a panic, and spoils nothing that follows.
func TestDamage(t *testing.T) {
	for _, codec := range []camera.Codec{camera.H264, camera.H265} {
		f, keys := clip(t, codec)
		d, err := New(f, half)
		if err != nil {
			t.Fatal(err)
		}
		p, err := d.Keyframe(keys[0])
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Clone(p.I420)
		rapid.Check(t, func(t *rapid.T) {
			key := bytes.Clone(keys[1][0])
			for range rapid.IntRange(0, 20).Draw(t, "flips") {
				key[rapid.IntRange(0, len(key)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			}
			key = key[:rapid.IntRange(0, len(key)).Draw(t, "cut")]
			_, _ = d.Keyframe([][]byte{key, rapid.SliceOfN(rapid.Byte(), 0, 99).Draw(t, "noise")})
			p, err := d.Keyframe(keys[0])
			if err != nil || !bytes.Equal(p.I420, want) {
				t.Fatalf("the next picture is spoilt: %v", err)
			}
		})
		d.Close()
	}
}

// A stream shows each whole picture under its number, and a damaged one spoils nothing beyond itself.
func TestStream(t *testing.T) {
	for _, codec := range []camera.Codec{camera.H264, camera.H265} {
		f, keys := clip(t, codec)
		d, err := New(f, half)
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.Stream()
		if err != nil {
			t.Fatal(err)
		}
		var shown []int64
		all := func(n int64) bool { return n != 2 } // one that nobody wants
		show := func(n int64, p Picture) error {
			if len(p.I420) != p.Width*p.Height*3/2 {
				t.Errorf("picture %d has %d bytes for %dx%d", n, len(p.I420), p.Width, p.Height)
			}
			shown = append(shown, n)
			return nil
		}
		refused := false
		for n, key := range keys {
			if n == 1 {
				key = [][]byte{key[0][:len(key[0])/3]}
			}
			err := s.Send(key, int64(n), all, show)
			if err != nil && !errors.Is(err, ErrNoPicture) {
				t.Fatal(err)
			}
			refused = refused || err != nil
		}
		if err := s.Send(nil, 0, all, show); err != nil && !errors.Is(err, ErrNoPicture) {
			t.Fatal(err)
		}
		s.Close()
		d.Close()
		if !refused || !slices.Equal(shown, []int64{0, 3}) {
			t.Errorf("%s: shown %v, want 0 and 3; the cut one refused: %v", codec, shown, refused)
		}
	}
}

func BenchmarkKeyframe(b *testing.B) {
	f, keys := clip(b, camera.H264)
	d, err := New(f, half)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Keyframe(keys[0]); err != nil {
			b.Fatal(err)
		}
	}
}

// A picture that no other leans on need not be decoded; of what is not known to be one the answer is no.
func TestDisposable(t *testing.T) {
	for name, tt := range map[string]struct {
		codec camera.Codec
		nalus [][]byte
		want  bool
	}{
		"a B picture":         {camera.H264, [][]byte{{0x01, 9}, {0x01, 8}}, true},
		"with SEI":            {camera.H264, [][]byte{{0x06, 1}, {0x01, 9}}, true},
		"a P picture":         {camera.H264, [][]byte{{0x41, 9}}, false},
		"a slice of each":     {camera.H264, [][]byte{{0x01, 9}, {0x41, 9}}, false},
		"a keyframe":          {camera.H264, [][]byte{{0x65, 9}}, false},
		"with parameter sets": {camera.H264, [][]byte{{0x67, 9}, {0x01, 9}}, false},
		"SEI alone":           {camera.H264, [][]byte{{0x06, 9}}, false},
		"nothing":             {camera.H264, nil, false},
		"an empty unit":       {camera.H264, [][]byte{{}}, false},
		"H.265":               {camera.H265, [][]byte{{0x00, 1, 2}}, false},
	} {
		if got := disposable(tt.codec, tt.nalus); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
