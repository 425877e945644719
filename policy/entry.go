package policy

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Event names what an audit entry records.
type Event string

// The events of the first version. An event is never renamed: the log outlives the code.
const (
	CameraStarted      Event = "camera-started"
	CameraStopped      Event = "camera-stopped"
	CameraRefused      Event = "camera-refused" // no valid permit
	ClipReserved       Event = "clip-reserved"
	ClipCommitted      Event = "clip-committed"
	ClipPartial        Event = "clip-partial"  // cut off by a crash, kept up to its last whole chunk
	ClipLost           Event = "clip-lost"     // reserved, but nothing of it could be kept
	ClipShredded       Event = "clip-shredded" // deadline passed: sealed header destroyed, unreadable from here
	ClipDeleted        Event = "clip-deleted"  // every version gone, absence proved
	OrphanDeleted      Event = "orphan-deleted"
	DayKeyMinted       Event = "day-key-minted"
	DayKeyDestroyed    Event = "day-key-destroyed"
	ViewingOpened      Event = "viewing-opened"
	ViewingClosed      Event = "viewing-closed"
	Denied             Event = "denied"
	LoggedIn           Event = "logged-in"
	LoginFailed        Event = "login-failed"
	LoggedOut          Event = "logged-out"
	AccountCreated     Event = "account-created"
	AccountChanged     Event = "account-changed"
	LogRead            Event = "log-read"
	LogExported        Event = "log-exported"
	LogPruned          Event = "log-pruned"          // entries older than the log is kept were removed
	LogKeyRotated      Event = "log-key-rotated"     // another key signs from here
	CheckpointCosigned Event = "checkpoint-cosigned" // a witness says that it saw the log grow, and only grow
	ClockFault         Event = "clock-fault"
	PermitActivated    Event = "permit-activated"
	RulesActivated     Event = "rules-activated" // a revision decides from here
	ServiceStarted     Event = "service-started"
	ServiceStopped     Event = "service-stopped"
)

// Entry is one line of the audit log. It holds no image and no name of a person filmed. Fields that do
// not apply are empty. The JSON names are the log's format: they are part of what is hashed.
type Entry struct {
	ID            string            `json:"id"`   // ULID, set by the log when empty
	Time          time.Time         `json:"time"` // UTC, set by the log when zero
	Event         Event             `json:"event"`
	Actor         string            `json:"actor"` // account name, or "service:retain" and the like
	Role          Role              `json:"role,omitempty"`
	Session       string            `json:"session,omitempty"`
	Remote        string            `json:"remote,omitempty"`
	Object        string            `json:"object,omitempty"` // "clip:01J…", "camera:k1", "permit:plattan"
	Permit        string            `json:"permit,omitempty"`
	PermitVersion int               `json:"permit_version,omitempty"`
	Purpose       string            `json:"purpose,omitempty"`
	Case          string            `json:"case,omitempty"`
	Approval      string            `json:"approval,omitempty"`
	Decision      string            `json:"decision,omitempty"` // "allow" or "deny"
	Rule          string            `json:"rule,omitempty"`     // the matched rule, or why none matched
	Revision      string            `json:"revision,omitempty"` // of the rules that decided
	Reason        string            `json:"reason,omitempty"`
	Details       map[string]string `json:"details,omitempty"`
}

// UnknownActor is who did something without having logged in. What a stranger calls himself is never
// logged: it may be a password in the wrong field.
const UnknownActor = "unknown"

// Validate says why an entry cannot be logged. Every Log holds entries against it, those of tests as well.
func (e Entry) Validate() error {
	if e.Event == "" || e.Actor == "" {
		return fmt.Errorf("entry %s has event %q and actor %q: both must be given", e.ID, e.Event, e.Actor)
	}
	return nil
}

// Log appends entries. Append writes the leaf inside tx, so that the entry and what it records stand or
// fall together; Record does the same in a transaction of its own. An error means that nothing was
// logged, and the caller must then not do what it wanted to log.
type Log interface {
	Append(ctx context.Context, tx *sql.Tx, e Entry) error
	Record(ctx context.Context, e Entry) error
}
