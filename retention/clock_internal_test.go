package retention

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// hands are the two clocks under a Clock: wall may be set, mono only runs.
type hands struct {
	wall time.Time
	mono time.Duration
}

func (h *hands) run(d time.Duration) { h.wall, h.mono = h.wall.Add(d), h.mono+d }

func (h *hands) clock(last time.Time, trusted bool) *Clock {
	return newClock(func() time.Time { return h.wall }, func() time.Duration { return h.mono }, last, trusted)
}

// What the clock says right after the start, given the system clock's distance from the last log entry.
func TestClockAtStart(t *testing.T) {
	const hour = time.Hour
	for name, c := range map[string]struct {
		ahead    time.Duration
		trusted  bool
		reading  time.Duration // after the last log entry
		deleting bool
		logging  time.Duration
		behind   time.Duration
		// receiving is after the last log entry, too; doubted says that footage is flagged.
		receiving time.Duration
		doubted   bool
	}{
		"right after the last entry":          {0, false, 0, true, 0, 0, 0, false},
		"a day later":                         {24 * hour, false, 24 * hour, true, 24 * hour, 0, 24 * hour, false},
		"more than a day later":               {24*hour + 1, false, 24 * hour, false, 0, 0, 24*hour + 1, true},
		"a year later":                        {8760 * hour, false, 8760 * hour, false, 0, 0, 8760 * hour, true},
		"a year later, vouched for":           {8760 * hour, true, 8760 * hour, true, 8760 * hour, 0, 8760 * hour, false},
		"an hour before":                      {-hour, false, 0, true, 0, hour, 0, false},
		"a year before, as with a dead clock": {-8760 * hour, false, 0, true, 0, 8760 * hour, 0, false},
		"a year before, vouched for":          {-8760 * hour, true, 0, true, 0, 8760 * hour, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hands{wall: noon.Add(c.ahead)}
			clock := h.clock(noon, c.trusted)
			if got := clock.Reading(); !got.Equal(noon.Add(c.reading)) {
				t.Errorf("reading by %s", got)
			}
			at, err := clock.Deleting()
			if c.deleting && (err != nil || !at.Equal(noon.Add(c.reading))) || !c.deleting && !errors.Is(err, ErrClock) {
				t.Errorf("deleting by %s, %v", at, err)
			}
			if got := clock.Logging(); !got.Equal(noon.Add(c.logging)) {
				t.Errorf("logging at %s", got)
			}
			if got := clock.Behind(); got != c.behind {
				t.Errorf("behind by %s", got)
			}
			if got := clock.Receiving(); !got.Equal(noon.Add(c.receiving)) || clock.Doubted() != c.doubted {
				t.Errorf("receiving at %s, doubted %v", got, clock.Doubted())
			}
		})
	}
}

func TestClockWithoutALog(t *testing.T) {
	h := &hands{wall: noon}
	clock := h.clock(time.Time{}, false)
	if at, err := clock.Deleting(); err != nil || !at.Equal(noon) {
		t.Errorf("deleting by %s, %v", at, err)
	}
}

// What the clock says a minute after the start, when the system clock was set meanwhile. The operator's
// word at start does not cover what happens later.
func TestClockSetWhileRunning(t *testing.T) {
	const hour = time.Hour
	for name, c := range map[string]struct {
		set      time.Duration
		reading  time.Duration // from where it would be
		deleting bool
		logging  time.Duration // and receiving
	}{
		"not at all":    {0, 0, true, 0},
		"an hour back":  {-hour, 0, true, 0},
		"a year back":   {-8760 * hour, 0, true, 0},
		"an hour ahead": {hour, hour, true, hour},
		"a day ahead":   {24 * hour, 24 * hour, true, 24 * hour},
		"a year ahead":  {8760 * hour, 8760 * hour, false, 0},
	} {
		for _, trusted := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				h := &hands{wall: noon}
				clock := h.clock(noon, trusted)
				clock.Reading()
				h.run(time.Minute)
				h.wall = h.wall.Add(c.set)
				want := noon.Add(time.Minute)
				if got := clock.Now(); !got.Equal(want.Add(c.reading)) {
					t.Errorf("reading by %s", got)
				}
				at, err := clock.Deleting()
				if c.deleting && (err != nil || !at.Equal(want.Add(max(0, c.set)))) || !c.deleting && !errors.Is(err, ErrClock) {
					t.Errorf("deleting by %s, %v", at, err)
				}
				if got := clock.Logging(); !got.Equal(want.Add(c.logging)) {
					t.Errorf("logging at %s", got)
				}
				if got := clock.Receiving(); !got.Equal(want.Add(c.logging)) || clock.Doubted() {
					t.Errorf("receiving at %s, doubted %v", got, clock.Doubted())
				}
			})
		}
	}
}

// A leap that is put right: deadlines and the log wait until the time has passed that they told; pictures
// bear the true time again at once, and time goes on for them.
func TestReceivingFollowsALeapBack(t *testing.T) {
	for name, leap := range map[string]time.Duration{"of three hours": 3 * time.Hour, "of a year": 8760 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			h := &hands{wall: noon}
			clock := h.clock(noon, false)
			want := func(d time.Duration) {
				t.Helper()
				if got := clock.Receiving(); !got.Equal(noon.Add(d)) {
					t.Errorf("receiving at %s, want %s", got, noon.Add(d))
				}
			}
			h.run(time.Minute)
			h.wall = h.wall.Add(leap)
			told := clock.Reading()
			if leap <= Forward {
				want(time.Minute + leap)
			} else {
				want(time.Minute)
			}
			h.run(time.Minute)
			h.wall = h.wall.Add(-leap)
			want(2 * time.Minute)
			h.run(time.Minute)
			want(3 * time.Minute)
			if got := clock.Reading(); got.Before(told) {
				t.Errorf("reading goes by %s again, after %s", got, told)
			}
		})
	}
}

// A service that is started again and again does not come to trust a leap by its own log entries.
func TestRestartsDoNotVouchForALeap(t *testing.T) {
	h, last := &hands{wall: noon.Add(8760 * time.Hour)}, noon
	for range 5 {
		h.mono = 0
		clock := h.clock(last, false)
		h.run(time.Minute)
		if _, err := clock.Deleting(); !errors.Is(err, ErrClock) {
			t.Fatalf("deletes by a clock that leapt a year: %v", err)
		}
		last = clock.Logging()
	}
	// The same when the clock leaps while the service runs.
	h = &hands{wall: noon}
	clock := h.clock(noon, false)
	h.wall = h.wall.Add(8760 * time.Hour)
	clock.Reading()
	last = clock.Logging()
	h.mono = 0
	if _, err := h.clock(last, false).Deleting(); !errors.Is(err, ErrClock) {
		t.Errorf("deletes after the restart: %v", err)
	}
	// And when it was set right again: the log was never ahead, so nothing is deleted early.
	h.wall = noon.Add(time.Minute)
	if at, err := h.clock(last, false).Deleting(); err != nil || at.After(noon.Add(2*time.Minute)) {
		t.Errorf("deletes by %s, %v", at, err)
	}
}

// Whatever is done to the system clock: times given out never go back, what is due stays due, and
// nothing is deleted by a time that a clock without faults would not have told within a day.
func TestClockNeverGoesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &hands{wall: noon}
		last := noon.Add(time.Duration(rapid.Int64Range(-int64(40*time.Hour), int64(40*time.Hour)).Draw(t, "last entry")))
		clock := h.clock(last, rapid.Bool().Draw(t, "trusted"))
		start := noon
		if last.After(start) {
			start = last
		}
		var now, reading, logged time.Time
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "set") {
				h.wall = h.wall.Add(time.Duration(rapid.Int64Range(-int64(72*time.Hour), int64(72*time.Hour)).Draw(t, "by")))
			}
			h.run(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "ran")))
			n, r, l := clock.Now(), clock.Reading(), clock.Logging()
			if n.Before(now) || r.Before(reading) || l.Before(logged) || r.Before(n) {
				t.Fatalf("now %s after %s, reading %s after %s, logging %s after %s", n, now, r, reading, l, logged)
			}
			now, reading, logged = n, r, l
			if r.Before(start.Add(h.mono).Truncate(time.Microsecond)) {
				t.Fatalf("reading by %s, yet %s has passed since %s", r, h.mono, start)
			}
			if at, err := clock.Deleting(); err == nil && at.After(start.Add(h.mono).Add(Forward)) {
				t.Fatalf("deletes by %s, %s after %s", at, h.mono, start)
			}
		}
	})
}

// Times are handed out in microseconds: two readings within one are the same, and neither is earlier.
func TestClockIsAsPreciseAsTheCatalogue(t *testing.T) {
	h := &hands{wall: noon.Add(900)}
	clock := h.clock(time.Time{}, false)
	first := clock.Now()
	h.run(50)
	if second := clock.Now(); second.Before(first) {
		t.Errorf("%s came after %s", second, first)
	}
}

// A clock that was ahead for a while and is put right: no time goes back, none stands still, and after twice
// as long all is right again.
func TestClockThatWasAheadComesBack(t *testing.T) {
	h := &hands{wall: noon}
	clock := h.clock(noon, false)
	h.run(time.Minute)
	h.wall = h.wall.Add(time.Hour)
	for name, read := range map[string]func() time.Time{"reading": clock.Reading, "logging": clock.Logging} {
		if got := read(); !got.Equal(h.wall) {
			t.Fatalf("%s says %s while the clock is ahead, at %s", name, got, h.wall)
		}
	}
	h.wall = h.wall.Add(-time.Hour)
	before := map[string]time.Time{"reading": clock.Reading(), "logging": clock.Logging()}
	for minute := 10; minute <= 120; minute += 10 {
		h.run(10 * time.Minute)
		for name, read := range map[string]func() time.Time{"reading": clock.Reading, "logging": clock.Logging} {
			read() // who asks often learns the same
			got := read()
			if gone := got.Sub(before[name]); gone != 5*time.Minute {
				t.Errorf("%s went on by %s in minute %d, want half of 10", name, gone, minute)
			}
			before[name] = got
		}
	}
	h.run(time.Minute)
	for name, read := range map[string]func() time.Time{"reading": clock.Reading, "logging": clock.Logging} {
		if got := read(); !got.Equal(h.wall) {
			t.Errorf("%s is not right again: %s at %s", name, got, h.wall)
		}
	}
}
