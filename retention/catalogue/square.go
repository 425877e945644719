package catalogue

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"klarsyn/policy"
)

// ErrStale says that somebody else applied something since a change was planned.
var ErrStale = errors.New("somebody else applied a change meanwhile: look at it with klarsyn diff, and apply again")

// Declared is what holds of a square: the newest revision of what was applied.
type Declared struct {
	Revision int64 // 0: nothing was ever applied
	Document []byte
	Versions []policy.Version
}

// Revision is the number of the newest revision; 0 if there is none.
func (c *Catalogue) Revision(ctx context.Context) (int64, error) { return revision(ctx, c.DB) }

func revision(ctx context.Context, q querier) (int64, error) {
	var n int64
	if err := q.QueryRowContext(ctx, `SELECT COALESCE(MAX(revision), 0) FROM catalogue_square`).Scan(&n); err != nil {
		return 0, fmt.Errorf("reading which revision of the square holds: %w", err)
	}
	return n, nil
}

// Square is what holds now, of one moment: permits change with revisions alone.
func (c *Catalogue) Square(ctx context.Context) (Declared, error) {
	for {
		d, err := declared(ctx, c.DB)
		if err != nil {
			return d, err
		}
		if now, err := c.Revision(ctx); err != nil || now == d.Revision {
			return d, err
		}
	}
}

func declared(ctx context.Context, q querier) (Declared, error) {
	var d Declared
	var document string
	err := q.QueryRowContext(ctx, `SELECT revision, document FROM catalogue_square ORDER BY revision DESC LIMIT 1`).Scan(&d.Revision, &document)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return d, fmt.Errorf("reading the square: %w", err)
	}
	d.Document = []byte(document)
	d.Versions, err = permitVersions(ctx, q)
	return d, err
}

// PermitStep is a version whose state is to change.
type PermitStep struct {
	Permit policy.Permit
	Step   policy.Step
}

// Application is a change of what holds of a square.
type Application struct {
	Base     int64 // the revision that it was planned over
	Document []byte
	Drafts   []policy.Permit // versions to keep, without a step
	Steps    []PermitStep    // of versions to keep, in order
	Who      policy.Subject
	// Also is what else belongs to the change and stands or falls with it. It may be asked again, in another transaction.
	Also func(ctx context.Context, tx *sql.Tx) error
	// Try takes everything back when it is done: what would have come of it is told.
	Try bool
}

// Applied is what came of an application.
type Applied struct {
	Revision int64 `json:"revision"`
	Moved    Moved `json:"moved"`
}

// errTried ends a transaction that was only a try.
var errTried = errors.New("tried")

// Apply makes a change in one transaction: documents, steps, deadlines, log, and the revision that everybody polls.
func (c *Catalogue) Apply(ctx context.Context, a Application) (Applied, error) {
	var done Applied
	err := c.within(ctx, "applying the square", func(tx *sql.Tx) error {
		done = Applied{}
		if err := c.lockPermits(ctx, tx, true); err != nil {
			return err
		}
		before, err := revision(ctx, tx)
		if err != nil {
			return err
		}
		if before != a.Base {
			return ErrStale
		}
		versions, err := permitVersions(ctx, tx)
		if err != nil {
			return err
		}
		if err := c.takeSteps(ctx, tx, versions, a, &done.Moved); err != nil {
			return err
		}
		if a.Also != nil {
			if err := a.Also(ctx, tx); err != nil {
				return err
			}
		}
		done.Revision = before + 1
		sum := sha256.Sum256(a.Document)
		if _, err := tx.ExecContext(ctx, `INSERT INTO catalogue_square (revision, document, sha256, applied_us, actor) VALUES ($1, $2, $3, $4, $5)`,
			done.Revision, string(a.Document), hex.EncodeToString(sum[:]), micros(c.Now()), a.Who.Name); err != nil {
			return err
		}
		if err := c.Log.Append(ctx, tx, policy.SquareAppliedEntry(a.Who, done.Revision, sum)); err != nil {
			return err
		}
		if a.Try {
			return errTried
		}
		return nil
	})
	if errors.Is(err, errTried) {
		err = nil
	}
	return done, err
}

func (c *Catalogue) takeSteps(ctx context.Context, tx *sql.Tx, versions []policy.Version, a Application, moved *Moved) error {
	for _, p := range a.Drafts {
		if _, err := c.keepPermit(ctx, tx, versions, p); err != nil {
			return err
		}
		document, err := json.Marshal(p)
		if err != nil {
			return err
		}
		ref := policy.PermitRef{ID: p.ID, Version: p.Version}
		if err := c.Log.Append(ctx, tx, policy.PermitDraftedEntry(a.Who, ref, sha256.Sum256(document))); err != nil {
			return err
		}
	}
	for _, s := range a.Steps {
		if _, err := c.keepPermit(ctx, tx, versions, s.Permit); err != nil {
			return err
		}
		m, err := c.takeStep(ctx, tx, versions, s.Permit, s.Step, a.Who)
		if err != nil {
			return err
		}
		moved.add(m)
		// What follows sees what this one did.
		if versions, err = permitVersions(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}
