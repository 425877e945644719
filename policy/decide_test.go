package policy_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"klarsyn/policy"
)

// Between its edges an answer is the same.
func TestAnswerHoldsBetweenItsEdges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory(t, false)
		for _, when := range h.instants(t) {
			for _, camera := range []string{"k1", "k2", "k9"} {
				a := h.set.Decide(camera, when)
				if a.Since.After(when) || !when.Before(a.Until) || a.Since.Before(when.Add(-look)) || a.Until.After(when.Add(look)) {
					t.Fatalf("%s at %s: since %s, until %s", camera, when, a.Since, a.Until)
				}
				between := a.Since.Add(time.Duration(rapid.Int64Range(0, int64(a.Until.Sub(a.Since))-1).Draw(t, "between")))
				for _, other := range []time.Time{a.Since, between, a.Until.Add(-1)} {
					b := h.set.Decide(camera, other)
					if b.Recording != a.Recording || b.Counting != a.Counting || b.Cause != a.Cause || b.Clause != a.Clause ||
						!a.Recording && b.Ref() != a.Ref() {
						t.Fatalf("%s at %s: %+v, but at %s %+v", camera, when, a, other, b)
					}
					// Which of several permits is the strictest changes with the months, and with nothing else.
					for _, ref := range []string{a.Ref(), b.Ref()} {
						if v := h.version(ref); a.Recording && (!h.lets(v, camera, when) || !h.lets(v, camera, other)) {
							t.Fatalf("%s: %s at %s and %s at %s, but %s does not let it record at both", camera, a.Ref(), when, b.Ref(), other, ref)
						}
					}
				}
			}
		}
	})
}

// A camera records exactly when some version lets it, and none in force demands a mask that nothing makes. What it records is
// bound to the strictest.
func TestRecordingNeedsAPermit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory(t, false)
		for _, when := range h.instants(t) {
			for _, camera := range []string{"k1", "k2", "k9"} {
				a := h.set.Decide(camera, when)
				lets, masked, counting := false, false, false
				var strictest time.Time
				for _, v := range h.versions {
					p := v.Permit
					if !slices.Contains(p.Cameras, camera) || !h.works(v, when) {
						continue
					}
					counting = true
					masked = masked || p.Mode != policy.CountOnly && hidden(p, camera)
					if until := keeps(p, when); h.lets(v, camera, when) && (!lets || until.Before(strictest)) {
						lets, strictest = true, until
					}
				}
				if want := lets && !masked; a.Recording != want || a.Counting != counting {
					t.Fatalf("%s at %s: %+v, want recording %v, counting %v", camera, when, a, want, counting)
				}
				if p, ok := h.set.At(camera, when); ok != a.Recording || ok && p.Ref() != a.Ref() {
					t.Fatalf("%s at %s: At says %s, %v, and Decide %+v", camera, when, p.Ref(), ok, a)
				}
				if !a.Recording {
					if a.Cause == policy.CauseRecorded || a.Clause == policy.ClauseCameras || !a.Deadline.IsZero() {
						t.Fatalf("%s at %s is not recorded: %+v", camera, when, a)
					}
					continue
				}
				v := h.version(a.Ref())
				if !h.lets(v, camera, when) || a.Cause != policy.CauseRecorded || a.Clause != policy.ClauseCameras {
					t.Fatalf("%s at %s: %+v", camera, when, a)
				}
				if !keeps(v.Permit, when).Equal(strictest) || !a.Deadline.After(when) || a.Deadline.After(strictest) {
					t.Fatalf("%s at %s: %+v, want to be gone by %s", camera, when, a, strictest)
				}
			}
		}
	})
}

// Footage is gone by the earliest deadline that any version in force since its first frame allows, and never later than the
// law does; what is decided later moves it nearer, or not at all.
func TestDeadlineNeverGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory(t, false)
		instants := h.instants(t)
		slices.SortFunc(instants, time.Time.Compare)
		for _, start := range instants {
			for _, id := range h.ids() {
				var before time.Time
				for _, now := range instants {
					if now.Before(start) {
						continue
					}
					var want time.Time
					for _, v := range h.versions {
						if v.Permit.ID != id || !h.heldWithin(v, start, now) {
							continue
						}
						if until := keeps(v.Permit, start); want.IsZero() || until.Before(want) {
							want = until
						}
					}
					got, ok := h.set.Deadline(id, start, now)
					if ok == want.IsZero() || !got.Equal(want) {
						t.Fatalf("footage of %s under %s, asked at %s: %s, %v, want %s", start, id, now, got, ok, want)
					}
					if !before.IsZero() && (!ok || got.After(before)) {
						t.Fatalf("footage of %s under %s, asked at %s: %s, %v, earlier it was %s", start, id, now, got, ok, before)
					}
					before = got
				}
			}
		}
		for _, start := range instants {
			for _, camera := range []string{"k1", "k2"} {
				a := h.set.Decide(camera, start)
				if !a.Recording {
					continue
				}
				if d, ok := h.set.Deadline(a.Permit, start, start); !ok || !d.Equal(a.Deadline) {
					t.Fatalf("%s at %s is kept until %s, but under %s until %s, %v", camera, start, a.Deadline, a.Permit, d, ok)
				}
				for _, now := range instants {
					if d, ok := h.set.Deadline(a.Permit, start, now); !now.Before(start) && (!ok || d.After(a.Deadline)) {
						t.Fatalf("%s at %s is kept until %s, asked at %s until %s, %v", camera, start, a.Deadline, now, d, ok)
					}
				}
			}
		}
	})
}

// A clip keeps the deadline of its first frame, and no frame of it is kept longer than the answer at that frame says.
func TestFirstFrameIsStrictEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory(t, true)
		for _, when := range h.instants(t) {
			a := h.set.Decide("k1", when)
			if !a.Recording {
				continue
			}
			later := when.Add(time.Duration(rapid.Int64Range(0, int64(a.Until.Sub(when))-1).Draw(t, "frame")))
			if b := h.set.Decide("k1", later); b.Deadline.Before(a.Deadline) {
				t.Fatalf("a clip of %s is kept until %s, its frame of %s only until %s", when, a.Deadline, later, b.Deadline)
			}
		}
	})
}

// history is some permits, each with some versions and what became of them.
type history struct {
	versions []policy.Version
	set      *policy.Permits
}

// caps are those of the law, told by hand: of validity by basis, and of police footage.
var caps = map[policy.Regime]map[policy.Basis]string{
	policy.Police:    {policy.Temporary: "P3M", policy.Urgent: "P14D"},
	policy.Municipal: {policy.Temporary: "P1M"},
}

func mustPeriod(s string) policy.Period {
	p, err := policy.ParsePeriod(s)
	if err != nil {
		panic(err)
	}
	return p
}

// keeps is until when a permit by itself lets footage of start be kept.
func keeps(p policy.Permit, start time.Time) time.Time {
	until := p.Retention.After(start)
	if limit := mustPeriod("P6M").After(start); p.Regime == policy.Police && limit.Before(until) {
		return limit
	}
	return until
}

// over is the end of a permit's validity, far away if it has none.
func over(p policy.Permit) time.Time {
	end := p.ValidTo
	if end.IsZero() {
		end = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if limit := caps[p.Regime][p.Basis]; limit != "" {
		if last := mustPeriod(limit).After(p.ValidFrom); last.Before(end) {
			return last
		}
	}
	return end
}

// last is the state that the steps taken by then led to. In hindsight a revocation held from when it says.
func last(v policy.Version, when time.Time, hindsight bool) policy.PermitState {
	state := policy.Draft
	for _, s := range v.Steps {
		from := s.At
		if hindsight && s.State == policy.Revoked && !s.Effective.IsZero() && s.Effective.Before(from) {
			from = s.Effective
		}
		if !from.After(when) {
			state = s.State
		}
	}
	return state
}

func (h history) inForce(v policy.Version, when time.Time, hindsight bool) bool {
	return last(v, when, hindsight) == policy.Active && !when.Before(v.Permit.ValidFrom) && when.Before(over(v.Permit))
}

// works reports whether the version is in force, and open by its hours.
func (h history) works(v policy.Version, when time.Time) bool {
	opens, _, _ := v.Permit.Schedule.State(when)
	return opens && h.inForce(v, when, true)
}

func (h history) lets(v policy.Version, camera string, when time.Time) bool {
	p := v.Permit
	return slices.Contains(p.Cameras, camera) && h.works(v, when) && p.Mode != policy.CountOnly && !hidden(p, camera)
}

func hidden(p policy.Permit, camera string) bool {
	return slices.ContainsFunc(p.Masks, func(m policy.Mask) bool { return m.Camera == camera })
}

// heldWithin reports whether the version was in force at some instant of [start, now]: it begins to be only at a step or at
// the beginning of its validity.
func (h history) heldWithin(v policy.Version, start, now time.Time) bool {
	instants := []time.Time{start, now, v.Permit.ValidFrom}
	for _, s := range v.Steps {
		instants = append(instants, s.At)
	}
	return slices.ContainsFunc(instants, func(i time.Time) bool {
		return !i.Before(start) && !i.After(now) && h.inForce(v, i, false)
	})
}

func (h history) version(ref string) policy.Version {
	for _, v := range h.versions {
		if v.Permit.Ref() == ref {
			return v
		}
	}
	return policy.Version{}
}

func (h history) ids() []string {
	var ids []string
	for _, v := range h.versions {
		if !slices.Contains(ids, v.Permit.ID) {
			ids = append(ids, v.Permit.ID)
		}
	}
	return ids
}

// instants are some at which something changes, some just before, and some others.
func (h history) instants(t *rapid.T) []time.Time {
	var edges []time.Time
	for _, v := range h.versions {
		edges = append(edges, v.Permit.ValidFrom)
		if end := over(v.Permit); end.Year() < 2100 {
			edges = append(edges, end)
		}
		for _, s := range v.Steps {
			edges = append(edges, s.At)
			if !s.Effective.IsZero() {
				edges = append(edges, s.Effective)
			}
		}
	}
	out := []time.Time{anyInstant(t)}
	for range 3 {
		edge := rapid.SampledFrom(edges).Draw(t, "edge")
		out = append(out, edge.Add(rapid.SampledFrom([]time.Duration{0, -1, time.Second, 30 * time.Hour, -30 * time.Hour}).Draw(t, "beside it")))
	}
	return out
}

// anyHistory is one to three permits of one to three versions. Where one follows the other, each version is over when the next
// one begins; else they may be in force together, as nobody should have decided.
func anyHistory(t *rapid.T, follow bool) history {
	var h history
	begin := anyInstant(t)
	pause := func(what string) time.Duration {
		return rapid.SampledFrom([]time.Duration{0, time.Hour, 31 * time.Hour, 20 * 24 * time.Hour, 100 * 24 * time.Hour}).Draw(t, what)
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "permits") {
		clock := begin.Add(pause("decided"))
		for version := range rapid.IntRange(1, 3).Draw(t, "versions") {
			v := policy.Version{Permit: anyPermit(t, fmt.Sprintf("p%d", i+1), version+1, clock)}
			step := func(s policy.PermitState) {
				v.Steps = append(v.Steps, policy.Step{State: s, At: clock, Actor: "service:test"})
			}
			if rapid.IntRange(0, 7).Draw(t, "draft") > 0 {
				step(policy.Active)
				for range rapid.IntRange(0, 2).Draw(t, "pauses") {
					clock = clock.Add(pause("until the pause"))
					step(policy.Suspended)
					clock = clock.Add(pause("of the pause"))
					step(policy.Active)
				}
				clock = clock.Add(pause("until the end"))
				switch s := rapid.SampledFrom([]policy.PermitState{"", policy.Suspended, policy.Superseded, policy.Ended, policy.Revoked}).Draw(t, "end"); s {
				case "": // it holds on
				case policy.Revoked:
					step(s)
					n := len(v.Steps) - 1
					v.Steps[n].Unlawful = rapid.Bool().Draw(t, "unlawful")
					if rapid.Bool().Draw(t, "backdated") {
						v.Steps[n].Effective = clock.Add(-pause("backdated by"))
					}
				default:
					step(s)
				}
			}
			for n := range h.versions {
				before := &h.versions[n]
				if !follow || before.Permit.ID != v.Permit.ID || len(v.Steps) == 0 || len(before.Steps) == 0 {
					continue
				}
				if end := before.Steps[len(before.Steps)-1]; !end.State.Over() {
					before.Steps = append(before.Steps, policy.Step{State: policy.Superseded, At: v.Steps[0].At, Actor: "service:test"})
				}
			}
			if follow && version == 0 { // some are enough: it counts four years of days
				if err := v.Permit.Validate(); err != nil {
					t.Fatal(err)
				}
			}
			h.versions = append(h.versions, v)
		}
	}
	set, err := policy.PermitsOf(h.versions)
	if err != nil {
		t.Fatal(err)
	}
	h.set = set
	return h
}

func anyPermit(t *rapid.T, id string, version int, decided time.Time) policy.Permit {
	p := policy.Permit{
		ID: id, Version: version, Regime: rapid.SampledFrom(policy.Regimes()).Draw(t, "regime"),
		Cameras:   rapid.SampledFrom([][]string{{"k1"}, {"k1", "k2"}, {"k2"}}).Draw(t, "cameras"),
		ValidFrom: decided.Add(time.Duration(rapid.IntRange(-40*24, 5*24).Draw(t, "valid from")) * time.Hour),
		Purposes:  []string{policy.CrimeInvestigation},
	}
	bases, retention := []policy.Basis{policy.Assessment, policy.Assessment, policy.Legacy, policy.Temporary}, slices.Concat(periods, []string{"P30D", "P59D"})
	if p.Regime == policy.Police {
		bases = append(bases, policy.Urgent)
		retention = slices.DeleteFunc(slices.Clone(retention), func(s string) bool { return s == "P1Y" || s == "P1Y1M1DT1H1M1.5S" })
	}
	p.Basis = rapid.SampledFrom(bases).Draw(t, "basis")
	p.Retention = mustPeriod(rapid.SampledFrom(retention).Draw(t, "retention"))
	if rapid.Bool().Draw(t, "has an end") {
		p.ValidTo = p.ValidFrom.Add(time.Duration(rapid.IntRange(1, 400*24).Draw(t, "valid for")) * time.Hour)
		if end := over(p); end.Before(p.ValidTo) {
			p.ValidTo = end
		}
	}
	if rapid.Bool().Draw(t, "has hours") {
		p.Schedule, _, _ = anySchedule(t)
	}
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		p.Mode = policy.CountOnly
	case 1:
		p.Mode = policy.Record
		p.Analytics = []string{policy.Occupancy}
	case 2:
		p.Masks = []policy.Mask{{Camera: p.Cameras[0], ID: "window", Version: 1, Kind: "black", Polygon: []policy.Vertex{{X: 0, Y: 0}, {X: 1, Y: 0}, {X: 0, Y: 1}}}}
	}
	return p
}
