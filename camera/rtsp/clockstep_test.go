package rtsp_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"klarsyn/camera/rtsp"
)

// A system clock that is set during a session would make every stamp of it wrong: the session ends with
// that word, and the next one goes by the clock as it is then.
func TestSystemClockIsSet(t *testing.T) {
	_, _, cam := square(t, "plain.mp4")
	var ahead atomic.Int64
	c, err := rtsp.New(cam, rtsp.Config{
		FrameTimeout: 2 * time.Second, BackoffMin: 20 * time.Millisecond, BackoffMax: 200 * time.Millisecond,
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	s := newSink(t)
	run(t, func(ctx context.Context) error { return c.Run(ctx, s) })
	s.next("put")
	ahead.Store(int64(3 * time.Hour))
	if down := s.next("down"); !isError(down.err, rtsp.ErrSystemClock) {
		t.Fatalf("down: %v, want %v", down.err, rtsp.ErrSystemClock)
	}
	s.next("up")
	au := s.next("put").au
	if off := time.Until(au.Time) - 3*time.Hour; off < -5*time.Second || off > 5*time.Second {
		t.Errorf("the next session is stamped %s away from the clock", off)
	}
}
