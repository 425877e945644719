package scene

import (
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

// TestPictures writes pictures for a person to look at: SCENE_PNG=DIR go test -run TestPictures.
func TestPictures(t *testing.T) {
	dir := os.Getenv("SCENE_PNG")
	if dir == "" {
		t.Skip("set SCENE_PNG to a folder to look at the scenes")
	}
	for name, c := range map[string]Config{
		"scene":    {},
		"sunset":   {FPS: 1, Frames: 2400, Crowd: 7, Weather: Weather{Sunset: true}},
		"shadows":  {FPS: 1, Frames: 2400, Crowd: 7, Weather: Weather{Shadows: true}},
		"rain":     {FPS: 1, Frames: 2400, Crowd: 7, Weather: Weather{Rain: true}},
		"pigeons":  {FPS: 1, Frames: 2400, Crowd: 7, Weather: Weather{Pigeons: 25}},
		"crowd":    {FPS: 1, Frames: 2400, Crowd: 60},
		"standing": {FPS: 1, Frames: 2400, Crowd: 4, Standing: 6},
	} {
		for c.Seed = range uint64(4) {
			s := must(t, c)
			for n := 0; n < s.cfg.Frames; n += s.cfg.Frames / 4 {
				writePicture(t, filepath.Join(dir, fmt.Sprintf("%s-%d-%04d.png", name, c.Seed, n)), s, n)
			}
		}
	}
}

func writePicture(t *testing.T, path string, s *Scene, n int) {
	t.Helper()
	b, w, h := frame(s, n), s.cfg.Width, s.cfg.Height
	img := &image.YCbCr{
		Y: b[:w*h], Cb: b[w*h : w*h*5/4], Cr: b[w*h*5/4:], YStride: w, CStride: w / 2,
		SubsampleRatio: image.YCbCrSubsampleRatio420, Rect: image.Rect(0, 0, w, h),
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err = png.Encode(f, img); err != nil {
		t.Error(err)
	}
	if err = f.Close(); err != nil {
		t.Error(err)
	}
}
