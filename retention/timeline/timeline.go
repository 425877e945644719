// Package timeline checks that every second of a camera's time has a cause: recorded, or a gap that
// says why not, without holes and without overlaps.
package timeline

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Span is a stretch of a camera's time; To is zero while it lasts. Name says what it is.
type Span struct {
	From, To time.Time
	Name     string
}

// Fault is a place where spans do not tile the time.
type Fault struct {
	From, To time.Time
	What     string
}

func (f Fault) String() string {
	return fmt.Sprintf("%s from %s to %s", f.What, f.From.Format(time.RFC3339Nano), f.To.Format(time.RFC3339Nano))
}

// Check finds the holes and overlaps between the first and the last of spans. Only the last may be open.
func Check(spans []Span) []Fault {
	spans = slices.Clone(spans)
	slices.SortStableFunc(spans, func(a, b Span) int {
		// What lasted no time comes before what began at that moment, what is open after it.
		return cmp.Or(a.From.Compare(b.From), open(a)-open(b), a.To.Compare(b.To))
	})
	var faults []Fault
	var end time.Time
	var before string
	for i, s := range spans {
		switch {
		case i == 0:
		case end.IsZero():
			faults = append(faults, Fault{s.From, s.From, before + " never ended, yet " + s.Name + " began"})
		case s.From.After(end):
			faults = append(faults, Fault{end, s.From, "nobody accounts for the time between " + before + " and " + s.Name})
		case s.From.Before(end):
			faults = append(faults, Fault{s.From, end, before + " and " + s.Name + " overlap"})
		}
		if !s.To.IsZero() && s.To.Before(s.From) {
			faults = append(faults, Fault{s.From, s.To, s.Name + " ends before it begins"})
		}
		// A span inside an earlier one must not move the end back.
		if i == 0 || s.To.IsZero() || end.IsZero() || s.To.After(end) {
			end, before = s.To, s.Name
		}
	}
	return faults
}

func open(s Span) int {
	if s.To.IsZero() {
		return 1
	}
	return 0
}
