package policy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"klarsyn/policy"
)

func plattan(t testing.TB) policy.Permit {
	t.Helper()
	return policy.Permit{
		ID: "plattan", Version: 1, Basis: policy.Assessment, Cameras: []string{"k1", "k2"},
		ValidFrom: at(t, "2026-01-01T00:00:00Z"), ValidTo: at(t, "2027-01-01T00:00:00Z"),
		Retention: period(t, "P2M"), Purposes: []string{policy.CrimeInvestigation}, MinCell: 5,
	}
}

func TestValidate(t *testing.T) {
	if err := plattan(t).Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*policy.Permit){
		"id":                    func(p *policy.Permit) { p.ID = "Plattan 1" },
		"version 0":             func(p *policy.Permit) { p.Version = 0 },
		"basis":                 func(p *policy.Permit) { p.Basis = "because" },
		"cameras":               func(p *policy.Permit) { p.Cameras = nil },
		`camera "K1"`:           func(p *policy.Permit) { p.Cameras = []string{"K1"} },
		`camera "k1": listed`:   func(p *policy.Permit) { p.Cameras = []string{"k1", "k1"} },
		"valid_from":            func(p *policy.Permit) { p.ValidFrom = time.Time{} },
		"valid_to":              func(p *policy.Permit) { p.ValidTo = p.ValidFrom },
		"retention":             func(p *policy.Permit) { p.Retention = policy.Period{} },
		"purposes":              func(p *policy.Permit) { p.Purposes = nil },
		`purpose ""`:            func(p *policy.Permit) { p.Purposes = []string{""} },
		`purpose "a": listed`:   func(p *policy.Permit) { p.Purposes = []string{"a", "a"} },
		"min_cell":              func(p *policy.Permit) { p.MinCell = -1 },
		"missing; footage must": func(p *policy.Permit) { p.Version, p.Retention = 0, policy.Period{} },
	} {
		p := plattan(t)
		change(&p)
		err := p.Validate()
		if !errors.Is(err, policy.ErrBadPermit) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want ErrBadPermit that says %q", err, want)
		}
		if _, err := policy.NewPermits([]policy.Permit{plattan(t), p}); !errors.Is(err, policy.ErrBadPermit) {
			t.Errorf("%s: a set with it was taken: error %v", want, err)
		}
	}
	if _, err := policy.NewPermits([]policy.Permit{plattan(t), plattan(t)}); !errors.Is(err, policy.ErrBadPermit) {
		t.Errorf("the same version twice was taken: error %v", err)
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
			p.Version = i + 1
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
		next, more := set.Next("k1", when)
		if more && !next.After(when) {
			rt.Fatalf("next edge %s is not after %s", next, when)
		}
		between := when.Add(time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)).Draw(rt, "between")))
		if more && !between.Before(next) {
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
	original := plattan(t)
	set, err := policy.NewPermits([]policy.Permit{original})
	if err != nil {
		t.Fatal(err)
	}
	original.Cameras[0], original.Purposes[0] = "k9", "anything"
	got, _ := set.Get("plattan", 1)
	got.Cameras[1] = "k8"
	again, ok := set.At("k1", at(t, "2026-06-01T00:00:00Z"))
	if !ok || again.Cameras[1] != "k2" || again.Purposes[0] != policy.CrimeInvestigation {
		t.Errorf("a permit in force was changed from outside: %+v", again)
	}
	if _, ok := set.Get("plattan", 2); ok {
		t.Error("a version that does not exist was found")
	}
	if len(set.All()) != 1 {
		t.Errorf("%d permits, want 1", len(set.All()))
	}
}
