//go:build cgo

package count

import "math"

const (
	// window is how many pictures the background's median is taken over: odd, and as few as a person
	// who stands a third of the time needs to stay out of it.
	window = 29
	// maxStride stretches the window to window·maxStride keyframes: an hour at one every 2 s.
	maxStride = 64
	// rebuildEvery is how many new pictures a rebuild waits for, and rebuildSoon while there are few.
	rebuildEvery, rebuildSoon = 8, 3
	// A difference is more than noise beyond noiseDiffs noise scales and these levels. Colour is
	// scaled down fourfold and so less noisy, and a coat as dark as the paving differs in nothing else.
	minLuma    = 13
	minChroma  = 6
	noiseDiffs = 4.0
	// patience is for how many pictures somebody who stands still is not taken for background: 25 minutes at one every
	// 2 s. After it a cart that was left there becomes part of the square.
	patience = 750
	// unsettled is the limit above which a pixel has shown too many things to have a background, and unsure the share of
	// the picture above which that is so of the whole: people come and none leaves, or the camera shakes.
	unsettled = 40
	unsure    = 0.04
	// maxNoise is the difference that no camera's noise reaches.
	maxNoise = 64
	// gridStep is the spacing of the pixels that brightness is measured on.
	gridStep = 7
)

// background is the per-pixel median of the densest half of a window of pictures that grows with the camera's run: of every
// keyframe first, then, each time it is full, of every other one it holds, up to an hour. Whoever stands
// still for less than half of it stays out.
type background struct {
	w, h   int
	frames [][]byte
	stride int // one picture of stride goes in
	skip   int
	stale  int    // pictures added since the last rebuild
	median []byte // I420, as the pictures
	limit  []byte // difference above which a value is foreground
	ready  bool
	since  []uint16 // for how many pictures each pixel has been somebody's
	sure   bool     // what was seen agrees on a background
	fresh  bool     // rebuilt since somebody asked
}

func newBackground(w, h int) *background {
	return &background{w: w, h: h, stride: 1, median: make([]byte, w*h*3/2), limit: make([]byte, w*h*3/2), since: make([]uint16, w*h)}
}

// forget starts anew, after the lights or the camera have changed.
func (b *background) forget() {
	b.frames, b.stride, b.skip, b.stale, b.ready = b.frames[:0], 1, 0, 0, false
	clear(b.since)
}

// level copies src to dst with its brightness brought to the background's by the median ratio on a
// sparse grid: daylight and the camera's exposure change all of a picture, people a part.
func (b *background) level(src, dst []byte) {
	copy(dst, src)
	if !b.ready {
		return
	}
	var hist [512]int
	n := 0
	for y := gridStep / 2; y < b.h; y += gridStep {
		for x := gridStep / 2; x < b.w; x += gridStep {
			i := y*b.w + x
			// Near black and near white a ratio says nothing.
			if m := b.median[i]; m >= 24 && src[i] >= 8 && src[i] < 250 {
				hist[min(511, int(src[i])*128/int(m))]++
				n++
			}
		}
	}
	if n < 32 {
		return
	}
	seen, bin := 0, 0
	for bin = range hist {
		if seen += hist[bin]; seen > n/2 {
			break
		}
	}
	// Within the bin the median is taken as evenly spread.
	before := seen - hist[bin]
	gain := (float64(bin) + (float64(n)/2-float64(before))/float64(max(1, hist[bin]))) / 128
	if gain < 0.25 || gain > 4 || math.Abs(gain-1) < 0.004 {
		return
	}
	var luma, chroma [256]byte
	for v := range luma {
		luma[v] = byte(min(255, math.Round(float64(v)/gain)))
		chroma[v] = byte(max(0, min(255, math.Round(128+(float64(v)-128)/gain))))
	}
	n = b.w * b.h
	for i, v := range src[:n] {
		dst[i] = luma[v]
	}
	for i, v := range src[n:] {
		dst[n+i] = chroma[v]
	}
}

// add takes a levelled picture into the window, and rebuilds the median when enough are new. Where somebody is (who) it
// takes what it knows already, for as long as patience: people stand on a square for many minutes. Nil is nobody.
func (b *background) add(picture, who []byte) {
	if who != nil {
		b.wait(who)
	}
	if b.skip++; b.skip < b.stride {
		return
	}
	b.skip = 0
	if len(b.frames) == window {
		b.thin()
	}
	// The memory of a thinned-out picture is used again.
	if n := len(b.frames); n < cap(b.frames) && b.frames[:n+1][n] != nil {
		b.frames = b.frames[:n+1]
	} else {
		b.frames = append(b.frames, make([]byte, b.w*b.h*3/2))
	}
	frame := b.frames[len(b.frames)-1]
	copy(frame, picture)
	if who != nil {
		b.spare(frame, who)
	}
	if b.stale++; b.ready && (b.stale >= rebuildEvery || b.stale >= rebuildSoon && len(b.frames) < window/2) {
		b.rebuild()
	}
}

// wait counts for how long each pixel has been somebody's. A flicker is not taken for somebody who stays.
func (b *background) wait(who []byte) {
	for i, v := range who {
		switch {
		case v == 0:
			b.since[i] -= min(b.since[i], 3)
		case b.since[i] <= patience:
			b.since[i]++
		}
	}
}

// spare puts the background into a frame where somebody is.
func (b *background) spare(frame, who []byte) {
	half, n := b.w/2, b.w*b.h
	for y := range b.h {
		for x := range b.w {
			i := y*b.w + x
			if who[i] == 0 || b.since[i] > patience {
				continue
			}
			u := n + y/2*half + x/2
			frame[i], frame[u], frame[u+n/4] = b.median[i], b.median[u], b.median[u+n/4]
		}
	}
}

// thin makes room: while the window may still grow in time every other picture goes and the stride
// doubles; at its full length the oldest goes.
func (b *background) thin() {
	if b.stride >= maxStride {
		oldest := b.frames[0]
		copy(b.frames, b.frames[1:])
		b.frames[len(b.frames)-1] = oldest
		b.frames = b.frames[:len(b.frames)-1]
		return
	}
	kept := 0
	for i := 0; i < len(b.frames); i += 2 {
		b.frames[kept], b.frames[i] = b.frames[i], b.frames[kept]
		kept++
	}
	b.frames = b.frames[:kept]
	b.stride *= 2
}

// rebuild takes median and noise from the window.
func (b *background) rebuild() {
	n := len(b.frames)
	if n == 0 {
		return
	}
	var v [window]byte
	for i := range b.median {
		for k, f := range b.frames {
			// Insertion: the values of a pixel are nearly equal, so it is nearly linear.
			x, j := f[i], k
			for ; j > 0 && v[j-1] > x; j-- {
				v[j] = v[j-1]
			}
			v[j] = x
		}
		// The densest half of the values is the background's, whoever stood here for less than half of
		// the time; plain quartiles would take him for noise.
		half, at := n/2+1, 0
		for k := 1; k+half <= n; k++ {
			if v[k+half-1]-v[k] < v[at+half-1]-v[at] {
				at = k
			}
		}
		b.median[i] = v[at+half/2]
		// Half of a normal distribution lies within 1.35 standard deviations.
		noise := float64(v[at+half-1]-v[at]) / 1.35
		floor := float64(minLuma)
		if i >= b.w*b.h {
			floor = minChroma
		}
		b.limit[i] = byte(min(60, max(floor, noiseDiffs*noise)))
	}
	wide := 0
	for _, l := range b.limit[:b.w*b.h] {
		if l > unsettled {
			wide++
		}
	}
	b.sure = float64(wide) < unsure*float64(b.w*b.h)
	b.stale, b.ready, b.fresh = 0, true, true
}

// differ marks the foreground with 255, one byte per pixel, and gives its share of the picture.
func (b *background) differ(picture, mask []byte) float64 {
	half, n := b.w/2, b.w*b.h
	luma, u1, v1 := b.noise(picture, 0, n), b.noise(picture, n, n+n/4), b.noise(picture, n+n/4, n*3/2)
	count := 0
	for y := range b.h {
		u := n + y/2*half // of this row's colours; those of the other plane lie n/4 behind
		for x := range b.w {
			i, c := y*b.w+x, u+x/2
			if b.far(picture, i, luma) || b.far(picture, c, u1) || b.far(picture, c+n/4, v1) {
				mask[i] = 255
				count++
			} else {
				mask[i] = 0
			}
		}
	}
	return float64(count) / float64(n)
}

// noise is the difference below which this picture's values from one index to another tell nothing: at dusk a camera
// turns up its gain, and is noisier than when its background was learnt.
func (b *background) noise(picture []byte, from, to int) int {
	var hist [256]int
	n := 0
	for i := from; i < to; i += 11 {
		d := int(picture[i]) - int(b.median[i])
		hist[max(d, -d)]++
		n++
	}
	seen, middle := 0, 0
	for middle = range hist {
		if seen += hist[middle]; seen > n/2 {
			break
		}
	}
	// The median of what a normal distribution is off by is 0.67 standard deviations.
	noise := int(noiseDiffs * float64(middle) / 0.67)
	if noise > maxNoise {
		return 0 // it is another picture
	}
	return noise
}

func (b *background) far(picture []byte, i, noise int) bool {
	d := int(picture[i]) - int(b.median[i])
	return max(d, -d) > max(int(b.limit[i]), noise)
}
