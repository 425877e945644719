package catalogue

import (
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
)

// reserved gives a clip that the backup does not know its row again. What opened it lay in the rows that were lost.
func (r *replay) reserved(ctx context.Context, e policy.Entry) error {
	id := named(e, policy.KindClip)
	if _, err := oneClip(ctx, r.tx, `WHERE id = $1`, id); !errors.Is(err, retention.ErrNotFound) {
		return err
	}
	from, err1 := time.Parse(time.RFC3339Nano, e.Details["from"])
	deadline, err2 := time.Parse(time.RFC3339Nano, e.Details["deadline"])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	cam := camera.ID(e.Details["camera"])
	r.said.Rebuilt++
	r.fresh[id] = true
	_, err := r.exec(ctx, `INSERT INTO catalogue_clip
		(id, camera, permit, permit_version, start_us, deadline_us, state, key_day, object_key, codec, node, parent)
		VALUES ($1, $2, $3, $4, $5, $6, 'pending', $7, $8, '', '', $9)`,
		id, cam, e.Permit, e.PermitVersion, micros(from), micros(deadline), from.UTC().Format(time.DateOnly),
		retention.ObjectKey(cam, from, id), e.Details["parent"])
	return err
}

// stored says what is known of a clip that was open when the backup was made, or that it does not know.
func (r *replay) stored(ctx context.Context, e policy.Entry) error {
	state := retention.Committed
	if e.Event == policy.ClipPartial {
		state = retention.Partial
	}
	sum := e.Details["sha256"]
	if sum == "" && len(e.Hashes) > 0 {
		sum = e.Hashes[0]
	}
	hash, err1 := hex.DecodeString(sum)
	size, err2 := strconv.ParseInt(e.Details["size"], 10, 64)
	to, err3 := time.Parse(time.RFC3339Nano, e.Details["to"])
	frames, err4 := strconv.Atoi(e.Details["frames"])
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	id := named(e, policy.KindClip)
	if e.Event == policy.ClipCut {
		r.cuts = append(r.cuts, retention.PartHeld{Hold: e.Details["hold"], Case: e.Case, Clip: id, From: e.Time})
	}
	n, err := r.exec(ctx, `UPDATE catalogue_clip SET state = $1, size = $2, plain_size = $3, sha256 = $4, end_us = $5, frames = $6
		WHERE id = $7 AND state = 'pending'`, state, size, r.PlainSize(size), hash, micros(to), frames, id)
	if err == nil && n > 0 && !r.fresh[id] {
		r.said.Stored++
	}
	return err
}

func (r *replay) lost(ctx context.Context, e policy.Entry) error {
	id := named(e, policy.KindClip)
	if err := r.lose(ctx, id); err != nil {
		return err
	}
	return r.forget(ctx, id)
}

// lose says of a clip that nothing of it is left. The store's own legal hold may be set on an object that is.
func (r *replay) lose(ctx context.Context, clip string) error {
	_, err := r.exec(ctx, `UPDATE catalogue_clip SET state = 'lost', size = 0, plain_size = 0, sha256 = NULL, barrier = CASE WHEN barrier > 1 THEN 1 ELSE barrier END,
		end_us = CASE WHEN end_us = 0 THEN start_us ELSE end_us END WHERE id = $1 AND state IN ('pending', 'committed', 'partial')`, clip)
	return err
}

func (r *replay) forget(ctx context.Context, clip string) error {
	_, err := r.exec(ctx, `DELETE FROM catalogue_header WHERE clip = $1`, clip)
	return err
}

// heldOver is a deadline that passed under a hold.
func (r *replay) heldOver(ctx context.Context, e policy.Entry) error {
	id := named(e, policy.KindClip)
	clip, err := oneClip(ctx, r.tx, `WHERE id = $1`, id)
	if errors.Is(err, retention.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := r.exec(ctx, `UPDATE catalogue_clip SET cased_us = $1 WHERE id = $2 AND cased_us = 0`, micros(e.Time), id); err != nil || clip.KeyCase != "" {
		return err
	}
	return r.forget(ctx, id)
}

// shredded makes unreadable again what was. Its bytes go the way of all that is being deleted: somebody may have put them back, too.
func (r *replay) shredded(ctx context.Context, e policy.Entry) error {
	id := named(e, policy.KindClip)
	deadline, err := time.Parse(time.RFC3339Nano, e.Details["deadline"])
	if err != nil {
		return err
	}
	n, err := r.exec(ctx, `UPDATE catalogue_clip SET state = 'deleting', shredded_us = $1, deadline_us = CASE WHEN deadline_us > $2 THEN $2 ELSE deadline_us END
		WHERE id = $3 AND state NOT IN ('deleting', 'deleted')`, micros(e.Time), micros(deadline), id)
	if err != nil {
		return err
	}
	if n > 0 && !r.fresh[id] {
		r.said.Shredded++
	}
	if err := r.letGoOf(ctx, id, e.Time); err != nil { // whatever kept it had let go of it, or it was lost
		return err
	}
	// A cut that was given up is begun anew.
	if _, err := r.exec(ctx, `UPDATE catalogue_held SET cut = '' WHERE cut = $1 AND over_us = 0`, id); err != nil {
		return err
	}
	return r.forget(ctx, id)
}

// deleted makes the tombstone again of what the backup does not know. What it knows is listed once more.
func (r *replay) deleted(ctx context.Context, e policy.Entry) error {
	id := named(e, policy.KindClip)
	if !r.fresh[id] {
		return r.shredded(ctx, e)
	}
	at, err1 := time.Parse(time.RFC3339Nano, e.Details["deleted"])
	removed, err2 := strconv.Atoi(e.Details["removed"])
	listed, err3 := strconv.Atoi(e.Details["listed"])
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	_, err := r.exec(ctx, `UPDATE catalogue_clip SET state = 'deleted', deleted_us = $1, removed = $2, listed = $3,
		end_us = CASE WHEN end_us = 0 THEN start_us ELSE end_us END WHERE id = $4`, micros(at), removed, listed, id)
	return err
}

// loseWhatNothingOpens gives up the clips that were rebuilt and not deleted since: what opened them is gone. The log is told.
func (r *replay) loseWhatNothingOpens(ctx context.Context) error {
	for _, held := range r.holds {
		for _, id := range held.IDs {
			if r.fresh[id] {
				r.said.HeldLost = append(r.said.HeldLost, id)
			}
		}
	}
	left, err := clips(ctx, r.tx, `WHERE state IN ('pending', 'committed', 'partial') AND NOT EXISTS (SELECT 1 FROM catalogue_header WHERE clip = id) ORDER BY id`)
	if err != nil {
		return err
	}
	for _, clip := range left {
		if !r.fresh[clip.ID] {
			continue
		}
		if clip.Readable() {
			r.said.Lost = append(r.said.Lost, clip.ID)
		}
		if err := r.lose(ctx, clip.ID); err != nil {
			return err
		}
		if err := r.Log.Append(ctx, r.tx, policy.ClipLostEntry(r.Actor, refOf(clip), "what opened it was lost with the catalogue, and backup "+r.Backup+" does not know it")); err != nil {
			return err
		}
	}
	// What passed its deadline under a hold that could not be placed again nobody keeps, and of what is lost there is nothing to
	// keep: it is due.
	_, err = r.exec(ctx, `UPDATE catalogue_clip SET cased_us = 0
		WHERE cased_us > 0 AND (holds = 0 AND state IN ('pending', 'committed', 'partial') OR state = 'lost')`)
	return err
}

// hold does again what was done with holds.
func (r *replay) hold(ctx context.Context, e policy.Entry) error {
	id := named(e, policy.KindHold)
	switch e.Event {
	case policy.HoldPlaced:
		return r.place(ctx, id)
	case policy.HoldExtended:
		review, err := time.Parse(time.RFC3339Nano, e.After)
		if err != nil {
			return err
		}
		_, err = r.exec(ctx, `UPDATE catalogue_hold SET review_us = $1, lift_asked_us = 0, lift_asked_by = '', lift_reason = '' WHERE id = $2`, micros(review), id)
		return err
	case policy.HoldLiftAsked:
		_, err := r.exec(ctx, `UPDATE catalogue_hold SET lift_asked_us = $1, lift_asked_by = $2, lift_reason = $3 WHERE id = $4 AND lifted_us = 0`,
			micros(e.Time), e.Actor, e.Reason, id)
		return err
	}
	n, err := r.exec(ctx, `UPDATE catalogue_hold SET lifted_us = $1, lifted_by = $2 WHERE id = $3 AND lifted_us = 0`, micros(e.Time), e.Actor, id)
	if err != nil || n == 0 { // placed since, and not placed again; or another part of the same word
		return err
	}
	r.said.Lifted = append(r.said.Lifted, id)
	// What was shredded with it the log says apart: of the holds that kept a clip beside this one, not all have their rows.
	if _, err := r.exec(ctx, `UPDATE catalogue_clip SET holds = holds - 1 WHERE holds > 0
		AND id IN (SELECT clip FROM catalogue_held WHERE hold = $1 AND over_us = 0)`, id); err != nil {
		return err
	}
	// The store's own hold may have been cleared since.
	if _, err := r.exec(ctx, `UPDATE catalogue_clip SET barrier = 1 WHERE barrier = 2 AND id IN (SELECT clip FROM catalogue_held WHERE hold = $1 AND over_us = 0)`, id); err != nil {
		return err
	}
	_, err = r.exec(ctx, `UPDATE catalogue_held SET over_us = $1, header = NULL, file_key = NULL WHERE hold = $2 AND over_us = 0`, micros(e.Time), id)
	return err
}

// place places a hold again that was placed since and not lifted, on what the backup knows of its clips.
func (r *replay) place(ctx context.Context, id string) error {
	h, since := r.holds[id]
	if !since {
		return nil
	}
	if r.placed[id] {
		return nil
	}
	r.placed[id] = true
	if _, err := r.exec(ctx, `INSERT INTO catalogue_hold (id, kind, case_number, basis, requester, approver, review_us, placed_us)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING`,
		h.ID, h.Kind, h.Case, h.Basis, h.Requester, h.Approver, micros(h.Review), micros(h.Placed)); err != nil {
		return err
	}
	for _, clip := range h.IDs {
		found, err := oneClip(ctx, r.tx, `WHERE id = $1`, clip)
		if errors.Is(err, retention.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		key, sealed := r.Seals[id][clip]
		kept, err := r.keep(ctx, id, found, key)
		if err != nil {
			return err
		}
		if !kept || sealed || r.fresh[clip] { // what is lost has no key to copy: that it was held is still so
			continue
		}
		r.said.HeldLost = append(r.said.HeldLost, clip)
		if _, err := r.exec(ctx, `UPDATE catalogue_held SET over_us = $1 WHERE hold = $2 AND clip = $3`, micros(h.Placed), id, clip); err != nil {
			return err
		}
		if _, err := r.exec(ctx, `UPDATE catalogue_clip SET holds = holds - 1 WHERE id = $1`, clip); err != nil {
			return err
		}
	}
	r.said.HeldAgain = append(r.said.HeldAgain, id)
	return nil
}

// barred says of clips that were held since, be it for a while, that the store's own legal hold may be set: the backup does not know.
func (r *replay) barred(ctx context.Context, clips []string) error {
	for _, id := range clips {
		if _, err := r.exec(ctx, `UPDATE catalogue_clip SET barrier = $1 WHERE id = $2 AND barrier = $3`, int(retention.BarrierPerhaps), id, int(retention.BarrierOff)); err != nil {
			return err
		}
	}
	return nil
}

// letGoOf ends what all holds do to a clip of which nothing is left.
func (r *replay) letGoOf(ctx context.Context, clip string, at time.Time) error {
	if _, err := r.exec(ctx, `UPDATE catalogue_held SET over_us = $1, header = NULL, file_key = NULL WHERE clip = $2 AND over_us = 0`, micros(at), clip); err != nil {
		return err
	}
	_, err := r.exec(ctx, `UPDATE catalogue_clip SET holds = 0 WHERE id = $1`, clip)
	return err
}

// keep lets a hold keep a clip, all of it; false if it does already.
func (r *replay) keep(ctx context.Context, hold string, clip retention.Clip, key retention.SealedKey) (bool, error) {
	n, err := r.exec(ctx, `INSERT INTO catalogue_held (hold, clip, from_us, to_us, header, file_key) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (hold, clip) DO UPDATE SET over_us = 0, cut = '', from_us = excluded.from_us, to_us = excluded.to_us, header = excluded.header,
			file_key = excluded.file_key WHERE catalogue_held.over_us <> 0`,
		hold, clip.ID, micros(clip.Start), micros(clip.End), key.Header, key.FileKey)
	if err != nil || n == 0 {
		return false, err
	}
	_, err = r.exec(ctx, `UPDATE catalogue_clip SET holds = holds + 1 WHERE id = $1`, clip.ID)
	return true, err
}

// moveToCuts does what became of the holds on clips of which a part was cut out since. If what opens the part is lost, and the clip is
// still there, that is held on, and cut once more; else the hold keeps the part, be it lost, and lets the clip go, as the log says.
func (r *replay) moveToCuts(ctx context.Context) error {
	for _, cut := range r.cuts {
		part, err := oneClip(ctx, r.tx, `WHERE id = $1`, cut.Clip)
		if err != nil {
			return err
		}
		if part.State == retention.Deleting || part.State == retention.Deleted {
			continue
		}
		var whole, inForce bool
		if err := r.tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM catalogue_clip WHERE id = $1 AND state IN ('pending', 'committed', 'partial')),
			EXISTS (SELECT 1 FROM catalogue_hold WHERE id = $2 AND lifted_us = 0)`, part.Parent, cut.Hold).Scan(&whole, &inForce); err != nil {
			return err
		}
		if !inForce {
			continue
		}
		if whole && r.fresh[part.ID] && !r.fresh[part.Parent] {
			r.back[cut.Hold] = append(r.back[cut.Hold], part.Parent)
			continue
		}
		if _, err := r.exec(ctx, `UPDATE catalogue_held SET over_us = CASE WHEN over_us = 0 THEN $1 ELSE over_us END, cut = $2, from_us = $3, to_us = $4,
			header = NULL, file_key = NULL WHERE hold = $5 AND clip = $6`,
			micros(cut.From), part.ID, micros(part.Start), micros(part.End), cut.Hold, part.Parent); err != nil {
			return err
		}
		if _, err := r.exec(ctx, `UPDATE catalogue_clip SET holds = (SELECT COUNT(*) FROM catalogue_held WHERE clip = id AND over_us = 0) WHERE id = $1`,
			part.Parent); err != nil {
			return err
		}
		if !r.fresh[part.ID] {
			continue
		}
		if _, err := r.exec(ctx, `UPDATE catalogue_clip SET key_case = $1 WHERE id = $2`, cut.Case, part.ID); err != nil {
			return err
		}
		if _, err := r.keep(ctx, cut.Hold, part, retention.SealedKey{}); err != nil {
			return err
		}
	}
	return r.logBack(ctx)
}

// logBack says that holds keep again what their parts had been cut out of, which the log says they let go.
func (r *replay) logBack(ctx context.Context) error {
	for _, id := range slices.Sorted(maps.Keys(r.back)) {
		found, err := holds(ctx, r.tx, `WHERE id = $1`, id)
		if err != nil {
			return err
		}
		var kept []string
		for _, clip := range r.back[id] {
			var held bool
			if err := r.tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM catalogue_held WHERE hold = $1 AND clip = $2 AND over_us = 0)`, id, clip).Scan(&held); err != nil {
				return err
			}
			if held && !slices.Contains(kept, clip) {
				kept = append(kept, clip)
			}
		}
		if len(kept) == 0 {
			continue
		}
		who := policy.Subject{Name: r.Actor, Role: policy.LocalRole}
		for _, e := range policy.HoldPlacedEntries(who, entryOf(found[0], kept), policy.Approval{ID: id, By: found[0].Approver}) {
			if err := r.Log.Append(ctx, r.tx, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// Keepable are those of the clips that the rows know and that have what opens them.
func (c *Catalogue) Keepable(ctx context.Context, ids []string) ([]retention.Clip, error) {
	var all []retention.Clip
	for _, id := range ids {
		clip, err := oneClip(ctx, c.DB, `WHERE id = $1 AND state IN ('pending', 'committed', 'partial')
			AND (EXISTS (SELECT 1 FROM catalogue_header WHERE clip = id)
				OR EXISTS (SELECT 1 FROM catalogue_held WHERE clip = id AND over_us = 0 AND file_key IS NOT NULL))`, id)
		if errors.Is(err, retention.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, clip)
	}
	return all, nil
}
