package policy

import (
	"strconv"
	"time"
)

// PermitDraftedEntry says that somebody wrote a version of a permit: nothing is recorded under it yet.
func PermitDraftedEntry(who Subject, p PermitRef, document Hash) Entry {
	return person(PermitDrafted, who).permit(p).withHashes(document)
}

// PermitActivatedEntry says that a permit version is in force, and all that it says.
func PermitActivatedEntry(actor string, p PermitRef, document string) Entry {
	return service(PermitActivated, actor).permit(p).with("document", document)
}

// PermitSuspendedEntry says that nothing may be recorded under a permit until it is activated again.
func PermitSuspendedEntry(who Subject, p PermitRef, reason string) Entry {
	return person(PermitSuspended, who).permit(p).withReason(reason)
}

// PermitExpiredEntry says that a permit's time is over.
func PermitExpiredEntry(actor string, p PermitRef) Entry {
	return service(PermitExpired, actor).permit(p)
}

// PermitRevokedEntry says that a permit holds no longer, why, and from when, which may be in the past.
func PermitRevokedEntry(who Subject, p PermitRef, reason string, effective time.Time) Entry {
	return person(PermitRevoked, who).permit(p).withReason(reason).with("effective", stamp(effective))
}

// PermitEndedEntry says that the surveillance is over: what was recorded runs out as it would have.
func PermitEndedEntry(who Subject, p PermitRef, reason string) Entry {
	return person(PermitEnded, who).permit(p).withReason(reason)
}

func (e Entry) permit(p PermitRef) Entry { return e.of(KindPermit, p.ID).under(p) }

// SquareAppliedEntry says that somebody changed what holds of the square: its revision and the hash of what was declared.
func SquareAppliedEntry(who Subject, revision int64, document Hash) Entry {
	return person(SquareApplied, who).of(KindSquare, strconv.FormatInt(revision, 10)).withHashes(document)
}

// RulesActivatedEntry says that a revision of the rules decides from here, and which did before; empty: none.
func RulesActivatedEntry(actor, revision, before string) Entry {
	e := service(RulesActivated, actor).of(KindRules, revision).with("before", before)
	e.Revision = revision
	return e
}
