package rtsp

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"klarsyn/camera"
)

// calls writes down what a sink is told.
type calls []string

func (c *calls) Up(camera.Format) { *c = append(*c, "up") }

func (c *calls) Put(_ camera.Format, au camera.AccessUnit) {
	*c = append(*c, fmt.Sprintf("put %v", au.DTS))
}

func (c *calls) Lost(_ time.Time, cause camera.Cause, err error) {
	*c = append(*c, "lost: "+string(cause)+": "+err.Error())
}
func (c *calls) Down(_ time.Time, err error) { *c = append(*c, "down: "+err.Error()) }

// delivering is a session that has begun, without its connection, whose clock agrees with its own.
func delivering(sink camera.Sink) *delivery {
	c := &Client{cam: camera.Camera{ID: "k1"}, cfg: Config{}.withDefaults(), log: slog.New(slog.DiscardHandler)}
	s := &session{c: c, began: time.Now(), wall: time.Now().Round(0).UTC(), units: make(chan unit, backlog)}
	return &delivery{session: s, sink: sink, clock: stamper{wall: s.wall}}
}

// picture is one that arrives as soon as it was taken.
func picture(at time.Duration, keyframe bool) unit {
	return unit{au: camera.AccessUnit{DTS: at, PTS: at, Keyframe: keyframe}, arrival: at}
}

// A camera may send pictures for ever and only one keyframe: no clip of it would ever end.
func TestStreamWithOneKeyframe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told calls
		d := delivering(&told)
		const patience = keyframePatience * 5 * time.Second
		last := time.Duration(0)
		feed := func(keyframe bool) error {
			u := picture(last, keyframe)
			last += time.Second
			time.Sleep(time.Second)
			return d.put(u)
		}
		for n := range 100 { // a keyframe in time, again and again
			if err := feed(n%30 == 0); err != nil {
				t.Fatalf("after %v: %v", last, err)
			}
		}
		if err := feed(true); err != nil {
			t.Fatal(err)
		}
		since := last - time.Second
		for last <= since+patience {
			if err := feed(false); err != nil {
				t.Fatalf("%v after the keyframe: %v", last-since, err)
			}
		}
		err := feed(false)
		if !errors.Is(err, ErrStalled) || !strings.Contains(err.Error(), "no further keyframe for 30s") {
			t.Errorf("%v after the keyframe: %v, want %v", patience, err, ErrStalled)
		}
	})
}

// What was received before a session ends is handed on, and what cannot be is counted.
func TestEndOfASessionLosesNothing(t *testing.T) {
	const end = "camera k1 ended the session"
	ended := errors.New(end)
	for name, c := range map[string]struct {
		waiting []unit
		set     time.Duration // the system clock, before the end
		told    []string
		dropped uint64
	}{
		"nothing waits": {nil, 0, []string{"up", "put 0s", "down: " + end}, 0},
		"pictures wait": {[]unit{picture(1*time.Second, false), picture(2*time.Second, true)}, 0, []string{"up", "put 0s", "put 1s", "put 2s", "down: " + end}, 0},
		"media time jumps": {[]unit{picture(1*time.Second, false), {au: camera.AccessUnit{DTS: time.Hour}, arrival: 20 * time.Second}, picture(2*time.Second, false)}, 0,
			[]string{"up", "put 0s", "put 1s", "down: camera k1 jumped by more than 2s in its media time: the session is begun anew"}, 2},
		"the system clock is set": {[]unit{picture(1*time.Second, false), picture(2*time.Second, true), picture(3*time.Second, false)}, time.Hour,
			[]string{"up", "put 0s", "put 1s", "down: camera k1 is received by a system clock that was set by 1h0m0s: the session is begun anew"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told calls
				d := delivering(&told)
				if err := d.put(picture(0, true)); err != nil {
					t.Fatal(err)
				}
				d.c.cfg.Now = func() time.Time { return time.Now().Add(c.set) }
				for _, u := range c.waiting {
					if !d.enqueue(u) {
						t.Fatal("no room")
					}
				}
				d.finish(ended)
				if !slices.Equal(told, c.told) {
					t.Errorf("told %q\nwant %q", told, c.told)
				}
				if n := d.c.Stats().Dropped; n != c.dropped {
					t.Errorf("%d pictures are counted as dropped, want %d", n, c.dropped)
				}
			})
		})
	}
}

// What waits for a slow machine is bounded in pictures and in bytes, and counts as waiting only until it is
// handed on.
func TestBacklogIsBounded(t *testing.T) {
	large := make([]byte, 8<<20)
	for name, c := range map[string]struct {
		nalus [][]byte
		room  int
	}{
		"small pictures": {[][]byte{{0x65}}, backlog},
		"large pictures": {[][]byte{large}, backlogBytes / len(large)},
		"in many slices": {slices.Repeat([][]byte{large[:1<<20]}, 8), backlogBytes / len(large)},
	} {
		t.Run(name, func(t *testing.T) {
			var told calls
			d := delivering(&told)
			u := picture(0, true)
			u.au.NALUs = c.nalus
			for round := range 2 {
				n := 0
				for d.enqueue(u) {
					n++
				}
				if n != c.room {
					t.Errorf("round %d: room for %d pictures, want %d", round, n, c.room)
				}
				for range n {
					if err := d.put(<-d.units); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}
