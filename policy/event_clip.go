package policy

import (
	"strconv"
	"time"
)

// Seal is what is known of a clip once it is stored.
type Seal struct {
	SHA256 Hash
	Size   int64
	To     time.Time // where it ends
	Frames int
}

// Deletion is what a deletion came to. Removed counts the versions that were removed, Listed how often
// the store was asked and showed none.
type Deletion struct {
	Deadline time.Time
	Deleted  time.Time
	Removed  int
	Listed   int
	// What was deleted, so that the entry alone says it when those of the recording are older than the log is kept. From is zero
	// in entries from before that; To where the clip's end never became known; SHA256 where nothing was stored.
	From, To time.Time
	SHA256   Hash
	Size     int64
}

// Redaction is a copy of a clip in which somebody or something was made unrecognisable for good.
type Redaction struct {
	ID       string
	Method   string // for example "blur": what was done, not to whom
	Original Hash
	Redacted Hash
}

// DayKey is the key that seals what was recorded under a permit on a UTC day.
type DayKey struct{ Permit, Day string }

// ClipReservedEntry says that a clip begins: from here on it has a deadline.
func ClipReservedEntry(actor string, c ClipRef, from, deadline time.Time) Entry {
	e := service(ClipReserved, actor).clip(c).with("camera", c.Camera, "from", stamp(from), "deadline", stamp(deadline))
	if c.Parent != "" {
		e = e.with("parent", c.Parent, "hold", c.Hold)
	}
	return e
}

// ClipCommittedEntry says that a clip is stored whole.
func ClipCommittedEntry(actor string, c ClipRef, s Seal) Entry {
	return sealed(ClipCommitted, actor, c, s)
}

// ClipPartialEntry says that a clip is stored up to where a crash cut it off.
func ClipPartialEntry(actor string, c ClipRef, s Seal) Entry { return sealed(ClipPartial, actor, c, s) }

func sealed(event Event, actor string, c ClipRef, s Seal) Entry {
	return service(event, actor).clip(c).with(
		"sha256", s.SHA256.String(), "size", strconv.FormatInt(s.Size, 10), "to", stamp(s.To), "frames", strconv.Itoa(s.Frames))
}

// ClipLostEntry says that nothing of a clip could be kept.
func ClipLostEntry(actor string, c ClipRef, reason string) Entry {
	return service(ClipLost, actor).clip(c).with("reason", bounded(reason, maxReason))
}

// DeletionPlannedEntry says that a clip's deadline moved, and why: a permit was shortened or revoked.
func DeletionPlannedEntry(actor string, c ClipRef, before, after time.Time, reason string) Entry {
	return service(DeletionPlanned, actor).clip(c).withReason(reason).withChange(stamp(before), stamp(after))
}

// ClipShreddedEntry says that a clip's deadline passed and nobody can read it any more; was is the state it was in.
func ClipShreddedEntry(actor string, c ClipRef, deadline time.Time, was string) Entry {
	return service(ClipShredded, actor).clip(c).with("deadline", stamp(deadline), "was", was)
}

// ClipDeletedEntry says that nothing of a clip is left, and how that was proved.
func ClipDeletedEntry(actor string, c ClipRef, d Deletion) Entry {
	e := service(ClipDeleted, actor).clip(c).with(
		"deadline", stamp(d.Deadline), "deleted", stamp(d.Deleted), "removed", strconv.Itoa(d.Removed), "listed", strconv.Itoa(d.Listed))
	if d.From.IsZero() {
		return e
	}
	e = e.with("camera", c.Camera, "from", stamp(d.From))
	if !d.To.IsZero() {
		e = e.with("to", stamp(d.To))
	}
	if d.SHA256 != (Hash{}) {
		e = e.with("sha256", d.SHA256.String(), "size", strconv.FormatInt(d.Size, 10))
	}
	return e
}

// DeletionFailedEntry says what could not be deleted: a clip, an object or an export, named by its Kind.
// result says what becomes of it now: "trying again", "given up".
func DeletionFailedEntry(actor string, kind Kind, id, reason, result string) Entry {
	return service(DeletionFailed, actor).of(kind, id).withReason(reason).withResult(result)
}

// OrphanDeletedEntry says that an object that no clip owns is removed.
func OrphanDeletedEntry(actor, key string, size int64) Entry {
	return service(OrphanDeleted, actor).of(KindObject, key).with("size", strconv.FormatInt(size, 10))
}

// RedactionMadeEntry says that a redacted copy of a clip was made.
func RedactionMadeEntry(who Subject, c ClipRef, w Why, r Redaction) Entry {
	return person(RedactionMade, who).clip(c).because(w).withHashes(r.Original, r.Redacted).
		with("redaction", r.ID, "method", bounded(r.Method, maxReason))
}

// RestrictionSetEntry says that a clip which should be erased is kept, as evidence and for nothing else.
func RestrictionSetEntry(who Subject, c ClipRef, w Why, a Approval) Entry {
	return person(RestrictionSet, who).clip(c).because(w).withApproval(a)
}

// DayKeyMintedEntry says that a day key begins.
func DayKeyMintedEntry(actor string, k DayKey) Entry { return service(DayKeyMinted, actor).dayKey(k) }

// DayKeyUsedEntry says that a day key opened the header of a clip.
func DayKeyUsedEntry(actor string, k DayKey, clip string) Entry {
	return service(DayKeyUsed, actor).dayKey(k).with("clip", clip)
}

// DayKeyDestroyedEntry says that a day key is being destroyed: whatever it sealed is unreadable from here.
func DayKeyDestroyedEntry(actor string, k DayKey) Entry {
	return service(DayKeyDestroyed, actor).dayKey(k)
}

func (e Entry) dayKey(k DayKey) Entry {
	e.Permit = k.Permit
	return e.of(KindDayKey, k.Permit+"/"+k.Day)
}
