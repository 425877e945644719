package policy

import (
	"context"
	"errors"
	"time"
)

const (
	noteTimeout   = 5 * time.Second
	closeFraction = 4 // idle viewings are looked for this many times in the idle time
)

// Run closes viewings that went idle, until ctx ends; what a crash left open is idle by then and is
// closed the same way, at once or as soon as its time is up. When ctx ends it closes the viewings of
// this gate that have no running response. It tries again what fails: a viewing that cannot be closed
// stays open, and so does its trace.
func (g *Gate) Run(ctx context.Context) error {
	tick := time.NewTicker(max(g.cfg.Idle/closeFraction, time.Millisecond))
	defer tick.Stop()
	for {
		if err := g.closeIdle(ctx); err != nil && ctx.Err() == nil {
			g.cfg.Logger.Error("idle viewings could not be closed; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return g.closeOwn(ctx)
		case <-tick.C:
		}
	}
}

func (g *Gate) closeIdle(ctx context.Context) error {
	now := g.cfg.Now().UTC()
	idleSince := now.Add(-g.cfg.Idle)
	running, _ := g.own()
	if len(running) > 0 {
		if err := g.cfg.Viewings.Active(ctx, running, now); err != nil {
			return err
		}
	}
	stale, err := g.cfg.Viewings.Stale(ctx, idleSince)
	if err != nil {
		return err
	}
	var failed []error
	for _, viewing := range stale {
		if err := g.close(ctx, viewing.ID, now, idleSince, "idle"); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) == 0 {
		g.forget(idleSince)
	}
	return errors.Join(failed...)
}

func (g *Gate) closeOwn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	now := g.cfg.Now().UTC()
	var failed []error
	_, quiet := g.own()
	for _, viewing := range quiet {
		failed = append(failed, g.close(ctx, viewing, now, now, "stopped"))
	}
	return errors.Join(failed...)
}

func (g *Gate) close(ctx context.Context, viewing string, now, idleSince time.Time, why string) error {
	_, err := g.cfg.Viewings.Close(ctx, viewing, now, idleSince, func(v Viewing, t Totals) Entry {
		return ViewingClosedEntry(v, now, why, t)
	})
	return err
}

// own are the viewings of this gate, apart by whether responses are running.
func (g *Gate) own() (running, quiet []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, u := range g.open {
		if u.responses > 0 {
			running = append(running, id)
		} else {
			quiet = append(quiet, id)
		}
	}
	return running, quiet
}

// forget drops the viewings that have been idle since then: they are closed, by this gate or another.
func (g *Gate) forget(idleSince time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, u := range g.open {
		if u.responses == 0 && u.last.Before(idleSince) {
			delete(g.open, id)
		}
	}
}
