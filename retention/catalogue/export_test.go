package catalogue

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

// Chargeable is what a sweeper looks for.
func (c *Catalogue) Chargeable() string { return c.chargeable() }
