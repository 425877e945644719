// Package story tells a checker what a replayed audit log says of clips, in the checker's words.
package story

import (
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"time"

	"klarsyn/policy/audit/replay"
	"klarsyn/retention"
	"klarsyn/retention/fsck"
)

// Story is a log that was replayed; it implements fsck.Story.
type Story struct {
	clips  *replay.Clips
	begins time.Time
}

// Of is what a replayed log says. begins is when the oldest entry was logged that is kept; zero if none was ever removed.
func Of(clips *replay.Clips, begins time.Time) Story { return Story{clips, begins} }

// Begins is when the oldest entry was logged that is kept; zero if none was ever removed.
func (s Story) Begins() time.Time { return s.begins }

// All yields what is said of each clip.
func (s Story) All() iter.Seq[fsck.Told] {
	return func(yield func(fsck.Told) bool) {
		for c := range s.clips.All() {
			if !yield(toldOf(c)) {
				return
			}
		}
	}
}

// Clip is what is said of one clip, if anything is.
func (s Story) Clip(id string) (fsck.Told, bool) {
	c, ok := s.clips.Clip(id)
	return toldOf(c), ok
}

func toldOf(c replay.Clip) fsck.Told {
	t := fsck.Told{ID: c.ID, State: retention.State(c.State), Deadline: c.Deadline, HeldOver: c.HeldOver, Lost: c.Lost, Shredded: c.Shredded}
	for _, h := range c.Holds {
		t.Holds = append(t.Holds, h.ID)
	}
	if b, err := hex.DecodeString(c.SHA256); err == nil && len(b) == sha256.Size {
		t.SHA256 = [sha256.Size]byte(b)
	}
	return t
}
