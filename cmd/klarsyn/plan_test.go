package main

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/identity"
	"klarsyn/retention/catalogue"
)

// paper is an assessment, another one for each number.
func paper(n int) string {
	return fmt.Sprintf("{sha256: f%063d, date: 2025-12-%02d, decider: Trafiknämnden, diary: TN %d}", n, n, n)
}

// fields are those of a permit; one that is empty is left out.
type fields map[string]string

// permitOf describes a permit of camera k1 that rests on a paper of its own, but for what f says.
func permitOf(id string, version int, f fields) string {
	all := fields{
		"id": id, "version": fmt.Sprint(version), "regime": "police", "basis": "assessment", "assessment": paper(version), "cameras": "[k1]",
		"valid_from": "2026-01-01T00:00:00Z", "retention": "PT72H", "purposes": "[crime-investigation]",
	}
	maps.Copy(all, f)
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if all[key] != "" {
			lines = append(lines, "    "+key+": "+all[key]+"\n")
		}
	}
	return "  -" + strings.TrimPrefix(strings.Join(lines, ""), "   ")
}

// square is a description of cameras k1 and k2 with permits.
func squareOf(permits ...string) string {
	text := "node: prov\nclip: 5s\ncameras:\n  - {id: k1, url: rtsp://192.0.2.1/stream}\n  - {id: k2, url: rtsp://192.0.2.2/stream}\n"
	if len(permits) > 0 {
		text += "permits:\n" + strings.Join(permits, "")
	}
	return text
}

// planning is a square in memory, for which changes are planned.
type planning struct {
	t  *testing.T
	on standing
}

func newPlanning(t *testing.T) *planning {
	set, err := policy.PermitsOf(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &planning{t, standing{
		holding: &holding{permits: set}, settings: &square{clip: 5 * time.Second}, now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC),
	}}
}

func (p *planning) plan(text string) (*planned, error) {
	d, err := readDeclaration("square.yaml", []byte(text))
	if err != nil {
		return nil, err
	}
	return plan(d, p.on, policy.Subject{Name: "eva", Role: policy.ComplianceOfficer})
}

// apply has the plan come true, as it foresees it; an hour later.
func (p *planning) apply(texts ...string) *planned {
	p.t.Helper()
	var made *planned
	for _, text := range texts {
		var err error
		if made, err = p.plan(text); err != nil {
			p.t.Fatalf("%v, in:\n%s", err, text)
		}
		p.hold(made.next.Declaration, made.next.permits.Versions())
		for _, u := range made.users {
			p.on.accounts = append(slices.DeleteFunc(p.on.accounts, func(a identity.Declared) bool { return a.Name == u.declared.Name }), u.declared)
		}
	}
	return made
}

func (p *planning) hold(d Declaration, versions []policy.Version) {
	p.t.Helper()
	set, err := policy.PermitsOf(versions)
	if err != nil {
		p.t.Fatal(err)
	}
	p.on.holding = &holding{revision: p.on.holding.revision + 1, Declaration: d, permits: set}
	p.on.versions = set.Versions()
	p.on.now = p.on.now.Add(time.Hour)
}

// words are the changes of a plan without their details.
func words(p *planned) string {
	var all []string
	for _, c := range p.Changes {
		all = append(all, c.What+" "+c.ID+": "+c.Change)
	}
	return strings.Join(all, "; ")
}

// states of plattan@1, each with how it comes about, and what a file says of it while it lasts.
func stateTexts() (names []string, texts map[string]fields) {
	texts = map[string]fields{
		"draft": {"state": "draft"}, "active": {"state": "active"}, "suspended": {"state": "suspended", "reason": "repairs"},
		"revoked": {"state": "revoked", "reason": "never allowed"}, "unlawful": {"state": "revoked", "reason": "never allowed", "unlawful": "true"},
		"ended": {"state": "ended", "reason": "moved away"},
	}
	return []string{"draft", "active", "suspended", "revoked", "unlawful", "ended"}, texts
}

// in brings plattan@1 into a state, and returns what else a file must hold then.
func (p *planning) in(state string) (others string) {
	_, texts := stateTexts()
	one := func(f fields) string { return permitOf("plattan", 1, f) }
	switch state {
	case "none":
		p.apply(squareOf())
	case "draft":
		p.apply(squareOf(one(texts["draft"])))
	case "superseded":
		others = permitOf("plattan", 2, nil)
		p.apply(squareOf(one(nil)), squareOf(one(nil), others))
	case "expired":
		p.apply(squareOf(one(fields{"valid_to": "2026-11-20T12:30:00Z"})))
		versions := p.on.versions
		versions[0].Steps = append(versions[0].Steps, policy.Step{State: policy.Expired, At: p.on.now, Actor: "service:retain"})
		p.hold(p.on.holding.Declaration, versions)
	case "active":
		p.apply(squareOf(one(nil)))
	default:
		p.apply(squareOf(one(nil)), squareOf(one(texts[state])))
	}
	return others
}

// Every state meets every state that a file can ask for. What is not listed is refused.
func TestPermitStates(t *testing.T) {
	t.Parallel()
	const nothing = "-"
	allowed := map[string]fields{ // of what is, to what is asked: what is done
		"none":       {"draft": "drafted", "active": "activated"},
		"draft":      {"draft": nothing, "active": "activated"},
		"active":     {"active": nothing, "suspended": "suspended", "revoked": "revoked", "unlawful": "revoked", "ended": "ended"},
		"suspended":  {"active": "active again", "suspended": nothing, "revoked": "revoked", "unlawful": "revoked", "ended": "ended"},
		"superseded": {"active": nothing, "revoked": "revoked", "unlawful": "revoked"},
		"expired":    {"active": nothing, "revoked": "revoked", "unlawful": "revoked"},
		"revoked":    {"revoked": nothing, "unlawful": "revoked"},
		"unlawful":   {"unlawful": nothing},
		"ended":      {"ended": nothing, "revoked": "revoked", "unlawful": "revoked"},
	}
	names, texts := stateTexts()
	for _, was := range slices.Sorted(maps.Keys(allowed)) {
		for _, asked := range names {
			p := newPlanning(t)
			others := p.in(was)
			f := maps.Clone(texts[asked])
			if was == "expired" {
				f["valid_to"] = "2026-11-20T12:30:00Z"
			}
			text := squareOf(permitOf("plattan", 1, f), others)
			made, err := p.plan(text)
			want, ok := allowed[was][asked]
			switch {
			case !ok:
				var usage usageError
				if !errors.As(err, &usage) || !strings.Contains(err.Error(), "square.yaml:") {
					t.Errorf("%s is asked to be %s: %v; want it refused, with its place", was, asked, err)
				}
			case err != nil:
				t.Errorf("%s is asked to be %s: %v", was, asked, err)
			case want == nothing:
				if got := words(made); got != "" || len(made.application.Steps)+len(made.application.Drafts) > 0 {
					t.Errorf("%s is asked to be %s: %s, and %+v, want nothing", was, asked, got, made.application)
				}
			default:
				if got := words(made); got != "permit plattan@1: "+want {
					t.Errorf("%s is asked to be %s: %s, want %s", was, asked, got, want)
				}
				p.apply(text)
				if again := p.apply(text); words(again) != "" {
					t.Errorf("%s became %s, and then: %s", was, asked, words(again))
				}
				v, _ := p.on.holding.permits.Version("plattan", 1)
				if got, wanted := v.Decided(), policy.PermitState(texts[asked]["state"]); got != wanted {
					t.Errorf("%s was asked to be %s, and is %s", was, asked, got)
				}
				if step := v.Steps; asked != "draft" && (step[len(step)-1].Reason != texts[asked]["reason"] || step[len(step)-1].Unlawful != (asked == "unlawful") || step[len(step)-1].Actor != "eva") {
					t.Errorf("%s became %s by the step %+v", was, asked, step[len(step)-1])
				}
			}
		}
	}
}

// What cannot become of what holds is refused, and why is said.
func TestRefusedPlans(t *testing.T) {
	t.Parallel()
	first, second := permitOf("plattan", 1, nil), permitOf("plattan", 2, nil)
	for name, c := range map[string]struct {
		before []string
		text   string
		want   []string
	}{
		"a changed version": {[]string{squareOf(first)}, squareOf(permitOf("plattan", 1, fields{"retention": "PT71H"})),
			[]string{"square.yaml:15:14: permits[0].version: plattan@1 was in force as something else (retention: PT71H, before PT72H)", "give the change version 2"}},
		"a version that changed while it is suspended": {[]string{squareOf(first), squareOf(permitOf("plattan", 1, fields{"state": "suspended", "reason": "x"}))},
			squareOf(permitOf("plattan", 1, fields{"state": "suspended", "reason": "x", "min_cell": "1"})), []string{"min_cell: 1, before 5"}},
		"a version that lost its hours": {[]string{squareOf(permitOf("plattan", 1, fields{"schedule": "{}"}))}, squareOf(first),
			[]string{"plattan@1 was in force as something else (schedule: gone"}},
		"a permit that vanished":        {[]string{squareOf(first)}, squareOf(), []string{"square.yaml:1:1: permits: permit plattan@1 is active and not in this file", "state: ended, or revoked, and why"}},
		"a suspended one that vanished": {[]string{squareOf(first), squareOf(permitOf("plattan", 1, fields{"state": "suspended", "reason": "x"}))}, squareOf(), []string{"plattan@1 is suspended and not in this file"}},
		"one of which only a draft of the next is left": {[]string{squareOf(first)}, squareOf(permitOf("plattan", 2, fields{"state": "draft"})),
			[]string{"plattan@1 is active and not in this file"}},
		"more than was assessed": {[]string{squareOf(first)}, squareOf(first, permitOf("plattan", 2, fields{"assessment": paper(1), "retention": "PT73H"})),
			[]string{"permits[1].assessment: it is that of version 1, and this one intrudes more: footage is kept for PT73H, before PT72H", "a new assessment comes first"}},
		"more than was assessed, after an end": {[]string{squareOf(first), squareOf(permitOf("plattan", 1, fields{"state": "ended", "reason": "x"}))},
			squareOf(permitOf("plattan", 2, fields{"assessment": paper(1), "retention": "PT73H"})), []string{"it is that of version 1, and this one intrudes more"}},
		"a lower version": {[]string{squareOf(second)}, squareOf(first, second), []string{"permits[0].version: 1: version 2 was in force before: want a higher one"}},
		"a lower version, after an end": {[]string{squareOf(second), squareOf(permitOf("plattan", 2, fields{"state": "ended", "reason": "x"}))},
			squareOf(first), []string{"1: version 2 was in force before"}},
		"a temporary one that begins anew": {[]string{squareOf(permitOf("plattan", 1, fields{"basis": "temporary", "assessment": ""})), squareOf(permitOf("plattan", 1, fields{"basis": "temporary", "assessment": "", "state": "ended", "reason": "x"}))},
			squareOf(permitOf("plattan", 2, fields{"basis": "temporary", "assessment": "", "valid_from": "2026-11-01T00:00:00Z"})), []string{"permits[0].valid_from:", "a new occasion is a permit of its own"}},
		"no assessment":             {nil, squareOf(permitOf("plattan", 1, fields{"assessment": ""})), []string{"permits[0].assessment: missing"}},
		"less than two clips":       {nil, squareOf(permitOf("plattan", 1, fields{"retention": "PT9S"})), []string{"PT9S: less than two clips of 5s"}},
		"another reason":            {[]string{squareOf(first), squareOf(permitOf("plattan", 1, fields{"state": "ended", "reason": "x"}))}, squareOf(permitOf("plattan", 1, fields{"state": "ended", "reason": "y"})), []string{"permits[0].state: ended: permit plattan@1 is that already, for another reason: x"}},
		"unlawful, and now not":     {[]string{squareOf(first), squareOf(permitOf("plattan", 1, fields{"state": "revoked", "reason": "x", "unlawful": "true"}))}, squareOf(permitOf("plattan", 1, fields{"state": "revoked", "reason": "x"})), []string{"is that already, as unlawful"}},
		"another effective":         {[]string{squareOf(first), squareOf(permitOf("plattan", 1, fields{"state": "revoked", "reason": "x"}))}, squareOf(permitOf("plattan", 1, fields{"state": "revoked", "reason": "x", "effective": "2026-02-01T00:00:00Z"})), []string{"is that already, with another effective"}},
		"a revocation to come":      {[]string{squareOf(first)}, squareOf(permitOf("plattan", 1, fields{"state": "revoked", "reason": "x", "effective": "2027-02-01T00:00:00Z"})), []string{"permits[0].effective: 2027-02-01T00:00:00Z: it lies ahead"}},
		"a draft of what is active": {[]string{squareOf(first)}, squareOf(permitOf("plattan", 1, fields{"state": "draft"})), []string{"permits[0].state: draft: permit plattan@1 is active: nothing leads from there to draft"}},
		"two faults": {[]string{squareOf(first)}, squareOf(permitOf("sveavagen", 1, fields{"state": "ended", "reason": "x"})),
			[]string{"plattan@1 is active and not in this file", "sveavagen@1 is draft: nothing leads from there to ended"}},
	} {
		p := newPlanning(t)
		p.apply(c.before...)
		_, err := p.plan(c.text)
		var usage usageError
		if !errors.As(err, &usage) {
			t.Errorf("%s: %v; want it refused", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: says\n%v\nwant %q", name, err, want)
			}
		}
	}
}

// A later version takes the place of one before, whatever the file goes on saying of that.
func TestVersionsFollowEachOther(t *testing.T) {
	t.Parallel()
	first := permitOf("plattan", 1, nil)
	for name, c := range map[string]struct {
		before []string
		text   string
		want   string
	}{
		"both at once":           {nil, squareOf(permitOf("plattan", 2, nil), first), "permit plattan@1: activated; permit plattan@2: activated"},
		"the file names both":    {[]string{squareOf(first)}, squareOf(first, permitOf("plattan", 2, nil)), "permit plattan@2: activated"},
		"the file names the new": {[]string{squareOf(first)}, squareOf(permitOf("plattan", 2, nil)), "permit plattan@2: activated"},
		"a number is left out":   {[]string{squareOf(first)}, squareOf(permitOf("plattan", 9, nil)), "permit plattan@9: activated"},
		"one is suspended and another follows": {[]string{squareOf(first)}, squareOf(permitOf("plattan", 1, fields{"state": "suspended", "reason": "x"}), permitOf("plattan", 2, nil)),
			"permit plattan@1: suspended; permit plattan@2: activated"},
		"after a suspended one": {[]string{squareOf(first), squareOf(permitOf("plattan", 1, fields{"state": "suspended", "reason": "x"}))}, squareOf(permitOf("plattan", 2, nil)), "permit plattan@2: activated"},
		"after a revoked one":   {[]string{squareOf(first), squareOf(permitOf("plattan", 1, fields{"state": "revoked", "reason": "x"}))}, squareOf(permitOf("plattan", 2, nil)), "permit plattan@2: activated"},
		"less intrusive on the same paper": {[]string{squareOf(first)}, squareOf(permitOf("plattan", 2, fields{"assessment": paper(1), "retention": "PT71H"})),
			"permit plattan@2: activated"},
		"a draft beside it":    {[]string{squareOf(first)}, squareOf(first, permitOf("plattan", 2, fields{"state": "draft"})), "permit plattan@2: drafted"},
		"a draft that changes": {[]string{squareOf(permitOf("plattan", 1, fields{"state": "draft", "schedule": "{}"}))}, squareOf(permitOf("plattan", 1, fields{"state": "draft"})), "permit plattan@1: drafted"},
		"a draft that is activated as another": {[]string{squareOf(permitOf("plattan", 1, fields{"state": "draft"}))}, squareOf(permitOf("plattan", 1, fields{"retention": "PT1H"})),
			"permit plattan@1: activated"},
		"a draft that is left out":     {[]string{squareOf(permitOf("plattan", 1, fields{"state": "draft"}))}, squareOf(), ""},
		"one that ended is left out":   {[]string{squareOf(first), squareOf(permitOf("plattan", 1, fields{"state": "ended", "reason": "x"}))}, squareOf(), ""},
		"another permit":               {[]string{squareOf(first)}, squareOf(first, permitOf("sveavagen", 1, fields{"cameras": "[k2]"})), "permit sveavagen@1: activated"},
		"an ended one without cameras": {[]string{squareOf(permitOf("plattan", 1, fields{"cameras": "[k2]"}))}, strings.Replace(squareOf(permitOf("plattan", 1, fields{"cameras": "[k2]", "state": "ended", "reason": "x"})), "  - {id: k2, url: rtsp://192.0.2.2/stream}\n", "", 1), "camera k2: removed; permit plattan@1: ended"},
	} {
		p := newPlanning(t)
		p.apply(append([]string{squareOf()}, c.before...)...)
		made, err := p.plan(c.text)
		if err != nil || words(made) != c.want {
			t.Errorf("%s: %v, error %v, want %s", name, made, err, c.want)
			continue
		}
		p.apply(c.text)
		inForce := 0
		for _, v := range p.on.versions {
			if v.Permit.ID == "plattan" && v.Decided() == policy.Active {
				inForce++
			}
		}
		if inForce > 1 {
			t.Errorf("%s: %d versions of a permit are in force", name, inForce)
		}
		if again := p.apply(c.text); words(again) != "" {
			t.Errorf("%s, again: %s", name, words(again))
		}
	}
}

// The details of a plan name what differs, and what intrudes more.
func TestPlannedDetails(t *testing.T) {
	p := newPlanning(t)
	p.apply(squareOf(permitOf("plattan", 1, nil)))
	made, err := p.plan(squareOf(permitOf("plattan", 2, fields{"retention": "P30D", "cameras": "[k1, k2]", "schedule": "{weekly: [{days: [fri], from: \"21:00\", to: \"06:00\"}]}"})))
	if err != nil {
		t.Fatal(err)
	}
	details := strings.Join(made.Changes[0].Details, "\n")
	for _, want := range []string{"retention: P30D, before PT72H", "cameras[1]: k2 (new)", "schedule.weekly[0].from: 21:00 (new)", "more intrusive: camera k2 is new", "more intrusive: footage is kept for P30D, before PT72H"} {
		if !strings.Contains(details, want) {
			t.Errorf("details\n%s\nwant %s", details, want)
		}
	}
	made, err = p.plan(squareOf(permitOf("plattan", 1, fields{"state": "revoked", "reason": "never allowed", "unlawful": "true", "effective": "2026-03-01T00:00:00+01:00"})))
	if err != nil {
		t.Fatal(err)
	}
	want := []catalogue.PermitStep{{Permit: p.on.versions[0].Permit, Step: policy.Step{State: policy.Revoked, At: p.on.now, Actor: "eva", Reason: "never allowed", Unlawful: true, Effective: time.Date(2026, 2, 28, 23, 0, 0, 0, time.UTC)}}}
	if !reflect.DeepEqual(made.application.Steps, want) {
		t.Errorf("steps %+v, want %+v", made.application.Steps, want)
	}
	if got := strings.Join(made.Changes[0].Details, "; "); !strings.Contains(got, "reason: never allowed; unlawful: what was collected") {
		t.Errorf("details %s", got)
	}
}

// A plan says which cameras start and stop at once, and why.
func TestPlannedEffects(t *testing.T) {
	on := squareOf(permitOf("plattan", 1, nil))
	for name, c := range map[string]struct {
		before []string
		text   string
		want   []string
	}{
		"it begins":             {nil, on, []string{"k1 recording starts plattan@1 cameras", "k1 counting starts plattan@1 cameras"}},
		"it begins later":       {nil, squareOf(permitOf("plattan", 1, fields{"valid_from": "2027-01-01T00:00:00Z"})), nil},
		"a draft":               {nil, squareOf(permitOf("plattan", 1, fields{"state": "draft"})), nil},
		"it only counts":        {[]string{on}, squareOf(permitOf("plattan", 2, fields{"mode": "count-only"})), []string{"k1 recording stops plattan@2 mode"}},
		"it demands a mask":     {[]string{on}, squareOf(permitOf("plattan", 2, fields{"masks": "[{camera: k1, id: m, version: 1, kind: black, polygon: [{x: 0, y: 0}, {x: 1, y: 0}, {x: 1, y: 1}]}]"})), []string{"k1 recording stops plattan@2 masks"}},
		"it is suspended":       {[]string{on}, squareOf(permitOf("plattan", 1, fields{"state": "suspended", "reason": "x"})), []string{"k1 recording stops plattan@1 state", "k1 counting stops plattan@1 state"}},
		"it is outside hours":   {[]string{on}, squareOf(permitOf("plattan", 2, fields{"schedule": "{weekly: [{days: [sat], from: \"00:00\", to: \"24:00\"}]}"})), []string{"k1 recording stops plattan@2 schedule", "k1 counting stops plattan@2 schedule"}},
		"a further camera":      {[]string{on}, squareOf(permitOf("plattan", 2, fields{"cameras": "[k1, k2]"})), []string{"k2 recording starts plattan@2 cameras", "k2 counting starts plattan@2 cameras"}},
		"the camera is no more": {[]string{on}, strings.Replace(squareOf(permitOf("plattan", 1, fields{"state": "ended", "reason": "x"})), "  - {id: k1, url: rtsp://192.0.2.1/stream}\n", "", 1), []string{"k1 recording stops  no-permit", "k1 counting stops  no-permit"}},
		"the same goes on":      {[]string{on}, squareOf(permitOf("plattan", 2, nil)), nil},
	} {
		p := newPlanning(t)
		p.apply(append([]string{squareOf()}, c.before...)...)
		made, err := p.plan(c.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, e := range made.Effects {
			verb := "stops"
			if e.Starts {
				verb = "starts"
			}
			got = append(got, strings.Join([]string{e.Camera, e.What, verb, e.Permit, e.Clause}, " "))
			if e.Detail == "" {
				t.Errorf("%s: %+v says not why", name, e)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Cameras, groups and accounts: what is said otherwise and means the same is no change; accounts that are not named stay.
func TestPlannedThings(t *testing.T) {
	const base = "cameras:\n  - {id: k1, url: rtsp://192.0.2.1/stream}\n"
	for name, c := range map[string]struct{ before, text, want string }{
		"the same":                   {base, base, ""},
		"no zones, and none":         {base, "cameras:\n  - {id: k1, url: rtsp://192.0.2.1/stream, zones: []}\n", ""},
		"another order":              {base + "  - {id: k2, url: rtsp://192.0.2.2/}\n", "cameras:\n  - {url: rtsp://192.0.2.2/, id: k2}\n  - {url: rtsp://192.0.2.1/stream, id: k1}\n", ""},
		"a view":                     {base, "cameras:\n  - {id: k1, url: rtsp://192.0.2.1/stream, view: b}\n", "camera k1: changed"},
		"gate, said and not":         {base, "cameras:\n  - {id: k1, url: rtsp://192.0.2.1/stream, counting: {gate: false}}\n", "camera k1: changed"},
		"one more, one less":         {base, "cameras:\n  - {id: k2, url: rtsp://192.0.2.2/}\n", "camera k2: added; camera k1: removed"},
		"a group":                    {base, base + "groups:\n  - {id: g, cameras: [k1], roles: [auditor]}\n", "group g: added"},
		"a group without roles":      {base + "groups:\n  - {id: g, cameras: [k1]}\n", base + "groups:\n  - {id: g, cameras: [k1], roles: []}\n", ""},
		"a group of another role":    {base + "groups:\n  - {id: g, cameras: [k1]}\n", base + "groups:\n  - {id: g, cameras: [k1], roles: [auditor]}\n", "group g: changed"},
		"a group that goes":          {base + "groups:\n  - {id: g, cameras: [k1]}\n", base, "group g: removed"},
		"an account":                 {base, base + "users:\n  - {name: anna, role: auditor}\n", "user anna: added"},
		"an account that is there":   {base + "users:\n  - {name: anna, role: auditor}\n", base + "users:\n  - {name: anna, role: auditor, disabled: false}\n", ""},
		"an account with more to do": {base + "users:\n  - {name: anna, role: auditor}\n", base + "users:\n  - {name: anna, role: operator}\n", "user anna: changed"},
		"an account that is over":    {base + "users:\n  - {name: anna, role: auditor}\n", base + "users:\n  - {name: anna, role: auditor, disabled: true}\n", "user anna: changed"},
		"an account that is unnamed": {base + "users:\n  - {name: anna, role: auditor}\n", base, ""},
	} {
		p := newPlanning(t)
		p.apply(c.before)
		// What holds was written and read again since.
		again, err := p.plan(c.before)
		if err != nil || words(again) != "" {
			t.Errorf("%s: what holds, again: %v, %v", name, again, err)
			continue
		}
		d, err := holdingOf(catalogue.Declared{Revision: 1, Document: again.application.Document})
		if err != nil {
			t.Fatal(err)
		}
		p.hold(d.Declaration, nil)
		made, err := p.plan(c.text)
		if err != nil || words(made) != c.want {
			t.Errorf("%s: %+v, error %v, want %q", name, made, err, c.want)
			continue
		}
		for _, change := range made.Changes {
			if change.Change == "changed" && len(change.Details) == 0 {
				t.Errorf("%s: says not what changes", name)
			}
		}
		if hint := strings.Join(made.Next, ""); (hint != "") != (name == "an account") || hint != "" && !strings.Contains(hint, "klarsyn account password --name anna") {
			t.Errorf("%s: what is left to do is %q", name, hint)
		}
	}
}
