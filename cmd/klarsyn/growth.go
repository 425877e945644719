package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/audit"
)

// growth watches how fast the log grows. A log that grows far faster than a square makes it is an attack, or a
// process that does the same thing over and over: it fills the disk, and buries what matters.
type growth struct {
	log    *audit.Log
	limit  int64 // entries an hour
	now    func() time.Time
	logger *slog.Logger

	lately atomic.Int64 // entries of the last hour
	told   time.Time    // when the log last said so
}

const growthEvery = time.Minute

// run looks once a minute until ctx ends.
func (g *growth) run(ctx context.Context) {
	for tick := time.NewTicker(growthEvery); ; {
		if err := g.look(ctx); err != nil && ctx.Err() == nil {
			g.logger.Error("how fast the log grows could not be asked", "err", err)
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

// look counts, and says so aloud and in the log, at most once an hour, if it is too much.
func (g *growth) look(ctx context.Context) error {
	now := g.now()
	n, err := g.log.Grown(ctx, now.Add(-time.Hour))
	if err != nil {
		return err
	}
	g.lately.Store(n)
	if n <= g.limit || now.Sub(g.told) < time.Hour {
		return nil
	}
	reason := fmt.Sprintf("%d entries in an hour, %d are expected at most", n, g.limit)
	g.logger.Error("the audit log grows too fast: find out who logs so much (klarsyn's page /log), or raise log_alarm in square.yaml", "entries", n, "limit", g.limit)
	if err := g.log.Record(ctx, policy.LogGrowthEntry(retainActor, reason, policy.Growth{Entries: n, Limit: g.limit})); err != nil {
		return err
	}
	g.told = now
	return nil
}

// alarm is 1 while the log grows too fast.
func (g *growth) alarm() int64 {
	if g.lately.Load() > g.limit {
		return 1
	}
	return 0
}
