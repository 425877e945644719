//go:build cgo

package count

import (
	"cmp"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// album keeps the pictures of a run in which the count was furthest off, to be looked at: WEATHER_PNG=DIR writes them, each
// above its background and above its foreground.
type album struct {
	dir   string
	worst []page
}

type page struct {
	frame int
	off   float64
	img   *image.YCbCr
}

// pages is how many pictures an album keeps, no two of one minute.
const pages = 4

func newAlbum() *album {
	return &album{dir: os.Getenv("WEATHER_PNG")}
}

func (a *album) add(c *Counter, picture []byte, frame int, off float64) {
	if a.dir == "" || off == 0 {
		return
	}
	here := func(p page) bool { return p.frame/60 == frame/60 }
	if i := slices.IndexFunc(a.worst, here); i >= 0 {
		if max(a.worst[i].off, -a.worst[i].off) >= max(off, -off) {
			return
		}
		a.worst = slices.Delete(a.worst, i, i+1)
	}
	a.worst = append(a.worst, page{frame, off, c.sheet(picture)})
	slices.SortFunc(a.worst, func(p, q page) int { return cmp.Compare(max(q.off, -q.off), max(p.off, -p.off)) })
	a.worst = a.worst[:min(len(a.worst), pages)]
}

// sheet is the picture, the background and the foreground, one below the other.
func (c *Counter) sheet(picture []byte) *image.YCbCr {
	w, h := c.width, c.height
	n := w * h
	img := image.NewYCbCr(image.Rect(0, 0, w, 3*h), image.YCbCrSubsampleRatio420)
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = 128, 128
	}
	for i, p := range [][]byte{picture, c.background.median} {
		copy(img.Y[i*n:], p[:n])
		copy(img.Cb[i*h/2*img.CStride:], p[n:n+n/4])
		copy(img.Cr[i*h/2*img.CStride:], p[n+n/4:])
	}
	copy(img.Y[2*n:], c.mask)
	return img
}

func (a *album) write(t *testing.T) {
	t.Helper()
	for _, p := range a.worst {
		name := strings.NewReplacer("/", "-", " ", "-").Replace(strings.TrimPrefix(t.Name(), "TestWeather/"))
		f, err := os.Create(filepath.Join(a.dir, fmt.Sprintf("%s-%04d%+.0f.png", name, p.frame, p.off)))
		if err != nil {
			t.Fatal(err)
		}
		if err = png.Encode(f, p.img); err != nil {
			t.Error(err)
		}
		if err = f.Close(); err != nil {
			t.Error(err)
		}
	}
}
