package rules_test

import (
	"slices"
	"strings"
	"testing"

	"klarsyn/policy"
	"klarsyn/policy/rules"
)

// withGroups puts the embedded text with groups in force.
func withGroups(t *testing.T, groups ...rules.Group) *rules.Rules {
	t.Helper()
	r := defaults(t)
	if err := r.Load(rules.Default().WithGroups(groups)); err != nil {
		t.Fatal(err)
	}
	return r
}

// asked are all questions about a group.
func asked() (questions [][2]string) {
	for _, action := range policy.Actions() {
		for _, purpose := range []string{policy.None, policy.CrimeInvestigation, policy.CrimePrevention, policy.PublicOrder, policy.AccidentInquiry, policy.MissingPerson, "curiosity"} {
			questions = append(questions, [2]string{string(action), purpose})
		}
	}
	return questions
}

// A role of a group may there exactly what it may in the default group, and every other role nothing; what belongs to no group
// stays as it is, and what a group lets nobody do elsewhere.
func TestGroups(t *testing.T) {
	groups := []rules.Group{
		{ID: "tunnelbanan", Roles: []policy.Role{policy.Investigator, policy.Auditor}},
		{ID: "trappan", Roles: policy.Roles()},
		{ID: "nobody"},
	}
	before, r := defaults(t), withGroups(t, groups...)
	granted := 0
	for _, role := range append(policy.Roles(), "", "chief", policy.LocalRole) {
		for _, q := range asked() {
			allow := func(r *rules.Rules, group string) bool {
				v, err := r.Allow(role, policy.Action(q[0]), group, q[1])
				if err != nil || v.Revision == "" || (v.Rule != "") != v.Allowed {
					t.Errorf("%s %v in %s: %+v, error %v", role, q, group, v, err)
				}
				return v.Allowed
			}
			inSquare := allow(before, policy.DefaultGroup)
			for _, g := range groups {
				want := inSquare && slices.Contains(g.Roles, role)
				if got := allow(r, g.ID); got != want {
					t.Errorf("%s %v in %s: allowed %v, want %v", role, q, g.ID, got, want)
				}
				if want {
					granted++
				}
			}
			for _, group := range []string{policy.DefaultGroup, policy.None, "elsewhere", "tunnel", "Trappan"} {
				if got, want := allow(r, group), allow(before, group); got != want {
					t.Errorf("%s %v in %s: allowed %v, before %v", role, q, group, got, want)
				}
			}
		}
	}
	if granted < 20 {
		t.Errorf("%d grants in all groups: the test asks for nothing", granted)
	}
	v, err := r.Allow(policy.Investigator, policy.ViewOriginal, "tunnelbanan", policy.CrimeInvestigation)
	if err != nil || v.Rule != "investigator.view-original.crime-investigation:tunnelbanan" {
		t.Errorf("decided by %q, %v", v.Rule, err)
	}
}

// The revision names the groups, the same for the same ones; without any it is the embedded one.
func TestGroupRevisions(t *testing.T) {
	text := rules.Default()
	if got := text.WithGroups(nil).Revision(); got != text.Revision() {
		t.Errorf("without groups the revision is %s, want %s", got, text.Revision())
	}
	g := rules.Group{ID: "trappan", Roles: []policy.Role{policy.Auditor}}
	one := text.WithGroups([]rules.Group{g}).Revision()
	if again := rules.Default().WithGroups([]rules.Group{g}).Revision(); again != one || one == text.Revision() {
		t.Errorf("revisions %s and %s, without it %s", one, again, text.Revision())
	}
	for _, other := range []rules.Group{{ID: "trappan"}, {ID: "trappan", Roles: []policy.Role{policy.Auditor, policy.Operator}}, {ID: "trappan2", Roles: g.Roles}} {
		if got := text.WithGroups([]rules.Group{other}).Revision(); got == one {
			t.Errorf("%+v has the revision of %+v", other, g)
		}
	}
	if text != rules.Default() {
		t.Error("the text itself was changed")
	}
}

// A text with groups is checked like every other: what its truth table says otherwise is not put in force.
func TestGroupsAreChecked(t *testing.T) {
	text := rules.Default().WithGroups([]rules.Group{{ID: "trappan", Roles: []policy.Role{policy.Auditor}}})
	for name, line := range map[string]string{
		"a stranger's right":   "p, x, investigator, view-original, trappan, crime-investigation\n",
		"the operator's sight": "p, x, operator, search, trappan, -\n",
	} {
		bad := text
		bad.Policy += line
		if err := defaults(t).Load(bad); err == nil || !strings.Contains(err.Error(), "says otherwise") {
			t.Errorf("%s: %v", name, err)
		}
	}
	missing := text
	missing.Policy = strings.Replace(missing.Policy, "p, auditor.search.square:trappan, auditor, search, trappan, -\n", "", 1)
	if missing.Policy == text.Policy {
		t.Fatalf("the policy lacks the line:\n%s", text.Policy)
	}
	if err := defaults(t).Load(missing); err == nil || !strings.Contains(err.Error(), "want allow") {
		t.Errorf("a right that is missing: %v", err)
	}
	twice := rules.Default().WithGroups([]rules.Group{{ID: "a", Roles: policy.Roles()}, {ID: "a"}})
	if err := defaults(t).Load(twice); err == nil {
		t.Error("two groups of a name were put in force")
	}
}

// What the text speaks of itself is no name for a group: its own truths would deny what the group allows.
func TestNamesOfGroups(t *testing.T) {
	for name, want := range map[string]bool{"square": true, "elsewhere": true, "-": true, "trappan": false, "deny": false, "search": false, "crime-investigation": false, "auditor": false, "": false} {
		if got := rules.Default().Names(name); got != want {
			t.Errorf("the rules speak of a group %q: %v, want %v", name, got, want)
		}
		if name == "" || name == policy.None || name == policy.DefaultGroup {
			continue
		}
		err := defaults(t).Load(rules.Default().WithGroups([]rules.Group{{ID: name, Roles: policy.Roles()}}))
		if (err != nil) != want {
			t.Errorf("a group %q: %v", name, err)
		}
	}
}
