package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/keys"
	"klarsyn/retention/object"
	"klarsyn/retention/vault"
)

// retain deletes on time, mints and destroys day keys, and numbers the audit log. It can open nothing:
// it has the public half of the master key only.
type retain struct {
	site        *site
	keyDB       rows // its DB is nil if the key store cannot be opened
	books       *catalogue.Catalogue
	sweeper     *retention.Sweeper
	lags        *lags
	tender      *keys.Tender // nil if no keys can be minted
	ring        *keys.Ring   // the master key that keys are sealed under
	reaper      *object.Reaper
	backgrounds *vault.BackgroundReaper
	barrier     *retention.Barrier
	growth      *growth
	// faults are what is broken beside deletion, which goes on all the same.
	faults faults
}

// faults collects what keeps a part of retain from working. Deletion is the last thing that may stop:
// whatever else is broken is said aloud, counted, and ends the process with an error when it stops.
type faults struct {
	mu   sync.Mutex
	list []error
}

func (f *faults) add(log *slog.Logger, part string, err error) {
	if err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, fmt.Errorf("%s: %w", part, err))
	log.Error("a part of retain does not work; deletion goes on", "part", part, "err", err)
}

func (f *faults) count() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return int64(len(f.list))
}

func (f *faults) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.list...)
}

// places are all where something of a clip may lie: the spool of the same data directory, where it may wait while its
// recorder is down, and the store.
func (s *site) places() retention.Places {
	return retention.Places{
		{Name: "spool", Eraser: vault.Spool{Leftovers: vault.Leftovers{Folder: s.layout.spool()}}},
		{Name: "store", Eraser: object.Eraser{Store: s.store}},
	}
}

// reaping says how soon stray objects go.
type reaping struct{ age, every time.Duration }

func openRetain(ctx context.Context, s *site, r reaping) *retain {
	books := s.catalogueOver(s.deletionLog, retainActor)
	re := &retain{site: s, books: books, growth: &growth{log: s.deletionLog, limit: s.square.logAlarm, now: s.clock.Logging, logger: s.logger}}
	re.lags = newLags()
	re.sweeper = retention.NewSweeper(retention.SweeperConfig{
		Ledger: books, Clock: s.clock, Lags: re.lags, Log: s.logger,
		Eraser: s.places(),
		Scrub:  s.db.scrub,
	})
	re.reaper = &object.Reaper{
		Store: s.store, Owners: answered{books}, Prefix: "clips/", Age: r.age, Every: r.every, Now: time.Now, Log: s.logger,
	}
	re.barrier = &retention.Barrier{Book: books, Store: legalHolds{s.store}, Log: s.logger}
	re.backgrounds = &vault.BackgroundReaper{
		Rows: books, Spool: s.layout.spool(), Scrub: s.db.scrub, Now: s.clock.Receiving, Log: s.logger,
	}
	re.faults.add(s.logger, "audit log", s.keyErr)
	re.faults.add(s.logger, "legal holds", s.checkLegalHolds(ctx))
	re.faults.add(s.logger, "day keys", re.openKeys(ctx))
	return re
}

// openKeys gets the minting of day keys going; keys are ready before the first camera asks.
func (re *retain) openKeys(ctx context.Context) error {
	s := re.site
	ring, err := s.masterKeys(ctx, mints)
	if err != nil {
		return err
	}
	re.ring = ring
	if re.keyDB, err = openKeyStore(ctx, s.layout, s.addresses); err != nil {
		return err
	}
	// Keys of another time are a verdict; a database that is away for a moment is none, and the tender's rounds go on.
	var verdict usageError
	if err := checkKeyEpoch(ctx, s.layout, s.db, re.keyDB, true); errors.As(err, &verdict) {
		return err
	} else if err != nil {
		s.logger.Error("whether the keys belong to the rows could not be asked", "err", err)
	}
	tender := &keys.Tender{
		Store: &keys.Store{DB: re.keyDB.DB, Sealer: ring, Now: s.clock.Logging},
		// By the time that pictures are stamped with: the keys are theirs.
		Board: re.books, Permits: re.permitsAt, Now: s.clock.Receiving, Log: s.logger,
		Scrub: re.keyDB.scrub, Wake: s.current.changed,
	}
	re.tender = tender
	// What cannot be done yet its next round does: only a key store that cannot be opened is a fault for good.
	if err := tender.Tend(ctx); err != nil {
		s.logger.Error("day keys are not in order; tried again", "err", err)
	}
	return nil
}

// close gives the key store back.
func (re *retain) close() error {
	if re.ring != nil {
		re.ring.Close()
	}
	if re.keyDB.DB == nil {
		return nil
	}
	return re.keyDB.Close()
}

// permitsAt names the permits under which something may be recorded around a time.
func (re *retain) permitsAt(at time.Time) []string {
	var ids []string
	seen := map[string]bool{}
	for _, p := range re.site.current.now().permits.All() {
		if !seen[p.ID] && (p.Ends().IsZero() || at.Add(-24*time.Hour).Before(p.Ends())) && p.ValidFrom.Before(at.Add(24*time.Hour)) {
			seen[p.ID] = true
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// run works until ctx ends. Its parts do not depend on one another: deletion goes on without a log
// that is numbered, and without keys that are minted.
func (re *retain) run(ctx context.Context) error {
	logger := re.site.logger
	re.record(ctx, policy.ServiceStartedEntry(retainActor))
	// The log is numbered to the last entry that deletion writes: it stops last.
	numbering, stopNumbering := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNumbering()
	numbered := make(chan struct{})
	go func() {
		defer close(numbered)
		if re.site.keyErr == nil {
			re.faults.add(logger, "numbering the audit log", re.site.deletionLog.Run(numbering))
		}
	}()

	var parts sync.WaitGroup
	parts.Go(func() { re.faults.add(logger, "deletion", re.sweeper.Run(ctx)) })
	parts.Go(func() { re.faults.add(logger, "stray objects", re.reaper.Run(ctx)) })
	parts.Go(func() { re.faults.add(logger, "old backgrounds", re.backgrounds.Run(ctx)) })
	parts.Go(func() { re.faults.add(logger, "legal holds", re.barrier.Run(ctx)) })
	parts.Go(func() { re.expirePermits(ctx) })
	parts.Go(func() { (&clockWatch{site: re.site}).began().run(ctx) })
	if re.growth != nil {
		parts.Go(func() { re.growth.run(ctx) })
	}
	if re.site.reserve != nil {
		parts.Go(func() { re.site.reserve.run(ctx, logger) })
	}
	if re.tender != nil {
		parts.Go(func() { re.faults.add(logger, "day keys", re.tender.Run(ctx)) })
	}
	parts.Wait()

	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	re.record(last, policy.ServiceStoppedEntry(retainActor))
	stopNumbering()
	<-numbered
	if re.site.keyErr == nil {
		re.faults.add(logger, "numbering the audit log", re.site.deletionLog.Sequence(last))
	}
	return errors.Join(re.faults.err(), re.close())
}

// retainActor is who the log says retain is.
const retainActor = "service:retain"

func (re *retain) record(ctx context.Context, e policy.Entry) {
	err := re.site.deletionLog.Record(ctx, e)
	re.faults.add(re.site.logger, "audit log", err)
}
