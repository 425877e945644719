package retention

import (
	"errors"
	"time"

	"klarsyn/camera"
)

// HoldKind says what a hold is for.
type HoldKind string

// The kinds of holds.
const (
	// Evidence is footage that an investigation needs.
	Evidence HoldKind = "evidence"
	// AccessRequest is footage that somebody asked to be handed out (utlämnande): nothing is destroyed while that is pending.
	AccessRequest HoldKind = "access-request"
)

// Hold keeps clips, or a stretch of a camera's time, beyond their deadline, for a case. It does not end by itself: two people
// lift it, and Review says when somebody must look at it again.
type Hold struct {
	ID        string // ULID
	Kind      HoldKind
	Case      string
	Basis     string // on what ground
	Requester string // who asked for it
	Approver  string // who placed it: somebody else
	Camera    camera.ID
	From, To  time.Time // of a hold on a stretch of time; zero: on clips by name
	Review    time.Time
	Placed    time.Time

	LiftAsked   time.Time // zero: nobody asked
	LiftAskedBy string
	LiftReason  string
	Lifted      time.Time // zero: in force
	LiftedBy    string

	Clips   []HeldClip
	Cameras []camera.ID // whose footage it keeps, or kept
}

// InForce reports whether the hold was not lifted.
func (h Hold) InForce() bool { return h.Lifted.IsZero() }

// HeldClip is what a hold keeps of one clip.
type HeldClip struct {
	Clip     string
	From, To time.Time // To is zero where the clip has no end yet
	Cut      string    // the clip that holds the part, since it was cut out; empty: the whole clip is held
	Over     time.Time // when the hold let go of it; zero: it has not
}

// PartHeld is a part of a clip that a hold wants: it is cut out, so that the rest may expire.
type PartHeld struct {
	Hold, Case string
	Clip       string
	From, To   time.Time // To is zero: to the clip's end
	Cut        string    // the clip that it is becoming, or became
}

// Refusal is a clip that could not be held, and why.
type Refusal struct {
	Clip   string
	Reason string
}

// SealedKey is what opens a held clip: its age header as it was recorded, and the file key within, sealed to a case. Both are
// empty for a clip that is sealed to the case itself.
type SealedKey struct {
	Header  []byte
	FileKey []byte
}

// MaxHeld bounds what one hold may keep, in clips: what is written of it is one transaction.
const MaxHeld = 5000

// Errors of holds.
var (
	ErrTooMuchHeld = errors.New("a hold keeps at most 5000 clips")
	ErrNoHold      = errors.New("no such hold")
	ErrHoldLifted  = errors.New("the hold was lifted already")
	ErrSamePerson  = errors.New("lifting takes two people: another one must agree")
	ErrNobodyAsked = errors.New("nobody has asked for the hold to be lifted")
)
