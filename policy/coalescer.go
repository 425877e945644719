package policy

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// Coalescer logs denials without letting whoever is denied flood the log: the first of a kind from an
// address is written at once, and what follows within a minute is counted and written soon after, as one
// entry for each actor, object and reason. Its table is bounded, and none is lost but by a crash.
type Coalescer struct {
	log recorder
	now func() time.Time

	mu   sync.Mutex
	seen map[series]*repeats
}

type recorder interface {
	Record(ctx context.Context, e Entry) error
}

// series are denials that look alike from outside. Nothing else decides whether one is written at once,
// so that the time it takes tells nothing about what the entry says: not whether an account exists.
type series struct{ from, kind string }

// repeats are the denials of a series since the one that was written at once.
type repeats struct {
	since time.Time
	due   bool // more than one minute's: write them with the next flush
	more  map[same]*counted
}

// same is what two denials share to become one entry.
type same struct {
	event          Event
	actor          string
	object, reason string
}

type counted struct {
	entry Entry
	n     int
}

const (
	coalesceFor = time.Minute
	flushEvery  = coalesceFor / 6
	maxSeries   = 10_000
	maxSame     = 64
	// manyAddresses stands for all addresses beyond those that the table has room for.
	manyAddresses = "many"
)

// NewCoalescer makes a coalescer over a log; now may be nil.
func NewCoalescer(log recorder, now func() time.Time) *Coalescer {
	if now == nil {
		now = time.Now
	}
	return &Coalescer{log: log, now: now, seen: map[series]*repeats{}}
}

// Record writes or counts a denial; kind and the address in e say with which others it belongs. An error
// means that it is neither written nor counted. A client that leaves does not keep it from being written.
func (c *Coalescer) Record(ctx context.Context, kind string, e Entry) error {
	r := c.begin(series{NetworkOf(e.Remote), kind}, e)
	if r == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	err := c.log.Record(ctx, e)
	if err != nil {
		c.mu.Lock()
		r.since = time.Time{} // the next one is the first again
		c.mu.Unlock()
	}
	return err
}

// begin counts e, or begins a new minute with it, which is then the caller's to write.
func (c *Coalescer) begin(s series, e Entry) *repeats {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.seen[s]
	if r == nil && len(c.seen) >= maxSeries {
		s.from = manyAddresses
		r = c.seen[s]
	}
	now := c.now()
	switch {
	case r == nil:
		r = &repeats{more: map[same]*counted{}}
		c.seen[s] = r
	case now.Sub(r.since) < coalesceFor:
		r.count(s.from, e, 1)
		return nil
	default:
		r.due = len(r.more) > 0
	}
	r.since = now
	return r
}

func (r *repeats) count(from string, e Entry, n int) {
	key := same{e.Event, e.Actor, e.Object, e.Reason}
	if r.more[key] == nil && len(r.more) >= maxSame {
		e = various(e)
		key = same{e.Event, e.Actor, e.Object, e.Reason}
	}
	k := r.more[key]
	if k == nil {
		k = &counted{entry: e}
		r.more[key] = k
	}
	if k.entry.Remote != e.Remote {
		k.entry.Remote = from
	}
	k.n += n
}

// Flush writes what was counted in minutes that are over, or all of it.
func (c *Coalescer) Flush(ctx context.Context, all bool) error {
	over := map[series]map[same]*counted{}
	c.mu.Lock()
	now := c.now()
	for s, r := range c.seen {
		ended := now.Sub(r.since) >= coalesceFor
		if len(r.more) > 0 && (ended || r.due || all) {
			over[s], r.more, r.due = r.more, map[same]*counted{}, false
		} else if ended {
			delete(c.seen, s)
		}
	}
	c.mu.Unlock()
	var failed []error
	for s, counts := range over {
		for _, k := range counts {
			if err := c.log.Record(ctx, k.coalesced()); err != nil {
				c.giveBack(s, k)
				failed = append(failed, err)
			}
		}
	}
	return errors.Join(failed...)
}

// coalesced is the one entry for all that were counted.
func (k *counted) coalesced() Entry {
	e := k.entry
	if k.n == 1 {
		return e
	}
	details := map[string]string{"more": strconv.Itoa(k.n - 1)}
	for name, value := range e.Details {
		details[name] = value
	}
	e.Details = details
	return e
}

func (c *Coalescer) giveBack(s series, k *counted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.seen[s]
	if r == nil {
		r = &repeats{more: map[same]*counted{}}
		c.seen[s] = r
	}
	r.due = true
	r.count(s.from, k.entry, k.n)
}

// Run writes what was counted until ctx ends, and then the rest.
func (c *Coalescer) Run(ctx context.Context, logger *slog.Logger) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
			defer cancel()
			return c.Flush(last, true)
		case <-tick.C:
			if err := c.Flush(ctx, false); err != nil && ctx.Err() == nil {
				logger.Error("denials that were counted were not logged; trying again", "error", err)
			}
		}
	}
}

// NetworkOf is the smallest network that one stranger may be alone in: an IPv4 address, or the /64 of an
// IPv6 address, since whoever has one address of it has them all. What is no address stays as it is.
func NetworkOf(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a, 64).Masked().String()
}
