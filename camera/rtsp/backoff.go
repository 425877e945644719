package rtsp

import (
	"math/rand/v2"
	"time"
)

// backoff doubles the wait from low to high. Every wait is drawn from the upper half of its range, so
// that a hundred cameras behind one switch do not come back in the same millisecond.
type backoff struct {
	low, high time.Duration
	ceiling   time.Duration // of the next wait; zero before the first
}

func (b *backoff) reset() { b.ceiling = 0 }

func (b *backoff) next() time.Duration {
	if b.ceiling == 0 {
		b.ceiling = b.low
	}
	b.ceiling = min(2*b.ceiling, b.high)
	return b.draw(b.ceiling)
}

// longest is a wait at the upper bound, whatever came before.
func (b *backoff) longest() time.Duration { return b.draw(b.high) }

func (b *backoff) draw(ceiling time.Duration) time.Duration {
	half := max(ceiling/2, b.low)
	return half + rand.N(ceiling-half+1)
}
