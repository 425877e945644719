package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"klarsyn/retention"
)

// lags are the histograms of how late deletion is: what a promise is kept by.
type lags struct{ unreadable, gone prometheus.Histogram }

func newLags() *lags {
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name, Help: help,
			Buckets: []float64{0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 86400}, // to the day that an outage may take
		})
	}
	return &lags{
		histogram("klarsyn_retention_unreadable_lag_seconds", "From a clip's deadline to the destruction of its header."),
		histogram("klarsyn_retention_delete_lag_seconds", "From a clip's deadline to the proof that it is gone."),
	}
}

func (l *lags) Unreadable(lag time.Duration) { l.unreadable.Observe(lag.Seconds()) }

func (l *lags) Gone(lag time.Duration) { l.gone.Observe(lag.Seconds()) }

// retentionMeter adds what every process can tell of what deletion is behind with. A held clip is not overdue.
func (s *site) retentionMeter(m meter) {
	books := s.catalogue("service:metrics")
	m.question("klarsyn_retention_oldest_overdue_seconds", "How long ago the oldest clip that still has a trace and is not held was due; 0 when none is overdue.", func(ctx context.Context) (float64, error) {
		oldest, err := books.OldestUndeleted(ctx)
		if err != nil || oldest.IsZero() {
			return 0, err
		}
		return max(0, s.clock.Reading().Sub(oldest).Seconds()), nil
	})
	backlog := func(of func(retention.Backlog) int) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			b, err := books.Backlog(ctx, s.clock.Reading())
			return float64(of(b)), err
		}
	}
	m.question("klarsyn_retention_due_backlog", "Clips past their deadline that are not held and not unreadable yet; counted to 100000.",
		backlog(func(b retention.Backlog) int { return b.Due }))
	m.question("klarsyn_retention_removal_backlog", "Clips that are unreadable and not proved to be gone; counted to 100000.",
		backlog(func(b retention.Backlog) int { return b.Removal }))
}

// sweeperMeter adds what a retain tells of its sweeper and its clock.
func (re *retain) sweeperMeter(m meter) {
	m.registry.MustRegister(re.lags.unreadable, re.lags.gone, newClockOffsets(re.site.clock))
	m.gauge("klarsyn_retention_sweeper_heartbeat_timestamp_seconds", "When the sweeper last looked for due clips and for claimed ones, and could; 0 before.", func() int64 {
		if beat := re.sweeper.Stats().Heartbeat; !beat.IsZero() {
			return beat.Unix()
		}
		return 0
	})
	m.counter("klarsyn_retention_fenced_total", "Removals that another sweeper had taken over meanwhile.", func() int64 { return re.sweeper.Stats().Fenced })
	m.gauge("klarsyn_clock_distrusted", "1 while the system clock is not what two others agree on, or nothing can be deleted as no two agree or the only one leapt.", func() int64 {
		if re.site.clock.Fault() != nil {
			return 1
		}
		return 0
	})
}
