package policy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"klarsyn/policy"
)

// What the law says: kamerabevakningslagen (2018:1200) as in force from 1 April 2025, and lag (2018:1693).
func TestRegimes(t *testing.T) {
	type basis struct {
		longest, source string
		assessed        bool
	}
	for regime, want := range map[policy.Regime]struct {
		law, register  string
		bases          map[policy.Basis]basis
		cap, guideline string
		source         string
	}{
		policy.Police: {
			law: "KBL 14–14 d §§", register: "voluntary",
			bases: map[policy.Basis]basis{
				policy.Assessment: {source: "KBL 14 b §", assessed: true},
				policy.Temporary:  {source: "KBL 14 d § 1", longest: "P3M"}, // serious crime
				policy.Urgent:     {source: "KBL 14 d § 2", longest: "P14D"},
				policy.Legacy:     {source: "before 1 April 2025", assessed: true},
			},
			cap: "P6M", source: "2018:1693",
		},
		policy.Municipal: {
			law: "KBL 7–13 §§", register: "mandatory", // KBL 10 §
			bases: map[policy.Basis]basis{
				policy.Assessment: {source: "KBL 9 §", assessed: true},
				policy.Temporary:  {source: "KBL 13 §", longest: "P1M"}, // an accident, somebody missing
				policy.Legacy:     {source: "before 1 April 2025", assessed: true},
			},
			guideline: "P3D", source: "IMY", // GDPR art. 5(1)(e) has no number
		},
	} {
		got, ok := policy.RulesOf(regime)
		if !ok || !strings.Contains(got.Law, want.law) || got.Register != want.register {
			t.Errorf("%s: %v, %q, register %s", regime, ok, got.Law, got.Register)
		}
		if len(got.Bases) != len(want.bases) {
			t.Errorf("%s has bases %v", regime, got.Bases)
		}
		for b, w := range want.bases {
			g, ok := got.Bases[b]
			if !ok || !sameAs(t, g.Longest, w.longest) || !strings.Contains(g.Source, w.source) || g.Assessment != w.assessed {
				t.Errorf("%s, %s: %v, %+v, want %+v", regime, b, ok, g, w)
			}
		}
		r := got.Retention
		if !sameAs(t, r.Cap, want.cap) || !sameAs(t, r.Guideline, want.guideline) || !strings.Contains(r.Source, want.source) {
			t.Errorf("%s: retention %+v", regime, r)
		}
	}
	if got := policy.Regimes(); !slices.Equal(got, []policy.Regime{policy.Municipal, policy.Police}) {
		t.Errorf("regimes %v", got)
	}
	for _, none := range []policy.Regime{"", "Police", "company"} {
		if rules, ok := policy.RulesOf(none); ok {
			t.Errorf("%q is a regime: %+v", none, rules)
		}
	}
}

func sameAs(t *testing.T, got policy.Period, want string) bool {
	if want == "" {
		return got.IsZero()
	}
	return got == period(t, want)
}

// Ends is the earlier of what the permit says and what the law says; zero if neither does.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		what     string
		regime   policy.Regime
		basis    policy.Basis
		from, to string
		want     string
	}{
		{"assessed, open", policy.Police, policy.Assessment, "2026-01-01T00:00:00+01:00", "", ""},
		{"assessed, with an end", policy.Municipal, policy.Assessment, "2026-01-01T00:00:00+01:00", "2036-01-01T00:00:00+01:00", "2036-01-01T00:00:00+01:00"},
		{"old, open", policy.Municipal, policy.Legacy, "2024-01-01T00:00:00+01:00", "", ""},
		{"13 §, a month", policy.Municipal, policy.Temporary, "2026-04-15T10:00:00+02:00", "", "2026-05-15T10:00:00+02:00"},
		{"13 §, from a day that the next month does not have", policy.Municipal, policy.Temporary, "2026-01-31T12:00:00+01:00", "", "2026-02-28T12:00:00+01:00"},
		{"13 §, to a leap day", policy.Municipal, policy.Temporary, "2028-01-31T12:00:00+01:00", "", "2028-02-29T12:00:00+01:00"},
		{"13 §, shorter", policy.Municipal, policy.Temporary, "2026-04-15T10:00:00+02:00", "2026-04-16T10:00:00+02:00", "2026-04-16T10:00:00+02:00"},
		{"13 §, said to be longer", policy.Municipal, policy.Temporary, "2026-04-15T10:00:00+02:00", "2027-04-15T10:00:00+02:00", "2026-05-15T10:00:00+02:00"},
		{"14 d § 1, three months, from summer to winter", policy.Police, policy.Temporary, "2026-08-31T08:00:00+02:00", "", "2026-11-30T08:00:00+01:00"},
		{"14 d § 2, two weeks over the autumn night", policy.Police, policy.Urgent, "2026-10-20T15:00:00+02:00", "", "2026-11-03T15:00:00+01:00"},
		{"14 d § 2, to the doubled hour: its first pass", policy.Police, policy.Urgent, "2026-10-11T02:30:00+02:00", "", "2026-10-25T02:30:00+02:00"},
		{"14 d § 2, to the missing hour: the jump", policy.Police, policy.Urgent, "2026-03-15T02:30:00+01:00", "", "2026-03-29T03:00:00+02:00"},
	} {
		p := policy.Permit{Regime: c.regime, Basis: c.basis, ValidFrom: at(t, c.from)}
		if c.to != "" {
			p.ValidTo = at(t, c.to)
		}
		want := time.Time{}
		if c.want != "" {
			want = at(t, c.want)
		}
		if got := p.Ends(); !got.Equal(want) {
			t.Errorf("%s: ends %s, want %s", c.what, got.In(stockholm(t)), c.want)
		}
	}
}

// No permit lets police footage be kept longer than six months, whatever it says itself.
func TestCapOfRetention(t *testing.T) {
	for _, c := range []struct {
		regime                 policy.Regime
		start, retention, want string
	}{
		{policy.Police, "2026-08-31T14:00:00+02:00", "P1Y", "2027-02-28T14:00:00+01:00"},
		{policy.Police, "2026-08-31T14:00:00+02:00", "P184D", "2027-02-28T14:00:00+01:00"},
		{policy.Police, "2026-03-01T14:00:00+01:00", "P183D", "2026-08-31T14:00:00+02:00"}, // 1 September would be the cap
		{policy.Police, "2026-08-31T14:00:00+02:00", "P2M", "2026-10-31T14:00:00+01:00"},
		{policy.Municipal, "2026-08-31T14:00:00+02:00", "P1Y", "2027-08-31T14:00:00+02:00"},
	} {
		p := policy.Permit{Regime: c.regime, Retention: period(t, c.retention)}
		if got := p.Until(at(t, c.start)); !got.Equal(at(t, c.want)) {
			t.Errorf("%s: %s + %s is kept until %s, want %s", c.regime, c.start, c.retention, got.In(stockholm(t)), c.want)
		}
	}
}
