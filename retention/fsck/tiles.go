package fsck

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/timeline"
)

// tiles is I12: clips and gaps tile each camera's time.
type tiles struct {
	Check
	pass   *tiling
	result Result
}

func (c Check) tiles(ctx context.Context) (*tiles, error) {
	pass, err := c.tiling(ctx)
	return &tiles{c, pass, Result{ID: "I12", What: "clips and gaps tile each camera's time, without hole or overlap"}}, err
}

func (t *tiles) row(_ context.Context, row retention.Row) error {
	t.pass.add(row)
	return nil
}

func (t *tiles) done(ctx context.Context) ([]Result, error) {
	r := &t.result
	faults := t.pass.end()
	r.Checked = t.pass.checked
	for _, clip := range t.pass.endless {
		// It may have been its sweeper's last step when the row was read.
		now, err := t.Books.Clip(ctx, clip.ID)
		if err != nil && !errors.Is(err, retention.ErrNotFound) {
			return nil, err
		}
		if err == nil && now.End.IsZero() {
			r.broken(clipAt(clip.ID, clip.ObjectKey), mendEnd, "clip %s is deleted and has no end", clip.ID)
		}
	}
	if len(faults) == 0 {
		return []Result{*r}, nil
	}
	// Gaps and clips are read one after the other, and recording goes on meanwhile: what is wrong stays so.
	again, err := t.tiling(ctx)
	if err != nil {
		return nil, err
	}
	for row, err := range t.Books.All(ctx) {
		if err != nil {
			return nil, err
		}
		if _, wrong := faults[string(row.Camera)]; wrong {
			again.add(row)
		}
	}
	still := again.end()
	for _, cam := range slices.Sorted(maps.Keys(faults)) {
		for _, f := range faults[cam] {
			if slices.Contains(still[cam], f) {
				r.broken(at(policy.KindCamera, cam), mendTile, "camera %s: %s", cam, f)
			}
		}
	}
	return []Result{*r}, nil
}

// tiling lays out the time of one camera after the other.
type tiling struct {
	gaps    map[string][]timeline.Span
	cam     string
	spans   []timeline.Span
	faults  map[string][]string
	endless []retention.Clip // deleted without an end
	checked int
}

func (c Check) tiling(ctx context.Context) (*tiling, error) {
	gaps, err := c.Books.Gaps(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("fsck: %w", err)
	}
	t := &tiling{gaps: map[string][]timeline.Span{}, faults: map[string][]string{}}
	for _, g := range gaps {
		cam := string(g.Camera)
		t.gaps[cam] = append(t.gaps[cam], timeline.Span{From: g.From, To: g.To, Name: "gap (" + string(g.Cause) + ")"})
	}
	return t, nil
}

// add takes the rows in order of their cameras.
func (t *tiling) add(row retention.Row) {
	if row.Parent != "" {
		return // a part of a clip that is there, too, or was
	}
	if cam := string(row.Camera); cam != t.cam {
		t.finish()
		t.cam = cam
	}
	end := row.End
	if end.IsZero() && row.State == retention.Deleted {
		t.endless = append(t.endless, row.Clip)
		end = row.Start
	}
	t.spans = append(t.spans, timeline.Span{From: row.Start, To: end, Name: "clip " + row.ID})
}

// finish checks a camera whose rows have all come.
func (t *tiling) finish() {
	spans := append(t.spans, t.gaps[t.cam]...)
	delete(t.gaps, t.cam)
	t.check(t.cam, spans)
	t.spans = t.spans[:0]
}

func (t *tiling) check(cam string, spans []timeline.Span) {
	t.checked += len(spans)
	for _, f := range timeline.Check(spans) {
		t.faults[cam] = append(t.faults[cam], f.String())
	}
}

// end is what is wrong, by camera.
func (t *tiling) end() map[string][]string {
	t.finish()
	for cam, spans := range t.gaps { // of cameras without a clip
		t.check(cam, spans)
	}
	t.gaps = nil
	return t.faults
}
