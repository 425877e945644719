package retention

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrClock says that the system clock cannot be trusted to delete by.
var ErrClock = errors.New("the system clock cannot be trusted to delete by")

// Forward is how far the clock may be ahead of the last log entry before deletion wants a second word.
const Forward = 24 * time.Hour

// Clock reads time for deadlines. It bounds the system clock by a monotonic one and by the time of the
// last log entry, so that a clock set back extends no deadline and a clock that leapt ahead deletes
// nothing: reading stops by the latest clock, deletion needs the clocks to agree.
type Clock struct {
	wall func() time.Time
	mono func() time.Duration
	mu   sync.RWMutex // over base and doubted, which witnesses may put right
	// base is the time at mono() = 0: the system clock, or the last log entry if that is later.
	base time.Time
	// last is the time of the newest log entry when the clock was made; zero if there was none.
	last time.Time
	// doubted is how far the system clock was ahead of last when the clock was made, if that was more
	// than Forward and nobody vouched for it; else zero.
	doubted      time.Duration
	seen, logged given // by Reading and Logging
	others       witnesses
}

// given is the latest time that was given out, and when. What is later goes on from there: a clock that was
// ahead and was put right runs at half its speed until it is right again, so that it neither goes back nor
// stands still, as nothing would ever end then that ends by it.
type given struct {
	mu sync.Mutex
	at time.Time
	by time.Duration // the monotonic clock's
}

// next is t, or later. It is as precise as the rows that times are kept in.
func (g *given) next(t time.Time, mono time.Duration) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	if least := g.at.Add((mono - g.by) / 2); least.After(t) {
		t = least
	}
	g.at, g.by = t, mono
	return t.Truncate(time.Microsecond)
}

// NewClock makes a clock over wall, which must be UTC or carry its zone. last is the time of the newest
// log entry, zero if there is none. trusted is the operator's word that the system clock is right now: it
// covers a leap before the clock was made, not one after.
func NewClock(wall func() time.Time, last time.Time, trusted bool) *Clock {
	start := time.Now()
	return newClock(wall, func() time.Duration { return time.Since(start) }, last, trusted)
}

func newClock(wall func() time.Time, mono func() time.Duration, last time.Time, trusted bool) *Clock {
	now := wall().UTC()
	c := &Clock{wall: wall, mono: mono, base: now, last: last.UTC()}
	if !last.IsZero() {
		if last.After(now) {
			c.base = last.UTC()
		}
		if ahead := now.Sub(last); ahead > Forward && !trusted {
			c.doubted = ahead
		}
	}
	return c
}

// steady is the time that has passed by the monotonic clock.
func (c *Clock) steady() time.Time {
	steady, _ := c.standing()
	return steady
}

// standing is the steady time, and how far the system clock was ahead of the log at start if nobody vouched for it yet.
func (c *Clock) standing() (steady time.Time, doubted time.Duration) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.base.Add(c.mono()), c.doubted
}

// Now is the time to stamp things with: the system clock, never behind the steady one, never going back.
func (c *Clock) Now() time.Time { return c.Reading() }

// Reading is the latest time that any clock tells: from a deadline by it on, nothing is shown.
func (c *Clock) Reading() time.Time {
	now := c.wall().UTC()
	if s := c.steady(); s.After(now) {
		now = s
	}
	return c.seen.next(now, c.mono())
}

// Logging is the time to stamp log entries with. It does not follow a leap that nobody vouched for: the
// log is what the system clock is held against at the next start, and a log that had followed would
// vouch for the leap then.
func (c *Clock) Logging() time.Time {
	now := c.wall().UTC()
	steady, doubted := c.standing()
	switch {
	case doubted > 0:
		now = c.last.Add(c.mono())
	case steady.After(now), now.Sub(steady) > Forward:
		now = steady
	}
	return c.logged.next(now, c.mono())
}

// Receiving is the time to stamp pictures with, and what is said of them: the system clock, or the steady
// one while the system clock is behind that or leapt more than Forward ahead of it. A clock that was doubted
// at start is followed all the same: pictures must not bear the time of the last log entry, and Doubted says
// to flag them. It goes back when a leap is put right, and never stands still.
func (c *Clock) Receiving() time.Time {
	now, steady := c.wall().UTC(), c.steady()
	if steady.After(now) || now.Sub(steady) > Forward {
		return steady
	}
	return now
}

// Doubted reports whether the system clock stood more than Forward after the last log entry when the clock
// was made, and nobody vouched for it.
func (c *Clock) Doubted() bool {
	_, doubted := c.standing()
	return doubted > 0
}

// Deleting is the time to delete by. With witnesses whose word is fresh two clocks must have reached it; without, it is the
// system clock's: a store that is away stops no deletion. It fails with ErrClock while no two clocks agree, and while the time
// is more than Forward ahead of the last log entry at start, or of the steady clock since, and nobody vouched for it.
func (c *Clock) Deleting() (time.Time, error) {
	now := c.wall().UTC()
	steady, doubted := c.standing()
	limit := steady.Add(Forward)
	if doubted > 0 {
		limit = c.last.Add(c.mono()).Add(Forward)
	}
	own := now
	if steady.After(own) {
		own = steady
	}
	if len(c.told()) > 0 {
		return c.agreed(own, limit)
	}
	if doubted > 0 {
		return time.Time{}, fmt.Errorf("%w: it stood %s after the last log entry at start; check it, then start with --trust-clock",
			ErrClock, doubted.Round(time.Second))
	}
	if leap := now.Sub(steady); leap > Forward {
		return time.Time{}, fmt.Errorf("%w: it leapt ahead by %s; check it, then restart with --trust-clock", ErrClock, leap.Round(time.Second))
	}
	return own, nil
}

// Proving is the time to date proofs by: that of deletion, else that of the log, which follows no leap.
func (c *Clock) Proving() time.Time {
	if now, err := c.Deleting(); err == nil {
		return now.Truncate(time.Microsecond)
	}
	return c.Logging()
}

// Behind is how far the system clock is behind the steady one: more than a little means that it was set back.
func (c *Clock) Behind() time.Duration { return max(0, c.steady().Sub(c.wall().UTC())) }
