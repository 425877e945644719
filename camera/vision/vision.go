// Package vision is the parent's side of klarsyn-vision: it starts the sandboxed child, checks the
// sandbox from outside, feeds it keyframes and restarts it. It is pure Go; hostile video is only ever
// passed on.
package vision

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"klarsyn/camera"
	"klarsyn/camera/vision/wire"
)

// The defaults of Config.
const (
	DefaultBackoffMin = 500 * time.Millisecond
	DefaultBackoffMax = 30 * time.Second
	DefaultWatchdog   = 5 * time.Second
	DefaultKeepEvery  = 5 * time.Minute
	DefaultQueue      = 4
	// DefaultStreamQueue is for more than keyframes: two seconds and a half at 25 a second.
	DefaultStreamQueue = 64
)

// binary is the child's file name.
const binary = "klarsyn-vision"

// Config is one camera's counter.
type Config struct {
	// Path of klarsyn-vision; empty means beside the running executable, never by PATH.
	Path    string
	Camera  camera.ID
	Profile camera.Profile
	// Learning is how many keyframes the child looks at before it trusts its background; 0 is its choice.
	Learning int
	Log      *slog.Logger // nil means slog.Default
	// BackoffMin is the longest wait before the first restart; it doubles with every further death
	// within half a minute of its start, up to BackoffMax. The wait is jittered downwards, to half.
	BackoffMin, BackoffMax time.Duration
	// Watchdog is how long the child may take for one keyframe.
	Watchdog time.Duration
	// Queue is how many access units may wait; a further one drops the oldest, up to a keyframe.
	Queue int
	// Every is which pictures are counted: 0 keyframes alone, else every n'th, for which all must be decoded.
	Every int
	// Gate has keyframes passed over when sizes tell that nothing has moved.
	Gate bool
	// Backgrounds is where what the child has learnt outlives it; nil is nowhere.
	Backgrounds Backgrounds
	// KeepEvery is the time between two looks at what the child has learnt.
	KeepEvery time.Duration
	// Starting bounds how many children load their libraries at once, over all cameras that share it; pictures wait
	// in the queue meanwhile. Nil is no bound.
	Starting *semaphore.Weighted
}

// Stats are what a counter has done since New.
type Stats struct {
	Offered  uint64 // pictures to be counted: keyframes, unless Every says more
	Answered uint64 // of those, that the child looked at
	Passed   uint64 // that were passed over, as nothing had moved: they have the samples of the one before
	Unknown  uint64 // that nobody looked at, for whatever reason
	Refused  uint64 // of those: more than the protocol carries; the child never saw them
	Dropped  uint64 // of those: pushed out of the full queue
	Lost     uint64 // pictures without any sample: dropped while nobody ran the counter, or after its end
	Samples  uint64 // samples given, of every quality
	Starts   uint64 // children that got through the handshake
	Restarts uint64 // attempts to start a child after the first
	Kept     uint64 // times that what the child has learnt was kept
	Gate     GateState
	// LastError is why the last child ended or did not start; empty before.
	LastError string
}

// Counter owns one child for one camera.
type Counter struct {
	cfg   Config
	out   func(context.Context, []camera.Sample)
	queue *queue

	gate *gate // nil if there is none
	// Owned by who offers.
	since int  // pictures since the last keyframe
	still bool // the GOP at hand is passed over

	pid atomic.Int64
	// Owned by Run.
	seq  uint64
	due  []due // with the child, in decoding order
	last last
	kept time.Time // when what the child has learnt was last told
	torn bool      // what comes leans on a picture that the child did not get

	mu    sync.Mutex
	stats Stats // guarded by mu; Offered, Dropped and Lost are the queue's
}

// New checks the configuration and that the child is there. out gets the samples of one picture at a
// time, in the order in which pictures are shown, from the goroutine that runs Run; it must not wait for it.
func New(cfg Config, out func(context.Context, []camera.Sample)) (*Counter, error) {
	if _, err := camera.ParseID(string(cfg.Camera)); err != nil {
		return nil, fmt.Errorf("vision: %w", err)
	}
	if len(cfg.Profile.Zones) == 0 || len(cfg.Profile.Zones) > wire.MaxZones {
		return nil, fmt.Errorf("vision: camera %s has %d zones: want 1 to %d", cfg.Camera, len(cfg.Profile.Zones), wire.MaxZones)
	}
	if err := cfg.Profile.Validate(); err != nil {
		return nil, fmt.Errorf("vision: camera %s: %w", cfg.Camera, err)
	}
	var err error
	if cfg.Path, err = FindBinary(cfg.Path); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	cfg.Log = cfg.Log.With("camera", string(cfg.Camera))
	for _, d := range []struct {
		value *time.Duration
		byDef time.Duration
		name  string
	}{
		{&cfg.BackoffMin, DefaultBackoffMin, "BackoffMin"},
		{&cfg.BackoffMax, max(DefaultBackoffMax, cfg.BackoffMin), "BackoffMax"},
		{&cfg.Watchdog, DefaultWatchdog, "Watchdog"},
		{&cfg.KeepEvery, DefaultKeepEvery, "KeepEvery"},
	} {
		if *d.value == 0 {
			*d.value = d.byDef
		}
		if *d.value < 0 {
			return nil, fmt.Errorf("vision: camera %s: %s is %v: want a positive duration", cfg.Camera, d.name, *d.value)
		}
	}
	if cfg.Every < 0 || cfg.Every > 1000 {
		return nil, fmt.Errorf("vision: camera %s: Every is %d: want 0 for keyframes, or 1 to 1000", cfg.Camera, cfg.Every)
	}
	if cfg.Queue == 0 {
		cfg.Queue = DefaultQueue
		if cfg.Every > 0 {
			cfg.Queue = DefaultStreamQueue
		}
	}
	if cfg.Queue < 1 {
		return nil, fmt.Errorf("vision: camera %s: Queue is %d: want at least 1", cfg.Camera, cfg.Queue)
	}
	c := &Counter{cfg: cfg, out: out, queue: newQueue(cfg.Queue)}
	if cfg.Gate {
		c.gate = newGate()
	}
	return c, nil
}

// Offer hands over the next access unit and returns at once. Every picture that is to be counted and offered while Run
// runs gets one sample per zone, if only to say that the number is unknown. The NAL units must not be changed afterwards.
func (c *Counter) Offer(f camera.Format, au camera.AccessUnit) {
	it := item{format: f, time: au.Time, nalus: au.NALUs, keyframe: au.Keyframe}
	if c.gate != nil {
		it.gop = c.gate.see(f.Codec, au)
	}
	if c.since++; au.Keyframe {
		c.since = 0
		c.still = c.gate != nil && c.gate.still(it.gop)
	}
	it.still = c.still
	it.look = au.Keyframe || c.cfg.Every > 0 && c.since%c.cfg.Every == 0
	switch {
	case !au.Keyframe && c.cfg.Every == 0, !it.look && c.still:
		return // nobody needs it
	case !au.Keyframe && c.still:
		it.nalus = nil
	}
	c.queue.put(it)
}

// Miss says that there is no picture to be had at that time: every zone gets one sample that says unknown, in
// order with those of keyframes.
func (c *Counter) Miss(at time.Time) { c.queue.put(item{time: at, missing: true}) }

// PID is the process id of the child that is counting now; 0 when there is none.
func (c *Counter) PID() int { return int(c.pid.Load()) }

// Stats is a snapshot.
func (c *Counter) Stats() Stats {
	c.mu.Lock()
	s := c.stats
	c.mu.Unlock()
	s.Offered, s.Dropped, s.Lost = c.queue.counts()
	if s.Gate = GateOff; c.gate != nil {
		s.Gate = c.gate.told()
	}
	return s
}

// FindBinary is the absolute path of klarsyn-vision: the one that flag names, else the one beside the
// running executable. It never searches PATH: who controls PATH would choose what sees the video.
func FindBinary(flag string) (string, error) {
	path := flag
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find %s: %w (name it with --vision)", binary, err)
		}
		if self, err = filepath.EvalSymlinks(self); err != nil {
			return "", fmt.Errorf("find %s: %w (name it with --vision)", binary, err)
		}
		path = filepath.Join(filepath.Dir(self), binary)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", binary, err)
	}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%s is not at %s: build it (make build) or name it with --vision: %w", binary, path, err)
	}
	if err != nil {
		return "", fmt.Errorf("find %s: %w", binary, err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return "", fmt.Errorf("%s is not an executable file: name the right one with --vision", path)
	}
	return path, nil
}
