package vision

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/coded"
)

// film has ffmpeg code a picture in which something moves, or nothing, and gives its access units.
func film(t *testing.T, args ...string) *coded.Track {
	t.Helper()
	path := filepath.Join(t.TempDir(), "film.mp4")
	args = append(append([]string{"-nostdin", "-v", "error", "-f", "lavfi"}, args...), "-threads", "1", path)
	if out, err := exec.Command("ffmpeg", args...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v (run deploy/setup.sh)\n%s", err, out)
	}
	track, err := coded.LoadMP4(path)
	if err != nil {
		t.Fatal(err)
	}
	return track
}

// play offers a film's access units one after another, at the times at which they are shown, and waits while too many are
// on their way. It gives the times of those that are to be counted.
func play(t *testing.T, c *Counter, s *sink, track *coded.Track, from time.Time, every int) (looks []time.Time, end time.Time) {
	t.Helper()
	due, since := from, 0
	for i, f := range track.Frames {
		at := due.Add(f.PTSOffset)
		due = due.Add(f.Duration)
		if since++; f.Keyframe {
			since = 0
		}
		if f.Keyframe || every > 0 && since%every == 0 {
			looks = append(looks, at)
		}
		c.Offer(track.Format, camera.AccessUnit{Time: at, Keyframe: f.Keyframe, NALUs: f.NALUs})
		if i%8 == 7 {
			within(t, 20*time.Second, "answers", func() bool { return c.queue.length() == 0 })
		}
	}
	return looks, due
}

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}

// Every n'th picture has one sample of each zone at the time at which it is shown, also when pictures lean on later ones.
func TestEveryNth(t *testing.T) {
	moving := func(codec ...string) *coded.Track {
		return film(t, append([]string{"-i", "testsrc2=rate=10:size=320x240", "-frames:v", "60", "-g", "20"}, codec...)...)
	}
	for name, track := range map[string]*coded.Track{
		"H.264, none reordered": moving("-c:v", "libx264", "-bf", "0"),
		"H.264, reordered":      moving("-c:v", "libx264", "-bf", "3"),
		"H.265, reordered":      moving("-c:v", "libx265", "-x265-params", "log-level=none:bframes=3:open-gop=0"),
	} {
		for _, every := range []int{1, 3} {
			t.Run(name, func(t *testing.T) {
				c, s, stop := run(t, Config{Path: program(binary), Learning: 3, Every: every})
				within(t, 20*time.Second, "start", func() bool { return c.PID() != 0 })
				looks, end := play(t, c, s, track, epoch, every)
				play(t, c, s, track, end, every) // shows what was held back
				for _, at := range looks {
					within(t, 20*time.Second, "a sample at "+at.Format(time.TimeOnly), func() bool { return len(s.at(at)) == 2 })
					if q := s.at(at)[0].Quality; !q.Looked() {
						t.Errorf("at %s it is %s", at.Format("05.000"), q)
					}
				}
				stop()
				st := c.Stats()
				if len(s.samples()) != 2*2*len(looks) || st.Offered != uint64(2*len(looks)) || st.Answered+st.Unknown != st.Offered || st.Dropped+st.Lost != 0 {
					t.Errorf("%d pictures to be counted, %d samples: %+v", 2*len(looks), len(s.samples()), st)
				}
			})
		}
	}
}

// A child that dies in the middle costs what leans on what it had; the next keyframe is counted by the next.
func TestStreamSurvivesItsChild(t *testing.T) {
	track := film(t, "-i", "testsrc2=rate=10:size=320x240", "-frames:v", "40", "-g", "20", "-c:v", "libx264", "-bf", "2")
	c, s, stop := run(t, Config{Path: program(binary), Learning: 3, Every: 2, BackoffMin: 10 * time.Millisecond})
	within(t, 20*time.Second, "start", func() bool { return c.PID() != 0 })
	first, end := play(t, c, s, track, epoch, 2)
	pid := signal(t, c, syscall.SIGKILL)
	within(t, 20*time.Second, "restart", func() bool { return c.PID() != 0 && c.PID() != pid })
	second, end := play(t, c, s, track, end, 2)
	play(t, c, s, track, end, 2)
	for _, at := range append(first, second...) {
		within(t, 20*time.Second, "a sample at "+at.Format(time.TimeOnly), func() bool { return len(s.at(at)) == 2 })
	}
	if q := s.at(second[0])[0].Quality; q != camera.QualityLearning {
		t.Errorf("the first keyframe after the restart is %s", q)
	}
	stop()
	if st := c.Stats(); uint64(len(s.samples())) != 2*st.Offered {
		t.Errorf("%d samples: %+v", len(s.samples()), st)
	}
}

// The queue drops up to a keyframe, and says of each picture that was to be counted that it was not.
func TestQueueDropsWholeGOPs(t *testing.T) {
	q := newQueue(6)
	q.open()
	put := func(n int, key bool) {
		q.put(item{time: epoch.Add(time.Duration(n) * time.Second), keyframe: key, look: n%2 == 0})
	}
	for n := range 6 {
		put(n, n == 0 || n == 4)
	}
	put(6, false)
	skipped, it, ok := q.take()
	if len(skipped) != 2 || !ok || !it.keyframe || it.time != epoch.Add(4*time.Second) {
		t.Errorf("a keyframe waits behind the dropped GOP: %v, %+v", skipped, it)
	}
	for n := 7; n < 20; n++ { // no keyframe any more: all of it goes, and what comes, too
		put(n, false)
	}
	skipped, it, ok = q.take()
	if ok || len(skipped) != 7 {
		t.Errorf("without a keyframe nothing is of use: %v, %+v", skipped, it)
	}
	put(20, true)
	if _, it, ok = q.take(); !ok || it.time != epoch.Add(20*time.Second) {
		t.Errorf("the next keyframe is taken: %+v", it)
	}
	if offered, dropped, lost := q.counts(); offered != 11 || dropped != 9 || lost != 0 {
		t.Errorf("offered %d, dropped %d, lost %d", offered, dropped, lost)
	}
}

// A camera that sends small pictures when nobody moves has most keyframes of that time passed over, and each gets the
// samples of the one before; a body on the move is looked at within one GOP. At constant bit rate nothing is passed over.
func TestGateOnCodedFilms(t *testing.T) {
	// A box walks through the picture for a third of a minute of two.
	walk := "color=c=gray:rate=10:size=320x240,noise=alls=3:allf=t[a];color=c=black:rate=10:size=18x60[b];" +
		"[a][b]overlay=x='mod(n\\,600)*4-20':y=120:enable='lt(mod(n\\,600)\\,90)'[out0]"
	for name, tt := range map[string]struct {
		args []string
		want GateState
	}{
		"variable": {[]string{"-c:v", "libx264", "-bf", "0", "-crf", "23", "-preset", "veryfast"}, GateOpen},
		"constant": {[]string{"-c:v", "libx264", "-bf", "0", "-preset", "veryfast", "-b:v", "300k", "-minrate", "300k", "-maxrate", "300k",
			"-bufsize", "60k", "-x264-params", "nal-hrd=cbr:filler=1"}, GateHidden},
	} {
		t.Run(name, func(t *testing.T) {
			track := film(t, append([]string{"-i", walk, "-frames:v", "1200", "-g", "10", "-sc_threshold", "0"}, tt.args...)...)
			c, s, stop := run(t, Config{Path: program(binary), Gate: true, Queue: 16})
			within(t, 20*time.Second, "start", func() bool { return c.PID() != 0 })
			looks, end := play(t, c, s, track, epoch, 0)
			taught := c.Stats().Passed
			more, _ := play(t, c, s, track, end, 0)
			looks = append(looks, more...)
			within(t, 20*time.Second, "samples", func() bool { return len(s.samples()) == 2*len(looks) })
			stop()
			st := c.Stats()
			t.Logf("%+v", st)
			passed := float64(st.Passed-taught) / float64(len(more))
			if tt.want == GateOpen && (st.Gate != GateOpen || passed < 0.4) || tt.want != GateOpen && st.Passed > 0 {
				t.Errorf("the gate is %s and passes %.0f %% over", st.Gate, 100*passed)
			}
			// While the box walks, from the second keyframe on, somebody is counted.
			missed := 0
			for n := 2; n < 8; n++ {
				at := end.Add(time.Duration(n) * time.Second)
				west, east := s.at(at)[0], s.at(at)[1]
				if west.Quality == camera.QualityOK && west.Present+east.Present == 0 {
					missed++
				}
			}
			if missed > 1 {
				t.Errorf("the box was missed in %d of 6 keyframes", missed)
			}
		})
	}
}
