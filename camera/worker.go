package camera

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// Source delivers a camera's access units until ctx ends; it reconnects by itself.
type Source interface {
	Run(ctx context.Context, sink Sink) error
}

// Recorder turns access units into clips. Its methods are called from one goroutine and may block for
// as long as a disk or a database takes.
type Recorder interface {
	Record(ctx context.Context, f Format, au AccessUnit) error
	// Interrupt closes the open clip, if any, and says why the time from g.From on is not recorded.
	Interrupt(ctx context.Context, g Gap) error
}

// Counter is offered every access unit and never blocks. Miss tells it that there is none at that time: nobody
// knows how many people there were.
type Counter interface {
	Offer(f Format, au AccessUnit)
	Miss(at time.Time)
}

// Permission answers what a camera may do at an instant, and how long that answer holds.
type Permission interface {
	Allowed(id ID, at time.Time) Allowance
}

// WorkerConfig is what a Worker needs. Counter may be nil: then nothing is counted.
type WorkerConfig struct {
	Camera     ID
	Source     Source
	Recorder   Recorder
	Counter    Counter
	Permission Permission
	// Now is the clock that pictures are stamped by, the same as the source's.
	Now func() time.Time
	Log *slog.Logger
	// Queue bounds what waits between the network and the disk, in access units (default 512).
	Queue int
	// QueueBytes bounds the same by size (default 64 MiB): a camera decides how large its pictures are.
	QueueBytes int64
	// Recheck is how often a missing permit is looked for again, and a valid one looked at again (default 1 s).
	Recheck time.Duration
}

// Stats are a worker's counts since it began.
type Stats struct {
	Frames  int64 // access units received
	Dropped int64 // access units that the full queue turned away
	Downs   int64 // sessions that ended or could not begin
	Losses  int64 // holes in what a session delivered
	Refused int64 // access units that came, and that the permit did not let be recorded
}

// Worker runs one camera: it pulls while a permit is valid, records, and offers pictures for counting.
type Worker struct {
	cfg     WorkerConfig
	events  chan event
	frames  atomic.Int64
	dropped atomic.Int64
	downs   atomic.Int64
	losses  atomic.Int64
	waiting atomic.Int64 // bytes in the queue
	refused atomic.Int64
	allowed atomic.Pointer[Allowance] // what the running session may do

	// What follows is owned by the goroutine that pulls, which is also the one that calls the sink's methods.
	overflow bool   // pictures are being turned away
	outside  bool   // the last picture was none that may be recorded
	bar      string // which limit it passed, as was told
	rate     rate
	size     sizes
	untold   *Gap            // the latest gap that the full queue had no room for
	pulling  context.Context // of the running session: once it is done, the end of the session is ours
}

// event is one thing that happened on the way from the camera, in order.
type event struct {
	format Format
	au     AccessUnit
	gap    *Gap
}

// NewWorker makes a worker; it does nothing before Run.
func NewWorker(cfg WorkerConfig) *Worker {
	if cfg.Queue == 0 {
		cfg.Queue = 512
	}
	cfg.Queue = max(cfg.Queue, 2) // one place is kept for a gap
	if cfg.QueueBytes == 0 {
		cfg.QueueBytes = 64 << 20
	}
	if cfg.Recheck == 0 {
		cfg.Recheck = time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Log = cfg.Log.With("camera", string(cfg.Camera))
	return &Worker{cfg: cfg, events: make(chan event, cfg.Queue)}
}

// Stats may be called at any time.
func (w *Worker) Stats() Stats {
	return Stats{Frames: w.frames.Load(), Dropped: w.dropped.Load(), Downs: w.downs.Load(), Losses: w.losses.Load(), Refused: w.refused.Load()}
}

// Run works until ctx ends, then closes the open clip. It returns an error only when nothing more can
// be recorded or accounted for.
func (w *Worker) Run(ctx context.Context) error {
	recorded := make(chan error, 1)
	// The recorder outlives ctx by the time it takes to close the last clip: what was received is kept.
	go func() { recorded <- w.record(context.WithoutCancel(ctx)) }()
	pullErr := w.pull(ctx)
	detail := "recorder stopped by its operator"
	if pullErr != nil {
		detail = "recorder stopped by a fault"
	}
	w.say(Gap{From: w.cfg.Now(), Cause: OurFault, Detail: detail})
	close(w.events)
	return errors.Join(pullErr, <-recorded)
}

// say waits for room: it is for the few gaps that nothing may come before or instead of.
func (w *Worker) say(g Gap) {
	if w.untold != nil {
		w.events <- event{gap: w.untold}
		w.untold = nil
	}
	g.Camera = w.cfg.Camera
	w.events <- event{gap: &g}
}

// pull runs the source for as long as a permit says so.
func (w *Worker) pull(ctx context.Context) error {
	var before Allowance // what held until now
	for first := true; ctx.Err() == nil; first = false {
		now := w.cfg.Now()
		may := w.cfg.Permission.Allowed(w.cfg.Camera, now)
		if first || !may.same(before) {
			w.turn(first, before, may, now)
		}
		before = may
		if !may.Record && !may.Count {
			wait := w.cfg.Recheck
			if !may.Until.IsZero() {
				wait = min(wait, max(may.Until.Sub(now), time.Millisecond))
			}
			sleep(ctx, wait)
			continue
		}
		if err := w.session(ctx, may); err != nil && ctx.Err() == nil {
			return fmt.Errorf("camera %s: %w", w.cfg.Camera, err)
		}
	}
	return nil
}

// turn says what the camera's time is from where the permission changed.
func (w *Worker) turn(first bool, before, may Allowance, now time.Time) {
	from := now
	if edge := before.Until; !first && !edge.IsZero() && edge.Before(now) {
		from = edge // told a little late
	}
	switch {
	case !may.Record:
		w.cfg.Log.Warn("not recording", "cause", string(may.Cause), "detail", may.Detail, "permit", may.Permit)
		w.say(Gap{From: from, Cause: may.Cause, Detail: may.Detail, Permit: may.Permit, Clause: may.Clause})
	case first:
	case before.Record:
		// What the next session sends does not continue the open clip, which is bound to its permit.
		w.say(Gap{From: from, Cause: OurFault, Detail: "reconnecting under a new permit version"})
	default:
		w.say(Gap{From: from, Cause: CameraDown, Detail: "no whole picture yet since recording is permitted"})
	}
}

// session runs the source for as long as the camera may do what it may do now.
func (w *Worker) session(ctx context.Context, may Allowance) error {
	ctx, cancel := context.WithCancel(ctx)
	w.pulling, w.outside, w.bar, w.rate = ctx, false, "", rate{}
	w.allowed.Store(&may)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		w.watch(ctx, may)
		cancel()
	}()
	defer func() {
		cancel()
		<-watched
	}()
	err := w.cfg.Source.Run(ctx, w)
	if ctx.Err() != nil {
		return nil
	}
	if err == nil {
		err = errors.New("its source ended although nobody ended it")
	}
	return err
}

// watch returns when the camera may do something else. It asks the clock and the permit again and again: a timer
// set for the end would outlive it when the clock is set, and would not see a permit that is withdrawn.
func (w *Worker) watch(ctx context.Context, may Allowance) {
	for ctx.Err() == nil {
		now := w.cfg.Now()
		next := w.cfg.Permission.Allowed(w.cfg.Camera, now)
		if !next.same(may) {
			return
		}
		w.allowed.Store(&next)
		wait := w.cfg.Recheck
		if !next.Until.IsZero() {
			wait = min(wait, max(next.Until.Sub(now), time.Millisecond))
		}
		sleep(ctx, wait)
	}
}

// Up says that a session delivers from now on.
func (w *Worker) Up(f Format) {
	w.cfg.Log.Info("camera delivers", "codec", string(f.Codec))
}

// Lost says that pictures did not come, or not whole, while the session goes on: the clip ends before them.
func (w *Worker) Lost(at time.Time, cause Cause, err error) {
	if w.pulling.Err() != nil {
		return
	}
	w.losses.Add(1)
	w.miss(at)
	if !w.overflow && w.recording() { // else the hole has its cause already, and ends no sooner
		w.tell(&Gap{Camera: w.cfg.Camera, From: at, Cause: cause, Detail: err.Error()})
	}
}

// miss tells the counter that there is no picture.
func (w *Worker) miss(at time.Time) {
	if w.cfg.Counter != nil {
		w.cfg.Counter.Miss(at)
	}
}

// Down says that a session ended or could not begin. A session that we ended ourselves is no fault of
// the camera: who ended it says why.
func (w *Worker) Down(at time.Time, err error) {
	// Not by the kind of err: a network's own timeout is a context.DeadlineExceeded too.
	if w.pulling.Err() != nil {
		return
	}
	w.downs.Add(1)
	w.cfg.Log.Debug("camera does not deliver", "err", err) // its source says so aloud, and when it will try again
	w.miss(at)
	if w.recording() {
		w.tell(&Gap{Camera: w.cfg.Camera, From: at, Cause: CameraDown, Detail: err.Error()})
	}
}

// recording reports whether the session may record at all: else its time has its cause already.
func (w *Worker) recording() bool { return w.allowed.Load().Record }

// Put takes an access unit. When the recorder cannot keep up, pictures are turned away up to a keyframe
// for which there is room, and the hole has a cause: a full queue never stalls the camera's connection.
func (w *Worker) Put(f Format, au AccessUnit) {
	w.frames.Add(1)
	may := w.allowed.Load()
	if !may.holds(au) {
		w.refused.Add(1)
		w.late(*may, au)
		return
	}
	if w.cfg.Counter != nil && may.Count {
		w.cfg.Counter.Offer(f, au)
	}
	if !may.Record {
		return
	}
	if w.barred(*may, f, au) {
		w.refused.Add(1)
		return
	}
	if w.overflow && (!au.Keyframe || w.room() < cap(w.events)/2 || w.waiting.Load() > w.cfg.QueueBytes/2) {
		w.dropped.Add(1)
		return
	}
	w.overflow = false
	w.tell(nil)
	size := int64(au.Size())
	if w.room() > 1 && w.waiting.Load()+size <= w.cfg.QueueBytes {
		w.waiting.Add(size)
		w.events <- event{format: f, au: au}
		return
	}
	w.dropped.Add(1)
	w.overflow = true
	w.cfg.Log.Error("recorder cannot keep up: pictures are dropped up to the next keyframe with room")
	w.tell(&Gap{Camera: w.cfg.Camera, From: au.Time, Cause: OurFault, Detail: "recorder could not keep up"})
}

// room is how many events the queue has room for; pictures leave the last place to a gap. Only the source's
// goroutine fills the queue, so that room can only grow meanwhile.
func (w *Worker) room() int { return cap(w.events) - len(w.events) }

// tell hands over a gap, if there is one, after the one that had to wait. What finds no room waits for the
// next call; of several only the latest, since nothing was recorded between them.
func (w *Worker) tell(g *Gap) {
	if w.untold != nil && (w.room() > 1 || w.room() > 0 && g == nil) {
		w.events <- event{gap: w.untold}
		w.untold = nil
	}
	switch {
	case g == nil:
	case w.room() > 0:
		w.events <- event{gap: g}
		w.untold = nil // it had no room beside this one
	default:
		w.untold = g
	}
}

// record feeds the recorder, in order, until the queue is closed and empty. The last event is a gap.
func (w *Worker) record(ctx context.Context) error {
	var fault error
	for e := range w.events {
		w.waiting.Add(-int64(e.au.Size()))
		var err error
		if e.gap != nil {
			err = w.cfg.Recorder.Interrupt(ctx, *e.gap)
		} else {
			err = w.cfg.Recorder.Record(ctx, e.format, e.au)
		}
		switch {
		case err != nil:
			// One line per kind of fault, not one per frame.
			if fault == nil || err.Error() != fault.Error() {
				w.cfg.Log.Error("not recorded", "err", err)
			}
			fault = err
		case e.gap != nil || e.au.Keyframe:
			// A picture that is not a keyframe proves nothing: while no clip is open it is passed over.
			fault = nil
		}
	}
	return fault
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
