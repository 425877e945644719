package coded

import (
	"bytes"
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
		track, err := LoadMP4(filepath.Join("../rtsp/sim/testdata", tc.file))
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
	good, err := os.ReadFile("../rtsp/sim/testdata/plain.mp4")
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
		b, err := os.ReadFile(filepath.Join("../rtsp/sim/testdata", name))
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
	})
}
