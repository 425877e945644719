package vision

import (
	"slices"
	"sync"
	"time"

	"klarsyn/camera"
)

const (
	// quietKept and busyKept are how many GOPs the gate remembers, a size each.
	quietKept, busyKept = 256, 128
	// quietEnough and busyEnough are how many it must have seen before it says anything.
	quietEnough, busyEnough = 30, 10
	// quietShare is the share of still GOPs that are small enough to be passed over, hidden the share of those with
	// people on the move that may be as small, as some have just stopped: with more of them the encoder hides motion.
	quietShare, hidden = 0.8, 0.2
	// lookAgain is after how long a keyframe is looked at, however quiet it is: light changes, and backgrounds follow.
	lookAgain = 12 * time.Second
)

// GateState is what a camera's gate by packet size does.
type GateState string

// The states of a gate.
const (
	GateOff      GateState = "off"      // not wanted
	GateLearning GateState = "learning" // too few pictures with and without people on the move so far
	GateOpen     GateState = "open"     // it passes keyframes over when nothing moves
	GateHidden   GateState = "hidden"   // sizes do not tell motion here, as with constant bit rate: all keyframes are looked at
)

// gate tells from the sizes of access units alone, without decoding any, whether anything has moved since the last
// keyframe. What sizes mean it learns from the counts: how large the pictures between two keyframes were when nobody moved,
// and when somebody did.
type gate struct {
	bytes, pictures int // since the last keyframe; owned by who offers

	mu          sync.Mutex
	quiet, busy ring
	limit       float64
	state       GateState
}

func newGate() *gate {
	return &gate{quiet: ring{size: quietKept}, busy: ring{size: busyKept}, state: GateLearning}
}

// see takes the next access unit. At a keyframe it gives the mean size of the pictures since the one before: 0 if there were
// none, or filler makes all of them as large.
func (g *gate) see(codec camera.Codec, au camera.AccessUnit) (gop float64) {
	if au.Keyframe {
		if g.pictures > 0 {
			gop = float64(g.bytes) / float64(g.pictures)
		}
		g.bytes, g.pictures = 0, 0
		return gop
	}
	for _, n := range au.NALUs {
		if !filler(codec, n) {
			g.bytes += len(n)
		}
	}
	g.pictures++
	return 0
}

// filler is what an encoder sends to keep its rate.
func filler(codec camera.Codec, nalu []byte) bool {
	switch {
	case len(nalu) == 0:
		return false
	case codec == camera.H265:
		return nalu[0]>>1&0x3f == 38
	}
	return nalu[0]&0x1f == 12
}

// still says that a GOP of this size is one in which nobody moved.
func (g *gate) still(gop float64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state == GateOpen && gop > 0 && gop <= g.limit
}

// learn takes the size of a GOP whose two keyframes were counted, and whether anybody moved.
func (g *gate) learn(gop float64, moved bool) {
	if gop <= 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if moved {
		g.busy.add(gop)
	} else {
		g.quiet.add(gop)
	}
	if len(g.quiet.values) < quietEnough || len(g.busy.values) < busyEnough {
		g.state = GateLearning
		return
	}
	sorted := slices.Clone(g.quiet.values)
	slices.Sort(sorted)
	g.limit = sorted[int(quietShare*float64(len(sorted)-1))]
	small := 0
	for _, b := range g.busy.values {
		if b <= g.limit {
			small++
		}
	}
	g.state = GateOpen
	if float64(small) > hidden*float64(len(g.busy.values)) {
		g.state = GateHidden
	}
}

func (g *gate) told() GateState {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

// ring holds the newest values.
type ring struct {
	size, next int
	values     []float64
}

func (r *ring) add(v float64) {
	if len(r.values) < r.size {
		r.values = append(r.values, v)
		return
	}
	r.values[r.next] = v
	r.next = (r.next + 1) % r.size
}
