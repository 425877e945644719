package catalogue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/crashpoint"
)

const (
	partsHeld = `SELECT d.hold, h.case_number, d.clip, d.from_us, d.to_us, d.cut
		FROM catalogue_held d JOIN catalogue_hold h ON h.id = d.hold JOIN catalogue_clip p ON p.id = d.clip
		WHERE d.over_us = 0 AND h.lifted_us = 0 AND (d.hold, d.clip) > ($1, $2) AND `
	inTurn = ` ORDER BY d.hold, d.clip LIMIT $3`

	toCut = partsHeld + `d.cut = '' AND p.state IN ('committed', 'partial')
		AND (d.from_us > p.start_us OR (d.to_us <> 0 AND d.to_us < p.end_us))` + inTurn
	begunCuts = partsHeld + `d.cut <> '' AND d.cut < $4 AND EXISTS (SELECT 1 FROM catalogue_clip q WHERE q.id = d.cut AND q.state = 'pending')` + inTurn
)

// ToCut lists parts of stored clips that are held and were not cut out yet, those of the oldest hold first and from the one after after
// on: those of which the hold does not want the whole.
func (c *Catalogue) ToCut(ctx context.Context, after retention.PartHeld, limit int) ([]retention.PartHeld, error) {
	return c.partsHeld(ctx, toCut, after.Hold, after.Clip, limit)
}

// BegunCuts lists parts whose cut was begun before a time and is not there, in the same order: whoever made it has died. A cut's id
// tells when it was begun.
func (c *Catalogue) BegunCuts(ctx context.Context, before time.Time, after retention.PartHeld, limit int) ([]retention.PartHeld, error) {
	var least ulid.ULID
	if err := least.SetTime(ulid.Timestamp(before)); err != nil {
		return nil, fmt.Errorf("looking for cuts begun before %s: %w", stamp(before), err)
	}
	return c.partsHeld(ctx, begunCuts, after.Hold, after.Clip, limit, least.String())
}

func (c *Catalogue) partsHeld(ctx context.Context, query string, args ...any) ([]retention.PartHeld, error) {
	rows, err := c.DB.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("looking for what is to be cut out: %w", err)
	}
	defer rows.Close()
	var all []retention.PartHeld
	for rows.Next() {
		var p retention.PartHeld
		var from, to int64
		if err := rows.Scan(&p.Hold, &p.Case, &p.Clip, &from, &to, &p.Cut); err != nil {
			return nil, fmt.Errorf("looking for what is to be cut out: %w", err)
		}
		p.From, p.To = instant(from), instant(to)
		all = append(all, p)
	}
	return all, rows.Err()
}

// KeepWhole says that the held part of a clip is all of it, once whole fragments are kept: there is nothing to cut.
func (c *Catalogue) KeepWhole(ctx context.Context, p retention.PartHeld) error {
	_, err := c.DB.ExecContext(ctx, `UPDATE catalogue_held SET from_us = 0, to_us = 0 WHERE hold = $1 AND clip = $2`, p.Hold, p.Clip)
	if err != nil {
		return fmt.Errorf("keeping the whole of clip %s: %w", p.Clip, err)
	}
	return nil
}

// ReserveCut writes the row of a cut before its first byte exists, with its header, which is sealed to the case. It is held from
// here, and has the deadline of the clip that it is a part of. retention.ErrGone: somebody else cuts it, or the hold was lifted.
func (c *Catalogue) ReserveCut(ctx context.Context, p retention.PartHeld, cut retention.Clip, header []byte) error {
	err := c.within(ctx, "reserving a part of clip "+p.Clip, func(tx *sql.Tx) error {
		if _, err := c.lockHold(ctx, tx, p.Hold); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `UPDATE catalogue_held SET cut = $1 WHERE hold = $2 AND clip = $3 AND cut = '' AND over_us = 0`, cut.ID, p.Hold, p.Clip)
		if err := changedOne(res, err); err != nil {
			return err
		}
		parent, err := oneClip(ctx, tx, `WHERE id = $1`+c.locked(), p.Clip)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO catalogue_clip
			(id, camera, permit, permit_version, start_us, end_us, clock_flagged, deadline_us, state, key_day, object_key, codec, node, counted_us,
				frames, rule, holds, cased_us, parent, key_case)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'pending', $9, $10, $11, $12, $13, $14, $15, 1, $16, $17, $18)`,
			cut.ID, parent.Camera, parent.Permit, parent.PermitVersion, micros(cut.Start), micros(cut.End), flag(parent.ClockFlagged),
			micros(parent.Deadline), parent.KeyDay, cut.ObjectKey, parent.Codec, cut.Node, micros(parent.Counted), cut.Frames, parent.Rule,
			micros(parent.Cased), parent.ID, p.Case); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO catalogue_header (clip, header) VALUES ($1, $2)`, cut.ID, header); err != nil {
			return err
		}
		if err := insertHeld(ctx, tx, p.Hold, retention.HeldClip{Clip: cut.ID, From: cut.Start, To: cut.End}, retention.SealedKey{}); err != nil {
			return err
		}
		ref := policy.ClipRef{ID: cut.ID, Camera: string(parent.Camera), Permit: refOf(parent).Permit, Parent: parent.ID, Hold: p.Hold}
		return c.Log.Append(ctx, tx, policy.ClipReservedEntry(c.Actor, ref, cut.Start, parent.Deadline))
	})
	if err != nil {
		return err
	}
	crashpoint.Here("cut.reserved")
	return nil
}

// CommitCut says that a cut is stored: from here on the hold keeps it, and lets the clip go that it is a part of.
func (c *Catalogue) CommitCut(ctx context.Context, p retention.PartHeld, cut retention.Clip) error {
	err := c.within(ctx, "keeping a part of clip "+p.Clip, func(tx *sql.Tx) error {
		if _, err := c.lockHold(ctx, tx, p.Hold); err != nil {
			return err
		}
		// The clip before its part: in order of their ids, like everybody who locks several.
		if _, err := oneClip(ctx, tx, `WHERE id = $1`+c.locked(), p.Clip); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `UPDATE catalogue_clip SET state = 'committed', object_version = $1, size = $2, plain_size = $3, sha256 = $4
			WHERE id = $5 AND state = 'pending' AND parent <> ''`, cut.Version, cut.Size, cut.PlainSize, cut.SHA256[:], cut.ID)
		if err := changedOne(res, err); err != nil {
			return err
		}
		stored, err := oneClip(ctx, tx, `WHERE id = $1`, cut.ID)
		if err != nil {
			return err
		}
		if err := c.Log.Append(ctx, tx, policy.ClipCommittedEntry(c.Actor, refOf(stored), policy.Seal{
			SHA256: cut.SHA256, Size: cut.Size, To: stored.End, Frames: stored.Frames,
		})); err != nil {
			return err
		}
		if err := c.Log.Append(ctx, tx, policy.ClipCutEntry(c.Actor, refOf(stored), policy.Cut{
			Parent: p.Clip, Hold: p.Hold, Case: p.Case, From: stored.Start, To: stored.End, Size: cut.Size, Frames: stored.Frames, SHA256: cut.SHA256,
		})); err != nil {
			return err
		}
		return c.letGo(ctx, tx, p.Hold, p.Clip, c.Now())
	})
	if err != nil {
		return err
	}
	crashpoint.Here("cut.committed")
	return nil
}

// AbandonCut ends a cut that was begun and not stored: nobody can read what may be there of it, the sweeper removes that, and
// the part is cut anew. The clip itself was held all the time.
func (c *Catalogue) AbandonCut(ctx context.Context, p retention.PartHeld) error {
	err := c.within(ctx, "giving up a part of clip "+p.Clip, func(tx *sql.Tx) error {
		if _, err := c.lockHold(ctx, tx, p.Hold); err != nil {
			return err
		}
		cut, err := oneClip(ctx, tx, `WHERE id = $1 AND state = 'pending'`+c.locked(), p.Cut)
		if errors.Is(err, retention.ErrNotFound) {
			return retention.ErrGone // it was stored meanwhile
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE catalogue_held SET cut = '' WHERE hold = $1 AND clip = $2`, p.Hold, p.Clip); err != nil {
			return err
		}
		return c.letGo(ctx, tx, p.Hold, cut.ID, c.Now())
	})
	if err != nil {
		return err
	}
	crashpoint.Here("cut.abandoned")
	return nil
}
