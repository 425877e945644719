package main

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/occupancy"
)

// sampler moves samples into the catalogue. Its queue is bounded: a slow database costs samples, which
// are counted, never pictures.
type sampler struct {
	room    func() error
	store   *occupancy.Store
	log     *slog.Logger
	also    func([]camera.Sample)
	queue   chan []camera.Sample
	dropped atomic.Int64
	kept    atomic.Int64
	unknown atomic.Int64
}

func newSampler(store *occupancy.Store, room func() error, log *slog.Logger, also func([]camera.Sample)) *sampler {
	return &sampler{store: store, room: room, log: log, also: also, queue: make(chan []camera.Sample, 256)}
}

// take never waits.
func (s *sampler) take(_ context.Context, samples []camera.Sample) {
	select {
	case s.queue <- samples:
	default:
		s.dropped.Add(int64(len(samples)))
	}
}

// run keeps samples until ctx ends, then what is in the queue, for as long as a stopping recorder may take.
func (s *sampler) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case samples := <-s.queue:
			s.keep(context.WithoutCancel(ctx), samples)
		case <-ctx.Done():
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	for {
		select {
		case samples := <-s.queue:
			s.keep(ctx, samples)
		default:
			return
		}
	}
}

func (s *sampler) keep(ctx context.Context, samples []camera.Sample) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	// The last room on the disk is deletion's: a count that is missing is told as such, a deletion must not be.
	if s.room() != nil {
		s.dropped.Add(int64(len(samples)))
		return
	}
	if err := s.store.Add(ctx, samples); err != nil {
		s.dropped.Add(int64(len(samples)))
		s.log.Error("samples were not kept", "err", err)
		return
	}
	for _, m := range samples {
		if !m.Quality.Looked() {
			s.unknown.Add(1)
		}
	}
	s.kept.Add(int64(len(samples)))
	if s.also != nil {
		s.also(samples)
	}
}
