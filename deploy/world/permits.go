package world

import (
	"context"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention/catalogue"
)

// Permit is version n of the decision under which the world records.
func Permit(n int) (policy.Permit, error) {
	ten, err := policy.ParsePeriod("PT10M")
	p := policy.Permit{
		ID: "plattan", Version: n, Regime: policy.Municipal, Basis: policy.Assessment, ValidFrom: Start.AddDate(-1, 0, 0),
		Retention: ten, Purposes: []string{policy.CrimeInvestigation},
	}
	for _, c := range Cameras {
		p.Cameras = append(p.Cameras, string(c))
	}
	return p, err
}

// Decide puts another version of the permit in force, by which a clip may be kept so long; the recorder learns of it.
func (w *World) Decide(ctx context.Context, period string) error {
	versions, err := w.Books.Versions(ctx)
	if err != nil {
		return err
	}
	p, err := Permit(len(versions) + 1)
	if err != nil {
		return err
	}
	if p.Retention, err = policy.ParsePeriod(period); err != nil {
		return err
	}
	if err := w.Books.Activate(ctx, p); err != nil {
		return err
	}
	return w.Recover(ctx)
}

// Revoke ends the permit that is in force, and reports whether there was one. What was collected under it since then must be
// erased at once if since is not zero; else it runs out.
func (w *World) Revoke(ctx context.Context, since time.Time) (bool, error) {
	versions, err := w.Books.Versions(ctx)
	if err != nil || len(versions) == 0 {
		return false, err
	}
	last := versions[len(versions)-1]
	if n := len(last.Steps); n == 0 || last.Steps[n-1].State != policy.Active {
		return false, nil
	}
	base, err := w.Books.Revision(ctx)
	if err != nil {
		return false, err
	}
	step := policy.Step{State: policy.Revoked, At: w.Clock.Logging(), Actor: actor, Reason: "the court's decision", Effective: since, Unlawful: !since.IsZero()}
	_, err = w.Books.Apply(ctx, catalogue.Application{
		Base: base, Document: []byte("revoked"), Steps: []catalogue.PermitStep{{Permit: last.Permit, Step: step}}, Who: policy.Subject{Name: actor, Role: policy.LocalRole},
	})
	if err != nil {
		return false, err
	}
	return true, w.Recover(ctx)
}

// Permitted reports whether a camera may record now.
func (w *World) Permitted(ctx context.Context, cam camera.ID) (bool, error) {
	versions, err := w.Books.Versions(ctx)
	if err != nil {
		return false, err
	}
	permits, err := policy.PermitsOf(versions)
	if err != nil {
		return false, err
	}
	_, ok := permits.At(string(cam), w.Clock.Receiving())
	return ok, nil
}
