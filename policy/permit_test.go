package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"klarsyn/policy"
)

func plattan(t testing.TB) policy.Permit {
	t.Helper()
	return policy.Permit{
		ID: "plattan", Version: 1, Regime: policy.Municipal, Basis: policy.Assessment, Cameras: []string{"k1", "k2"},
		ValidFrom: at(t, "2026-01-01T00:00:00Z"), ValidTo: at(t, "2027-01-01T00:00:00Z"),
		Retention: period(t, "P2M"), Purposes: []string{policy.CrimeInvestigation}, MinCell: 5,
	}
}

// full is a permit with every field that there is.
func full(t testing.TB) policy.Permit {
	t.Helper()
	p := plattan(t)
	p.Regime, p.Controller, p.Processor, p.Joint = policy.Police, "Polismyndigheten", "Stockholms stad", "KS 2026/14"
	p.Assessment = &policy.Document{SHA256: strings.Repeat("0a", 32), Date: "2025-11-30", Decider: "Polisregion Stockholm", Diary: "A123.456/2025", DPIA: "A123.457/2025"}
	p.Place = &policy.Place{Address: "Sergels torg", Type: "torg", Polygon: []policy.Vertex{{X: 18.064, Y: 59.332}, {X: 18.065, Y: 59.332}, {X: 18.065, Y: 59.333}}}
	p.MaxCameras = 2
	p.Masks = []policy.Mask{{Camera: "k1", ID: "homes", Version: 1, Kind: "black", Polygon: []policy.Vertex{{X: 0, Y: 0}, {X: 1, Y: 0}, {X: 1, Y: 0.25}}, Calibration: "k1-2026-01-01"}}
	p.Schedule = &policy.Schedule{
		Weekly:     []policy.Window{window(t, "every day", "21:00–06:00")},
		Exceptions: []policy.Exception{closed(t, "Christmas", "2026-12-24", "FREQ=YEARLY", "00:00–24:00")},
	}
	p.Mode, p.Analytics, p.Limits, p.Special = policy.Record, []string{policy.Occupancy}, policy.Limits{Width: 1920, Height: 1080, Rate: 12.5}, "none"
	p.Roles, p.Approval = []policy.Role{policy.Investigator}, true
	p.Signs, p.Review = []policy.Sign{{ID: "north", Place: "by the stairs", Checked: "2026-01-02"}}, "2026-12-01"
	return p
}

func TestValidate(t *testing.T) {
	for _, p := range []policy.Permit{plattan(t), full(t)} {
		if err := p.Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct {
		field  string // that the message begins with
		what   string // that it says
		change func(*policy.Permit)
	}{
		{"id", "Plattan 1", func(p *policy.Permit) { p.ID = "Plattan 1" }},
		{"id", "1 to 63", func(p *policy.Permit) { p.ID = "" }},
		{"version", "0", func(p *policy.Permit) { p.Version = 0 }},
		{"regime", "municipal police", func(p *policy.Permit) { p.Regime, p.Masks = "", nil }},
		{"regime", "company", func(p *policy.Permit) { p.Regime = "company" }},
		{"basis", "because", func(p *policy.Permit) { p.Basis = "because" }},
		{"basis", "urgent", func(p *policy.Permit) { p.Regime, p.Basis = policy.Municipal, policy.Urgent }},
		{"assessment.sha256", "64", func(p *policy.Permit) { p.Assessment.SHA256 = strings.Repeat("0A", 32) }},
		{"assessment.date", "30 November", func(p *policy.Permit) { p.Assessment.Date = "30 November" }},
		{"assessment.decider", "missing", func(p *policy.Permit) { p.Assessment.Decider = "" }},
		{"assessment.diary", "missing", func(p *policy.Permit) { p.Assessment.Diary = "" }},
		{"place.address", "missing", func(p *policy.Permit) { p.Place.Address = "" }},
		{"cameras", "at least one", func(p *policy.Permit) { p.Cameras, p.Masks = nil, nil }},
		{"cameras[1]", `camera "K1"`, func(p *policy.Permit) { p.Cameras[1] = "K1" }},
		{"cameras[1]", `camera "k1": listed twice`, func(p *policy.Permit) { p.Cameras[1] = "k1" }},
		{"cameras", "max_cameras is 2", func(p *policy.Permit) { p.Cameras = []string{"k1", "k2", "k3"} }},
		{"max_cameras", "-1", func(p *policy.Permit) { p.MaxCameras = -1 }},
		{"masks[0].camera", "k9", func(p *policy.Permit) { p.Masks[0].Camera = "k9" }},
		{"masks[0].id", "Homes", func(p *policy.Permit) { p.Masks[0].ID = "Homes" }},
		{"masks[1].id", "listed twice", func(p *policy.Permit) { p.Masks = append(p.Masks, p.Masks[0]) }},
		{"masks[0].version", "0", func(p *policy.Permit) { p.Masks[0].Version = 0 }},
		{"masks[0].kind", "pink", func(p *policy.Permit) { p.Masks[0].Kind = "pink" }},
		{"masks[0].polygon", "2 corners", func(p *policy.Permit) { p.Masks[0].Polygon = p.Masks[0].Polygon[:2] }},
		{"masks[0].polygon[2]", "outside", func(p *policy.Permit) { p.Masks[0].Polygon[2].Y = 1.01 }},
		{"masks[0].polygon[0]", "outside", func(p *policy.Permit) { p.Masks[0].Polygon[0].X = -0.01 }},
		{"masks[0].polygon[0]", "outside", func(p *policy.Permit) { p.Masks[0].Polygon[0].X = math.NaN() }},
		{"limits", "positive", func(p *policy.Permit) { p.Limits.Width = -1 }},
		{"limits", "positive", func(p *policy.Permit) { p.Limits.Height = -1 }},
		{"limits", "positive", func(p *policy.Permit) { p.Limits.Rate = math.NaN() }},
		{"limits", "positive", func(p *policy.Permit) { p.Limits.Rate = math.Inf(1) }},
		{"valid_from", "missing", func(p *policy.Permit) { p.ValidFrom = time.Time{} }},
		{"valid_to", "later", func(p *policy.Permit) { p.ValidTo = p.ValidFrom }},
		{"valid_to", "P3M, so until 2026-03-31T23:00:00Z", func(p *policy.Permit) {
			p.Basis, p.ValidTo = policy.Temporary, at(t, "2026-03-31T23:00:01Z") // from 1 January 01:00 to 1 April 01:00 on clocks in Stockholm
		}},
		{"valid_to", "KBL 14 d § 2", func(p *policy.Permit) { p.Basis, p.ValidTo = policy.Urgent, at(t, "2026-01-15T00:00:01Z") }},
		{"valid_to", "KBL 13 §", func(p *policy.Permit) {
			p.Regime, p.Basis, p.ValidTo = policy.Municipal, policy.Temporary, at(t, "2026-02-01T00:00:01Z")
		}},
		{"schedule.weekly[0].days", "mon", func(p *policy.Permit) { p.Schedule.Weekly[0].Days = nil }},
		{"schedule.weekly[0].from", "24:00", func(p *policy.Permit) { p.Schedule.Weekly[0].From = 86400 }},
		{"schedule.weekly[0].to", "21:00", func(p *policy.Permit) { p.Schedule.Weekly[0].To = p.Schedule.Weekly[0].From }},
		{"schedule.exceptions[0].start", "Christmas", func(p *policy.Permit) { p.Schedule.Exceptions[0].Start = "Christmas" }},
		{"schedule.exceptions[0].rrule", "RFC 5545", func(p *policy.Permit) { p.Schedule.Exceptions[0].Rule = "every year" }},
		{"schedule.exceptions[0].name", "missing", func(p *policy.Permit) { p.Schedule.Exceptions[0].Name = "" }},
		{"retention", "missing; footage must", func(p *policy.Permit) { p.Retention = policy.Period{} }},
		{"retention", "at most P6M", func(p *policy.Permit) { p.Retention = period(t, "P6M1D") }},
		{"retention", "2018:1693", func(p *policy.Permit) { p.Retention = period(t, "P182D") }}, // longer than from 31 August to February
		{"review", "soon", func(p *policy.Permit) { p.Review = "soon" }},
		{"mode", "live", func(p *policy.Permit) { p.Mode = "live" }},
		{"analytics[0]", "faces", func(p *policy.Permit) { p.Analytics[0] = "faces" }},
		{"audio", "no sound", func(p *policy.Permit) { p.Audio = true }},
		{"special_technology", "infrared", func(p *policy.Permit) { p.Special = "infrared" }},
		{"purposes", "at least one", func(p *policy.Permit) { p.Purposes = nil }},
		{"purposes[0]", `purpose ""`, func(p *policy.Permit) { p.Purposes = []string{""} }},
		{"purposes[1]", `purpose "a": listed twice`, func(p *policy.Permit) { p.Purposes = []string{"a", "a"} }},
		{"roles[0]", "king", func(p *policy.Permit) { p.Roles[0] = "king" }},
		{"min_cell", "-1", func(p *policy.Permit) { p.MinCell = -1 }},
		{"signs[0]", "id and place", func(p *policy.Permit) { p.Signs[0].Place = "" }},
		{"signs[0].checked", "last week", func(p *policy.Permit) { p.Signs[0].Checked = "last week" }},
	} {
		p := full(t)
		c.change(&p)
		f := p.Faults()
		if len(f) != 1 || f[0].Field != c.field || !strings.Contains(f[0].What, c.what) {
			t.Errorf("faults %v, want one of %s that says %q", f, c.field, c.what)
		}
		err := p.Validate()
		if !errors.Is(err, policy.ErrBadPermit) || !strings.Contains(err.Error(), c.field+": ") || !strings.Contains(err.Error(), c.what) {
			t.Errorf("error %v, want ErrBadPermit about %s that says %q", err, c.field, c.what)
		}
		if _, err := policy.NewPermits([]policy.Permit{plattan(t), p}); !errors.Is(err, policy.ErrBadPermit) {
			t.Errorf("%s: a set with it was taken: error %v", c.field, err)
		}
	}
	if _, err := policy.NewPermits([]policy.Permit{plattan(t), plattan(t)}); !errors.Is(err, policy.ErrBadPermit) {
		t.Errorf("the same version twice was taken: error %v", err)
	}
}

// Whoever wrote a permit wrongly hears of all that is wrong at once.
func TestAllFaultsAtOnce(t *testing.T) {
	p := full(t)
	p.Version, p.Retention, p.Mode, p.Schedule.Weekly[0].Days = 0, policy.Period{}, "live", nil
	err := p.Validate()
	for _, field := range []string{"version", "retention", "mode", "schedule.weekly[0].days"} {
		if err == nil || !strings.Contains(err.Error(), field+": ") {
			t.Errorf("error %v says nothing of %s", err, field)
		}
	}
	if n := len(p.Faults()); n != 4 {
		t.Errorf("%d faults, want 4: %v", n, p.Faults())
	}
}

// On the last day that the law allows, and with the last second that it does.
func TestLimitsThatAreKept(t *testing.T) {
	for what, change := range map[string]func(*policy.Permit){
		"six months":   func(p *policy.Permit) { p.Retention = period(t, "P6M") },
		"three months": func(p *policy.Permit) { p.Basis, p.ValidTo = policy.Temporary, at(t, "2026-03-31T23:00:00Z") },
		"two weeks":    func(p *policy.Permit) { p.Basis, p.ValidTo = policy.Urgent, at(t, "2026-01-15T00:00:00Z") },
		"a month": func(p *policy.Permit) {
			p.Regime, p.Basis, p.ValidTo = policy.Municipal, policy.Temporary, at(t, "2026-02-01T00:00:00Z")
		},
		"no end": func(p *policy.Permit) { p.Basis, p.ValidTo = policy.Urgent, time.Time{} },
		"a city may keep longer, and must argue it": func(p *policy.Permit) { p.Regime, p.Retention = policy.Municipal, period(t, "P1Y") },
		"no sound said":           func(p *policy.Permit) { p.Special = "" },
		"as many as there may be": func(p *policy.Permit) { p.MaxCameras = len(p.Cameras) },
		"the corners": func(p *policy.Permit) {
			p.Masks[0].Polygon = []policy.Vertex{{X: 0, Y: 0}, {X: 1, Y: 0}, {X: 1, Y: 1}, {X: 0, Y: 1}}
		},
		"the same mask elsewhere": func(p *policy.Permit) {
			p.Masks = append(p.Masks, p.Masks[0])
			p.Masks[1].Camera = "k2"
		},
	} {
		p := full(t)
		change(&p)
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A draft may have faults, and so may what was decided under other rules: it permits nothing, and breaks nothing.
func TestWrongPermitsPermitNothing(t *testing.T) {
	p := full(t)
	p.Version, p.Regime, p.Retention = 2, "", policy.Period{}
	p.Schedule.Exceptions[0].Rule = "FREQ=MONTHLY;BYDAY=20MO"
	good := policy.Version{Permit: plattan(t), Steps: []policy.Step{{State: policy.Active, At: plattan(t).ValidFrom}}}
	set, err := policy.PermitsOf([]policy.Version{{Permit: p}, good})
	if err != nil {
		t.Fatal(err)
	}
	if a := set.Decide("k1", at(t, "2026-06-01T12:00:00Z")); !a.Recording || a.Version != 1 {
		t.Errorf("%+v", a)
	}
	// One that is in force although what is written in it cannot be kept to closes, too, and does not stop the others.
	for _, rule := range []string{"FREQ=MONTHLY;BYDAY=20MO", "FREQ=YEARLY;BYEASTER=999", "every year"} {
		p.Schedule.Exceptions[0].Rule = rule
		p.Schedule.Weekly[0] = window(t, "every day", "00:00–24:00")
		p.ID, p.Masks = "wrong", nil
		set, err := policy.PermitsOf([]policy.Version{{Permit: p, Steps: good.Steps}})
		if err != nil {
			t.Fatal(err)
		}
		if a := set.Decide("k1", at(t, "2026-06-01T12:00:00Z")); a.Recording || a.Counting || a.Clause != policy.ClauseSchedule {
			t.Errorf("%s: %+v", rule, a)
		}
	}
}

func TestNoValidPermitNoRecording(t *testing.T) {
	open := plattan(t)
	open.ID, open.Cameras, open.ValidTo = "open", []string{"k3"}, time.Time{}
	set, err := policy.NewPermits([]policy.Permit{plattan(t), open})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		set          *policy.Permits
		camera, when string
		want         string
	}{
		{set, "k1", "2025-12-31T23:59:59.999999Z", ""},
		{set, "k1", "2026-01-01T00:00:00Z", "plattan@1"},
		{set, "k1", "2026-12-31T23:59:59.999999Z", "plattan@1"},
		{set, "k1", "2027-01-01T00:00:00Z", ""},
		{set, "k3", "2099-01-01T00:00:00Z", "open@1"},
		{set, "k9", "2026-06-01T00:00:00Z", ""},
		{set, "", "2026-06-01T00:00:00Z", ""},
		{nil, "k1", "2026-06-01T00:00:00Z", ""},
		{&policy.Permits{}, "k1", "2026-06-01T00:00:00Z", ""},
	} {
		p, ok := c.set.At(c.camera, at(t, c.when))
		if ok != (c.want != "") || (ok && p.Ref() != c.want) {
			t.Errorf("%s at %s: %s, %v, want %q", c.camera, c.when, p.Ref(), ok, c.want)
		}
	}
}

func TestStrictestPermitWins(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var all []policy.Permit
		for i := range rapid.IntRange(1, 5).Draw(rt, "permits") {
			p := plattan(t)
			p.ID = fmt.Sprintf("p%d", i+1)
			p.Retention = anyPeriod(rt)
			p.ValidFrom = anyInstant(rt)
			p.ValidTo = p.ValidFrom.Add(time.Duration(rapid.IntRange(1, 10_000).Draw(rt, "hours")) * time.Hour)
			all = append(all, p)
		}
		set, err := policy.NewPermits(all)
		if err != nil {
			rt.Fatal(err)
		}
		when := anyInstant(rt)
		got, ok := set.At("k1", when)
		for _, p := range all {
			if p.Covers("k1", when) && (!ok || p.Until(when).Before(got.Until(when))) {
				rt.Fatalf("%s keeps to %s, but %s, %v was chosen", p.Ref(), p.Until(when), got.Ref(), ok)
			}
		}
		if ok && !got.Covers("k1", when) {
			rt.Fatalf("%s does not cover %s", got.Ref(), when)
		}
		// Until the next edge the set of permits in force stays the same.
		next := set.Decide("k1", when).Until
		if !next.After(when) {
			rt.Fatalf("next edge %s is not after %s", next, when)
		}
		between := when.Add(time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)).Draw(rt, "between")))
		if !between.Before(next) {
			between = next.Add(-1)
		}
		for _, p := range all {
			if p.Covers("k1", when) != p.Covers("k1", between) {
				rt.Fatalf("%s begins or ends between %s and %s, next edge said %s", p.Ref(), when, between, next)
			}
		}
		// A clip that began at when is gone before any permit in force at a later frame of it demands it.
		if later, ok2 := set.At("k1", between); ok && ok2 && got.Until(when).After(later.Until(between)) {
			rt.Fatalf("frame of %s outlives its permit", between)
		}
	})
}

func TestPermitsAreCopies(t *testing.T) {
	original := full(t)
	want, err := json.Marshal(full(t))
	if err != nil {
		t.Fatal(err)
	}
	steps := []policy.Step{{State: policy.Active, At: original.ValidFrom}}
	set, err := policy.PermitsOf([]policy.Version{{Permit: original, Steps: steps}})
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(p policy.Permit) {
		p.Cameras[0], p.Purposes[0], p.Analytics[0], p.Roles[0], p.Signs[0].ID = "k9", "anything", "faces", policy.Operator, "none"
		p.Assessment.SHA256, p.Place.Address, p.Place.Polygon[0].X = "", "", 0
		p.Masks[0].Kind, p.Masks[0].Polygon[0].X = "blur", 0.5
		p.Schedule.Weekly[0].Days[0], p.Schedule.Exceptions[0].Open = "sun", true
		p.Schedule.Weekly[0].To, p.Schedule.Exceptions[0].Name = 86400, "x"
	}
	check := func(who string) {
		t.Helper()
		p, ok := set.Get("plattan", 1)
		got, err := json.Marshal(p)
		if err != nil || !ok || string(got) != string(want) {
			t.Errorf("%s changed a permit in force: %v, error %v\n%s\nwant\n%s", who, ok, err, got, want)
		}
	}
	spoil(original)
	steps[0].State = policy.Revoked
	check("who made the set")
	got, _ := set.Get("plattan", 1)
	spoil(got)
	check("who asked Get")
	spoil(set.All()[0])
	check("who asked All")
	v := set.Versions()[0]
	spoil(v.Permit)
	v.Steps[0].State = policy.Revoked
	check("who asked Versions")
	if v, _ := set.Version("plattan", 1); v.Steps[0].State != policy.Active {
		t.Errorf("a step was changed from outside: %+v", v.Steps)
	}
	if _, ok := set.Get("plattan", 2); ok {
		t.Error("a version that does not exist was found")
	}
	if len(set.All()) != 1 || len(set.Versions()) != 1 {
		t.Errorf("%d permits and %d versions, want 1", len(set.All()), len(set.Versions()))
	}
}

// The states of a version, and what a date does to them.
func TestStateAt(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 6, d, 12, 0, 0, 0, time.UTC) }
	step := func(s policy.PermitState, d int) policy.Step { return policy.Step{State: s, At: day(d)} }
	backdated := policy.Step{State: policy.Revoked, At: day(9), Effective: day(3)}
	early := policy.Step{State: policy.Revoked, At: day(3), Effective: day(9)}
	until := plattan(t)
	until.ValidTo = day(5)
	for what, c := range map[string]struct {
		permit policy.Permit
		steps  []policy.Step
		want   []policy.PermitState // on 1, 3, 5 and 9 June at noon
	}{
		"nothing was decided":        {plattan(t), nil, []policy.PermitState{policy.Draft, policy.Draft, policy.Draft, policy.Draft}},
		"in force from 3 June":       {plattan(t), []policy.Step{step(policy.Active, 3)}, []policy.PermitState{policy.Draft, policy.Active, policy.Active, policy.Active}},
		"a pause":                    {plattan(t), []policy.Step{step(policy.Active, 1), step(policy.Suspended, 3), step(policy.Active, 5)}, []policy.PermitState{policy.Active, policy.Suspended, policy.Active, policy.Active}},
		"superseded":                 {plattan(t), []policy.Step{step(policy.Active, 1), step(policy.Superseded, 5)}, []policy.PermitState{policy.Active, policy.Active, policy.Superseded, policy.Superseded}},
		"ended":                      {plattan(t), []policy.Step{step(policy.Active, 1), step(policy.Ended, 5)}, []policy.PermitState{policy.Active, policy.Active, policy.Ended, policy.Ended}},
		"expired":                    {until, []policy.Step{step(policy.Active, 1)}, []policy.PermitState{policy.Active, policy.Active, policy.Expired, policy.Expired}},
		"suspended, then expired":    {until, []policy.Step{step(policy.Active, 1), step(policy.Suspended, 3)}, []policy.PermitState{policy.Active, policy.Suspended, policy.Expired, policy.Expired}},
		"a draft does not expire":    {until, nil, []policy.PermitState{policy.Draft, policy.Draft, policy.Draft, policy.Draft}},
		"revoked after it expired":   {until, []policy.Step{step(policy.Active, 1), step(policy.Revoked, 9)}, []policy.PermitState{policy.Active, policy.Active, policy.Expired, policy.Revoked}},
		"revoked from earlier on":    {plattan(t), []policy.Step{step(policy.Active, 1), backdated}, []policy.PermitState{policy.Active, policy.Revoked, policy.Revoked, policy.Revoked}},
		"with a pause in between":    {plattan(t), []policy.Step{step(policy.Active, 1), step(policy.Suspended, 5), backdated}, []policy.PermitState{policy.Active, policy.Revoked, policy.Revoked, policy.Revoked}},
		"revoked for later: at once": {plattan(t), []policy.Step{step(policy.Active, 1), early}, []policy.PermitState{policy.Active, policy.Revoked, policy.Revoked, policy.Revoked}},
	} {
		v := policy.Version{Permit: c.permit, Steps: c.steps}
		for i, d := range []int{1, 3, 5, 9} {
			if got := v.StateAt(day(d)); got != c.want[i] {
				t.Errorf("%s: on %d June %s, want %s", what, d, got, c.want[i])
			}
		}
	}
	for s, over := range map[policy.PermitState]bool{policy.Draft: false, policy.Active: false, policy.Suspended: false,
		policy.Superseded: true, policy.Expired: true, policy.Revoked: true, policy.Ended: true} {
		if s.Over() != over {
			t.Errorf("%s over: %v", s, s.Over())
		}
	}
}
