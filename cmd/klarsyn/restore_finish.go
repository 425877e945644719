package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/crashpoint"
	"klarsyn/retention/database"
	"klarsyn/retention/keys"
	"klarsyn/retention/object"
)

// claimedAtOnce bounds a transaction of what is made unreadable.
const claimedAtOnce = 500

// finish makes unreadable what is past its deadline, begins another epoch, looks into the object store, and opens the rows.
func (r *restore) finish(ctx context.Context) error {
	books, _, clock, err := r.books(ctx)
	if err != nil {
		return err
	}
	if err := r.shredDue(ctx, books, clock); err != nil {
		return err
	}
	// The database's log still holds what was deleted.
	for _, db := range []rows{r.db, r.keyDB} {
		if err := db.scrub(ctx); err != nil && !errors.Is(err, database.ErrScrubBusy) {
			return err
		}
	}
	crashpoint.Here("restore.shredded")
	store, err := openObjects(ctx, r.layout, r.at, 0, r.logger)
	if err != nil {
		return err
	}
	defer store.close()
	if err := r.raise(ctx, books, store); err != nil {
		return err
	}
	crashpoint.Here("restore.raised")
	if err := r.compare(ctx, books, store); err != nil {
		return err
	}
	crashpoint.Here("restore.reconciled")
	if err := books.Reopen(ctx); err != nil {
		return err
	}
	for _, file := range []string{r.layout.catalogue(), r.layout.keyStore()} {
		if _, err := os.Stat(file); err == nil {
			if err := os.Chmod(file, 0o660); err != nil {
				return err
			}
		}
	}
	if err := os.RemoveAll(r.layout.restoringLog()); err != nil {
		return err
	}
	if err := r.layout.unmark(); err != nil {
		return err
	}
	crashpoint.Here("restore.opened")
	r.advise()
	return nil
}

func (r *restore) shredDue(ctx context.Context, books *catalogue.Catalogue, clock *retention.Clock) error {
	now, err := clock.Deleting()
	if err != nil {
		return usageError{fmt.Errorf("what is past its deadline cannot be told, and everything stays closed: %w; if the system clock is right, repeat this with --trust-clock", err)}
	}
	for {
		claimed, err := books.Claim(ctx, now, claimedAtOnce)
		if err != nil {
			return err
		}
		r.said.Due += len(claimed)
		if len(claimed) == 0 {
			return nil
		}
	}
}

// raise begins an epoch after all that rows, keys and objects know of.
func (r *restore) raise(ctx context.Context, books *catalogue.Catalogue, store objects) error {
	e, err := books.BeginEpoch(ctx)
	if err != nil {
		return err
	}
	after, err := object.LatestEpoch(ctx, store, e.Installation)
	if err != nil {
		return err
	}
	ring := &keys.Store{DB: r.keyDB.DB}
	installation, n, err := ring.Epoch(ctx)
	if err != nil {
		return err
	}
	if installation != "" && installation != e.Installation {
		return usageError{errors.New("the key store is of another installation than the catalogue: everything stays closed; give the key store's own backup with --keys-from, or move it away")}
	}
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := errors.Join(books.Raise(ctx, tx, max(after, n)), tx.Commit()); err != nil {
		return err
	}
	if e, err = books.Epoch(ctx); err != nil {
		return err
	}
	r.said.Epoch = e.Number
	if err := object.MarkEpoch(ctx, store, e.Installation, e.Number); err != nil {
		if errors.Is(err, object.ErrOtherInstallation) {
			return usageError{fmt.Errorf("everything stays closed: %w: name the store that belongs to the backup with --objects", err)}
		}
		return err
	}
	if err := object.CheckEpoch(ctx, store, e.Installation, e.Number, true); err != nil {
		return err
	}
	if err := books.EpochStored(ctx, e.Number); err != nil {
		return err
	}
	if err := ring.SetEpoch(ctx, e.Installation, e.Number); err != nil {
		return err
	}
	return books.EpochKeyed(ctx, e.Number)
}

// compare holds rows and objects against each other.
func (r *restore) compare(ctx context.Context, books *catalogue.Catalogue, store objects) error {
	seen := map[string]bool{}
	var strays []object.Trace
	for t, err := range store.Traces(ctx, "clips/") {
		if err != nil {
			return fmt.Errorf("looking into the object store: %w", err)
		}
		clip, err := books.ByKey(ctx, t.Key)
		switch {
		case err != nil && !errors.Is(err, retention.ErrNotFound):
			return err
		case err == nil && clip.State != retention.Lost && clip.State != retention.Deleted:
			if t.Kind == object.Version {
				seen[t.Key] = true
				if clip.Version == "" && t.Version != "" {
					if err := books.FoundVersion(ctx, t.Key, t.Version); err != nil {
						return err
					}
				}
			}
			continue
		}
		if len(r.said.Strays) == 0 || r.said.Strays[len(r.said.Strays)-1] != t.Key {
			r.said.Strays = append(r.said.Strays, t.Key)
		}
		strays = append(strays, t)
	}
	for row, err := range books.All(ctx) {
		if err != nil {
			return err
		}
		if row.Readable() && !seen[row.ObjectKey] {
			r.said.Missing = append(r.said.Missing, row.ID)
		}
	}
	if len(seen) == 0 && len(r.said.Missing) > 0 {
		// A disk that is not mounted looks like this, or another bucket: nothing is called lost for that.
		return usageError{fmt.Errorf("the object store holds nothing of the %d clips that the rows know: everything stays closed; mount it, or name the one that belongs to the backup with --objects, and repeat this", len(r.said.Missing))}
	}
	if !r.o.reap {
		strays = nil
	}
	for _, t := range strays { // only now: of another installation's bucket everything is a stray
		if err := books.LogOrphan(ctx, t.Key, t.Size); err != nil {
			return err
		}
		if err := reap(ctx, store, t); err != nil {
			return err
		}
		r.said.Reaped++
	}
	for _, id := range r.said.Missing {
		clip, err := books.Clip(ctx, id)
		if err != nil {
			return err
		}
		if _, err := books.Missing(ctx, clip, "its object is not in the store any more: rows and objects were of different times"); err != nil {
			return err
		}
	}
	if r.o.reap || len(r.said.Strays) == 0 {
		return books.Reconciled(ctx)
	}
	return nil
}

// advise says what is left to do.
func (r *restore) advise() {
	next := func(format string, args ...any) { r.said.Next = append(r.said.Next, fmt.Sprintf(format, args...)) }
	if r.at.catalogue != "" && r.rows != nil {
		next("deploy/roles/postgres.sh gives each process its rights again")
	}
	if len(r.said.Aside) > 0 {
		next("what was there lies in %s: headers of clips, and day keys if keys were put back: remove it when you are sure, and within keys_keep", strings.Join(r.said.Aside, " and "))
	}
	if r.rows != nil && r.keys == nil {
		next("no keys were put back: what is sealed to a day key that the key store does not have stays shut until it is deleted")
	}
	if r.said.Replayed.Applied {
		next("the description of the square was changed since: klarsyn apply -f the newest one")
	}
	for _, name := range r.said.Replayed.Accounts {
		next("account %s was changed since, and is disabled: look, then klarsyn account enable", name)
	}
	if len(r.said.Strays) > 0 && !r.o.reap {
		next("%d objects belong to no clip and stay: nothing opens them; klarsyn restore --reconcile --reap removes them", len(r.said.Strays))
	}
}

// reap removes a stray. The store's own legal hold may be set on it, where the rows that were lost held its clip: nothing opens it any
// more, and who says that it may go says it of that, too.
func reap(ctx context.Context, store objects, t object.Trace) error {
	_, err := store.Delete(ctx, t.Key)
	if !errors.Is(err, object.ErrDenied) || t.Kind != object.Version {
		return err
	}
	if lifted := store.LegalHold(ctx, t.Key, t.Version, false); lifted != nil {
		return errors.Join(err, lifted)
	}
	_, err = store.Delete(ctx, t.Key)
	return err
}
