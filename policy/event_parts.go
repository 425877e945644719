package policy

import (
	"encoding/hex"
	"strings"
	"time"
)

// The parts that entries are made of. None of them holds an image, or who can be seen in one; free text is cut to
// a length, and written with escapes when it does not print.

// PermitRef is one version of a permit.
type PermitRef struct {
	ID      string
	Version int
}

// ClipRef is a clip, and the permit that it was recorded under. Parent and Hold are of a part that is cut out of another clip:
// which clip that is, and which hold keeps the part from its reservation on.
type ClipRef struct {
	ID     string
	Camera string
	Permit PermitRef
	Parent string
	Hold   string
}

// Why is what somebody states who wants something. Reason is free text.
type Why struct {
	Purpose string
	Case    string
	Reason  string
}

// Approval is the yes that something needed: the request that was approved, or what stood in its place (DemoPolicy),
// and the account of who approved it.
type Approval struct {
	ID string
	By string
}

// Access is on what ground somebody got to see something: why, by which rule, approved by whom.
type Access struct {
	Why      Why
	Verdict  Verdict
	Approval Approval
}

// Recipient is who was given something: an authority, an office, an account. Never the name of somebody
// filmed: who is given the pictures of himself is DataSubject, and the case knows him.
type Recipient struct {
	Name    string
	Country string // of a recipient in a third country (BDL 8 kap.): its two letters; else empty
}

// DataSubject is the recipient who is shown what was recorded of himself.
const DataSubject = "data-subject"

// Hash is the SHA-256 of what an entry tells of.
type Hash [32]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Span is a stretch of time: from inclusive, to exclusive.
type Span struct{ From, To time.Time }

// person begins the entry of what somebody did who is logged in.
func person(event Event, who Subject) Entry {
	return Entry{
		Event: event, Actor: who.Name, Role: who.Role, Session: who.Session, Remote: who.Remote,
		MFA: bounded(who.MFA, maxWord), Client: bounded(who.Client, maxClient),
	}
}

// service begins the entry of what a process did by itself.
func service(event Event, actor string) Entry { return Entry{Event: event, Actor: actor} }

// of says what the entry is about; at, clip and the like say it of the commonest kinds.
func (e Entry) of(kind Kind, id string) Entry {
	e.Object = kind.Of(id)
	return e
}

func (e Entry) at(camera string) Entry { return e.of(KindCamera, camera) }

func (e Entry) under(p PermitRef) Entry {
	e.Permit, e.PermitVersion = p.ID, p.Version
	return e
}

func (e Entry) clip(c ClipRef) Entry { return e.of(KindClip, c.ID).under(c.Permit) }

func (e Entry) because(w Why) Entry {
	e.Purpose, e.Case, e.Reason = clipped(w.Purpose), clipped(w.Case), bounded(w.Reason, maxReason)
	return e
}

func (e Entry) withReason(reason string) Entry {
	e.Reason = bounded(reason, maxReason)
	return e
}

func (e Entry) ruled(decision string, v Verdict) Entry {
	e.Decision, e.Rule, e.Revision = decision, v.Rule, v.Revision
	return e
}

func (e Entry) withApproval(a Approval) Entry {
	e.Approval, e.Approver = a.ID, bounded(a.By, maxWord)
	return e
}

func (e Entry) withAccess(a Access) Entry {
	return e.because(a.Why).ruled(allow, a.Verdict).withApproval(a.Approval)
}

func (e Entry) to(r Recipient) Entry {
	e.Recipient = bounded(r.Name, maxClient)
	if r.Country != "" {
		e = e.with("third_country", bounded(r.Country, maxWord))
	}
	return e
}

func (e Entry) withResult(result string) Entry {
	e.Result = bounded(result, maxReason)
	return e
}

func (e Entry) withChange(before, after string) Entry {
	e.Before, e.After = bounded(before, maxReason), bounded(after, maxReason)
	return e
}

func (e Entry) withHashes(hashes ...Hash) Entry {
	for _, h := range hashes {
		e.Hashes = append(e.Hashes, h.String())
	}
	return e
}

// with adds details: names and values in turn. An entry is a value, but its map is not: it must be the
// constructor's own.
func (e Entry) with(pairs ...string) Entry {
	if e.Details == nil {
		e.Details = make(map[string]string, len(pairs)/2)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		e.Details[pairs[i]] = pairs[i+1]
	}
	return e
}

// The decisions.
const (
	allow = "allow"
	deny  = "deny"
)

// stamp writes an instant as details have it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func list(ids []string) string { return strings.Join(ids, " ") }
