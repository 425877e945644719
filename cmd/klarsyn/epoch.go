package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
	"klarsyn/retention/keys"
	"klarsyn/retention/object"
	"klarsyn/retention/object/s3"
)

// epochEvery is the time between two looks at the epoch of a running process.
const epochEvery = 10 * time.Second

// epochWatch is what a process knows of the epoch that its rows are of.
type epochWatch struct {
	rights  s3.Right
	checked bool // the object store was asked, and belongs to the rows
	looked  time.Time
	unasked bool // it could not be asked, as was said
}

// restoringPath is the marker of a data directory into which a backup is being put back.
func (l layout) restoring() string { return filepath.Join(l.root, "restoring") }

// restoringLog is where the log of a catalogue that was moved aside is exported to meanwhile.
func (l layout) restoringLog() string { return l.restoring() + ".log" }

// closedError is why nobody may serve, record or delete.
func closedError(root, backup string) error {
	return usageError{fmt.Errorf("%s is closed: backup %s is being put back, and what was deleted since it was made was not deleted again yet; finish it by repeating the klarsyn restore that was begun", root, backup)}
}

// open is an error while a backup is being put back into the data directory.
func (l layout) open() error {
	m, err := l.marker()
	if err != nil {
		return fmt.Errorf("%s may be closed: %w", l.root, err)
	}
	if m.Backup == "" {
		return nil
	}
	return closedError(l.root, m.Backup)
}

// mend is what is to be done where rows, objects and keys are not of the same time.
func mend(err error, root string) error {
	return usageError{fmt.Errorf("%w; nothing is served, recorded or deleted: put the newest backup back with klarsyn restore, or, if these rows are to hold, run klarsyn restore --reconcile --data %s", err, root)}
}

// beginEpoch gives rows their installation, where this process may: a file's rows by whoever opens it, a server's by their owner.
func beginEpoch(ctx context.Context, db rows) (catalogue.Epoch, error) {
	books := &catalogue.Catalogue{DB: db.DB, Dialect: db.dialect}
	if db.dialect == database.SQLite {
		return books.BeginEpoch(ctx)
	}
	e, err := books.Epoch(ctx)
	if errors.Is(err, catalogue.ErrNoEpoch) {
		err = usageError{err}
	}
	return e, err
}

// checkEpoch refuses rows that are being put back, and rows that are older than the objects beside them, or another
// installation's. A store that cannot be reached is asked again as soon as it can be.
func (s *site) checkEpoch(ctx context.Context) error {
	e, err := beginEpoch(ctx, s.db)
	if err != nil {
		return err
	}
	if e.Restoring != "" {
		return closedError("the catalogue", e.Restoring)
	}
	if s.epoch.rights == 0 { // it touches no object
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeProbeTime)
	defer cancel()
	err = object.CheckEpoch(ctx, s.store, e.Installation, e.Number, e.Stored)
	if errors.Is(err, object.ErrLaterEpoch) {
		// A backup may have begun the next one since the row was read.
		again, readErr := beginEpoch(ctx, s.db)
		if readErr != nil {
			return readErr
		}
		if again.Number != e.Number {
			e = again
			err = object.CheckEpoch(ctx, s.store, e.Installation, e.Number, e.Stored)
		}
	}
	switch {
	case errors.Is(err, object.ErrNotMarked) && s.epoch.checked:
		// It was marked before: a server that denies for a moment looks like one that holds nothing.
		s.epochUnasked("the object store does not show any more that it belongs to this catalogue: asked again", err)
		return nil
	case errors.Is(err, object.ErrOtherInstallation), errors.Is(err, object.ErrLaterEpoch), errors.Is(err, object.ErrNotMarked):
		return mend(err, s.layout.root)
	case err != nil:
		s.epochUnasked("the object store could not be asked whether it belongs to this catalogue: asked again", err)
		return nil
	}
	if !e.Stored && s.epoch.rights&s3.Put != 0 {
		if err := s.markEpoch(ctx, e); err != nil {
			if errors.Is(err, object.ErrOtherInstallation) {
				return mend(err, s.layout.root)
			}
			s.epochUnasked("the object store could not be told of the catalogue's epoch: told again", err)
			return nil
		}
	}
	s.epoch.checked, s.epoch.unasked = true, false
	return nil
}

// epochUnasked says once that the store could not be asked.
func (s *site) epochUnasked(what string, err error) {
	if !s.epoch.unasked {
		s.logger.Error(what, "err", err)
	}
	s.epoch.unasked = true
}

// markEpoch tells the store of the epoch, and notes that it was told once it can be read there: who may only put would
// take another installation's marker for its own.
func (s *site) markEpoch(ctx context.Context, e catalogue.Epoch) error {
	if err := object.MarkEpoch(ctx, s.store, e.Installation, e.Number); err != nil {
		return err
	}
	if err := object.CheckEpoch(ctx, s.store, e.Installation, e.Number, true); err != nil {
		return err
	}
	return (&catalogue.Catalogue{DB: s.db.DB, Dialect: s.db.dialect}).EpochStored(ctx, e.Number)
}

// followEpoch asks a store that could not be asked before, and tells it of epochs that began since. It is called once a second.
func (s *site) followEpoch(ctx context.Context) error {
	if s.epoch.checked && time.Since(s.epoch.looked) < epochEvery {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*storeProbeTime)
	defer cancel()
	s.epoch.looked = time.Now()
	if s.epoch.checked && s.epoch.rights&s3.Put == 0 {
		e, err := s.catalogue("service").Epoch(ctx)
		if err == nil && e.Restoring != "" {
			return closedError("the catalogue", e.Restoring)
		}
		return err
	}
	return s.checkEpoch(ctx)
}

// checkKeyEpoch refuses keys of another installation or another time than the rows.
func checkKeyEpoch(ctx context.Context, l layout, db, keyDB rows, tell bool) error {
	e, err := beginEpoch(ctx, db)
	if err != nil {
		return err
	}
	ring := &keys.Store{DB: keyDB.DB}
	installation, n, err := ring.Epoch(ctx)
	if err != nil {
		return err
	}
	switch {
	case installation == "" && !e.Keyed, installation == e.Installation && n < e.Number && !e.Keyed:
		if !tell {
			return nil
		}
		if err := ring.SetEpoch(ctx, e.Installation, e.Number); err != nil {
			return err
		}
		return (&catalogue.Catalogue{DB: db.DB, Dialect: db.dialect}).EpochKeyed(ctx, e.Number)
	case installation != e.Installation:
		return mend(errors.New("the key store is of another installation than the catalogue"), l.root)
	case n > e.Number:
		return mend(errors.New("the key store is of a later epoch than the catalogue: somebody put an older catalogue back without klarsyn restore"), l.root)
	case n < e.Number:
		return mend(errors.New("the key store is of an earlier epoch than the catalogue: somebody put older keys back without klarsyn restore"), l.root)
	}
	return nil
}
