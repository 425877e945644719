//go:build cgo && matprofile

package count

import (
	"math/rand/v2"
	"testing"

	"gocv.io/x/gocv"
)

// Every Mat is closed: run with -tags matprofile.
func TestMats(t *testing.T) {
	before := gocv.MatProfile.Count()
	c, err := New(profile(), width, height, 3)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		look(t, c, ground(r, 1))
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if after := gocv.MatProfile.Count(); after != before {
		t.Errorf("%d Mats before, %d after", before, after)
	}
}
