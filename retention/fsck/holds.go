package fsck

import (
	"context"
	"errors"
	"time"

	"github.com/oklog/ulid/v2"

	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/object"
)

// holds are the rows of holds, as they were read.
type holds struct {
	byID map[string]retention.Hold
	rows []retention.HeldRow
	// inForce are the rows, by clip, of holds that keep it; let is when the last hold that kept it let go.
	inForce map[string][]retention.HeldRow
	let     map[string]time.Time
}

func (c Check) loadHolds(ctx context.Context) (*holds, error) {
	h := &holds{byID: map[string]retention.Hold{}, inForce: map[string][]retention.HeldRow{}, let: map[string]time.Time{}}
	if c.HoldBooks == nil {
		return h, nil
	}
	all, err := c.HoldBooks.Holds(ctx)
	if err != nil {
		return nil, err
	}
	for _, hold := range all {
		h.byID[hold.ID] = hold
	}
	if h.rows, err = c.HoldBooks.Held(ctx); err != nil {
		return nil, err
	}
	for _, row := range h.rows {
		if row.Over.IsZero() {
			h.inForce[row.Clip] = append(h.inForce[row.Clip], row)
		} else if row.Over.After(h.let[row.Clip]) {
			h.let[row.Clip] = row.Over
		}
	}
	return h, nil
}

// held is I4: what is held is stored, and the case that holds it can open it; holds are counted where deletion looks.
type held struct {
	Check
	holds  *holds
	stored *stored
	logged *logged
	// odd are clips to look at again; met are those with holds that have a row.
	odd    []retention.Row
	met    map[string]bool
	parts  map[string]bool // clips that were cut out of others
	kept   []retention.Row // stored clips that holds keep
	result Result
}

func (c Check) held(h *holds, s *stored, l *logged) *held {
	return &held{c, h, s, l, nil, map[string]bool{}, map[string]bool{}, nil, Result{ID: "I4", What: "what is held is stored, its case can open it, and nothing deleted it while it was held"}}
}

func (h *held) row(_ context.Context, row retention.Row) error {
	if row.Parent != "" {
		h.parts[row.ID] = true
	}
	rows := h.holds.inForce[row.ID]
	if len(rows) == 0 && !row.Held() {
		return nil
	}
	h.result.Checked++
	h.met[row.ID] = true
	if len(h.wrong(row, h.holds)) > 0 {
		h.odd = append(h.odd, row)
	} else if row.Readable() {
		h.kept = append(h.kept, row)
	}
	return nil
}

// wrong says what is wrong with a clip and what holds keep of it.
func (h *held) wrong(row retention.Row, in *holds) []Finding {
	var r Result
	rows, where := in.inForce[row.ID], clipAt(row.ID, row.ObjectKey)
	switch n := len(rows); {
	case row.Holds < n:
		r.broken(where, mendRaise, "clip %s counts %d holds, and %d keep it", row.ID, row.Holds, n)
	case row.Holds > n:
		r.broken(where, mendLower, "clip %s counts %d holds, and %d keep it", row.ID, row.Holds, n)
	}
	for _, kept := range rows {
		hold, ok := in.byID[kept.Hold]
		switch {
		case !ok:
			r.broken(where, mendHeldRow, "clip %s is held by %s, which is no hold", row.ID, kept.Hold)
			continue
		case !hold.InForce():
			r.broken(at(policy.KindHold, hold.ID), mendUnlet, "hold %s was lifted, and has not let go of clip %s", hold.ID, row.ID)
			continue
		}
		switch {
		case row.State == retention.Lost, !mayBeKept(row.Clip) && row.Size == 0: // nothing of it was ever kept
		case !mayBeKept(row.Clip):
			r.broken(where, mendHeldDelete, "clip %s is %s although hold %s keeps it", row.ID, row.State, hold.ID)
		case row.KeyCase == hold.Case && row.KeyCase != "" && !row.HasHeader:
			r.broken(where, mendHeldKey, "clip %s is held by %s and sealed to its case, but its header is gone", row.ID, hold.ID)
		case row.KeyCase != hold.Case && (!kept.HasHeader || kept.FileKeySize == 0):
			r.broken(where, mendHeldKey, "hold %s does not keep what opens clip %s", hold.ID, row.ID)
		case row.KeyCase == "" && row.HasHeader && row.HeaderHash != kept.HeaderHash:
			r.broken(where, mendHeldKey, "hold %s keeps another header of clip %s than the clip has", hold.ID, row.ID)
		}
	}
	return r.Findings
}

// mayBeKept says that there may be something to keep of the clip.
func mayBeKept(clip retention.Clip) bool { return clip.State == retention.Pending || clip.Readable() }

func (h *held) done(ctx context.Context) ([]Result, error) {
	r := &h.result
	for id, rows := range h.holds.inForce {
		if !h.met[id] {
			r.Checked++
			r.broken(at(policy.KindHold, rows[0].Hold), mendHeldRow, "hold %s keeps clip %s, which has no row", rows[0].Hold, id)
		}
	}
	if err := h.lookAgain(ctx); err != nil {
		return nil, err
	}
	for _, row := range h.stored.missing {
		if !row.Held() {
			continue
		}
		gone, err := h.missed(ctx, row)
		if err != nil {
			return nil, err
		}
		if gone {
			r.broken(clipAt(row.ID, row.ObjectKey), mendHeldObject, "clip %s is held, but its object %s is missing", row.ID, row.ObjectKey)
		}
	}
	h.ofHolds()
	h.logged.deletedWhileHeld(r)
	if err := h.opens(ctx); err != nil {
		return nil, err
	}
	if err := h.barred(ctx); err != nil {
		return nil, err
	}
	sorted(r)
	return []Result{*r}, nil
}

// lookAgain looks at what holds were placed on or lifted from meanwhile, maybe.
func (h *held) lookAgain(ctx context.Context) error {
	if len(h.odd) == 0 {
		return nil
	}
	fresh, err := h.loadHolds(ctx)
	if err != nil {
		return err
	}
	for _, row := range h.odd {
		clip, err := h.Books.Clip(ctx, row.ID)
		if errors.Is(err, retention.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		row.Clip = clip
		for _, f := range h.wrong(row, fresh) {
			h.result.add(f)
		}
	}
	return nil
}

// ofHolds says what is wrong with holds themselves, and which wait for somebody.
func (h *held) ofHolds() {
	r := &h.result
	for _, row := range h.holds.rows {
		hold, ok := h.holds.byID[row.Hold]
		if !ok || !hold.InForce() || row.Over.IsZero() || row.Cut != "" || h.parts[row.Clip] { // a part may have been given up, to be cut anew
			continue
		}
		// Of what the log says was shredded before, a restore had nothing that the hold could keep.
		if told := h.logged.told[row.Clip]; told.Shredded.IsZero() || row.Over.Before(told.Shredded) {
			r.broken(at(policy.KindHold, row.Hold), mendHeldRow, "hold %s is in force, and let go of clip %s", row.Hold, row.Clip)
		}
	}
	for _, hold := range h.holds.byID {
		if hold.InForce() && hold.Review.Before(h.Now) {
			r.warn("hold %s was to be looked at again by %s: extend it, or have it lifted", hold.ID, hold.Review.Format(time.DateOnly))
		}
	}
}

// opens tries the keys of cases.
func (h *held) opens(ctx context.Context) error {
	if len(h.holds.inForce) == 0 {
		return nil
	}
	if h.Opens == nil {
		h.result.skip("whether the keys of cases open what is held for them: %s", h.NotOpened)
		return nil
	}
	n := 0
	for id, rows := range h.holds.inForce {
		for _, row := range rows {
			hold, ok := h.holds.byID[row.Hold]
			if !ok || !h.met[id] {
				continue
			}
			err := h.Opens(ctx, id, hold.Case)
			switch {
			case err == nil, errors.Is(err, retention.ErrGone): // lifted, or lost, meanwhile
			case errors.Is(err, retention.ErrUnavailable), ctx.Err() != nil:
				return err
			default:
				h.result.broken(clipAt(id, ""), mendHeldKey, "the key of its case does not open clip %s, which hold %s keeps: %v", id, row.Hold, err)
			}
			if n++; n%progressEvery == 0 {
				h.Progress("held clips opened", n)
			}
		}
	}
	return nil
}

// barring is how long whoever sets the store's legal hold may take.
const barring = time.Minute

// barred asks the store for the second barrier.
func (h *held) barred(ctx context.Context) error {
	if h.LegallyHeld == nil {
		return nil
	}
	for i, row := range h.kept {
		if (i+1)%progressEvery == 0 {
			h.Progress("legal holds asked for", i+1)
		}
		if !h.Now.After(h.keptSince(row).Add(barring + h.Grace)) {
			continue
		}
		on, err := h.LegallyHeld(ctx, row.ObjectKey, row.Version)
		switch {
		case errors.Is(err, object.ErrNoLegalHold):
			return nil
		case errors.Is(err, object.ErrDenied):
			h.result.skip("whether the store's own legal hold is on: whoever runs fsck may not ask it")
			return nil
		case errors.Is(err, object.ErrNotFound), on: // that it is missing is said of the object
			continue
		case err != nil:
			return err
		}
		clip, err := h.Books.Clip(ctx, row.ID)
		if err != nil && !errors.Is(err, retention.ErrNotFound) {
			return err
		}
		if err == nil && clip.Held() && clip.Readable() {
			h.result.broken(clipAt(row.ID, row.ObjectKey), mendBarrier, "clip %s is held, and the store's own legal hold is not on", row.ID)
		}
	}
	return nil
}

// keptSince is when there was something to bar: the clip was held, and stored. A part is stored when it was cut out, and its id
// tells when that was.
func (h *held) keptSince(row retention.Row) time.Time {
	since := row.End
	if id, err := ulid.ParseStrict(row.ID); err == nil && row.Parent != "" {
		since = ulid.Time(id.Time())
	}
	for _, kept := range h.holds.inForce[row.ID] {
		if placed := h.holds.byID[kept.Hold].Placed; placed.After(since) {
			since = placed
		}
	}
	return since
}
