package vision

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
)

func TestEncodeScene(t *testing.T) {
	var format camera.Format
	var keys []int
	frames, bytes := 0, 0
	err := EncodeScene(context.Background(), program(binary), []byte(`{"seed":7,"width":320,"height":180,"fps":5,"frames":60,"people":4}`),
		func(f camera.Format) {
			if frames != 0 {
				t.Error("the format comes after a frame")
			}
			format = f
		},
		func(n int, e Encoded) {
			if n != frames {
				t.Errorf("frame %d, want %d", n, frames)
			}
			frames++
			if e.Keyframe {
				keys = append(keys, n)
			}
			for _, nalu := range e.NALUs {
				bytes += len(nalu)
			}
		})
	if err != nil {
		t.Fatal(err)
	}
	if format.Codec != camera.H264 || len(format.SPS) == 0 || len(format.PPS) == 0 {
		t.Errorf("format %+v", format)
	}
	if frames != 60 || len(keys) != 6 || keys[1] != 10 {
		t.Errorf("%d frames with keyframes %v: want 60 with one every 10", frames, keys)
	}
	t.Logf("%d bytes", bytes)
}

func TestEncodeSceneErrors(t *testing.T) {
	nothing := func(camera.Format) {}
	for name, c := range map[string]struct{ program, json, want string }{
		"misspelt":  {binary, `{"sed":1}`, "sed"},
		"no size":   {binary, `{"width":3}`, "width"},
		"not JSON":  {binary, `{`, "scene"},
		"not there": {"missing", `{}`, "--vision"},
		"no drop":   {"unsandboxed", `{}`, "not sandboxed"},
	} {
		t.Run(name, func(t *testing.T) {
			err := EncodeScene(context.Background(), program(c.program), []byte(c.json), nothing, func(int, Encoded) { t.Error("a frame") })
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	t.Run("ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		err := EncodeScene(ctx, program(binary), []byte(`{}`), nothing, func(n int, _ Encoded) {
			if n == 3 {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// TestChildCost states what a counting child holds and spends at 1080p; the figures are in the log.
func TestChildCost(t *testing.T) {
	v := testClipOf(t, 12, "1920x1080")
	c, s, _ := run(t, Config{Path: program(binary), Learning: 3})
	var before time.Duration
	for n := range 3 * len(v.keys) {
		when := offer(c, v, n)
		within(t, 30*time.Second, "samples", func() bool { return len(s.at(when)) == 2 })
		if n == 0 {
			before = spent(t, c.PID())
		}
	}
	each := (spent(t, c.PID()) - before) / time.Duration(3*len(v.keys)-1)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(status), "\n") {
		for _, key := range []string{"VmRSS", "RssAnon", "VmData", "Threads"} {
			if strings.HasPrefix(line, key) {
				t.Log(line)
			}
		}
	}
	t.Logf("%v of processor for each keyframe of 1080p", each)
}

// spent is the processor time of a process so far, in ticks of 10 ms.
func spent(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var user, system int64
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
