package fsck

import (
	"context"
	"fmt"
	"time"

	"klarsyn/policy"
	"klarsyn/retention"
)

// permitted is I5: no clip is kept longer than any version of its permit allows that was in force since, and none reaches outside
// what its version permits. A hold moves no deadline: what is held past it is I4's.
type permitted struct {
	now     time.Time
	permits *policy.Permits
	result  Result
}

func (c Check) permitted(ctx context.Context) (*permitted, error) {
	versions, err := c.Books.Versions(ctx)
	if err != nil {
		return nil, fmt.Errorf("fsck: %w", err)
	}
	permits, err := policy.PermitsOf(versions)
	if err != nil {
		return nil, fmt.Errorf("fsck: %w", err)
	}
	return &permitted{c.Now, permits, Result{ID: "I5", What: "no clip is kept longer, or lies outside, what its permit allows"}}, nil
}

func (p *permitted) done(context.Context) ([]Result, error) { return []Result{p.result}, nil }

func (p *permitted) row(_ context.Context, row retention.Row) error {
	r, where := &p.result, clipAt(row.ID, row.ObjectKey)
	r.Checked++
	v, ok := p.permits.Version(row.Permit, row.PermitVersion)
	if !ok || len(v.Steps) == 0 {
		r.broken(where, mendPermitRow, "clip %s was recorded under permit %s@%d, which was never activated", row.ID, row.Permit, row.PermitVersion)
		return nil
	}
	start := row.Start
	if !row.Counted.IsZero() {
		start = row.Counted
	}
	latest := v.Permit.Until(start)
	if row.State != retention.Deleted { // of what is gone its deadline tells what was promised, not what came later
		if strictest, ok := p.permits.Deadline(row.Permit, start, p.now); ok && strictest.Before(latest) {
			latest = strictest
		}
	}
	if row.Deadline.After(latest) {
		r.broken(where, mendPermit, "clip %s is kept until %s, its permit %s allows %s", row.ID, row.Deadline.Format(time.RFC3339), v.Permit.Ref(), latest.Format(time.RFC3339))
	}
	if !v.Permit.Covers(string(row.Camera), start) {
		r.broken(where, mendPermit, "clip %s of camera %s was recorded at %s, which permit %s does not cover", row.ID, row.Camera, start.Format(time.RFC3339), v.Permit.Ref())
		return nil
	}
	_, _, until := v.Permit.Schedule.State(start)
	if end := v.Permit.Ends(); !end.IsZero() && end.Before(until) {
		until = end
	}
	if end := start.Add(row.Duration()); end.After(until) {
		r.broken(where, mendPermit, "clip %s of camera %s reaches to %s, permit %s to %s", row.ID, row.Camera, end.Format(time.RFC3339Nano), v.Permit.Ref(), until.Format(time.RFC3339Nano))
	}
	return nil
}
