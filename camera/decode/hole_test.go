//go:build cgo

package decode

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"

	"klarsyn/camera"
	"klarsyn/camera/decode/hostile"
)

// No colour is taken for a hole: not one that a camera can see, by any of the standards and ranges it may code it in.
func TestNoColourIsAHole(t *testing.T) {
	clamp := func(v float64) byte { return byte(math.Round(min(255, max(0, v)))) }
	for name, c := range map[string]struct{ kr, kb float64 }{
		"BT.601": {0.299, 0.114}, "BT.709": {0.2126, 0.0722}, "BT.2020": {0.2627, 0.0593},
	} {
		for rgb := range 64 * 64 * 64 {
			r, g, b := float64(rgb&63)*255/63, float64(rgb>>6&63)*255/63, float64(rgb>>12)*255/63
			luma := c.kr*r + (1-c.kr-c.kb)*g + c.kb*b
			p := Picture{Width: 2, Height: 2, I420: append(bytes.Repeat([]byte{clamp(16 + 219*luma/255)}, 4),
				clamp(128+112*(b-luma)/255/(1-c.kb)), clamp(128+112*(r-luma)/255/(1-c.kr)))}
			if p.hole() {
				t.Fatalf("%s: %.0f %.0f %.0f is %v, and taken for a hole", name, r, g, b, p.I420)
			}
		}
	}
}

// A picture of which one slice is missing is no picture, in every size that it may be made small from, and in the full
// range of values as well; with all slices it is one.
func TestHole(t *testing.T) {
	for _, codec := range []camera.Codec{camera.H264, camera.H265} {
		for _, c := range []struct{ size, format string }{
			{"320x240", "yuv420p"}, {"320x240", "yuvj420p"}, {"320x240", "yuv420p10le"}, {"704x576", "yuv420p"}, {"1920x1080", "yuvj420p"},
		} {
			t.Run(fmt.Sprint(codec, c.size, c.format), func(t *testing.T) {
				film := hostile.Code(t, codec, c.size, "-pix_fmt", c.format)
				d, err := New(film.Format, func(w, h int) (int, int) { return 480, 270 })
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				key := film.Keys()[1]
				if _, err := d.Keyframe(key); err != nil {
					t.Errorf("whole: %v", err)
				}
				for i := range key {
					rest := append(append([][]byte(nil), key[:i]...), key[i+1:]...)
					if _, err := d.Keyframe(rest); !errors.Is(err, ErrNoPicture) {
						t.Errorf("without slice %d of %d: got %v, want ErrNoPicture", i, len(key), err)
					}
				}
			})
		}
	}
}
