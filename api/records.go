package api

import (
	"context"
	"encoding/hex"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
)

type deletionsInput struct {
	Camera string    `query:"camera" maxLength:"63" doc:"camera id; default all cameras"`
	From   time.Time `query:"from" doc:"RFC 3339; default the beginning"`
	To     time.Time `query:"to" doc:"RFC 3339; default now"`
	Limit  int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	After  string    `query:"after" pattern:"^[0-9A-HJKMNP-TV-Z]{26}$" patternDescription:"a clip id" doc:"next of the page before"`
}

type deletionsOutput struct {
	Body struct {
		Deletions []deletionBody `json:"deletions"`
		Next      string         `json:"next,omitempty" doc:"give it as after for the next page; absent on the last"`
	}
}

// deletionBody is a proof of deletion with the lag worked out.
type deletionBody struct {
	Clip       string    `json:"clip"`
	Camera     camera.ID `json:"camera"`
	Permit     permitRef `json:"permit"`
	From       time.Time `json:"from"`
	To         time.Time `json:"to"`
	SHA256     string    `json:"sha256" doc:"of the sealed bytes that are gone"`
	Deadline   time.Time `json:"deadline"`
	ShreddedAt time.Time `json:"shredded_at" doc:"unreadable since"`
	DeletedAt  time.Time `json:"deleted_at" doc:"absence proved by listing"`
	LagSeconds float64   `json:"lag_seconds" doc:"how long after the deadline the bytes were gone"`
	Versions   int       `json:"versions" doc:"object versions, markers and parts removed"`
	Listed     int       `json:"listed" doc:"what the listing afterwards found; 0 is the proof"`
}

func (s *Server) deletions(ctx context.Context, in *deletionsInput) (*deletionsOutput, error) {
	to, err := s.interval(in.From, in.To)
	if err != nil {
		return nil, err
	}
	if in.Camera != "" {
		if _, err := s.findCamera(ctx, in.Camera, policy.ReadDeletions); err != nil {
			return nil, err
		}
	}
	proofs, err := s.cfg.Deletions.Deletions(ctx, camera.ID(in.Camera), in.From.UTC(), to, in.Limit+1, in.After)
	if err != nil {
		return nil, unavailable("catalogue", err)
	}
	out := &deletionsOutput{}
	if len(proofs) > in.Limit {
		proofs = proofs[:in.Limit]
		out.Body.Next = proofs[len(proofs)-1].Clip
	}
	out.Body.Deletions = make([]deletionBody, 0, len(proofs))
	for _, p := range proofs {
		out.Body.Deletions = append(out.Body.Deletions, describeProof(p))
	}
	return out, nil
}

func describeProof(p retention.Proof) deletionBody {
	return deletionBody{
		Clip: p.Clip, Camera: p.Camera, Permit: permitRef{ID: p.Permit, Version: p.PermitVersion},
		From: p.From.UTC(), To: p.To.UTC(), SHA256: hex.EncodeToString(p.SHA256[:]),
		Deadline: p.Deadline.UTC(), ShreddedAt: p.ShreddedAt.UTC(), DeletedAt: p.DeletedAt.UTC(),
		LagSeconds: p.Lag().Seconds(), Versions: p.Versions, Listed: p.Listed,
	}
}

type auditInput struct {
	After int64  `query:"after" minimum:"1" doc:"next of the page before: entries older than this index"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
	Event string `query:"event" maxLength:"63" doc:"only this event, for example viewing-opened"`
	Actor string `query:"actor" maxLength:"100" doc:"only this account"`
	Case  string `query:"case" maxLength:"100" doc:"only this case number"`
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
	q := LogQuery{Before: in.After, Limit: in.Limit, Event: policy.Event(in.Event), Actor: in.Actor, Case: in.Case}
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

// readLog logs that the log is read, and with which question, before it shows anything.
func (s *Server) readLog(ctx context.Context, q LogQuery) (entries []LogEntry, more bool, err error) {
	who, _ := subjectOf(ctx)
	err = s.cfg.Log.Record(ctx, policy.LogReadEntry(who, policy.LogQuestion{
		Before: q.Before, Limit: q.Limit, Event: q.Event, Actor: q.Actor, Case: q.Case,
	}))
	if err != nil {
		return nil, false, logFailed(err)
	}
	limit := q.Limit
	q.Limit++
	entries, err = s.cfg.Log.Entries(ctx, q)
	if err != nil {
		return nil, false, unavailable("log", err)
	}
	if len(entries) > limit {
		return entries[:limit], true, nil
	}
	return entries, false, nil
}
