package vision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"klarsyn/camera"
)

// programs is where TestMain puts the child and the fakes; the tests only read it.
var programs string

// TestMain builds the child once, always without the race detector, whose runtime makes system calls
// that the sandbox kills for. KLARSYN_VISION names a child built already.
func TestMain(m *testing.M) {
	if os.Getenv("KLARSYN_TEST_PARENT") != "" {
		beParent()
		return
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "klarsyn-vision-test")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		programs = dir
		if err := buildPrograms(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

func buildPrograms(dir string) error {
	// Another user's child must find it, too.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	build := func(name, what string) error {
		cmd := exec.Command("go", "build", "-race=false", "-o", filepath.Join(dir, name), what)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w (run deploy/setup.sh)\n%s", what, err, out)
		}
		return nil
	}
	if path := os.Getenv("KLARSYN_VISION"); path != "" {
		if err := os.Symlink(path, filepath.Join(dir, binary)); err != nil {
			return err
		}
	} else if err := build(binary, "klarsyn/cmd/klarsyn-vision"); err != nil {
		return err
	}
	if err := build("fake", "./testdata/fake"); err != nil {
		return err
	}
	names := []string{"unsandboxed", "otherbuild", "tells", "babbles"}
	for name := range lies {
		names = append(names, name)
	}
	for _, name := range names {
		if err := os.Symlink("fake", filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func program(name string) string { return filepath.Join(programs, name) }

// clip is coded test video: its format and its keyframes.
type clip struct {
	format camera.Format
	keys   [][][]byte
}

// testClip has ffmpeg draw its moving test picture: 640x360, n keyframes.
func testClip(t testing.TB, n int) clip {
	t.Helper()
	return testClipOf(t, n, "640x360")
}

func testClipOf(t testing.TB, n int, size string) clip {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip.h264")
	out, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "smptehdbars=rate=5:size="+size+",noise=c0s=6:c0f=t",
		"-frames:v", fmt.Sprint(5*n), "-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-g", "5", "-bf", "2",
		"-f", "h264", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg: %v (run deploy/setup.sh)\n%s", err, out)
	}
	stream, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := clip{format: camera.Format{Codec: camera.H264}}
	for _, nalu := range bytes.Split(stream, []byte{0, 0, 1})[1:] {
		nalu = bytes.TrimRight(nalu, "\x00") // of the next start code
		switch nalu[0] & 0x1f {
		case 7:
			c.format.SPS = nalu
		case 8:
			c.format.PPS = nalu
		case 5:
			c.keys = append(c.keys, [][]byte{nalu})
		}
	}
	if len(c.keys) != n {
		t.Fatalf("ffmpeg made %d keyframes, want %d", len(c.keys), n)
	}
	return c
}

func zones() camera.Profile {
	box := func(x0, x1 float64) []camera.Point {
		return []camera.Point{{X: x0, Y: 0}, {X: x1, Y: 0}, {X: x1, Y: 1}, {X: x0, Y: 1}}
	}
	return camera.Profile{
		Zones: []camera.Zone{
			{ID: "west", Name: "Väst", Polygon: box(0, 0.5)}, {ID: "east", Name: "Öst", Polygon: box(0.5, 1)},
		},
		Perspective: camera.Perspective{Slope: 0.3, Offset: 0.05},
	}
}

// sink collects what a counter gives.
type sink struct {
	mu  sync.Mutex
	all []camera.Sample
}

func (s *sink) take(_ context.Context, got []camera.Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, got...)
}

func (s *sink) samples() []camera.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]camera.Sample(nil), s.all...)
}

// at is the samples of one keyframe's time.
func (s *sink) at(when time.Time) []camera.Sample {
	var out []camera.Sample
	for _, got := range s.samples() {
		if got.Time.Equal(when) {
			out = append(out, got)
		}
	}
	return out
}

// run starts a counter and ends it with the test.
func run(t *testing.T, cfg Config) (*Counter, *sink, func()) {
	t.Helper()
	if cfg.Camera == "" {
		cfg.Camera = "k1"
	}
	if len(cfg.Profile.Zones) == 0 {
		cfg.Profile = zones()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	}
	s := &sink{}
	c, err := New(cfg, s.take)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return c, s, stop
}

// testWriter sends a log to the test's own.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// signal sends a signal to the child that is counting and gives its process id. It waits for one: a signal to
// process 0 would go to the test's own group.
func signal(t *testing.T, c *Counter, sig syscall.Signal) int {
	t.Helper()
	pid := 0
	within(t, 20*time.Second, "a child that counts", func() bool { pid = c.PID(); return pid != 0 })
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
	return pid
}

// within waits until ok is true.
func within(t *testing.T, d time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > d {
			t.Fatalf("%s: not within %v", what, d)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(began)
}

// alive is true while a process is there and not a zombie.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z")
}
