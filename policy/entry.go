package policy

import (
	"context"
	"database/sql"
	"time"
)

// Entry is one line of the audit log. It holds no image and no name of a person filmed. Fields that do
// not apply are empty. The JSON names and their order are the log's format: they are part of what is hashed, so
// a new field is always one that is left out when it is empty.
//
// There is no hash of the previous entry: the Merkle tree over all of them says the same, and proves it to
// somebody who has not all of them. Only this package makes entries, with the functions named after the events.
type Entry struct {
	ID            string    `json:"id"`   // ULID, set by the log when empty
	Time          time.Time `json:"time"` // UTC, set by the log when zero
	Event         Event     `json:"event"`
	Actor         string    `json:"actor"` // account name, or "service:retain" and the like
	Role          Role      `json:"role,omitempty"`
	Session       string    `json:"session,omitempty"`
	Remote        string    `json:"remote,omitempty"`
	Object        string    `json:"object,omitempty"` // "clip:01J…", "camera:k1", "permit:plattan": see Kind.Of
	Permit        string    `json:"permit,omitempty"`
	PermitVersion int       `json:"permit_version,omitempty"`
	Purpose       string    `json:"purpose,omitempty"`
	Case          string    `json:"case,omitempty"`
	Approval      string    `json:"approval,omitempty"`
	Decision      string    `json:"decision,omitempty"` // "allow" or "deny"
	Rule          string    `json:"rule,omitempty"`     // the matched rule, or why none matched
	Revision      string    `json:"revision,omitempty"` // of the rules that decided
	Reason        string    `json:"reason,omitempty"`

	Offset        string     `json:"offset,omitempty"`         // of Europe/Stockholm from UTC at Time: "+01:00"; see Stamped
	Clock         ClockState `json:"clock,omitempty"`          // what is known of the clock that told Time
	MFA           string     `json:"mfa,omitempty"`            // the second factor of the session: "totp", "webauthn"
	Client        string     `json:"client,omitempty"`         // what the client calls itself
	ObjectVersion string     `json:"object_version,omitempty"` // of a mask, a document, a stored object
	Approver      string     `json:"approver,omitempty"`       // the account of the second person
	Result        string     `json:"result,omitempty"`         // what it came to: "ok", "drifted"
	Recipient     string     `json:"recipient,omitempty"`      // who received; see Recipient
	Before        string     `json:"before,omitempty"`         // what a change replaced
	After         string     `json:"after,omitempty"`          // and by what
	Hashes        []string   `json:"hashes,omitempty"`         // SHA-256 of what the entry tells of, in hexadecimal

	Details map[string]string `json:"details,omitempty"`
}

// ClockState is what is known of the clock that told an entry's time.
type ClockState string

// The states of a clock. Nothing is said of one that agrees with the others.
const (
	ClockBehind  ClockState = "behind"  // it was set back
	ClockDoubted ClockState = "doubted" // it leapt ahead, and nobody vouched for it
)

// UnknownActor is who did something without having logged in. What a stranger calls himself is never
// logged: it may be a password in the wrong field.
const UnknownActor = "unknown"

// Log appends entries. Append writes the leaf inside tx, so that the entry and what it records stand or
// fall together; Record does the same in a transaction of its own. An error means that nothing was
// logged, and the caller must then not do what it wanted to log.
type Log interface {
	Append(ctx context.Context, tx *sql.Tx, e Entry) error
	Record(ctx context.Context, e Entry) error
}
