package main

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/database"
	"klarsyn/retention/object"
)

// clockEvery is how often the other clocks are asked: their word counts for a minute.
const clockEvery = 10 * time.Second

// timeteller is a store that has a clock of its own.
type timeteller interface {
	Time(ctx context.Context) (time.Time, error)
}

// witnesses are the clocks of the servers on which a site keeps its rows and objects; none with the embedded defaults.
func (s *site) witnesses() []retention.Witness {
	var all []retention.Witness
	if s.db.dialect == database.Postgres {
		all = append(all, retention.Witness{Name: "database", Ask: func(ctx context.Context) (time.Time, error) { return database.Time(ctx, s.db.DB) }})
	}
	if store, ok := s.store.Store.(timeteller); ok {
		all = append(all, retention.Witness{Name: "store", Ask: store.Time})
	}
	return all
}

// clockWatch asks the other clocks, and says aloud and in the log when one of them begins to be wrong.
type clockWatch struct {
	site  *site
	doubt string // what was said already; empty: the clock is trusted
}

func (w *clockWatch) run(ctx context.Context) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look asks once. One doubt is one entry of the log, however long it lasts.
func (w *clockWatch) look(ctx context.Context) {
	w.site.clock.Ask(ctx)
	err := w.site.clock.Fault()
	switch {
	case err == nil && w.doubt != "":
		w.site.logger.Info("the clocks are right again")
		w.doubt = ""
	case err != nil && w.doubt == "":
		w.site.logger.Error("clock fault", "err", err)
		bounded, cancel := context.WithTimeout(ctx, scrapeTime)
		defer cancel()
		entry := policy.ClockFaultEntry(retainActor, policy.ClockDoubted, err.Error())
		if logged := w.site.deletionLog.Record(bounded, entry); logged != nil {
			w.site.logger.Error("the clock fault could not be logged; tried again", "err", logged)
			return
		}
		w.doubt = err.Error()
	}
}

// began tells a watch what was said at start.
func (w *clockWatch) began() *clockWatch {
	if err := w.site.clock.Fault(); err != nil {
		w.doubt = err.Error()
	}
	return w
}

// legalHoldTime bounds the question whether this process may set legal holds.
const legalHoldTime = 10 * time.Second

// checkLegalHolds says when the bucket has legal holds and this process may not set them: what is held then has one barrier
// less, and nobody else would notice.
func (s *site) checkLegalHolds(ctx context.Context) error {
	store, ok := s.store.Store.(interface {
		LegalHolds(ctx context.Context) error
	})
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, legalHoldTime)
	defer cancel()
	if err := store.LegalHolds(ctx); errors.Is(err, object.ErrDenied) || errors.Is(err, object.ErrUnfit) {
		return err
	}
	return nil // it has none, or cannot be asked now: then the first hold is told
}

// clockOffsets tells how far the other clocks are ahead of the system's.
type clockOffsets struct {
	clock *retention.Clock
	desc  *prometheus.Desc
}

func newClockOffsets(c *retention.Clock) clockOffsets {
	return clockOffsets{c, prometheus.NewDesc("klarsyn_clock_offset_seconds",
		"How far another clock is ahead of the system clock; absent while it does not answer.", []string{"clock"}, nil)}
}

func (c clockOffsets) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

func (c clockOffsets) Collect(ch chan<- prometheus.Metric) {
	for name, ahead := range c.clock.Offsets() {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, ahead.Seconds(), name)
	}
}
