package catalogue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
)

// Replayed is what the log told of the time since a backup was made, and what became of it.
type Replayed struct {
	Entries   int      `json:"entries"`
	Shredded  int      `json:"shredded"`  // clips of the backup that were deleted since: unreadable again
	Moved     int      `json:"moved"`     // deadlines that came nearer
	Stored    int      `json:"stored"`    // clips that were open when the backup was made, and stored since
	Rebuilt   int      `json:"rebuilt"`   // clips that the backup does not know
	Lost      []string `json:"lost"`      // of those: what was stored, and nothing opens any more
	HeldAgain []string `json:"held"`      // holds that were placed since, and hold again
	HeldLost  []string `json:"held_lost"` // what those holds kept and nothing opens any more
	Lifted    []string `json:"lifted"`    // holds that were lifted since
	Permits   int      `json:"permits"`   // steps of permits that were taken since
	Gaps      int      `json:"gaps"`      // stretches of time of which nothing is known any more

	Accounts []string `json:"accounts"` // that were changed since
	Applied  bool     `json:"applied"`  // the description of the square was changed since
}

// Rebuilding is what replaying needs beside the log.
type Rebuilding struct {
	// Seals are what opens the clips of holds that were placed since, by hold and clip.
	Seals map[string]map[string]retention.SealedKey
	// PlainSize is how many bytes lie in an object of that size.
	PlainSize func(sealed int64) int64
	// Backup names the backup, for who reads why a clip is lost.
	Backup string
}

// Since is a hold that was placed after a backup was made, and not lifted.
type Since struct {
	retention.Hold
	IDs []string
}

// HeldSince finds the holds that were placed in the entries, and not lifted in them.
func HeldSince(entries func(func(policy.Entry) error) error) ([]Since, error) {
	var order []string
	found := map[string]*Since{}
	err := entries(func(e policy.Entry) error {
		id := named(e, policy.KindHold)
		switch e.Event {
		case policy.HoldPlaced:
			if found[id] == nil {
				review, err := time.Parse(time.RFC3339Nano, e.Details["review"])
				if err != nil {
					return fmt.Errorf("entry %s: %w", e.ID, err)
				}
				h := retention.Hold{
					ID: id, Kind: retention.HoldKind(e.Details["kind"]), Case: e.Case, Basis: e.Reason, Requester: e.Details["requester"],
					Approver: e.Approver, Review: review, Placed: e.Time,
				}
				if h.Kind == "" {
					h.Kind = retention.Evidence
				}
				found[id] = &Since{Hold: h}
				order = append(order, id)
			}
			found[id].IDs = append(found[id].IDs, strings.Fields(e.Details["clips"])...)
		case policy.HoldLifted:
			delete(found, id)
		}
		return nil
	})
	var all []Since
	for _, id := range order {
		if h := found[id]; h != nil {
			all = append(all, *h)
		}
	}
	return all, err
}

// named is the id of what an entry is about, if it is of that kind.
func named(e policy.Entry, kind policy.Kind) string {
	id, ok := strings.CutPrefix(e.Object, kind.Of(""))
	if !ok {
		return ""
	}
	return id
}

// replay applies entries to rows of a backup. Nothing of it is logged: the log says it already.
type replay struct {
	*Catalogue
	Rebuilding
	tx    *sql.Tx
	said  Replayed
	holds map[string]Since
	fresh map[string]bool      // clips that were rebuilt
	cuts  []retention.PartHeld // parts that were cut out since: Clip is the part, From when it was
	// placed are the holds that were placed again, back the clips that holds keep again since a part of them is lost.
	placed map[string]bool
	back   map[string][]string
}

// Replay does to the rows of a backup what the log says was done since: what was deleted is deleted again, in the order in which it
// was. Clips that the backup does not know get a row again, so that what lies in the store has one: what opened them is gone. The
// caller has taken the entries into the log, in the same transaction.
func (c *Catalogue) Replay(ctx context.Context, tx *sql.Tx, entries func(func(policy.Entry) error) error, b Rebuilding) (Replayed, error) {
	r := &replay{Catalogue: c, Rebuilding: b, tx: tx, holds: map[string]Since{}, fresh: map[string]bool{}, placed: map[string]bool{}, back: map[string][]string{}}
	since, err := HeldSince(entries)
	if err != nil {
		return r.said, err
	}
	for _, h := range since {
		r.holds[h.ID] = h
	}
	err = entries(func(e policy.Entry) error {
		r.said.Entries++
		if err := r.take(ctx, e); err != nil {
			return fmt.Errorf("replaying entry %s (%s): %w", e.ID, e.Event, err)
		}
		return nil
	})
	if err == nil {
		err = r.moveToCuts(ctx)
	}
	if err == nil {
		err = r.loseWhatNothingOpens(ctx)
	}
	if err == nil {
		err = r.fillTimelines(ctx)
	}
	return r.said, err
}

func (r *replay) exec(ctx context.Context, query string, args ...any) (int, error) {
	res, err := r.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}

func (r *replay) take(ctx context.Context, e policy.Entry) error {
	switch e.Event {
	case policy.ClipReserved:
		if err := r.reserved(ctx, e); err != nil || e.Details["hold"] == "" {
			return err
		}
		return r.barred(ctx, []string{named(e, policy.KindClip)})
	case policy.ClipCommitted, policy.ClipPartial, policy.ClipCut:
		return r.stored(ctx, e)
	case policy.ClipLost:
		return r.lost(ctx, e)
	case policy.DeletionPlanned:
		after, err := time.Parse(time.RFC3339Nano, e.After)
		if err != nil {
			return err
		}
		n, err := r.exec(ctx, `UPDATE catalogue_clip SET deadline_us = $1, rule = $2 WHERE id = $3 AND deadline_us > $1`,
			micros(after), fmt.Sprintf("%s@%d", e.Permit, e.PermitVersion), named(e, policy.KindClip))
		r.said.Moved += n
		return err
	case policy.ClipHeldOver:
		return r.heldOver(ctx, e)
	case policy.ClipShredded:
		return r.shredded(ctx, e)
	case policy.ClipDeleted:
		return r.deleted(ctx, e)
	case policy.HoldPlaced:
		if err := r.hold(ctx, e); err != nil {
			return err
		}
		return r.barred(ctx, strings.Fields(e.Details["clips"]))
	case policy.HoldExtended, policy.HoldLiftAsked, policy.HoldLifted:
		return r.hold(ctx, e)
	case policy.PermitDrafted, policy.PermitActivated, policy.PermitSuspended, policy.PermitExpired, policy.PermitRevoked, policy.PermitEnded:
		return r.permit(ctx, e)
	case policy.DayKeyDestroyed:
		k, ok := policy.DayKeyOf(e)
		if !ok {
			return nil
		}
		_, err := r.exec(ctx, `DELETE FROM catalogue_recipient WHERE permit = $1 AND day = $2`, k.Permit, k.Day)
		return err
	case policy.SquareApplied:
		r.said.Applied = true
	case policy.AccountChanged:
		r.said.Accounts = append(r.said.Accounts, named(e, policy.KindAccount))
	}
	return nil
}

// permit takes a step of a permit version again; one that the backup does not know comes with its document.
func (r *replay) permit(ctx context.Context, e policy.Entry) error {
	versions, err := permitVersions(ctx, r.tx)
	if err != nil {
		return err
	}
	state := map[policy.Event]policy.PermitState{
		policy.PermitActivated: policy.Active, policy.PermitSuspended: policy.Suspended, policy.PermitExpired: policy.Expired,
		policy.PermitRevoked: policy.Revoked, policy.PermitEnded: policy.Ended,
	}[e.Event]
	if state == "" { // a draft lets nothing be recorded
		return nil
	}
	step := policy.Step{State: state, At: e.Time, Actor: e.Actor, Reason: e.Reason}
	if text := e.Details["effective"]; text != "" {
		if step.Effective, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return err
		}
	}
	v, known := findVersion(versions, e.Permit, e.PermitVersion)
	if state == policy.Active {
		if err := json.Unmarshal([]byte(e.Details["document"]), &v.Permit); err != nil {
			return err
		}
		if !known || len(v.Steps) == 0 {
			if _, err := r.exec(ctx, `INSERT INTO catalogue_permit (id, version, document, activated_us) VALUES ($1, $2, $3, $4)
				ON CONFLICT (id, version) DO UPDATE SET document = excluded.document, activated_us = excluded.activated_us`,
				e.Permit, e.PermitVersion, e.Details["document"], micros(e.Time)); err != nil {
				return err
			}
		}
		for _, other := range versions {
			if !other.GivesWay(v.Permit) {
				continue
			}
			over := policy.Step{State: policy.Superseded, At: step.At, Actor: step.Actor, Reason: fmt.Sprintf("version %d is in force", e.PermitVersion)}
			if err := insertStep(ctx, r.tx, other.Permit, over); err != nil {
				return err
			}
		}
	} else if !known {
		return errors.New("of a permit version that neither the backup nor the log has")
	}
	r.said.Permits++
	return insertStep(ctx, r.tx, v.Permit, step)
}

// fillTimelines says of the time of which nothing is known any more that it was our fault.
func (r *replay) fillTimelines(ctx context.Context) error {
	if len(r.fresh) == 0 {
		return nil
	}
	var cams []camera.ID
	rows, err := r.tx.QueryContext(ctx, `SELECT DISTINCT camera FROM catalogue_clip WHERE parent = '' ORDER BY camera`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var cam camera.ID
		if err := rows.Scan(&cam); err != nil {
			return err
		}
		cams = append(cams, cam)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, cam := range cams {
		if err := r.fillTimeline(ctx, cam); err != nil {
			return err
		}
	}
	return nil
}

func (r *replay) fillTimeline(ctx context.Context, cam camera.ID) error {
	type stretch struct{ from, to int64 }
	var all []stretch
	rows, err := r.tx.QueryContext(ctx, `SELECT start_us AS a, CASE WHEN end_us = 0 THEN start_us ELSE end_us END FROM catalogue_clip WHERE camera = $1 AND parent = ''
		UNION ALL SELECT from_us, to_us FROM catalogue_gap WHERE camera = $1 ORDER BY 1, 2`, cam)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var s stretch
		if err := rows.Scan(&s.from, &s.to); err != nil {
			return err
		}
		all = append(all, s)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	at := int64(0)
	for i, s := range all {
		if s.to == 0 && i < len(all)-1 { // a gap that was open when the backup was made ended where the next clip begins
			s.to = all[i+1].from
			if _, err := r.exec(ctx, `UPDATE catalogue_gap SET to_us = $1 WHERE camera = $2 AND to_us = 0`, s.to, cam); err != nil {
				return err
			}
		}
		if at != 0 && s.from > at {
			r.said.Gaps++
			if err := insertGap(ctx, r.tx, unaccounted(cam), instant(at), instant(s.from)); err != nil {
				return err
			}
		}
		at = max(at, s.to, s.from)
	}
	return nil
}
