package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// tally is where a campaign stands. Lanes share it.
type tally struct {
	mu sync.Mutex
	// Kills are all that were made, Points how often each point was hit, Pairs how many kills each pair of stores saw.
	Kills      int            `json:"kills"`
	Points     map[string]int `json:"points"`
	Pairs      map[string]int `json:"pairs"`
	Violations int            `json:"violations"`

	wantKills, wantHits, wantHere int
	here                          map[string]map[string]int  // hits by pair and point; a point is there once it was passed
	planned                       map[string]map[string]bool // points of the plan, by pair
	resting                       map[string]map[string]bool // points of cleaning up, by pair and where somebody died before
	passings                      map[string]int             // how often a point is passed at most, by pair and point, where that is known
}

func newTally(kills, hits, here int) *tally {
	return &tally{
		Points: map[string]int{}, Pairs: map[string]int{}, wantKills: kills, wantHits: hits, wantHere: here,
		here: map[string]map[string]int{}, planned: map[string]map[string]bool{}, resting: map[string]map[string]bool{}, passings: map[string]int{},
	}
}

// passed notes points that a worker came by; after is where the one before it died, if it only cleaned up after that.
func (t *tally) passed(pair string, points []string, after *death) {
	t.mu.Lock()
	defer t.mu.Unlock()
	where, key := t.planned, pair
	if after != nil {
		where, key = t.resting, pair+" "+after.Point
	}
	if where[key] == nil {
		where[key] = map[string]bool{}
	}
	if t.here[pair] == nil {
		t.here[pair] = map[string]int{}
	}
	for _, p := range points {
		where[key][p] = true
		t.here[pair][p] += 0
		t.Points[p] += 0
	}
}

// next is where the next worker of a pair shall die: at the point that was hit least of those that it will pass, at one of its
// first passings. after is where the one before it died, if it is to clean up after that.
func (t *tally) next(pair string, after *death, r *rand.Rand) death {
	t.mu.Lock()
	defer t.mu.Unlock()
	may := t.planned[pair]
	if after != nil {
		may = t.resting[pair+" "+after.Point]
	}
	least := ""
	for _, p := range slices.Sorted(maps.Keys(may)) {
		if least == "" || t.here[pair][p] < t.here[pair][least] {
			least = p
		}
	}
	if least == "" {
		return death{}
	}
	times := 1
	if most, known := t.passings[pair+" "+least]; after == nil && (!known || most > 1) {
		times = 1 + r.IntN(3)
		if known {
			times = min(times, most)
		}
	}
	return death{Point: least, Passing: times}
}

// done reports whether a pair has done its share.
func (t *tally) done(pair string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p, n := range t.here[pair] {
		if n < t.wantHere || t.Points[p] < t.wantHits {
			return false
		}
	}
	return t.Kills >= t.wantKills
}

func (t *tally) hit(pair string, d death) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Kills++
	t.Points[d.Point]++
	t.Pairs[pair]++
	t.here[pair][d.Point]++
}

// missed notes that a point was not passed so often.
func (t *tally) missed(pair string, d death, after *death) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if after != nil {
		delete(t.resting[pair+" "+after.Point], d.Point)
		return
	}
	t.passings[pair+" "+d.Point] = d.Passing - 1
	if d.Passing == 1 {
		delete(t.planned[pair], d.Point)
	}
}

func (t *tally) violated(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Violations += n
}

// fewest is the least hit point, and how often it was.
func (t *tally) fewest() (point string, hits int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p, n := range t.Points {
		if point == "" || n < hits {
			point, hits = p, n
		}
	}
	return point, hits
}

// tell says on standard error how far the campaign is, until stop is closed.
func (t *tally) tell(began time.Time, stop <-chan struct{}) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			point, hits := t.fewest()
			t.mu.Lock()
			fmt.Fprintf(os.Stderr, "%s: %d kills %v, %d points, fewest at %s (%d), %d violations\n",
				time.Since(began).Round(time.Second), t.Kills, t.Pairs, len(t.Points), point, hits, t.Violations)
			t.mu.Unlock()
		}
	}
}

// report writes the figures down and says what is missing in them.
func (tl *tally) report(t *testing.T, began time.Time) {
	point, hits := tl.fewest()
	t.Logf("%d kills %v in %s at %d points, fewest at %s: %d", tl.Kills, tl.Pairs, time.Since(began).Round(time.Second), len(tl.Points), point, hits)
	if *deaths != "" {
		return
	}
	if tl.Kills < tl.wantKills {
		t.Errorf("%d kills were made, want %d", tl.Kills, tl.wantKills)
	}
	if hits < tl.wantHits && len(tl.Pairs) > 0 {
		t.Errorf("point %s was hit %d times, want %d", point, hits, tl.wantHits)
	}
	if len(tl.Pairs) == 2 {
		for path, names := range namedPoints(t) {
			for _, name := range names {
				if elsewhere[path] != "" {
					break
				}
				if _, ok := tl.Points[name]; !ok {
					t.Errorf("%s: point %s is in the source, and no worker came by: let the plan take that step", path, name)
				}
			}
		}
	}
	if *kills > 0 && *only == "" && len(tl.Pairs) < 2 {
		t.Errorf("only %v were campaigned over: install the servers with deploy/setup.sh --tests", tl.Pairs)
	}
	if *result == "" {
		return
	}
	line, err := json.Marshal(tl)
	if err == nil {
		err = os.WriteFile(*result, append(line, '\n'), 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}
