package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
)

type holdInput struct {
	Body struct {
		Case      string             `json:"case" minLength:"1" maxLength:"64" doc:"case number"`
		Kind      retention.HoldKind `json:"kind,omitempty" enum:"evidence,access-request" default:"evidence" doc:"access-request: somebody asked for the footage to be handed out (utlämnande), and that is pending"`
		Basis     string             `json:"basis" minLength:"1" maxLength:"500" doc:"on what ground the footage is kept"`
		Requester string             `json:"requester" minLength:"1" maxLength:"64" doc:"who asked for the hold: somebody else than you"`
		Review    time.Time          `json:"review" doc:"when somebody must look at the hold again"`
		Clips     []string           `json:"clips,omitempty" maxItems:"1000" doc:"clip ids; or camera, from and to"`
		Camera    string             `json:"camera,omitempty" maxLength:"63"`
		From      time.Time          `json:"from,omitempty"`
		To        time.Time          `json:"to,omitempty" doc:"not in the future"`
	}
}

type holdOutput struct {
	Status int
	Body   holdBody
}

// holdBody is what may be told of a hold.
type holdBody struct {
	ID        string             `json:"id"`
	Kind      retention.HoldKind `json:"kind" enum:"evidence,access-request"`
	Case      string             `json:"case"`
	Basis     string             `json:"basis"`
	Requester string             `json:"requester"`
	Approver  string             `json:"approver"`
	Camera    camera.ID          `json:"camera,omitempty"`
	From      *time.Time         `json:"from,omitempty"`
	To        *time.Time         `json:"to,omitempty"`
	Placed    time.Time          `json:"placed"`
	Review    time.Time          `json:"review"`
	LiftAsked *liftBody          `json:"lift_asked,omitempty" doc:"somebody wants it lifted: another person must agree"`
	Lifted    *liftBody          `json:"lifted,omitempty"`
	Clips     []heldBody         `json:"clips,omitempty" doc:"what it keeps"`
	Refused   []refusedBody      `json:"refused,omitempty" doc:"what it could not keep"`
}

type liftBody struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
}

type heldBody struct {
	Clip string     `json:"clip"`
	From *time.Time `json:"from,omitempty" doc:"which part of it"`
	To   *time.Time `json:"to,omitempty" doc:"absent: to its end"`
	Cut  string     `json:"cut,omitempty" doc:"the clip that has the part since it was cut out of this one"`
	Over *time.Time `json:"over,omitempty" doc:"since when the hold keeps this clip no longer: it was lifted, or the part was cut out"`
}

type refusedBody struct {
	Clip   string `json:"clip"`
	Reason string `json:"reason"`
}

type holdsInput struct {
	Case    string `query:"case" maxLength:"64" doc:"of one case"`
	InForce bool   `query:"in_force" doc:"only those that were not lifted"`
	Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Before  string `query:"before" pattern:"^[0-9A-HJKMNP-TV-Z]{26}$" patternDescription:"a hold id" doc:"next of the page before"`
}

type holdsOutput struct {
	Body struct {
		Holds []holdBody `json:"holds" doc:"newest first"`
		Next  string     `json:"next,omitempty" doc:"give it as before for the next page; absent on the last"`
	}
}

type oneHoldInput struct {
	ID string `path:"id" maxLength:"100" doc:"hold id, a ULID"`
}

type liftInput struct {
	ID   string `path:"id" maxLength:"100" doc:"hold id, a ULID"`
	Body struct {
		Reason string `json:"reason,omitempty" maxLength:"500" doc:"why the hold is not needed any more; needed of the first of the two people"`
	}
}

type extendInput struct {
	ID   string `path:"id" maxLength:"100" doc:"hold id, a ULID"`
	Body struct {
		Review time.Time `json:"review" doc:"when somebody must look at the hold again"`
	}
}

const (
	maxReview = 366 * 24 * time.Hour // a hold that nobody looks at for longer is storage without end
	maxBasis  = 500
)

// placeHold holds clips, or a stretch of a camera's time. Who places it decides, and is not who asked for it.
func (s *Server) placeHold(ctx context.Context, in *holdInput) (*holdOutput, error) {
	who, _ := subjectOf(ctx)
	h, err := s.holdOf(who, in)
	if err != nil {
		return nil, err
	}
	if err := s.mayHold(ctx, h); err != nil {
		return nil, err
	}
	placed, refused, err := s.cfg.Custody.Place(ctx, who, h)
	if err != nil {
		return nil, unavailable("holds", err)
	}
	out := &holdOutput{Status: http.StatusCreated, Body: describeHold(placed)}
	for _, r := range refused {
		out.Body.Refused = append(out.Body.Refused, refusedBody(r))
	}
	if len(placed.Clips) > 0 {
		return out, nil
	}
	if len(refused) == 0 {
		return nil, newProblem(404, "nothing-to-hold", "Nothing to hold", "The camera recorded nothing in that time, or it was deleted. GET /api/v1/cameras/{id}/timeline says what the time is.")
	}
	p := newProblem(410, "not-held", "Nothing was held", "No clip could be held; errors say why. The refusal is in the log.")
	for _, r := range refused {
		p.Errors = append(p.Errors, ProblemField{Location: "clip " + r.Clip, Message: r.Reason})
	}
	return nil, p
}

// holdOf reads what is asked for, or says what is wrong with it.
func (s *Server) holdOf(who policy.Subject, in *holdInput) (retention.Hold, error) {
	b, now := in.Body, s.cfg.Now()
	h := retention.Hold{Kind: b.Kind, Case: b.Case, Basis: b.Basis, Requester: b.Requester, Approver: who.Name, Review: b.Review.UTC(),
		Camera: camera.ID(b.Camera), From: b.From.UTC(), To: b.To.UTC()}
	for _, id := range b.Clips {
		h.Clips = append(h.Clips, retention.HeldClip{Clip: id})
	}
	var wrong []ProblemField
	bad := func(field, message string) {
		wrong = append(wrong, ProblemField{Location: "body." + field, Message: message})
	}
	if err := policy.ValidCase(b.Case); err != nil {
		bad("case", err.Error())
	}
	if !stated(b.Basis, maxBasis) {
		bad("basis", "want printable text: on what ground the footage is kept")
	}
	switch {
	case !stated(b.Requester, 64):
		bad("requester", "want the name of who asked for the hold")
	case strings.EqualFold(strings.TrimSpace(b.Requester), who.Name):
		bad("requester", "want somebody else than you: nobody decides about what he asked for himself")
	}
	if !b.Review.After(now) || b.Review.After(now.Add(maxReview)) {
		bad("review", "want a time within a year from now: a hold is looked at again, or it never ends")
	}
	switch byName, byTime := len(b.Clips) > 0, b.Camera != "" || !b.From.IsZero() || !b.To.IsZero(); {
	case byName == byTime:
		bad("clips", "want either clips, or camera, from and to")
	case byTime && (b.Camera == "" || b.From.IsZero() || !b.From.Before(b.To)):
		bad("from", "want camera, from and to, with from before to")
	case byTime && b.To.After(now):
		bad("to", "want a time that has passed: what is not recorded yet cannot be held; hold it when it is")
	}
	if len(wrong) > 0 {
		p := newProblem(422, "invalid", "Invalid request", "See \"errors\" for the fields that are wrong.")
		p.Errors = wrong
		return h, p
	}
	return h, nil
}

// stated reports whether a text says something that can be printed.
func stated(s string, limit int) bool {
	return strings.TrimSpace(s) != "" && utf8.RuneCountInString(s) <= limit && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// mayHold asks of every camera whose footage would be held whether the subject may do that: the camera is the row's.
func (s *Server) mayHold(ctx context.Context, h retention.Hold) error {
	if h.Camera != "" {
		if _, err := s.findCamera(ctx, string(h.Camera), policy.SearchClips); err != nil {
			return err
		}
		_, err := s.findCamera(ctx, string(h.Camera), policy.PlaceHolds)
		return err
	}
	asked := map[camera.ID]bool{}
	for _, part := range h.Clips {
		c, err := s.findClip(ctx, part.Clip)
		if err != nil {
			return err
		}
		if asked[c.Camera] {
			continue
		}
		asked[c.Camera] = true
		if _, err := s.findCamera(ctx, string(c.Camera), policy.PlaceHolds); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) holds(ctx context.Context, in *holdsInput) (*holdsOutput, error) {
	who, _ := subjectOf(ctx)
	rows, err := s.visibleHolds(ctx, who, in)
	if err != nil {
		return nil, err
	}
	out := &holdsOutput{}
	if len(rows) > in.Limit {
		rows = rows[:in.Limit]
		out.Body.Next = rows[len(rows)-1].ID
	}
	if err := s.cfg.Log.Record(ctx, policy.ListedEntry(who, "holds", "", len(rows), policy.Verdict{})); err != nil {
		return nil, logFailed(err)
	}
	out.Body.Holds = make([]holdBody, 0, len(rows))
	for _, h := range rows {
		out.Body.Holds = append(out.Body.Holds, describeHold(h))
	}
	return out, nil
}

// visibleHolds are those that exist for the subject, and one more than a page has if there is one. It reads on over what he may
// not see: a page that is shorter for it, or goes on behind such a hold, would tell of it.
func (s *Server) visibleHolds(ctx context.Context, who policy.Subject, in *holdsInput) ([]retention.Hold, error) {
	var visible []retention.Hold
	want, before := in.Limit+1, in.Before
	for {
		rows, err := s.cfg.Holds.Holds(ctx, in.Case, in.InForce, want, before)
		if err != nil {
			return nil, unavailable("catalogue", err)
		}
		for _, h := range rows {
			hidden, _, err := s.hiddenCamera(who, h, policy.SearchClips)
			if err != nil {
				return nil, err
			}
			if hidden == "" {
				visible = append(visible, h)
			}
		}
		if len(visible) >= want {
			return visible[:want], nil
		}
		if len(rows) < want {
			return visible, nil
		}
		before = rows[len(rows)-1].ID
	}
}

// hiddenCamera is a camera whose footage a hold keeps and that the subject may not do this with, with what the rules say; empty if
// there is none. A camera that is not described any more is asked for, too: what is held of it must be lifted by somebody.
func (s *Server) hiddenCamera(who policy.Subject, h retention.Hold, a policy.Action) (camera.ID, policy.Verdict, error) {
	for _, cam := range h.Cameras {
		verdict, err := s.may(who, a, string(cam))
		if err != nil {
			return "", verdict, err
		}
		if !verdict.Allowed {
			return cam, verdict, nil
		}
	}
	return "", policy.Verdict{}, nil
}

func (s *Server) oneHold(ctx context.Context, in *oneHoldInput) (*holdOutput, error) {
	who, _ := subjectOf(ctx)
	h, err := s.findHold(ctx, in.ID, policy.SearchClips)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Log.Record(ctx, policy.ListedEntry(who, "hold "+h.ID, "", len(h.Clips), policy.Verdict{})); err != nil {
		return nil, logFailed(err)
	}
	return &holdOutput{Status: http.StatusOK, Body: describeHold(h)}, nil
}

// findHold reads a hold. One that keeps footage of a camera that the subject may not do this with does not exist for him.
func (s *Server) findHold(ctx context.Context, id string, action policy.Action) (retention.Hold, error) {
	if !validClipID(id) {
		return retention.Hold{}, retention.ErrNoHold
	}
	h, err := s.cfg.Holds.Hold(ctx, id)
	if errors.Is(err, retention.ErrNoHold) {
		return h, err
	}
	if err != nil {
		return h, unavailable("catalogue", err)
	}
	who, _ := subjectOf(ctx)
	hidden, verdict, err := s.hiddenCamera(who, h, action)
	if err != nil {
		return retention.Hold{}, err
	}
	if hidden != "" {
		return retention.Hold{}, s.refuse(ctx, action, policy.KindCamera.Of(string(hidden)), verdict, retention.ErrNoHold)
	}
	return h, nil
}

// liftHold is the first or the second of the two people whom lifting a hold takes.
func (s *Server) liftHold(ctx context.Context, in *liftInput) (*holdOutput, error) {
	who, _ := subjectOf(ctx)
	h, err := s.findHold(ctx, in.ID, policy.PlaceHolds)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if h.LiftAsked.IsZero() {
		if !stated(in.Body.Reason, maxBasis) {
			p := newProblem(422, "invalid", "Invalid request", "See \"errors\" for the fields that are wrong.")
			p.Errors = []ProblemField{{Location: "body.reason", Message: "want why the hold is not needed any more"}}
			return nil, p
		}
		status = http.StatusAccepted
		err = s.cfg.HoldChanges.AskLift(ctx, who, h.ID, in.Body.Reason)
	} else {
		err = s.cfg.HoldChanges.Lift(ctx, who, h.ID)
	}
	if err != nil {
		return nil, holdProblem(err)
	}
	if h, err = s.findHold(ctx, in.ID, policy.PlaceHolds); err != nil {
		return nil, err
	}
	return &holdOutput{Status: status, Body: describeHold(h)}, nil
}

func (s *Server) extendHold(ctx context.Context, in *extendInput) (*holdOutput, error) {
	who, _ := subjectOf(ctx)
	now := s.cfg.Now()
	if !in.Body.Review.After(now) || in.Body.Review.After(now.Add(maxReview)) {
		p := newProblem(422, "invalid", "Invalid request", "See \"errors\" for the fields that are wrong.")
		p.Errors = []ProblemField{{Location: "body.review", Message: "want a time within a year from now"}}
		return nil, p
	}
	h, err := s.findHold(ctx, in.ID, policy.PlaceHolds)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.HoldChanges.ExtendHold(ctx, who, h.ID, in.Body.Review.UTC()); err != nil {
		return nil, holdProblem(err)
	}
	if h, err = s.findHold(ctx, in.ID, policy.PlaceHolds); err != nil {
		return nil, err
	}
	return &holdOutput{Status: http.StatusOK, Body: describeHold(h)}, nil
}

// holdProblem leaves what a hold itself says, and calls the rest a part that cannot be reached.
func holdProblem(err error) error {
	for _, known := range []error{retention.ErrNoHold, retention.ErrHoldLifted, retention.ErrSamePerson, retention.ErrNobodyAsked} {
		if errors.Is(err, known) {
			return err
		}
	}
	return unavailable("catalogue", err)
}

func describeHold(h retention.Hold) holdBody {
	b := holdBody{ID: h.ID, Kind: h.Kind, Case: h.Case, Basis: h.Basis, Requester: h.Requester, Approver: h.Approver, Camera: h.Camera,
		From: utcOrNil(h.From), To: utcOrNil(h.To), Placed: h.Placed.UTC(), Review: h.Review.UTC()}
	if !h.LiftAsked.IsZero() {
		b.LiftAsked = &liftBody{At: h.LiftAsked.UTC(), By: h.LiftAskedBy, Reason: h.LiftReason}
	}
	if !h.Lifted.IsZero() {
		b.Lifted = &liftBody{At: h.Lifted.UTC(), By: h.LiftedBy}
	}
	for _, c := range h.Clips {
		b.Clips = append(b.Clips, heldBody{Clip: c.Clip, From: utcOrNil(c.From), To: utcOrNil(c.To), Cut: c.Cut, Over: utcOrNil(c.Over)})
	}
	return b
}
