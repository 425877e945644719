//go:build cgo

package decode

// The bounds of what no slice painted. FFmpeg gives memory of zeros (of 42 where it was built to poison memory), and
// the scaler makes 16 of a zero of full range. No colour that a display can show is near: with a luma of at most 100,
// one of the chroma values at least is 80. That leaves room for the edge of a hole, where half is painted.
const (
	holeLuma   = 100
	holeChroma = 56
)

// hole is true if a part of the picture was not painted. FFmpeg says nothing of slices that are missing, and a counter
// would take what is left for people, or for nobody. A picture that was coded without colour has no such mark.
func (p *Picture) hole() bool {
	w, h := p.Width, p.Height
	u, v := p.I420[w*h:w*h*5/4], p.I420[w*h*5/4:]
	for i := range u {
		if u[i] > holeChroma || v[i] > holeChroma {
			continue
		}
		at := i/(w/2)*2*w + i%(w/2)*2
		if p.I420[at] <= holeLuma && p.I420[at+1] <= holeLuma && p.I420[at+w] <= holeLuma && p.I420[at+w+1] <= holeLuma {
			return true
		}
	}
	return false
}
