// Package segment turns one camera's access units into clips: fragmented MP4 that opens and closes at
// keyframes and reaches the vault in whole fragments of about a second, so that a crash costs no more
// than the open one.
package segment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"klarsyn/camera"
)

// Config says how a Recorder cuts. Zero fields take the defaults.
type Config struct {
	Camera camera.ID
	Vault  camera.Vault
	// Clip is the shortest length at which a clip closes at the next keyframe (default 30 s).
	Clip time.Duration
	// Fragment is the shortest length of a fragment (default 1 s).
	Fragment time.Duration
	// MaxFragment is the most bytes that an open fragment may hold before it is written early (default 16 MiB).
	MaxFragment int
}

// Recorder is camera.Recorder. Its methods are called from one goroutine.
type Recorder struct {
	cfg  Config
	open *clip // nil between clips

	// shift is added to received times so that the camera's timeline never runs backwards over what is
	// already accounted for, even if the server's clock was set back, between two runs or during one.
	shift time.Duration
}

// errEmptyUnit is for a picture of which nothing came.
var errEmptyUnit = errors.New("an access unit without a picture, or with an empty part: the camera or its connection is faulty")

// NewRecorder makes a recorder for one camera.
func NewRecorder(cfg Config) *Recorder {
	if cfg.Clip == 0 {
		cfg.Clip = 30 * time.Second
	}
	if cfg.Fragment == 0 {
		cfg.Fragment = time.Second
	}
	if cfg.MaxFragment == 0 {
		cfg.MaxFragment = 16 << 20
	}
	return &Recorder{cfg: cfg}
}

// Record takes the next access unit. Outside a clip it waits for a keyframe. When the vault refuses a
// fragment the clip ends before it and the reason goes to the timeline.
func (r *Recorder) Record(ctx context.Context, f camera.Format, au camera.AccessUnit) error {
	received := au.Time
	au.Time = received.Add(r.shift)
	if len(au.NALUs) == 0 || slices.ContainsFunc(au.NALUs, func(n []byte) bool { return len(n) == 0 }) {
		return r.fail(ctx, au.Time, errEmptyUnit) // no sample can be made of it
	}
	if r.open != nil && r.open.mustEnd(f, au, r.cfg.Clip) {
		if err := r.close(ctx, au.Time, &au); err != nil {
			return r.fail(ctx, au.Time, err)
		}
	}
	if r.open == nil {
		if !au.Keyframe {
			return nil
		}
		if err := r.align(ctx, received); err != nil {
			return r.fail(ctx, au.Time, err)
		}
		au.Time = received.Add(r.shift)
		return r.begin(ctx, f, au, received)
	}
	if err := r.open.add(ctx, au, r.cfg); err != nil {
		return r.fail(ctx, au.Time, err)
	}
	return nil
}

// Interrupt closes the open clip after its last frame and records why nothing follows.
func (r *Recorder) Interrupt(ctx context.Context, g camera.Gap) error {
	g.From = g.From.Add(r.shift)
	var closing error
	if r.open != nil {
		end := r.open.lastEnd(g.From)
		closing = r.close(ctx, end, nil)
		g.From = end
	}
	return errors.Join(closing, r.cfg.Vault.Interrupt(ctx, g))
}

// align asks where the camera's timeline ends and shifts a clock that stands before that. It is asked for
// every clip: the clock may be set back during a run, and time that is not recorded lets the clock catch up.
func (r *Recorder) align(ctx context.Context, at time.Time) error {
	covered, err := r.cfg.Vault.Covered(ctx, r.cfg.Camera)
	if err != nil {
		return fmt.Errorf("asking where the timeline of camera %s ends: %w", r.cfg.Camera, err)
	}
	r.shift = max(0, covered.Sub(at))
	return nil
}

func (r *Recorder) begin(ctx context.Context, f camera.Format, au camera.AccessUnit, received time.Time) error {
	header, err := initSegment(f)
	if err != nil {
		return r.fail(ctx, au.Time, err)
	}
	rec, err := r.cfg.Vault.Begin(ctx, camera.Opening{
		Camera: r.cfg.Camera, Start: au.Time, Received: received, CameraTime: au.CameraTime, Format: f,
	})
	if errors.Is(err, camera.ErrNotPermitted) {
		return errors.Join(err, r.cfg.Vault.Interrupt(ctx, camera.Gap{
			Camera: r.cfg.Camera, From: au.Time, Cause: camera.NotPermitted, Detail: "no valid permit",
		}))
	}
	if err != nil {
		return r.fail(ctx, au.Time, err)
	}
	r.open = newClip(rec, f, header, au)
	return nil
}

// close ends the open clip at end. next, if any, is the access unit that follows it without a hole: its
// media time gives the last sample its exact duration.
func (r *Recorder) close(ctx context.Context, end time.Time, next *camera.AccessUnit) error {
	c := r.open
	r.open = nil
	writeErr := c.finish(ctx, end, next)
	if writeErr != nil {
		end = c.written.End
	}
	return errors.Join(writeErr, c.rec.Close(ctx, camera.Closing{End: end, Frames: c.written.Frames}))
}

// fail ends the open clip after its last whole fragment and blames ourselves, or a full storage, for what follows.
func (r *Recorder) fail(ctx context.Context, at time.Time, cause error) error {
	errs := []error{cause}
	if c := r.open; c != nil {
		r.open = nil
		errs = append(errs, c.rec.Close(ctx, c.written))
		at = c.written.End
	}
	why := camera.OurFault
	if errors.Is(cause, camera.ErrStorageFull) {
		why = camera.StorageFull
	}
	errs = append(errs, r.cfg.Vault.Interrupt(ctx, camera.Gap{
		Camera: r.cfg.Camera, From: at, Cause: why, Detail: cause.Error(),
	}))
	return errors.Join(errs...)
}
