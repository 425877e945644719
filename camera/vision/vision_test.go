package vision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"klarsyn/camera"
	"klarsyn/camera/vision/wire"
)

var epoch = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// offer gives keyframe n, made of the clip's n-th, at its time.
func offer(c *Counter, v clip, n int) time.Time {
	when := epoch.Add(time.Duration(n) * 2 * time.Second)
	c.Offer(v.format, camera.AccessUnit{Time: when, Keyframe: true, NALUs: v.keys[n%len(v.keys)]})
	return when
}

func TestCounts(t *testing.T) {
	v := testClip(t, 6)
	c, s, stop := run(t, Config{Path: program(binary), Learning: 3})
	for n := range v.keys {
		c.Offer(v.format, camera.AccessUnit{Time: epoch, NALUs: [][]byte{{0x41, 1}}}) // no keyframe: not counted
		when := offer(c, v, n)
		within(t, 20*time.Second, "samples", func() bool { return len(s.at(when)) == 2 })
	}
	stop()
	for i, got := range s.samples() {
		n, zone := i/2, zones().Zones[i%2].ID
		want := camera.QualityOK
		if n < 3 {
			want = camera.QualityLearning
		}
		if got.Camera != "k1" || got.Zone != zone || got.Quality != want || !got.Time.Equal(epoch.Add(time.Duration(n)*2*time.Second)) {
			t.Errorf("sample %d: got %+v, want zone %s, quality %s", i, got, zone, want)
		}
		if got.Moving > got.Present || got.Low > got.Present || got.High < got.Present {
			t.Errorf("sample %d: %+v", i, got)
		}
	}
	if got, want := c.Stats(), (Stats{Offered: 6, Answered: 6, Samples: 12, Starts: 1, Gate: GateOff}); got != want {
		t.Errorf("stats: got %+v, want %+v", got, want)
	}
	if c.PID() != 0 {
		t.Errorf("PID is %d after Run", c.PID())
	}
}

// A time for which there is no picture is unknown in every zone, in order with what was counted.
func TestMissedPicture(t *testing.T) {
	v := testClip(t, 2)
	c, s, stop := run(t, Config{Path: program(binary), Learning: 3})
	first := offer(c, v, 0)
	gone := epoch.Add(time.Second)
	c.Miss(gone)
	second := offer(c, v, 1)
	within(t, 20*time.Second, "samples", func() bool { return len(s.at(second)) == 2 })
	stop()
	var order []time.Time
	for _, got := range s.samples() {
		order = append(order, got.Time)
		if got.Time.Equal(gone) != (got.Quality == camera.QualityUnknown) {
			t.Errorf("at %s the count is %s", got.Time, got.Quality)
		}
	}
	if want := []time.Time{first, first, gone, gone, second, second}; !slices.EqualFunc(order, want, time.Time.Equal) {
		t.Errorf("samples at %v, want %v", order, want)
	}
	if st := c.Stats(); st.Offered != 2 || st.Unknown != 1 || st.Lost != 0 {
		t.Errorf("stats: %+v", st)
	}
}

// Children that share Starting load their libraries in turn: who waits keeps its picture, and counts it afterwards.
func TestStartsInTurn(t *testing.T) {
	v := testClip(t, 1)
	turns := semaphore.NewWeighted(1)
	if !turns.TryAcquire(1) {
		t.Fatal("a new semaphore has no place")
	}
	c, s, stop := run(t, Config{Path: program(binary), Starting: turns})
	when := offer(c, v, 0)
	time.Sleep(time.Second)
	if c.PID() != 0 || len(s.samples()) != 0 {
		t.Errorf("it is not its turn: process %d, samples %v", c.PID(), s.samples())
	}
	turns.Release(1)
	within(t, 40*time.Second, "samples", func() bool { return len(s.at(when)) == 2 })
	if !s.at(when)[0].Quality.Looked() || !turns.TryAcquire(1) {
		t.Errorf("it counted %+v, and keeps its turn", s.at(when)[0])
	}
	stop()
	// Who is to end does not wait for a turn that never comes.
	_, _, stop = run(t, Config{Path: program(binary), Starting: turns})
	stop()
}

// A child that is killed is noticed, and while it is away the decoder is lost.
func TestKilledChild(t *testing.T) {
	v := testClip(t, 2)
	c, s, _ := run(t, Config{Path: program(binary), BackoffMin: time.Minute}) // it stays away for the rest of the test
	last := offer(c, v, 0)
	within(t, 20*time.Second, "first sample", func() bool { return len(s.at(last)) == 2 })
	signal(t, c, syscall.SIGKILL)
	within(t, 10*time.Second, "notice of the death", func() bool { return c.PID() == 0 })
	dead := offer(c, v, 1)
	within(t, 10*time.Second, "unknown", func() bool { return len(s.at(dead)) == 2 })
	for _, got := range s.at(dead) {
		if got.Quality != camera.QualityDecoderLost {
			t.Errorf("while the child is dead: %+v, want decoder-lost", got)
		}
	}
	if st := c.Stats(); st.Restarts != 0 || st.Starts != 1 || !strings.Contains(st.LastError, "killed") {
		t.Errorf("stats: %+v", st)
	}
}

// A child that was killed is back in two seconds, and learns anew. On a machine that is busy with something
// else, as its first start shows, nobody can promise that.
func TestKilledChildIsBack(t *testing.T) {
	v := testClip(t, 2)
	c, s, _ := run(t, Config{Path: program(binary), Learning: 3})
	start := within(t, 20*time.Second, "start", func() bool { return c.PID() != 0 })
	last := offer(c, v, 0)
	within(t, 20*time.Second, "first sample", func() bool { return len(s.at(last)) == 2 })
	pid := signal(t, c, syscall.SIGKILL)
	took := within(t, 20*time.Second, "restart", func() bool { return c.PID() != 0 && c.PID() != pid })
	bound := 2 * time.Second
	if start > time.Second {
		bound = 10 * time.Second
	}
	t.Logf("back after %v, the first start took %v", took, start)
	if took > bound {
		t.Errorf("the child was back after %v, want %v", took, bound)
	}
	after := offer(c, v, 1)
	within(t, 20*time.Second, "sample of the new child", func() bool { return len(s.at(after)) == 2 })
	if got := s.at(after)[0]; got.Quality != camera.QualityLearning {
		t.Errorf("the new child says %+v, want learning", got)
	}
	if st := c.Stats(); st.Restarts != 1 || st.Starts != 2 {
		t.Errorf("stats: %+v", st)
	}
}

func TestSilentChild(t *testing.T) {
	v := testClip(t, 2)
	c, s, _ := run(t, Config{Path: program(binary), Watchdog: 3 * time.Second})
	first := offer(c, v, 0)
	within(t, 20*time.Second, "first sample", func() bool { return len(s.at(first)) == 2 })
	pid := signal(t, c, syscall.SIGSTOP)
	when := offer(c, v, 1)
	within(t, 20*time.Second, "the watchdog's sample", func() bool { return len(s.at(when)) == 2 })
	if got := s.at(when)[0]; got.Quality != camera.QualityDecoderLost {
		t.Errorf("got %+v, want decoder-lost", got)
	}
	within(t, 20*time.Second, "restart", func() bool { return c.PID() != 0 && c.PID() != pid })
	if alive(pid) {
		t.Error("the silent child lives on")
	}
	if st := c.Stats(); !strings.Contains(st.LastError, "no answer for 3s") {
		t.Errorf("stats: %+v", st)
	}
}

// Every keyframe offered is answered once for every zone, whatever happens to children and queue.
func TestEveryKeyframeIsAnswered(t *testing.T) {
	v := testClip(t, 5)
	c, s, stop := run(t, Config{Path: program(binary), Learning: 3, BackoffMin: 20 * time.Millisecond})
	within(t, 20*time.Second, "start", func() bool { return c.PID() != 0 })
	began := time.Now()
	n, kill := 0, uint64(20)
	// Until every kind was seen: counted, unknown, and a child that came back and counts again.
	for st := c.Stats(); n < 400 || st.Restarts < 2 || st.Unknown == 0 || st.Answered < kill; st = c.Stats() {
		if time.Since(began) > 2*time.Minute {
			t.Fatalf("the test saw too little: %+v", st)
		}
		offer(c, v, n)
		n++
		if st.Restarts < 3 && st.Answered >= kill && c.PID() != 0 {
			signal(t, c, syscall.SIGKILL)
			kill = st.Answered + 20
		}
		time.Sleep(7 * time.Millisecond)
	}
	stop()
	count := map[string]int{}
	last := map[string]time.Time{}
	for _, got := range s.samples() {
		count[fmt.Sprint(got.Zone, got.Time)]++
		if !got.Time.After(last[got.Zone]) {
			t.Errorf("%v of %s comes after %v", got.Time, got.Zone, last[got.Zone])
		}
		last[got.Zone] = got.Time
	}
	st := c.Stats()
	t.Logf("%+v", st)
	if len(count) != 2*n || len(s.samples()) != 2*n || st.Samples != uint64(2*n) || st.Answered+st.Unknown != uint64(n) || st.Lost != 0 {
		t.Errorf("%d keyframes of two zones gave %d different of %d samples; %+v", n, len(count), len(s.samples()), st)
	}
	if strings.Contains(st.LastError, "forbids") {
		t.Errorf("an ordinary picture broke the sandbox: %s", st.LastError)
	}
	c.Offer(v.format, camera.AccessUnit{Keyframe: true})
	if c.Stats().Lost != 1 {
		t.Error("a keyframe offered after the end is not counted as lost")
	}
}

// The child is not trusted: what it says counts only as the answer to what it was asked.
func TestAnswerToSomethingElse(t *testing.T) {
	zone := func(id string) wire.Sample {
		return wire.Sample{Zone: id, Present: 1, High: 2, Quality: camera.QualityOK}
	}
	both := []wire.Sample{zone("west"), zone("east")}
	for name, tc := range map[string]struct {
		said wire.Samples
		want string
	}{
		"the answer":             {wire.Samples{Seq: 7, Time: epoch, Zones: both}, ""},
		"of an earlier keyframe": {wire.Samples{Seq: 6, Time: epoch, Zones: both}, "picture 6, which is not due"},
		"of another time":        {wire.Samples{Seq: 7, Time: epoch.Add(-time.Microsecond), Zones: both}, "11:59:59.999999Z"},
		"of one zone":            {wire.Samples{Seq: 7, Time: epoch, Zones: both[:1]}, "1 zones of 2"},
		"a number and a fault":   {wire.Samples{Seq: 7, Time: epoch, Zones: both, Fault: "no picture"}, "although it could not"},
		"of another zone":        {wire.Samples{Seq: 7, Time: epoch, Zones: []wire.Sample{zone("west"), zone("north")}}, `"north"`},
	} {
		t.Run(name, func(t *testing.T) {
			var samples []camera.Sample
			c, err := New(Config{Path: program(binary), Camera: "k1", Profile: zones()}, func(_ context.Context, s []camera.Sample) { samples = s })
			if err != nil {
				t.Fatal(err)
			}
			c.due = []due{{seq: 7, time: epoch.Add(900)}} // a picture's time is finer than what is sent
			err = c.shown(t.Context(), tc.said)
			if tc.want == "" {
				if err != nil || len(samples) != 2 || len(c.due) != 0 {
					t.Errorf("got %+v, %v", samples, err)
				}
				return
			}
			if !errors.Is(err, wire.ErrMalformed) || !strings.Contains(err.Error(), tc.want) || samples != nil || len(c.due) != 1 {
				t.Errorf("got %+v, %v; want %q", samples, err, tc.want)
			}
		})
	}
}

func TestChildThatIsNotSandboxed(t *testing.T) {
	v := testClip(t, 1)
	c, s, _ := run(t, Config{Path: program("unsandboxed"), BackoffMin: 20 * time.Millisecond})
	when := offer(c, v, 0)
	within(t, 10*time.Second, "refusal", func() bool { return c.Stats().LastError != "" && len(s.at(when)) == 2 })
	st := c.Stats()
	if !strings.Contains(st.LastError, "not sandboxed") || !strings.Contains(st.LastError, "Seccomp 0, want 2") {
		t.Errorf("error: %s", st.LastError)
	}
	if strings.Contains(st.LastError, "GOT A BYTE") || st.Starts != 0 {
		t.Errorf("it was given something: %+v", st)
	}
	if got := s.at(when)[0]; got.Quality != camera.QualityDecoderLost {
		t.Errorf("got %+v, want decoder-lost", got)
	}
	ch, err := start(program("unsandboxed"), wire.ModeCount, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ch.stop()
	if err := ch.greet(time.Second); !errors.Is(err, ErrNotSandboxed) {
		t.Errorf("got %v, want ErrNotSandboxed", err)
	}
}

func TestChildOfAnotherBuild(t *testing.T) {
	ch, err := start(program("otherbuild"), wire.ModeCount, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ch.stop()
	err = ch.greet(time.Second)
	if !errors.Is(err, wire.ErrBuild) || !strings.Contains(err.Error(), "0000000000000000") ||
		!strings.Contains(err.Error(), wire.ThisBuild().Protocol) {
		t.Errorf("got %v, want both builds named", err)
	}
}

// The child gets its mode and three pipes, and nothing of ours: our environment holds credentials.
func TestWhatAChildInherits(t *testing.T) {
	t.Setenv("KLARSYN_SECRET", "hunter2")
	inherited, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = inherited.Close() }()
	ch, err := start(program("tells"), wire.ModeCount, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ch.stop()
	err = ch.greet(time.Second)
	// What our own starter left open for us is handed on by the kernel; the drop closes it.
	if err == nil || !strings.Contains(err.Error(), `args=["count"] env=[]`) || strings.Contains(err.Error(), "passwd") {
		t.Errorf("got %v", err)
	}
}

func TestBabblingChild(t *testing.T) {
	var log bytes.Buffer
	ch, err := start(program("babbles"), wire.ModeCount, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	err = ch.greet(time.Second)
	ch.stop()
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "line with  [31m colour") {
		t.Errorf("got %.300v", err)
	}
	if n := strings.Count(log.String(), "\n"); n != maxLines+1 {
		t.Errorf("%d lines of log, want %d", n, maxLines+1)
	}
	if strings.Contains(log.String(), "\x1b") || log.Len() > (maxLines+1)*(wire.MaxText+200) {
		t.Errorf("log of %d bytes is not sanitised", log.Len())
	}
}

func TestNewRefuses(t *testing.T) {
	good := Config{Path: program(binary), Camera: "k1", Profile: zones()}
	for name, change := range map[string]func(*Config){
		"K 1":                  func(c *Config) { c.Camera = "K 1" },
		"has 0 zones":          func(c *Config) { c.Profile.Zones = nil },
		"want at least 3":      func(c *Config) { c.Profile.Zones = []camera.Zone{{ID: "a"}} },
		"positive duration":    func(c *Config) { c.Watchdog = -1 },
		"Queue is -1":          func(c *Config) { c.Queue = -1 },
		"not an executable":    func(c *Config) { c.Path = programs },
		"name it with --visio": func(c *Config) { c.Path = program("missing") },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
}

func TestFindBinaryIgnoresPath(t *testing.T) {
	t.Setenv("PATH", programs+":"+os.Getenv("PATH"))
	if path, err := FindBinary(""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %q, %v: found by PATH", path, err)
	}
	t.Chdir(programs)
	if path, err := FindBinary("./" + binary); err != nil || !filepath.IsAbs(path) {
		t.Errorf("got %q, %v, want an absolute path", path, err)
	}
}
