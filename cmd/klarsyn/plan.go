package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"klarsyn/api"
	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/policy/identity"
	"klarsyn/retention/catalogue"
)

// planned is a change of what holds, before it is made.
type planned struct {
	api.Plan
	application catalogue.Application
	users       []userChange
	next        *holding
	place       place // of the description
}

type userChange struct {
	declared identity.Declared
	before   *identity.Declared
}

// standing is what holds before a change.
type standing struct {
	holding  *holding
	versions []policy.Version
	accounts []identity.Declared
	settings *square
	now      time.Time
}

// plan compares a description with what holds. What cannot become of it is named with line and column.
func plan(d *described, on standing, who policy.Subject) (*planned, error) {
	p := &planned{application: catalogue.Application{Base: on.holding.revision, Who: who}, place: d.place}
	p.Base, p.Revision = on.holding.revision, on.holding.revision
	p.Changes, p.Effects, p.Sights = []api.PlannedChange{}, []api.PlannedEffect{}, []api.PlannedSight{}
	faults := &faultList{place: d.place}
	p.planThings("camera", byID(on.holding.Cameras, cameraID), byID(d.Cameras, cameraID))
	p.planThings("group", byID(on.holding.Groups, groupName), byID(d.Groups, groupName))
	p.planUsers(d, on)
	p.planPermits(d, on, faults)
	if err := faults.err(); err != nil {
		return nil, err
	}
	document, err := yaml.Marshal(Declaration{Cameras: d.Cameras, Groups: d.Groups})
	if err != nil {
		return nil, err
	}
	p.application.Document = document
	if p.next, err = p.foresee(d, on); err != nil {
		return nil, err
	}
	p.effects(on, p.next)
	return p, nil
}

func cameraID(c cameraConfig) string { return c.ID }
func groupName(g groupConfig) string { return g.ID }

func byID[T any](list []T, id func(T) string) map[string]any {
	all := map[string]any{}
	for _, one := range list {
		all[id(one)] = one
	}
	return all
}

func (p *planned) change(what, id, change string, details ...string) {
	p.Changes = append(p.Changes, api.PlannedChange{What: what, ID: id, Change: change, Details: details})
}

// planThings compares what has no history.
func (p *planned) planThings(what string, before, after map[string]any) {
	for _, id := range slices.Sorted(maps.Keys(after)) {
		old, there := before[id]
		switch {
		case !there:
			p.change(what, id, "added")
		default:
			if changed := differences(old, after[id]); len(changed) > 0 {
				p.change(what, id, "changed", changed...)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if _, there := after[id]; !there {
			p.change(what, id, "removed")
		}
	}
}

// planUsers makes accounts what is declared of them. One that is not named stays as it is.
func (p *planned) planUsers(d *described, on standing) {
	for _, u := range d.Users {
		i := slices.IndexFunc(on.accounts, func(a identity.Declared) bool { return a.Name == u.Name })
		if i < 0 {
			p.change("user", u.Name, "added", "role: "+string(u.Role))
			p.Next = append(p.Next, "give "+u.Name+" a password: klarsyn account password --name "+u.Name)
			p.users = append(p.users, userChange{u, nil})
			continue
		}
		if before := on.accounts[i]; before != u {
			p.change("user", u.Name, "changed", differences(before, u)...)
			p.users = append(p.users, userChange{u, &before})
		}
	}
}

// planPermits finds the steps from what was decided to what is now.
func (p *planned) planPermits(d *described, on standing, faults *faultList) {
	order := make([]int, len(d.Permits))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return d.Permits[a].Version - d.Permits[b].Version })
	inForce := map[string]*policy.Permit{} // last; that it ended or was revoked does not let more follow than followed it
	for _, v := range on.versions {
		if before := inForce[v.Permit.ID]; v.Decided() != policy.Draft && (before == nil || before.Version < v.Permit.Version) {
			inForce[v.Permit.ID] = &v.Permit
		}
	}
	for _, i := range order {
		p.planPermit(fmt.Sprintf("$.permits[%d]", i), d.Permits[i], on, inForce, faults)
	}
	for _, v := range on.versions {
		s := v.Decided()
		if s != policy.Active && s != policy.Suspended {
			continue
		}
		if !slices.ContainsFunc(d.Permits, func(pc permitConfig) bool {
			return pc.ID == v.Permit.ID && (pc.Version == v.Permit.Version || pc.Version > v.Permit.Version && pc.State != policy.Draft)
		}) {
			faults.add("$.permits", "permit %s is %s and not in this file: a decision does not vanish; keep it here, and when it is over say state: ended, or revoked, and why",
				v.Permit.Ref(), s)
		}
	}
}

func (p *planned) planPermit(at string, pc permitConfig, on standing, inForce map[string]*policy.Permit, faults *faultList) {
	var have policy.Version
	i := slices.IndexFunc(on.versions, func(v policy.Version) bool { return v.Permit.ID == pc.ID && v.Permit.Version == pc.Version })
	if i >= 0 {
		have = on.versions[i]
	}
	was := have.Decided()
	if i >= 0 && was != policy.Draft {
		if changed := differences(have.Permit, pc.Permit); len(changed) > 0 {
			faults.add(at+".version", "%s was in force as something else (%s): a version never changes; give the change version %d", pc.Ref(), changed[0], pc.Version+1)
			return
		}
	}
	step := policy.Step{State: pc.State, At: on.now, Actor: p.application.Who.Name, Reason: pc.Reason, Unlawful: pc.Unlawful}
	if pc.Effective != nil {
		step.Effective = pc.Effective.UTC()
		if step.Effective.After(on.now) && pc.State != was {
			faults.add(at+".effective", "%s: it lies ahead, and a revocation holds at once: revoke it then, or say since when", step.Effective.Format(time.RFC3339))
			return
		}
	}
	if pc.State == was && was != policy.Draft {
		if what := decidedElse(have.Steps[len(have.Steps)-1], step); what != "" {
			faults.add(at+".state", "%s: permit %s is that already, %s: a decision that was made stays as klarsyn get shows it", pc.State, pc.Ref(), what)
			return
		}
	}
	switch {
	case pc.State == was && was != policy.Draft && !laterUnlawful(have, pc):
		return
	case pc.State == policy.Draft && was == policy.Draft:
		if i < 0 || len(differences(have.Permit, pc.Permit)) > 0 {
			p.change("permit", pc.Ref(), "drafted")
			p.application.Drafts = append(p.application.Drafts, pc.Permit)
		}
		return
	case (was == policy.Superseded || was == policy.Expired) && ever(have, pc.State):
		return // a file may go on naming what is over by itself
	case pc.State == policy.Active && was == policy.Suspended:
		p.change("permit", pc.Ref(), "active again")
	case pc.State == policy.Active && was == policy.Draft:
		before := inForce[pc.ID]
		if found := pc.Activation(before); len(found) > 0 {
			faults.below(at, found)
			return
		}
		if on.settings != nil && pc.Until(on.now).Sub(on.now) < 2*on.settings.clip {
			faults.add(at+".retention", "%s: less than two clips of %s: a clip must be able to end before it expires; shorten clip", pc.Retention, on.settings.clip)
			return
		}
		var details []string
		if before != nil {
			details = append(differences(*before, pc.Permit), intrusions(*before, pc.Permit)...)
		}
		p.change("permit", pc.Ref(), "activated", details...)
		for _, w := range pc.Warnings(on.now) {
			p.Warnings = append(p.Warnings, pc.Ref()+": "+w)
		}
		if before != nil && pc.ValidFrom.After(on.now) {
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s: it takes the place of version %d at once, and begins on %s: until then nothing is permitted; apply it then",
				pc.Ref(), before.Version, pc.ValidFrom.Format(time.RFC3339)))
		}
		inForce[pc.ID] = &pc.Permit
	case pc.State == policy.Revoked && was != policy.Draft:
		details := []string{"reason: " + pc.Reason}
		if pc.Unlawful {
			details = append(details, "unlawful: what was collected since then is erased")
		}
		p.change("permit", pc.Ref(), "revoked", details...)
	case (pc.State == policy.Suspended || pc.State == policy.Ended) && (was == policy.Active || was == policy.Suspended):
		p.change("permit", pc.Ref(), string(pc.State), "reason: "+pc.Reason)
	default:
		faults.add(at+".state", "%s: permit %s is %s: nothing leads from there to %s", pc.State, pc.Ref(), was, pc.State)
		return
	}
	p.application.Steps = append(p.application.Steps, catalogue.PermitStep{Permit: pc.Permit, Step: step})
}

// decidedElse says in what a step differs from the same one that was taken; empty: in nothing.
func decidedElse(taken, step policy.Step) string {
	switch {
	case taken.Unlawful && !step.Unlawful:
		return "as unlawful"
	case step.Unlawful && !taken.Unlawful: // that follows
		return ""
	case taken.Reason != step.Reason:
		return "for another reason: " + taken.Reason
	case !taken.Effective.Equal(step.Effective.Truncate(time.Microsecond)):
		return "with another effective"
	}
	return ""
}

// ever reports whether a version was in a state.
func ever(v policy.Version, state policy.PermitState) bool {
	return slices.ContainsFunc(v.Steps, func(s policy.Step) bool { return s.State == state })
}

// laterUnlawful reports whether somebody found out that what was revoked should never have been.
func laterUnlawful(have policy.Version, pc permitConfig) bool {
	return pc.Unlawful && !have.Steps[len(have.Steps)-1].Unlawful
}

func intrusions(before, after policy.Permit) []string {
	raised := policy.Raises(before, after)
	for i := range raised {
		raised[i] = "more intrusive: " + raised[i]
	}
	return raised
}

// differences are the fields in which two things of a kind differ, as YAML names them.
func differences(before, after any) []string {
	old, now := flat(before), flat(after)
	var out []string
	for _, field := range slices.Sorted(maps.Keys(now)) {
		if was, there := old[field]; !there {
			out = append(out, fmt.Sprintf("%s: %s (new)", field, now[field]))
		} else if was != now[field] {
			out = append(out, fmt.Sprintf("%s: %s, before %s", field, now[field], was))
		}
	}
	for _, field := range slices.Sorted(maps.Keys(old)) {
		if _, there := now[field]; !there {
			out = append(out, fmt.Sprintf("%s: gone, before %s", field, old[field]))
		}
	}
	return out
}

// flat is a thing as paths and values.
func flat(v any) map[string]string {
	text, err := yaml.Marshal(v)
	out := map[string]string{}
	if err != nil {
		return out
	}
	var tree any
	if yaml.Unmarshal(text, &tree) == nil {
		flatten("", tree, out)
	}
	return out
}

func flatten(path string, v any, out map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 && path != "" { // a schedule without hours is no schedule left out
			out[path] = "{}"
		}
		for key, value := range v {
			flatten(strings.TrimPrefix(path+"."+key, "."), value, out)
		}
	case []any: // an empty list is one left out
		for i, value := range v {
			flatten(fmt.Sprintf("%s[%d]", path, i), value, out)
		}
	case nil:
	default:
		out[path] = fmt.Sprint(v)
	}
}

// foresee is what would hold.
func (p *planned) foresee(d *described, on standing) (*holding, error) {
	versions := slices.Clone(on.versions)
	put := func(permit policy.Permit, step *policy.Step) {
		i := slices.IndexFunc(versions, func(v policy.Version) bool { return v.Permit.ID == permit.ID && v.Permit.Version == permit.Version })
		if i < 0 {
			versions = append(versions, policy.Version{})
			i = len(versions) - 1
		}
		versions[i] = policy.Version{Permit: permit, Steps: slices.Clone(versions[i].Steps)}
		if step == nil {
			return
		}
		if step.State == policy.Active {
			for j, v := range versions {
				if v.GivesWay(permit) {
					versions[j].Steps = append(slices.Clone(v.Steps), policy.Step{State: policy.Superseded, At: step.At})
				}
			}
		}
		versions[i].Steps = append(versions[i].Steps, *step)
	}
	for _, draft := range p.application.Drafts {
		put(draft, nil)
	}
	for _, s := range p.application.Steps {
		put(s.Permit, &s.Step)
	}
	set, err := policy.PermitsOf(versions)
	return &holding{revision: on.holding.revision + 1, Declaration: Declaration{Cameras: d.Cameras, Groups: d.Groups}, permits: set}, err
}

// effects says which cameras would start and stop, now.
func (p *planned) effects(on standing, next *holding) {
	ids := map[string]bool{}
	for _, h := range []*holding{on.holding, next} {
		for _, c := range h.Cameras {
			ids[c.ID] = true
		}
	}
	doing := func(h *holding, id string) policy.Answer {
		if _, there := h.camera(camera.ID(id)); !there {
			return policy.Answer{Cause: policy.CauseNotPermitted, Clause: policy.ClauseNone, Detail: "the camera is not of the square"}
		}
		return h.permits.Decide(id, on.now)
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		before, after := doing(on.holding, id), doing(next, id)
		for _, e := range []struct {
			what          string
			before, after bool
		}{{"recording", before.Recording, after.Recording}, {"counting", before.Counting, after.Counting}} {
			if e.before == e.after {
				continue
			}
			p.Effects = append(p.Effects, api.PlannedEffect{Camera: id, What: e.what, Starts: e.after, Permit: after.Ref(), Clause: after.Clause, Detail: after.Detail})
		}
	}
}
