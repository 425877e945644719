package fsck

import (
	"context"
	"maps"
	"slices"
	"time"

	"klarsyn/retention"
	"klarsyn/retention/object"
)

// objects is I1: what lies in the store belongs to a clip that may have bytes, or is young enough to be on its way in, or about
// to be reaped.
type objects struct {
	Check
	listed listing
	// odd are the owners of keys that are to be looked at again.
	odd map[string]retention.Clip
}

func (c Check) objects(l listing) *objects {
	return &objects{c, l, map[string]retention.Clip{}}
}

func (o *objects) row(_ context.Context, row retention.Row) error {
	d := digestOf(row.ObjectKey)
	t, there := o.listed[d]
	if !there {
		return nil
	}
	t.owned = true
	o.listed[d] = t
	if t.versions > 1 || !mayHaveBytes(row.Clip) && t.madeBefore(o.Now.Add(-o.Stray)) || row.Readable() && t.others > 0 {
		o.odd[row.ObjectKey] = row.Clip
	}
	return nil
}

func (o *objects) done(ctx context.Context) ([]Result, error) {
	r := Result{ID: "I1", What: "every object belongs to exactly one clip, or is young and reaped", Checked: len(o.listed)}
	// Since the store was listed a put may have ended, a clip may have been deleted and a stray reaped.
	now, err := o.again(ctx, slices.Sorted(maps.Keys(o.odd)))
	if err != nil {
		return nil, err
	}
	if err := o.strays(ctx, now); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(now)) {
		clip, known := o.odd[key]
		o.wrong(&r, key, now[key], clip, known)
	}
	return []Result{r}, nil
}

// strays adds the traces of objects that no clip knows.
func (o *objects) strays(ctx context.Context, to map[string][]object.Trace) error {
	limit, strays := o.Now.Add(-o.Stray), map[digest]struct{}{}
	for d, t := range o.listed {
		if !t.owned && (t.madeBefore(limit) || t.versions > 1) {
			strays[d] = struct{}{}
		}
	}
	if len(strays) == 0 {
		return nil
	}
	for t, err := range o.Store.Traces(ctx, "") { // what they are called nobody remembers
		if err != nil {
			return err
		}
		if _, ok := strays[digestOf(t.Key)]; ok {
			to[t.Key] = append(to[t.Key], t)
		}
	}
	return nil
}

// wrong says what is wrong with the traces of a key. clip is its owner, if one is known.
func (o *objects) wrong(r *Result, key string, ts []object.Trace, clip retention.Clip, known bool) {
	where := place{object: key}
	if known {
		where = clipAt(clip.ID, key)
	}
	for _, t := range ts {
		age := o.Now.Sub(t.Modified)
		switch {
		case !known && age > o.Stray:
			r.broken(where, mendStray, "object %s (%s) has no clip and is %s old", key, t.Kind, age.Round(time.Second))
		case known && !mayHaveBytes(clip) && age > o.Stray:
			r.broken(where, mendTraces, "object %s (%s) is there although clip %s is %s", key, t.Kind, clip.ID, clip.State)
		case known && clip.Readable() && t.Kind != object.Version:
			r.broken(where, mendBeside, "clip %s has a %s in the store beside its object", clip.ID, t.Kind)
		}
	}
	if versions := count(ts, object.Version); versions > 1 {
		r.broken(where, mendVersions, "object %s has %d versions: keys are written once", key, versions)
	}
}

// mayHaveBytes says that an object of the clip is no stray.
func mayHaveBytes(clip retention.Clip) bool {
	return clip.State != retention.Deleted && clip.State != retention.Lost
}
