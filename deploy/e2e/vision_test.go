package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
)

// many is how many cameras two processors must be enough for.
const many = 24

// What a counting child may hold, in KiB: shared libraries count in full in the first, the second is its own.
const (
	childResident  = 170 << 10
	childAnonymous = 80 << 10
)

// draw has ffmpeg make a film of a filter graph, ten pictures a second and a keyframe every two.
func draw(t *testing.T, folder, name, graph string, seconds int) string {
	t.Helper()
	path := filepath.Join(folder, name+".mp4")
	out, err := exec.Command(testenv.Tool(t, "ffmpeg"), "-v", "error", "-f", "lavfi", "-i", graph, "-t", strconv.Itoa(seconds), "-pix_fmt", "yuv420p",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "20", "-sc_threshold", "0", "-y", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg makes no %s: %v: %s", name, err, out)
	}
	return path
}

// Counting as a whole, over the wire: two dozen cameras without one keyframe that nobody had time for, what counts say of
// themselves, how much is decoded, what a child holds, and profiles.
func TestVision(t *testing.T) {
	folder := worldFolder(t)
	password := writePassword(t, folder)
	// Somebody stands in a grey yard for 20 seconds of every 60, and walks in and out.
	yard := "color=c=gray:rate=10:size=320x240,noise=alls=4:allf=t[a];color=c=black:rate=10:size=22x62[b];" +
		"[a][b]overlay=x='if(lt(mod(t\\,60)\\,4)\\,40*mod(t\\,60)-20\\,if(lt(mod(t\\,60)\\,24)\\,140\\,140+40*(mod(t\\,60)-24)))':y=120[out0]"
	films := map[string]string{
		"yard":  draw(t, folder, "yard", yard, 60),
		"night": draw(t, folder, "night", "color=c=black:rate=10:size=320x240,noise=alls=4:allf=t", 20),
	}
	var args []string
	var order []string
	for i := range many {
		film := "yard"
		if i == 0 {
			film = "night"
		}
		args, order = append(args, "--video", films[film]), append(order, film)
	}
	served := startSim(t, password, append([]string{"--cameras", "0"}, args...)...)
	urls := map[string]string{}
	for i, film := range order {
		urls[fmt.Sprintf("%s-%d", film, i)] = served[fmt.Sprintf("v%d", i+1)]
	}
	in := installCounted(t, folder, password, urls)
	auditor := visitorOf(t, in.installation, "auditor")

	testenv.Eventually(t, 90*time.Second, "every yard is counted, and the night is too dark", func() bool {
		for name := range urls {
			want := "ok"
			if strings.HasPrefix(name, "night") {
				want = "too-dark"
			}
			newest := samples(auditor, name)
			if len(newest) == 0 || newest[len(newest)-1].Quality != want {
				return false
			}
		}
		return true
	})
	// While children start, one after another, pictures may pile up; from here on none may be left uncounted.
	began, early := time.Now().Add(-time.Second), in.metric(t, "klarsyn_vision_dropped_total")
	time.Sleep(40 * time.Second)
	if n := in.metric(t, "klarsyn_vision_dropped_total"); n != early {
		t.Errorf("klarsyn_vision_dropped_total was %g when all were counted, and is %g", early, n)
	}
	for _, name := range []string{"klarsyn_vision_restarts_total", "klarsyn_vision_refused_total", "klarsyn_frames_dropped_total"} {
		if n := in.metric(t, name); n != 0 {
			t.Errorf("%s is %g", name, n)
		}
	}
	rates := map[string]float64{}
	for name := range urls {
		all := samples(auditor, name)
		seen, present := 0, 0.0
		for _, m := range all {
			switch {
			case m.Quality == "unknown" && m.Time.Before(began):
			case m.Quality == "unknown" || m.Quality == "decoder-lost":
				t.Errorf("%s at %s is %s", name, m.Time, m.Quality)
			case m.Quality != "ok" && m.Present != nil, m.Quality == "ok" && (m.Present == nil || m.Method == ""):
				t.Errorf("%s at %s: %+v", name, m.Time, m)
			case m.Quality == "ok":
				seen++
				present = max(present, *m.Present)
			}
		}
		rates[name] = float64(len(all)) / all[len(all)-1].Time.Sub(all[0].Time).Seconds()
		most := 1.6
		if name == "yard-3" { // a box is no silhouette: where people far away are smaller, two of them cover it, too
			most = 2.1
		}
		if strings.HasPrefix(name, "yard") && (seen < 10 || present < 0.9 || present > most) {
			t.Errorf("%s: %d counts, at most %g people, want one", name, seen, present)
		}
	}
	if rates["yard-1"] < 2*rates["yard-2"] {
		t.Errorf("every fifth picture gives %.2f counts a second, keyframes %.2f", rates["yard-1"], rates["yard-2"])
	}
	children := testenv.Children(t, in.ingest.PID(), "klarsyn-vision")
	if len(children) != many {
		t.Errorf("%d children count for %d cameras", len(children), many)
	}
	most, mostOwn := 0, 0
	for _, pid := range children {
		resident, own := kib(t, pid, "VmRSS"), kib(t, pid, "RssAnon")
		most, mostOwn = max(most, resident), max(mostOwn, own)
	}
	t.Logf("a child holds at most %d MiB, %d MiB of them its own; counts a second: %.2f at every fifth picture, %.2f at keyframes; %g pictures were passed over",
		most>>10, mostOwn>>10, rates["yard-1"], rates["yard-2"], in.metric(t, "klarsyn_vision_passed_total"))
	if most > childResident || mostOwn > childAnonymous {
		t.Errorf("a child holds %d KiB, %d of them its own: want at most %d and %d", most, mostOwn, childResident, childAnonymous)
	}
	if code := in.ingest.Stop(t, 60*time.Second); code != 0 {
		t.Errorf("ingest ended with %d", code)
	}
}

// kib is what the kernel says of a process.
func kib(t *testing.T, pid int, key string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), key+":")
	n, err := strconv.Atoi(strings.Fields(rest + " ?")[0])
	if err != nil {
		t.Fatalf("%s of process %d: %v", key, pid, err)
	}
	return n
}

// installCounted is an installation in which one camera is counted in every fifth picture, one by what a calibration
// wrote, and the others at keyframes without a profile.
func installCounted(t *testing.T, folder, password string, urls map[string]string) *network {
	t.Helper()
	data := filepath.Join(folder, "square")
	run(t, "init", "--data", data)
	profile := filepath.Join(data, "yard.yaml")
	out, err := exec.Command(filepath.Join(binaries, "klarsyn-vision"), "calibrate", "--height", "3", "--tilt", "15", "--lens", "60", "-o", profile).CombinedOutput()
	if err != nil {
		t.Fatalf("calibrate: %v: %s", err, out)
	}
	var cameras, ids []string
	for name, address := range urls {
		ids = append(ids, name)
		more := "    perspective: {slope: 0, offset: 0.26}\n"
		switch name {
		case "yard-1":
			more += "    counting: {every: 5, gate: false}\n"
		case "yard-3":
			more = "    profile: yard.yaml\n"
		}
		cameras = append(cameras, fmt.Sprintf(`  - id: %s
    url: %s
    username: klarsyn
    password_file: %s
    zones: [{id: allt, name: Allt, polygon: [{x: 0, y: 0}, {x: 1, y: 0}, {x: 1, y: 1}, {x: 0, y: 1}]}]
%s`, name, address, password, more))
	}
	config := fmt.Sprintf("node: prov\nclip: 10s\ncameras:\n%spermits:\n  - {id: plattan, version: 1, regime: municipal, basis: assessment, assessment: {sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, date: 2025-12-01, decider: Trafiknämnden, diary: TN 2025-1}, cameras: [%s], "+
		"valid_from: 2026-01-01T00:00:00Z, retention: PT20M, purposes: [crime-investigation]}\n", strings.Join(cameras, ""), strings.Join(ids, ", "))
	if err := os.WriteFile(filepath.Join(data, "square.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "apply", "--data", data, "-f", filepath.Join(data, "square.yaml"))
	return startOver(t, data)
}
