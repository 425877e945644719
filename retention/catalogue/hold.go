package catalogue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/crashpoint"
)

// PlaceHold holds the clips of h in one transaction, each with what opens it for the case. Deletion and hold meet in the row of
// a clip: what is claimed already, or past its deadline, is refused, and the reason comes back. If nothing could be held there
// is no hold. Everything is logged, also what was refused.
func (c *Catalogue) PlaceHold(ctx context.Context, who policy.Subject, h retention.Hold, keys map[string]retention.SealedKey) (held []retention.HeldClip, refused []retention.Refusal, err error) {
	err = c.within(ctx, "holding clips for case "+h.Case, func(tx *sql.Tx) error {
		held, refused = nil, nil
		var ids []string
		for _, part := range h.Clips {
			key, sealed := keys[part.Clip]
			clip, reason, err := c.raise(ctx, tx, part.Clip, sealed)
			if err != nil {
				return err
			}
			if reason != "" {
				refused = append(refused, retention.Refusal{Clip: part.Clip, Reason: reason})
				if err := c.Log.Append(ctx, tx, policy.HoldRefusedEntry(who, refOf(clip), h.Case, reason)); err != nil {
					return err
				}
				continue
			}
			if err := insertHeld(ctx, tx, h.ID, part, key); err != nil {
				return err
			}
			held, ids = append(held, part), append(ids, part.Clip)
		}
		if len(held) == 0 {
			return nil
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO catalogue_hold
			(id, kind, case_number, basis, requester, approver, camera, from_us, to_us, review_us, placed_us)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
			h.ID, h.Kind, h.Case, h.Basis, h.Requester, h.Approver, h.Camera, micros(h.From), micros(h.To), micros(h.Review), micros(h.Placed)); err != nil {
			return err
		}
		return c.logHold(ctx, tx, policy.HoldPlacedEntries(who, entryOf(h, ids), policy.Approval{ID: h.ID, By: h.Approver}))
	})
	if err != nil {
		return nil, nil, err
	}
	crashpoint.Here("hold.placed")
	return held, refused, nil
}

// raise adds a hold to a clip's row, or says why that cannot be: also if nothing was sealed to the case that would open it. The
// row is locked from here to the end of the transaction.
func (c *Catalogue) raise(ctx context.Context, tx *sql.Tx, id string, sealed bool) (retention.Clip, string, error) {
	res, err := tx.ExecContext(ctx, `UPDATE catalogue_clip SET holds = holds + 1
		WHERE id = $1 AND (state IN ('committed', 'partial') OR state = 'pending' AND parent = '')
			AND (deadline_us > $2 OR holds > 0) AND $3 = 1`, id, micros(c.Now()), flag(sealed))
	err = changedOne(res, err)
	if err != nil && !errors.Is(err, retention.ErrGone) {
		return retention.Clip{}, "", err
	}
	refused := err != nil
	clip, err := oneClip(ctx, tx, `WHERE id = $1`, id)
	if err != nil || !refused {
		return clip, "", err
	}
	switch clip.State {
	case retention.Deleting:
		return clip, "claimed for deletion already: its footage is unreadable", nil
	case retention.Deleted:
		return clip, "deleted already", nil
	case retention.Lost:
		return clip, "nothing of its footage could be kept", nil
	case retention.Pending:
		if clip.Parent != "" { // it may be given up and cut anew
			return clip, "it is being cut out of " + clip.Parent + ": hold that clip, or try again in a minute", nil
		}
	}
	if c.Now().Before(clip.Deadline) {
		return clip, "nothing opens its footage any more", nil
	}
	return clip, "its deadline has passed, at " + stamp(clip.Deadline), nil
}

func insertHeld(ctx context.Context, tx *sql.Tx, hold string, part retention.HeldClip, key retention.SealedKey) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO catalogue_held (hold, clip, from_us, to_us, header, file_key) VALUES ($1, $2, $3, $4, $5, $6)`,
		hold, part.Clip, micros(part.From), micros(part.To), key.Header, key.FileKey)
	return err
}

// AskLift says that somebody wants a hold lifted. Another person must agree: see Lift.
func (c *Catalogue) AskLift(ctx context.Context, who policy.Subject, id, reason string) error {
	return c.within(ctx, "asking to lift hold "+id, func(tx *sql.Tx) error {
		h, err := c.lockHold(ctx, tx, id)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE catalogue_hold SET lift_asked_us = $1, lift_asked_by = $2, lift_reason = $3 WHERE id = $4`,
			micros(c.Now()), who.Name, reason, id); err != nil {
			return err
		}
		return c.Log.Append(ctx, tx, policy.HoldLiftAskedEntry(who, entryOf(h, nil), reason))
	})
}

// Lift ends a hold that another person has asked to be lifted. What no other hold keeps and whose deadline has passed is
// unreadable from this instant on, and so is what was cut out for the hold: the sweeper's next pass removes it.
func (c *Catalogue) Lift(ctx context.Context, who policy.Subject, id string) error {
	err := c.within(ctx, "lifting hold "+id, func(tx *sql.Tx) error {
		h, err := c.lockHold(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case h.LiftAsked.IsZero():
			return retention.ErrNobodyAsked
		case h.LiftAskedBy == who.Name:
			return retention.ErrSamePerson
		}
		now := c.Now()
		if _, err := tx.ExecContext(ctx, `UPDATE catalogue_hold SET lifted_us = $1, lifted_by = $2 WHERE id = $3`, micros(now), who.Name, id); err != nil {
			return err
		}
		held, err := heldClips(ctx, tx, id)
		if err != nil {
			return err
		}
		// In order of their ids, as who places a hold locks them.
		slices.SortFunc(held, func(a, b retention.HeldClip) int { return strings.Compare(a.Clip, b.Clip) })
		var ids []string
		for _, part := range held {
			if !part.Over.IsZero() {
				continue
			}
			ids = append(ids, part.Clip)
			if err := c.letGo(ctx, tx, id, part.Clip, now); err != nil {
				return err
			}
		}
		if len(ids) == 0 { // it has let go of everything: what it ever kept is named
			for _, part := range held {
				ids = append(ids, part.Clip)
			}
		}
		return c.logHold(ctx, tx, policy.HoldLiftedEntries(who, entryOf(h, ids), h.LiftReason, policy.Approval{ID: h.ID, By: h.LiftAskedBy}))
	})
	if err != nil {
		return err
	}
	crashpoint.Here("lift.lifted")
	return nil
}

// letGo ends what a hold does to one clip: its copy of the key goes, and if no other hold keeps the clip, what is past its
// deadline, or was only ever there for the case, is shredded.
func (c *Catalogue) letGo(ctx context.Context, tx *sql.Tx, hold, id string, now time.Time) error {
	res, err := tx.ExecContext(ctx, `UPDATE catalogue_held SET over_us = $1, header = NULL, file_key = NULL WHERE hold = $2 AND clip = $3 AND over_us = 0`,
		micros(now), hold, id)
	if err := changedOne(res, err); err != nil {
		return err
	}
	res, err = tx.ExecContext(ctx, `UPDATE catalogue_clip SET holds = holds - 1 WHERE id = $1 AND holds > 0`, id)
	if err := changedOne(res, err); err != nil {
		return err
	}
	clip, err := oneClip(ctx, tx, `WHERE id = $1`, id)
	if err != nil {
		return err
	}
	if clip.Held() || clip.Cased.IsZero() && clip.KeyCase == "" {
		return nil // another hold keeps it, or it goes on as if it had never been held
	}
	return c.shred(ctx, tx, clip, now)
}

// shred makes a clip unreadable for good, unless it is already.
func (c *Catalogue) shred(ctx context.Context, tx *sql.Tx, clip retention.Clip, now time.Time) error {
	res, err := tx.ExecContext(ctx, `UPDATE catalogue_clip SET state = 'deleting', shredded_us = $1
		WHERE id = $2 AND holds = 0 AND state IN ('pending', 'committed', 'partial', 'lost')`, micros(now), clip.ID)
	if err = changedOne(res, err); errors.Is(err, retention.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM catalogue_header WHERE clip = $1`, clip.ID); err != nil {
		return err
	}
	return c.Log.Append(ctx, tx, policy.ClipShreddedEntry(c.Actor, refOf(clip), clip.Deadline, string(clip.State)))
}

// ExtendHold sets when somebody must look at a hold again. What was asked of lifting it before is over.
func (c *Catalogue) ExtendHold(ctx context.Context, who policy.Subject, id string, review time.Time) error {
	return c.within(ctx, "extending hold "+id, func(tx *sql.Tx) error {
		h, err := c.lockHold(ctx, tx, id)
		if err != nil {
			return err
		}
		before := h.Review
		h.Review = instant(micros(review))
		if _, err := tx.ExecContext(ctx, `UPDATE catalogue_hold SET review_us = $1, lift_asked_us = 0, lift_asked_by = '', lift_reason = '' WHERE id = $2`, micros(review), id); err != nil {
			return err
		}
		return c.Log.Append(ctx, tx, policy.HoldExtendedEntry(who, entryOf(h, nil), before, policy.Approval{ID: h.ID, By: who.Name}))
	})
}

// lockHold reads a hold that is in force and keeps it to this transaction.
func (c *Catalogue) lockHold(ctx context.Context, tx *sql.Tx, id string) (retention.Hold, error) {
	found, err := holds(ctx, tx, `WHERE id = $1`+c.locked(), id)
	if err != nil {
		return retention.Hold{}, err
	}
	if len(found) == 0 {
		return retention.Hold{}, retention.ErrNoHold
	}
	if !found[0].InForce() {
		return found[0], retention.ErrHoldLifted
	}
	return found[0], nil
}

// logHold writes what the log says of a hold, which are several entries if it has many clips.
func (c *Catalogue) logHold(ctx context.Context, tx *sql.Tx, entries []policy.Entry) error {
	for _, e := range entries {
		if err := c.Log.Append(ctx, tx, e); err != nil {
			return err
		}
	}
	return nil
}

// entryOf is what the log says of a hold.
func entryOf(h retention.Hold, clips []string) policy.Hold {
	return policy.Hold{ID: h.ID, Kind: string(h.Kind), Case: h.Case, Clips: clips, Basis: h.Basis, Requester: h.Requester, Review: h.Review}
}

// Holds lists holds, newest first, those before the id before if it is not empty: of a case, or all, and only those in force if
// asked so. The clips that they keep are not among it: see Hold.
func (c *Catalogue) Holds(ctx context.Context, caseNumber string, inForce bool, limit int, before string) ([]retention.Hold, error) {
	found, err := holds(ctx, c.DB, `WHERE (case_number = $1 OR $1 = '') AND (lifted_us = 0 OR $2 = 0) AND (id < $3 OR $3 = '') ORDER BY id DESC LIMIT $4`,
		caseNumber, flag(inForce), before, limit)
	if err != nil {
		return nil, err
	}
	return found, findCameras(ctx, c.DB, found)
}

// Hold is one hold with what it keeps, or retention.ErrNoHold.
func (c *Catalogue) Hold(ctx context.Context, id string) (retention.Hold, error) {
	found, err := holds(ctx, c.DB, `WHERE id = $1`, id)
	if err != nil {
		return retention.Hold{}, err
	}
	if len(found) == 0 {
		return retention.Hold{}, retention.ErrNoHold
	}
	if err := findCameras(ctx, c.DB, found); err != nil {
		return retention.Hold{}, err
	}
	h := found[0]
	h.Clips, err = heldClips(ctx, c.DB, id)
	return h, err
}

// findCameras says of holds whose footage they keep: a hold on a stretch of time names its camera itself.
func findCameras(ctx context.Context, q querier, holds []retention.Hold) error {
	at := map[string]*retention.Hold{}
	var ids []any
	for i := range holds {
		h := &holds[i]
		if h.Camera != "" {
			h.Cameras = []camera.ID{h.Camera}
			continue
		}
		at[h.ID] = h
		ids = append(ids, h.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := q.QueryContext(ctx, `SELECT DISTINCT d.hold, p.camera FROM catalogue_held d JOIN catalogue_clip p ON p.id = d.clip
		WHERE d.hold IN (`+numbered(1, len(ids))+`) ORDER BY d.hold, p.camera`, ids...)
	if err != nil {
		return fmt.Errorf("reading of which cameras holds are: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var hold string
		var cam camera.ID
		if err := rows.Scan(&hold, &cam); err != nil {
			return fmt.Errorf("reading of which cameras holds are: %w", err)
		}
		at[hold].Cameras = append(at[hold].Cameras, cam)
	}
	return rows.Err()
}

func holds(ctx context.Context, q querier, where string, args ...any) ([]retention.Hold, error) {
	rows, err := q.QueryContext(ctx, `SELECT id, kind, case_number, basis, requester, approver, camera, from_us, to_us, review_us, placed_us,
		lift_asked_us, lift_asked_by, lift_reason, lifted_us, lifted_by FROM catalogue_hold `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading holds: %w", err)
	}
	defer rows.Close()
	var all []retention.Hold
	for rows.Next() {
		var h retention.Hold
		var from, to, review, placed, asked, lifted int64
		if err := rows.Scan(&h.ID, &h.Kind, &h.Case, &h.Basis, &h.Requester, &h.Approver, &h.Camera, &from, &to, &review, &placed,
			&asked, &h.LiftAskedBy, &h.LiftReason, &lifted, &h.LiftedBy); err != nil {
			return nil, fmt.Errorf("reading holds: %w", err)
		}
		h.From, h.To, h.Review, h.Placed, h.LiftAsked, h.Lifted = instant(from), instant(to), instant(review), instant(placed), instant(asked), instant(lifted)
		all = append(all, h)
	}
	return all, rows.Err()
}

func heldClips(ctx context.Context, q querier, hold string) ([]retention.HeldClip, error) {
	rows, err := q.QueryContext(ctx, `SELECT clip, from_us, to_us, cut, over_us FROM catalogue_held WHERE hold = $1 ORDER BY from_us, clip`, hold)
	if err != nil {
		return nil, fmt.Errorf("reading what is held: %w", err)
	}
	defer rows.Close()
	var all []retention.HeldClip
	for rows.Next() {
		var h retention.HeldClip
		var from, to, over int64
		if err := rows.Scan(&h.Clip, &from, &to, &h.Cut, &over); err != nil {
			return nil, fmt.Errorf("reading what is held: %w", err)
		}
		h.From, h.To, h.Over = instant(from), instant(to), instant(over)
		all = append(all, h)
	}
	return all, rows.Err()
}

// Holdable lists the clips of a camera that touch [from, to) and may have footage, oldest first.
func (c *Catalogue) Holdable(ctx context.Context, cam camera.ID, from, to time.Time) ([]retention.Clip, error) {
	return clips(ctx, c.DB, `WHERE camera = $1 AND start_us < $3 AND (end_us > $2 OR end_us = 0) AND parent = ''
		AND state IN ('pending', 'committed', 'partial') ORDER BY start_us, id`, cam, micros(from), micros(to))
}

const caseKey = `SELECT header, file_key FROM catalogue_held d JOIN catalogue_hold h ON h.id = d.hold
	WHERE d.clip = $1 AND d.over_us = 0 AND h.case_number = $2 AND h.lifted_us = 0 ORDER BY d.hold LIMIT 1`

// CaseKey is what opens a held clip with the key of a case, or retention.ErrGone if no hold of the case keeps it.
func (c *Catalogue) CaseKey(ctx context.Context, clip, caseNumber string) (retention.SealedKey, error) {
	var k retention.SealedKey
	err := c.DB.QueryRowContext(ctx, caseKey, clip, caseNumber).Scan(&k.Header, &k.FileKey)
	if errors.Is(err, sql.ErrNoRows) {
		return k, retention.ErrGone
	}
	if err != nil {
		return k, fmt.Errorf("reading what opens clip %s for case %s: %w", clip, caseNumber, err)
	}
	return k, nil
}

// LogCaseKeyMinted says that a case has a key from here.
func (c *Catalogue) LogCaseKeyMinted(ctx context.Context, caseNumber string) error {
	return c.Log.Record(ctx, policy.CaseKeyMintedEntry(c.Actor, caseNumber))
}

// CasesOf lists the cases whose holds keep a clip.
func (c *Catalogue) CasesOf(ctx context.Context, clip string) ([]string, error) {
	rows, err := c.DB.QueryContext(ctx, `SELECT DISTINCT h.case_number FROM catalogue_held d JOIN catalogue_hold h ON h.id = d.hold
		WHERE d.clip = $1 AND d.over_us = 0 AND h.lifted_us = 0 ORDER BY h.case_number`, clip)
	if err != nil {
		return nil, fmt.Errorf("reading for which cases clip %s is held: %w", clip, err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}
