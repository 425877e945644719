package policy

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/goccy/go-yaml"
)

// Regime is the set of rules that a controller is under.
type Regime string

// The regimes that the embedded rules know.
const (
	Police    Regime = "police"
	Municipal Regime = "municipal"
)

// RegimeRules are the limits of one regime, each with its source.
type RegimeRules struct {
	Law      string               `yaml:"law"`
	Register string               `yaml:"register"` // mandatory or voluntary
	Bases    map[Basis]BasisRules `yaml:"bases"`
	// Retention is what the law says of keeping footage; a period that it does not set is zero.
	Retention struct {
		Cap       Period `yaml:"cap"`       // nothing is kept longer
		Guideline Period `yaml:"guideline"` // what is longer must be argued
		Source    string `yaml:"source"`
	} `yaml:"retention"`
}

// BasisRules are the limits of one basis.
type BasisRules struct {
	Source     string `yaml:"source"`
	Longest    Period `yaml:"longest"`    // of validity; zero: no limit
	Assessment bool   `yaml:"assessment"` // a documented one is needed before it is in force
}

//go:embed regimes.yaml
var regimesText []byte

// regimes are read once: they are compiled in, and wrong ones must not start.
var regimes = sync.OnceValue(func() map[Regime]RegimeRules {
	var rules map[Regime]RegimeRules
	if err := yaml.UnmarshalWithOptions(regimesText, &rules, yaml.Strict()); err != nil {
		panic(fmt.Sprintf("the embedded regimes cannot be read: %v", err))
	}
	return rules
})

// RulesOf are the rules of a regime; false if there is no such regime.
func RulesOf(r Regime) (RegimeRules, bool) {
	rules, ok := regimes()[r]
	return rules, ok
}

// Regimes are the names of those that are known.
func Regimes() []Regime { return slices.Sorted(maps.Keys(regimes())) }
