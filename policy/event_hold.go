package policy

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Hold keeps clips beyond their deadline, for a case, until somebody looks at it again.
type Hold struct {
	ID        string
	Kind      string // "evidence", "access-request"; may be empty
	Case      string
	Clips     []string
	Basis     string // on what ground they are kept
	Requester string // who asked for it, if that was not who places it
	Review    time.Time
}

// maxListed is how many clips an entry of a hold names: with more it would be longer than an entry may be.
const maxListed = 400

// HoldPlacedEntry says that clips are held, maxListed at most: see HoldPlacedEntries. Whose decision that is must be said: who
// places it may also be who may decide it.
func HoldPlacedEntry(who Subject, h Hold, a Approval) Entry {
	e := person(HoldPlaced, who).hold(h).withReason(h.Basis).withApproval(a).with("clips", list(h.Clips), "review", stamp(h.Review))
	if h.Kind != "" {
		e = e.with("kind", h.Kind)
	}
	if h.Requester != "" {
		e = e.with("requester", bounded(h.Requester, maxCase))
	}
	return e
}

// HoldPlacedEntries say that clips are held, however many: each entry names some of them, and which part of how many it is.
func HoldPlacedEntries(who Subject, h Hold, a Approval) []Entry {
	return inParts(h, func(h Hold) Entry { return HoldPlacedEntry(who, h, a) })
}

// inParts makes one entry of a hold, or of one with many clips as many as it needs.
func inParts(h Hold, entry func(Hold) Entry) []Entry {
	if len(h.Clips) <= maxListed {
		return []Entry{entry(h)}
	}
	parts := slices.Collect(slices.Chunk(h.Clips, maxListed))
	entries := make([]Entry, len(parts))
	for i, clips := range parts {
		h.Clips = clips
		entries[i] = entry(h).with("part", fmt.Sprintf("%d/%d", i+1, len(parts)))
	}
	return entries
}

// HoldRefusedEntry says that a clip was not held, and why: it was claimed for deletion before, for example.
func HoldRefusedEntry(who Subject, c ClipRef, caseNumber, reason string) Entry {
	return person(HoldRefused, who).clip(c).because(Why{Case: caseNumber, Reason: reason}).ruled(deny, Verdict{})
}

// HoldExtendedEntry says that a hold goes on: review is when it was to be looked at again, h.Review when it is now.
func HoldExtendedEntry(who Subject, h Hold, review time.Time, a Approval) Entry {
	return person(HoldExtended, who).hold(h).withReason(h.Basis).withApproval(a).withChange(stamp(review), stamp(h.Review))
}

// HoldLiftAskedEntry says that somebody wants a hold lifted: another person must agree.
func HoldLiftAskedEntry(who Subject, h Hold, reason string) Entry {
	return person(HoldLiftAsked, who).hold(h).withReason(reason)
}

// HoldLiftedEntry says that clips are held no longer, maxListed at most: those whose deadline passed are unreadable from here.
// Who asked for it is the approval's other person.
func HoldLiftedEntry(who Subject, h Hold, reason string, a Approval) Entry {
	return person(HoldLifted, who).hold(h).withReason(reason).withApproval(a).with("clips", list(h.Clips))
}

// HoldLiftedEntries say that clips are held no longer, however many: see HoldPlacedEntries.
func HoldLiftedEntries(who Subject, h Hold, reason string, a Approval) []Entry {
	return inParts(h, func(h Hold) Entry { return HoldLiftedEntry(who, h, reason, a) })
}

func (e Entry) hold(h Hold) Entry { return e.of(KindHold, h.ID).because(Why{Case: h.Case}) }

// ClipHeldOverEntry says that a clip's deadline passed while it was held: nothing but a case's key opens it from here.
func ClipHeldOverEntry(actor string, c ClipRef, deadline time.Time) Entry {
	return service(ClipHeldOver, actor).clip(c).with("deadline", stamp(deadline))
}

// Cut is a part of a clip that was copied into a case.
type Cut struct {
	Parent   string // the clip that it is a part of
	Hold     string
	Case     string
	From, To time.Time // widened to whole fragments
	Size     int64     // sealed bytes
	Frames   int
	SHA256   Hash // of the sealed bytes
}

// ClipCutEntry says that a part of a clip was copied into a case, as a clip of its own, and sealed to the case's key.
func ClipCutEntry(actor string, c ClipRef, cut Cut) Entry {
	return service(ClipCut, actor).clip(c).because(Why{Case: cut.Case}).withHashes(cut.SHA256).with("parent", cut.Parent, "hold", cut.Hold,
		"from", stamp(cut.From), "to", stamp(cut.To), "size", strconv.FormatInt(cut.Size, 10), "frames", strconv.Itoa(cut.Frames))
}

// CaseKeyMintedEntry says that a case has a key from here.
func CaseKeyMintedEntry(actor, caseNumber string) Entry {
	return service(CaseKeyMinted, actor).caseKey(caseNumber)
}

// CaseKeyDestroyedEntry says that the key of a case is being destroyed: what it sealed is unreadable from here.
func CaseKeyDestroyedEntry(actor, caseNumber string) Entry {
	return service(CaseKeyDestroyed, actor).caseKey(caseNumber)
}

func (e Entry) caseKey(caseNumber string) Entry {
	return e.of(KindCaseKey, caseNumber).because(Why{Case: caseNumber})
}
