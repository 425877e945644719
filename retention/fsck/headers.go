package fsck

import (
	"context"

	"klarsyn/policy"
	"klarsyn/retention"
)

// headers is as much of I9 as can be seen without a key: two clips with one file key would have been sealed with one header. A
// hold keeps the header of the clip that it holds, and of no other.
type headers struct {
	Check
	// seen are the headers of clips; kept those that holds keep, with the clip that each is of. twice are those found again, with
	// the rows that have them.
	seen   map[digest]struct{}
	kept   map[digest]string
	twice  map[digest][]retention.Row
	result Result
}

func (c Check) headers(h *holds) *headers {
	r := &headers{Check: c, seen: map[digest]struct{}{}, kept: map[digest]string{}, twice: map[digest][]retention.Row{}}
	r.result = Result{ID: "I9", What: "no sealed header serves two clips"}
	for _, row := range h.rows {
		if !row.HasHeader {
			continue
		}
		r.result.Checked++
		d := digest(row.HeaderHash[:16])
		other, ok := r.kept[d]
		if ok && other != row.Clip {
			r.result.broken(at(policy.KindHold, row.Hold), mendTwoHeaders, "hold %s keeps one header for clips %s and %s", row.Hold, other, row.Clip)
		}
		if !ok {
			r.kept[d] = row.Clip
		}
	}
	return r
}

func (h *headers) row(_ context.Context, row retention.Row) error {
	if !row.HasHeader {
		return nil
	}
	h.result.Checked++
	d := digest(row.HeaderHash[:16])
	if owner, ok := h.kept[d]; ok { // whose it is a hold knows: each other clip that has it is told of once
		if owner != row.ID {
			h.shared(row, owner)
		}
	} else if _, ok := h.seen[d]; ok {
		h.twice[d] = append(h.twice[d], row)
	}
	h.seen[d] = struct{}{}
	return nil
}

func (h *headers) shared(row retention.Row, other string) {
	h.result.broken(clipAt(row.ID, row.ObjectKey), mendTwoHeaders, "clips %s and %s have the same header", other, row.ID)
}

func (h *headers) done(ctx context.Context) ([]Result, error) {
	if len(h.twice) > 0 {
		// Who had them first nobody remembers: of a header without a fault nothing is kept but that it was seen.
		for row, err := range h.Books.All(ctx) {
			if err != nil {
				return nil, err
			}
			d := digest(row.HeaderHash[:16])
			others, ok := h.twice[d]
			if !ok || !row.HasHeader {
				continue
			}
			delete(h.twice, d) // rows come in one order: the first that has it comes first again
			for _, other := range others {
				if other.ID != row.ID {
					h.shared(other, row.ID)
				}
			}
		}
	}
	return []Result{h.result}, nil
}
