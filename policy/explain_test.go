package policy_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"klarsyn/policy"
)

// explanations are the answers of testdata/explain.yaml, worked out by hand.
type explanations struct {
	Documents map[string]policy.Version `yaml:"documents"`
	Cases     []struct {
		Name    string    `yaml:"name"`
		Permits []string  `yaml:"permits"`
		Camera  string    `yaml:"camera"`
		At      time.Time `yaml:"at"`
		Want    struct {
			Recording bool      `yaml:"recording"`
			Cause     string    `yaml:"cause"`
			Permit    string    `yaml:"permit"`
			Version   int       `yaml:"version"`
			Clause    string    `yaml:"clause"`
			Deadline  time.Time `yaml:"deadline"`
		} `yaml:"want"`
		Later []struct {
			Now      time.Time `yaml:"now"`
			Deadline time.Time `yaml:"deadline"`
		} `yaml:"later"`
	} `yaml:"cases"`
}

func TestExplanations(t *testing.T) {
	text, err := os.ReadFile("testdata/explain.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all explanations
	// A document that is like another one tells some of its keys anew.
	if err := yaml.UnmarshalWithOptions(text, &all, yaml.Strict(), yaml.AllowDuplicateMapKey()); err != nil {
		t.Fatal(err)
	}
	if len(all.Cases) < 40 {
		t.Fatalf("%d cases", len(all.Cases))
	}
	names, used := map[string]bool{}, map[string]bool{}
	for _, c := range all.Cases {
		if names[c.Name] {
			t.Errorf("two cases are called %q", c.Name)
		}
		names[c.Name] = true
		t.Run(c.Name, func(t *testing.T) {
			var versions []policy.Version
			for _, name := range c.Permits {
				v, ok := all.Documents[name]
				if !ok {
					t.Fatalf("no document %s", name)
				}
				used[name] = true
				versions = append(versions, v)
			}
			set, err := policy.PermitsOf(versions)
			if err != nil {
				t.Fatal(err)
			}
			slices.Reverse(versions)
			reversed, err := policy.PermitsOf(versions)
			if err != nil {
				t.Fatal(err)
			}
			a, w := set.Decide(c.Camera, c.At), c.Want
			if a.Recording != w.Recording || a.Cause != w.Cause || a.Permit != w.Permit || a.Version != w.Version || a.Clause != w.Clause {
				t.Errorf("recording %v, %s, %s by %s, want %v, %s, %s@%d by %s (%s)", a.Recording, a.Cause, a.Ref(), a.Clause,
					w.Recording, w.Cause, w.Permit, w.Version, w.Clause, a.Detail)
			}
			if !a.Deadline.Equal(w.Deadline) {
				t.Errorf("kept until %s, want %s", a.Deadline.In(stockholm(t)), w.Deadline)
			}
			if a.Detail == "" {
				t.Error("no word for people")
			}
			if b := reversed.Decide(c.Camera, c.At); b != a {
				t.Errorf("the order of permits decides: %+v, reversed %+v", a, b)
			}
			for _, l := range c.Later {
				if d, ok := set.Deadline(w.Permit, c.At, l.Now); !ok || !d.Equal(l.Deadline) {
					t.Errorf("as known at %s kept until %s, %v, want %s", l.Now, d.In(stockholm(t)), ok, l.Deadline)
				}
			}
		})
	}
	for name := range all.Documents {
		if !used[name] {
			t.Errorf("no case uses document %s", name)
		}
	}
}
