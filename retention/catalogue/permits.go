package catalogue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"klarsyn/camera"
	"klarsyn/policy"
)

// ErrPermitChanged says that a permit version differs from what it said when it was activated.
var ErrPermitChanged = errors.New("a permit version never changes once it is in force: give the change a new version")

// Activate puts a permit version in force as it stands, if it is not there yet, in place of the version before. Activating
// the same again does nothing.
func (c *Catalogue) Activate(ctx context.Context, p policy.Permit) error {
	return c.within(ctx, "activating permit "+p.Ref(), func(tx *sql.Tx) error {
		if err := c.lockPermits(ctx, tx, true); err != nil {
			return err
		}
		versions, err := permitVersions(ctx, tx)
		if err != nil {
			return err
		}
		v, err := c.keepPermit(ctx, tx, versions, p)
		if err != nil || len(v.Steps) > 0 {
			return err
		}
		step := policy.Step{State: policy.Active, At: c.Now(), Actor: c.Actor}
		_, err = c.takeStep(ctx, tx, versions, p, step, policy.Subject{Name: c.Actor, Role: policy.LocalRole})
		return err
	})
}

// Permit is a permit version as it stands.
func (c *Catalogue) Permit(ctx context.Context, id string, version int) (policy.Permit, bool, error) {
	var p policy.Permit
	var document string
	err := c.DB.QueryRowContext(ctx, `SELECT document FROM catalogue_permit WHERE id = $1 AND version = $2`, id, version).Scan(&document)
	if errors.Is(err, sql.ErrNoRows) {
		return p, false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("reading permit %s@%d: %w", id, version, err)
	}
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		return p, false, fmt.Errorf("permit %s@%d in the catalogue is damaged: %w", id, version, err)
	}
	return p, true, nil
}

// Versions are all permit versions with what became of them.
func (c *Catalogue) Versions(ctx context.Context) ([]policy.Version, error) {
	return permitVersions(ctx, c.DB)
}

func permitVersions(ctx context.Context, q querier) ([]policy.Version, error) {
	rows, err := q.QueryContext(ctx, `SELECT p.id, p.version, p.document, COALESCE(s.state, ''), COALESCE(s.at_us, 0), COALESCE(s.actor, ''),
			COALESCE(s.reason, ''), COALESCE(s.unlawful, 0), COALESCE(s.effective_us, 0)
		FROM catalogue_permit p LEFT JOIN catalogue_permit_step s ON s.id = p.id AND s.version = p.version ORDER BY p.id, p.version, s.step`)
	if err != nil {
		return nil, fmt.Errorf("reading permits: %w", err)
	}
	defer rows.Close()
	var all []policy.Version
	for rows.Next() {
		var id, document string
		var version int
		var s policy.Step
		var at, unlawful, effective int64
		if err := rows.Scan(&id, &version, &document, &s.State, &at, &s.Actor, &s.Reason, &unlawful, &effective); err != nil {
			return nil, fmt.Errorf("reading permits: %w", err)
		}
		if n := len(all); n == 0 || all[n-1].Permit.ID != id || all[n-1].Permit.Version != version {
			var v policy.Version
			if err := json.Unmarshal([]byte(document), &v.Permit); err != nil {
				return nil, fmt.Errorf("permit %s@%d in the catalogue is damaged: %w", id, version, err)
			}
			all = append(all, v)
		}
		if s.State != "" {
			s.At, s.Effective, s.Unlawful = instant(at), instant(effective), unlawful != 0
			last := &all[len(all)-1]
			last.Steps = append(last.Steps, s)
		}
	}
	return all, rows.Err()
}

func findVersion(versions []policy.Version, id string, version int) (policy.Version, bool) {
	for _, v := range versions {
		if v.Permit.ID == id && v.Permit.Version == version {
			return v, true
		}
	}
	return policy.Version{}, false
}

// keepPermit writes the document of a version, or sees that it is there as it stands. A draft may be written anew.
func (c *Catalogue) keepPermit(ctx context.Context, tx *sql.Tx, versions []policy.Version, p policy.Permit) (policy.Version, error) {
	document, err := json.Marshal(p)
	if err != nil {
		return policy.Version{}, err
	}
	have, known := findVersion(versions, p.ID, p.Version)
	if known {
		old, err := json.Marshal(have.Permit)
		switch {
		case err != nil:
			return have, err
		case string(old) == string(document):
			return have, nil
		case len(have.Steps) > 0:
			return have, fmt.Errorf("permit %s: %w", p.Ref(), ErrPermitChanged)
		}
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO catalogue_permit (id, version, document, activated_us) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id, version) DO UPDATE SET document = excluded.document, activated_us = excluded.activated_us`,
		p.ID, p.Version, string(document), micros(c.Now()))
	have.Permit = p
	return have, err
}

// takeStep changes the state of a version, with all that follows for what was recorded: the version before ends, deadlines
// move down, what is unlawful falls due. It returns what became of clips.
func (c *Catalogue) takeStep(ctx context.Context, tx *sql.Tx, versions []policy.Version, p policy.Permit, s policy.Step, who policy.Subject) (Moved, error) {
	if s.State == policy.Active {
		for _, v := range versions {
			if !v.GivesWay(p) {
				continue
			}
			over := policy.Step{State: policy.Superseded, At: s.At, Actor: s.Actor, Reason: "version " + fmt.Sprint(p.Version) + " is in force"}
			if err := insertStep(ctx, tx, v.Permit, over); err != nil {
				return Moved{}, err
			}
		}
	}
	if err := insertStep(ctx, tx, p, s); err != nil {
		return Moved{}, err
	}
	entry, err := stepEntry(p, s, who)
	if err != nil {
		return Moved{}, err
	}
	if err := c.Log.Append(ctx, tx, entry); err != nil {
		return Moved{}, err
	}
	switch {
	case s.State == policy.Active:
		return c.moveDeadlines(ctx, tx, p.ID, p.Ref(), p.Until)
	case s.State == policy.Revoked && s.Unlawful:
		return c.eraseUnlawful(ctx, tx, p, s)
	}
	return Moved{}, nil
}

func insertStep(ctx context.Context, tx *sql.Tx, p policy.Permit, s policy.Step) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO catalogue_permit_step (id, version, step, state, at_us, actor, reason, unlawful, effective_us)
		VALUES ($1, $2, (SELECT COALESCE(MAX(step), 0) + 1 FROM catalogue_permit_step WHERE id = $1 AND version = $2), $3, $4, $5, $6, $7, $8)`,
		p.ID, p.Version, s.State, micros(s.At), s.Actor, s.Reason, flag(s.Unlawful), micros(s.Effective))
	return err
}

func stepEntry(p policy.Permit, s policy.Step, who policy.Subject) (policy.Entry, error) {
	ref := policy.PermitRef{ID: p.ID, Version: p.Version}
	switch s.State {
	case policy.Active:
		document, err := json.Marshal(p)
		return policy.PermitActivatedEntry(s.Actor, ref, string(document)), err
	case policy.Suspended:
		return policy.PermitSuspendedEntry(who, ref, s.Reason), nil
	case policy.Revoked:
		effective := s.Effective
		if effective.IsZero() {
			effective = s.At
		}
		return policy.PermitRevokedEntry(who, ref, s.Reason, effective), nil
	case policy.Ended:
		return policy.PermitEndedEntry(who, ref, s.Reason), nil
	}
	return policy.Entry{}, fmt.Errorf("permit %s: nobody decides that a version is %s", p.Ref(), s.State)
}

const versionState = `SELECT state FROM catalogue_permit_step WHERE id = $1 AND version = $2 ORDER BY step DESC LIMIT 1`

// inForce refuses what would be recorded under a version that is not in force any more: its recorder has not heard of that yet.
func (c *Catalogue) inForce(ctx context.Context, tx *sql.Tx, id string, version int) error {
	if err := c.lockPermits(ctx, tx, false); err != nil {
		return err
	}
	var state policy.PermitState
	err := tx.QueryRowContext(ctx, versionState, id, version).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) || err == nil && state != policy.Active {
		return fmt.Errorf("permit %s@%d is not in force: %w", id, version, camera.ErrNotPermitted)
	}
	return err
}

// Expire says of permits whose time is over that it is, once each. They let nothing be recorded since, whether that is said or not.
func (c *Catalogue) Expire(ctx context.Context) (int, error) {
	versions, err := c.Versions(ctx)
	if err != nil {
		return 0, err
	}
	now, over := c.Now(), func(v policy.Version) bool {
		return !v.Decided().Over() && v.StateAt(c.Now()) == policy.Expired
	}
	if !slices.ContainsFunc(versions, over) {
		return 0, nil
	}
	expired := 0
	err = c.within(ctx, "saying that permits expired", func(tx *sql.Tx) error {
		expired = 0
		if err := c.lockPermits(ctx, tx, true); err != nil {
			return err
		}
		versions, err := permitVersions(ctx, tx)
		if err != nil {
			return err
		}
		for _, v := range versions {
			if !over(v) {
				continue
			}
			expired++
			step := policy.Step{State: policy.Expired, At: now, Actor: c.Actor, Reason: "its time is over since " + stamp(v.Permit.Ends())}
			if err := insertStep(ctx, tx, v.Permit, step); err != nil {
				return err
			}
			if err := c.Log.Append(ctx, tx, policy.PermitExpiredEntry(c.Actor, policy.PermitRef{ID: v.Permit.ID, Version: v.Permit.Version})); err != nil {
				return err
			}
		}
		return nil
	})
	return expired, err
}
