package vision

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"klarsyn/camera"
	"klarsyn/camera/vision/wire"
)

// Damaged and random pictures: the child answers unknown or dies alone, and the next good picture is
// counted.
func TestGarbage(t *testing.T) {
	v := testClip(t, 2)
	c, s, _ := run(t, Config{Path: program(binary), Learning: 3, BackoffMin: 20 * time.Millisecond, Queue: 64})
	n := 0
	ask := func(f camera.Format, nalus [][]byte) camera.Sample {
		n++
		when := epoch.Add(time.Duration(n) * time.Second)
		c.Offer(f, camera.AccessUnit{Time: when, Keyframe: true, NALUs: nalus})
		within(t, 20*time.Second, "samples", func() bool { return len(s.at(when)) == 2 })
		return s.at(when)[0]
	}
	// known brings the child so far that it would give numbers.
	known := func() {
		t.Helper()
		for n := 0; ask(v.format, v.keys[n%2]).Quality != camera.QualityOK; n++ {
			if n > 50 {
				t.Fatalf("good pictures are not counted: %+v", c.Stats())
			}
		}
	}
	huge := v.format
	huge.SPS = append([]byte(nil), v.format.SPS...)
	for i := 4; i < len(huge.SPS); i++ {
		huge.SPS[i] = 0xff
	}
	for name, bad := range map[string]struct {
		format camera.Format
		nalus  [][]byte
	}{
		"nothing":        {v.format, nil},
		"empty unit":     {v.format, [][]byte{{}}},
		"one byte":       {v.format, [][]byte{{0x65}}},
		"no SPS":         {camera.Format{Codec: camera.H264}, v.keys[0]},
		"absurd SPS":     {huge, v.keys[0]},
		"h264 as h265":   {camera.Format{Codec: camera.H265, VPS: []byte{0x40, 1}, SPS: v.format.SPS, PPS: v.format.PPS}, v.keys[0]},
		"4,000 slices":   {v.format, slices4000(v.keys[0][0])},
		"codec":          {camera.Format{Codec: "av1"}, v.keys[0]},
		"large SPS":      {camera.Format{Codec: camera.H264, SPS: make([]byte, 1<<16)}, v.keys[0]},
		"over the bound": {v.format, [][]byte{make([]byte, wire.MaxAccessUnit+1)}},
	} {
		known()
		if got := ask(bad.format, bad.nalus); got.Quality != camera.QualityDecoderLost {
			t.Errorf("%s: %+v", name, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		key := v.keys[0][0]
		var nalus [][]byte
		switch rapid.IntRange(0, 2).Draw(t, "how") {
		case 0: // cut
			nalus = [][]byte{key[:rapid.IntRange(0, len(key)).Draw(t, "at")]}
		case 1: // flipped
			flipped := append([]byte(nil), key...)
			r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
			for range rapid.IntRange(1, 200).Draw(t, "flips") {
				flipped[1+r.IntN(len(flipped)-1)] ^= 1 << r.IntN(8)
			}
			nalus = [][]byte{flipped}
		case 2: // random
			nalus = rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 3000), 0, 8).Draw(t, "nalus")
		}
		ask(v.format, nalus)
	})
	// A child may have died of the last one: then the picture after it is the one that counts.
	within(t, 20*time.Second, "a counted picture", func() bool { return ask(v.format, v.keys[1]).Quality.Looked() })
	st := c.Stats()
	t.Logf("after %d pictures: %+v", n, st)
	if strings.Contains(st.LastError, "forbids") {
		t.Errorf("a damaged picture made FFmpeg want what the sandbox forbids: %s", st.LastError)
	}
}

func slices4000(key []byte) [][]byte {
	out := make([][]byte, 4000)
	for i := range out {
		out[i] = key[:min(len(key), 40+i%200)]
	}
	return out
}

// The child of a killed parent ends by itself: its input ends.
func TestOrphan(t *testing.T) {
	parent, pid := startParent(t, nil)
	if !alive(pid) {
		t.Fatal("the child is not there")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	took := within(t, 5*time.Second, "end of the orphan", func() bool { return !alive(pid) })
	t.Logf("gone after %v", took)
}

// The parent can look at its child's sandbox without being root, although the child is not dumpable.
func TestCheckAsAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("every other test here ran as another user than root already")
	}
	parent, pid := startParent(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}})
	defer func() { _ = parent.Process.Kill(); _ = parent.Wait() }()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(status), "Uid:\t65534\t65534") {
		t.Errorf("the child runs as somebody else:\n%s", status)
	}
}

// startParent runs this test binary as a parent, and gives the pid of its child.
func startParent(t *testing.T, as *syscall.SysProcAttr) (*exec.Cmd, int) {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := program("parent-" + t.Name())
	if err := os.WriteFile(path, self, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), "KLARSYN_TEST_PARENT="+program(binary))
	cmd.Stderr, cmd.SysProcAttr = os.Stderr, as
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		_ = cmd.Process.Kill()
		t.Fatalf("the parent said %q: %v", line, err)
	}
	return cmd, pid
}

// beParent is the other side of startParent.
func beParent() {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	c, err := New(Config{Path: os.Getenv("KLARSYN_TEST_PARENT"), Camera: "k1", Profile: zones(), Log: log},
		func(context.Context, []camera.Sample) {})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	go func() {
		for c.PID() == 0 && ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		fmt.Println(c.PID())
	}()
	_ = c.Run(ctx)
}
