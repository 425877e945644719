package policy

import (
	"strconv"
	"time"
)

// ExportRef is one export, and what it was made for.
type ExportRef struct {
	ID      string
	Purpose string
	Case    string
}

// Package is what an export holds. An entry has a size: what has more clips than fit (about 300) is
// refused by the log, and is two exports.
type Package struct {
	Clips    []string
	Manifest Hash // the list of the files and their hashes
	Archive  Hash // the whole
}

// ExportBuiltEntry says that clips were put together for a case.
func ExportBuiltEntry(who Subject, x ExportRef, p Package, a Approval) Entry {
	return person(ExportBuilt, who).export(x).withApproval(a).withHashes(p.Manifest, p.Archive).with("clips", list(p.Clips))
}

// ExportDownloadedEntry says that an export left the system. Its recipient is who took it.
func ExportDownloadedEntry(who Subject, x ExportRef, bytes int64) Entry {
	return person(ExportDownloaded, who).export(x).to(Recipient{Name: KindAccount.Of(who.Name)}).
		with("bytes", strconv.FormatInt(bytes, 10))
}

// ExportDeliveredEntry says that an export was given to somebody, and on what legal basis.
func ExportDeliveredEntry(who Subject, x ExportRef, to Recipient, basis string, archive Hash, a Approval) Entry {
	return person(ExportDelivered, who).export(x).to(to).withApproval(a).withHashes(archive).with("basis", bounded(basis, maxReason))
}

// ExportDestroyedEntry says that the copy that was given to somebody is gone. result is how that is known: "destroyed
// here", "receipt 2026-11-20". A service is a subject with nothing but its name.
func ExportDestroyedEntry(who Subject, x ExportRef, at Recipient, result string) Entry {
	return person(ExportDestroyed, who).export(x).to(at).withResult(result)
}

func (e Entry) export(x ExportRef) Entry {
	return e.of(KindExport, x.ID).because(Why{Purpose: x.Purpose, Case: x.Case})
}

// ClipSharedEntry says that somebody let somebody else look at a clip, until when.
func ClipSharedEntry(who Subject, c ClipRef, to Recipient, a Access, until time.Time) Entry {
	return person(ClipShared, who).clip(c).withAccess(a).to(to).with("until", stamp(until))
}

// RecipientNotifiedEntry says that whoever was given an export or a clip, named by its Kind, was told that it was
// unlawful or wrong, or is to be destroyed (BDF 2 kap. 1 §).
func RecipientNotifiedEntry(who Subject, kind Kind, id string, to Recipient, reason string) Entry {
	return person(RecipientNotified, who).of(kind, id).to(to).withReason(reason)
}
