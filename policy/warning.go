package policy

import (
	"fmt"
	"time"
)

// assessedFor is how old an assessment may be before somebody should look at it again: ours, since the law sets no time.
const assessedFor = 3 * 365 * 24 * time.Hour

// Warnings are what software cannot enforce and somebody should see to.
func (p Permit) Warnings(now time.Time) []string {
	var all []string
	warn := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	rules, _ := RulesOf(p.Regime)
	if g := rules.Retention.Guideline; !g.IsZero() && p.Retention.Exceeds(g) {
		warn("retention %s is longer than the guideline %s: it must be argued in the assessment (%s)", p.Retention, g, rules.Retention.Source)
	}
	if p.Place == nil && rules.Register == "mandatory" {
		warn("place is not told: the register must name address and type of place (KBL 10 §)")
	}
	if p.Controller == "" {
		warn("controller is not told: somebody must answer for it")
	}
	if len(p.Signs) == 0 {
		warn("no sign is listed: people must be told that they are watched (KBL 15 §)")
	}
	if a := p.Assessment; a != nil {
		if made, err := time.Parse(time.DateOnly, a.Date); err == nil && now.Sub(made) > assessedFor {
			warn("the assessment is of %s: look at it again", a.Date)
		}
	}
	if due, err := time.Parse(time.DateOnly, p.Review); err == nil && now.After(due) {
		warn("its review was due on %s", p.Review)
	}
	return all
}
