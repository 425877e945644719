package replay

import (
	"time"
)

// State is where a clip stands, by the log's words: they are those of the catalogue.
type State string

// The states, in the order in which a clip goes through them. It never goes back.
const (
	Unknown   State = ""          // the entries that say it were pruned
	Pending   State = "pending"   // reserved
	Committed State = "committed" // stored, whole
	Partial   State = "partial"   // stored, cut off
	Lost      State = "lost"      // nothing could be kept
	Deleting  State = "deleting"  // unreadable; bytes may still be there
	Deleted   State = "deleted"   // a listing found nothing
)

var states = []State{Unknown, Pending, Committed, Partial, Lost, Deleting, Deleted}

// Clip is what a log says of a clip. What it does not say, or says no more, is zero.
type Clip struct {
	ID            string
	Camera        string
	Permit        string
	PermitVersion int
	From, To      time.Time // To is not logged before the clip is stored
	Deadline      time.Time
	SHA256        string // hexadecimal; empty: nothing was stored
	Size          int64
	State         State
	// Reserved says that the log still has the clip's reservation. Without it camera and interval may be unknown, which is
	// not wrong: the log's own retention took the entry.
	Reserved bool
	Parent   string    // the clip that it was cut out of
	Holds    []Hold    // in force
	HeldOver time.Time // when its deadline passed under a hold
	Lost     time.Time // when it was given up
	Shredded time.Time // when its header was destroyed
	Deleted  time.Time // when a listing found nothing
}

// Hold is a hold that keeps a clip.
type Hold struct{ ID, Case string }

// Held says that a hold keeps the clip.
func (c Clip) Held() bool { return len(c.Holds) > 0 }

// clip is a Clip as it is kept: there may be millions of them.
type clip struct {
	camera, permit string // shared with the other clips
	parent         string
	from, to       int64 // microseconds, like all times; 0: not said
	deadline       int64
	heldOver       int64
	lost           int64
	shredded       int64
	deleted        int64
	size           int64
	holds          []*hold
	sha256         [32]byte
	version        int32
	state          uint8 // index into states
	reserved       bool
}

type hold struct {
	id, kase string
	clips    []string
	lifted   bool
}

// move takes the clip to a state, unless it is further already: entries of different machines may stand in another order than
// what they tell of happened in.
func (c *clip) move(to State) {
	for i := int(c.state) + 1; i < len(states); i++ {
		if states[i] == to {
			c.state = uint8(i)
			return
		}
	}
}

func (c *clip) is(s State) bool { return states[c.state] == s }

func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
