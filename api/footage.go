package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"klarsyn/policy"
	"klarsyn/retention"
)

const (
	footageMedia  = "video/mp4"
	purposeHeader = "Klarsyn-Purpose"
	caseHeader    = "Klarsyn-Case"
)

// mediaInput documents the parameters and has huma check them; media reads them again by name.
type mediaInput struct {
	ID            string `path:"id" maxLength:"100" doc:"clip id, a ULID"`
	Purpose       string `query:"purpose" maxLength:"63" doc:"one of the purposes of the clip's permit"`
	Case          string `query:"case" maxLength:"100" doc:"case number"`
	HeaderPurpose string `header:"Klarsyn-Purpose" maxLength:"63" doc:"as purpose; preferred"`
	HeaderCase    string `header:"Klarsyn-Case" maxLength:"100" doc:"as case; preferred"`
	Range         string `header:"Range" maxLength:"100" doc:"one byte range"`
}

// statement is what an investigator states for a look.
type statement struct{ purpose, caseNo string }

// statementOf takes headers before query before what the session remembers. A request that states
// anything itself is taken at its word alone.
func (s *Server) statementOf(r *http.Request, clip string) (statement, error) {
	q := r.URL.Query()
	st := statement{purpose: r.Header.Get(purposeHeader), caseNo: r.Header.Get(caseHeader)}
	if st.purpose == "" {
		st.purpose = q.Get("purpose")
	}
	if st.caseNo == "" {
		st.caseNo = q.Get("case")
	}
	if st == (statement{}) {
		return s.remembered(r.Context(), clip)
	}
	return st, nil
}

// media serves footage. The order of its steps is in the README; each step stands before what it guards.
func (s *Server) media(c *gin.Context) {
	if err := s.serveFootage(c); err != nil {
		s.fail(c, err)
	}
}

func (s *Server) serveFootage(c *gin.Context) error {
	ctx := c.Request.Context()
	row, err := s.findClip(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	if err := s.viewable(row); err != nil {
		return err
	}
	st, err := s.statementOf(c.Request, row.ID)
	if err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		grant, err := s.look(ctx, row, st)
		if err != nil {
			return err
		}
		err = s.stream(c, grant, row)
		// The viewing may close between look and response; a new look opens the next one.
		if attempt == 0 && errors.Is(err, policy.ErrViewingClosed) {
			continue
		}
		return err
	}
}

// look asks the gate, which logs the viewing or the denial before it answers.
func (s *Server) look(ctx context.Context, row retention.Clip, st statement) (policy.Grant, error) {
	who, _ := subjectOf(ctx)
	permit, ok := s.cfg.Permit(row.Permit, row.PermitVersion)
	if !ok {
		return policy.Grant{}, unavailable("permits", fmt.Errorf("clip %s was recorded under permit %s version %d, which the catalogue does not hold: run klarsyn fsck",
			row.ID, row.Permit, row.PermitVersion))
	}
	unused, err := s.mayDeny(ctx)
	if err != nil {
		return policy.Grant{}, err
	}
	grant, err := s.cfg.Gate.Look(ctx, who, policy.Request{
		Action: policy.ViewOriginal, Camera: string(row.Camera), Clip: row.ID, Permit: permit,
		Purpose: st.purpose, Case: st.caseNo,
	})
	if errors.Is(err, policy.ErrDenied) {
		return policy.Grant{}, explainDenial(who, permit, st, err)
	}
	unused()
	return grant, unavailable("gate", err)
}

// explainDenial tells an investigator what is still missing, all of it at once. To others it says
// nothing but no. The role only picks the words: the gate has decided.
func explainDenial(who policy.Subject, permit policy.Permit, st statement, denied error) error {
	var why *policy.DeniedError
	if !errors.As(denied, &why) {
		return denied
	}
	if why.Reason == policy.ReasonRole && why.Rule == policy.RuleError {
		return unavailable("rules", denied)
	}
	if who.Role != policy.Investigator {
		return denied
	}
	p := newProblem(http.StatusForbidden, "denied", "Not allowed", "The rules do not allow this look.")
	p.cause = denied
	if !slices.Contains(permit.Purposes, st.purpose) {
		p.Missing = append(p.Missing, "purpose")
		p.Purposes = permit.Purposes
	}
	if policy.ValidCase(st.caseNo) != nil {
		p.Missing = append(p.Missing, "case")
	}
	if len(p.Missing) > 0 {
		p.Detail = fmt.Sprintf("A look must state %s: send the headers %s (one of: %s) and %s (the case number, 1 to 64 characters), "+
			"or the query parameters purpose and case.",
			strings.Join(p.Missing, " and "), purposeHeader, strings.Join(permit.Purposes, ", "), caseHeader)
	}
	return p
}

// stream opens the clip, has the gate note the response, and only then sends bytes.
func (s *Server) stream(c *gin.Context, grant policy.Grant, row retention.Clip) (err error) {
	ctx := c.Request.Context()
	footage, err := s.cfg.Vault.Open(ctx, grant, row.ID)
	if err != nil {
		return err
	}
	defer footage.Close()
	size, err := footage.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("finding the length of clip %s: %w", row.ID, err)
	}
	done, err := s.cfg.Gate.Respond(ctx, grant)
	if err != nil {
		return err
	}
	w := newFootageWriter(c.Writer, c.Request.Method)
	defer func() { done(w.sent, secondsOf(w.sent, size, row)) }()

	h := c.Writer.Header()
	h.Set("Content-Type", footageMedia)
	h.Set("Content-Disposition", `inline; filename="`+row.ID+`.mp4"`)
	h.Set("ETag", `"`+row.ID+`"`) // a clip's bytes never change
	r := c.Request
	if strings.Contains(r.Header.Get("Range"), ",") {
		// Several ranges in one answer serve no player and multiply work; a server may ignore Range.
		r = r.Clone(ctx)
		r.Header.Del("Range")
	}
	source := &watchedReader{ReadSeeker: footage}
	http.ServeContent(w, r, "", time.Time{}, source)
	return w.finish(source.err)
}

// secondsOf is the share of the clip's time that so many of its bytes stand for.
func secondsOf(sent, size int64, row retention.Clip) float64 {
	if size <= 0 {
		return 0
	}
	return min(1, float64(sent)/float64(size)) * row.Duration().Seconds()
}
