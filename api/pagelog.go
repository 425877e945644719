package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"klarsyn/policy"
)

const logShown = 100

type logView struct {
	frame
	Form    logForm
	Events  []option
	Actions []option
	State   *logStateView
	Rows    []logRow
	Asked   bool   // something was asked for: nothing found says so
	Next    string // address of the next, older page
}

// logForm is what was asked, as it was asked, and what is wrong with it.
type logForm struct {
	Actor, Object, Case, From, To     string
	WrongEvent, WrongObject, WrongEnd string
}

type logRow struct {
	auditRow
	Role, Action, Reason, Details string
}

type logStateView struct {
	Name, Entries, Root, Signed string
	Witnesses                   []witnessRow
}

type witnessRow struct{ Name, Entries, Seen string }

// showLog is the auditor's page: the log, searched.
func (s *Server) showLog(c *gin.Context) {
	ctx := c.Request.Context()
	v := logView{frame: s.frameOf(c)}
	v.Title = v.W.Audit
	q := s.askedOfLog(c, &v)
	if v.Form.WrongEvent+v.Form.WrongObject+v.Form.WrongEnd == "" {
		entries, more, err := s.readLog(ctx, q)
		if err != nil {
			s.failPage(c, err)
			return
		}
		for _, e := range entries {
			v.Rows = append(v.Rows, s.logRow(e, v.W))
		}
		if more {
			next := c.Request.URL.Query()
			next.Set("after", strconv.FormatInt(entries[len(entries)-1].Index, 10))
			v.Next = "/log?" + next.Encode()
		}
	}
	state, err := s.cfg.Tiles.State(ctx)
	if err != nil {
		s.failPage(c, unavailable("log", err))
		return
	}
	v.State = s.logState(state, v.W)
	s.render(c, http.StatusOK, "log", v)
}

// askedOfLog reads the form out of the address, which is the page's only state.
func (s *Server) askedOfLog(c *gin.Context, v *logView) logSearch {
	form := &v.Form
	get := func(name string, limit int) string { return strings.TrimSpace(bounded(c.Query(name), limit)) }
	form.Actor, form.Object, form.Case = get("actor", 100), get("object", 200), get("case", 100)
	form.From, form.To = get("from", 19), get("to", 19)
	q := logSearch{
		limit: logShown, event: policy.Event(get("event", 63)), action: policy.LegalAction(get("action", 63)),
		actor: form.Actor, object: form.Object, caseNo: form.Case,
	}
	if after, err := strconv.ParseInt(c.Query("after"), 10, 64); err == nil && after > 0 {
		q.before = after
	}
	var fromErr, toErr error
	if form.From != "" {
		q.since, _, fromErr = s.page.wallTime(form.From)
	}
	if form.To != "" {
		_, q.until, toErr = s.page.wallTime(form.To)
	}
	wrong := q.wrong()
	if fromErr != nil || toErr != nil || wrong["to"] != "" {
		form.WrongEnd = v.W.BadTime
	}
	if wrong["object"] != "" {
		form.WrongObject = v.W.BadObject
	}
	if wrong["event"] != "" || wrong["action"] != "" {
		form.WrongEvent = v.W.BadEvent
	}
	for _, e := range policy.Events() {
		v.Events = append(v.Events, option{Value: string(e), Text: string(e), Selected: e == q.event})
	}
	slices.SortFunc(v.Events, func(a, b option) int { return strings.Compare(a.Value, b.Value) })
	for _, a := range legalActions() {
		v.Actions = append(v.Actions, option{Value: string(a), Text: v.W.action(a), Selected: a == q.action})
	}
	asked := c.Request.URL.Query()
	v.Asked = len(withoutEmpty(asked)) > 0
	return q
}

func withoutEmpty(asked url.Values) url.Values {
	for name, values := range asked {
		if strings.Join(values, "") == "" || name == "lang" {
			delete(asked, name)
		}
	}
	return asked
}

func (s *Server) logRow(e LogEntry, w words) logRow {
	row := logRow{
		auditRow: s.auditRow(e, w), Role: w.role(e.Entry.Role), Action: w.action(e.Entry.Event.LegalAction()), Reason: e.Entry.Reason,
	}
	rest := e.Entry
	rest.ID, rest.Time, rest.Event, rest.Actor, rest.Object, rest.Case, rest.Purpose, rest.Decision, rest.Reason = "", time.Time{}, "", "", "", "", "", "", ""
	if b, err := json.MarshalIndent(rest, "", "  "); err == nil {
		row.Details = withoutBlanks(string(b))
	}
	return row
}

// withoutBlanks drops the fields that are always written and were taken out.
func withoutBlanks(indented string) string {
	var kept []string
	for line := range strings.SplitSeq(indented, "\n") {
		if !strings.Contains(line, `: ""`) && !strings.Contains(line, `"0001-01-01T00:00:00Z"`) && line != "{" && line != "}" {
			kept = append(kept, strings.TrimPrefix(line, "  "))
		}
	}
	return strings.Join(kept, "\n")
}

func (s *Server) logState(state LogState, w words) *logStateView {
	if state.Entries == 0 {
		return nil
	}
	v := &logStateView{Name: state.Name, Entries: strconv.FormatInt(state.Entries, 10), Root: state.Root, Signed: s.local(state.Signed)}
	for _, one := range state.Witnesses {
		row := witnessRow{Name: one.Name, Entries: "–", Seen: w.NeverSeen}
		if !one.Seen.IsZero() {
			row.Entries, row.Seen = strconv.FormatInt(one.Entries, 10), s.local(one.Seen)
		}
		v.Witnesses = append(v.Witnesses, row)
	}
	return v
}

// action is what an event is in law, in words.
func (w words) action(a policy.LegalAction) string {
	if said := w.Actions[a]; said != "" {
		return said
	}
	return "–"
}
