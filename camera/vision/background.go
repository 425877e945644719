package vision

import (
	"context"
	"fmt"
	"sync"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/vision/wire"
)

// Backgrounds keeps what a counter has learnt of a camera for the next one. It is a picture: it lies sealed, and not for
// ever.
type Backgrounds interface {
	Keep(ctx context.Context, id camera.ID, learnt []byte) error
	// Recall gives what was kept last; nil if that is nothing, or too old.
	Recall(ctx context.Context, id camera.ID) ([]byte, error)
}

// keepTimeout is how long keeping and recalling may take.
const keepTimeout = 10 * time.Second

// resume hands the child what another has learnt before it. Without that it learns anew: nothing here is a reason not to
// count. An error is the child's end.
func (c *Counter) resume(ctx context.Context, ch *child) error {
	if c.cfg.Backgrounds == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	learnt, err := c.cfg.Backgrounds.Recall(ctx, c.cfg.Camera)
	if err != nil {
		if ctx.Err() == nil {
			c.cfg.Log.Warn("what was learnt before cannot be read; the counter learns anew", "error", err)
		}
		return nil
	}
	if len(learnt) == 0 || len(learnt) > wire.MaxBackground {
		return nil
	}
	return ch.send(wire.Background{Data: learnt}, c.cfg.Watchdog)
}

// keeper keeps one background at a time, beside the counting.
type keeper struct {
	work sync.WaitGroup
	busy sync.Mutex
}

func (k *keeper) wait() { k.work.Wait() }

// keep asks the child from time to time what it has learnt, once it counts, and has that kept. An error is the child's end.
func (c *Counter) keep(ctx context.Context, ch *child, k *keeper) error {
	if c.cfg.Backgrounds == nil || !counted(c.last.samples) || time.Since(c.kept) < c.cfg.KeepEvery {
		return nil
	}
	if !k.busy.TryLock() {
		return nil
	}
	learnt, err := c.learnt(ch)
	if err != nil || len(learnt) == 0 {
		k.busy.Unlock()
		return err
	}
	c.kept = time.Now()
	k.work.Go(func() {
		defer k.busy.Unlock()
		ctx, cancel := context.WithTimeout(ctx, keepTimeout)
		defer cancel()
		if err := c.cfg.Backgrounds.Keep(ctx, c.cfg.Camera, learnt); err != nil {
			if ctx.Err() == nil {
				c.cfg.Log.Warn("what the counter has learnt is not kept; after a restart it learns anew", "error", err)
			}
			return
		}
		c.count(func(s *Stats) { s.Kept++ })
	})
	return nil
}

// learnt asks the child what it has learnt; nothing if there is nothing to be trusted.
func (c *Counter) learnt(ch *child) ([]byte, error) {
	if err := ch.send(wire.Background{}, c.cfg.Watchdog); err != nil {
		return nil, err
	}
	m, err := ch.receive(c.cfg.Watchdog)
	if err != nil {
		return nil, err
	}
	b, ok := m.(wire.Background)
	if !ok {
		return nil, fmt.Errorf("asked what it has learnt it answered %T: %w", m, wire.ErrMalformed)
	}
	return b.Data, nil
}
