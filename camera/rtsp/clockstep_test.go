package rtsp_test

import (
	"sync/atomic"
	"testing"
	"time"

	"klarsyn/camera/rtsp"
)

// A system clock that is set during a session would make every stamp of it wrong: the session ends with
// that word, and the next one goes by the clock as it is then. It is the same when the clock is put right.
func TestSystemClockIsSet(t *testing.T) {
	t.Parallel()
	_, _, cam := square(t, "plain.mp4")
	var ahead atomic.Int64
	c, s := patient(t, cam, rtsp.Config{
		FrameTimeout: loaded,
		Now:          func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	s.mayStepBack()
	s.next("put")
	for n, set := range []time.Duration{3 * time.Hour, 0} {
		ahead.Store(int64(set))
		if down := s.next("down"); !isError(down.err, rtsp.ErrSystemClock) {
			t.Fatalf("down: %v, want %v", down.err, rtsp.ErrSystemClock)
		}
		s.next("up")
		for range 15 { // over the next keyframe
			au := s.next("put").au
			if off := (time.Until(au.Time) - set).Abs(); off > loaded {
				t.Errorf("a picture is stamped %s away from the clock", off)
			}
		}
		if st := c.Stats(); st.Failures != uint64(n+1) || st.Sessions != uint64(n+2) {
			t.Errorf("after %d steps: %+v", n+1, st)
		}
	}
}
