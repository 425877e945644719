package fsck

import (
	"fmt"

	"klarsyn/policy"
)

// Verdict is what may be said of an invariant.
type Verdict string

// The verdicts.
const (
	Holds    Verdict = "holds"
	Violated Verdict = "violated"
	// Skipped says that nothing of it could be looked into: it may hold or not.
	Skipped Verdict = "skipped"
	// Nothing says that there is nothing yet that could violate it.
	Nothing Verdict = "nothing to check"
)

// Result is what became of one invariant.
type Result struct {
	ID         string   `json:"id"`
	What       string   `json:"what"`
	Verdict    Verdict  `json:"verdict"`
	Checked    int      `json:"checked"`
	Violations []string `json:"violations"`
	// Findings are the violations again, in the same order, each taken apart.
	Findings []Finding `json:"findings"`
	// Skipped names what could not be looked into, and why: of that nothing is said.
	Skipped []string `json:"skipped,omitempty"`
	// Warnings name what will go wrong, or what a person must look at, and is no violation.
	Warnings []string `json:"warnings,omitempty"`
	// Repaired is what was violated before it was repaired.
	Repaired []Repaired `json:"repaired,omitempty"`
}

// Finding is one violation: what is wrong with which row and object, by which rule, and what to do about it.
type Finding struct {
	What string `json:"what"`
	Rule string `json:"rule"`
	// Row is named as the audit log names it: "clip:01J…", "hold:01J…", "day-key:plattan/2026-11-20".
	Row    string `json:"row,omitempty"`
	Object string `json:"object,omitempty"` // its key in the store
	Mend   string `json:"mend"`
	// Repair is what a repair would do; empty where nothing is safe to do by itself.
	Repair Repair `json:"repair,omitempty"`
}

// Repaired is a finding that was repaired.
type Repaired struct {
	Finding
	Did string `json:"did"`
}

// place is what a finding is about.
type place struct{ row, object string }

func clipAt(id, object string) place { return place{policy.KindClip.Of(id), object} }

func at(kind policy.Kind, id string) place { return place{row: kind.Of(id)} }

// broken adds a violation.
func (r *Result) broken(where place, m mend, format string, args ...any) {
	r.add(Finding{What: fmt.Sprintf(format, args...), Row: where.row, Object: where.object, Mend: string(m), Repair: m.repair()})
}

// add adds a violation that was found before.
func (r *Result) add(f Finding) {
	f.Rule = r.ID
	r.Findings = append(r.Findings, f)
	r.Violations = append(r.Violations, f.What)
}

func (r *Result) skip(format string, args ...any) {
	r.Skipped = append(r.Skipped, fmt.Sprintf(format, args...))
}

func (r *Result) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// Judge says what may be said of it, now that everything was looked at. The lists that consumers count are never null.
func (r *Result) Judge() {
	if r.Violations == nil {
		r.Violations = []string{}
	}
	if r.Findings == nil {
		r.Findings = []Finding{}
	}
	switch {
	case len(r.Violations) > 0:
		r.Verdict = Violated
	case r.Checked > 0:
		r.Verdict = Holds
	case r.Verdict == Nothing:
	case len(r.Skipped) > 0:
		r.Verdict = Skipped
	default:
		r.Verdict = Nothing
	}
}
