package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Permits is a fixed set of permit versions with what became of them. The zero value and nil permit nothing.
type Permits struct {
	all []Version // by id, newest version first
}

// NewPermits makes a set of permits that were all in force from the beginning of their validity on. One that is invalid refuses
// the set: half a set of decisions is not a set that anybody decided.
func NewPermits(permits []Permit) (*Permits, error) {
	versions := make([]Version, len(permits))
	for i, p := range permits {
		if err := p.Validate(); err != nil {
			return nil, err
		}
		versions[i] = Version{p, []Step{{State: Active, At: p.ValidFrom}}}
	}
	return PermitsOf(versions)
}

// PermitsOf takes copies of versions that were checked when they were decided; the rules may have changed since. One that is
// there twice refuses the set.
func PermitsOf(versions []Version) (*Permits, error) {
	set := &Permits{}
	for _, v := range versions {
		if _, ok := set.Get(v.Permit.ID, v.Permit.Version); ok {
			return nil, fmt.Errorf("%w %s: it is there twice", ErrBadPermit, v.Permit.Ref())
		}
		set.all = append(set.all, v.clone())
	}
	slices.SortFunc(set.all, func(a, b Version) int {
		return cmp.Or(cmp.Compare(a.Permit.ID, b.Permit.ID), cmp.Compare(b.Permit.Version, a.Permit.Version))
	})
	return set, nil
}

// At is the permit under which that camera may record at t.
func (s *Permits) At(camera string, t time.Time) (Permit, bool) {
	answer := s.Decide(camera, t)
	if !answer.Recording {
		return Permit{}, false
	}
	return s.Get(answer.Permit, answer.Version)
}

// Get is the permit of that id and version.
func (s *Permits) Get(id string, version int) (Permit, bool) {
	v, ok := s.Version(id, version)
	return v.Permit, ok
}

// Version is the permit of that id and version with what became of it.
func (s *Permits) Version(id string, version int) (Version, bool) {
	for _, v := range s.versions() {
		if v.Permit.ID == id && v.Permit.Version == version {
			return v.clone(), true
		}
	}
	return Version{}, false
}

// Versions are all of them by id, newest version first.
func (s *Permits) Versions() []Version {
	all := make([]Version, 0, len(s.versions()))
	for _, v := range s.versions() {
		all = append(all, v.clone())
	}
	return all
}

// All are the permits by id, newest version first.
func (s *Permits) All() []Permit {
	all := make([]Permit, 0, len(s.versions()))
	for _, v := range s.versions() {
		all = append(all, v.clone().Permit)
	}
	return all
}

// Deadline is until when footage collected under a permit at start may be kept: the earliest that any version of the permit
// allows that was in force since then, up to now.
func (s *Permits) Deadline(id string, start, now time.Time) (time.Time, bool) {
	var deadline time.Time
	for _, v := range s.versions() {
		if v.Permit.ID != id || !v.sinceCollected(start, now) {
			continue
		}
		if until := v.Permit.Until(start); deadline.IsZero() || until.Before(deadline) {
			deadline = until
		}
	}
	return deadline, !deadline.IsZero()
}

func (s *Permits) versions() []Version {
	if s == nil {
		return nil
	}
	return s.all
}
