package vision

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/vision/wire"
)

// steady is how long a child must have lived for its death not to count as a rapid one.
const steady = 30 * time.Second

// Run owns the child until ctx ends, and then returns nil: a child that cannot be started is an error in
// the log and in Stats, and unknown samples, but never a reason to stop recording. It may be called
// again after it has returned, not twice at once.
func (c *Counter) Run(ctx context.Context) error {
	c.queue.open()
	defer func() {
		c.queue.close()
		// The consumer needs these samples for a stretch that is over; the end of ctx must not lose them.
		c.uncounted(context.WithoutCancel(ctx), c.queue.takeTimes(), camera.QualityUnknown)
	}()
	rapid := 0
	for first := true; ctx.Err() == nil; first = false {
		if !first {
			c.count(func(s *Stats) { s.Restarts++ })
		}
		began := time.Now()
		err := c.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		c.count(func(s *Stats) { s.LastError = err.Error() })
		if time.Since(began) > steady {
			rapid = 0
		}
		wait := c.backoff(rapid)
		rapid++
		c.cfg.Log.Warn("klarsyn-vision ended; counts are unknown until it is back", "error", err, "restart_in", wait)
		c.waitUnknown(ctx, wait)
	}
	return nil
}

// backoff is the wait before the next start, after n rapid deaths before this one.
func (c *Counter) backoff(n int) time.Duration {
	d := c.cfg.BackoffMin
	for ; n > 0 && d < c.cfg.BackoffMax; n-- {
		d *= 2
	}
	d = min(d, c.cfg.BackoffMax)
	// Jitter: cameras that lost their children together must not start them together.
	return d/2 + rand.N(d/2+1)
}

// waitUnknown waits, and answers every keyframe meanwhile: nobody will count it.
func (c *Counter) waitUnknown(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		c.uncounted(ctx, c.queue.takeTimes(), camera.QualityDecoderLost)
		select {
		case <-c.queue.wake:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// session runs one child from start to end; its error says why it ended.
func (c *Counter) session(ctx context.Context) error {
	ch, err := c.start(ctx)
	if err != nil {
		return err
	}
	defer ch.stop()
	stop := context.AfterFunc(ctx, ch.kill)
	defer stop()

	setup := wire.Setup{Profile: c.cfg.Profile, Learning: c.cfg.Learning}
	if err := ch.send(setup, c.cfg.Watchdog); err != nil {
		return ch.because(err)
	}
	if err := c.resume(ctx, ch); err != nil {
		return ch.because(err)
	}
	c.count(func(s *Stats) { s.Starts++ })
	c.pid.Store(int64(ch.pid()))
	defer c.pid.Store(0)
	c.cfg.Log.Info("klarsyn-vision is counting", "pid", ch.pid())

	c.due, c.last, c.torn = nil, last{}, false
	var keeping keeper
	defer keeping.wait()
	defer func() { c.uncounted(context.WithoutCancel(ctx), c.dueTimes(), camera.QualityDecoderLost) }()
	for {
		skipped, it, ok := c.queue.take()
		c.uncounted(ctx, skipped, camera.QualityUnknown)
		if ok {
			if err := c.take(ctx, ch, it); err != nil {
				return ch.because(err)
			}
			if err := c.keep(ctx, ch, &keeping); err != nil {
				return ch.because(err)
			}
			continue
		}
		select {
		case <-c.queue.wake:
		case <-ch.ended:
			return ch.because(errors.New("it ended"))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// start gives a child that has said hello, once it was its turn to start.
func (c *Counter) start(ctx context.Context) (*child, error) {
	if c.cfg.Starting != nil {
		if err := c.cfg.Starting.Acquire(ctx, 1); err != nil {
			return nil, fmt.Errorf("wait for a turn to start: %w", err)
		}
		defer c.cfg.Starting.Release(1)
	}
	ch, err := start(c.cfg.Path, wire.ModeCount, c.cfg.Log)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, ch.kill)
	defer stop()
	if err := ch.greet(c.cfg.Watchdog); err != nil {
		ch.stop()
		return nil, err
	}
	return ch, nil
}

// take does what there is to do for one item. An error is the child's end.
func (c *Counter) take(ctx context.Context, ch *child, it item) error {
	switch {
	case it.missing:
		c.uncounted(ctx, []time.Time{it.time}, camera.QualityUnknown)
		return nil
	case it.still && c.passes(it):
		c.pass(ctx, it.time)
		return nil
	}
	if it.keyframe {
		c.torn = false
	}
	if c.torn {
		if it.look {
			c.uncounted(ctx, []time.Time{it.time}, camera.QualityDecoderLost)
		}
		return nil
	}
	err := c.ask(ctx, ch, it)
	if errors.Is(err, errRefused) {
		c.torn = true
		c.count(func(s *Stats) { s.Refused++ })
		c.cfg.Log.Warn("picture not counted", "error", err)
		if it.look {
			c.uncounted(ctx, []time.Time{it.time}, camera.QualityDecoderLost)
		}
		return nil
	}
	return err
}

// errRefused says that a picture cannot go over the wire. The child never saw it and lives on.
var errRefused = errors.New("picture refused")

// due is a picture that the child has got, and not answered yet.
type due struct {
	seq      uint64
	time     time.Time
	keyframe bool
	gop      float64
}

// mostDue bounds those: a decoder holds 16 back at most.
const mostDue = wire.MaxPictures

func (c *Counter) dueTimes() (times []time.Time) {
	for _, d := range c.due {
		times = append(times, d.time)
	}
	c.due = nil
	return times
}

// ask hands one access unit to the child, and takes the pictures that are ready. Only one is with the child at a time: its
// answer or its silence is that one's.
func (c *Counter) ask(ctx context.Context, ch *child, it item) error {
	if !ch.knows(it.format) {
		if err := ch.sendFormat(it.format, c.cfg.Watchdog); err != nil {
			return refused(err)
		}
	}
	c.seq++
	au := wire.AccessUnit{Seq: c.seq, Time: it.time, Keyframe: it.keyframe, Look: it.look, Alone: c.cfg.Every == 0 || it.still, NALUs: it.nalus}
	if it.look {
		c.due = append(c.due, due{c.seq, it.time, it.keyframe, it.gop})
	}
	if err := ch.send(au, c.cfg.Watchdog); err != nil {
		if err = refused(err); errors.Is(err, errRefused) && it.look {
			c.due = c.due[:len(c.due)-1]
		}
		return err
	}
	m, err := ch.receive(c.cfg.Watchdog)
	if err != nil {
		return err
	}
	answer, ok := m.(wire.Answer)
	if !ok {
		return fmt.Errorf("it answered picture %d with %T: %w", c.seq, m, wire.ErrMalformed)
	}
	if answer.Seq != c.seq {
		return fmt.Errorf("it answered picture %d with picture %d: %w", c.seq, answer.Seq, wire.ErrMalformed)
	}
	for _, p := range answer.Pictures {
		if err := c.shown(ctx, p); err != nil {
			return err
		}
	}
	switch {
	case au.Alone && len(c.due) > 0:
		return fmt.Errorf("it left %d pictures without an answer: %w", len(c.due), wire.ErrMalformed)
	case len(c.due) > mostDue:
		return fmt.Errorf("it has not answered %d pictures: %w", len(c.due), wire.ErrMalformed)
	}
	return nil
}

// shown takes what the child says of a picture, if it was asked for it.
func (c *Counter) shown(ctx context.Context, p wire.Samples) error {
	i := slices.IndexFunc(c.due, func(d due) bool { return d.seq == p.Seq })
	if i < 0 {
		return fmt.Errorf("it counted picture %d, which is not due: %w", p.Seq, wire.ErrMalformed)
	}
	d := c.due[i]
	if p.Time.UnixMicro() != d.time.UnixMicro() {
		return fmt.Errorf("it gave picture %d of %s the time %s: %w", p.Seq, d.time.UTC().Format(time.RFC3339Nano),
			p.Time.Format(time.RFC3339Nano), wire.ErrMalformed)
	}
	samples, err := c.samples(d.time, p)
	if err != nil {
		return err
	}
	c.due = slices.Delete(c.due, i, i+1)
	if p.Fault != "" {
		c.cfg.Log.Debug("picture could not be counted", "error", p.Fault)
	}
	c.count(func(s *Stats) {
		s.Samples += uint64(len(samples))
		if samples[0].Quality.Looked() {
			s.Answered++
		} else {
			s.Unknown++
		}
	})
	c.remember(d, samples)
	c.out(ctx, samples)
	return nil
}

// refused marks what the protocol refuses before a byte is sent.
func refused(err error) error {
	if errors.Is(err, wire.ErrTooLarge) || errors.Is(err, wire.ErrMalformed) {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return err
}

// samples demands each zone of the profile once, in its order: the child may be lying.
func (c *Counter) samples(at time.Time, answer wire.Samples) ([]camera.Sample, error) {
	want, zones := c.cfg.Profile.Zones, answer.Zones
	if len(zones) != len(want) {
		return nil, fmt.Errorf("it counted %d zones of %d: %w", len(zones), len(want), wire.ErrMalformed)
	}
	out := make([]camera.Sample, len(zones))
	for i, z := range zones {
		if answer.Fault != "" && z.Quality != camera.QualityDecoderLost {
			return nil, fmt.Errorf("it counted zone %q although it could not: %w", wire.Sanitise(z.Zone), wire.ErrMalformed)
		}
		if z.Zone != want[i].ID {
			return nil, fmt.Errorf("it counted zone %q instead of %q: %w", wire.Sanitise(z.Zone), want[i].ID, wire.ErrMalformed)
		}
		out[i] = camera.Sample{
			Camera: c.cfg.Camera, Zone: z.Zone, Time: at,
			Present: z.Present, Moving: z.Moving, Low: z.Low, High: z.High, Quality: z.Quality, Method: answer.Method,
		}
	}
	return out, nil
}

// uncounted gives every zone a sample without a number for each of the times, and says why.
func (c *Counter) uncounted(ctx context.Context, times []time.Time, why camera.Quality) {
	for _, at := range times {
		samples := make([]camera.Sample, len(c.cfg.Profile.Zones))
		for i, z := range c.cfg.Profile.Zones {
			samples[i] = camera.Sample{Camera: c.cfg.Camera, Zone: z.ID, Time: at, Quality: why}
		}
		c.count(func(s *Stats) { s.Unknown++; s.Samples += uint64(len(samples)) })
		c.out(ctx, samples)
	}
}

func (c *Counter) count(change func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.stats)
}
