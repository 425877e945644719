package rtsp

import (
	"context"
	"time"

	"klarsyn/camera"
)

const (
	// reportEvery is how often lost packets and decode errors may be a line in the log.
	reportEvery = 10 * time.Second
	// keyframePatience times FrameTimeout is how long a stream may come without a keyframe.
	keyframePatience = 6
)

// deliver hands on pictures until the session ends, by itself or with ctx.
func (s *session) deliver(ctx context.Context, sink camera.Sink) outcome {
	c := s.c
	ended := make(chan error, 1)
	go func() { ended <- s.conn.Wait() }()
	// Close makes Wait return; waiting for it here leaves no goroutine behind.
	defer func() {
		s.conn.Close()
		<-ended //nolint:errcheck // why it ended is known by now
	}()

	stall := time.NewTimer(keyframePatience * c.cfg.FrameTimeout)
	defer stall.Stop()
	report := time.NewTicker(reportEvery)
	defer report.Stop()
	noise := c.Stats()

	d := &delivery{session: s, sink: sink, clock: stamper{wall: s.wall}}
	for {
		var err error
		select {
		case <-ctx.Done():
			return d.finish(ctx.Err())

		case e := <-ended:
			ended <- e // for the deferred receive
			return d.finish(c.ended(e))

		case <-stall.C:
			switch {
			case len(s.units) > 0: // it is we who were late
			case d.upAt.IsZero():
				err = c.fail(ErrStalled, "has sent no keyframe with its parameter sets for %v: "+
					"check its video settings", keyframePatience*c.cfg.FrameTimeout)
			default:
				err = c.stalled()
			}
			stall.Reset(c.cfg.FrameTimeout)

		case <-report.C:
			noise = c.reportNoise(noise)

		case u := <-s.units:
			err = d.put(u)
			stall.Reset(c.cfg.FrameTimeout)
		}
		if err != nil {
			return d.finish(err)
		}
	}
}

// delivery is the part of a session in which pictures come. Its methods are called from the goroutine of Run.
type delivery struct {
	*session
	sink  camera.Sink
	clock stamper
	upAt  time.Time     // of the first picture; zero before
	keyAt time.Duration // arrival of the last keyframe
	wrong bool          // the stamps are: what comes after is no evidence of a time
}

// put stamps a picture and hands it on. Its error ends the session.
func (d *delivery) put(u unit) error {
	c := d.c
	d.waiting.Add(-int64(u.au.Size()))
	if u.hole != nil {
		d.sink.Lost(c.lastStamp, u.hole.cause, u.hole.err)
		return nil
	}
	at, ok := d.clock.stamp(u.au.DTS, u.arrival)
	if !ok {
		d.wrong = true
		c.n.dropped.Add(1)
		return c.fail(ErrClock, "jumped by more than %v in its media time: the session is begun anew", jump)
	}
	if u.au.Keyframe {
		if step := c.cfg.Now().Sub(d.now()); step > jump || step < -jump {
			// Stamps that go on by a clock since found wrong would be false evidence, and a false deadline.
			d.wrong = true
			c.n.dropped.Add(1)
			return c.fail(ErrSystemClock, "is received by a system clock that was set by %v: the session is begun anew", step.Round(time.Millisecond))
		}
		d.keyAt = u.arrival
	}
	u.au.Time = at
	c.lastStamp = at
	if d.upAt.IsZero() {
		d.upAt = time.Now()
		c.n.sessions.Add(1)
		d.sink.Up(u.format)
	}
	c.n.units.Add(1)
	d.sink.Put(u.format, u.au)
	if u.arrival-d.keyAt > keyframePatience*c.cfg.FrameTimeout {
		// Without keyframes no clip ends, and after a fault none begins.
		return c.keyless()
	}
	return nil
}

// finish hands on what was received before the end, since it is footage like any other, and says that the
// session is down.
func (d *delivery) finish(err error) outcome {
	for range len(d.units) {
		u := <-d.units
		if d.wrong {
			d.c.n.dropped.Add(1)
			continue
		}
		if fault := d.put(u); fault != nil {
			err = fault
		}
	}
	o := d.down(d.sink, err)
	o.healthy = !d.upAt.IsZero() && time.Since(d.upAt) >= d.c.cfg.FrameTimeout
	return o
}

// reportNoise writes at most one line per period, however bad the line is.
func (c *Client) reportNoise(before Stats) Stats {
	now := c.Stats()
	if now.PacketsLost != before.PacketsLost || now.DecodeErrors != before.DecodeErrors || now.Dropped != before.Dropped {
		c.log.Warn("camera stream is damaged",
			"packets_lost", now.PacketsLost-before.PacketsLost,
			"decode_errors", now.DecodeErrors-before.DecodeErrors,
			"dropped", now.Dropped-before.Dropped,
			"period", reportEvery)
	}
	return now
}
