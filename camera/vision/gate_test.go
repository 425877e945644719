package vision

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"klarsyn/camera"
)

// day is a camera's GOPs: their sizes by whether anybody moves.
type day struct {
	quiet, busy func(r *rand.Rand, n int) float64
}

// teach shows a gate n GOPs of which every fifth is busy, and counts how it judges the last hundred.
func teach(d day, n int) (g *gate, passed, missed int) {
	g = newGate()
	r := rand.New(rand.NewPCG(1, 2))
	for k := range n {
		busy := k%5 == 0
		size := d.quiet(r, k)
		if busy {
			size = d.busy(r, k)
		}
		if k >= n-100 && g.still(size) {
			if passed++; busy {
				missed++
			}
		}
		g.learn(size, busy)
	}
	return g, passed, missed
}

func TestGate(t *testing.T) {
	about := func(mean, spread float64) func(*rand.Rand, int) float64 {
		return func(r *rand.Rand, _ int) float64 { return mean * (1 + spread*(2*r.Float64()-1)) }
	}
	for name, tt := range map[string]struct {
		day    day
		n      int
		state  GateState
		passes bool
	}{
		"motion shows":            {day{about(400, 0.1), about(3000, 0.8)}, 400, GateOpen, true},
		"hardly seen anything":    {day{about(400, 0.1), about(3000, 0.8)}, 30, GateLearning, false},
		"constant bit rate":       {day{about(2000, 0.02), about(2000, 0.02)}, 400, GateHidden, false},
		"nearly constant":         {day{about(2000, 0.1), about(2200, 0.1)}, 400, GateHidden, false},
		"leaves in the wind":      {day{about(3000, 0.9), about(3500, 0.8)}, 400, GateHidden, false},
		"one picture is keyframe": {day{about(0, 0), about(0, 0)}, 400, GateLearning, false},
		"it grows dark and noisy": {day{
			func(r *rand.Rand, n int) float64 { return 400 + float64(n) },
			func(r *rand.Rand, n int) float64 { return 3000 + float64(n) + 1000*r.Float64() },
		}, 800, GateOpen, false},
	} {
		t.Run(name, func(t *testing.T) {
			g, passed, missed := teach(tt.day, tt.n)
			if g.told() != tt.state || (passed > 50) != tt.passes || missed > 2 {
				t.Errorf("it is %s, passes %d of 100 GOPs over, %d of them with somebody on the move", g.told(), passed, missed)
			}
		})
	}
}

// Sizes are those of the pictures between two keyframes, without filler.
func TestGateSees(t *testing.T) {
	g := newGate()
	picture := func(key bool, nalus ...[]byte) float64 {
		return g.see(camera.H264, camera.AccessUnit{Keyframe: key, NALUs: nalus})
	}
	picture(true, make([]byte, 9000))
	picture(false, []byte{0x41, 1, 2, 3}, make([]byte, 96))
	picture(false, []byte{0x41, 1}, append([]byte{0x0c}, make([]byte, 5000)...))
	if got := picture(true, make([]byte, 9000)); got != 51 {
		t.Errorf("mean of 100 and 2 bytes: %g", got)
	}
	if got := picture(true, make([]byte, 9000)); got != 0 {
		t.Errorf("keyframes alone tell %g", got)
	}
	if !filler(camera.H265, []byte{38 << 1, 1}) || filler(camera.H265, []byte{0x0c}) || filler(camera.H264, nil) {
		t.Error("filler of H.265")
	}
}

// Whatever is learnt, a GOP larger than all in which nobody moved is looked at, and the gate holds a bounded memory.
func TestGateNeverPassesOverMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := newGate()
		most := 0.0
		for range rapid.IntRange(0, 600).Draw(t, "n") {
			size := rapid.Float64Range(0, 1e6).Draw(t, "size")
			moved := rapid.Bool().Draw(t, "moved")
			if !moved {
				most = max(most, size)
			}
			g.learn(size, moved)
		}
		if g.still(most*1.01 + 1) {
			t.Errorf("passes over %g", most*1.01+1)
		}
		if cap(g.quiet.values) > 2*quietKept || cap(g.busy.values) > 2*busyKept {
			t.Errorf("%d, %d", cap(g.quiet.values), cap(g.busy.values))
		}
	})
}
