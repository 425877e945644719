package identity

import (
	"sync"
	"time"
)

// throttle slows down guessing: after some free failures each further one doubles the time that the key
// must wait, up to a bound, so that nobody can lock somebody else out for long. It lives in memory: a
// restart forgets it, and whoever can restart the service has no need to guess.
type throttle struct {
	mu   sync.Mutex
	seen map[string]*tries
}

type tries struct {
	failures int
	last     time.Time
	until    time.Time
}

// limit is how patient the throttle is with one kind of key.
type limit struct {
	free    int
	longest time.Duration
}

const (
	firstWait = time.Second
	forgetIn  = 15 * time.Minute // without a failure
	maxKeys   = 10_000
)

// wait is how long the key must still wait; zero if it may try.
func (t *throttle) wait(key string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.seen[key]; k != nil {
		return max(0, k.until.Sub(now))
	}
	return 0
}

// failed counts a failure.
func (t *throttle) failed(key string, l limit, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.seen[key]
	if k == nil {
		t.makeRoom(now)
		k = &tries{}
		t.seen[key] = k
	}
	if now.Sub(k.last) > forgetIn {
		k.failures = 0
	}
	k.failures++
	k.last = now
	if over := k.failures - l.free; over > 0 {
		k.until = now.Add(min(firstWait<<min(over-1, 20), l.longest))
	}
}

// succeeded forgets the failures of a key.
func (t *throttle) succeeded(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.seen, key)
}

// makeRoom keeps the table bounded: first what is forgotten anyway goes, else the one that failed
// longest ago.
func (t *throttle) makeRoom(now time.Time) {
	if len(t.seen) < maxKeys {
		return
	}
	var oldest string
	for key, k := range t.seen {
		if now.Sub(k.last) > forgetIn {
			delete(t.seen, key)
		} else if oldest == "" || k.last.Before(t.seen[oldest].last) {
			oldest = key
		}
	}
	if len(t.seen) >= maxKeys {
		delete(t.seen, oldest)
	}
}
