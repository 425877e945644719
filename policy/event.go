package policy

// Event names what an audit entry records. An event is never renamed and its meaning never changes: the
// log outlives the code. What each of them means in law, and what its entry must say, is in the table of
// event_table.go; the functions that make entries are named after them: ClipDeleted, ClipDeletedEntry.
type Event string

// Recording. A clip is created (reserved) and then sealed: committed, or partial, or lost.
const (
	CameraStarted   Event = "camera-started"
	CameraStopped   Event = "camera-stopped"
	CameraRefused   Event = "camera-refused"   // no valid permit
	ScheduleStopped Event = "schedule-stopped" // the permit's hours are over
	MaskChecked     Event = "mask-checked"
	AudioChecked    Event = "audio-checked" // were there sound tracks?
	ClipReserved    Event = "clip-reserved"
	ClipCommitted   Event = "clip-committed"
	ClipPartial     Event = "clip-partial" // cut off by a crash, kept up to its last whole chunk
	ClipLost        Event = "clip-lost"    // reserved, but nothing of it could be kept
)

// Deletion. Claimed and executed are one event, ClipShredded, since they are one transaction; verified
// is ClipDeleted. What reconciliation finds without an owner is OrphanDeleted.
const (
	DeletionPlanned   Event = "deletion-planned" // a deadline was set or moved down after the clip was made
	ClipShredded      Event = "clip-shredded"    // deadline passed: sealed header destroyed, unreadable from here
	ClipDeleted       Event = "clip-deleted"     // every version gone, absence proved
	DeletionFailed    Event = "deletion-failed"
	OrphanDeleted     Event = "orphan-deleted"
	RedactionMade     Event = "redaction-made"
	RestrictionSet    Event = "restriction-set" // kept as evidence only, where it should have been erased
	DayKeyMinted      Event = "day-key-minted"
	DayKeyUsed        Event = "day-key-used"
	DayKeyDestroyed   Event = "day-key-destroyed"
	MasterRotated     Event = "master-rotated" // every key was sealed under another master key; the one before goes
	BackupMade        Event = "backup-made"
	BackupRestored    Event = "backup-restored"
	DeletionsReplayed Event = "deletions-replayed" // what a restored backup still knew was deleted once more
)

// Looking. A playback is a viewing: opened before its first byte, closed with what was served.
const (
	Searched        Event = "searched"
	Listed          Event = "listed"
	ThumbnailViewed Event = "thumbnail-viewed"
	StillViewed     Event = "still-viewed"
	LiveStarted     Event = "live-started"
	LiveStopped     Event = "live-stopped"
	ViewingOpened   Event = "viewing-opened"
	ViewingClosed   Event = "viewing-closed"
	Denied          Event = "denied"
)

// Asking, and getting past the asking in an emergency.
const (
	RequestMade        Event = "request-made"
	RequestApproved    Event = "request-approved"
	RequestRejected    Event = "request-rejected"
	RequestExpired     Event = "request-expired"
	BreakGlassOpened   Event = "break-glass-opened"
	BreakGlassReviewed Event = "break-glass-reviewed"
)

// Giving away.
const (
	ExportBuilt       Event = "export-built"
	ExportDownloaded  Event = "export-downloaded"
	ExportDelivered   Event = "export-delivered"
	ExportDestroyed   Event = "export-destroyed"
	ClipShared        Event = "clip-shared"
	RecipientNotified Event = "recipient-notified" // told that what he was given was unlawful, or is to go
)

// Keeping beyond the deadline.
const (
	HoldPlaced   Event = "hold-placed"
	HoldRefused  Event = "hold-refused"
	HoldExtended Event = "hold-extended"
	HoldLifted   Event = "hold-lifted"
	// HoldLiftAsked is the first of the two people whom lifting takes.
	HoldLiftAsked Event = "hold-lift-asked"
	// ClipHeldOver is a deadline that passed under a hold: from here only a case's key opens the clip.
	ClipHeldOver Event = "clip-held-over"
	// ClipCut is a part of a clip that was copied into a case, so that the rest may expire.
	ClipCut          Event = "clip-cut"
	CaseKeyMinted    Event = "case-key-minted"
	CaseKeyDestroyed Event = "case-key-destroyed"
)

// Permits and rules. What a permit's change is called follows its status.
const (
	PermitDrafted   Event = "permit-drafted"
	PermitActivated Event = "permit-activated"
	PermitSuspended Event = "permit-suspended"
	PermitExpired   Event = "permit-expired"
	PermitRevoked   Event = "permit-revoked"
	PermitEnded     Event = "permit-ended"
	SquareApplied   Event = "square-applied"  // what is declared of cameras, permits, groups and users changed
	RulesActivated  Event = "rules-activated" // a revision decides from here
)

// People.
const (
	LoggedIn       Event = "logged-in"
	LoginFailed    Event = "login-failed"
	LoggedOut      Event = "logged-out"
	AccountCreated Event = "account-created"
	AccountChanged Event = "account-changed"
)

// The log itself, and what is made of it.
const (
	LogRead            Event = "log-read"
	LogExported        Event = "log-exported"
	LogPruned          Event = "log-pruned"          // entries older than the log is kept were removed
	LogKeyRotated      Event = "log-key-rotated"     // another key signs from here
	LogGrowth          Event = "log-growth"          // it grows faster, or its room ends sooner, than was planned
	CheckpointCosigned Event = "checkpoint-cosigned" // a witness says that it saw the log grow, and only grow
	ReportGenerated    Event = "report-generated"
)

// The machinery.
const (
	ServiceStarted Event = "service-started"
	ServiceStopped Event = "service-stopped"
	ClockFault     Event = "clock-fault"
	Repaired       Event = "repaired" // a check found something wrong that was safe to put right
)
