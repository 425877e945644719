//go:build cgo

package count

import (
	"math"

	"gonum.org/v1/gonum/stat"
)

const (
	// gridStep is the spacing of the pixels that brightness is measured on.
	gridStep = 7
	// The background's luma is divided into so many steps, of which one tells something with so many pixels in it.
	toneSteps, toneFewest = 16, 12
	// toneSpread is how far apart the steps must lie for them to tell an offset beside a gain, and toneBetter the share of
	// the error that must be left for it to be believed.
	toneSpread, toneBetter = 40, 0.8
	// The gain of a picture that can be brought to the background's; behind more fog than leastClear there is nothing to see.
	leastGain, mostGain, leastClear = 0.08, 4, 0.3
)

// tone is how a picture's luma comes from the background's: times the gain, plus the offset. Daylight and exposure are a gain,
// fog and rain before the lens a smaller one and an offset.
type tone struct{ gain, offset float64 }

// tone is measured on a sparse grid, by medians: people cover a part of it.
func (b *background) tone(src []byte) tone {
	var ratios [512]int
	var steps [toneSteps][256]int
	n := 0
	each := func(f func(is, was byte)) {
		for y := gridStep / 2; y < b.h; y += gridStep {
			for x := gridStep / 2; x < b.w; x += gridStep {
				i := y*b.w + x
				if src[i] < 250 && !b.blinds.hides(i) { // near white nothing tells how bright it is
					f(src[i], b.median[i])
				}
			}
		}
	}
	each(func(is, was byte) {
		steps[int(was)*toneSteps/256][is]++
		if was >= 24 && is >= 8 { // near black a ratio says nothing
			ratios[min(511, int(is)*128/int(was))]++
			n++
		}
	})
	plain := tone{gain: 1}
	if n >= 32 {
		if g := middleOf(ratios[:], n) / 128; g >= leastGain && g <= mostGain {
			plain.gain = g
		}
	}
	best := plain
	if line, ok := throughSteps(&steps); ok {
		misfit := func(t tone) (sum float64) {
			each(func(is, was byte) { sum += min(tolerated, math.Abs(float64(is)-t.gain*float64(was)-t.offset)/t.gain) })
			return sum
		}
		if misfit(line) < toneBetter*misfit(plain) {
			best = line
		}
	}
	if math.Abs(best.gain-1) < 0.004 && math.Abs(best.offset) < 0.5 {
		return tone{gain: 1}
	}
	return best
}

// middleOf is the median of a histogram of n values, taken as evenly spread within a bin.
func middleOf(bins []int, n int) float64 {
	seen := 0
	for bin, k := range bins {
		if seen += k; seen > n/2 {
			return float64(bin) + (float64(n)/2-float64(seen-k))/float64(k)
		}
	}
	return float64(len(bins))
}

// throughSteps is the line through the medians of the steps, each by its weight.
func throughSteps(steps *[toneSteps][256]int) (tone, bool) {
	var background, picture, weights []float64
	for k := range steps {
		count := 0
		for _, c := range steps[k] {
			count += c
		}
		if count < toneFewest {
			continue
		}
		background = append(background, (float64(k)+0.5)*256/toneSteps)
		picture = append(picture, middleOf(steps[k][:], count))
		weights = append(weights, float64(count))
	}
	if n := len(background); n == 0 || background[n-1]-background[0] < toneSpread {
		return tone{}, false
	}
	offset, gain := stat.LinearRegression(background, picture, weights, false)
	return tone{gain, offset}, gain >= leastClear && gain <= mostGain
}

// curve says which value each value of a picture has in the background's light.
type curve [256]byte

func (c *curve) apply(src, dst []byte) {
	for i, v := range src {
		dst[i] = c[v]
	}
}

func (t tone) luma() *curve {
	var c curve
	for v := range c {
		c[v] = byte(max(0, min(255, math.Round((float64(v)-t.offset)/t.gain))))
	}
	return &c
}

// colour brings a plane of colour to the background's: as much weaker as the light is, or as strong as ever where a camera
// keeps its colours.
func (b *background) colour(is, was []byte) *curve {
	best, least := &curve{}, math.Inf(1)
	for _, gain := range [2]float64{max(0.25, b.light.gain), 1} { // less is noise
		var c curve
		for v := range c {
			c[v] = byte(max(0, min(255, math.Round(128+(float64(v)-128)/gain))))
		}
		sum := 0.0
		for i := gridStep / 2; i < len(is); i += 2 * gridStep {
			sum += min(tolerated, float64(off(c[is[i]], was[i])))
		}
		if sum < least {
			best, least = &c, sum
		}
	}
	return best
}
