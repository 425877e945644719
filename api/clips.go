package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
)

const clipIDLength = 26

// validClipID reports whether id can be a clip's: a ULID in canonical form.
func validClipID(id string) bool {
	if len(id) != clipIDLength {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= '0' && c <= '9':
		case c >= 'A' && c <= 'Z' && c != 'I' && c != 'L' && c != 'O' && c != 'U':
		default:
			return false
		}
	}
	return true
}

type clipsInput struct {
	Camera string    `query:"camera" required:"true" minLength:"1" maxLength:"63" doc:"camera id"`
	From   time.Time `query:"from" doc:"RFC 3339; default the beginning"`
	To     time.Time `query:"to" doc:"RFC 3339; default now"`
	Limit  int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	After  string    `query:"after" pattern:"^[0-9A-HJKMNP-TV-Z]{26}$" patternDescription:"a clip id" doc:"next of the page before"`
}

type clipsOutput struct {
	Body struct {
		Clips []clipBody `json:"clips"`
		Next  string     `json:"next,omitempty" doc:"give it as after for the next page; absent on the last"`
	}
}

type clipInput struct {
	ID string `path:"id" maxLength:"100" doc:"clip id, a ULID"`
}

type clipOutput struct{ Body clipBody }

// clipBody is what may be told of a clip without showing it. Where its bytes lie is nobody's business.
type clipBody struct {
	ID           string          `json:"id"`
	Camera       camera.ID       `json:"camera"`
	State        retention.State `json:"state" enum:"pending,committed,partial,lost,deleting,deleted"`
	Readable     bool            `json:"readable" doc:"whether a look can succeed: stored, and the deadline has not passed"`
	From         time.Time       `json:"from"`
	To           *time.Time      `json:"to" doc:"null while it is being recorded"`
	Seconds      float64         `json:"seconds" doc:"0 while it is being recorded"`
	CameraTime   *time.Time      `json:"camera_time,omitempty" doc:"the camera's own time of the first frame"`
	ClockFlagged bool            `json:"clock_flagged,omitempty" doc:"camera and server disagreed by more than 10 s, or nobody could vouch for the server's clock"`
	Deadline     time.Time       `json:"deadline" doc:"unreadable and deleted from this instant on, unless held"`
	Held         bool            `json:"held,omitempty" doc:"a case needs it beyond its deadline; then only looks for that case open it"`
	Part         string          `json:"part_of,omitempty" doc:"the clip that it was cut out of, for a case"`
	DeletedAt    *time.Time      `json:"deleted_at,omitempty"`
	Bytes        int64           `json:"bytes" doc:"size of the footage as served"`
	Frames       int             `json:"frames"`
	Codec        camera.Codec    `json:"codec,omitempty" enum:"h264,h265"`
	Permit       permitRef       `json:"permit"`
}

type permitRef struct {
	ID       string   `json:"id"`
	Version  int      `json:"version"`
	Purposes []string `json:"purposes,omitempty" doc:"what a look may state"`
}

func (s *Server) clips(ctx context.Context, in *clipsInput) (*clipsOutput, error) {
	to, err := s.interval(in.From, in.To)
	if err != nil {
		return nil, err
	}
	cam, err := s.findCamera(ctx, in.Camera, policy.SearchClips)
	if err != nil {
		return nil, err
	}
	rows, err := s.cfg.Clips.Search(ctx, cam.ID, in.From.UTC(), to, in.Limit+1, in.After)
	if err != nil {
		return nil, unavailable("catalogue", err)
	}
	out := &clipsOutput{}
	if len(rows) > in.Limit {
		rows = rows[:in.Limit]
		out.Body.Next = rows[len(rows)-1].ID
	}
	out.Body.Clips = make([]clipBody, 0, len(rows))
	purposes := s.purposes()
	for _, row := range rows {
		if row.Camera == cam.ID { // what was authorised is the camera of the row, not of the question
			out.Body.Clips = append(out.Body.Clips, s.describeClip(row, purposes))
		}
	}
	return out, nil
}

func (s *Server) clip(ctx context.Context, in *clipInput) (*clipOutput, error) {
	row, err := s.findClip(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &clipOutput{Body: s.describeClip(row, s.purposes())}, nil
}

// findClip loads a row and asks whether the subject may search its camera. A malformed id, a missing
// clip and a clip of a camera that the subject may not search are one case: the same answer, the same
// entry in the log, and so about the same time.
func (s *Server) findClip(ctx context.Context, id string) (retention.Clip, error) {
	who, _ := subjectOf(ctx)
	if !validClipID(id) {
		return retention.Clip{}, s.refuse(ctx, policy.SearchClips, clipObject(id), policy.Verdict{}, retention.ErrNotFound)
	}
	row, err := s.cfg.Clips.Clip(ctx, id)
	switch {
	case errors.Is(err, retention.ErrNotFound):
		return retention.Clip{}, s.refuse(ctx, policy.SearchClips, clipObject(id), policy.Verdict{}, retention.ErrNotFound)
	case err != nil:
		return retention.Clip{}, unavailable("catalogue", err)
	}
	verdict, err := s.may(who, policy.SearchClips, string(row.Camera))
	if err != nil {
		return retention.Clip{}, err
	}
	if !verdict.Allowed {
		return retention.Clip{}, s.refuse(ctx, policy.SearchClips, clipObject(id), verdict, retention.ErrNotFound)
	}
	return row, nil
}

// clipObject names a clip for the log. What was typed may be anything, and the log keeps it for years.
func clipObject(id string) string {
	if !validClipID(id) {
		return policy.KindClip.Of("unknown")
	}
	return policy.KindClip.Of(id)
}

// viewable says why the clip's row alone rules out a look; nil if it does not. From its deadline on a
// clip is gone, however late the sweeper is.
func (s *Server) viewable(c retention.Clip) error {
	switch c.State {
	case retention.Deleting, retention.Deleted:
		return retention.ErrGone
	}
	if !c.Held() && !s.cfg.Now().Before(c.Deadline) {
		return retention.ErrGone
	}
	switch c.State {
	case retention.Committed, retention.Partial:
		return nil
	case retention.Pending:
		return retention.ErrNotReady
	case retention.Lost:
		return retention.ErrNoFootage
	}
	return fmt.Errorf("clip %s has the unknown state %q", c.ID, c.State)
}

// purposes looks up what permits allow, each permit once: a page of clips shares one or two.
func (s *Server) purposes() func(id string, version int) []string {
	type ref struct {
		id      string
		version int
	}
	known := map[ref][]string{}
	return func(id string, version int) []string {
		key := ref{id, version}
		if _, ok := known[key]; !ok {
			p, _ := s.cfg.Permit(id, version)
			known[key] = p.Purposes
		}
		return known[key]
	}
}

func (s *Server) describeClip(c retention.Clip, purposes func(string, int) []string) clipBody {
	return clipBody{
		ID: c.ID, Camera: c.Camera, State: c.State, Readable: s.viewable(c) == nil,
		From: c.Start.UTC(), To: utcOrNil(c.End), Seconds: c.Duration().Seconds(),
		CameraTime: utcOrNil(c.CameraTime), ClockFlagged: c.ClockFlagged,
		Deadline: c.Deadline.UTC(), Held: c.Held(), Part: c.Parent, DeletedAt: utcOrNil(c.DeletedAt),
		Bytes: c.PlainSize, Frames: c.Frames, Codec: c.Codec,
		Permit: permitRef{ID: c.Permit, Version: c.PermitVersion, Purposes: purposes(c.Permit, c.PermitVersion)},
	}
}

// interval checks a time range and fills in its end.
func (s *Server) interval(from, to time.Time) (time.Time, error) {
	if to.IsZero() {
		to = s.cfg.Now()
	}
	if !from.Before(to) {
		return to, badField("query.from", "from must be earlier than to (default: now)")
	}
	return to.UTC(), nil
}

func badField(location, message string) *Problem {
	p := newProblem(422, "invalid", "Invalid request", "See \"errors\" for the fields that are wrong, and GET /openapi.json for what is expected.")
	p.Errors = []ProblemField{{Location: location, Message: message}}
	return p
}

func utcOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
