package api

import (
	"context"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"klarsyn/camera"
	"klarsyn/policy"
)

// Square is what holds of the square, and how it changes. Apply makes a change, or tries it and takes it back; it asks may, with
// the kinds of things that change, before it does either, and does neither if may fails. It does not keep text. Errors:
// *BadDescription, ErrChangedMeanwhile, retention.ErrUnavailable, what may says.
type Square interface {
	Apply(ctx context.Context, who policy.Subject, text []byte, try bool, may func(kinds []string) error) (Plan, error)
	Document(ctx context.Context) ([]byte, error)
	Permits(ctx context.Context) ([]policy.Version, error)
	Explain(ctx context.Context, camera string, at time.Time) (policy.Answer, error)
	Timeline(ctx context.Context, cam camera.ID, from, to time.Time) ([]Stretch, error)
}

// Stretch is a stretch of a camera's time with the one cause that it has.
type Stretch struct {
	From      time.Time  `json:"from"`
	To        time.Time  `json:"to" doc:"where the next stretch begins"`
	Cause     string     `json:"cause" enum:"recorded,held,not-permitted,suspended,mask-failed,camera-down,our-fault,storage-full,deleted"`
	Detail    string     `json:"detail,omitempty"`
	Permit    string     `json:"permit,omitempty" doc:"the version that forbade recording, or that it was recorded under"`
	Clause    string     `json:"clause,omitempty" doc:"which part of that version forbade it"`
	Clip      string     `json:"clip,omitempty"`
	Rule      string     `json:"rule,omitempty" doc:"why it is or will be deleted: retention, or the version that moved the deadline"`
	Deadline  *time.Time `json:"deadline,omitempty"`
	DeletedAt *time.Time `json:"deleted_at,omitempty" doc:"when its absence was proved"`
}

// BadDescription says what is wrong with a description of the square, with lines and columns.
type BadDescription struct{ Err error }

func (e *BadDescription) Error() string { return e.Err.Error() }
func (e *BadDescription) Unwrap() error { return e.Err }

// Plan is what a description of the square would change, or did.
type Plan struct {
	Base     int64           `json:"base" doc:"the revision that it was compared with"`
	Revision int64           `json:"revision" doc:"the revision that holds now"`
	Applied  bool            `json:"applied"`
	Changes  []PlannedChange `json:"changes"`
	Effects  []PlannedEffect `json:"effects" doc:"which cameras start and stop at once"`
	Moved    PlannedMove     `json:"moved" doc:"what is stored and deleted earlier"`
	Sights   []PlannedSight  `json:"sights" doc:"who could see what then"`
	Warnings []string        `json:"warnings,omitempty" doc:"what software cannot enforce and somebody should see to"`
	Next     []string        `json:"next,omitempty" doc:"what is left to do by hand"`
}

// PlannedChange is one thing that differs.
type PlannedChange struct {
	What    string   `json:"what" enum:"camera,group,user,permit"`
	ID      string   `json:"id"`
	Change  string   `json:"change"`
	Details []string `json:"details,omitempty"`
}

// PlannedEffect is what a camera begins or ceases to do.
type PlannedEffect struct {
	Camera string `json:"camera"`
	What   string `json:"what" enum:"recording,counting"`
	Starts bool   `json:"starts"`
	Permit string `json:"permit,omitempty"`
	Clause string `json:"clause"`
	Detail string `json:"detail"`
}

// PlannedMove is what becomes of stored clips.
type PlannedMove struct {
	Clips int   `json:"clips" doc:"whose deadline comes nearer"`
	Bytes int64 `json:"bytes" doc:"sealed"`
	Due   int   `json:"due" doc:"of those: due at once"`
}

// PlannedSight is what a role may see of a camera.
type PlannedSight struct {
	Camera string   `json:"camera"`
	Role   string   `json:"role"`
	May    []string `json:"may"`
}

type applyInput struct {
	DryRun  bool   `query:"dry_run" doc:"show the plan and change nothing"`
	RawBody []byte `contentType:"application/yaml"`
}

// Resolve refuses a question whose dry_run was lost on the way, empty or cut off: what was meant as a try must not be made.
func (in *applyInput) Resolve(ctx huma.Context) []error {
	at := ctx.URL()
	asked, err := url.ParseQuery(at.RawQuery)
	if tries := asked["dry_run"]; err != nil || len(tries) > 1 || (len(tries) == 1 && tries[0] == "") {
		return []error{&huma.ErrorDetail{Location: "query.dry_run", Message: "want true or false, once"}}
	}
	return nil
}

type simulateInput struct {
	RawBody []byte `contentType:"application/yaml"`
}

type planOutput struct{ Body Plan }

// mayChange is which kinds of things an action is about. Accounts are nobody's to change over the network: that takes two
// people, or the machine itself.
func mayChange(kind string) (policy.Action, bool) {
	switch kind {
	case "permit", "group":
		return policy.AdministerPermits, true
	case "camera":
		return policy.AdministerCameras, true
	}
	return "", false
}

func (s *Server) applySquare(ctx context.Context, in *applyInput) (*planOutput, error) {
	return s.planSquare(ctx, in.RawBody, in.DryRun, func(kinds []string) error {
		who, _ := subjectOf(ctx)
		for _, kind := range kinds {
			action, known := mayChange(kind)
			if !known {
				return s.deny(ctx, policy.Denial{Object: policy.KindRoute.Of("POST /api/v1/square"), Reason: reasonUsersLocal}, errUsersLocal)
			}
			if err := s.allowed(ctx, who, action); err != nil {
				return err
			}
		}
		return nil
	})
}

// simulate is a try of anything, by those who may read all that a plan tells: see accessTable.
func (s *Server) simulate(ctx context.Context, in *simulateInput) (*planOutput, error) {
	return s.planSquare(ctx, in.RawBody, true, func([]string) error { return nil })
}

func (s *Server) planSquare(ctx context.Context, text []byte, try bool, may func([]string) error) (*planOutput, error) {
	who, _ := subjectOf(ctx)
	p, err := s.cfg.Square.Apply(ctx, who, text, try, may)
	if err != nil {
		return nil, unavailable("catalogue", err)
	}
	return &planOutput{Body: p.filled()}, nil
}

// filled has lists where there is nothing to list.
func (p Plan) filled() Plan {
	if p.Changes == nil {
		p.Changes = []PlannedChange{}
	}
	if p.Effects == nil {
		p.Effects = []PlannedEffect{}
	}
	if p.Sights == nil {
		p.Sights = []PlannedSight{}
	}
	return p
}

const descriptionMedia = "application/yaml"

type documentOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// document is for those who may change some of it: it holds the addresses of cameras.
func (s *Server) document(ctx context.Context, _ *struct{}) (*documentOutput, error) {
	text, err := s.cfg.Square.Document(ctx)
	if err != nil {
		return nil, unavailable("catalogue", err)
	}
	return &documentOutput{ContentType: descriptionMedia, Body: text}, nil
}

type permitsOutput struct {
	Body struct {
		Permits []policy.Version `json:"permits"`
	}
}

func (s *Server) permits(ctx context.Context, _ *struct{}) (*permitsOutput, error) {
	versions, err := s.cfg.Square.Permits(ctx)
	if err != nil {
		return nil, unavailable("catalogue", err)
	}
	out := &permitsOutput{}
	out.Body.Permits = append([]policy.Version{}, versions...)
	for i, v := range out.Body.Permits {
		out.Body.Permits[i].Steps = append([]policy.Step{}, v.Steps...)
	}
	return out, nil
}

type explainInput struct {
	Camera string    `query:"camera" required:"true" minLength:"1" maxLength:"63" doc:"camera id"`
	At     time.Time `query:"at" doc:"RFC 3339; default now"`
}

type explainOutput struct{ Body policy.Answer }

func (s *Server) explain(ctx context.Context, in *explainInput) (*explainOutput, error) {
	if in.At.IsZero() {
		in.At = s.cfg.Now()
	}
	if !tellable(in.At) {
		return nil, badField("query.at", wantTellable)
	}
	a, err := s.cfg.Square.Explain(ctx, in.Camera, in.At)
	if err != nil {
		return nil, unavailable("catalogue", err)
	}
	return &explainOutput{Body: a}, nil
}

const wantTellable = "want a time between the years 1970 and 2200"

// tellable reports whether an answer about t, and about some days around it, can be written as RFC 3339.
func tellable(t time.Time) bool { return t.Year() >= 1970 && t.Year() < 2200 }

type timelineInput struct {
	ID   string    `path:"id" maxLength:"63"`
	From time.Time `query:"from" required:"true" doc:"RFC 3339"`
	To   time.Time `query:"to" doc:"RFC 3339; default and at most now: the future has no cause yet"`
}

type timelineOutput struct {
	Body struct {
		Camera    string    `json:"camera"`
		From      time.Time `json:"from"`
		To        time.Time `json:"to" doc:"the stretches tile [from, to)"`
		Stretches []Stretch `json:"intervals"`
	}
}

// longestTimeline bounds one question.
const longestTimeline = 32 * 24 * time.Hour

func (s *Server) timeline(ctx context.Context, in *timelineInput) (*timelineOutput, error) {
	cam, err := s.findCamera(ctx, in.ID, policy.SearchClips)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now().UTC()
	if in.To.IsZero() || in.To.After(now) {
		in.To = now
	}
	switch {
	case !tellable(in.From):
		return nil, badField("query.from", wantTellable)
	case !in.From.Before(in.To):
		return nil, badField("query.from", "from must be earlier than to, and than now: the future has no cause yet")
	case in.To.Sub(in.From) > longestTimeline:
		return nil, badField("query.from", "at most 32 days are told at once: ask for a shorter time")
	}
	out := &timelineOutput{}
	out.Body.Camera, out.Body.From, out.Body.To = string(cam.ID), in.From.UTC(), in.To.UTC()
	stretches, err := s.cfg.Square.Timeline(ctx, cam.ID, in.From.UTC(), in.To.UTC())
	if err != nil {
		return nil, unavailable("catalogue", err)
	}
	out.Body.Stretches = append([]Stretch{}, stretches...)
	return out, nil
}
