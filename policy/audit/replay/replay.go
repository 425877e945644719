// Package replay makes the states of all clips from the entries of a log alone. Who checks a catalogue holds it against them
// (invariant I14), and an auditor who has no catalogue holds what lies in a bucket against them.
package replay

import (
	"encoding/hex"
	"iter"
	"slices"
	"time"

	"klarsyn/policy/audit/leaf"
)

// Clips are the clips of a log, as far as it was replayed. It is not for several goroutines at once.
type Clips struct {
	// Forget, if set before the first entry, lets go of clips that are deleted: what is kept then grows with what is stored,
	// not with what ever was.
	Forget bool

	all       map[string]*clip
	holds     map[string]*hold
	words     map[string]string
	forgotten int64
	entries   int64
}

// Add takes an entry in: call it with all entries of a log, in their order. An error wraps ErrEntry and means that the entry
// was made by nothing that Klarsyn ever was; nothing of it is taken in.
func (r *Clips) Add(l leaf.Leaf) error {
	e, ours, err := Read(l)
	if err != nil || !ours {
		return err
	}
	r.entries++
	if e.Kind == "hold" {
		r.hold(e)
		return nil
	}
	return r.clip(e)
}

func (r *Clips) clip(e Entry) error {
	said, err := e.said()
	if err != nil {
		return err
	}
	c := r.find(e.ID)
	c.permit, c.version = r.word(e.Permit), int32(e.PermitVersion)
	if said.camera != "" {
		c.camera = r.word(said.camera)
	}
	if said.parent != "" {
		c.parent = said.parent
	}
	set(&c.from, said.from)
	set(&c.to, said.to)
	set(&c.size, said.size)
	if said.sha256 != ([32]byte{}) {
		c.sha256 = said.sha256
	}
	if said.deadline != 0 && (c.deadline == 0 || said.deadline < c.deadline) { // it never moves up
		c.deadline = said.deadline
	}
	at := e.Time.UnixMicro()
	switch e.Event {
	case reserved:
		c.reserved = true
		c.move(Pending)
		if h := e.Details["hold"]; h != "" {
			r.keep(h, e.ID, c)
		}
	case committed:
		c.move(Committed)
	case partial:
		c.move(Partial)
	case lost:
		c.move(Lost)
		c.lost = at
	case heldOver:
		c.heldOver = at
	case cut:
		c.move(Committed)
		h := e.Details["hold"]
		r.named(h).kase = e.Case
		r.keep(h, e.ID, c)
		if whole := r.all[c.parent]; whole != nil {
			whole.letGo(h)
		}
	case shredded:
		c.move(Deleting)
		if c.shredded == 0 { // a deletion that is done again after a restore began the first time
			c.shredded = at
		}
	case deleted:
		c.move(Deleted)
		set(&c.deleted, said.deleted)
		if r.Forget {
			delete(r.all, e.ID)
			r.forgotten++
		}
	}
	return nil
}

// hold takes in that a hold begins or ends. It ends for all that it keeps, whatever parts the entries that end it name.
func (r *Clips) hold(e Entry) {
	h := r.named(e.ID)
	h.kase = e.Case
	if e.Event == placed {
		for _, id := range e.Clips() {
			r.keep(e.ID, id, r.find(id))
		}
		return
	}
	h.lifted = true
	for _, id := range h.clips {
		if c := r.all[id]; c != nil {
			c.letGo(e.ID)
		}
	}
	h.clips = nil
}

func (r *Clips) named(id string) *hold {
	h := r.holds[id]
	if h == nil {
		if r.holds == nil {
			r.holds = map[string]*hold{}
		}
		h = &hold{id: id}
		r.holds[id] = h
	}
	return h
}

func (r *Clips) keep(id, clip string, c *clip) {
	h := r.named(id)
	if h.lifted || c.is(Deleted) || slices.Contains(c.holds, h) {
		return
	}
	h.clips = append(h.clips, clip)
	c.holds = append(c.holds, h)
}

func (c *clip) letGo(id string) {
	c.holds = slices.DeleteFunc(c.holds, func(h *hold) bool { return h.id == id })
}

func (r *Clips) find(id string) *clip {
	c := r.all[id]
	if c == nil {
		if r.all == nil {
			r.all = map[string]*clip{}
		}
		c = &clip{}
		r.all[id] = c
	}
	return c
}

// word is one copy of a text that many clips share.
func (r *Clips) word(text string) string {
	if w, ok := r.words[text]; ok {
		return w
	}
	if r.words == nil {
		r.words = map[string]string{}
	}
	r.words[text] = text
	return text
}

func set(value *int64, to int64) {
	if to != 0 {
		*value = to
	}
}

// said is what an entry says of its clip, in the form in which it is kept.
type said struct {
	camera, parent                    string
	from, to, deadline, size, deleted int64
	sha256                            [32]byte
}

func (e Entry) said() (said, error) {
	s := said{camera: e.Details["camera"], parent: e.Details["parent"]}
	for _, detail := range []struct {
		name string
		to   *int64
	}{{"from", &s.from}, {"to", &s.to}, {"deadline", &s.deadline}, {"deleted", &s.deleted}} {
		t, err := e.Instant(detail.name)
		if err != nil {
			return said{}, err
		}
		*detail.to = micros(t)
	}
	moved, err := e.Moved()
	if err != nil {
		return said{}, err
	}
	if e.Event == planned {
		s.deadline = micros(moved)
	}
	if s.size, err = e.Number("size"); err != nil {
		return said{}, err
	}
	text, err := e.Hash()
	if err != nil {
		return said{}, err
	}
	if _, err := hex.Decode(s.sha256[:], []byte(text)); err != nil {
		return said{}, err
	}
	return s, nil
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Clip is what the log says of a clip; false if it says nothing of it, or it was forgotten.
func (r *Clips) Clip(id string) (Clip, bool) {
	c := r.all[id]
	if c == nil {
		return Clip{}, false
	}
	return c.show(id), true
}

// All yields every clip that is known, in no order.
func (r *Clips) All() iter.Seq[Clip] {
	return func(yield func(Clip) bool) {
		for id, c := range r.all {
			if !yield(c.show(id)) {
				return
			}
		}
	}
}

// Len is how many clips are known, Forgotten how many were let go of because they are deleted, and Entries how many entries
// said something of clips.
func (r *Clips) Len() int { return len(r.all) }

// Forgotten is how many clips were let go of.
func (r *Clips) Forgotten() int64 { return r.forgotten }

// Entries is how many entries said something of clips.
func (r *Clips) Entries() int64 { return r.entries }

func (c *clip) show(id string) Clip {
	shown := Clip{
		ID: id, Camera: c.camera, Permit: c.permit, PermitVersion: int(c.version), From: instant(c.from), To: instant(c.to),
		Deadline: instant(c.deadline), Size: c.size, State: states[c.state], Reserved: c.reserved, Parent: c.parent,
		HeldOver: instant(c.heldOver), Lost: instant(c.lost), Shredded: instant(c.shredded), Deleted: instant(c.deleted),
	}
	if c.sha256 != ([32]byte{}) {
		shown.SHA256 = hex.EncodeToString(c.sha256[:])
	}
	for _, h := range c.holds {
		shown.Holds = append(shown.Holds, Hold{ID: h.id, Case: h.kase})
	}
	return shown
}
