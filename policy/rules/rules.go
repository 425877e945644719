// Package rules decides who may do what: a Casbin model and policy that match role, action, camera
// group and purpose by equality and nothing else, in revisions that are checked against a truth table
// before they are put in force.
package rules

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the default model, policy and truth table
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"

	"klarsyn/policy"
)

//go:embed model.conf
var defaultModel string

//go:embed policy.csv
var defaultPolicy string

//go:embed truth.csv
var defaultTruth string

// Text is everything that makes a revision.
type Text struct {
	Model  string // Casbin model
	Policy string // p, id, role, action, group, purpose
	Truth  string // role, action, group, purpose, allow or deny
}

// Default is the embedded text.
func Default() Text { return Text{Model: defaultModel, Policy: defaultPolicy, Truth: defaultTruth} }

// Revision names the text by its content: the same text has the same revision on every machine.
func (t Text) Revision() string {
	sum := sha256.New()
	for _, part := range []string{t.Model, t.Policy, t.Truth} {
		fmt.Fprintf(sum, "%d\n%s", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// Rules is the revision in force. It may be asked and loaded at the same time.
type Rules struct {
	current atomic.Pointer[revision]
	loading sync.Mutex
}

var _ policy.Rules = (*Rules)(nil)

// revision is one enforcer that nobody changes any more: that is what makes asking it from many
// goroutines safe.
type revision struct {
	text     Text
	name     string
	enforcer *casbin.Enforcer
}

// New puts the embedded text in force.
func New() (*Rules, error) {
	r := &Rules{}
	if err := r.Load(Default()); err != nil {
		return nil, err
	}
	return r, nil
}

// Load builds a new enforcer, holds it against the truth table and puts it in force. If anything is
// wrong, what was in force stays, and the error says why.
func (r *Rules) Load(text Text) error {
	r.loading.Lock()
	defer r.loading.Unlock()
	next, err := build(text)
	if err != nil {
		return fmt.Errorf("rules revision %s is not put in force: %w", text.Revision(), err)
	}
	r.current.Store(next)
	return nil
}

// Allow asks the revision in force. Without one, and with an error, the answer is no.
func (r *Rules) Allow(role policy.Role, action policy.Action, group, purpose string) (policy.Verdict, error) {
	current := r.current.Load()
	if current == nil {
		return policy.Verdict{}, errors.New("no rules are in force")
	}
	return current.allow(string(role), string(action), group, purpose)
}

func (v *revision) allow(role, action, group, purpose string) (policy.Verdict, error) {
	allowed, matched, err := v.enforcer.EnforceEx(role, action, group, purpose)
	if err != nil {
		return policy.Verdict{Revision: v.name}, fmt.Errorf("rules revision %s: %w", v.name, err)
	}
	verdict := policy.Verdict{Allowed: allowed, Revision: v.name}
	if allowed && len(matched) > 0 {
		verdict.Rule = matched[0]
	}
	return verdict, nil
}

// equalities is the only kind of matcher there may be: fields compared with their namesakes. Functions
// that match patterns have let the wrong ones in elsewhere, and eval runs policy text as code.
var equalities = regexp.MustCompile(`^r\.(\w+) == p\.(\w+)( && r\.(\w+) == p\.(\w+))*$`)

var (
	requestFields = []string{"role", "action", "group", "purpose"}
	policyFields  = append([]string{"id"}, requestFields...)
)

func build(text Text) (*revision, error) {
	m, err := model.NewModelFromString(text.Model)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if err := checkModel(m); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	enforcer, err := casbin.NewEnforcer(m)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if err := addPolicy(enforcer, text.Policy); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	built := &revision{text: text, name: text.Revision(), enforcer: enforcer}
	if err := built.holds(text.Truth); err != nil {
		return nil, fmt.Errorf("truth table: %w", err)
	}
	return built, nil
}

func checkModel(m model.Model) error {
	for section, keys := range m {
		for key := range keys {
			if !slices.Contains([]string{"r", "p", "e", "m", "logger"}, key) || (section != key && section != "logger") {
				return fmt.Errorf("section %s has %s: want one each of request, policy, effect and matcher", section, key)
			}
		}
	}
	for key, want := range map[string][]string{"r": requestFields, "p": policyFields} {
		fields := slices.Clone(m[key][key].Tokens)
		for i, field := range fields {
			fields[i] = strings.TrimPrefix(field, key+"_")
		}
		if !slices.Equal(fields, want) {
			return fmt.Errorf("%s is %v: want %v", key, fields, want)
		}
	}
	if effect := m["e"]["e"].Value; effect != "some(where (p_eft == allow))" {
		return fmt.Errorf("effect %q: want some(where (p.eft == allow)), so that what no rule allows is denied", effect)
	}
	matcher := strings.NewReplacer("r_", "r.", "p_", "p.").Replace(m["m"]["m"].Value)
	if !equalities.MatchString(matcher) {
		return fmt.Errorf("matcher %q: want equalities joined by &&", matcher)
	}
	compared := strings.Split(matcher, " && ")
	for _, field := range requestFields {
		if !slices.Contains(compared, "r."+field+" == p."+field) {
			return fmt.Errorf("matcher %q does not compare %s", matcher, field)
		}
	}
	return nil
}

// addPolicy reads the lines itself: Casbin's text adapter drops the errors of lines that it cannot read.
func addPolicy(enforcer *casbin.Enforcer, text string) error {
	var seen []string
	return lines(text, len(policyFields)+1, func(fields []string) error {
		if fields[0] != "p" {
			return fmt.Errorf("%q: want p", fields[0])
		}
		id, role, action := fields[1], policy.Role(fields[2]), policy.Action(fields[3])
		if slices.Contains(seen, id) {
			return fmt.Errorf("rule %s is there twice", id)
		}
		seen = append(seen, id)
		if err := known(role, action); err != nil {
			return err
		}
		for i, field := range fields {
			if field == "" {
				return fmt.Errorf("rule %s: field %d is empty", id, i+1)
			}
		}
		if _, err := enforcer.AddPolicy(fields[1:]); err != nil {
			return fmt.Errorf("rule %s: %w", id, err)
		}
		return nil
	})
}

// holds asks every question of the truth table. A table that leaves out a role or an action proves
// nothing about it and is refused.
func (v *revision) holds(truth string) error {
	asked := map[string]bool{}
	err := lines(truth, len(requestFields)+1, func(cell []string) error {
		role, action, want := cell[0], cell[1], cell[4]
		if err := known(policy.Role(role), policy.Action(action)); err != nil {
			return err
		}
		if want != "allow" && want != "deny" {
			return fmt.Errorf("%q: want allow or deny", want)
		}
		verdict, err := v.allow(role, action, cell[2], cell[3])
		if err != nil {
			return err
		}
		if verdict.Allowed != (want == "allow") {
			return fmt.Errorf("%s, %s, %s, %s: want %s, the policy says otherwise (rule %q)", role, action, cell[2], cell[3], want, verdict.Rule)
		}
		asked[role+" "+action] = true
		return nil
	})
	if err != nil {
		return err
	}
	for _, role := range policy.Roles() {
		for _, action := range policy.Actions() {
			if !asked[string(role)+" "+string(action)] {
				return fmt.Errorf("it does not say whether %s may %s", role, action)
			}
		}
	}
	return nil
}

func known(role policy.Role, action policy.Action) error {
	if !slices.Contains(policy.Roles(), role) {
		return fmt.Errorf("role %q is not known", role)
	}
	if !slices.Contains(policy.Actions(), action) {
		return fmt.Errorf("action %q is not known", action)
	}
	return nil
}

func lines(text string, fields int, each func([]string) error) error {
	reader := csv.NewReader(bytes.NewReader([]byte(text)))
	reader.Comment, reader.TrimLeadingSpace, reader.FieldsPerRecord = '#', true, fields
	for {
		line, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := each(line); err != nil {
			n, _ := reader.FieldPos(0)
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
}
