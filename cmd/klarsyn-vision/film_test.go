//go:build cgo

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"klarsyn/camera"
	"klarsyn/camera/decode"
)

const smallFilm = "../../camera/rtsp/sim/testdata/bframes_audio.mp4"

// A file is counted in the sandbox, each picture once and in the order shown, to a pipe as to a file.
func TestCountFilm(t *testing.T) {
	for _, c := range []struct {
		every  string
		frames []int
	}{{"keyframe", []int{0, 25}}, {"10", []int{0, 10, 20, 30, 40}}} {
		path := filepath.Join(t.TempDir(), "out.jsonl")
		out, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		cmd := exec.Command(built, "count", "--in", smallFilm, "--every", c.every, "--json")
		cmd.Stdout, cmd.Stderr = out, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, &stderr)
		}
		out.Close()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var frames []int
		for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
			var line map[string]any
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"t", "frame", "present", "low", "high", "moving", "zones", "quality"} {
				if _, ok := line[name]; !ok {
					t.Fatalf("%s is missing in %s", name, lines.Text())
				}
			}
			if line["quality"] == "learning" && line["present"] != nil {
				t.Errorf("a number while learning: %s", lines.Text())
			}
			frame := line["frame"].(float64)
			frames = append(frames, int(frame))
			if want := frame / 25; line["t"].(float64) < want-0.001 || line["t"].(float64) > want+0.001 {
				t.Errorf("frame %g at %v s, want %g", frame, line["t"], want)
			}
		}
		if fmt.Sprint(frames) != fmt.Sprint(c.frames) {
			t.Errorf("--every %s: frames %v, want %v", c.every, frames, c.frames)
		}
	}
}

// A damaged picture, and what leans on it up to the next keyframe, is unknown, and the rest is counted.
func TestCountDamagedFilm(t *testing.T) {
	f, err := readFilm("../../camera/rtsp/sim/testdata/plain.mp4")
	if err != nil {
		t.Fatal(err)
	}
	broken := &f.track.Frames[4].NALUs
	last := len(*broken) - 1
	(*broken)[last] = (*broken)[last][:len((*broken)[last])/2]
	seen := map[int]bool{} // whether it could be decoded
	err = f.pictures(1, func(n int, _ *decode.Picture, err error) error {
		if _, twice := seen[n]; twice {
			t.Errorf("picture %d comes twice", n)
		}
		seen[n] = err == nil
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 { // a keyframe every ten
		if whole, told := seen[n]; !told || whole != (n < 4 || n >= 10) {
			t.Errorf("picture %d: told %v, decoded %v", n, told, whole)
		}
	}
}

// A profile's masks are honoured in films: nothing is known of a zone that they hide.
func TestCountFilmBehindMasks(t *testing.T) {
	profile, still := filepath.Join(t.TempDir(), "k1.yaml"), filepath.Join(t.TempDir(), "still.mp4")
	if out, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "smptehdbars=rate=5:size=320x180,noise=c0s=6:c0f=t",
		"-frames:v", "60", "-c:v", "libx264", "-preset", "ultrafast", "-g", "5", still).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v (run deploy/setup.sh --tests)\n%s", err, out)
	}
	const zones = `
zones:
- {id: west, name: W, polygon: [{x: 0, y: 0}, {x: 0.5, y: 0}, {x: 0.5, y: 1}, {x: 0, y: 1}]}
- {id: east, name: E, polygon: [{x: 0.5, y: 0}, {x: 1, y: 0}, {x: 1, y: 1}, {x: 0.5, y: 1}]}
perspective: {slope: 0.3, offset: 0.05}
`
	const masks = `
masks:
- {id: windows, version: 1, kind: black, calibration: "2026-03", polygon: [{x: 0, y: 0}, {x: 0.5, y: 0}, {x: 0.5, y: 1}, {x: 0, y: 1}]}
`
	for text, hidden := range map[string]bool{zones: false, zones + masks: true} {
		if err := os.WriteFile(profile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(built, "count", "--in", still, "--learn", still, "--profile", profile, "--json").Output()
		if err != nil {
			t.Fatal(err)
		}
		west, east := 0, 0
		for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
			var line counted
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			if line.Zones["west"] != nil {
				west++
			}
			if line.Zones["east"] != nil {
				east++
			}
		}
		if east == 0 || (west == 0) != hidden {
			t.Errorf("masked %v: the west has %d numbers, the east %d\n%s", hidden, west, east, out)
		}
	}
}

func TestScoreFilm(t *testing.T) {
	truth := filepath.Join(t.TempDir(), "truth.csv")
	text := "frame,count\n"
	for n := range 50 {
		text += fmt.Sprintf("%d,2\n", n)
	}
	if err := os.WriteFile(truth, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(built, "score", "--in", smallFilm, "--learn", smallFilm, "--counts", truth, "--every", "5", "--from", "20", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var s scored
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatal(err)
	}
	if s.Pictures+s.Unknown != 6 || (s.Pictures > 0) != (s.MAE != nil) || s.Pictures > 0 && *s.Mean != 2 {
		t.Errorf("%+v: six pictures from 20 on", s)
	}
}

func TestFilmMistakes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no file":              {[]string{"count", "--json"}, "--in is missing"},
		"missing file":         {[]string{"count", "--in", "/nowhere.mp4"}, "/nowhere.mp4"},
		"no film":              {[]string{"count", "--in", write("text.mp4", "not a film")}, "not an MP4"},
		"every":                {[]string{"count", "--in", smallFilm, "--every", "second"}, "keyframe, all, or a number"},
		"a flag":               {[]string{"count", "--input", "x"}, "--input"},
		"profile":              {[]string{"count", "--in", smallFilm, "--profile", write("p.yaml", "zonse: []\n")}, "zonse"},
		"masks":                {[]string{"count", "--in", smallFilm, "--profile", write("m.yaml", "masks:\n- {id: a, version: 1, kind: grey, polygon: [{x: 0, y: 0}, {x: 1, y: 0}, {x: 1, y: 1}]}\n")}, `kind is "grey"`},
		"a mask's field":       {[]string{"count", "--in", smallFilm, "--profile", write("m2.yaml", "masks:\n- {id: a, version: 1, colour: black}\n")}, "colour"},
		"zones":                {[]string{"count", "--in", smallFilm, "--zones", write("z.yaml", "- {id: a, polygon: [{x: 0, y: 0}]}\n")}, "corners"},
		"no counts":            {[]string{"score", "--in", smallFilm}, "--counts is missing"},
		"nothing to calibrate": {[]string{"calibrate", "-o", "p.yaml"}, "--height, --tilt and --lens"},
		"no labels":            {[]string{"calibrate", "--in", smallFilm}, "--labels"},
		"labels":               {[]string{"calibrate", "--in", smallFilm, "--labels", write("b.csv", "frame,x,y,w,h\n1,2,3,4\n")}, "line 2"},
		"boxes":                {[]string{"calibrate", "--in", smallFilm, "--labels", write("b0.csv", "frame,x,y,w,h\n1,2,3,4,0\n")}, "line 2"},
		"beyond":               {[]string{"calibrate", "--in", smallFilm, "--labels", write("b1.csv", "5000,2,3,4,5\n"), "-o", filepath.Join(dir, "o.yaml")}, "picture 5000"},
		"half mounted":         {[]string{"calibrate", "--height", "6"}, "belong together"},
		"mounted":              {[]string{"calibrate", "--height", "6", "--tilt", "80", "--lens", "200"}, "lens is 200"},
		"counts":               {[]string{"score", "--in", smallFilm, "--counts", write("c.csv", "frame,count\n1,many\n")}, "line 2"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command(built, c.args...).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != exitUsage || !strings.Contains(string(out), c.says) {
				t.Errorf("%v: %s; want exit 2 and %q", err, out, c.says)
			}
		})
	}
}

// A camera whose height, tilt and lens are known needs no film; the file is a profile that count takes.
func TestCalibrateMounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k1.yaml")
	out, err := exec.Command(built, "calibrate", "--height", "6.2", "--tilt", "14", "--lens", "38", "-o", path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), path) {
		t.Fatalf("%v: %s", err, out)
	}
	var p camera.Profile
	if err := readYAML(path, "--profile", &p); err != nil {
		t.Fatal(err)
	}
	if line, ok := p.Heights(); !ok || line.Slope <= 0.1 || line.Slope > 0.5 {
		t.Errorf("%+v: %+v", p, line)
	}
	if out, err := exec.Command(built, "count", "--in", smallFilm, "--profile", path, "--json").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// What cannot be calibrated leaves no file.
func TestCalibrateLeavesNoHalfFile(t *testing.T) {
	dir := t.TempDir()
	labels := filepath.Join(dir, "b.csv")
	if err := os.WriteFile(labels, []byte("frame,x,y,w,h\n1,2,3,4,5\n2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(built, "calibrate", "--in", smallFilm, "--labels", labels, "-o", filepath.Join(dir, "k1.yaml")).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailed || !strings.Contains(string(out), "want at least 5 stills") {
		t.Errorf("%v: %s", err, out)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}
