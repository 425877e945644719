package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/coded"
	"klarsyn/camera/scene"
	"klarsyn/camera/vision"
)

// sceneFeed is one loop of a synthetic square, encoded once by klarsyn-vision while it is being served
// already.
type sceneFeed struct {
	fps    int
	mu     sync.Mutex
	grown  chan struct{} // closed and replaced when something was added
	format *camera.Format
	frames []coded.Frame
	whole  bool
	err    error
}

func newSceneFeed(fps int) *sceneFeed { return &sceneFeed{fps: fps, grown: make(chan struct{})} }

// encode fills the feed; it returns when the loop is complete.
func (f *sceneFeed) encode(ctx context.Context, visionPath string, cfg scene.Config) error {
	spec, err := json.Marshal(cfg)
	if err != nil {
		return fmt.Errorf("scene: %w", err)
	}
	err = vision.EncodeScene(ctx, visionPath, spec,
		func(format camera.Format) { f.change(func() { f.format = &format }) },
		func(_ int, e vision.Encoded) {
			f.change(func() {
				f.frames = append(f.frames, coded.Frame{NALUs: e.NALUs, Keyframe: e.Keyframe, Duration: time.Second / time.Duration(f.fps)})
			})
		})
	f.change(func() { f.whole, f.err = err == nil, err })
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("simulated camera: %w", err)
	}
	return nil
}

func (f *sceneFeed) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	close(f.grown)
	f.grown = make(chan struct{})
}

// wait blocks until ready says so, the encoder failed, or ctx ends.
func (f *sceneFeed) wait(ctx context.Context, ready func() bool) error {
	for {
		f.mu.Lock()
		ok, err, grown := ready(), f.err, f.grown
		f.mu.Unlock()
		if ok {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grown:
		}
	}
}

// Format is known as soon as the encoder has begun.
func (f *sceneFeed) Format(ctx context.Context) (camera.Format, error) {
	if err := f.wait(ctx, func() bool { return f.format != nil }); err != nil {
		return camera.Format{}, err
	}
	return *f.format, nil
}

// Frame is the n-th picture of an endless camera.
func (f *sceneFeed) Frame(ctx context.Context, n int) (coded.Frame, error) {
	at := func() int {
		if f.whole {
			return n % len(f.frames)
		}
		return n
	}
	if err := f.wait(ctx, func() bool { return len(f.frames) > 0 && at() < len(f.frames) }); err != nil {
		return coded.Frame{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.frames[at()], nil
}
