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
	for seed := range uint64(4) {
		s := must(t, Config{Seed: seed})
		for n := 0; n < s.cfg.Frames; n += 200 {
			b, w, h := frame(s, n), s.cfg.Width, s.cfg.Height
			img := &image.YCbCr{
				Y: b[:w*h], Cb: b[w*h : w*h*5/4], Cr: b[w*h*5/4:], YStride: w, CStride: w / 2,
				SubsampleRatio: image.YCbCrSubsampleRatio420, Rect: image.Rect(0, 0, w, h),
			}
			f, err := os.Create(filepath.Join(dir, fmt.Sprintf("scene-%d-%03d.png", seed, n)))
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
	}
}
