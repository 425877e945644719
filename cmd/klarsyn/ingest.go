package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"klarsyn/camera"
	"klarsyn/camera/occupancy"
	"klarsyn/camera/rtsp"
	"klarsyn/camera/segment"
	"klarsyn/camera/vision"
	"klarsyn/policy"
	"klarsyn/retention/vault"
)

// settleTime is how long a stopping recorder may take to store what it closed.
const settleTime = 20 * time.Second

// ingest records and counts the cameras of a square. It holds no key that opens a clip.
type ingest struct {
	site   *site
	intake *vault.Intake
	// backgrounds are what counters go on with after a restart: of the empty square, the one picture that ingest can open.
	backgrounds *vault.Backgrounds
	cameras     []*channel
	samples     *sampler
}

// channel is one camera on its way: connection, recorder, counter.
type channel struct {
	camera  camera.Camera
	client  *rtsp.Client
	worker  *camera.Worker
	counter counter
}

// counter counts a camera's people. A camera for which nobody drew zones has none, and its numbers stay 0.
type counter struct{ *vision.Counter }

func (c counter) Stats() vision.Stats {
	if c.Counter == nil {
		return vision.Stats{}
	}
	return c.Counter.Stats()
}

// openIngest takes the spool and accounts for what a crash left there. Nothing is recorded before run.
func openIngest(ctx context.Context, s *site, visionPath string, onSamples func([]camera.Sample)) (_ *ingest, err error) {
	if len(s.square.cameras) == 0 {
		return nil, usageError{fmt.Errorf("there is no camera to record: describe cameras and permits in %s", s.layout.config())}
	}
	if err := s.square.readFiles(); err != nil {
		return nil, err
	}
	books := s.catalogue("service:ingest")
	intake, err := vault.OpenIntake(ctx, vault.IntakeConfig{
		Reservations: books, Timeline: books, Outcomes: books,
		Store: s.store, Permit: s.square.permits.At,
		Spool: s.layout.spool(), MinFree: s.square.minFree, Node: s.square.node, Log: s.logger,
		// By the clock that stamps the clips: one that still waits for a leap that was put right would take them
		// for past their deadline. Deletion, whose proof must not be followed by a put, goes by the same.
		Now: s.clock.Receiving, ClockDoubted: s.clock.Doubted(),
	})
	if err != nil {
		return nil, err
	}
	in := &ingest{site: s, intake: intake, backgrounds: &vault.Backgrounds{
		Keys: books, Spool: s.layout.spool(), MinFree: s.square.minFree, Permit: s.square.permits.At, Now: s.clock.Receiving,
	}, samples: newSampler(&occupancy.Store{DB: s.db.DB, Now: s.clock.Receiving}, s.reserve.kept, s.logger, onSamples)}
	for _, cam := range s.square.cameras {
		ch, err := in.channel(cam, visionPath)
		if err != nil {
			return nil, errors.Join(err, intake.Close())
		}
		in.cameras = append(in.cameras, ch)
	}
	return in, nil
}

func (in *ingest) channel(cam camera.Camera, visionPath string) (*channel, error) {
	s := in.site
	client, err := rtsp.New(cam, rtsp.Config{Now: s.clock.Receiving, Log: s.logger})
	if err != nil {
		return nil, err
	}
	cfg := camera.WorkerConfig{
		Camera: cam.ID, Source: client,
		Recorder:   segment.NewRecorder(segment.Config{Camera: cam.ID, Vault: in.intake, Clip: s.square.clip}),
		Permission: permission{s.square.permits}, Now: s.clock.Receiving, Log: s.logger,
	}
	var counts counter
	if len(cam.Profile.Zones) > 0 {
		counts.Counter, err = vision.New(vision.Config{Path: visionPath, Camera: cam.ID, Profile: cam.Profile, Log: s.logger,
			Every: cam.Counting.Every, Gate: !cam.Counting.Ungated, Backgrounds: in.backgrounds}, in.samples.take)
		if err != nil {
			return nil, err
		}
		cfg.Counter = counts
	}
	return &channel{cam, client, camera.NewWorker(cfg), counts}, nil
}

// run records until ctx ends, then stores what it closed.
func (in *ingest) run(ctx context.Context) error {
	mover, stopMover := context.WithCancel(context.WithoutCancel(ctx))
	defer stopMover()
	moved := make(chan error, 1)
	go func() { moved <- in.intake.Run(mover) }()
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		in.samples.run(mover)
	}()

	g, gctx := errgroup.WithContext(ctx)
	for _, ch := range in.cameras {
		g.Go(func() error { return ch.worker.Run(gctx) })
		if ch.counter.Counter != nil {
			g.Go(func() error { return ch.counter.Run(gctx) })
		}
	}
	err := g.Wait()
	stopMover()
	err = errors.Join(err, <-moved)
	<-sampled

	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if moveErr := in.intake.Move(last); moveErr != nil {
		// The spool keeps it: the next start stores it.
		in.site.logger.Error("some clips stay in the spool until the next start", "err", moveErr)
	}
	return errors.Join(err, in.intake.Close())
}

// permission answers a worker from the permits.
type permission struct{ permits *policy.Permits }

func (p permission) Permitted(id camera.ID, at time.Time) (bool, time.Time) {
	_, ok := p.permits.At(string(id), at)
	until, known := p.permits.Next(string(id), at)
	if !known {
		until = time.Time{}
	}
	return ok, until
}

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
