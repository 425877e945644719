package policy

import "time"

// Hold keeps clips beyond their deadline, for a case, until somebody looks at it again.
type Hold struct {
	ID     string
	Case   string
	Clips  []string
	Basis  string // on what ground they are kept
	Review time.Time
}

// HoldPlacedEntry says that clips are held. Whose decision that is must be said: who places it may also be who
// may decide it.
func HoldPlacedEntry(who Subject, h Hold, a Approval) Entry {
	return person(HoldPlaced, who).hold(h).withReason(h.Basis).withApproval(a).with("clips", list(h.Clips), "review", stamp(h.Review))
}

// HoldRefusedEntry says that a clip was not held, and why: it was claimed for deletion before, for example.
func HoldRefusedEntry(who Subject, c ClipRef, caseNumber, reason string) Entry {
	return person(HoldRefused, who).clip(c).because(Why{Case: caseNumber, Reason: reason}).ruled(deny, Verdict{})
}

// HoldExtendedEntry says that a hold goes on: review is when it was to be looked at again, h.Review when it is now.
func HoldExtendedEntry(who Subject, h Hold, review time.Time, a Approval) Entry {
	return person(HoldExtended, who).hold(h).withReason(h.Basis).withApproval(a).withChange(stamp(review), stamp(h.Review))
}

// HoldLiftedEntry says that clips are held no longer: those whose deadline passed are unreadable from here.
func HoldLiftedEntry(who Subject, h Hold, reason string) Entry {
	return person(HoldLifted, who).hold(h).withReason(reason).with("clips", list(h.Clips))
}

func (e Entry) hold(h Hold) Entry { return e.of(KindHold, h.ID).because(Why{Case: h.Case}) }
