package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"klarsyn/api"
	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/timeline"
)

// squareDesk is what holds of the square, for the interface.
type squareDesk struct {
	site  *site
	books *catalogue.Catalogue
}

// sentDescription is the name of a description that came without one.
const sentDescription = "description"

func (d squareDesk) Apply(ctx context.Context, who policy.Subject, text []byte, try bool, may func([]string) error) (api.Plan, error) {
	p, err := d.site.apply(ctx, sentDescription, text, who, try, func(p *planned) error {
		if err := filesFromAfar(p, d.site.current.now()); err != nil {
			return err
		}
		var kinds []string
		for _, c := range p.Changes {
			if !slices.Contains(kinds, c.What) {
				kinds = append(kinds, c.What)
			}
		}
		return may(kinds)
	})
	return p, apiError(err)
}

// sentFiles is the folder of the files that a description may name which came through a server.
const sentFiles = "cameras"

// filesFromAfar refuses a camera whose files somebody chose who is not on this machine, but for those in one folder: the
// recorder sends the first line of a password file to where the camera is said to be.
func filesFromAfar(p *planned, held *holding) error {
	faults := &faultList{place: p.place}
	for i, cc := range p.next.Cameras {
		before, _ := held.camera(camera.ID(cc.ID))
		for field, paths := range map[string][2]string{
			"password_file": {before.PasswordFile, cc.PasswordFile}, "ca_file": {before.CAFile, cc.CAFile}, "profile": {before.Profile, cc.Profile},
		} {
			if now := paths[1]; now != "" && now != paths[0] && (!filepath.IsLocal(now) || filepath.Dir(filepath.Clean(now)) != sentFiles) {
				faults.add(fmt.Sprintf("$.cameras[%d].%s", i, field), "%s: through a server a description may name files in the folder %s alone, such as %s/%s",
					now, sentFiles, sentFiles, cc.ID)
			}
		}
	}
	return faults.err()
}

// apiError speaks the interface's errors.
func apiError(err error) error {
	var usage usageError
	switch {
	case errors.As(err, &usage):
		return &api.BadDescription{Err: usage.err}
	case errors.Is(err, catalogue.ErrStale):
		return fmt.Errorf("%w: %w", api.ErrChangedMeanwhile, err)
	}
	return err
}

func (d squareDesk) Document(ctx context.Context) ([]byte, error) { return d.site.document(ctx) }

func (d squareDesk) Permits(ctx context.Context) ([]policy.Version, error) {
	return d.books.Versions(ctx)
}

func (d squareDesk) Explain(ctx context.Context, cam string, at time.Time) (policy.Answer, error) {
	return d.site.explain(ctx, cam, at)
}

func (d squareDesk) Timeline(ctx context.Context, cam camera.ID, from, to time.Time) ([]api.Stretch, error) {
	stretches, err := d.site.timeline(ctx, d.books, cam, from, to)
	out := make([]api.Stretch, 0, len(stretches))
	for _, s := range stretches {
		out = append(out, api.Stretch{From: s.From, To: s.To, Cause: s.Cause, Detail: s.Detail, Permit: s.Permit, Clause: s.Clause, Clip: s.Clip,
			Rule: s.Rule, Deadline: orNil(s.Deadline), DeletedAt: orNil(s.DeletedAt)})
	}
	return out, err
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// timeline is the cause of every instant of a camera.
func (s *site) timeline(ctx context.Context, books *catalogue.Catalogue, cam camera.ID, from, to time.Time) ([]timeline.Stretch, error) {
	// Clips before gaps: what begins meanwhile follows a gap that is known.
	clips, err := books.Spans(ctx, cam, from, to)
	if err != nil {
		return nil, err
	}
	cuts, err := books.Cuts(ctx, cam, from, to)
	if err != nil {
		return nil, err
	}
	gaps, err := books.Gaps(ctx, cam, from, to)
	if err != nil {
		return nil, err
	}
	versions, err := books.Versions(ctx)
	if err != nil {
		return nil, err
	}
	permits, err := policy.PermitsOf(versions)
	if err != nil {
		return nil, err
	}
	past := timeline.Past{Camera: cam, Clips: clips, Cuts: cuts, Gaps: gaps, Permits: permits, Now: s.clock.Receiving()}
	return timeline.Compose(past, from, to), nil
}

// explain is what the permits say of a camera at a time, by what holds now.
func (s *site) explain(ctx context.Context, cam string, at time.Time) (policy.Answer, error) {
	if err := s.current.poll(ctx); err != nil {
		return policy.Answer{}, err
	}
	a := s.current.now().permits.Decide(cam, at.UTC())
	return a, nil
}
