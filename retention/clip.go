// Package retention holds the words for footage that is kept for a while — clips, deadlines, proofs of
// deletion — and the Sweeper that forgets them on time. The folders below it hold one technology each:
// sealing, keys, object stores, the catalogue.
package retention

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"klarsyn/camera"
)

// State is where a clip stands in its life. It only ever moves downwards in this list.
type State string

// The states of a clip.
const (
	Pending   State = "pending"   // reserved; bytes are on their way
	Committed State = "committed" // stored, verified, whole
	Partial   State = "partial"   // cut off by a crash; stored and readable up to its last whole chunk
	Lost      State = "lost"      // reserved, but nothing of it could be kept
	Deleting  State = "deleting"  // header destroyed, unreadable; bytes are being removed
	Deleted   State = "deleted"   // absence proved; the row is a tombstone
)

// Clip is one stretch of one camera's footage, sealed. Times are UTC.
type Clip struct {
	ID            string // ULID
	Camera        camera.ID
	Permit        string
	PermitVersion int
	Start, End    time.Time // covers [Start, End); End is zero while pending
	CameraTime    time.Time // the camera's own time of the first frame; zero if it did not say
	ClockFlagged  bool      // camera and server disagreed by more than ClockTolerance, or the server's clock was doubted
	Counted       time.Time // from when its retention counts; zero: from Start
	Deadline      time.Time // unreadable and deleted from this instant on
	State         State
	KeyDay        string // UTC day of the key that seals it, 2006-01-02
	ObjectKey     string
	Version       string            // of the object, where the store has versions
	Size          int64             // sealed bytes without the header
	PlainSize     int64             // bytes that a reader gets
	SHA256        [sha256.Size]byte // of the sealed bytes without the header
	Frames        int
	Codec         camera.Codec
	Node          string // recorder that reserved it
	DeletedAt     time.Time
	Holds         int       // in force
	Cased         time.Time // since when only a case's key opens it, as its deadline passed under a hold; zero: it did not
	Parent        string    // the clip that it was cut out of, for a case; empty: it was recorded
	KeyCase       string    // the case whose key seals it; empty: the day key
	Rule          string    // what moved its deadline since it was reserved: "plattan@3", "plattan@3 unlawful"; empty: nothing
}

// Duration is how long the clip is; zero while it is pending.
func (c Clip) Duration() time.Duration {
	if c.End.IsZero() {
		return 0
	}
	return c.End.Sub(c.Start)
}

// Held reports whether somebody needs the clip beyond its deadline.
func (c Clip) Held() bool { return c.Holds > 0 }

// Readable reports whether the clip's state allows reading; the deadline is checked apart.
func (c Clip) Readable() bool { return c.State == Committed || c.State == Partial }

// Proof is what is left of a deleted clip: enough to check that it was deleted on time, no picture.
type Proof struct {
	Clip          string            `json:"clip"`
	Camera        camera.ID         `json:"camera"`
	Permit        string            `json:"permit"`
	PermitVersion int               `json:"permit_version"`
	From          time.Time         `json:"from"`
	To            time.Time         `json:"to"`
	SHA256        [sha256.Size]byte `json:"-"`
	Deadline      time.Time         `json:"deadline"`
	ShreddedAt    time.Time         `json:"shredded_at"` // sealed header destroyed
	DeletedAt     time.Time         `json:"deleted_at"`  // absence proved by listing
	Versions      int               `json:"versions"`    // object versions, markers and parts removed
	Listed        int               `json:"listed"`      // what the listing afterwards found: 0
}

// Lag is how long after the deadline the bytes were gone.
func (p Proof) Lag() time.Duration { return p.DeletedAt.Sub(p.Deadline) }

// ClockTolerance is how far camera time and server time may differ before camera time is not believed.
const ClockTolerance = camera.ClockTolerance

// Errors that a caller of the vault or the catalogue must tell apart.
var (
	ErrNotFound    = errors.New("no such clip")
	ErrGone        = errors.New("the clip was deleted, or its deadline has passed")
	ErrNotReady    = errors.New("the clip is still being recorded")
	ErrNoFootage   = errors.New("nothing of the clip could be kept")
	ErrDamaged     = errors.New("the stored bytes are not what was recorded")
	ErrUnavailable = errors.New("the store or its keys cannot be reached")
	ErrNoGrant     = errors.New("the grant does not open this clip")
)

// Footage is an opened clip: fragmented MP4 in the clear, seekable. Read fails with ErrDamaged where the
// stored bytes do not match what was sealed, and with ErrGone from the clip's deadline on.
type Footage interface {
	io.ReadSeekCloser
	Clip() Clip
}

// ObjectKey is where the sealed bytes of a clip lie: by camera and UTC day, then id.
func ObjectKey(cam camera.ID, start time.Time, id string) string {
	return fmt.Sprintf("clips/%s/%s/%s", cam, start.UTC().Format(time.DateOnly), id)
}
