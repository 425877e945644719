package catalogue

import (
	"context"
	"database/sql"
)

// The queries whose plans are tested.
const (
	OpenClip        = openClip
	KeyNeeded       = keyNeeded
	CaseNeeded      = caseNeeded
	DueClips        = dueClips
	OldestReadable  = oldestReadable
	OldestRemaining = oldestRemaining
	DueBacklog      = dueBacklog
	RemovalBacklog  = removalBacklog
	ToCut           = toCut
	BegunCuts       = begunCuts
	Unbarred        = unbarred
	Barred          = barred
	CaseKey         = caseKey
	Stored          = stored
)

// Within runs f in a transaction.
func (c *Catalogue) Within(ctx context.Context, f func(tx *sql.Tx) error) error {
	return c.within(ctx, "testing", f)
}

// Chargeable is what a sweeper looks for.
func (c *Catalogue) Chargeable() string { return c.chargeable() }
