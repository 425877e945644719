package fsck

import (
	"context"
	"fmt"
	"slices"
)

// Hands are who repairs: for each repair a function that is safe to call twice, and beside a square that runs. It asks once more
// whether what was found is still so, logs what it does, and says in words what that was.
type Hands map[Repair]func(ctx context.Context, f Finding) (did string, err error)

// whole says that one call of a repair does it for all findings.
func whole(r Repair) bool { return r == RepairSweep || r == RepairKeys }

// Attempt is a repair that was tried.
type Attempt struct {
	Finding Finding
	Did     string
	Err     error
}

// Mend repairs what is safe to repair of what was found. What is not it leaves alone. Whether it helped the next check says.
func Mend(ctx context.Context, results []Result, hands Hands) []Attempt {
	var tried []Attempt
	done := map[Repair]Attempt{}
	for _, r := range results {
		for _, f := range r.Findings {
			hand, ok := hands[f.Repair]
			if !ok || ctx.Err() != nil {
				continue
			}
			a, again := done[f.Repair]
			if !again || !whole(f.Repair) {
				did, err := hand(ctx, f)
				a = Attempt{Did: did, Err: err}
				done[f.Repair] = a
			}
			a.Finding = f
			tried = append(tried, a)
		}
	}
	return tried
}

// Compare says in the results of the check after repairs what these put right: what was found before, and was tried, and is
// there no more.
func Compare(after []Result, tried []Attempt) {
	for i := range after {
		r := &after[i]
		for _, a := range tried {
			if a.Err == nil && a.Finding.Rule == r.ID && !slices.ContainsFunc(r.Findings, a.Finding.same) {
				r.Repaired = append(r.Repaired, Repaired{a.Finding, a.Did})
			}
		}
	}
}

// same says that it is about the same thing: ages in the words differ.
func (f Finding) same(g Finding) bool {
	return f.Rule == g.Rule && f.Row == g.Row && f.Object == g.Object && f.Mend == g.Mend
}

// String is what was tried.
func (a Attempt) String() string {
	if a.Err != nil {
		return fmt.Sprintf("%s: %s: could not %s: %v", a.Finding.Rule, a.Finding.What, a.Finding.Repair, a.Err)
	}
	return fmt.Sprintf("%s: %s: %s", a.Finding.Rule, a.Finding.What, a.Did)
}
