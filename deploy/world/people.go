package world

import (
	"context"
	"time"

	"klarsyn/policy"
	"klarsyn/retention"
)

// Two people of a world's police, as lifting takes.
var (
	Lead   = policy.Subject{Name: "eva", Role: policy.InvestigationLead, Session: "s2"}
	Second = policy.Subject{Name: "ulf", Role: policy.InvestigationLead, Session: "s3"}
)

// The cases of a world's holds.
const (
	CaseA = "0105-K7-26"
	CaseB = "0105-K8-26"
)

// Show lets a camera show something from now on, which is recorded; it gives the take as it was. That it is about to is written
// down first: whatever is found later was shown to a camera.
func (w *World) Show(ctx context.Context, t Take) (Take, error) {
	covered, err := w.Books.Covered(ctx, t.Camera)
	if err != nil {
		return t, err
	}
	t.Start = w.Clock.Receiving().Truncate(time.Microsecond).Add(time.Second)
	if covered.After(t.Start) { // the clock was set back: a camera's time goes on all the same
		t.Start = covered
	}
	if err := w.Tell(Word{Take: &t}); err != nil {
		return t, err
	}
	return t, w.Record(ctx, t)
}

// Place places a hold of a case, on clips or on a stretch of a camera. What was accepted is written
// down; a hold without clips is none.
func (w *World) Place(ctx context.Context, number string, h retention.Hold) (retention.Hold, []retention.Refusal, error) {
	h.Kind, h.Case, h.Basis, h.Requester, h.Approver, h.Review = retention.Evidence, number, "RB 27:1", "eva", "eva", w.Wall.Now().AddDate(0, 1, 0)
	placed, refused, err := w.Custody.Place(ctx, Lead, h)
	if err != nil || len(placed.Clips) == 0 {
		return placed, refused, err
	}
	told := Told{Hold: placed.ID}
	for _, p := range placed.Clips {
		told.Clips = append(told.Clips, p.Clip)
	}
	return placed, refused, w.Tell(Word{Told: &told})
}

// Lift lets two people lift a hold.
func (w *World) Lift(ctx context.Context, id string) error {
	if err := w.Books.AskLift(ctx, Lead, id, "the case is closed"); err != nil {
		return err
	}
	// That it will be lifted is written down first: whether it was, is told by the hold alone.
	if err := w.Tell(Word{Lifting: id}); err != nil {
		return err
	}
	if err := w.Books.Lift(ctx, Second, id); err != nil {
		return err
	}
	return w.Tell(Word{Told: &Told{Hold: id, Lifted: true}})
}
