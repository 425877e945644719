package scene

import "testing"

// Who stands comes after the beginning, stays in one place for half of the loop, and goes before its end.
func TestStanding(t *testing.T) {
	for seed := range uint64(4) {
		c := long(seed, Weather{})
		c.Standing = 6
		s := must(t, c)
		base := must(t, long(seed, Weather{}))
		first := len(s.people) - 6
		if first != len(base.people) {
			t.Fatalf("seed %d: %d people besides those who stand, want %d", seed, first, len(base.people))
		}
		still := map[int]int{}
		for n := range 2400 {
			for _, b := range s.Truth(n).Boxes {
				if b.Person < first {
					continue
				}
				if n < 60 || n > 2340 {
					t.Errorf("seed %d: person %d is there in frame %d", seed, b.Person, n)
				}
				if !b.Moving {
					still[b.Person]++
				}
			}
		}
		if len(still) != 6 {
			t.Errorf("seed %d: %d people stand, want 6", seed, len(still))
		}
		for who, seconds := range still {
			if seconds < 1198 || seconds > 1201 {
				t.Errorf("seed %d: person %d stands for %d seconds, want 1200", seed, who, seconds)
			}
		}
	}
}

// A crowd of sixty is sixty people, many of whom hide others.
func TestCrowd(t *testing.T) {
	for seed := range uint64(3) {
		c := long(seed, Weather{})
		c.Crowd = 60
		s := must(t, c)
		people, hidden, moving := 0.0, 0.0, 0.0
		for n := 0; n < 2400; n += 20 {
			boxes := s.Truth(n).Boxes
			people += float64(len(boxes))
			for i, a := range boxes {
				if a.Moving {
					moving++
				}
				for j, b := range boxes {
					if i != j && b.FootY > a.FootY && b.X < a.X+a.W && a.X < b.X+b.W && b.Y < a.Y+a.H/2 {
						hidden++
						break
					}
				}
			}
		}
		if mean := people / 120; mean < 54 || mean > 66 {
			t.Errorf("seed %d: %.1f people at a time, want 60", seed, mean)
		}
		if hidden < 0.2*people {
			t.Errorf("seed %d: %.0f of %.0f stand behind somebody", seed, hidden, people)
		}
		if moving < 0.15*people || moving > 0.7*people {
			t.Errorf("seed %d: %.0f of %.0f move", seed, moving, people)
		}
	}
}

// In crowds, too, nobody comes out of nothing.
func TestCrowdComesOverTheEdge(t *testing.T) {
	s := must(t, Config{Seed: 5, Width: 128, Height: 72, Frames: 1800, Crowd: 20, Standing: 4})
	before := map[int]bool{}
	for _, b := range s.Truth(-1).Boxes {
		before[b.Person] = true
	}
	for n := range 1800 {
		now := map[int]bool{}
		for _, b := range s.Truth(n).Boxes {
			now[b.Person] = true
			if !before[b.Person] && !atEdge(b) {
				t.Fatalf("frame %d: person %d appears at %.2f, %.2f", n, b.Person, b.FootX, b.FootY)
			}
		}
		before = now
	}
}
