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

	"klarsyn/camera"
	"klarsyn/camera/vision/wire"
)

// The defaults of Config.
const (
	DefaultBackoffMin = 500 * time.Millisecond
	DefaultBackoffMax = 30 * time.Second
	DefaultWatchdog   = 5 * time.Second
	DefaultQueue      = 4
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
	// Queue is how many keyframes may wait; a further one drops the oldest.
	Queue int
}

// Stats are what a counter has done since New.
type Stats struct {
	Offered  uint64 // keyframes
	Answered uint64 // keyframes that the child counted or is learning from
	Unknown  uint64 // keyframes answered as unknown, for whatever reason
	Dropped  uint64 // of those: pushed out of the full queue
	Lost     uint64 // keyframes without any sample: dropped while nobody ran the counter, or after its end
	Samples  uint64 // samples given, of every quality
	Starts   uint64 // children that got through the handshake
	Restarts uint64 // attempts to start a child after the first
	// LastError is why the last child ended or did not start; empty before.
	LastError string
}

// Counter owns one child for one camera.
type Counter struct {
	cfg   Config
	out   func(context.Context, []camera.Sample)
	queue *queue

	pid atomic.Int64
	seq uint64 // owned by Run

	mu    sync.Mutex
	stats Stats // guarded by mu; Offered, Dropped and Lost are the queue's
}

// New checks the configuration and that the child is there. out gets the samples of one keyframe at a
// time, in the order of the keyframes, from the goroutine that runs Run; it must not wait for it.
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
	} {
		if *d.value == 0 {
			*d.value = d.byDef
		}
		if *d.value < 0 {
			return nil, fmt.Errorf("vision: camera %s: %s is %v: want a positive duration", cfg.Camera, d.name, *d.value)
		}
	}
	if cfg.Queue == 0 {
		cfg.Queue = DefaultQueue
	}
	if cfg.Queue < 1 {
		return nil, fmt.Errorf("vision: camera %s: Queue is %d: want at least 1", cfg.Camera, cfg.Queue)
	}
	return &Counter{cfg: cfg, out: out, queue: newQueue(cfg.Queue)}, nil
}

// Offer hands over one access unit and returns at once. Only keyframes are counted. Every keyframe
// offered while Run runs gets one sample per zone, if only to say that the number is unknown. The NAL
// units must not be changed afterwards.
func (c *Counter) Offer(f camera.Format, au camera.AccessUnit) {
	if au.Keyframe {
		c.queue.put(item{format: f, time: au.Time, nalus: au.NALUs})
	}
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
