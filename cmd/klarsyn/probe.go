package main

import (
	"context"
	"sync"
	"time"

	"klarsyn/api"
)

const (
	probeEvery   = time.Second
	probeTimeout = 3 * time.Second
)

// probe says whether a process can serve. Strangers may ask as often as they like and each answer costs
// a transaction, so one answer holds for a second.
type probe struct {
	ask func(context.Context) error

	mu    sync.Mutex
	asked time.Time
	err   error
}

func (p *probe) ready(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked.IsZero() || time.Since(p.asked) >= probeEvery {
		// Others get this answer, too: it must not end with whoever came first.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
		defer cancel()
		p.err = p.ask(ctx)
		p.asked = time.Now()
	}
	return p.err
}

// answers asks what serving footage needs: the catalogue, the log, the key store and the object store.
func (sv *serve) answers(ctx context.Context) error {
	for _, part := range []struct {
		name string
		ask  func(context.Context) error
	}{
		{"catalogue", sv.site.db.PingContext}, {"log", sv.site.log.Probe}, {"keys", sv.keyDB.PingContext}, {"store", sv.site.store.answers},
	} {
		if err := part.ask(ctx); err != nil {
			return &api.NotReady{Part: part.name, Err: err}
		}
	}
	return nil
}
