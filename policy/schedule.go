package policy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/teambition/rrule-go"
)

// Schedule is when a permit lets cameras work: weekly windows, and exceptions to them, on clocks in Stockholm. A
// permit without a schedule lets them work around the clock; a schedule without a window never does.
type Schedule struct {
	Weekly     []Window    `json:"weekly,omitempty" yaml:"weekly,omitempty"`
	Exceptions []Exception `json:"exceptions,omitempty" yaml:"exceptions,omitempty"`
}

// Window is a stretch of some days of each week. One whose end is not later than its beginning ends on the next day.
type Window struct {
	Days []Weekday `json:"days" yaml:"days"`
	From ClockTime `json:"from" yaml:"from"`
	To   ClockTime `json:"to" yaml:"to"`
}

// Exception opens or closes a stretch of the days that its rule names. What closes wins over what opens.
type Exception struct {
	Name string `json:"name" yaml:"name"`
	// Start is the day, 2006-01-02, or the first day that Rule counts from.
	Start string `json:"start" yaml:"start"`
	// Rule is a recurrence rule of RFC 5545 about days, such as FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24. Empty: Start alone.
	Rule string    `json:"rrule,omitempty" yaml:"rrule,omitempty"`
	Open bool      `json:"open,omitempty" yaml:"open,omitempty"`
	From ClockTime `json:"from" yaml:"from"`
	To   ClockTime `json:"to" yaml:"to"`
}

// Weekday is mon, tue, wed, thu, fri, sat or sun.
type Weekday string

var weekdays = []Weekday{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} // as time.Weekday counts

// ClockTime is a time of day in seconds from midnight as a clock shows it: 0 to 86400, written 15:04 or 15:04:05, and 24:00.
type ClockTime int

const dayEnds ClockTime = 24 * 3600

// ParseClockTime reads 15:04, 15:04:05 or 24:00.
func ParseClockTime(s string) (ClockTime, error) {
	bad := fmt.Errorf("time of day %q: want for example 06:30, 21:00:15 or 24:00", s)
	parts := strings.Split(s, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return 0, bad
	}
	var n [3]int
	for i, limit := range []int{24, 59, 59}[:len(parts)] {
		v, err := number(parts[i], limit)
		if err != nil || len(parts[i]) != 2 {
			return 0, bad
		}
		n[i] = v
	}
	t := ClockTime(n[0]*3600 + n[1]*60 + n[2])
	if t > dayEnds {
		return 0, bad
	}
	return t, nil
}

func (t ClockTime) String() string {
	s := fmt.Sprintf("%02d:%02d", t/3600, t/60%60)
	if t%60 != 0 {
		s += fmt.Sprintf(":%02d", t%60)
	}
	return s
}

// MarshalText writes the time as a clock shows it.
func (t ClockTime) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what ParseClockTime does.
func (t *ClockTime) UnmarshalText(b []byte) error {
	parsed, err := ParseClockTime(string(b))
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}

// Interval is a stretch of time, its end not included.
type Interval struct{ From, To time.Time }

// Holds reports whether t lies in it.
func (i Interval) Holds(t time.Time) bool { return !t.Before(i.From) && t.Before(i.To) }

// Faults say what keeps the schedule from being kept to; field is the way to it, such as "weekly[0].from".
func (s *Schedule) Faults() []Fault {
	var all faults
	if s == nil {
		return nil
	}
	for i, w := range s.Weekly {
		at := fmt.Sprintf("weekly[%d]", i)
		if len(w.Days) == 0 {
			all.add(at+".days", "want some of %s", strings.Trim(fmt.Sprint(weekdays), "[]"))
		}
		for j, d := range w.Days {
			switch {
			case !slices.Contains(weekdays, d):
				all.add(fmt.Sprintf("%s.days[%d]", at, j), "%q: want mon, tue, wed, thu, fri, sat or sun", d)
			case slices.Contains(w.Days[:j], d):
				all.add(fmt.Sprintf("%s.days[%d]", at, j), "%s: listed twice", d)
			}
		}
		all.stretch(at, w.From, w.To)
	}
	for i, e := range s.Exceptions {
		at := fmt.Sprintf("exceptions[%d]", i)
		if e.Name == "" {
			all.add(at+".name", "missing: say what the exception is, for who reads the log")
		}
		if start, err := time.Parse(time.DateOnly, e.Start); err != nil || start.Year() < 2000 {
			all.add(at+".start", "%q: want a day such as 2026-12-24", e.Start)
		} else if rule, err := e.rule(start.AddDate(50, 0, 0)); err != nil {
			all.add(at+".rrule", "%v", err)
		} else if rule.After(start, true).IsZero() {
			all.add(at+".rrule", "%q: it never comes true", e.Rule)
		}
		all.stretch(at, e.From, e.To)
	}
	return all
}

func (f *faults) stretch(at string, from, to ClockTime) {
	if from == dayEnds {
		f.add(at+".from", "24:00: a stretch begins at 00:00 of the next day")
	}
	if from == to {
		f.add(at+".to", "%s: it is from as well; the whole day is 00:00 to 24:00", to)
	}
}

// rule is the exception's recurrence over days, each written as its midnight in UTC. It looks no farther than last.
func (e Exception) rule(last time.Time) (*rrule.RRule, error) {
	start, err := time.Parse(time.DateOnly, e.Start)
	if err != nil || start.Year() < 2000 { // the library takes year 1 for today
		return nil, fmt.Errorf("%q: want a day such as 2026-12-24", e.Start)
	}
	option := &rrule.ROption{Freq: rrule.DAILY, Count: 1}
	if e.Rule != "" {
		if len(e.Rule) > 500 {
			return nil, errors.New("longer than 500 characters")
		}
		if option, err = rrule.StrToROption(e.Rule); err != nil {
			return nil, fmt.Errorf("%q is no recurrence rule of RFC 5545: want for example FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24 (%w)", e.Rule, err)
		}
		if option.Freq > rrule.DAILY || len(option.Byhour)+len(option.Byminute)+len(option.Bysecond) > 0 || !option.Dtstart.IsZero() {
			return nil, fmt.Errorf("%q: want a rule about days, DAILY, WEEKLY, MONTHLY or YEARLY; its first day is start, its hours are from and to", e.Rule)
		}
		if err := boundedRule(option); err != nil {
			return nil, fmt.Errorf("%q: %w", e.Rule, err)
		}
	}
	option.Dtstart = start
	if option.Until.IsZero() || last.Before(option.Until) {
		option.Until = latest(last, start)
	}
	return rrule.NewRRule(*option)
}

// bounded refuses what the library does not, and would fall over, count for ever or read as a wider rule.
func boundedRule(o *rrule.ROption) error {
	if o.Interval < 0 || o.Interval > 1000 || o.Count < 0 {
		return errors.New("want an INTERVAL of 1 to 1000, and a positive COUNT")
	}
	for _, days := range o.Byeaster {
		if days < -80 || days > 250 {
			return errors.New("want BYEASTER of -80 to 250 days")
		}
	}
	most := 0
	switch {
	case o.Freq == rrule.MONTHLY || o.Freq == rrule.YEARLY && len(o.Bymonth) > 0:
		most = 5
	case o.Freq == rrule.YEARLY:
		most = 53
	}
	for _, day := range o.Byweekday {
		if n := day.N(); n < -most || n > most {
			return errors.New("want BYDAY of the first to fifth such day of a month, to 53rd of a year, and no number by week or day")
		}
	}
	return nil
}

// The reach of one look at a schedule: State knows no edge that is farther away.
const horizon = 8 * 24 * time.Hour

// State is whether the schedule is open at t, since when and until when: the edges around t, or as far as a look goes.
func (s *Schedule) State(t time.Time) (open bool, since, until time.Time) {
	since, until = t.Add(-horizon), t.Add(horizon)
	if s == nil {
		return true, since, until
	}
	for _, i := range s.Intervals(since, until) {
		switch {
		case i.Holds(t):
			return true, i.From, i.To
		case i.From.After(t):
			return false, since, i.From
		}
		since = i.To
	}
	return false, since, until
}

// Intervals are the stretches in [from, to) in which the schedule is open, in order, none touching another.
//
// The law sets upper limits, so of two readings of a clock the narrower one holds. A window opens at the last instant at
// which a clock in Stockholm shows its beginning: the second pass of the doubled hour of autumn. It closes at the first
// instant after that at which a clock shows its end or later. What begins in the missing hour of spring begins at the jump,
// what ends in it ends there. For what closes by exception it is the other way round. The night 21–06 lasts eight or ten hours.
func (s *Schedule) Intervals(from, to time.Time) []Interval {
	if !from.Before(to) {
		return nil
	}
	if s == nil {
		return []Interval{{from, to}}
	}
	first, last := dayOf(from).AddDate(0, 0, -2), dayOf(to).AddDate(0, 0, 1)
	var open, closed []Interval
	for day := first; !day.After(last); day = day.AddDate(0, 0, 1) {
		for _, w := range s.Weekly {
			if slices.Contains(w.Days, weekdays[day.Weekday()]) {
				open = append(open, narrow(day, w.From, w.To))
			}
		}
	}
	for _, e := range s.Exceptions {
		rule, err := e.rule(last)
		if err != nil { // it was refused when it was read: what cannot be kept to closes
			return nil
		}
		for _, day := range rule.Between(first, last, true) {
			if e.Open {
				open = append(open, narrow(day, e.From, e.To))
			} else {
				closed = append(closed, wide(day, e.From, e.To))
			}
		}
	}
	return within(subtract(union(open), union(closed)), from, to)
}

// dayOf is the day that calendars in Stockholm show at t, written as its midnight in UTC.
func dayOf(t time.Time) time.Time {
	y, m, d := t.In(stockholm).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// walls are the beginning and end of a stretch of a day as clocks show them, written as if in UTC.
func walls(day time.Time, from, to ClockTime) (begin, end time.Time) {
	if to <= from {
		to += dayEnds
	}
	return day.Add(time.Duration(from) * time.Second), day.Add(time.Duration(to) * time.Second)
}

func narrow(day time.Time, from, to ClockTime) Interval {
	begin, end := walls(day, from, to)
	opens := lastShowing(begin)
	closes := firstShowing(end)
	if !closes.After(opens) { // both in the hour that comes twice: its second pass
		closes = lastShowing(end)
	}
	return Interval{opens, closes}
}

func wide(day time.Time, from, to ClockTime) Interval {
	begin, end := walls(day, from, to)
	return Interval{firstShowing(begin), lastShowing(end)}
}

// lastShowing is the last instant at which a clock in Stockholm comes to show wall; where none does, that of the jump over it.
func lastShowing(wall time.Time) time.Time {
	first := firstShowing(wall)
	_, end := first.In(stockholm).ZoneBounds()
	if end.IsZero() {
		return first
	}
	_, offset := end.In(stockholm).Zone()
	again := wall.Add(-time.Duration(offset) * time.Second)
	if again.After(first) && !again.Before(end) && again.Sub(first) <= 2*time.Hour {
		return again
	}
	return first
}

// union joins what overlaps or touches.
func union(all []Interval) []Interval {
	slices.SortFunc(all, func(a, b Interval) int { return a.From.Compare(b.From) })
	var out []Interval
	for _, i := range all {
		switch n := len(out); {
		case !i.From.Before(i.To):
		case n > 0 && !i.From.After(out[n-1].To):
			out[n-1].To = latest(out[n-1].To, i.To)
		default:
			out = append(out, i)
		}
	}
	return out
}

// subtract takes b from a; both are unions.
func subtract(a, b []Interval) []Interval {
	var out []Interval
	for _, i := range a {
		for _, cut := range b {
			if !cut.To.After(i.From) || !cut.From.Before(i.To) {
				continue
			}
			if cut.From.After(i.From) {
				out = append(out, Interval{i.From, cut.From})
			}
			i.From = cut.To
		}
		if i.From.Before(i.To) {
			out = append(out, i)
		}
	}
	return out
}

// within cuts to [from, to).
func within(all []Interval, from, to time.Time) []Interval {
	var out []Interval
	for _, i := range all {
		i.From, i.To = latest(i.From, from), earliest(i.To, to)
		if i.From.Before(i.To) {
			out = append(out, i)
		}
	}
	return out
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (s *Schedule) clone() *Schedule {
	if s == nil {
		return nil
	}
	c := &Schedule{slices.Clone(s.Weekly), slices.Clone(s.Exceptions)}
	for i := range c.Weekly {
		c.Weekly[i].Days = slices.Clone(c.Weekly[i].Days)
	}
	return c
}

// String is the schedule in a few words, for people.
func (s *Schedule) String() string {
	if s == nil {
		return "around the clock"
	}
	var parts []string
	for _, w := range s.Weekly {
		days := make([]string, len(w.Days))
		for i, d := range w.Days {
			days[i] = string(d)
		}
		parts = append(parts, strings.Join(days, ",")+" "+w.From.String()+"–"+w.To.String())
	}
	if n := len(s.Exceptions); n > 0 {
		parts = append(parts, strconv.Itoa(n)+" exceptions")
	}
	if len(parts) == 0 {
		return "never"
	}
	return strings.Join(parts, "; ")
}
