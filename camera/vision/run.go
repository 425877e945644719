package vision

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	ch, err := start(c.cfg.Path, wire.ModeCount, c.cfg.Log)
	if err != nil {
		return err
	}
	defer ch.stop()
	stop := context.AfterFunc(ctx, ch.kill)
	defer stop()

	if err := ch.greet(c.cfg.Watchdog); err != nil {
		return err
	}
	setup := wire.Setup{Profile: c.cfg.Profile, Learning: c.cfg.Learning}
	if err := ch.send(setup, c.cfg.Watchdog); err != nil {
		return ch.because(err)
	}
	c.count(func(s *Stats) { s.Starts++ })
	c.pid.Store(int64(ch.pid()))
	defer c.pid.Store(0)
	c.cfg.Log.Info("klarsyn-vision is counting", "pid", ch.pid())

	for {
		skipped, it, ok := c.queue.take()
		c.uncounted(ctx, skipped, camera.QualityUnknown)
		if ok && it.missing {
			c.uncounted(ctx, []time.Time{it.time}, camera.QualityUnknown)
			continue
		}
		if ok {
			samples, err := c.ask(ch, it)
			if err != nil {
				c.uncounted(context.WithoutCancel(ctx), []time.Time{it.time}, camera.QualityDecoderLost)
				if errors.Is(err, errRefused) {
					c.cfg.Log.Warn("keyframe not counted", "error", err)
					continue
				}
				return ch.because(err)
			}
			c.count(func(s *Stats) {
				s.Samples += uint64(len(samples))
				if samples[0].Quality.Looked() {
					s.Answered++
				} else {
					s.Unknown++
				}
			})
			c.out(ctx, samples)
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

// errRefused says that a keyframe cannot go over the wire. The child never saw it and lives on.
var errRefused = errors.New("keyframe refused")

// ask has one keyframe counted. Only one is with the child at a time: its answer or its silence is that
// keyframe's.
func (c *Counter) ask(ch *child, it item) ([]camera.Sample, error) {
	if !ch.knows(it.format) {
		if err := ch.sendFormat(it.format, c.cfg.Watchdog); err != nil {
			return nil, refused(err)
		}
	}
	c.seq++
	au := wire.AccessUnit{Seq: c.seq, Time: it.time, NALUs: it.nalus}
	if err := ch.send(au, c.cfg.Watchdog); err != nil {
		return nil, refused(err)
	}
	m, err := ch.receive(c.cfg.Watchdog)
	if err != nil {
		return nil, err
	}
	return c.answer(m, it.time)
}

// answer takes what the child said of the keyframe of a time, if it is that.
func (c *Counter) answer(m wire.Message, at time.Time) ([]camera.Sample, error) {
	answer, ok := m.(wire.Samples)
	if !ok {
		return nil, fmt.Errorf("it answered keyframe %d with %T: %w", c.seq, m, wire.ErrMalformed)
	}
	if answer.Seq != c.seq || answer.Time.UnixMicro() != at.UnixMicro() {
		return nil, fmt.Errorf("it answered keyframe %d of %s with keyframe %d of %s: %w", c.seq, at.UTC().Format(time.RFC3339Nano),
			answer.Seq, answer.Time.Format(time.RFC3339Nano), wire.ErrMalformed)
	}
	if answer.Fault != "" {
		c.cfg.Log.Debug("keyframe could not be counted", "error", answer.Fault)
	}
	return c.samples(at, answer)
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
