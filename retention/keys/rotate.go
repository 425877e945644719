package keys

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"klarsyn/retention/crashpoint"
)

// Generations is a master key in the hands of who rotates it.
type Generations interface {
	// Name is the master key's, whichever generation seals.
	Name() string
	// Renew has another key or version seal from here; what lies under the one before still opens. It may be repeated.
	Renew(ctx context.Context) error
	// Current reports whether something lies under what seals now.
	Current(ctx context.Context, sealed []byte) (bool, error)
	// Forget destroys all generations before that. It may be repeated.
	Forget(ctx context.Context) error
}

// Master is a master key that can do all: seal, open, and be rotated.
type Master interface {
	Sealer
	Opener
	Generations
}

// Former is a master key that is being left for another one.
type Former interface {
	Opener
	// Destroy destroys it whole. It may be repeated.
	Destroy(ctx context.Context) error
}

// Rotated is what a rotation did.
type Rotated struct {
	Master  string `json:"master"`  // under which keys are sealed from here
	Version int64  `json:"version"` // of that
	Left    string `json:"left"`    // which one was left
	Days    int    `json:"days"`    // keys that were resealed in this run
	Cases   int    `json:"cases"`
}

// Rotation reseals every day key and case key under another master key, or under a new generation of the same, and destroys what
// they were sealed under before. It touches no clip. Killed between any two steps, it is ended by being run again.
type Rotation struct {
	Store *Store
	To    Master
	// Exclude keeps everybody from inserting keys until tx ends, where a transaction alone does not.
	Exclude func(ctx context.Context, tx *sql.Tx) error
	// Log says in the audit log what is about to be destroyed.
	Log func(ctx context.Context, done Rotated) error
	// Scrub empties what the database keeps of replaced rows.
	Scrub func(ctx context.Context) error

	from     Former // another master key, to be left; nil: To gets a new generation
	fromName string
}

// Leave has the rotation move the keys from another master key, called name, if they lie under that one; else To is renewed.
func (r *Rotation) Leave(ctx context.Context, from Former, name string) error {
	held, err := masterOf(ctx, r.Store.DB)
	if err != nil {
		return err
	}
	there := provider(held.Name) == r.To.Name()
	if there && held.step == "" || there && provider(held.leaving) == r.To.Name() {
		return nil
	}
	r.from, r.fromName = from, name
	return nil
}

// Leaving is the master key that a rotation under way is leaving; empty if none is under way.
func Leaving(ctx context.Context, db *sql.DB) (string, error) {
	held, err := masterOf(ctx, db)
	if err != nil || held.step == "" {
		return "", err
	}
	return provider(held.leaving), nil
}

// The steps of a rotation that are kept in the key store.
const (
	resealing  = "resealing"
	destroying = "destroying" // it was logged
)

// Run begins a rotation, or ends the one that is under way.
func (r *Rotation) Run(ctx context.Context) (done Rotated, err error) {
	held, err := masterOf(ctx, r.Store.DB)
	if err != nil {
		return done, err
	}
	if held.step == "" && r.from == nil {
		if err := r.To.Renew(ctx); err != nil {
			return done, err
		}
	}
	mark, err := r.proven(ctx)
	if err != nil {
		return done, err
	}
	if held.step != "" {
		if err := r.same(held, mark); err != nil {
			return done, err
		}
	} else {
		held.leaving = held.Name
		if held.Name == "" { // it was never rotated: which generation it was nobody noted
			held.leaving = r.To.Name()
		}
		if r.from != nil {
			held.leaving = r.fromName
		}
	}
	held.Mark = mark
	if held.step != destroying {
		held.step = resealing
	}
	// From here nothing is kept that was sealed before: what is there now is all that is to be resealed.
	if err := r.hold(ctx, held); err != nil {
		return done, err
	}
	crashpoint.Here("rotate.fenced")
	done = Rotated{Master: mark.Name, Version: mark.Version, Left: held.leaving}
	if err := r.reseal(ctx, &done); err != nil {
		return done, err
	}
	crashpoint.Here("rotate.resealed")
	return done, r.end(ctx, held, done)
}

// end destroys the master key that was left, which nothing needs any more, with a word in the log before.
func (r *Rotation) end(ctx context.Context, held masterRow, done Rotated) error {
	if held.step != destroying {
		if err := r.Log(ctx, done); err != nil {
			return err
		}
		crashpoint.Here("rotate.logged")
		held.step = destroying
		if err := r.hold(ctx, held); err != nil {
			return err
		}
	}
	crashpoint.Here("rotate.announced")
	destroy := r.To.Forget
	if r.from != nil {
		destroy = r.from.Destroy
	}
	if err := destroy(ctx); err != nil {
		return fmt.Errorf("every key is resealed, but the master key before is still there: %w", err)
	}
	crashpoint.Here("rotate.destroyed")
	if err := r.Scrub(ctx); err != nil {
		return err
	}
	crashpoint.Here("rotate.scrubbed")
	held.step, held.leaving = "", ""
	return r.hold(ctx, held)
}

// same refuses to mix two rotations.
func (r *Rotation) same(held masterRow, mark Mark) error {
	if provider(held.Name) != provider(mark.Name) {
		return fmt.Errorf("a rotation to the master key %s is under way: end it first, with that one as master", held.Name)
	}
	if r.from == nil && held.leaving != "" && provider(held.leaving) != provider(held.Name) {
		return fmt.Errorf("a rotation away from the master key %s is under way: end it first, with that one as master_before", held.leaving)
	}
	return nil
}

// provider is the part of a master key's name that outlives its renewal.
func provider(name string) string {
	if strings.HasPrefix(name, localName+":") {
		return localName
	}
	return name
}

// proven shows that the master key to be opens what it seals, before anything depends on it.
func (r *Rotation) proven(ctx context.Context) (Mark, error) {
	probe := []byte(rand.Text())
	sealed, mark, err := r.To.Seal(ctx, probe)
	if err != nil {
		return mark, err
	}
	plain, err := r.To.Open(ctx, sealed)
	if err == nil && !bytes.Equal(plain, probe) {
		err = errors.New("it opens something else than was sealed")
	}
	if err != nil {
		return mark, fmt.Errorf("the master key %s does not open what it seals: %w", mark.Name, err)
	}
	if current, err := r.To.Current(ctx, sealed); err != nil || !current {
		return mark, errors.Join(err, fmt.Errorf("the halves of the master key %s do not fit: restore both from your backup", mark.Name))
	}
	return mark, nil
}

// hold says which master key holds, while nobody else inserts a key.
func (r *Rotation) hold(ctx context.Context, held masterRow) error {
	tx, err := r.Store.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if r.Exclude != nil {
		if err := r.Exclude(ctx, tx); err != nil {
			return fmt.Errorf("keeping others from minting: %w; run this as the owner of the key store", err)
		}
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO keys_master (one, name, version, leaving, step, since_us) VALUES (1, $1, $2, $3, $4, $5)
		ON CONFLICT (one) DO UPDATE SET name = excluded.name, version = excluded.version, leaving = excluded.leaving, step = excluded.step, since_us = excluded.since_us`,
		held.Name, held.Version, held.leaving, held.step, r.Store.Now().UnixMicro())
	if err != nil {
		return fmt.Errorf("noting which master key holds: %w; run this as the owner of the key store", err)
	}
	return tx.Commit()
}

// sealedRow is a key in the key store.
type sealedRow struct {
	table   string
	columns []string // of its primary key
	args    []any    // their values
	name    string   // for people
}

// where finds the row, with parameters from number first on.
func (r sealedRow) where(first int) string {
	var terms []string
	for i, c := range r.columns {
		terms = append(terms, fmt.Sprintf("%s = $%d", c, first+i))
	}
	return strings.Join(terms, " AND ")
}

// reseal puts every key under the master key that holds, one by one, and looks at all of them once more.
func (r *Rotation) reseal(ctx context.Context, done *Rotated) error {
	rows, err := r.rows(ctx)
	if err != nil {
		return err
	}
	for _, row := range rows {
		changed, err := r.resealRow(ctx, row)
		if err != nil {
			return fmt.Errorf("resealing %s: %w", row.name, err)
		}
		if changed {
			if row.table == "keys_day" {
				done.Days++
			} else {
				done.Cases++
			}
			crashpoint.Here("rotate.row")
		}
	}
	// Nothing may be left that only what is destroyed next would open.
	if rows, err = r.rows(ctx); err != nil {
		return err
	}
	for _, row := range rows {
		sealed, there, err := r.read(ctx, row)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		if current, err := r.To.Current(ctx, sealed); err != nil || !current {
			return errors.Join(err, fmt.Errorf("%s is not sealed under the master key %s yet: run this again", row.name, done.Master))
		}
	}
	return nil
}

func (r *Rotation) resealRow(ctx context.Context, row sealedRow) (bool, error) {
	before, there, err := r.read(ctx, row)
	if err != nil || !there {
		return false, err
	}
	if current, err := r.To.Current(ctx, before); err != nil || current {
		return false, err
	}
	plain, err := r.open(ctx, before)
	if err != nil {
		return false, err
	}
	after, _, err := r.To.Seal(ctx, plain)
	if err != nil {
		return false, err
	}
	// Only over what was read: a key that was destroyed meanwhile must not come back, nor an older one replace a newer one.
	args := append([]any{after, before}, row.args...)
	//nolint:gosec // of names that stand below, and of nothing from outside
	res, err := r.Store.DB.ExecContext(ctx, `UPDATE `+row.table+` SET sealed = $1 WHERE sealed = $2 AND `+row.where(3), args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// open opens a key under the master key that holds, or under the one that is left.
func (r *Rotation) open(ctx context.Context, sealed []byte) ([]byte, error) {
	plain, err := r.To.Open(ctx, sealed)
	if r.from != nil && errors.Is(err, ErrForeign) {
		plain, err = r.from.Open(ctx, sealed)
	}
	if errors.Is(err, ErrForeign) {
		return nil, fmt.Errorf("neither the master key that holds nor the one before opens it, so that neither is destroyed; restore the key store from its backup: %w", err)
	}
	return plain, err
}

func (r *Rotation) read(ctx context.Context, row sealedRow) (sealed []byte, there bool, err error) {
	err = r.Store.DB.QueryRowContext(ctx, `SELECT sealed FROM `+row.table+` WHERE `+row.where(1), row.args...).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading %s: %w", row.name, err)
	}
	return sealed, true, nil
}

// rows are all keys there are.
func (r *Rotation) rows(ctx context.Context) ([]sealedRow, error) {
	var all []sealedRow
	days, err := r.Store.Before(ctx, "9999-12-31")
	if err != nil {
		return nil, err
	}
	for _, k := range days {
		all = append(all, sealedRow{"keys_day", []string{"permit", "day"}, []any{k.Permit, k.Day}, "the day key " + k.Permit + " " + k.Day})
	}
	cases, err := r.Store.Cases(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range cases {
		all = append(all, sealedRow{"keys_case", []string{"case_number"}, []any{c}, "the key of case " + c})
	}
	return all, nil
}
