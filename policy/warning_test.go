package policy_test

import (
	"strings"
	"testing"

	"klarsyn/policy"
)

// What somebody should see to is said, and nothing is said of a permit that is in order.
func TestWarnings(t *testing.T) {
	now := at(t, "2026-11-27T12:00:00Z")
	good := plattan(t)
	good.Retention, good.Controller, good.Review = period(t, "P3D"), "Trafiknämnden", "2027-01-01"
	good.Place, good.Signs = &policy.Place{Address: "Sergels torg"}, []policy.Sign{{ID: "s1", Place: "Trappan"}}
	good.Assessment = &policy.Document{Date: "2026-01-01"}
	if got := good.Warnings(now); len(got) != 0 {
		t.Errorf("a permit in order: %q", got)
	}
	for want, change := range map[string]func(*policy.Permit){
		"guideline P3D":        func(p *policy.Permit) { p.Retention = period(t, "P4D") },
		"KBL 10 §":             func(p *policy.Permit) { p.Place = nil },
		"controller":           func(p *policy.Permit) { p.Controller = "" },
		"KBL 15 §":             func(p *policy.Permit) { p.Signs = nil },
		"is of 2023-01-01":     func(p *policy.Permit) { p.Assessment = &policy.Document{Date: "2023-01-01"} },
		"was due on 2026-11-1": func(p *policy.Permit) { p.Review = "2026-11-15" },
	} {
		p := good
		change(&p)
		if got := p.Warnings(now); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("warnings %q, want one of %q", got, want)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	var all []policy.Permit
	for i := range 10 {
		p := plattan(b)
		p.ID = string(rune('a' + i))
		p.Schedule = &policy.Schedule{
			Weekly:     []policy.Window{{Days: []policy.Weekday{"mon", "tue", "wed", "thu", "fri"}, From: 18 * 3600, To: 2 * 3600}, {Days: []policy.Weekday{"sat", "sun"}, From: 16 * 3600, To: 6 * 3600}},
			Exceptions: []policy.Exception{{Name: "jul", Start: "2020-12-24", Rule: "FREQ=YEARLY", From: 0, To: 24 * 3600}},
		}
		all = append(all, p)
	}
	set, err := policy.NewPermits(all)
	if err != nil {
		b.Fatal(err)
	}
	when := at(b, "2026-10-25T00:30:00Z")
	for b.Loop() {
		set.Decide("k1", when)
	}
}
