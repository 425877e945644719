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
