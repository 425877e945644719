package timeline

import (
	"fmt"
	"slices"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
)

// The causes of a stretch beside those of gaps and permits.
const (
	Recorded = policy.CauseRecorded
	Held     = "held" // recorded, past its deadline, and kept for a case
	Deleted  = "deleted"
)

// Stretch is a stretch of a camera's time with the one cause that it has.
type Stretch struct {
	From   time.Time
	To     time.Time
	Cause  string
	Detail string
	// Permit and Clause are what forbade recording, or what it was recorded under.
	Permit string
	Clause string
	Clip   string
	// Rule is why it was deleted, or is to be: "retention", or the version that moved the deadline.
	Rule      string
	Deadline  time.Time
	DeletedAt time.Time
}

// same reports whether b continues a.
func (a Stretch) same(b Stretch) bool {
	a.From, a.To, b.From, b.To = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	return a == b
}

// Past is what is known of a camera's time.
type Past struct {
	Camera  camera.ID
	Clips   []retention.Clip // that touch the range, in whatever state
	Cuts    []retention.Clip // parts of clips that a case keeps, and that touch the range
	Gaps    []retention.Gap  // that touch it
	Permits *policy.Permits
	Now     time.Time
}

// Compose gives every instant of [from, to) exactly one cause. The future has none yet: to is at most now. Time for which no
// recorder gave a cause is what the permits say of it, and where they let it be recorded, our fault.
func Compose(p Past, from, to time.Time) []Stretch {
	if to.After(p.Now) {
		to = p.Now
	}
	var spans []Stretch
	for _, c := range p.Clips {
		spans = append(spans, p.clip(c))
	}
	for _, g := range p.Gaps {
		s := Stretch{From: g.From, To: g.To, Cause: string(g.Cause), Detail: g.Detail, Permit: g.Permit, Clause: g.Clause}
		if s.To.IsZero() {
			s.To = p.Now
		}
		spans = append(spans, s)
	}
	slices.SortStableFunc(spans, func(a, b Stretch) int { return a.From.Compare(b.From) })

	var out []Stretch
	add := func(s Stretch, end time.Time) {
		if n := len(out); n > 0 && out[n-1].same(s) && out[n-1].To.Equal(s.From) {
			out[n-1].To = end
			return
		}
		s.To = end
		out = append(out, s)
	}
	at := from
	for _, s := range spans {
		if !at.Before(to) || !s.To.After(at) || !s.From.Before(to) {
			continue
		}
		if s.From.After(at) {
			p.decided(at, s.From, add)
			at = s.From
		}
		end := s.To
		if end.After(to) {
			end = to
		}
		if s.Cause == string(camera.OurFault) && s.Detail == retention.Unaccounted {
			p.decided(at, end, add)
		} else {
			s.From = at
			add(s, end)
		}
		at = end
	}
	if at.Before(to) {
		p.decided(at, to, add)
	}
	for _, c := range p.Cuts {
		out = kept(out, c)
	}
	return out
}

// kept says of the part of a deleted clip that a case keeps that it is held.
func kept(all []Stretch, cut retention.Clip) []Stretch {
	if !cut.Held() {
		return all
	}
	var out []Stretch
	for _, s := range all {
		if s.Cause != Deleted || s.Clip != cut.Parent || !s.From.Before(cut.End) || !s.To.After(cut.Start) {
			out = append(out, s)
			continue
		}
		before, part, after := s, s, s
		before.To, after.From = cut.Start, cut.End
		part.Cause, part.Clip, part.DeletedAt = Held, cut.ID, time.Time{}
		if before.From.Before(before.To) {
			out, part.From = append(out, before), cut.Start
		}
		if after.From.Before(after.To) {
			part.To = cut.End
			out = append(out, part, after)
		} else {
			out = append(out, part)
		}
	}
	return out
}

// clip is the stretch that a clip covers.
func (p Past) clip(c retention.Clip) Stretch {
	s := Stretch{From: c.Start, To: c.End, Cause: Recorded, Clip: c.ID, Permit: fmt.Sprintf("%s@%d", c.Permit, c.PermitVersion), Deadline: c.Deadline, Rule: c.Rule}
	if s.Rule == "" {
		s.Rule = "retention"
	}
	if s.To.IsZero() { // it is being recorded, or its recorder died over it
		s.To = p.Now
	}
	switch c.State {
	case retention.Deleting, retention.Deleted:
		s.Cause, s.DeletedAt = Deleted, c.DeletedAt
	case retention.Committed, retention.Partial, retention.Pending:
		if !c.Cased.IsZero() {
			s.Cause = Held
		}
	case retention.Lost:
		s = Stretch{From: s.From, To: s.To, Cause: string(camera.OurFault), Detail: "a clip was begun, and nothing of it could be kept", Clip: c.ID}
	}
	return s
}

// decided is what the permits say of time for which nothing else is known.
func (p Past) decided(from, to time.Time, add func(Stretch, time.Time)) {
	for at := from; at.Before(to); {
		a := p.Permits.Decide(string(p.Camera), at)
		end := a.Until
		if end.After(to) {
			end = to
		}
		s := Stretch{From: at, Cause: a.Cause, Detail: a.Detail, Permit: a.Ref(), Clause: a.Clause}
		if a.Recording {
			s = Stretch{From: at, Cause: string(camera.OurFault), Detail: retention.Unaccounted}
		}
		add(s, end)
		at = end
	}
}
