package fsck

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/object"
	"klarsyn/retention/timeline"
)

// everyObjectHasARow is I1: what lies in the store belongs to a clip that may have bytes, or is young
// enough to be on its way in, or about to be reaped.
func (c Check) everyObjectHasARow(ctx context.Context, rows []retention.Row, traces map[string][]object.Trace) (Result, error) {
	r := Result{ID: "I1", What: "every object belongs to exactly one clip, or is young and reaped"}
	owner := map[string]retention.Clip{}
	for _, row := range rows {
		owner[row.ObjectKey] = row.Clip
	}
	for key, ts := range traces {
		r.Checked++
		clip, known := owner[key]
		if len(c.strays(key, ts, clip, known)) == 0 {
			continue
		}
		// Since the store was listed a put may have ended, a clip may have been deleted and a stray reaped.
		now, err := c.list(ctx, key)
		if err != nil {
			return r, err
		}
		for _, what := range c.strays(key, now[key], clip, known) {
			r.broken("%s", what)
		}
	}
	return r, nil
}

// strays says what is wrong with the traces of a key. clip is its owner, if one is known.
func (c Check) strays(key string, ts []object.Trace, clip retention.Clip, known bool) (wrong []string) {
	for _, t := range ts {
		age := c.Now.Sub(t.Modified)
		switch {
		case !known && age > c.Stray:
			wrong = append(wrong, fmt.Sprintf("object %s (%s) has no clip and is %s old", key, t.Kind, age.Round(time.Second)))
		case known && !mayHaveBytes(clip) && age > c.Stray:
			wrong = append(wrong, fmt.Sprintf("object %s (%s) is there although clip %s is %s", key, t.Kind, clip.ID, clip.State))
		case known && clip.Readable() && t.Kind != object.Version:
			wrong = append(wrong, fmt.Sprintf("clip %s has a %s in the store beside its object", clip.ID, t.Kind))
		}
	}
	if versions := count(ts, object.Version); versions > 1 {
		wrong = append(wrong, fmt.Sprintf("object %s has %d versions: keys are written once", key, versions))
	}
	return wrong
}

// committedIsStored is I2: what the catalogue says is stored is there, byte for byte.
func (c Check) committedIsStored(ctx context.Context, rows []retention.Row, _ map[string][]object.Trace) (Result, error) {
	r := Result{ID: "I2", What: "a committed clip is stored with its size and hash"}
	for _, row := range rows {
		if !row.Readable() {
			continue
		}
		r.Checked++
		info, err := c.Store.Verify(ctx, row.ObjectKey)
		switch {
		case errors.Is(err, object.ErrNotFound):
			if again, err := c.stillReadable(ctx, row.ID); err != nil {
				return r, err
			} else if again {
				r.broken("clip %s: its object %s is missing", row.ID, row.ObjectKey)
			}
		case err != nil:
			return r, fmt.Errorf("fsck: clip %s: %w", row.ID, err)
		case info.Size != row.Size:
			r.broken("clip %s: %d bytes are stored, %d were", row.ID, info.Size, row.Size)
		case info.SHA256 != row.SHA256:
			r.broken("clip %s: the stored bytes do not match their hash", row.ID)
		}
	}
	return r, nil
}

// stillReadable asks again: a clip may have been deleted since the rows were read.
func (c Check) stillReadable(ctx context.Context, id string) (bool, error) {
	clip, err := c.Books.Clip(ctx, id)
	if errors.Is(err, retention.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("fsck: %w", err)
	}
	return clip.Readable(), nil
}

// dueIsGone is I3: after its deadline a clip has no header, and then no bytes anywhere.
func (c Check) dueIsGone(ctx context.Context, rows []retention.Row, traces map[string][]object.Trace) (Result, error) {
	r := Result{ID: "I3", What: "after its deadline no clip and no background can be read, and then a clip leaves no trace"}
	spooled := map[string]bool{}
	if c.Spool != nil {
		ids, err := c.Spool()
		if err != nil {
			return r, fmt.Errorf("fsck: %w", err)
		}
		for _, id := range ids {
			spooled[id] = true
		}
	}
	for _, row := range rows {
		r.Checked++
		gone := row.State == retention.Deleting || row.State == retention.Deleted || row.State == retention.Lost
		switch {
		case gone && row.HasHeader:
			r.broken("clip %s is %s but its header is still there", row.ID, row.State)
		case c.late(row.Clip) && row.HasHeader:
			r.broken("clip %s could still be opened %s after its deadline", row.ID, c.Now.Sub(row.Deadline).Round(time.Second))
		case c.late(row.Clip) && row.State != retention.Deleted:
			r.broken("clip %s is %s %s after its deadline", row.ID, row.State, c.Now.Sub(row.Deadline).Round(time.Second))
		}
		if row.State == retention.Deleted && len(traces[row.ObjectKey]) > 0 {
			// It may have been deleted since the store was listed.
			now, err := c.list(ctx, row.ObjectKey)
			if err != nil {
				return r, err
			}
			if n := len(now[row.ObjectKey]); n > 0 {
				r.broken("clip %s has a tombstone, but the store still holds %d traces of it", row.ID, n)
			}
		}
		if c.late(row.Clip) && spooled[row.ID] {
			r.broken("clip %s still lies in the spool after its deadline", row.ID)
		}
	}
	err := c.backgroundsAreGone(ctx, &r)
	return r, err
}

// backgroundsAreGone is I3 for what counters have learnt.
func (c Check) backgroundsAreGone(ctx context.Context, r *Result) error {
	if c.Backgrounds == nil {
		return nil
	}
	deadlines, err := c.Backgrounds(ctx)
	if err != nil {
		return fmt.Errorf("fsck: %w", err)
	}
	for cam, deadline := range deadlines {
		r.Checked++
		if c.Now.After(deadline.Add(c.Grace)) {
			r.broken("the background of camera %s could still be opened %s after its deadline", cam, c.Now.Sub(deadline).Round(time.Second))
		}
	}
	return nil
}

// deadlinesFollowPermits is I5: no clip is kept longer than any version of its permit allows that was in force since, and none
// reaches outside what its version permits.
func (c Check) deadlinesFollowPermits(ctx context.Context, rows []retention.Row, _ map[string][]object.Trace) (Result, error) {
	r := Result{ID: "I5", What: "no clip is kept longer, or lies outside, what its permit allows"}
	versions, err := c.Books.Versions(ctx)
	if err != nil {
		return r, fmt.Errorf("fsck: %w", err)
	}
	permits, err := policy.PermitsOf(versions)
	if err != nil {
		return r, fmt.Errorf("fsck: %w", err)
	}
	for _, row := range rows {
		r.Checked++
		v, ok := permits.Version(row.Permit, row.PermitVersion)
		if !ok || len(v.Steps) == 0 {
			r.broken("clip %s was recorded under permit %s@%d, which was never activated", row.ID, row.Permit, row.PermitVersion)
			continue
		}
		start := row.Start
		if !row.Counted.IsZero() {
			start = row.Counted
		}
		latest := v.Permit.Until(start)
		if row.State != retention.Deleted { // of what is gone its deadline tells what was promised, not what came later
			if strictest, ok := permits.Deadline(row.Permit, start, c.Now); ok && strictest.Before(latest) {
				latest = strictest
			}
		}
		if row.Deadline.After(latest) {
			r.broken("clip %s is kept until %s, its permit %s allows %s", row.ID, row.Deadline.Format(time.RFC3339), v.Permit.Ref(), latest.Format(time.RFC3339))
		}
		if !v.Permit.Covers(string(row.Camera), start) {
			r.broken("clip %s of camera %s was recorded at %s, which permit %s does not cover", row.ID, row.Camera, start.Format(time.RFC3339), v.Permit.Ref())
			continue
		}
		_, _, until := v.Permit.Schedule.State(start)
		if end := v.Permit.Ends(); !end.IsZero() && end.Before(until) {
			until = end
		}
		if end := start.Add(row.Duration()); end.After(until) {
			r.broken("clip %s of camera %s reaches to %s, permit %s to %s", row.ID, row.Camera, end.Format(time.RFC3339Nano), v.Permit.Ref(), until.Format(time.RFC3339Nano))
		}
	}
	return r, nil
}

// headersAreUnique is as much of I9 as can be seen without a key: two clips with one file key would
// have been sealed with one header.
func (c Check) headersAreUnique(_ context.Context, rows []retention.Row, _ map[string][]object.Trace) (Result, error) {
	r := Result{ID: "I9", What: "no sealed header serves two clips"}
	seen := map[[sha256.Size]byte]string{}
	for _, row := range rows {
		if !row.HasHeader {
			continue
		}
		r.Checked++
		if other, ok := seen[row.HeaderHash]; ok {
			r.broken("clips %s and %s have the same header", other, row.ID)
		}
		seen[row.HeaderHash] = row.ID
	}
	return r, nil
}

// timeIsTiled is I12: clips and gaps tile each camera's time.
func (c Check) timeIsTiled(ctx context.Context, rows []retention.Row, _ map[string][]object.Trace) (Result, error) {
	r := Result{ID: "I12", What: "clips and gaps tile each camera's time, without hole or overlap"}
	checked, faults, err := c.untiled(ctx, rows)
	r.Checked = checked
	if err != nil || len(faults) == 0 {
		return r, err
	}
	// Clips and gaps are read one after the other, and recording goes on meanwhile: what is wrong stays so.
	if rows, err = c.rows(ctx); err != nil {
		return r, err
	}
	_, again, err := c.untiled(ctx, rows)
	if err != nil {
		return r, err
	}
	for _, f := range faults {
		if slices.Contains(again, f) {
			r.broken("%s", f)
		}
	}
	return r, nil
}

func (c Check) untiled(ctx context.Context, rows []retention.Row) (checked int, faults []string, err error) {
	spans := map[string][]timeline.Span{}
	for _, row := range rows {
		if row.Parent != "" {
			continue // a part of a clip that is there, too, or was
		}
		cam := string(row.Camera)
		spans[cam] = append(spans[cam], timeline.Span{From: row.Start, To: row.End, Name: "clip " + row.ID})
	}
	gaps, err := c.Books.Gaps(ctx, "")
	if err != nil {
		return 0, nil, fmt.Errorf("fsck: %w", err)
	}
	for _, g := range gaps {
		cam := string(g.Camera)
		spans[cam] = append(spans[cam], timeline.Span{From: g.From, To: g.To, Name: "gap (" + string(g.Cause) + ")"})
	}
	for cam, s := range spans {
		checked += len(s)
		for _, f := range timeline.Check(s) {
			faults = append(faults, fmt.Sprintf("camera %s: %s", cam, f))
		}
	}
	return checked, faults, nil
}

// mayHaveBytes says that an object of the clip is no stray.
func mayHaveBytes(clip retention.Clip) bool {
	return clip.State != retention.Deleted && clip.State != retention.Lost
}

func count(ts []object.Trace, kind object.Kind) int {
	n := 0
	for _, t := range ts {
		if t.Kind == kind {
			n++
		}
	}
	return n
}
