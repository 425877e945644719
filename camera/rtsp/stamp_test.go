package rtsp

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var dawn = time.Date(2026, 6, 1, 3, 30, 0, 0, time.UTC)

// feed stamps n pictures that a camera takes every step by a clock that runs ppm too fast, with a delay
// drawn for each, and gives the error of the last stamp against the true time of sending.
func feed(t require, s *stamper, n int, step time.Duration, ppm int64, delay func(i int) time.Duration) time.Duration {
	var last time.Time
	var off time.Duration
	var arrival time.Duration
	for i := range n {
		sent := time.Duration(i) * step
		media := sent + time.Duration(int64(sent)/1_000_000*ppm)
		// TCP keeps the order: nothing overtakes.
		arrival = max(arrival, sent+delay(i))
		at, ok := s.stamp(media, arrival)
		if !ok {
			t.Fatalf("picture %d: the clock is said to have jumped", i)
		}
		if at.Before(last) {
			t.Fatalf("picture %d: stamp steps back by %v", i, last.Sub(at))
		}
		if early := dawn.Add(arrival); at.After(early.Add(10 * time.Millisecond)) {
			t.Fatalf("picture %d: stamp is %v after it arrived", i, at.Sub(early))
		}
		last = at
		off = at.Sub(dawn.Add(sent))
	}
	return off
}

type require interface{ Fatalf(string, ...any) }

func TestJitterIsTakenOut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := &stamper{wall: dawn}
	off := feed(t, s, 3000, 100*time.Millisecond, 0, func(int) time.Duration {
		return 5*time.Millisecond + time.Duration(r.ExpFloat64()*float64(40*time.Millisecond))
	})
	if off < 5*time.Millisecond || off > 12*time.Millisecond {
		t.Errorf("stamps are %v after sending, want close to the least delay of 5 ms", off)
	}
}

func TestDriftOfTheCameraIsFollowed(t *testing.T) {
	for _, ppm := range []int64{-300, -50, 50, 300} {
		s := &stamper{wall: dawn}
		// Ten hours: 300 ppm are 10.8 s by then.
		off := feed(t, s, 36000, time.Second, ppm, func(int) time.Duration { return time.Millisecond })
		if off < -5*time.Millisecond || off > 20*time.Millisecond {
			t.Errorf("%d ppm: stamps are %v off after ten hours", ppm, off)
		}
	}
}

func TestBurstAtTheBeginningIsNotTheFuture(t *testing.T) {
	s := &stamper{wall: dawn}
	// Two seconds of pictures arrive at once, then live ones.
	for i := range 100 {
		media := time.Duration(i) * 100 * time.Millisecond
		arrival := max(0, media-2*time.Second)
		at, ok := s.stamp(media, arrival)
		if !ok {
			t.Fatal("jump")
		}
		if ahead := at.Sub(dawn.Add(arrival)); ahead > 0 {
			t.Fatalf("picture %d is stamped %v before it arrived", i, ahead)
		}
	}
}

func TestSlewIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &stamper{wall: dawn}
		step := time.Duration(rapid.IntRange(20, 500).Draw(t, "step_ms")) * time.Millisecond
		ppm := int64(rapid.IntRange(-400, 400).Draw(t, "ppm"))
		seed := rapid.Uint64().Draw(t, "seed")
		r := rand.New(rand.NewPCG(seed, 0))
		var last time.Time
		var lastMedia, arrival time.Duration
		for i := range 2000 {
			sent := time.Duration(i) * step
			media := sent + time.Duration(int64(sent)/1_000_000*ppm)
			arrival = max(arrival, sent+time.Duration(r.Int64N(int64(300*time.Millisecond))))
			at, ok := s.stamp(media, arrival)
			if !ok {
				t.Fatalf("jump at %d", i)
			}
			if sent > acquire+time.Second {
				advanced, elapsed := at.Sub(last), media-lastMedia
				if dev := (advanced - elapsed).Abs(); dev > elapsed*slewNum/slewDen {
					t.Fatalf("picture %d: stamp advanced %v for %v of media time", i, advanced, elapsed)
				}
			}
			last, lastMedia = at, media
		}
	})
}

func TestJumpsEndTheSession(t *testing.T) {
	for name, by := range map[string]time.Duration{"forward": 5 * time.Second, "back": -5 * time.Second} {
		s := &stamper{wall: dawn}
		var media time.Duration
		caught := false
		for i := range 1000 {
			arrival := time.Duration(i) * 100 * time.Millisecond
			if i == 400 {
				if by < 0 {
					media += 100 * time.Millisecond // the clock stands while time goes on
				} else {
					media += by
				}
			} else if i < 400 || by > 0 || i > 450 {
				media += 100 * time.Millisecond
			}
			if _, ok := s.stamp(media, arrival); !ok {
				if i < 400 {
					t.Fatalf("%s: jump seen before it happened", name)
				}
				caught = true
				break
			}
		}
		if !caught {
			t.Errorf("%s: a jump of the media clock by %v was not seen", name, by)
		}
	}
}

// One late picture, or a network that holds everything back for a few seconds, is not a jump.
func TestLatenessIsNotAJump(t *testing.T) {
	s := &stamper{wall: dawn}
	off := feed(t, s, 2000, 100*time.Millisecond, 0, func(i int) time.Duration {
		if i >= 500 && i < 540 {
			return time.Duration(540-i) * 100 * time.Millisecond // held for 4 s, then all at once
		}
		return time.Millisecond
	})
	if off > 10*time.Millisecond {
		t.Errorf("stamps are %v late", off)
	}
}

func TestBackoff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := time.Duration(rapid.IntRange(1, 1000).Draw(t, "low")) * time.Millisecond
		high := low + time.Duration(rapid.IntRange(0, 60000).Draw(t, "more"))*time.Millisecond
		b := backoff{low: low, high: high}
		for range 20 {
			if d := b.next(); d < low || d > high {
				t.Fatalf("wait of %v is outside %v to %v", d, low, high)
			}
		}
		if d := b.next(); d < high/2 {
			t.Fatalf("after twenty failures the wait is %v, want at least %v", d, high/2)
		}
		b.reset()
		if d := b.next(); d > 2*low {
			t.Fatalf("after a healthy session the wait is %v, want at most %v", d, 2*low)
		}
	})
}
