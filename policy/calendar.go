package policy

import (
	"fmt"
	"time"
	_ "time/tzdata" // the zone must be known on a machine without zone files: deadlines depend on it
)

// stockholm is the zone in which permits count days and months.
var stockholm = mustZone("Europe/Stockholm")

func mustZone(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(fmt.Sprintf("time zone %s is embedded and must load: %v", name, err))
	}
	return zone
}

// After is the instant at which the period that began at start is over.
//
// Years, months and days are counted on the calendar of Europe/Stockholm, then clock time is added as
// elapsed time. Data law sets upper limits ("at most six months after collection"), so of two readings
// the earlier one holds, by two rules:
//
//   - The period is over at the first instant at which a clock in Stockholm shows the due date and time
//     or a later one. In the doubled hour of autumn that is the first of both; in the missing hour of
//     spring it is the instant of the jump. A due date that a month does not have is its last day.
//   - Older footage never outlives newer footage: After never decreases as start grows. Therefore what
//     began in the first pass of a doubled hour counts from the beginning of that hour, and where
//     several days of one month fall due on the same last day of another (29, 30 and 31 August plus
//     P6M), all but the last of them fall due as that day begins.
//
// The second rule also makes a clip safe whose frames span a change: its deadline, counted from its
// first frame, is never later than that of any frame in it.
func (p Period) After(start time.Time) time.Time {
	if p.years == 0 && p.months == 0 && p.days == 0 {
		return start.UTC().Add(p.clock)
	}
	due := p.onCalendar(wallOf(start))
	return firstShowing(due).Add(p.clock)
}

// wallOf is what a clock in Stockholm shows at t, written as if it were UTC. In the first pass of a
// doubled hour it is the beginning of that hour.
func wallOf(t time.Time) time.Time {
	local := t.In(stockholm)
	if _, end := local.ZoneBounds(); !end.IsZero() {
		_, before := local.Zone()
		_, after := end.In(stockholm).Zone()
		back := time.Duration(before-after) * time.Second
		if back > 0 && !t.Before(end.Add(-back)) {
			local = end.In(stockholm)
		}
	}
	return time.Date(local.Year(), local.Month(), local.Day(),
		local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), time.UTC)
}

func (p Period) onCalendar(wall time.Time) time.Time {
	if months := 12*p.years + p.months; months != 0 {
		day, last := wall.Day(), daysIn(wall.Year(), wall.Month())
		first := time.Date(wall.Year(), wall.Month()+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
		clock := wall.Sub(time.Date(wall.Year(), wall.Month(), day, 0, 0, 0, 0, time.UTC))
		if dueLast := daysIn(first.Year(), first.Month()); day >= dueLast {
			if day < last {
				clock = 0
			}
			day = dueLast
		}
		wall = first.AddDate(0, 0, day-1).Add(clock)
	}
	return wall.AddDate(0, 0, p.days)
}

func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// firstShowing is the first instant at which a clock in Stockholm shows wall or later.
func firstShowing(wall time.Time) time.Time {
	_, before := wall.Add(-24 * time.Hour).In(stockholm).Zone()
	_, after := wall.Add(24 * time.Hour).In(stockholm).Zone()
	// The larger offset gives the earlier instant.
	for _, offset := range []int{max(before, after), min(before, after)} {
		t := wall.Add(-time.Duration(offset) * time.Second)
		if _, actual := t.In(stockholm).Zone(); actual == offset {
			return t
		}
	}
	// No clock shows this time: the zone period that holds the late reading began with the jump.
	jump, _ := wall.Add(-time.Duration(before) * time.Second).In(stockholm).ZoneBounds()
	return jump.UTC()
}
