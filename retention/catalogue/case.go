package catalogue

import (
	"context"
	"fmt"

	"klarsyn/policy"
)

// caseNeeded looks at what a case's key may still have to open: what its holds keep, clips that are sealed to it, and what a hold
// in force may yet have cut out.
const caseNeeded = `SELECT EXISTS (SELECT 1 FROM catalogue_hold WHERE case_number = $1 AND lifted_us = 0)
	OR EXISTS (SELECT 1 FROM catalogue_held d JOIN catalogue_hold h ON h.id = d.hold WHERE h.case_number = $1 AND d.over_us = 0)
	OR EXISTS (SELECT 1 FROM catalogue_clip WHERE key_case = $1 AND key_case <> '' AND state <> 'deleted')`

// CaseNeeded reports whether a hold of the case is in force, or something is left that its key sealed.
func (c *Catalogue) CaseNeeded(ctx context.Context, caseNumber string) (bool, error) {
	var needed bool
	if err := c.DB.QueryRowContext(ctx, caseNeeded, caseNumber).Scan(&needed); err != nil {
		return false, fmt.Errorf("looking for what case %s holds: %w", caseNumber, err)
	}
	return needed, nil
}

// LogCaseKeyDestroyed says in the log that the key of a case is being destroyed. It comes before the destruction: a crash between
// the two destroys a little later, never without a word.
func (c *Catalogue) LogCaseKeyDestroyed(ctx context.Context, caseNumber string) error {
	return c.Log.Record(ctx, policy.CaseKeyDestroyedEntry(c.Actor, caseNumber))
}
