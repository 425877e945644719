package verify

import (
	"fmt"
	"slices"
	"time"

	"klarsyn/policy/audit/replay"
)

const (
	// skew is how far the clocks of two machines may be apart that write entries of one clip.
	skew = time.Minute
	// lifting is how long the transaction may last that lifts a hold: what it shreds is logged before it says so itself.
	lifting = 5 * time.Minute
)

// story is what entries say of one clip. Every entry that says something must say the same.
type story struct {
	Deletion
	clip string

	reserved, stored, gone, shredded bool
	was                              string // the state that it was in when it was shredded
	parent                           string
	deadline                         time.Time // the earliest that a reservation or a plan said; zero: none is there
	sequenced                        time.Time // of the entry that says that it was shredded
	holds                            []HeldFor // Ended is zero while they are in force
}

// DeletionOf is the deletion that entries tell of, which are all about one clip and in their order; or why they tell of none.
func DeletionOf(clip string, entries []Numbered) (Deletion, error) {
	s := &story{clip: clip}
	s.Tombstone.Clip = clip
	for _, n := range entries {
		e, ours, err := replay.Read(n.Leaf)
		if err != nil {
			return Deletion{}, fmt.Errorf("%w: entry %d: %w", ErrNotProven, n.Index, err)
		}
		if !ours {
			return Deletion{}, fmt.Errorf("%w: entry %d is %s, which says nothing of a clip's deletion", ErrNotProven, n.Index, n.Event)
		}
		if err := s.tell(n, e); err != nil {
			return Deletion{}, fmt.Errorf("%w: entry %d, %s: %w", ErrNotProven, n.Index, n.Event, err)
		}
		s.Entries = append(s.Entries, Said{n.Index, n.Event, n.Time.UTC()})
	}
	if err := s.judge(entries); err != nil {
		return Deletion{}, fmt.Errorf("%w: %w", ErrNotProven, err)
	}
	return s.Deletion, nil
}

// tell takes an entry in.
func (s *story) tell(n Numbered, e replay.Entry) error {
	if n.Time.After(n.Sequenced.Add(skew)) {
		return fmt.Errorf("it is of %s and got its number before that, at %s", stamp(n.Time), stamp(n.Sequenced))
	}
	switch {
	case e.Kind == "hold":
		return s.held(e)
	case e.ID != s.clip && e.Event == "clip-cut" && e.Details["parent"] == s.clip:
		return s.letGo(e.Details["hold"], e.Time, "it cuts out a part for it")
	case e.ID != s.clip:
		return fmt.Errorf("it is about clip %s, not %s", e.ID, s.clip)
	}
	if err := s.agree(e); err != nil {
		return err
	}
	switch e.Event {
	case "clip-reserved":
		if s.reserved {
			return fmt.Errorf("the clip was reserved before")
		}
		s.reserved, s.parent = true, e.Details["parent"]
		return s.planned(e.Instant("deadline"))
	case "clip-committed", "clip-partial", "clip-lost":
		if s.stored {
			return fmt.Errorf("another entry says already what became of the recording")
		}
		s.stored = true
	case "deletion-planned":
		return s.planned(e.Moved())
	case "clip-cut":
		s.parent = e.Details["parent"]
		s.holds = append(s.holds, HeldFor{Hold: e.Details["hold"], Case: e.Case, Placed: e.Time.UTC()})
	case "clip-shredded":
		return s.shred(n, e)
	case "clip-deleted":
		return s.end(e)
	}
	return nil
}

// agree holds what the entry says of the clip against what those before it said.
func (s *story) agree(e replay.Entry) error {
	t := &s.Tombstone
	hash, err := e.Hash()
	if err != nil {
		return err
	}
	size, err := e.Number("size")
	if err != nil {
		return err
	}
	if e.PermitVersion < 1 || e.Permit == "" {
		return fmt.Errorf("it names no permit")
	}
	if err := same("permit", &t.Permit, e.Permit); err != nil {
		return err
	}
	if err := same("permit_version", &t.PermitVersion, e.PermitVersion); err != nil {
		return err
	}
	if err := same("camera", &t.Camera, e.Details["camera"]); err != nil {
		return err
	}
	if err := same("sha256", &t.SHA256, hash); err != nil {
		return err
	}
	if err := same("size", &t.Size, size); err != nil {
		return err
	}
	for _, time := range []struct {
		name string
		to   *time.Time
	}{{"from", &t.From}, {"to", &t.To}} {
		said, err := e.Instant(time.name)
		if err != nil {
			return err
		}
		if time.name == "to" && e.Event == "clip-deleted" && !t.To.IsZero() {
			continue // the row tells how far the clip was recorded; a disk may have kept less, and that is what was stored
		}
		if err := same(time.name, time.to, precise(said)); err != nil {
			return err
		}
	}
	return nil
}

// same sets a value, or wants the one that was set before.
func same[T comparable](name string, value *T, said T) error {
	var nothing T
	switch {
	case said == nothing:
	case *value == nothing:
		*value = said
	case *value != said:
		return fmt.Errorf("it says %s %v, an entry before it %v", name, shown(said), shown(*value))
	}
	return nil
}

// planned is an earlier deadline than the ones before it.
func (s *story) planned(deadline time.Time, err error) error {
	if err != nil {
		return err
	}
	if deadline.IsZero() {
		return fmt.Errorf("it says no deadline")
	}
	if deadline = precise(deadline); s.deadline.IsZero() || deadline.Before(s.deadline) {
		s.deadline = deadline
	}
	return nil
}

// shred is the first entry that says that nobody can read the clip any more; what is done again after a restore says so again.
func (s *story) shred(n Numbered, e replay.Entry) error {
	deadline, err := e.Instant("deadline")
	if err != nil {
		return err
	}
	if deadline.IsZero() {
		return fmt.Errorf("it says no deadline")
	}
	if err := same("deadline", &s.Tombstone.Deadline, precise(deadline)); err != nil {
		return err
	}
	if s.shredded {
		return nil
	}
	s.shredded, s.was, s.sequenced, s.Tombstone.ShreddedAt = true, e.Details["was"], n.Sequenced, precise(e.Time)
	return nil
}

// end is the listing that found nothing; the last of them counts.
func (s *story) end(e replay.Entry) error {
	if !s.shredded {
		return fmt.Errorf("nothing before it says that the clip was made unreadable")
	}
	deadline, deadlineErr := e.Instant("deadline")
	gone, goneErr := e.Instant("deleted")
	removed, removedErr := e.Number("removed")
	listed, listedErr := e.Number("listed")
	for _, err := range []error{deadlineErr, goneErr, removedErr, listedErr, same("deadline", &s.Tombstone.Deadline, precise(deadline))} {
		if err != nil {
			return err
		}
	}
	switch {
	case gone.IsZero() || e.Details["listed"] == "":
		return fmt.Errorf("it does not say when a listing was made, or what it found")
	case listed != 0:
		return fmt.Errorf("the listing found %d things of the clip: it was not gone", listed)
	case gone.After(e.Time.Add(skew)):
		return fmt.Errorf("it says that the clip was gone at %s, and is of %s itself", stamp(gone), stamp(e.Time))
	}
	for _, h := range s.holds {
		if h.Ended.IsZero() {
			return fmt.Errorf("hold %s kept the clip, and no entry says that it ended", h.Hold)
		}
	}
	s.gone = true
	s.Tombstone.DeletedAt, s.Tombstone.Versions, s.Tombstone.Listed = precise(gone), removed, listed
	return nil
}

// held is a hold that begins or ends.
func (s *story) held(e replay.Entry) error {
	if e.Event == "hold-lifted" {
		return s.letGo(e.ID, e.Time, "it ends it")
	}
	if !slices.Contains(e.Clips(), s.clip) {
		return fmt.Errorf("it holds other clips, not %s", s.clip)
	}
	if s.shredded {
		return fmt.Errorf("it holds a clip that was unreadable already")
	}
	s.holds = append(s.holds, HeldFor{Hold: e.ID, Case: e.Case, Placed: e.Time.UTC()})
	return nil
}

// letGo ends what a hold does to the clip.
func (s *story) letGo(hold string, at time.Time, doing string) error {
	known := false
	for i := range s.holds {
		h := &s.holds[i]
		if h.Hold != hold {
			continue
		}
		known = true
		if !h.Ended.IsZero() {
			continue // a part was cut out for it, or another entry of the same end came before
		}
		h.Ended = at.UTC()
		if s.shredded && at.After(s.Tombstone.ShreddedAt.Add(lifting)) {
			return fmt.Errorf("hold %s ended at %s: the clip was made unreadable before that, at %s", hold, stamp(at), stamp(s.Tombstone.ShreddedAt))
		}
	}
	if !known {
		return fmt.Errorf("%s, and nothing before it says that hold %s keeps the clip", doing, hold)
	}
	return nil
}

// judge says why what was told is no deletion, or an impossible one.
func (s *story) judge(entries []Numbered) error {
	t := &s.Tombstone
	switch {
	case !s.shredded:
		return fmt.Errorf("no entry says that clip %s was made unreadable", s.clip)
	case !s.gone:
		return fmt.Errorf("no entry says that clip %s was deleted", s.clip)
	case t.Camera == "" || t.From.IsZero():
		return fmt.Errorf("no entry says of which camera and time clip %s was: its reservation is missing", s.clip)
	case !s.deadline.IsZero() && s.deadline != t.Deadline:
		return fmt.Errorf("the clip was deleted by a deadline of %s, and the entries that set it say %s: one is missing", stamp(t.Deadline), stamp(s.deadline))
	case (s.was == "committed" || s.was == "partial") != (t.SHA256 != "") && s.was != "":
		return fmt.Errorf("the clip was %s when it was made unreadable, and the hash of what was stored is %q", s.was, t.SHA256)
	case t.ShreddedAt.Before(t.Deadline) && s.parent == "": // a part is there for its hold alone
		return fmt.Errorf("the clip was made unreadable at %s, before its deadline of %s", stamp(t.ShreddedAt), stamp(t.Deadline))
	case t.DeletedAt.Before(t.ShreddedAt.Add(-skew)):
		return fmt.Errorf("the clip was gone at %s, before it was made unreadable at %s", stamp(t.DeletedAt), stamp(t.ShreddedAt))
	case !t.To.IsZero() && t.To.Before(t.From):
		return fmt.Errorf("the clip ends at %s, before it begins at %s", stamp(t.To), stamp(t.From))
	case t.Deadline.Before(t.From) && s.parent == "":
		return fmt.Errorf("the deadline of %s is earlier than the clip, which begins at %s", stamp(t.Deadline), stamp(t.From))
	}
	for _, n := range entries {
		// Entries of one moment are numbered at once, in whatever order.
		if (n.Event == "clip-reserved" || n.Event == "clip-committed" || n.Event == "clip-partial" || n.Event == "deletion-planned") && n.Sequenced.After(s.sequenced) {
			return fmt.Errorf("entry %d, %s, comes after the clip was made unreadable", n.Index, n.Event)
		}
	}
	s.Due = t.Deadline
	if s.parent != "" {
		s.Due = time.Time{}
	}
	s.Holds = s.holds
	for _, h := range s.holds {
		if h.Ended.After(s.Due) {
			s.Due = h.Ended
		}
	}
	if s.Due.After(t.ShreddedAt) || s.Due.IsZero() { // what ended the hold, or gave the part up, made the clip unreadable
		s.Due = t.ShreddedAt
	}
	return nil
}

// precise is an instant as rows have it: some entries tell nanoseconds.
func precise(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return time.UnixMicro(t.UnixMicro()).UTC()
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
