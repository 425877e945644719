package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"klarsyn/policy"
	"klarsyn/retention"
)

// Proofs proves that a clip was deleted, as a file that klarsyn verify deletion takes. Errors: ErrProofPending. Who calls it logs
// before that the log is read.
type Proofs interface {
	ProveDeletion(ctx context.Context, clip string) ([]byte, error)
}

// ErrProofPending says that what proves a deletion has no number in the log yet.
var ErrProofPending = errors.New("the log has not numbered the deletion yet")

type deletionProofOutput struct {
	ContentType string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

// deletionProof gives the proof of a clip's deletion to who may read deletions. Such a person may not ask about a camera that he
// may not read of: its clips do not exist.
func (s *Server) deletionProof(ctx context.Context, in *clipInput) (*deletionProofOutput, error) {
	row, err := s.deletedClip(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	who, _ := subjectOf(ctx)
	e := policy.LogReadEntry(who, policy.LogQuestion{Object: policy.KindClip.Of(row.ID), Proof: "deletion"})
	if err := s.cfg.Log.Record(ctx, e); err != nil {
		return nil, logFailed(err)
	}
	text, err := s.cfg.Proofs.ProveDeletion(ctx, row.ID)
	if err != nil {
		return nil, unavailable("log", err)
	}
	return &deletionProofOutput{
		ContentType: "application/json", Disposition: fmt.Sprintf(`attachment; filename="deletion-%s.json"`, row.ID), Body: text,
	}, nil
}

// deletedClip loads the row of a clip of which there must be nothing left. As for findClip, what cannot be found and what may not
// be known of are one case.
func (s *Server) deletedClip(ctx context.Context, id string) (retention.Clip, error) {
	none := func(v policy.Verdict) (retention.Clip, error) {
		return retention.Clip{}, s.refuse(ctx, policy.ReadDeletions, clipObject(id), v, retention.ErrNotFound)
	}
	if !validClipID(id) {
		return none(policy.Verdict{})
	}
	row, err := s.cfg.Clips.Clip(ctx, id)
	if errors.Is(err, retention.ErrNotFound) {
		return none(policy.Verdict{})
	}
	if err != nil {
		return retention.Clip{}, unavailable("catalogue", err)
	}
	who, _ := subjectOf(ctx)
	verdict, err := s.may(who, policy.ReadDeletions, string(row.Camera))
	if err != nil {
		return retention.Clip{}, err
	}
	if !verdict.Allowed {
		return none(verdict)
	}
	if row.State != retention.Deleted {
		return retention.Clip{}, notDeleted(row)
	}
	return row, nil
}

// notDeleted says where the clip stands instead.
func notDeleted(c retention.Clip) *Problem {
	detail := fmt.Sprintf("It is %s, and its deadline is %s.", c.State, c.Deadline.UTC().Format(time.RFC3339))
	switch {
	case c.State == retention.Deleting:
		detail = fmt.Sprintf("Its deadline was %s and nobody can read it any more, but its bytes were not seen to be gone yet. Try again in a minute.",
			c.Deadline.UTC().Format(time.RFC3339))
	case c.Held():
		detail = fmt.Sprintf("It is %s, and held beyond its deadline of %s.", c.State, c.Deadline.UTC().Format(time.RFC3339))
	}
	return newProblem(409, "not-deleted", "Not deleted", detail)
}
