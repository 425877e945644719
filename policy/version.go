package policy

import (
	"slices"
	"time"
)

// PermitState is where a version of a permit stands.
type PermitState string

// The states of a version. Draft, suspended and what is over let nothing be recorded. That a permit expired follows from
// its dates, and needs no step.
const (
	Draft      PermitState = "draft"
	Active     PermitState = "active"
	Suspended  PermitState = "suspended"
	Superseded PermitState = "superseded" // a later version took its place
	Expired    PermitState = "expired"
	Revoked    PermitState = "revoked" // see Step.Unlawful
	Ended      PermitState = "ended"   // the surveillance is over; what was recorded runs out
)

// Over reports whether no step leads out of the state.
func (s PermitState) Over() bool {
	return s == Superseded || s == Expired || s == Revoked || s == Ended
}

// Step is a change of a version's state.
type Step struct {
	State  PermitState `json:"state"`
	At     time.Time   `json:"at"`
	Actor  string      `json:"actor"`
	Reason string      `json:"reason,omitempty"`
	// Unlawful says of a revocation that what was collected must be erased; else it runs out.
	Unlawful bool `json:"unlawful,omitempty"`
	// Effective is from when a revocation holds, which may be before it was decided; else At.
	Effective time.Time `json:"effective,omitzero"`
}

// Version is a permit with what became of it, oldest step first.
type Version struct {
	Permit Permit `json:"permit"`
	Steps  []Step `json:"steps"`
}

// Decided is the state that somebody decided last; a version without a step is a draft.
func (v Version) Decided() PermitState {
	if len(v.Steps) == 0 {
		return Draft
	}
	return v.Steps[len(v.Steps)-1].State
}

// GivesWay reports whether the version ends when p is put in force: it is another version of that permit, and not over.
func (v Version) GivesWay(p Permit) bool {
	state := v.Decided()
	return v.Permit.ID == p.ID && v.Permit.Version != p.Version && state != Draft && !state.Over()
}

// holdsFrom is the instant from which the step holds: of a revocation it may lie before the decision.
func (s Step) holdsFrom() time.Time {
	if s.State == Revoked && !s.Effective.IsZero() {
		return earliest(s.Effective, s.At)
	}
	return s.At
}

// StateAt is the state of the version at t, as it is known now: from where a revocation holds on there was no permit.
func (v Version) StateAt(t time.Time) PermitState {
	state := Draft
	for _, s := range v.Steps {
		if !s.holdsFrom().After(t) {
			state = s.State
		}
	}
	if end := v.Permit.Ends(); (state == Active || state == Suspended) && !end.IsZero() && !t.Before(end) {
		return Expired
	}
	return state
}

// inForce are the stretches in which the version was active, as far as is decided; the last may have no end. What was collected
// before somebody decided a revocation that holds from earlier on was collected under it, and needs its deadline.
func (v Version) inForce() []Interval {
	var out []Interval
	for _, s := range v.Steps {
		n := len(out)
		open := n > 0 && out[n-1].To.IsZero()
		switch {
		case s.State == Active && !open:
			out = append(out, Interval{From: s.At})
		case s.State != Active && open:
			out[n-1].To = s.At
		}
	}
	for i := range out {
		out[i].From = latest(out[i].From, v.Permit.ValidFrom)
		if end := v.Permit.Ends(); !end.IsZero() && (out[i].To.IsZero() || end.Before(out[i].To)) {
			out[i].To = end
		}
	}
	return slices.DeleteFunc(out, func(i Interval) bool { return !i.To.IsZero() && !i.From.Before(i.To) })
}

// sinceCollected reports whether the version was in force at some instant of [start, now].
func (v Version) sinceCollected(start, now time.Time) bool {
	return slices.ContainsFunc(v.inForce(), func(i Interval) bool {
		return !i.From.After(now) && (i.To.IsZero() || i.To.After(start))
	})
}

func (v Version) clone() Version {
	p := &v.Permit
	p.Cameras, p.Purposes, p.Masks, p.Roles = slices.Clone(p.Cameras), slices.Clone(p.Purposes), slices.Clone(p.Masks), slices.Clone(p.Roles)
	p.Analytics, p.Signs = slices.Clone(p.Analytics), slices.Clone(p.Signs)
	for i := range p.Masks {
		p.Masks[i].Polygon = slices.Clone(p.Masks[i].Polygon)
	}
	if p.Assessment != nil {
		document := *p.Assessment
		p.Assessment = &document
	}
	if p.Place != nil {
		place := *p.Place
		place.Polygon = slices.Clone(place.Polygon)
		p.Place = &place
	}
	p.Schedule = p.Schedule.clone()
	v.Steps = slices.Clone(v.Steps)
	return v
}
