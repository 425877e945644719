package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Permits is a fixed set of permit versions. The zero value and nil permit nothing.
type Permits struct {
	all []Permit
}

// NewPermits checks the permits and takes copies. One that is invalid or there twice refuses the set:
// half a set of decisions is not a set that anybody decided.
func NewPermits(permits []Permit) (*Permits, error) {
	set := &Permits{}
	for _, p := range permits {
		if err := p.Validate(); err != nil {
			return nil, err
		}
		if _, ok := set.Get(p.ID, p.Version); ok {
			return nil, fmt.Errorf("%w %s: it is there twice", ErrBadPermit, p.Ref())
		}
		set.all = append(set.all, p.clone())
	}
	slices.SortFunc(set.all, func(a, b Permit) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(b.Version, a.Version))
	})
	return set, nil
}

func (p Permit) clone() Permit {
	p.Cameras, p.Purposes = slices.Clone(p.Cameras), slices.Clone(p.Purposes)
	return p
}

// At is the permit under which that camera may record at t. Of several the strictest holds: the one
// whose footage from t must be gone first, then the first by id, then the newest version.
func (s *Permits) At(camera string, t time.Time) (Permit, bool) {
	var strictest Permit
	found := false
	for _, p := range s.permits() {
		if p.Covers(camera, t) && (!found || p.Until(t).Before(strictest.Until(t))) {
			strictest, found = p, true
		}
	}
	return strictest.clone(), found
}

// Get is the permit of that id and version.
func (s *Permits) Get(id string, version int) (Permit, bool) {
	for _, p := range s.permits() {
		if p.ID == id && p.Version == version {
			return p.clone(), true
		}
	}
	return Permit{}, false
}

// All are the permits by id, newest version first.
func (s *Permits) All() []Permit {
	all := make([]Permit, 0, len(s.permits()))
	for _, p := range s.permits() {
		all = append(all, p.clone())
	}
	return all
}

// Next is the first instant after t at which a permit of that camera begins or ends. A recorder closes
// its clip there and asks At again. Between two such instants a clip keeps the permit of its first
// frame: which of two periods is the shorter may change with the calendar, but a deadline counted from
// an earlier frame under the then strictest permit is never later than one counted from a later frame.
func (s *Permits) Next(camera string, t time.Time) (time.Time, bool) {
	var next time.Time
	for _, p := range s.permits() {
		if !slices.Contains(p.Cameras, camera) {
			continue
		}
		for _, edge := range []time.Time{p.ValidFrom, p.ValidTo} {
			if edge.After(t) && (next.IsZero() || edge.Before(next)) {
				next = edge
			}
		}
	}
	return next, !next.IsZero()
}

func (s *Permits) permits() []Permit {
	if s == nil {
		return nil
	}
	return s.all
}
