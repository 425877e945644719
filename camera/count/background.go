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
	// maxNoise is the noise in which people are lost, and duskNoise that in which dark coats are when there is less than dusk of
	// the background's light.
	maxNoise, duskNoise, dusk = 40, 20, 0.6
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
	light  tone     // of the picture at hand
	sure   bool     // what was seen agrees on a background
	fresh  bool     // rebuilt since somebody asked
	blinds *blinds
}

func newBackground(w, h int) *background {
	return &background{w: w, h: h, stride: 1, median: make([]byte, w*h*3/2), limit: make([]byte, w*h*3/2), since: make([]uint16, w*h)}
}

// hide makes black for good, and nothing ever foreground, where blinds hang: no other limit is zero.
func (b *background) hide() {
	b.blinds.draw(b.median)
	for i := range b.limit {
		if b.blinds.hides(i) {
			b.limit[i] = 0
		}
	}
}

// forget starts anew, after the lights or the camera have changed.
func (b *background) forget() {
	b.frames, b.stride, b.skip, b.stale, b.ready = b.frames[:0], 1, 0, 0, false
	clear(b.since)
}

// level copies src to dst with its brightness brought to the background's: daylight and the camera's exposure change all of
// a picture, people a part.
func (b *background) level(src, dst []byte) {
	copy(dst, src)
	b.light = tone{gain: 1}
	if !b.ready {
		return
	}
	b.light = b.tone(src)
	if b.light == (tone{gain: 1}) {
		return
	}
	n := b.w * b.h
	b.light.luma().apply(src[:n], dst[:n])
	b.colour(src[n:n+n/4], b.median[n:n+n/4]).apply(src[n:n+n/4], dst[n:n+n/4])
	b.colour(src[n+n/4:], b.median[n+n/4:]).apply(src[n+n/4:], dst[n+n/4:])
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
		if b.blinds.hides(i) {
			continue
		}
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
	b.sure = float64(wide) < unsure*b.blinds.seen(b.w*b.h)
	b.stale, b.ready, b.fresh = 0, true, true
}

// differ marks the foreground with 255, one byte per pixel, and gives its share of the picture, and the difference in luma
// below which this picture tells nothing.
func (b *background) differ(picture, mask []byte) (share float64, noise int) {
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
	return float64(count) / b.blinds.seen(n), luma
}

// noise is the difference below which this picture's values from one index to another tell nothing: at dusk a camera
// turns up its gain, and is noisier than when its background was learnt.
func (b *background) noise(picture []byte, from, to int) int {
	var hist [256]int
	n := 0
	// Of neighbours, so that a shadow over half of the picture is none.
	for i := from; i < to-2; i += 11 {
		if b.blinds.hides(i) || b.blinds.hides(i+2) {
			continue
		}
		d := int(picture[i]) - int(b.median[i]) - int(picture[i+2]) + int(b.median[i+2])
		hist[min(255, max(d, -d))]++
		n++
	}
	if n == 0 { // all is hidden
		return 0
	}
	seen, middle := 0, 0
	for middle = range hist {
		if seen += hist[middle]; seen > n/2 {
			break
		}
	}
	// The median of what a normal distribution is off by is 0.67 standard deviations.
	return int(noiseDiffs * float64(middle) / 0.67 / math.Sqrt2)
}

func (b *background) far(picture []byte, i, noise int) bool {
	d := int(picture[i]) - int(b.median[i])
	return max(d, -d) > max(int(b.limit[i]), noise)
}
