package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

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
	Asked   []askedFor // nothing found names it
	Next    string     // address of the next, older page
}

// logForm is what was asked, as it was asked, and by the name of the field what is wrong with it. While something
// is wrong nothing is read: an answer to less than the question would look like an answer to it.
type logForm struct {
	Actor, Object, Case, From, To string
	Wrong                         map[string]string
}

type askedFor struct{ Name, Value string }

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
	if len(v.Form.Wrong) == 0 {
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
			next.Del("lang") // the browser keeps it
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
	form.Wrong = map[string]string{}
	get := func(name string, limit int) string {
		asked := strings.TrimSpace(c.Query(name))
		if utf8.RuneCountInString(asked) > limit {
			form.Wrong[name] = v.W.TooLong
		}
		return asked
	}
	at := func(name string) (earlier, later time.Time, asked string) {
		if asked = get(name, 32); asked == "" || form.Wrong[name] != "" {
			return earlier, later, asked
		}
		earlier, later, err := s.page.wallTime(asked)
		if err != nil {
			form.Wrong[name] = v.W.BadInstant
		}
		return earlier, later, asked
	}
	form.Actor, form.Object, form.Case = get("actor", 100), get("object", 200), get("case", 100)
	q := logSearch{
		limit: logShown, event: policy.Event(get("event", 63)), action: policy.LegalAction(get("action", 63)),
		actor: form.Actor, object: form.Object, caseNo: form.Case,
	}
	q.since, _, form.From = at("from")
	_, q.until, form.To = at("to")
	if asked := c.Query("after"); asked != "" {
		after, err := strconv.ParseInt(asked, 10, 64)
		if err != nil || after < 1 {
			form.Wrong["after"] = v.W.BadAfter
		}
		q.before = after
	}
	said := map[string]string{"event": v.W.BadEvent, "action": v.W.BadAction, "object": v.W.BadObject, "to": v.W.BadEnd}
	for name := range q.wrong() {
		if form.Wrong[name] == "" {
			form.Wrong[name] = said[name]
		}
	}
	for _, e := range policy.Events() {
		v.Events = append(v.Events, option{Value: string(e), Text: v.W.event(e), Selected: e == q.event})
	}
	for _, a := range legalActions() {
		v.Actions = append(v.Actions, option{Value: string(a), Text: v.W.action(a), Selected: a == q.action})
	}
	v.Asked = s.asked(q, v.W)
	return q
}

// asked is the question in words, as it was understood.
func (s *Server) asked(q logSearch, w words) []askedFor {
	var asked []askedFor
	add := func(name, value string, given bool) {
		if given {
			asked = append(asked, askedFor{name, value})
		}
	}
	add(w.Actor, q.actor, q.actor != "")
	add(w.Object, q.object, q.object != "")
	add(w.CaseNumber, q.caseNo, q.caseNo != "")
	add(w.Event, w.event(q.event), q.event != "")
	add(w.LegalAction, w.action(q.action), q.action != "")
	add(w.From, s.local(q.since), !q.since.IsZero())
	add(w.To, s.local(q.until), !q.until.IsZero())
	add(w.OlderThan, strconv.FormatInt(q.before, 10), q.before > 0)
	return asked
}

func (s *Server) logRow(e LogEntry, w words) logRow {
	row := logRow{
		auditRow: s.auditRow(e, w), Role: w.role(e.Entry.Role), Action: w.action(e.Entry.Event.LegalAction()), Reason: e.Entry.Reason,
	}
	rest := e.Entry
	rest.ID, rest.Time, rest.Actor, rest.Object, rest.Case, rest.Purpose, rest.Decision, rest.Reason = "", time.Time{}, "", "", "", "", "", ""
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
