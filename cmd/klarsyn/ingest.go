package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"klarsyn/camera"
	"klarsyn/camera/occupancy"
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
	visionPath  string
	starting    *semaphore.Weighted // children load their libraries on as many processors as there are, not all at once
	views       *views
	recalled    map[camera.ID]bool
	samples     *sampler
	storage     *storage

	mu      sync.Mutex
	cameras map[camera.ID]*channel // of the square that holds
}

// openIngest takes the spool and accounts for what a crash left there. Nothing is recorded before run.
func openIngest(ctx context.Context, s *site, visionPath string, onSamples func([]camera.Sample)) (_ *ingest, err error) {
	held := s.current.now()
	if len(held.Cameras) == 0 {
		return nil, usageError{fmt.Errorf("there is no camera to record: describe cameras and permits in %s, and put them in force with: klarsyn apply -f %[1]s --data %s",
			s.layout.config(), s.layout.root)}
	}
	books := s.catalogue("service:ingest")
	permit := func(cam string, at time.Time) (policy.Permit, bool) { return s.current.now().permits.At(cam, at) }
	room := &storage{folder: s.store.folder, capacity: s.square.capacity, spare: s.square.minFree, stored: books.Stored, now: s.clock.Receiving, logger: s.logger}
	if room.folder == "" { // of what others share with it, too: puts under way, and versions that are being deleted
		room.spare = max(room.spare, room.capacity/50)
	}
	if err := room.measure(ctx); err != nil && !errors.Is(err, errNoCapacity) {
		s.logger.Error("how much room there is for clips could not be told; asked again", "err", err)
	}
	intake, err := vault.OpenIntake(ctx, vault.IntakeConfig{
		Reservations: books, Timeline: books, Outcomes: books,
		Store: s.store, Permit: permit,
		Spool: s.layout.spool(), MinFree: s.square.minFree, Room: room.room, Node: s.square.node, Log: s.logger,
		// By the clock that stamps the clips: one that still waits for a leap that was put right would take them
		// for past their deadline. Deletion, whose proof must not be followed by a put, goes by the same.
		Now: s.clock.Receiving, ClockDoubted: s.clock.Doubted(),
	})
	if err != nil {
		return nil, err
	}
	in := &ingest{site: s, intake: intake, storage: room, visionPath: visionPath, starting: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0))), views: newViews(), recalled: map[camera.ID]bool{}, cameras: map[camera.ID]*channel{}, backgrounds: &vault.Backgrounds{
		Keys: books, Spool: s.layout.spool(), MinFree: s.square.minFree, Permit: permit, Now: s.clock.Receiving,
	}}
	in.samples = newSampler(&occupancy.Store{DB: s.db.DB, Now: s.clock.Receiving}, s.reserve.kept, s.logger, func(samples []camera.Sample) {
		in.look(samples)
		if onSamples != nil {
			onSamples(samples)
		}
	})
	if err := in.prepare(ctx, held); err != nil {
		return nil, errors.Join(err, intake.Close())
	}
	return in, nil
}

// prepare makes the cameras ready that there are when recording begins: one that cannot be is a fault of who starts it.
func (in *ingest) prepare(ctx context.Context, held *holding) error {
	for _, cc := range held.Cameras {
		if err := in.recall(ctx, cc); err != nil {
			return err
		}
		ch, err := in.channel(held, cc)
		if err != nil {
			return err
		}
		in.set(ch.camera.ID, ch)
	}
	return nil
}

// recall takes up what recorders before this one saw of a camera since it was recorded last. The newest gap alone does not tell:
// a recorder that stops says so in a gap of its own.
func (in *ingest) recall(ctx context.Context, cc cameraConfig) error {
	books, id := in.site.catalogue("service:ingest"), camera.ID(cc.ID)
	if in.recalled[id] { // since then it was seen here
		return nil
	}
	gaps, err := books.Gaps(ctx, id, time.Time{}, time.UnixMicro(math.MaxInt64))
	if err != nil {
		return err
	}
	next, err := books.Covered(ctx, id)
	if err != nil {
		return err
	}
	for _, gap := range slices.Backward(gaps) {
		if !gap.To.IsZero() && !gap.To.Equal(next) { // it was recorded in between
			break
		}
		if gap.Clause == policy.ClauseView {
			in.views.remember(id, cc.View, gap.Gap)
			break
		}
		next = gap.From
	}
	in.recalled[id] = true
	return nil
}

// look sees from what is counted whether cameras still show what they were put up to show.
func (in *ingest) look(samples []camera.Sample) {
	for _, m := range samples {
		if cc, known := in.site.current.now().camera(m.Camera); known {
			in.views.see(m.Camera, cc.View, m.Quality)
		}
	}
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
	for _, ch := range in.running() {
		ch.start(gctx, g)
	}
	g.Go(func() error { return in.follow(gctx, g) })
	g.Go(func() error {
		in.storage.run(gctx)
		return nil
	})
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

// follow keeps the running cameras those of the square that holds: what was added starts, what was removed stops, and what was
// changed does one after the other.
func (in *ingest) follow(ctx context.Context, g *errgroup.Group) error {
	failed := map[string]string{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pollEvery):
		}
		held := in.site.current.now()
		in.stopChanged(held)
		for _, cc := range held.Cameras {
			if in.get(camera.ID(cc.ID)) != nil {
				continue
			}
			err := in.recall(ctx, cc)
			var ch *channel
			if err == nil {
				ch, err = in.channel(held, cc)
			}
			if err != nil {
				if failed[cc.ID] != err.Error() {
					in.site.logger.Error("a camera of the square cannot be recorded", "camera", cc.ID, "err", err)
				}
				failed[cc.ID] = err.Error()
				continue
			}
			delete(failed, cc.ID)
			in.set(ch.camera.ID, ch)
			ch.start(ctx, g)
		}
	}
}

func (in *ingest) stopChanged(held *holding) {
	now := in.site.clock.Receiving()
	for _, ch := range in.running() {
		cc, there := held.camera(ch.camera.ID)
		if there && reflect.DeepEqual(cc, ch.configured) && reflect.DeepEqual(held.masks(ch.camera.ID, now), ch.masks) {
			continue
		}
		in.site.logger.Info("a camera was changed or removed: it stops", "camera", string(ch.camera.ID))
		ch.stop()
		<-ch.stopped
		in.set(ch.camera.ID, nil)
	}
}

func (in *ingest) running() []*channel {
	in.mu.Lock()
	defer in.mu.Unlock()
	var all []*channel
	for _, id := range slices.Sorted(maps.Keys(in.cameras)) {
		all = append(all, in.cameras[id])
	}
	return all
}

func (in *ingest) get(id camera.ID) *channel {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.cameras[id]
}

func (in *ingest) set(id camera.ID, ch *channel) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if ch == nil {
		delete(in.cameras, id)
	} else {
		in.cameras[id] = ch
	}
}
