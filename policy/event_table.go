package policy

import "slices"

// LegalAction is what an event is in law: one of the actions that the Law Enforcement Directive, art. 25,
// and brottsdataförordningen 3 kap. 4 § want logged, or None of them.
type LegalAction string

// The actions, with the words of the Swedish text.
const (
	Collection   LegalAction = "collection"   // insamling
	Alteration   LegalAction = "alteration"   // ändring; marking what is stored is one, so holds and restrictions are
	Consultation LegalAction = "consultation" // läsning
	Disclosure   LegalAction = "disclosure"   // utlämning, and transfer to a third country: see Recipient
	Combination  LegalAction = "combination"  // sammanföring
	Erasure      LegalAction = "erasure"      // radering
	// NoAction is what an event is that processes nobody's data: it is about the system, its staff or a decision.
	NoAction LegalAction = "none"
)

// Kind is the kind of thing that an entry's object is: what stands before the colon.
type Kind string

// The kinds of objects.
const (
	KindCamera     Kind = "camera"
	KindClip       Kind = "clip"
	KindObject     Kind = "object" // in the object store, by its key
	KindDayKey     Kind = "day-key"
	KindMasterKey  Kind = "master-key" // by its name
	KindPermit     Kind = "permit"
	KindSquare     Kind = "square" // what was applied, by its revision
	KindRules      Kind = "rules"
	KindAccount    Kind = "account"
	KindRoute      Kind = "route" // of the server; its pattern, since an address may hold anything
	KindRequest    Kind = "request"
	KindBreakGlass Kind = "break-glass"
	KindExport     Kind = "export"
	KindHold       Kind = "hold"
	KindCaseKey    Kind = "case-key"
	KindBackup     Kind = "backup"
	KindReport     Kind = "report"
	KindLog        Kind = "log"
	KindCheckpoint Kind = "checkpoint"
	// KindNone is the kind of an event that need not be about one thing.
	KindNone Kind = ""
)

// Of names a thing of this kind as entries do.
func (k Kind) Of(id string) string { return string(k) + ":" + id }

// meaning is what the table says of an event. Actor and event must be given in every entry, so needs does
// not repeat them; it holds JSON names, and for details "details.name".
type meaning struct {
	event  Event
	action LegalAction
	kinds  []Kind // what its object may be; none: it has no object
	needs  []string
}

func about(kinds ...Kind) []Kind      { return kinds }
func needs(fields ...string) []string { return fields }

// anyKind is what a denial may be about.
var anyKind = about(KindNone, KindCamera, KindClip, KindObject, KindDayKey, KindMasterKey, KindPermit, KindSquare, KindRules, KindAccount, KindRoute,
	KindRequest, KindBreakGlass, KindExport, KindHold, KindCaseKey, KindBackup, KindReport, KindLog, KindCheckpoint)

// table is what every event means. A constant that is missing here cannot be logged.
var table = []meaning{
	{CameraStarted, Collection, about(KindCamera), needs("permit", "permit_version")},
	{CameraStopped, Collection, about(KindCamera), needs("details.cause", "details.from")},
	{CameraRefused, NoAction, about(KindCamera), needs("details.cause", "details.from")},
	{ScheduleStopped, Collection, about(KindCamera), needs("permit", "permit_version", "details.from")},
	{MaskChecked, NoAction, about(KindCamera), needs("permit", "permit_version", "object_version", "result")},
	{AudioChecked, NoAction, about(KindCamera), needs("permit", "permit_version", "result", "details.tracks")},
	{ClipReserved, Collection, about(KindClip), needs("permit", "permit_version", "details.camera", "details.from", "details.deadline")},
	{ClipCommitted, Collection, about(KindClip), needs("permit", "permit_version", "details.sha256")},
	{ClipPartial, Collection, about(KindClip), needs("permit", "permit_version", "details.sha256")},
	{ClipLost, Erasure, about(KindClip), needs("permit", "permit_version", "details.reason")},

	{DeletionPlanned, NoAction, about(KindClip), needs("permit", "permit_version", "reason", "before", "after")},
	{ClipShredded, Erasure, about(KindClip), needs("permit", "permit_version", "details.deadline")},
	{ClipDeleted, Erasure, about(KindClip), needs("permit", "permit_version", "details.deadline", "details.deleted", "details.listed")},
	{DeletionFailed, NoAction, about(KindClip, KindObject, KindExport), needs("reason", "result")},
	{OrphanDeleted, Erasure, about(KindObject), needs("details.size")},
	{RedactionMade, Alteration, about(KindClip), needs("role", "permit", "permit_version", "purpose", "case", "hashes", "details.redaction", "details.method")},
	{RestrictionSet, Alteration, about(KindClip), needs("role", "permit", "permit_version", "case", "reason", "approver")},
	{DayKeyMinted, NoAction, about(KindDayKey), needs("permit")},
	{DayKeyUsed, NoAction, about(KindDayKey), needs("permit", "details.clip")},
	{DayKeyDestroyed, Erasure, about(KindDayKey), needs("permit")},
	{MasterRotated, NoAction, about(KindMasterKey), needs("details.version", "details.left", "details.days", "details.cases")},
	{BackupMade, NoAction, about(KindBackup), needs("hashes")},
	{BackupRestored, NoAction, about(KindBackup), needs("hashes", "details.made")},
	{DeletionsReplayed, Erasure, about(KindBackup), needs("result", "details.clips")},

	{Searched, Consultation, about(KindNone, KindCamera), needs("role", "decision", "details.from", "details.to", "details.found")},
	{Listed, Consultation, about(KindNone, KindCamera), needs("role", "decision", "details.list", "details.found")},
	{ThumbnailViewed, Consultation, about(KindClip), needs("role", "permit", "permit_version", "purpose", "case", "decision", "details.camera")},
	{StillViewed, Consultation, about(KindClip), needs("role", "permit", "permit_version", "purpose", "case", "decision", "details.camera", "details.at")},
	{LiveStarted, Consultation, about(KindCamera), needs("role", "permit", "permit_version", "purpose", "decision")},
	{LiveStopped, Consultation, about(KindCamera), needs("role", "permit", "permit_version", "purpose", "reason", "details.seconds")},
	{ViewingOpened, Consultation, about(KindClip), needs("role", "permit", "permit_version", "purpose", "case", "approval", "decision", "details.camera")},
	{ViewingClosed, Consultation, about(KindClip), needs("role", "permit", "permit_version", "purpose", "case",
		"details.viewing", "details.camera", "details.responses", "details.unfinished", "details.bytes", "details.seconds")},
	{Denied, NoAction, anyKind, needs("decision")},

	{RequestMade, NoAction, about(KindRequest), needs("role", "purpose", "case", "reason", "details.action", "details.camera", "details.from", "details.to")},
	{RequestApproved, NoAction, about(KindRequest), needs("role", "purpose", "case", "approval", "approver", "decision", "details.requester", "details.until")},
	{RequestRejected, NoAction, about(KindRequest), needs("role", "purpose", "case", "approver", "decision", "reason", "details.requester")},
	{RequestExpired, NoAction, about(KindRequest), needs("purpose", "case", "details.requester")},
	{BreakGlassOpened, NoAction, about(KindBreakGlass), needs("role", "purpose", "case", "reason", "details.until")},
	{BreakGlassReviewed, NoAction, about(KindBreakGlass), needs("role", "result", "reason")},

	{ExportBuilt, Combination, about(KindExport), needs("role", "purpose", "case", "approval", "hashes", "details.clips")},
	{ExportDownloaded, Disclosure, about(KindExport), needs("role", "purpose", "case", "recipient", "details.bytes")},
	{ExportDelivered, Disclosure, about(KindExport), needs("role", "purpose", "case", "recipient", "approval", "hashes", "details.basis")},
	{ExportDestroyed, Erasure, about(KindExport), needs("purpose", "case", "recipient", "result")},
	{ClipShared, Disclosure, about(KindClip), needs("role", "permit", "permit_version", "purpose", "case", "recipient", "approval", "decision", "details.until")},
	{RecipientNotified, NoAction, about(KindExport, KindClip), needs("recipient", "reason")},

	{HoldPlaced, Alteration, about(KindHold), needs("role", "case", "reason", "approver", "details.clips", "details.review")},
	{HoldRefused, NoAction, about(KindClip), needs("role", "permit", "permit_version", "case", "decision", "reason")},
	{HoldExtended, Alteration, about(KindHold), needs("role", "case", "reason", "approver", "before", "after")},
	{HoldLifted, Alteration, about(KindHold), needs("role", "case", "reason", "details.clips")},
	{HoldLiftAsked, NoAction, about(KindHold), needs("role", "case", "reason")},
	{ClipHeldOver, Alteration, about(KindClip), needs("permit", "permit_version", "details.deadline")},
	{ClipCut, Alteration, about(KindClip), needs("permit", "permit_version", "case", "hashes", "details.parent", "details.hold", "details.from", "details.to", "details.size", "details.frames")},
	{CaseKeyMinted, NoAction, about(KindCaseKey), needs("case")},
	{CaseKeyDestroyed, Erasure, about(KindCaseKey), needs("case")},

	{PermitDrafted, NoAction, about(KindPermit), needs("role", "permit", "permit_version", "hashes")},
	{PermitActivated, NoAction, about(KindPermit), needs("permit", "permit_version", "details.document")},
	{PermitSuspended, NoAction, about(KindPermit), needs("role", "permit", "permit_version", "reason")},
	{PermitExpired, NoAction, about(KindPermit), needs("permit", "permit_version")},
	{PermitRevoked, NoAction, about(KindPermit), needs("role", "permit", "permit_version", "reason", "details.effective")},
	{PermitEnded, NoAction, about(KindPermit), needs("role", "permit", "permit_version", "reason")},
	{SquareApplied, NoAction, about(KindSquare), needs("role", "hashes")},
	{RulesActivated, NoAction, about(KindRules), needs("revision")},

	{LoggedIn, NoAction, about(), needs("role", "session", "decision")},
	{LoginFailed, NoAction, about(), needs("decision", "reason")},
	{LoggedOut, NoAction, about(), needs("role", "session")},
	{AccountCreated, NoAction, about(KindAccount), needs("details.role")},
	{AccountChanged, NoAction, about(KindAccount), needs("details.changed")},

	// The log tells of people who work here and of cases: to read it is to consult, to take it away to disclose.
	{LogRead, Consultation, about(KindNone, KindLog), needs("decision")}, // a command on the machine itself has no role
	{LogExported, Disclosure, about(KindNone, KindLog), nil},
	{LogPruned, Erasure, about(KindLog), needs("details.first_entry", "details.first_checkpoint", "details.keep")},
	{LogKeyRotated, NoAction, about(KindLog), needs("details.old", "details.new")},
	{LogGrowth, NoAction, about(KindNone, KindLog), needs("reason")},
	{CheckpointCosigned, NoAction, about(KindCheckpoint), nil},
	{ReportGenerated, Consultation, about(KindReport), needs("role", "hashes", "details.from", "details.to")},

	{ServiceStarted, NoAction, about(), nil},
	{ServiceStopped, NoAction, about(), nil},
	{ClockFault, NoAction, about(), needs("reason", "clock")},
	{Repaired, Alteration, about(KindClip, KindHold), needs("reason", "result")},
}

var meanings = byEvent(table)

func byEvent(table []meaning) map[Event]meaning {
	m := make(map[Event]meaning, len(table))
	for _, row := range table {
		m[row.event] = row
	}
	return m
}

// Events are all events there are, grouped as in the table.
func Events() []Event {
	all := make([]Event, 0, len(table))
	for _, row := range table {
		all = append(all, row.event)
	}
	return all
}

// LegalAction is what the event is in law; empty for what is no event.
func (e Event) LegalAction() LegalAction { return meanings[e].action }

// Kinds are the kinds of things that the event may be about. KindNone among them means that its entry may
// have no object, and no kinds at all that it must have none.
func (e Event) Kinds() []Kind { return slices.Clone(meanings[e].kinds) }

// Required are the fields that the event's entry must give besides time, event, actor and an object of one
// of its Kinds: their JSON names, and "details.name" for a detail.
func (e Event) Required() []string { return slices.Clone(meanings[e].needs) }
