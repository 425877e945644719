package retention

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Witness is another clock than this machine's: a database server's, an object store's.
type Witness struct {
	Name string
	Ask  func(ctx context.Context) (time.Time, error)
}

const (
	// Agreement is how far two clocks may be apart that agree.
	Agreement = time.Minute
	// askTime bounds one question.
	askTime = 2 * time.Second
	// fresh is how long an answer counts, carried on by the monotonic clock.
	fresh = time.Minute
)

// witnesses are the other clocks, and what they last said.
type witnesses struct {
	all  []Witness
	mu   sync.Mutex // over said
	said map[string]word
}

// word is what a witness said, and when by the monotonic clock.
type word struct {
	at   time.Time
	mono time.Duration
}

// Among has the clock listen to others, before it is used. Deletion then wants two clocks to agree.
func (c *Clock) Among(all ...Witness) {
	c.others.all, c.others.said = all, map[string]word{}
}

// Ask hears every witness once, at the same time, and not for long. Who does not answer is silent: what he said before counts
// for a minute. If all witnesses, two at least, agree with a system clock that leapt, then it was put right: they vouch for it.
func (c *Clock) Ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var asked sync.WaitGroup
	for _, w := range c.others.all {
		asked.Go(func() {
			before := c.mono()
			at, err := w.Ask(ctx)
			if err != nil {
				return
			}
			c.others.mu.Lock()
			defer c.others.mu.Unlock()
			c.others.said[w.Name] = word{at.UTC(), before + (c.mono()-before)/2}
		})
	}
	asked.Wait()
	c.vouch()
}

// vote is what a clock says now.
type vote struct {
	name string
	at   time.Time
}

// told is what the witnesses whose word is fresh say now, in order of their names.
func (c *Clock) told() []vote {
	c.others.mu.Lock()
	defer c.others.mu.Unlock()
	now := c.mono()
	var votes []vote
	for _, w := range c.others.all {
		if said, ok := c.others.said[w.Name]; ok && now-said.mono <= fresh {
			votes = append(votes, vote{w.Name, said.at.Add(now - said.mono)})
		}
	}
	return votes
}

// Offsets is how far each witness whose word is fresh is ahead of the system clock.
func (c *Clock) Offsets() map[string]time.Duration {
	wall := c.wall().UTC()
	ahead := map[string]time.Duration{}
	for _, v := range c.told() {
		ahead[v.name] = v.at.Sub(wall)
	}
	return ahead
}

// Fault says what is wrong with the clocks: that nothing can be deleted by them, or that the system clock is not what two
// others agree on, though deletion goes on by those.
func (c *Clock) Fault() error {
	now, err := c.Deleting()
	if err != nil {
		return err
	}
	if wall := c.wall().UTC(); len(c.told()) > 0 && !agree(wall, now) {
		return fmt.Errorf("%w: it says %s, and two clocks that agree say %s; deletion goes by those, put the system clock right",
			ErrClock, wall.Format(time.RFC3339), now.Format(time.RFC3339))
	}
	return nil
}

// vouch takes the system clock for right after a leap that every witness confirms.
func (c *Clock) vouch() {
	now := c.wall().UTC()
	votes := c.told()
	if len(votes) < 2 || slices.ContainsFunc(votes, func(v vote) bool { return !agree(v.at, now) }) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if mono := c.mono(); c.doubted > 0 || now.Sub(c.base.Add(mono)) > Forward {
		c.doubted, c.base = 0, now.Add(-mono)
	}
}

// agreed is the latest time that two clocks have reached, of which one is own if it is among them. No clock deletes by its
// word alone: the earlier of two that agree counts. limit is what two must not be ahead of unless all of at least two
// witnesses say so: the clocks of one machine may leap together.
func (c *Clock) agreed(own time.Time, limit time.Time) (time.Time, error) {
	votes := append(c.told(), vote{"system", own})
	slices.SortStableFunc(votes, func(a, b vote) int { return b.at.Compare(a.at) })
	for i := range len(votes) - 1 {
		later, earlier := votes[i], votes[i+1]
		if !agree(later.at, earlier.at) {
			continue
		}
		if earlier.at.After(limit) {
			return time.Time{}, fmt.Errorf("%w: %s and %s are more than %s ahead of the last log entry and the time that has passed since the start, and not two others confirm it; check them, then restart with --trust-clock",
				ErrClock, earlier.name, later.name, Forward)
		}
		return earlier.at, nil
	}
	var apart []string
	for _, v := range votes {
		apart = append(apart, fmt.Sprintf("%s %s", v.name, v.at.Format(time.RFC3339)))
	}
	return time.Time{}, fmt.Errorf("%w: no two clocks agree within %s (%s); put right the one that is wrong", ErrClock, Agreement, strings.Join(apart, ", "))
}

func agree(a, b time.Time) bool { return a.Sub(b).Abs() <= Agreement }
