package policy

import (
	"strconv"
	"time"
)

// Search is what somebody searched for, and how much of it there was. Camera is empty for all of them.
type Search struct {
	Camera string
	Span   Span
	Found  int
	Why    Why
}

// Denial is what was refused, and why. What the asker typed is never the object: Kind.Of what was found
// by it, or of "unknown".
type Denial struct {
	Object  string
	Action  Action
	Camera  string
	Permit  PermitRef
	Purpose string // as stated; what is not fit for the log is cut and quoted
	Case    string // the same
	Verdict Verdict
	Reason  string // one word: a Reason constant, or the server's own
}

// SearchedEntry says that somebody searched for clips.
func SearchedEntry(who Subject, s Search, v Verdict) Entry {
	e := person(Searched, who).because(s.Why).ruled(allow, v).
		with("from", stamp(s.Span.From), "to", stamp(s.Span.To), "found", strconv.Itoa(s.Found))
	if s.Camera == "" {
		return e
	}
	return e.at(s.Camera)
}

// ListedEntry says that somebody was shown a list, by its name: "clips", "deletions". camera may be empty.
func ListedEntry(who Subject, list, camera string, found int, v Verdict) Entry {
	e := person(Listed, who).ruled(allow, v).with("list", bounded(list, maxWord), "found", strconv.Itoa(found))
	if camera == "" {
		return e
	}
	return e.at(camera)
}

// ThumbnailViewedEntry says that somebody saw a small picture of a clip.
func ThumbnailViewedEntry(who Subject, c ClipRef, a Access) Entry {
	return person(ThumbnailViewed, who).clip(c).withAccess(a).with("camera", c.Camera)
}

// StillViewedEntry says that somebody saw one picture of a clip, taken at that time.
func StillViewedEntry(who Subject, c ClipRef, at time.Time, a Access) Entry {
	return person(StillViewed, who).clip(c).withAccess(a).with("camera", c.Camera, "at", stamp(at))
}

// LiveStartedEntry says that somebody sees what a camera sees.
func LiveStartedEntry(who Subject, camera string, p PermitRef, a Access) Entry {
	return person(LiveStarted, who).at(camera).under(p).withAccess(a)
}

// LiveStoppedEntry says that somebody no longer does: how long it was, and why it ended. w is what was stated
// when it began.
func LiveStoppedEntry(who Subject, camera string, p PermitRef, w Why, ended string, seconds float64) Entry {
	return person(LiveStopped, who).at(camera).under(p).because(w).withReason(ended).with("seconds", seconds3(seconds))
}

// ViewingOpenedEntry says that somebody may look at a clip from here. Its id is the viewing's, and the purpose and
// the case are the viewing's whatever the access states.
func ViewingOpenedEntry(v Viewing, a Access) Entry {
	e := v.entry(ViewingOpened).ruled(allow, a.Verdict).withApproval(a.Approval).withReason(a.Why.Reason).
		with("camera", v.Camera, "action", string(ViewOriginal))
	e.ID, e.Time = v.ID, v.Opened
	return e
}

// ViewingClosedEntry says that a viewing ended at that time, why, and what was served in it.
func ViewingClosedEntry(v Viewing, at time.Time, why string, t Totals) Entry {
	e := v.entry(ViewingClosed).withReason(why).with(
		"viewing", v.ID, "camera", v.Camera,
		"responses", strconv.Itoa(t.Responses), "unfinished", strconv.Itoa(t.Unfinished),
		"bytes", strconv.FormatInt(t.Bytes, 10), "seconds", seconds3(t.Seconds))
	e.Time = at
	return e
}

// entry is what both ends of a viewing say of it. Purpose and case were checked before it began.
func (v Viewing) entry(event Event) Entry {
	e := person(event, v.Subject).clip(ClipRef{ID: v.Clip, Permit: PermitRef{v.Permit, v.PermitVersion}})
	e.Purpose, e.Case = v.Purpose, v.Case
	return e
}

func seconds3(s float64) string { return strconv.FormatFloat(s, 'f', 3, 64) }

// DeniedEntry says that somebody was refused something. A subject without a name is UnknownActor.
func DeniedEntry(who Subject, d Denial) Entry {
	if who.Name == "" {
		who.Name = UnknownActor
	}
	e := person(Denied, who).under(d.Permit).because(Why{d.Purpose, d.Case, d.Reason}).ruled(deny, d.Verdict)
	e.Object = d.Object
	if d.Camera != "" {
		e = e.with("camera", d.Camera)
	}
	if d.Action != "" {
		e = e.with("action", string(d.Action))
	}
	return e
}

// various is the entry for denials that differ in more than there is room for.
func various(one Entry) Entry {
	return Entry{Event: one.Event, Actor: UnknownActor, Remote: one.Remote, Decision: one.Decision, Reason: "various"}
}
