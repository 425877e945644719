package policy

import (
	"strconv"
	"time"
)

// LogQuestion is what somebody asked the log. What is empty was not asked for.
type LogQuestion struct {
	Before int64 // older than this number; 0: the newest
	Limit  int
	Event  Event
	Actor  string
	Case   string
	Object string
	Action LegalAction
	Since  time.Time
	Until  time.Time
	File   string // of the log as tiles
	Proof  string // number of the entry that is to be proven
}

// Pruning is what of the log was removed: all before these numbers, since it was kept for Keep.
type Pruning struct {
	FirstEntry      int64
	FirstCheckpoint int64
	Keep            string
}

// Growth is how many entries the log got in an hour, and how many are expected at most.
type Growth struct {
	Entries int64
	Limit   int64
}

// LogReadEntry says that somebody read the log, and with which question.
func LogReadEntry(who Subject, q LogQuestion) Entry {
	e := person(LogRead, who).ruled(allow, Verdict{})
	if q.Limit > 0 { // a list was asked for, and not one thing
		e = e.with("before", strconv.FormatInt(q.Before, 10), "limit", strconv.Itoa(q.Limit),
			"event", bounded(string(q.Event), maxWord), "actor", bounded(q.Actor, maxClient), "case", bounded(q.Case, maxClient))
	}
	for name, asked := range map[string]string{
		"object": bounded(q.Object, maxClient), "action": bounded(string(q.Action), maxWord), "file": bounded(q.File, maxWord), "proof": bounded(q.Proof, maxWord),
	} {
		if asked != "" {
			e = e.with(name, asked)
		}
	}
	for name, at := range map[string]time.Time{"since": q.Since, "until": q.Until} {
		if !at.IsZero() {
			e = e.with(name, stamp(at))
		}
	}
	return e
}

// LogExportedEntry says that a copy of the log of that name was made: from one number to before another, for whom
// as far as that is known.
func LogExportedEntry(who Subject, name string, from, to int64, r Recipient) Entry {
	return person(LogExported, who).of(KindLog, name).to(r).
		with("from", strconv.FormatInt(from, 10), "to", strconv.FormatInt(to, 10))
}

// LogPrunedEntry says that old entries of the log of that name were removed.
func LogPrunedEntry(actor, name string, p Pruning) Entry {
	return service(LogPruned, actor).of(KindLog, name).with(
		"first_entry", strconv.FormatInt(p.FirstEntry, 10), "first_checkpoint", strconv.FormatInt(p.FirstCheckpoint, 10), "keep", p.Keep)
}

// LogKeyRotatedEntry says that another key signs the log of that name: the verifier keys of both.
func LogKeyRotatedEntry(actor, name, before, after string) Entry {
	return service(LogKeyRotated, actor).of(KindLog, name).with("old", before, "new", after)
}

// LogGrowthEntry says that the log grows more than was planned for.
func LogGrowthEntry(actor, reason string, g Growth) Entry {
	return service(LogGrowth, actor).withReason(reason).with(
		"entries", strconv.FormatInt(g.Entries, 10), "limit", strconv.FormatInt(g.Limit, 10))
}

// CheckpointCosignedEntry says that a witness signed the checkpoint of that number.
func CheckpointCosignedEntry(witness string, checkpoint int64) Entry {
	return service(CheckpointCosigned, "witness:"+witness).of(KindCheckpoint, strconv.FormatInt(checkpoint, 10))
}

// ReportGeneratedEntry says that somebody had a report made of that time, by its name, and its hash.
func ReportGeneratedEntry(who Subject, name string, over Span, report Hash) Entry {
	return person(ReportGenerated, who).of(KindReport, name).withHashes(report).
		with("from", stamp(over.From), "to", stamp(over.To))
}
