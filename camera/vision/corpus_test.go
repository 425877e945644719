package vision

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/decode/hostile"
	"klarsyn/camera/vision/wire"
)

// asked has keyframes counted, one after the other, each at a time of its own.
type asked struct {
	c    *Counter
	s    *sink
	n    int
	peak map[int]int // of each child, in KiB
}

func (a *asked) ask(t *testing.T, f camera.Format, nalus [][]byte) camera.Sample {
	t.Helper()
	a.n++
	when := epoch.Add(time.Duration(a.n) * time.Second)
	a.c.Offer(f, camera.AccessUnit{Time: when, Keyframe: true, NALUs: nalus})
	within(t, 30*time.Second, "samples", func() bool { return len(a.s.at(when)) == 2 })
	if pid := a.c.PID(); pid != 0 {
		a.peak[pid] = max(a.peak[pid], kilobytes(pid, "VmHWM"))
	}
	return a.s.at(when)[0]
}

// good offers good pictures until one is counted: who has seen the others learns anew.
func (a *asked) good(t *testing.T, film hostile.Film) {
	t.Helper()
	for n := 0; a.ask(t, film.Format, film.Keys()[n%3]).Quality != camera.QualityOK; n++ {
		if n > 40 {
			t.Fatalf("good pictures are not counted: %+v", a.c.Stats())
		}
	}
}

// kilobytes is what the kernel says of a process; 0 if it is gone.
func kilobytes(pid int, key string) int {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	_, rest, ok := strings.Cut(string(status), key+":")
	if !ok {
		return 0
	}
	n, _ := strconv.Atoi(strings.Fields(rest)[0])
	return n
}

// The whole corpus through a real child: each keyframe is answered once, what is damaged is unknown and never a number,
// deaths are counted, the next good pictures are counted, and the child holds what a child may hold.
func TestCorpus(t *testing.T) {
	for _, codec := range []camera.Codec{camera.H264, camera.H265} {
		t.Run(string(codec), func(t *testing.T) {
			film := hostile.Code(t, codec, "320x240")
			c, s, stop := run(t, Config{Path: program(binary), Learning: 3, BackoffMin: 20 * time.Millisecond, Queue: 64})
			a := &asked{c: c, s: s, peak: map[int]int{}}
			within(t, 20*time.Second, "start", func() bool { return c.PID() != 0 })
			var beyond uint64
			for i, m := range hostile.Corpus(t, film) {
				if i%25 == 0 || len(m.NALUs) > wire.MaxNALUs { // what the parent refuses must find a child that lives
					a.good(t, film)
				}
				before := c.Stats()
				got := a.ask(t, m.Format, m.NALUs)
				after := c.Stats()
				if m.Want == hostile.Refused && got.Quality.Looked() {
					t.Errorf("%s: %+v, want unknown", m.Name, got)
				}
				if !got.Quality.Looked() && (got.Present != 0 || got.High != 0) {
					t.Errorf("%s: %+v is unknown, and a number", m.Name, got)
				}
				if after.Unknown-before.Unknown+after.Answered-before.Answered != 1 {
					t.Errorf("%s: answered not once: %+v, then %+v", m.Name, before, after)
				}
				// For what is whole there may be no memory after a flood; the next child has it.
				for tries := 0; m.Want == hostile.Whole && !a.ask(t, m.Format, m.NALUs).Quality.Looked(); tries++ {
					if tries > 40 {
						t.Fatalf("%s: unknown, want counted: %+v", m.Name, c.Stats())
					}
				}
				if len(m.NALUs) > wire.MaxNALUs {
					beyond++
					if after.Starts != before.Starts || c.PID() == 0 {
						t.Errorf("%s: it reached the child", m.Name)
					}
				}
			}
			a.good(t, film)
			if got := c.Stats().Refused; got != beyond || beyond == 0 {
				t.Errorf("%d were beyond what the protocol carries, %d were refused", beyond, got)
			}
			checkAnswers(t, a, stop, hardLimit)
		})
	}
}

// What a child may hold, in KiB.
const (
	normal = 170 << 10
	// hardLimit is what the kernel lets it: RLIMIT_DATA is 256 MiB, of which thread stacks and the like are counted and
	// not held, and its program and libraries come on top.
	hardLimit = 256 << 10
)

// checkAnswers ends a counter and holds what it did against what it says of it.
func checkAnswers(t *testing.T, a *asked, stop func(), limit int) {
	t.Helper()
	stop()
	st := a.c.Stats()
	t.Logf("%d keyframes: %+v; peaks in KiB: %v", a.n, st, a.peak)
	if len(a.s.samples()) != 2*a.n || st.Answered+st.Unknown != uint64(a.n) || st.Offered != uint64(a.n) || st.Lost+st.Dropped != 0 {
		t.Errorf("%d keyframes of two zones gave %d samples: %+v", a.n, len(a.s.samples()), st)
	}
	if st.Restarts+1 < uint64(len(a.peak)) || st.Starts != st.Restarts+1 {
		t.Errorf("%d children were there: %+v", len(a.peak), st)
	}
	if strings.Contains(st.LastError, "forbids") {
		t.Errorf("a picture made FFmpeg want what the sandbox forbids: %s", st.LastError)
	}
	for pid, peak := range a.peak {
		if peak > limit {
			t.Errorf("child %d held %d MB, want at most %d", pid, peak>>10, limit>>10)
		}
	}
}

// Another size, codec and colour format with every keyframe: the child builds everything anew each time and keeps none
// of it.
func TestFormatsInTurn(t *testing.T) {
	films := []hostile.Film{
		hostile.Code(t, camera.H264, "320x240"), hostile.Code(t, camera.H265, "1280x720"),
		hostile.Code(t, camera.H264, "1600x900", "-pix_fmt", "yuv422p"), hostile.Code(t, camera.H265, "640x640", "-pix_fmt", "yuv420p10le"),
	}
	c, s, stop := run(t, Config{Path: program(binary), Learning: 3, Queue: 64})
	a := &asked{c: c, s: s, peak: map[int]int{}}
	// The heap has its size after some hundreds: until then its pieces find their places.
	const settled, pictures = 250, 500
	within(t, 20*time.Second, "start", func() bool { return c.PID() != 0 })
	pid, before := c.PID(), 0
	for n := range pictures {
		film := films[n%len(films)]
		if got := a.ask(t, film.Format, film.Keys()[n%3]); got.Quality != camera.QualityLearning {
			t.Fatalf("picture %d: %+v, want learning: none is of its predecessor's size; %s", n, got, c.Stats().LastError)
		}
		if n == settled {
			before = kilobytes(pid, "VmHWM")
		}
	}
	after := kilobytes(pid, "VmHWM")
	t.Logf("at most %d MB in %d pictures, %d MB in %d", before>>10, settled, after>>10, pictures)
	if c.PID() != pid || after-before > 8<<10 {
		t.Errorf("child %d became %d and %d MB became %d", pid, c.PID(), before>>10, after>>10)
	}
	checkAnswers(t, a, stop, normal)
}

// A child that floods have left without memory for large pictures makes room for one that has it: a camera that sent
// nonsense once is not unknown for ever.
func TestCountsAfterFloods(t *testing.T) {
	small, large := hostile.Code(t, camera.H264, "320x240"), hostile.Code(t, camera.H264, "4096x2304")
	c, s, stop := run(t, Config{Path: program(binary), Learning: 3, BackoffMin: 20 * time.Millisecond, Queue: 64})
	a := &asked{c: c, s: s, peak: map[int]int{}}
	within(t, 20*time.Second, "start", func() bool { return c.PID() != 0 })
	for range 3 {
		for _, m := range hostile.Corpus(t, small) {
			if strings.HasPrefix(m.Name, "flood/") {
				a.ask(t, m.Format, m.NALUs)
			}
		}
		a.good(t, large)
		a.good(t, small)
	}
	checkAnswers(t, a, stop, hardLimit)
}
