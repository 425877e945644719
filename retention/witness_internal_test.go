package retention

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// telling is a witness that the test sets: away from the true time, or silent.
type telling struct {
	away   time.Duration
	silent bool
}

// among is a clock of the hands, a minute after its start, with witnesses by name.
func (h *hands) among(last time.Time, told map[string]*telling) *Clock {
	c := h.clock(last, false)
	truth := h.wall
	var all []Witness
	for _, name := range []string{"database", "store"} {
		if w := told[name]; w != nil {
			all = append(all, Witness{Name: name, Ask: func(context.Context) (time.Time, error) {
				if w.silent {
					return time.Time{}, errFault
				}
				return truth.Add(h.mono + w.away), nil
			}})
		}
	}
	c.Among(all...)
	return c
}

// Deletion goes by two clocks that agree. Which of the three is wrong, by how much, or silent, says what becomes of it.
func TestDeletionWantsTwoClocks(t *testing.T) {
	const year, second = 8760 * time.Hour, time.Second
	silent := &telling{silent: true}
	away := func(d time.Duration) *telling { return &telling{away: d} }
	for name, c := range map[string]struct {
		system          time.Duration // how far the system clock is set away while running
		database, store *telling      // nil: there is none
		deleting        time.Duration // away from the true time
		refused         string        // what the refusal names; empty: deletion goes on
	}{
		"all agree":                                     {0, away(0), away(0), 0, ""},
		"the system leaps a year ahead":                 {year, away(0), away(0), 0, ""},
		"the system leaps, the store is away":           {year, away(0), silent, 0, "no two clocks agree"},
		"the system leaps, there is no store":           {year, away(0), nil, 0, "no two clocks agree"},
		"the system leaps, everybody is silent":         {year, silent, silent, 0, "leapt ahead"},
		"the system is set back a year":                 {-year, away(0), away(0), 0, ""},
		"the system is set back, the store is away":     {-year, away(0), silent, 0, ""},
		"the system is set back, everybody is silent":   {-year, silent, silent, 0, ""},
		"the database leaps a year ahead":               {0, away(year), away(0), 0, ""},
		"the database leaps, the store is away":         {0, away(year), silent, 0, "no two clocks agree"},
		"the database is set back":                      {0, away(-year), away(0), 0, ""},
		"the store is set back":                         {0, away(0), away(-year), 0, ""},
		"the store is away":                             {0, away(0), silent, 0, ""},
		"everybody is silent":                           {0, silent, silent, 0, ""},
		"two of one machine leap together":              {year, away(year), away(0), 0, "ahead of the last log entry"},
		"two leap together, the store is away":          {year, away(year), silent, 0, "ahead of the last log entry"},
		"all tell that a year has passed":               {year, away(year), away(year), year, ""},
		"the system is a few seconds ahead":             {5 * second, away(0), away(0), 0, ""},
		"the database is a few seconds behind":          {0, away(-5 * second), nil, -5 * second, ""},
		"the store is a few seconds behind":             {0, away(0), away(-5 * second), 0, ""},
		"all are apart":                                 {0, away(time.Hour), away(-time.Hour), 0, "no two clocks agree"},
		"the store's clock is wrong, the system's, too": {2 * time.Hour, away(0), away(-time.Hour), 0, "no two clocks agree"},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hands{wall: noon}
			clock := h.among(noon, map[string]*telling{"database": c.database, "store": c.store})
			h.run(time.Minute)
			h.wall = h.wall.Add(c.system)
			clock.Ask(t.Context())
			at, err := clock.Deleting()
			if c.refused != "" {
				if !errors.Is(err, ErrClock) || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("deletes by %s, %v, want a refusal that names %q", at, err, c.refused)
				}
				return
			}
			wrong := (c.system-c.deleting).Abs() > Agreement && c.database != silent // somebody contradicts the system clock
			if got := clock.Fault(); wrong && !errors.Is(got, ErrClock) || !wrong && c.system == 0 && got != nil {
				t.Errorf("the fault that is told: %v", got)
			}
			if want := noon.Add(time.Minute + c.deleting); err != nil || !at.Equal(want) {
				t.Errorf("deletes by %s, %v, want %s", at, err, want)
			}
		})
	}
}

// After a long stop witnesses spare the operator his word: both of them, since one may be of the same machine.
func TestWitnessesVouchAfterALongStop(t *testing.T) {
	for name, c := range map[string]struct {
		database, store *telling
		vouched         bool
	}{
		"both":                      {&telling{}, &telling{}, true},
		"the database alone":        {&telling{}, nil, false},
		"the store is away":         {&telling{}, &telling{silent: true}, false},
		"the database disagrees":    {&telling{away: -time.Hour}, &telling{}, false},
		"both say that it is wrong": {&telling{away: -72 * time.Hour}, &telling{away: -72 * time.Hour}, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hands{wall: noon.Add(72 * time.Hour)}
			clock := h.among(noon, map[string]*telling{"database": c.database, "store": c.store})
			clock.Ask(t.Context())
			h.run(time.Second)
			if clock.Doubted() == c.vouched {
				t.Errorf("doubted: %v", clock.Doubted())
			}
			at, err := clock.Deleting()
			if name == "both say that it is wrong" { // by their time it was no long stop
				if err != nil || at.After(noon.Add(time.Minute)) {
					t.Errorf("deletes by %s, %v", at, err)
				}
				return
			}
			if c.vouched != (err == nil) {
				t.Errorf("deletes by %s, %v", at, err)
			}
			if c.vouched && !clock.Logging().Equal(h.wall) {
				t.Errorf("the log is stamped %s at %s", clock.Logging(), h.wall)
			}
		})
	}
}

// A word counts for a minute, carried on by the monotonic clock; then the witness is silent, and deletion goes on without.
func TestWordOfAWitnessGrowsOld(t *testing.T) {
	h := &hands{wall: noon}
	db := &telling{}
	clock := h.among(noon, map[string]*telling{"database": db})
	clock.Ask(t.Context())
	db.silent = true
	h.wall = h.wall.Add(time.Hour)
	h.run(fresh)
	clock.Ask(t.Context())
	if _, err := clock.Deleting(); !errors.Is(err, ErrClock) || clock.Offsets()["database"] != -time.Hour {
		t.Errorf("its word does not count: %v, offsets %v", err, clock.Offsets())
	}
	h.run(time.Second)
	if _, err := clock.Deleting(); err != nil || len(clock.Offsets()) != 0 {
		t.Errorf("its word counts still: %v, offsets %v", err, clock.Offsets())
	}
}

// A witness that hangs keeps nobody waiting for long, and not the other one's word from being heard.
func TestHangingWitness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := NewClock(time.Now, time.Now(), false)
		clock.Among(
			Witness{"store", func(ctx context.Context) (time.Time, error) { <-ctx.Done(); return time.Time{}, ctx.Err() }},
			Witness{"database", func(context.Context) (time.Time, error) { return time.Now(), nil }},
		)
		began := time.Now()
		clock.Ask(t.Context())
		if took := time.Since(began); took > askTime || len(clock.Offsets()) != 1 {
			t.Errorf("it took %s, offsets %v", took, clock.Offsets())
		}
	})
}

// A sweeper whose system clock leaps a year ahead takes nothing early, and goes on with what is due by the other two; one that
// is set back a year leaves nothing.
func TestSweeperAmongWitnesses(t *testing.T) {
	for name, set := range map[string]time.Duration{"a year ahead": 8760 * time.Hour, "a year back": -8760 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			h := &hands{wall: noon}
			clock := h.among(noon, map[string]*telling{"database": {}, "store": {}})
			w := newWorld(t)
			w.add("due", noon.Add(30*time.Second))
			w.add("later", noon.Add(time.Hour))
			h.run(time.Minute)
			h.wall = h.wall.Add(set)
			clock.Ask(t.Context())
			s := NewSweeper(SweeperConfig{Ledger: w, Eraser: w, Clock: clock})
			if _, err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if w.state("due") != Deleted || w.state("later") != Committed {
				t.Errorf("what is due is %s, what is not is %s", w.state("due"), w.state("later"))
			}
			if at := w.clips["due"].DeletedAt; !at.Equal(noon.Add(time.Minute)) {
				t.Errorf("its proof is dated %s", at)
			}
		})
	}
}
