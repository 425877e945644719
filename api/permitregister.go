package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gin-gonic/gin"

	"klarsyn/policy"
)

type registerOutput struct {
	Body struct {
		At   time.Time            `json:"at"`
		Rows []policy.RegisterRow `json:"register"`
	}
}

// registerRows are the register (förteckning) as it is now. That it was made is logged first, with the hash of the rows as JSON
// in whatever form they are then shown.
func (s *Server) registerRows(ctx context.Context) ([]policy.RegisterRow, time.Time, error) {
	who, _ := subjectOf(ctx)
	now := s.cfg.Now().UTC()
	versions, err := s.cfg.Square.Permits(ctx)
	if err != nil {
		return nil, now, unavailable("catalogue", err)
	}
	set, err := policy.PermitsOf(versions)
	if err != nil {
		return nil, now, err
	}
	rows := append([]policy.RegisterRow{}, set.Register(now)...)
	report, err := json.Marshal(rows)
	if err != nil {
		return nil, now, err
	}
	if err := s.cfg.Log.Record(ctx, policy.ReportGeneratedEntry(who, "register", policy.Span{From: now, To: now}, sha256.Sum256(report))); err != nil {
		return nil, now, logFailed(err)
	}
	return rows, now, nil
}

func (s *Server) registerJSON(ctx context.Context, _ *struct{}) (*registerOutput, error) {
	rows, now, err := s.registerRows(ctx)
	if err != nil {
		return nil, err
	}
	out := &registerOutput{}
	out.Body.At, out.Body.Rows = now, rows
	return out, nil
}

// registerCSV is the same for a spreadsheet.
func (s *Server) registerCSV(c *gin.Context) {
	rows, _, err := s.registerRows(c.Request.Context())
	if err != nil {
		s.failPage(c, err)
		return
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	lines := [][]string{{"permit", "version", "state", "address", "place_type", "purposes", "audio_or_special_technology", "assessment",
		"controller", "regime", "register", "start", "end", "history"}}
	for _, r := range rows {
		var history []string
		for _, h := range r.History {
			history = append(history, strings.TrimSpace(strconv.Itoa(h.Version)+" "+string(h.State)+" "+instant(h.At)+" "+h.By+" "+h.Reason))
		}
		lines = append(lines, []string{r.Permit, strconv.Itoa(r.Version), string(r.State), r.Address, r.PlaceType, r.Purposes, r.Technology, r.Assessed,
			r.Controller, string(r.Regime), r.Duty, instant(r.Start), instant(r.End), strings.Join(history, "; ")})
	}
	for _, line := range lines {
		for i := range line {
			line[i] = inert(line[i])
		}
	}
	if err := w.WriteAll(lines); err != nil {
		s.fail(c, err)
		return
	}
	c.Header("Content-Disposition", `attachment; filename="register.csv"`)
	c.Data(http.StatusOK, "text/csv; charset=utf-8", b.Bytes())
}

// inert is a text of which a spreadsheet takes no part for a formula. Where lists are separated by semicolons, as in Sweden,
// it begins a cell at each. Blanks and quotes before a formula are passed over.
func inert(text string) string {
	var b strings.Builder
	fresh := true
	for _, r := range text {
		if fresh && strings.ContainsRune("=+-@＝＋－＠", r) {
			b.WriteByte('\'')
		}
		b.WriteRune(r)
		fresh = strings.ContainsRune(";,\t\r\n", r) || (fresh && (unicode.IsSpace(r) || unicode.IsControl(r) || r == '"'))
	}
	return b.String()
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

type registerView struct {
	frame
	Rows []registerRowView
}

type registerRowView struct {
	policy.RegisterRow
	StateText, StartText, EndText, PurposeText, TechnologyText, AssessedText, DutyText string
	Changes                                                                            []string
}

// showRegister is the register as a page, for who must hand it to the authority, and for the authority.
func (s *Server) showRegister(c *gin.Context) {
	rows, _, err := s.registerRows(c.Request.Context())
	if err != nil {
		s.failPage(c, err)
		return
	}
	v := registerView{frame: s.frameOf(c)}
	v.Title = v.W.Register
	for _, r := range rows {
		row := registerRowView{RegisterRow: r, StateText: v.W.permitState(r.State), StartText: s.local(r.Start), EndText: s.local(r.End), PurposeText: v.W.purposes(r.Purposes),
			TechnologyText: v.W.orNone(r.Technology), AssessedText: v.W.orNone(r.Assessed), DutyText: v.W.duty(r.Duty)}
		for _, h := range r.History {
			text := v.W.Version + " " + strconv.Itoa(h.Version) + ": " + v.W.permitState(h.State) + ", " + s.local(h.At) + ", " + h.By
			if h.Reason != "" {
				text += " – " + h.Reason
			}
			row.Changes = append(row.Changes, text)
		}
		v.Rows = append(v.Rows, row)
	}
	s.render(c, http.StatusOK, "register", v)
}
