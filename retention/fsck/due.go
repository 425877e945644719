package fsck

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"klarsyn/policy"
	"klarsyn/retention"
)

// due is I3: after its deadline a clip that nobody holds has no header, and then no bytes anywhere; one that is held has no
// header that its day key opens, and what a hold kept goes when the hold does.
type due struct {
	Check
	listed  listing
	holds   *holds
	spooled map[string]bool
	// traced are deleted clips of which the store listed something; lifted are late by what their holds were when they were read.
	traced map[string]retention.Clip
	lifted []retention.Row
	result Result
}

func (c Check) due(l listing, h *holds) (*due, error) {
	d := &due{Check: c, listed: l, holds: h, spooled: map[string]bool{}, traced: map[string]retention.Clip{}}
	d.result = Result{ID: "I3", What: "after its deadline no clip and no background can be read, and then a clip leaves no trace; what is held, its case alone opens"}
	if c.Spool == nil {
		return d, nil
	}
	ids, err := c.Spool()
	if err != nil {
		return nil, fmt.Errorf("fsck: %w", err)
	}
	for _, id := range ids {
		d.spooled[id] = true
	}
	return d, nil
}

func (d *due) row(_ context.Context, row retention.Row) error {
	d.result.Checked++
	if row.State == retention.Deleted {
		if _, there := d.listed[digestOf(row.ObjectKey)]; there {
			d.traced[row.ObjectKey] = row.Clip
		}
	}
	if row.State != retention.Deleted && !kept(row.Clip) && (row.KeyCase != "" || !row.Cased.IsZero()) && d.late(row.Clip, time.Time{}) {
		d.lifted = append(d.lifted, row)
		return nil
	}
	d.check(row, d.holds.let[row.ID])
	return nil
}

// kept says that a hold keeps the clip: of what was lost there is nothing to keep. What was lost after its deadline had passed under a
// hold waits, as a row alone, for that to be lifted.
func kept(clip retention.Clip) bool {
	return clip.Held() && (clip.State != retention.Lost || !clip.Cased.IsZero())
}

// check says what is wrong with a clip that a hold let go at let; zero if none did.
func (d *due) check(row retention.Row, let time.Time) {
	r, where := &d.result, clipAt(row.ID, row.ObjectKey)
	since := d.Now.Sub(row.Deadline).Round(time.Second)
	gone := row.State == retention.Deleting || row.State == retention.Deleted || row.State == retention.Lost
	late := d.late(row.Clip, let)
	switch {
	case gone && row.HasHeader:
		r.broken(where, mendHeader, "clip %s is %s but its header is still there", row.ID, row.State)
	case row.KeyCase == "" && !row.Cased.IsZero() && row.HasHeader:
		r.broken(where, mendDayHeader, "clip %s is held past its deadline, but the header that its day key opens is still there", row.ID)
	case kept(row.Clip):
		if row.KeyCase == "" && late && row.HasHeader {
			r.broken(where, mendSweep, "clip %s is held, but its day key could still open it %s after its deadline", row.ID, since)
		}
		return
	case late && row.HasHeader:
		r.broken(where, mendSweep, "clip %s could still be opened %s after its deadline", row.ID, since)
	case late && row.State != retention.Deleted:
		r.broken(where, mendSweep, "clip %s is %s %s after its deadline", row.ID, row.State, since)
	}
	if late && d.spooled[row.ID] {
		m := mendSweep
		if !mayHaveBytes(row.Clip) {
			m = mendSpooled
		}
		r.broken(where, m, "clip %s still lies in the spool after its deadline", row.ID)
	}
}

func (d *due) done(ctx context.Context) ([]Result, error) {
	r := &d.result
	// They may have been deleted since the store was listed.
	now, err := d.again(ctx, slices.Sorted(maps.Keys(d.traced)))
	if err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if n := len(now[key]); n > 0 {
			clip := d.traced[key]
			r.broken(clipAt(clip.ID, key), mendTraces, "clip %s has a tombstone, but the store still holds %d traces of it", clip.ID, n)
		}
	}
	// A hold may have been lifted since holds were read.
	fresh := d.holds
	if len(d.lifted) > 0 {
		if fresh, err = d.loadHolds(ctx); err != nil {
			return nil, err
		}
	}
	for _, row := range d.lifted {
		d.check(row, fresh.let[row.ID])
	}
	for _, h := range d.holds.rows {
		if !h.Over.IsZero() && (h.HasHeader || h.FileKeySize > 0) {
			r.broken(at(policy.KindHold, h.Hold), mendLetGo, "hold %s let go of clip %s, but what opens it for the case is still there", h.Hold, h.Clip)
		}
	}
	if err := d.backgrounds(ctx); err != nil {
		return nil, err
	}
	return []Result{*r}, nil
}

// backgrounds is I3 for what counters have learnt.
func (d *due) backgrounds(ctx context.Context) error {
	if d.Backgrounds == nil {
		return nil
	}
	deadlines, err := d.Backgrounds(ctx)
	if err != nil {
		return err
	}
	for _, cam := range slices.Sorted(maps.Keys(deadlines)) {
		d.result.Checked++
		if deadline := deadlines[cam]; d.Now.After(deadline.Add(d.Grace)) {
			d.result.broken(at(policy.KindCamera, string(cam)), mendBackground, "the background of camera %s could still be opened %s after its deadline", cam, d.Now.Sub(deadline).Round(time.Second))
		}
	}
	return nil
}
