//go:build cgo

package count

import "math"

const (
	// A piece of more than this share of the picture may be light or shade.
	broad = 0.012
	// Light lies within this share of one ratio to the background, nearly all over the piece, and takes no more than
	// a shadow takes or the sun gives.
	even                       = 0.14
	evenly                     = 0.6
	dimmest, brightest         = 0.3, 3.2
	tinted                     = 5   // levels that a colour may be off by in another light
	fresh              float64 = 1.5 // how much rougher than the background a piece may be inside
)

// light says whether a piece is the background in another light, a shadow or the sun: of one ratio to it nearly all over,
// of its colours, and with no marks of its own. If so it gives the ratio.
func (p *pieces) light(f piece, picture, reference []byte) (ratio float64, ok bool) {
	n := p.w * p.h
	if float64(f.area) < broad*float64(n) {
		return 0, false
	}
	var hist [512]int
	all, plain := 0, 0
	for _, at := range f.pixels {
		i := int(at)
		if reference[i] < 20 {
			continue
		}
		hist[min(511, int(picture[i])*128/int(reference[i]))]++
		all++
		u := n + i/p.w/2*(p.w/2) + i%p.w/2
		if off(picture[u], reference[u]) <= tinted && off(picture[u+n/4], reference[u+n/4]) <= tinted {
			plain++
		}
	}
	if 2*all < f.area || float64(plain) < 0.75*float64(all) {
		return 0, false
	}
	seen, bin := 0, 0
	for bin = range hist {
		if seen += hist[bin]; 2*seen > all {
			break
		}
	}
	ratio = (float64(bin) + 0.5) / 128
	if ratio < dimmest || ratio > brightest {
		return 0, false
	}
	near := 0
	for b := int(ratio * (1 - even) * 128); b <= min(511, int(ratio*(1+even)*128)); b++ {
		near += hist[b]
	}
	if float64(near) < evenly*float64(all) {
		return 0, false
	}
	is, was := p.roughness(f, picture, reference, ratio)
	return ratio, is/ratio < fresh*was+3
}

// inLight says that a pixel is the background's in a light.
func inLight(is, was byte, ratio float64) bool {
	want := ratio * float64(was)
	return math.Abs(float64(is)-want) <= 2*even*want+4
}

// roughness is the mean difference of neighbours inside a piece, in the picture and in the reference, where the light is
// as told: who stands there has marks of his own.
func (p *pieces) roughness(f piece, picture, reference []byte, ratio float64) (is, was float64) {
	n := 0
	for _, at := range f.pixels {
		i := int(at)
		if i%p.w >= p.w-2 || i+2*p.w >= p.w*p.h || !inLight(picture[i], reference[i], ratio) {
			continue
		}
		for _, j := range [2]int{i + 2, i + 2*p.w} {
			if p.marks[j] != 0 && inLight(picture[j], reference[j], ratio) {
				is += float64(off(picture[i], picture[j]))
				was += float64(off(reference[i], reference[j]))
				n++
			}
		}
	}
	return is / float64(max(1, n)), was / float64(max(1, n))
}

func off(a, b byte) byte { return max(a, b) - min(a, b) }
