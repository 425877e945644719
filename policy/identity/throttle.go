package identity

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// throttle slows down guessing: after some free failures each further one doubles the time that the key
// must wait, up to a bound, so that nobody can lock somebody else out for long. It lives in memory: a
// restart forgets it, and whoever can restart the service has no need to guess.
type throttle struct {
	mu   sync.Mutex
	seen map[string]*tries
	// homes are the pairs of account and network that lately logged in, and when: there the failures of
	// strangers elsewhere make nobody wait.
	homes map[string]time.Time
}

type tries struct {
	failures int
	last     time.Time
	until    time.Time
}

// limit is how patient the throttle is with one key.
type limit struct {
	key     string
	free    int
	longest time.Duration
}

const (
	firstWait = time.Second
	forgetIn  = 15 * time.Minute // without a failure
	homeFor   = 30 * 24 * time.Hour
	maxKeys   = 10_000
)

func newThrottle() *throttle {
	return &throttle{seen: map[string]*tries{}, homes: map[string]time.Time{}}
}

// try is one login on its way, which counts as a failure until it is known to be none: so many tries at
// once are not more than one after the other.
type try struct {
	throttle *throttle
	pair     string
	counted  []counted
}

// counted is what a try did to a key.
type counted struct {
	key         string
	before, set time.Time
}

// try counts a try to log in as name from a network, or says how long it must wait.
func (t *throttle) try(name, from string, now time.Time) (*try, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	pair, address, account := patience(name, from)
	limits := []limit{pair, address, account}
	if last, ok := t.homes[pair.key]; ok && now.Sub(last) < homeFor {
		limits = limits[:2]
	}
	var wait time.Duration
	for _, l := range limits {
		if k := t.seen[l.key]; k != nil {
			wait = max(wait, k.until.Sub(now))
		}
	}
	if wait > 0 {
		return nil, wait
	}
	this := &try{throttle: t, pair: pair.key}
	for _, l := range limits {
		this.counted = append(this.counted, t.count(l, now))
	}
	return this, 0
}

// count adds a failure to a key. The caller holds the lock.
func (t *throttle) count(l limit, now time.Time) counted {
	k := t.seen[l.key]
	if k == nil {
		t.makeRoom(now)
		k = &tries{}
		t.seen[l.key] = k
	}
	if now.Sub(k.last) > forgetIn {
		k.failures = 0
	}
	c := counted{key: l.key, before: k.until}
	k.failures++
	k.last = now
	if over := k.failures - l.free; over > 0 {
		k.until = now.Add(min(firstWait<<min(over-1, 20), l.longest))
	}
	c.set = k.until
	return c
}

// undo takes the try back: no password was looked at.
func (y *try) undo() {
	y.throttle.mu.Lock()
	defer y.throttle.mu.Unlock()
	y.takeBack()
}

func (y *try) takeBack() {
	for _, c := range y.counted {
		k := y.throttle.seen[c.key]
		if k == nil {
			continue // there was no room for it any more
		}
		k.failures = max(0, k.failures-1)
		if k.until.Equal(c.set) {
			k.until = c.before
		}
	}
}

// succeeded takes the try back and forgets the failures of the pair, and half of those of its address and
// account: many people share an address, and those who get in make up for those who mistype.
func (y *try) succeeded(now time.Time) {
	t := y.throttle
	t.mu.Lock()
	defer t.mu.Unlock()
	y.takeBack()
	for _, c := range y.counted {
		if k := t.seen[c.key]; k != nil {
			k.failures /= 2
		}
	}
	delete(t.seen, y.pair)
	dropOldest(t.homes, func(last time.Time) time.Time { return last })
	t.homes[y.pair] = now
}

// makeRoom keeps the table bounded: what is forgotten anyway goes, and what failed longest ago.
func (t *throttle) makeRoom(now time.Time) {
	if len(t.seen) < maxKeys {
		return
	}
	maps.DeleteFunc(t.seen, func(_ string, k *tries) bool { return now.Sub(k.last) > forgetIn })
	dropOldest(t.seen, func(k *tries) time.Time { return k.last })
}

// dropOldest takes a tenth of a full table at once, so that nobody can make each login search all of it.
func dropOldest[V any](table map[string]V, last func(V) time.Time) {
	if len(table) < maxKeys {
		return
	}
	keys := slices.SortedFunc(maps.Keys(table), func(a, b string) int { return last(table[a]).Compare(last(table[b])) })
	for _, key := range keys[:maxKeys/10] {
		delete(table, key)
	}
}
