package policy

import (
	"fmt"
	"time"
)

// The causes that an Answer gives: what a camera's timeline says of a time.
const (
	CauseRecorded     = "recorded"
	CauseNotPermitted = "not-permitted"
	CauseSuspended    = "suspended"
	CauseMaskFailed   = "mask-failed"
)

// The clauses that an Answer names: which part of a permit decides.
const (
	ClauseNone     = "no-permit"  // no permit names the camera
	ClauseState    = "state"      // the version is a draft, or over
	ClauseValidity = "valid_from" // too early
	ClauseEnd      = "valid_to"   // too late, also by the limit of its basis
	ClauseSchedule = "schedule"
	ClauseMode     = "mode"
	ClauseMasks    = "masks"
	ClauseLimits   = "limits"
	ClauseView     = "ptz"
	ClauseCameras  = "cameras" // it lets the camera record
)

// Answer is what the permits say of a camera at an instant.
type Answer struct {
	Recording bool   `json:"recording"`
	Counting  bool   `json:"counting"`
	Cause     string `json:"cause"`
	// Permit and Version are what decides; empty if no permit names the camera.
	Permit  string `json:"permit"`
	Version int    `json:"version"`
	Clause  string `json:"clause"`
	Detail  string `json:"detail"`
	// Deadline is until when what begins to be recorded at that instant is kept; zero if nothing is.
	Deadline time.Time `json:"deadline,omitzero"`
	// Since and Until are the edges between which the answer is the same, as far as a look goes: all but its deadline, and
	// which of several permits that let the camera record is the strictest, for months differ.
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// Ref names the permit version that decides, such as "plattan@2"; empty if none does.
func (a Answer) Ref() string {
	if a.Permit == "" {
		return ""
	}
	return fmt.Sprintf("%s@%d", a.Permit, a.Version)
}

// rank orders causes: the one that is nearest to recording is told.
func (a Answer) rank() int {
	switch {
	case a.Recording:
		return 6
	case a.Counting:
		return 5
	case a.Cause == CauseSuspended:
		return 4
	case a.Clause == ClauseSchedule:
		return 3
	case a.Clause == ClauseValidity || a.Clause == ClauseEnd:
		return 2
	case a.Clause == ClauseState:
		return 1
	}
	return 0
}

// Decide says whether a camera may record and count at t, and which clause of which version decides. Each permit is an
// authority of its own: what one of them allows is allowed. Of several that do, the strictest is bound to what is recorded: the
// one whose footage must be gone first, then the first by id. But a mask that any of them demands must be there.
func (s *Permits) Decide(camera string, t time.Time) Answer {
	best := Answer{Cause: CauseNotPermitted, Clause: ClauseNone, Detail: "no permit names the camera", Since: t.Add(-horizon), Until: t.Add(horizon)}
	since, until := best.Since, best.Until
	counting, masked := false, Answer{}
	for _, v := range s.versions() {
		if !v.Permit.names(camera) {
			continue
		}
		a := v.decide(camera, t)
		since, until = latest(since, a.Since), earliest(until, a.Until)
		counting = counting || a.Counting
		if a.Clause == ClauseMasks {
			masked = a
		}
		if a.rank() > best.rank() || a.Recording && best.Recording && a.Deadline.Before(best.Deadline) {
			best = a
		}
	}
	if masked.Cause != "" && best.Recording {
		best = masked
	}
	best.Counting, best.Since, best.Until = counting, since, until
	if best.Recording {
		best.Deadline, _ = s.Deadline(best.Permit, t, t)
	}
	return best
}

// decide is what one version says.
func (v Version) decide(camera string, t time.Time) Answer {
	p := v.Permit
	a := Answer{Cause: CauseNotPermitted, Permit: p.ID, Version: p.Version, Since: t.Add(-horizon), Until: t.Add(horizon)}
	edge := func(e time.Time) {
		switch {
		case e.IsZero():
		case e.After(t):
			a.Until = earliest(a.Until, e)
		default:
			a.Since = latest(a.Since, e)
		}
	}
	for _, s := range v.Steps {
		edge(s.holdsFrom())
	}
	edge(p.ValidFrom)
	edge(p.Ends())
	state, open := v.StateAt(t), false
	if state == Active { // a draft may hold anything
		var since, until time.Time
		open, since, until = p.Schedule.State(t)
		a.Since, a.Until = latest(a.Since, since), earliest(a.Until, until)
	}
	switch {
	case state == Suspended:
		a.Cause, a.Clause, a.Detail = CauseSuspended, ClauseState, "the permit is suspended"
	case state == Expired:
		a.Clause, a.Detail = ClauseEnd, "the permit ended on "+p.Ends().In(stockholm).Format("2006-01-02 15:04")
	case state == Draft:
		a.Clause, a.Detail = ClauseState, "the version is not in force yet"
	case state != Active:
		a.Clause, a.Detail = ClauseState, "the version is "+string(state)
	case t.Before(p.ValidFrom):
		a.Clause, a.Detail = ClauseValidity, "the permit begins on "+p.ValidFrom.In(stockholm).Format("2006-01-02 15:04")
	case !open:
		a.Clause, a.Detail = ClauseSchedule, "outside the hours of the permit: "+p.Schedule.String()
	case p.Mode == CountOnly:
		a.Counting, a.Clause, a.Detail = p.Counts(), ClauseMode, "the permit lets people be counted, and nothing be recorded"
	case len(p.MasksOf(camera)) > 0:
		// Pictures are not masked by this version of the software: what must be hidden is not recorded.
		a.Counting, a.Cause, a.Clause = p.Counts(), CauseMaskFailed, ClauseMasks
		a.Detail = fmt.Sprintf("the permit demands %d masks, which nothing puts into pictures yet", len(p.MasksOf(camera)))
	default:
		a.Recording, a.Counting, a.Cause, a.Clause = true, p.Counts(), CauseRecorded, ClauseCameras
		a.Detail = "the permit names the camera, and is in force"
		a.Deadline = p.Until(t)
	}
	return a
}
