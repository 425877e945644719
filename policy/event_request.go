package policy

import "time"

// RequestRef is somebody's request to get at footage, and who he is.
type RequestRef struct {
	ID        string
	Requester string // his account
	Purpose   string
	Case      string
}

// Wanted is what a request asks for.
type Wanted struct {
	Action Action
	Camera string
	Span   Span
}

// BreakGlass is access without an approval, in an emergency, to be reviewed afterwards.
type BreakGlass struct {
	ID    string
	Until time.Time
}

// RequestMadeEntry says that somebody asks for footage, and why. The requester is who asks.
func RequestMadeEntry(who Subject, r RequestRef, wanted Wanted, reason string) Entry {
	return person(RequestMade, who).request(r).withReason(reason).with(
		"action", string(wanted.Action), "camera", wanted.Camera, "from", stamp(wanted.Span.From), "to", stamp(wanted.Span.To))
}

// RequestApprovedEntry says that a second person approved a request, and until when that holds.
func RequestApprovedEntry(who Subject, r RequestRef, until time.Time) Entry {
	return person(RequestApproved, who).request(r).ruled(allow, Verdict{}).withApproval(Approval{r.ID, who.Name}).
		with("requester", r.Requester, "until", stamp(until))
}

// RequestRejectedEntry says that a second person rejected a request, and why.
func RequestRejectedEntry(who Subject, r RequestRef, reason string) Entry {
	return person(RequestRejected, who).request(r).ruled(deny, Verdict{}).withApproval(Approval{By: who.Name}).withReason(reason).
		with("requester", r.Requester)
}

// RequestExpiredEntry says that nobody answered a request in time, or that what was approved is over.
func RequestExpiredEntry(actor string, r RequestRef) Entry {
	return service(RequestExpired, actor).request(r).with("requester", r.Requester)
}

func (e Entry) request(r RequestRef) Entry {
	return e.of(KindRequest, r.ID).because(Why{Purpose: r.Purpose, Case: r.Case})
}

// BreakGlassOpenedEntry says that somebody took access that nobody approved, why, and until when.
func BreakGlassOpenedEntry(who Subject, g BreakGlass, w Why) Entry {
	return person(BreakGlassOpened, who).of(KindBreakGlass, g.ID).because(w).with("until", stamp(g.Until))
}

// BreakGlassReviewedEntry says what somebody else made of it: result is "justified" or "not justified".
func BreakGlassReviewedEntry(who Subject, id, result, reason string) Entry {
	return person(BreakGlassReviewed, who).of(KindBreakGlass, id).withResult(result).withReason(reason)
}
