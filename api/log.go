package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"klarsyn/policy"
)

type auditInput struct {
	After  int64     `query:"after" minimum:"1" doc:"next of the page before: entries older than this index"`
	Limit  int       `query:"limit" minimum:"1" maximum:"500" default:"100"`
	Event  string    `query:"event" maxLength:"63" doc:"only this event, for example viewing-opened"`
	Action string    `query:"action" maxLength:"63" doc:"only events that are this in law (LED art. 25): collection, alteration, consultation, disclosure, combination, erasure"`
	Actor  string    `query:"actor" maxLength:"100" doc:"only this account"`
	Object string    `query:"object" maxLength:"200" doc:"only what is about this, for example clip:01J… or camera:k1"`
	Case   string    `query:"case" maxLength:"100" doc:"only this case number"`
	From   time.Time `query:"from" doc:"RFC 3339; default the beginning"`
	To     time.Time `query:"to" doc:"RFC 3339, exclusive; default now"`
}

type auditOutput struct {
	Body struct {
		Entries []auditBody `json:"entries"`
		Next    int64       `json:"next,omitempty" doc:"give it as after for the next, older page; absent on the last"`
	}
}

// auditBody is an entry with its index; one that is not numbered yet, about a second, is not listed. policy.Entry's own JSON is what is hashed, so it is shown as it is.
type auditBody struct {
	Index int64        `json:"index" doc:"place in the log"`
	Entry policy.Entry `json:"entry"`
}

func (s *Server) audit(ctx context.Context, in *auditInput) (*auditOutput, error) {
	q := logSearch{
		before: in.After, limit: in.Limit, event: policy.Event(in.Event), action: policy.LegalAction(in.Action),
		actor: in.Actor, object: in.Object, caseNo: in.Case, since: in.From, until: in.To,
	}
	if wrong := q.wrong(); len(wrong) > 0 {
		p := newProblem(422, "invalid", "Invalid request", "See \"errors\" for the parameters that are wrong.")
		for name, why := range wrong {
			p.Errors = append(p.Errors, ProblemField{Location: "query." + name, Message: why})
		}
		slices.SortFunc(p.Errors, func(a, b ProblemField) int { return strings.Compare(a.Location, b.Location) })
		return nil, p
	}
	entries, more, err := s.readLog(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &auditOutput{}
	out.Body.Entries = make([]auditBody, 0, len(entries))
	for _, e := range entries {
		out.Body.Entries = append(out.Body.Entries, auditBody(e))
	}
	if more {
		out.Body.Next = entries[len(entries)-1].Index
	}
	return out, nil
}

// logSearch is a question to the log. What is empty is not asked for.
type logSearch struct {
	before        int64
	limit         int
	event         policy.Event
	action        policy.LegalAction
	actor, object string
	caseNo        string
	since, until  time.Time
}

// wrong says which parts make no sense, and what would.
func (q logSearch) wrong() map[string]string {
	wrong := map[string]string{}
	if q.event != "" && !slices.Contains(policy.Events(), q.event) {
		wrong["event"] = "there is no such event: one is viewing-opened"
	}
	if q.action != "" && !slices.Contains(legalActions(), q.action) {
		wrong["action"] = fmt.Sprintf("there is no such action: want one of %v", legalActions())
	}
	if q.event != "" && q.action != "" && wrong["event"] == "" && wrong["action"] == "" && q.event.LegalAction() != q.action {
		wrong["action"] = fmt.Sprintf("%s is %s: leave one of the two out", q.event, q.event.LegalAction())
	}
	if kind, id, ok := strings.Cut(q.object, ":"); q.object != "" && (!ok || kind == "" || id == "") {
		wrong["object"] = "want a kind and an id, such as camera:k1"
	}
	if !q.since.IsZero() && !q.until.IsZero() && !q.since.Before(q.until) {
		wrong["to"] = "must be later than from"
	}
	return wrong
}

func legalActions() []policy.LegalAction {
	return []policy.LegalAction{policy.Collection, policy.Alteration, policy.Consultation, policy.Disclosure, policy.Combination, policy.Erasure}
}

// eventsOf are the events that are an action in law.
func eventsOf(action policy.LegalAction) []policy.Event {
	return slices.DeleteFunc(policy.Events(), func(e policy.Event) bool { return e.LegalAction() != action })
}

func (q logSearch) query() LogQuery {
	asked := LogQuery{Before: q.before, Limit: q.limit + 1, Actor: q.actor, Object: q.object, Case: q.caseNo, Since: q.since.UTC(), Until: q.until.UTC()}
	switch {
	case q.event != "":
		asked.Events = []policy.Event{q.event}
	case q.action != "":
		asked.Events = eventsOf(q.action)
	}
	return asked
}

// readLog logs that the log is read, and with which question, before it shows anything.
func (s *Server) readLog(ctx context.Context, q logSearch) (entries []LogEntry, more bool, err error) {
	who, _ := subjectOf(ctx)
	err = s.cfg.Log.Record(ctx, policy.LogReadEntry(who, policy.LogQuestion{
		Before: q.before, Limit: q.limit, Event: q.event, Action: q.action, Actor: q.actor, Object: q.object, Case: q.caseNo, Since: q.since, Until: q.until,
	}))
	if err != nil {
		return nil, false, logFailed(err)
	}
	entries, err = s.cfg.Log.Entries(ctx, q.query())
	if err != nil {
		return nil, false, unavailable("log", err)
	}
	if len(entries) > q.limit {
		return entries[:q.limit], true, nil
	}
	return entries, false, nil
}
