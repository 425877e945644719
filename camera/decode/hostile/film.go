package hostile

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"klarsyn/camera"
)

// Unit is one coded picture with all its slices, without parameter sets.
type Unit struct {
	Key   bool
	NALUs [][]byte
}

// Film is coded video: four pictures to a keyframe.
type Film struct {
	Format camera.Format
	Units  []Unit
}

// GOP is how many pictures of a film lie from one keyframe to the next.
const GOP = 4

// Keys are the film's keyframes.
func (f Film) Keys() [][][]byte {
	var out [][][]byte
	for _, u := range f.Units {
		if u.Key {
			out = append(out, u.NALUs)
		}
	}
	return out
}

// Code has ffmpeg draw its moving test picture in a codec, in a size, three keyframes long: four slices a picture,
// unless the further options of ffmpeg say otherwise.
func Code(t testing.TB, codec camera.Codec, size string, options ...string) Film {
	t.Helper()
	lib, ext := []string{"libx264", "-slices", "4"}, "h264"
	if codec == camera.H265 {
		lib, ext = []string{"libx265", "-x265-params", "log-level=none:pools=1:frame-threads=1:slices=4:ctu=16:keyint=4:scenecut=0:open-gop=0"}, "hevc"
	}
	path := filepath.Join(t.TempDir(), "film."+ext)
	args := append([]string{"-nostdin", "-v", "error", "-f", "lavfi", "-i", "smptehdbars=rate=5:size=" + size + ",noise=c0s=6:c0f=t", "-frames:v", "12",
		"-preset", "ultrafast", "-g", "4", "-sc_threshold", "0", "-threads", "1", "-c:v"}, lib...)
	if out, err := exec.Command("ffmpeg", append(append(args, options...), path)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v (run deploy/setup.sh)\n%s", err, out)
	}
	stream, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := Film{Format: camera.Format{Codec: codec}}
	for _, nalu := range bytes.Split(stream, []byte{0, 0, 1})[1:] {
		nalu = bytes.TrimRight(nalu, "\x00") // of the next start code
		f.add(nalu)
	}
	if len(f.Units) != 12 || len(f.Keys()) != 3 || !f.Units[GOP].Key {
		t.Fatalf("ffmpeg made %d pictures, %d keyframes", len(f.Units), len(f.Keys()))
	}
	return f
}

func (f *Film) add(nalu []byte) {
	var kind int
	var first bool // slice of a picture
	if f.Format.Codec == camera.H265 {
		kind, first = 100+int(nalu[0]>>1), nalu[2]&0x80 != 0
	} else {
		kind, first = int(nalu[0]&0x1f), nalu[1]&0x80 != 0
	}
	switch {
	case kind == 7 || kind == 133:
		f.Format.SPS = nalu
	case kind == 8 || kind == 134:
		f.Format.PPS = nalu
	case kind == 132:
		f.Format.VPS = nalu
	case kind >= 1 && kind <= 5 || kind >= 100 && kind <= 121:
		if first {
			f.Units = append(f.Units, Unit{Key: kind == 5 || kind >= 116})
		}
		u := &f.Units[len(f.Units)-1]
		u.NALUs = append(u.NALUs, nalu)
	}
}
