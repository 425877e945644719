package api

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"klarsyn/policy"
	"klarsyn/retention"
)

// clipRow is a clip in words.
type clipRow struct {
	ID, CameraName, ISO, From, Length, State, Class, Size string
	Deadline, DeadlineISO, Countdown, In, PassedWord      string
	CameraTime, Codec, Permit                             string
	Frames                                                int
	ClockFlagged                                          bool
	Held                                                  string // that a case needs it, in words
}

type clipView struct {
	frame
	Clip                *clipRow
	Playing, MayState   bool
	Purpose, Case       string
	PurposeName, WhyNot string
	Options             []option
	BadPurpose, BadCase bool
}

// showClip is the page of one clip: what is known of it, the form that asks for a look and, once a look
// was granted in this session, the player. Whether the player gets bytes the media route decides anew.
func (s *Server) showClip(c *gin.Context) {
	ctx := c.Request.Context()
	row, err := s.findClip(ctx, c.Param("id"))
	if err != nil {
		s.failPage(c, err)
		return
	}
	who, _ := subjectOf(ctx)
	f := s.frameOf(c)
	described := s.clipRow(row, f.W)
	view := clipView{frame: f, Clip: &described}
	view.Title = described.CameraName + " " + described.From
	st, err := s.remembered(ctx, row.ID)
	if err != nil {
		s.failPage(c, err)
		return
	}
	switch unviewable := s.viewable(row); {
	case unviewable != nil:
		view.WhyNot = f.W.problem(unviewable)
	case who.Role != policy.Investigator: // only what the page offers: the gate decides
		view.WhyNot = f.W.NoFootageForRole
	case st != (statement{}) && len(c.QueryArray("note")) == 0:
		view.Playing, view.Purpose, view.Case, view.PurposeName = true, st.purpose, st.caseNo, f.W.purpose(st.purpose)
	default:
		view.MayState = true
		if p, ok := s.cfg.Permit(row.Permit, row.PermitVersion); ok {
			for _, purpose := range p.Purposes {
				view.Options = append(view.Options, option{Value: purpose, Text: f.W.purpose(purpose), Selected: len(p.Purposes) == 1})
			}
		}
		view.note(c.QueryArray("note"))
	}
	s.render(c, http.StatusOK, "clip", view)
}

// note shows what a look lacked or why it was refused.
func (v *clipView) note(notes []string) {
	v.BadPurpose = slices.Contains(notes, notePurpose)
	v.BadCase = slices.Contains(notes, noteCase)
	switch {
	case slices.Contains(notes, noteDenied):
		v.Notice = v.W.Denied
	case slices.Contains(notes, noteDamaged):
		v.Notice = v.W.Damaged
	case slices.Contains(notes, noteWait):
		v.Notice = v.W.TooManyTries
	case slices.Contains(notes, noteUnavailable):
		v.Notice = v.W.TryLater
	}
}

func (s *Server) clipRow(c retention.Clip, w words) clipRow {
	r := clipRow{
		ID: c.ID, CameraName: s.named(c.Camera).Name, ISO: c.Start.UTC().Format(time.RFC3339), From: s.local(c.Start),
		Length: "–", State: w.state(c.State), Class: stateClass(c.State), Size: w.size(c.PlainSize),
		Deadline: s.local(c.Deadline), DeadlineISO: c.Deadline.UTC().Format(time.RFC3339), In: w.In, PassedWord: w.Passed,
		Codec: string(c.Codec), Frames: c.Frames, ClockFlagged: c.ClockFlagged,
		Permit: fmt.Sprintf("%s, version %d", c.Permit, c.PermitVersion),
	}
	if c.Held() {
		r.Held = w.HeldForCase
	}
	if !c.End.IsZero() {
		r.Length = w.seconds(c.Duration())
	}
	if !c.CameraTime.IsZero() {
		r.CameraTime = s.local(c.CameraTime)
	}
	if left := c.Deadline.Sub(s.cfg.Now()); c.State != retention.Deleted && left > 0 {
		r.Countdown = w.In + " " + w.duration(left)
	} else if c.State != retention.Deleted {
		r.Countdown = w.Passed
	}
	return r
}

func stateClass(st retention.State) string {
	switch st {
	case retention.Pending:
		return "wait"
	case retention.Lost:
		return "fault"
	case retention.Deleting, retention.Deleted:
		return "deleted"
	}
	return "recorded"
}
