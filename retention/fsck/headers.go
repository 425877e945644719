package fsck

import (
	"context"

	"klarsyn/policy"
	"klarsyn/retention"
)

// headers is as much of I9 as can be seen without a key: two clips with one file key would have been sealed with one header. A
// hold keeps the header of the clip that it holds, and of no other.
type headers struct {
	seen   map[digest]string
	result Result
}

func headersOf(h *holds) *headers {
	r := &headers{map[digest]string{}, Result{ID: "I9", What: "no sealed header serves two clips"}}
	for _, row := range h.rows {
		if !row.HasHeader {
			continue
		}
		r.result.Checked++
		d := digest(row.HeaderHash[:16])
		if other, ok := r.seen[d]; ok && other != row.Clip {
			r.result.broken(at(policy.KindHold, row.Hold), mendTwoHeaders, "hold %s keeps one header for clips %s and %s", row.Hold, other, row.Clip)
		}
		r.seen[d] = row.Clip
	}
	return r
}

func (h *headers) row(_ context.Context, row retention.Row) error {
	if !row.HasHeader {
		return nil
	}
	h.result.Checked++
	d := digest(row.HeaderHash[:16])
	if other, ok := h.seen[d]; ok && other != row.ID {
		h.result.broken(clipAt(row.ID, row.ObjectKey), mendTwoHeaders, "clips %s and %s have the same header", other, row.ID)
	}
	h.seen[d] = row.ID
	return nil
}

func (h *headers) done(context.Context) ([]Result, error) { return []Result{h.result}, nil }
