package rules_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"klarsyn/policy"
	"klarsyn/policy/rules"
)

func defaults(t testing.TB) *rules.Rules {
	t.Helper()
	r, err := rules.New()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The whole table by hand, apart from truth.csv, so that nobody changes who may see what in one place.
func TestWhoMayWhat(t *testing.T) {
	r := defaults(t)
	may := map[policy.Role]string{
		policy.Investigator:    "search view-original read-occupancy read-cameras",
		policy.DashboardViewer: "read-occupancy read-cameras",
		policy.Auditor:         "search read-occupancy read-log read-deletions read-cameras",
		policy.Operator:        "read-occupancy read-cameras",
		"":                     "",
		"administrator":        "",
	}
	for role, allowed := range may {
		for _, action := range append(policy.Actions(), "", "*", "delete") {
			group, purpose := policy.DefaultGroup, policy.None
			switch action {
			case policy.ViewOriginal:
				purpose = policy.CrimeInvestigation
			case policy.ReadLog:
				group = policy.None
			}
			v, err := r.Allow(role, action, group, purpose)
			want := action != "" && strings.Contains(" "+allowed+" ", " "+string(action)+" ")
			if err != nil || v.Allowed != want {
				t.Errorf("%s %s: allowed %v, error %v, want %v", role, action, v.Allowed, err, want)
			}
			if v.Revision == "" || (v.Rule != "") != v.Allowed {
				t.Errorf("%s %s: verdict %+v, want a revision, and a rule exactly if allowed", role, action, v)
			}
		}
	}
}

func TestOnlyEqualityMatches(t *testing.T) {
	r := defaults(t)
	for _, q := range [][4]string{
		{"investigator", "view-original", "square", "*"},
		{"investigator", "view-original", "square*", "crime-investigation"},
		{"investigator", "view-original", "square/../square", "crime-investigation"},
		{"investigator", "view-original", "SQUARE", "crime-investigation"},
		{"investigator", "view-original", "square", "crime"},
		{"investigator", "view-original", "square", "-"},
		{"investigator ", "view-original", "square", "crime-investigation"},
		{".*", "view-original", "square", "crime-investigation"},
		{`{"role":"investigator"}`, "view-original", "square", "crime-investigation"},
	} {
		if v, err := r.Allow(policy.Role(q[0]), policy.Action(q[1]), q[2], q[3]); err != nil || v.Allowed {
			t.Errorf("%v: allowed %v, error %v", q, v.Allowed, err)
		}
	}
}

func TestFailedLoadKeepsWhatIsInForce(t *testing.T) {
	ok := rules.Default()
	with := func(change func(*rules.Text)) rules.Text {
		text := ok
		change(&text)
		return text
	}
	replace := func(field *string, old, new string) {
		if !strings.Contains(*field, old) {
			t.Fatalf("%q is not in the text", old)
		}
		*field = strings.Replace(*field, old, new, 1)
	}
	bad := map[string]struct {
		text rules.Text
		want string
	}{
		"nothing":           {rules.Text{}, "model"},
		"no policy":         {with(func(x *rules.Text) { x.Policy = "" }), "truth table"},
		"no truth table":    {with(func(x *rules.Text) { x.Truth = "" }), "does not say"},
		"pattern matching":  {with(func(x *rules.Text) { replace(&x.Model, "r.group == p.group", "keyMatch(r.group, p.group)") }), "equalities"},
		"eval":              {with(func(x *rules.Text) { replace(&x.Model, "r.group == p.group", "eval(p.group)") }), "equalities"},
		"or":                {with(func(x *rules.Text) { replace(&x.Model, "&& r.purpose", "|| r.purpose") }), "equalities"},
		"literal":           {with(func(x *rules.Text) { replace(&x.Model, "r.role == p.role", "r.role == \"root\"") }), "equalities"},
		"purpose forgotten": {with(func(x *rules.Text) { replace(&x.Model, " && r.purpose == p.purpose", "") }), "does not compare purpose"},
		"crossed fields":    {with(func(x *rules.Text) { replace(&x.Model, "r.role == p.role", "r.role == p.group") }), "does not compare role"},
		"allow by default":  {with(func(x *rules.Text) { replace(&x.Model, "some(where (p.eft == allow))", "!some(where (p.eft == deny))") }), "effect"},
		"role definition":   {with(func(x *rules.Text) { x.Model += "\n[role_definition]\ng = _, _\n" }), "want one each"},
		"other fields":      {with(func(x *rules.Text) { replace(&x.Model, "r = role, action", "r = action, role") }), "want"},
		"short line":        {with(func(x *rules.Text) { x.Policy += "p, x, auditor, search\n" }), "wrong number of fields"},
		"unknown role":      {with(func(x *rules.Text) { x.Policy += "p, x, root, search, square, -\n" }), "role"},
		"unknown action":    {with(func(x *rules.Text) { x.Policy += "p, x, auditor, *, square, -\n" }), "action"},
		"rule twice":        {with(func(x *rules.Text) { x.Policy += "p, auditor.read-log, auditor, search, x, -\n" }), "twice"},
		"grouping":          {with(func(x *rules.Text) { x.Policy += "g, operator, investigator, search, square, -\n" }), "want p"},
		"operator sees":     {with(func(x *rules.Text) { x.Policy += "p, x, operator, view-original, square, crime-investigation\n" }), "says otherwise"},
		"auditor is blind":  {with(func(x *rules.Text) { replace(&x.Policy, "p, auditor.read-log, auditor, read-log, -, -\n", "") }), "says otherwise"},
		"table with a hole": {with(func(x *rules.Text) { replace(&x.Truth, "operator, read-log, -, -, deny\n", "") }), "operator may read-log"},
		"table says maybe": {with(func(x *rules.Text) {
			replace(&x.Truth, "operator, read-log, -, -, deny", "operator, read-log, -, -, maybe")
		}), "allow or deny"},
	}
	for name, c := range bad {
		r := defaults(t)
		err := r.Load(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.want)
		}
		if v, err := r.Allow(policy.Auditor, policy.ReadLog, policy.None, policy.None); err != nil || !v.Allowed || v.Revision != ok.Revision() {
			t.Errorf("%s: the old rules do not answer any more: %+v, error %v", name, v, err)
		}
		if err := r.Load(ok); err != nil {
			t.Errorf("%s: after a good load error %v", name, err)
		}
	}
}

func TestNothingInForceDenies(t *testing.T) {
	var r rules.Rules
	if v, err := r.Allow(policy.Auditor, policy.ReadLog, policy.None, policy.None); err == nil || v.Allowed {
		t.Errorf("verdict %+v, error %v", v, err)
	}
}

func TestAskedWhileLoading(t *testing.T) {
	r := defaults(t)
	other := rules.Default()
	other.Policy += "p, auditor.search.north, auditor, search, north, -\n"
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for range 300 {
				if v, err := r.Allow(policy.Operator, policy.ViewOriginal, policy.DefaultGroup, policy.CrimeInvestigation); err != nil || v.Allowed {
					t.Errorf("verdict %+v, error %v", v, err)
				}
				if v, err := r.Allow(policy.Auditor, policy.SearchClips, policy.DefaultGroup, policy.None); err != nil || !v.Allowed {
					t.Errorf("verdict %+v, error %v", v, err)
				}
			}
		})
	}
	for i := range 20 {
		if err := r.Load([]rules.Text{other, rules.Default()}[i%2]); err != nil {
			t.Error(err)
		}
	}
	asking.Wait()
}

// What the embedded text and this package must never use.
func TestNoPatternsAnywhere(t *testing.T) {
	files, err := filepath.Glob("*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.IsDir() || strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, ".md") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, banned := range []string{"keyMatch", "keyGet", "regexMatch", "globMatch", "ipMatch", "eval(", "EnableEnforce", "EnableAcceptJsonRequest", "AddFunction", "LoadPolicy"} {
			if strings.Contains(string(text), banned) {
				t.Errorf("%s uses %s", file, banned)
			}
		}
	}
}

func BenchmarkAllow(b *testing.B) {
	r := defaults(b)
	for b.Loop() {
		if v, err := r.Allow(policy.Operator, policy.ViewOriginal, policy.DefaultGroup, policy.CrimeInvestigation); err != nil || v.Allowed {
			b.Fatal(v, err)
		}
	}
}
