package policy

import (
	"fmt"
	"reflect"
	"slices"
	"time"
)

// Raises are the changes from one version to the next that intrude more (KBL 9 § second paragraph, 14 b §): each needs a new
// documented assessment before it is in force. It names them for people; none means that nobody is watched more.
func Raises(from, to Permit) []string {
	var raised []string
	add := func(format string, args ...any) { raised = append(raised, fmt.Sprintf(format, args...)) }
	for _, c := range to.Cameras {
		if !from.names(c) {
			add("camera %s is new", c)
		}
	}
	if from.Place != nil && !reflect.DeepEqual(from.Place, to.Place) {
		add("the place is another, or not said any more")
	}
	for _, m := range from.Masks {
		i := slices.IndexFunc(to.Masks, func(o Mask) bool { return o.Camera == m.Camera && o.ID == m.ID })
		switch {
		case !to.names(m.Camera):
		case i < 0:
			add("mask %s of camera %s is gone", m.ID, m.Camera)
		case !slices.Equal(to.Masks[i].Polygon, m.Polygon) || m.Kind == "black" && to.Masks[i].Kind != "black":
			add("mask %s of camera %s is another", m.ID, m.Camera)
		}
	}
	if wider(from.Schedule, to.Schedule, to.ValidFrom.Year()) {
		add("hours: %s, before %s", to.Schedule, from.Schedule)
	}
	if before, after := from.Ends(), to.Ends(); to.ValidFrom.Before(from.ValidFrom) || !before.IsZero() && (after.IsZero() || after.After(before)) {
		add("it holds longer")
	}
	if from.Mode == CountOnly && to.Mode != CountOnly {
		add("pictures are recorded, not only counted")
	}
	if to.Counts() && !from.Counts() {
		add("people are counted")
	}
	if to.MinCell < from.MinCell {
		add("counts from %d on are published, before from %d", to.MinCell, from.MinCell)
	}
	if to.Audio && !from.Audio {
		add("sound is recorded")
	}
	if to.PTZ && !from.PTZ {
		add("cameras may be turned and zoomed")
	}
	for _, l := range []struct {
		what          string
		before, after float64
	}{
		{"width", float64(from.Limits.Width), float64(to.Limits.Width)},
		{"height", float64(from.Limits.Height), float64(to.Limits.Height)},
		{"rate", from.Limits.Rate, to.Limits.Rate},
		{"max_cameras", float64(from.MaxCameras), float64(to.MaxCameras)},
	} {
		if l.before > 0 && (l.after == 0 || l.after > l.before) {
			add("%s is no longer limited to %g", l.what, l.before)
		}
	}
	if to.Retention.Exceeds(from.Retention) {
		add("footage is kept for %s, before %s", to.Retention, from.Retention)
	}
	for _, p := range to.Purposes {
		if !slices.Contains(from.Purposes, p) {
			add("purpose %s is new", p)
		}
	}
	switch {
	case len(from.Roles) == 0:
	case len(to.Roles) == 0:
		add("every role that the rules let may look")
	default:
		for _, r := range to.Roles {
			if !slices.Contains(from.Roles, r) {
				add("role %s may look", r)
			}
		}
	}
	if from.Approval && !to.Approval {
		add("nobody approves a look any more")
	}
	if to.Export && !from.Export {
		add("footage may be exported")
	}
	if to.Regime != from.Regime || to.Basis != from.Basis {
		add("it rests on another law or basis: %s %s, before %s %s", to.Regime, to.Basis, from.Regime, from.Basis)
	}
	return raised
}

// wider reports whether some instant of six years is open by after and was not by before.
func wider(before, after *Schedule, first int) bool {
	if reflect.DeepEqual(before, after) || before == nil {
		return false
	}
	for year := first; year < first+6; year++ {
		from, to := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(year+1, 1, 1, 0, 0, 0, 0, time.UTC)
		if len(subtract(after.Intervals(from, to), before.Intervals(from, to))) > 0 {
			return true
		}
	}
	return false
}

// Activation says what keeps the permit from being put in force after before, the version in force until then; nil: none was.
func (p Permit) Activation(before *Permit) []Fault {
	all := faults(p.Faults())
	rules, _ := RulesOf(p.Regime)
	needed := rules.Bases[p.Basis].Assessment
	if needed && p.Assessment == nil {
		all.add("assessment", "missing: on this basis a documented assessment comes first (%s)", rules.Bases[p.Basis].Source)
	}
	if before == nil {
		return all
	}
	if p.Version <= before.Version {
		all.add("version", "%d: version %d was in force before: want a higher one", p.Version, before.Version)
	}
	if limit := rules.Bases[p.Basis].Longest; !limit.IsZero() && p.Basis == before.Basis && p.ValidFrom.After(before.ValidFrom) {
		all.add("valid_from", "%s: the %s of this basis count from %s, when version %d began (%s); a new occasion is a permit of its own",
			p.ValidFrom.Format(time.RFC3339), limit, before.ValidFrom.Format(time.RFC3339), before.Version, rules.Bases[p.Basis].Source)
	}
	if raised := Raises(*before, p); len(raised) > 0 && p.Assessment != nil && before.Assessment != nil &&
		(p.Assessment.SHA256 == before.Assessment.SHA256 || p.Assessment.Diary == before.Assessment.Diary && p.Assessment.Date == before.Assessment.Date) {
		all.add("assessment", "it is that of version %d, and this one intrudes more: %s: a new assessment comes first", before.Version, raised[0])
	}
	return all
}
