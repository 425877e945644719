package api

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"klarsyn/camera"
	"klarsyn/policy"
)

const (
	clipsShown     = 200
	clipsWindow    = 10 * time.Minute
	deletionsShown = 25
	auditShown     = 25
)

type squareView struct {
	frame
	Counts    []countRow
	Cameras   []recorderRow
	Search    *searchView
	Deletions *deletionsView
	Audit     *auditView
	Register  bool // there is a link to it
}

type countRow struct {
	CameraID, ZoneID, Camera, Zone string
	People, Moving, Time           string
	Stale, Unknown                 bool
}

type recorderRow struct{ Name, State, Since, Class string }

type option struct {
	Value, Text string
	Selected    bool
}

type searchView struct {
	Options  []option
	From, To string
	Cameras  []cameraClips
}

type cameraClips struct {
	ID, Name string
	Clips    []clipRow
	More     bool
}

type deletionsView struct {
	Rows []deletionRow
}

type deletionRow struct{ Camera, From, Deadline, Shredded, Deleted, Lag, Left, Proof string }

type auditView struct {
	Rows []auditRow
}

type auditRow struct{ Number, Time, Event, Actor, Object, Purpose, Case, Decision string }

// showSquare is the start page: the login form, or of the square what the role may see.
func (s *Server) showSquare(c *gin.Context) {
	f := s.frameOf(c)
	switch c.Query("note") {
	case noteWrong:
		f.Notice = f.W.WrongCredentials
	case noteWait:
		f.Notice = f.W.TooManyTries
	case noteUnavailable:
		f.Notice = f.W.LogUnavailable
	}
	who, known := subjectOf(c.Request.Context())
	if !known {
		f.Title = f.W.LogIn
		s.render(c, http.StatusOK, "login", struct{ frame }{f})
		return
	}
	view := squareView{frame: f}
	view.Notice = ""
	for _, fill := range []func(*gin.Context, policy.Subject, *squareView) error{
		s.fillCounts, s.fillRecorders, s.fillClips, s.fillDeletions, s.fillRegister, s.fillAudit,
	} {
		if err := fill(c, who, &view); err != nil {
			s.failPage(c, err)
			return
		}
	}
	s.render(c, http.StatusOK, "square", view)
}

func (s *Server) fillCounts(c *gin.Context, _ policy.Subject, v *squareView) error {
	samples, err := s.latestSamples(c.Request.Context())
	if err != nil {
		return err
	}
	for _, b := range samples {
		cam := s.named(b.Camera)
		row := countRow{CameraID: string(b.Camera), ZoneID: b.Zone, Camera: cam.Name, Zone: cam.zoneName(b.Zone),
			People: v.W.people(b), Moving: "–", Time: b.Time.In(s.page.stockholm).Format(time.TimeOnly), Stale: b.Stale, Unknown: b.Quality != camera.QualityOK}
		if b.Moving != nil {
			row.Moving = strconv.FormatFloat(math.Round(*b.Moving), 'f', 0, 64)
		}
		if b.Stale {
			row.Time = v.W.StaleSince + " " + row.Time
		}
		v.Counts = append(v.Counts, row)
	}
	return nil
}

// people says a count as a reader may know it; script.js says it the same way.
func (w words) people(b sampleBody) string {
	switch {
	case b.Quality != camera.QualityOK:
		return w.quality(b.Quality)
	case b.Suppressed:
		return w.FewerThan + " " + strconv.Itoa(b.Below)
	}
	off := *b.High - *b.Present
	if b.Low != nil {
		off = max(off, *b.Present-*b.Low)
	}
	return fmt.Sprintf("%.0f ± %.0f", *b.Present, math.Ceil(off))
}

func (s *Server) fillRecorders(c *gin.Context, _ policy.Subject, v *squareView) error {
	visible, err := s.visibleCameras(c.Request.Context(), policy.ReadCameraList)
	if err != nil {
		return err
	}
	for _, cam := range visible {
		b := describeCamera(cam, s.cfg.Now())
		row := recorderRow{Name: cam.Name, State: v.W.NotTold, Class: "wait"}
		switch b.State {
		case "recording":
			row.State, row.Class = v.W.Recording, "recorded"
		case "gap":
			row.State, row.Class = v.W.cause(b.Cause), causeClass(b.Cause)
		}
		if b.Since != nil {
			row.Since = s.local(*b.Since)
		}
		v.Cameras = append(v.Cameras, row)
	}
	return nil
}

func causeClass(cause camera.Cause) string {
	switch cause {
	case camera.NotPermitted, camera.Suspended:
		return "not-permitted"
	case camera.CameraDown:
		return "down"
	}
	return "fault"
}

// fillClips lists clips for those who may search: by default the last minutes of every camera.
func (s *Server) fillClips(c *gin.Context, _ policy.Subject, v *squareView) error {
	ctx := c.Request.Context()
	visible, err := s.visibleCameras(ctx, policy.SearchClips)
	if err != nil || len(visible) == 0 {
		return err
	}
	asked := c.Query("camera")
	from, to, ok := s.askedTime(c.Query("from"), c.Query("to"))
	if !ok {
		v.Notice = v.W.BadTime
	}
	v.Search = &searchView{From: bounded(c.Query("from"), 19), To: bounded(c.Query("to"), 19)}
	for _, cam := range visible {
		v.Search.Options = append(v.Search.Options, option{Value: string(cam.ID), Text: cam.Name, Selected: asked == string(cam.ID)})
		if !ok || (asked != "" && asked != string(cam.ID)) {
			continue
		}
		section, err := s.clipsOf(ctx, cam, from, to, v.W)
		if err != nil {
			return err
		}
		v.Search.Cameras = append(v.Search.Cameras, section)
	}
	return nil
}

// clipsOf lists newest first.
func (s *Server) clipsOf(ctx context.Context, cam CameraInfo, from, to time.Time, w words) (cameraClips, error) {
	rows, err := s.cfg.Clips.Search(ctx, cam.ID, from, to, clipsShown+1, "")
	if err != nil {
		return cameraClips{}, unavailable("catalogue", err)
	}
	section := cameraClips{ID: string(cam.ID), Name: cam.Name, More: len(rows) > clipsShown}
	rows = rows[:min(len(rows), clipsShown)]
	for _, row := range slices.Backward(rows) {
		if row.Camera == cam.ID {
			section.Clips = append(section.Clips, s.clipRow(row, w))
		}
	}
	return section, nil
}

// fillDeletions, fillRegister and fillAudit ask the rules as their routes do. Not showing a section on a start page
// denies nobody anything that they asked for, so it is not logged as a denial.
func (s *Server) fillDeletions(c *gin.Context, who policy.Subject, v *squareView) error {
	verdict, err := s.may(who, policy.ReadDeletions, "")
	if err != nil || !verdict.Allowed {
		return err
	}
	now := s.cfg.Now().UTC()
	proofs, err := s.cfg.Deletions.Deletions(c.Request.Context(), "", now.Add(-24*time.Hour), now, deletionsShown, "")
	if err != nil {
		return unavailable("catalogue", err)
	}
	v.Deletions = &deletionsView{}
	for _, p := range proofs {
		v.Deletions.Rows = append(v.Deletions.Rows, deletionRow{
			Camera: s.named(p.Camera).Name, From: s.local(p.From), Deadline: s.local(p.Deadline),
			Shredded: v.W.seconds(p.ShreddedAt.Sub(p.Deadline)), Deleted: s.local(p.DeletedAt),
			Lag: v.W.seconds(p.Lag()), Left: strconv.Itoa(p.Listed), Proof: "/api/v1/clips/" + p.Clip + "/deletion-proof",
		})
	}
	return nil
}

func (s *Server) fillRegister(_ *gin.Context, who policy.Subject, v *squareView) error {
	verdict, err := s.may(who, policy.ReadPermits, "")
	v.Register = err == nil && verdict.Allowed
	return err
}

func (s *Server) fillAudit(c *gin.Context, who policy.Subject, v *squareView) error {
	verdict, err := s.may(who, policy.ReadLog, "")
	if err != nil || !verdict.Allowed {
		return err
	}
	entries, _, err := s.readLog(c.Request.Context(), logSearch{limit: auditShown})
	if err != nil {
		return err
	}
	v.Audit = &auditView{}
	for _, e := range entries {
		v.Audit.Rows = append(v.Audit.Rows, s.auditRow(e, v.W))
	}
	return nil
}

func (s *Server) auditRow(e LogEntry, w words) auditRow {
	return auditRow{
		Number: strconv.FormatInt(e.Index, 10), Time: s.local(e.Entry.Time), Event: w.event(e.Entry.Event), Actor: e.Entry.Actor,
		Object: e.Entry.Object, Purpose: w.purpose(e.Entry.Purpose), Case: e.Entry.Case, Decision: e.Entry.Decision,
	}
}

// named is the camera of that id; one that is no longer configured goes by its id.
func (s *Server) named(id camera.ID) CameraInfo {
	for _, cam := range s.cfg.Cameras() {
		if cam.ID == id {
			return cam
		}
	}
	return CameraInfo{ID: id, Name: string(id)}
}

func (c CameraInfo) zoneName(id string) string {
	for _, z := range c.Zones {
		if z.ID == id {
			return z.Name
		}
	}
	return id
}
