// Package prometheus holds the alerting rules, and the test that they ask for metrics that there are.
package prometheus

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"klarsyn/deploy/testenv"
)

type rules struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			For         string            `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

// Every metric that a rule asks for is one that the code registers, and every alert says how bad it is and what to do.
func TestRulesAskForMetricsThatThereAre(t *testing.T) {
	b, err := os.ReadFile("rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var r rules
	if err := yaml.UnmarshalWithOptions(b, &r, yaml.Strict()); err != nil {
		t.Fatalf("rules.yaml:\n%s", yaml.FormatError(err, false, true))
	}
	registered := registeredMetrics(t)
	metric := regexp.MustCompile(`klarsyn_[a-z_]+`)
	seen := map[string]bool{}
	for _, g := range r.Groups {
		for _, rule := range g.Rules {
			if seen[rule.Alert] || rule.Alert == "" {
				t.Errorf("alert %q has no name of its own", rule.Alert)
			}
			seen[rule.Alert] = true
			names := metric.FindAllString(rule.Expr, -1)
			if len(names) == 0 {
				t.Errorf("%s asks for no metric of ours: %s", rule.Alert, rule.Expr)
			}
			for _, name := range names {
				if !registered[name] {
					t.Errorf("%s asks for %s, which nothing registers", rule.Alert, name)
				}
			}
			if s := rule.Labels["severity"]; s != "critical" && s != "warning" || rule.Annotations["summary"] == "" {
				t.Errorf("%s does not say how bad it is, or what it means", rule.Alert)
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %d alerts", len(seen))
	}
}

// Prometheus's own tool takes the rules, and with them each fault is told before a clip is overdue.
func TestAlertsFireBeforeABreach(t *testing.T) {
	promtool := testenv.Installed(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules.test.yaml"}} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// registeredMetrics are the names of metrics in the sources of the command.
func registeredMetrics(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../../cmd/klarsyn/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, error %v", len(files), err)
	}
	name := regexp.MustCompile(`"(klarsyn_[a-z_]+)"`)
	names := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range name.FindAllStringSubmatch(string(b), -1) {
			names[m[1]] = true
		}
	}
	return names
}
