// Package bench measures what Klarsyn costs, beside what others cost, in one run: make bench.
package bench

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
)

// What one camera sends: H.264, 1080p, 25 pictures a second, 4 Mbit/s, a keyframe every two seconds.
const (
	size    = "1920x1080"
	rate    = "25"
	bitrate = "4M"
	login   = "a-password-of-cameras"
)

// How long each contestant may settle, and how long it is measured; ROUNDS says how often.
const (
	settle  = 8 * time.Second
	measure = 20 * time.Second
)

// contestant is a program that takes cameras.
type contestant struct {
	name    string
	cameras int
	start   func(b *testing.B, urls []string) *testenv.Process
	// quiet cameras send what hardly moves, at a variable rate; it takes long until a gate knows them.
	quiet bool
	// after, if set, looks at what it did.
	after func(b *testing.B)
}

// BenchmarkCost gives each contestant the same cameras, one after the other, and tells cores per camera (user and
// system time of the program and its children, over the time that passed) and resident memory.
func BenchmarkCost(b *testing.B) {
	folder := b.TempDir()
	busy, quiet := filepath.Join(folder, "camera.mp4"), filepath.Join(folder, "quiet.mp4")
	film(b, busy)
	quietFilm(b, quiet)
	programs := contestants(b, folder)
	figures := map[string][]cost{}
	rounds := 1
	if n, err := strconv.Atoi(os.Getenv("ROUNDS")); err == nil && n > 0 {
		rounds = n
	}
	for range rounds {
		for _, c := range programs {
			file := busy
			if c.quiet {
				file = quiet
			}
			figures[c.name] = append(figures[c.name], c.run(b, folder, file))
		}
	}
	for _, c := range programs {
		b.Run(c.name, func(b *testing.B) {
			for range b.N { // measured above, side by side
			}
			m := median(figures[c.name])
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(m.cores/float64(c.cameras), "cores/camera")
			b.ReportMetric(m.cores, "cores")
			b.ReportMetric(m.mib, "MiB")
		})
	}
}

// contestants are ours and those of others that are installed.
func contestants(b *testing.B, folder string) []contestant {
	b.Helper()
	list := []contestant{
		ours(folder, "klarsyn-record", 1, false, ""), ours(folder, "klarsyn-record+count", 1, true, ""),
		ours(folder, "klarsyn-record+count-every-5th", 1, true, ", counting: {every: 5, gate: false}"),
		calm(ours(folder, "klarsyn-record-quiet", 1, false, "")), calm(ours(folder, "klarsyn-record+count-quiet", 1, true, "")),
		{name: "ffmpeg-decode-only", cameras: 1, start: func(b *testing.B, urls []string) *testenv.Process {
			return testenv.Start(b, testenv.Tool(b, "ffmpeg"), []string{"-v", "error", "-rtsp_transport", "tcp", "-threads", "1", "-i", urls[0], "-f", "null", "-"})
		}},
	}
	if motion, err := exec.LookPath("motion"); err == nil {
		list = append(list, contestant{name: "motion-detect+passthrough", cameras: 1, start: func(b *testing.B, urls []string) *testenv.Process { return startMotion(b, motion, urls) }})
	} else {
		b.Log("motion is not measured: it is not installed (apt-get install motion)")
	}
	mediamtx, err := exec.LookPath("mediamtx")
	if err != nil {
		b.Log("MediaMTX is not measured: there is no mediamtx on PATH")
	}
	for _, n := range []int{1, 8, 24} {
		if n > 1 {
			list = append(list, ours(folder, fmt.Sprintf("klarsyn-record-%d", n), n, false, ""))
		}
		if err == nil {
			list = append(list, contestant{name: fmt.Sprintf("mediamtx-record-%d", n), cameras: n, start: func(b *testing.B, urls []string) *testenv.Process { return startMediaMTX(b, mediamtx, urls) }})
		}
	}
	return append(list, ours(folder, "klarsyn-record+count-8", 8, true, ""))
}

// film makes what the cameras send: noise, so that the bitrate is really spent.
func film(b *testing.B, path string) {
	b.Helper()
	out, err := exec.Command(testenv.Tool(b, "ffmpeg"), "-v", "error", "-f", "lavfi", "-i", "testsrc2=size="+size+":rate="+rate, "-t", "12",
		"-vf", "noise=alls=12:allf=t", "-c:v", "libx264", "-preset", "veryfast", "-g", "50", "-sc_threshold", "0", "-bf", "0", "-pix_fmt", "yuv420p",
		"-b:v", bitrate, "-minrate", bitrate, "-maxrate", bitrate, "-bufsize", bitrate, "-y", path).CombinedOutput()
	if err != nil {
		b.Fatalf("ffmpeg: %v: %s", err, out)
	}
}

func calm(c contestant) contestant {
	c.quiet = true
	return c
}

// quietFilm makes a minute of a yard through which somebody walks for 20 seconds. Then nothing moves but noise.
func quietFilm(b *testing.B, path string) {
	b.Helper()
	walk := "color=c=gray:size=" + size + ":rate=" + rate + ",noise=alls=2:allf=t[a];color=c=black:size=100x300:rate=" + rate +
		"[b];[a][b]overlay=x='mod(t\\,60)*100-80':y=500:enable='lt(mod(t\\,60)\\,20)'[out0]"
	out, err := exec.Command(testenv.Tool(b, "ffmpeg"), "-v", "error", "-f", "lavfi", "-i", walk, "-t", "60", "-c:v", "libx264", "-preset", "veryfast",
		"-g", "50", "-sc_threshold", "0", "-bf", "0", "-pix_fmt", "yuv420p", "-crf", "26", "-maxrate", bitrate, "-bufsize", bitrate, "-y", path).CombinedOutput()
	if err != nil {
		b.Fatalf("ffmpeg: %v: %s", err, out)
	}
}

// quietSettle ends in the third minute, when the gate has seen two walks and the third is over.
const quietSettle = 155 * time.Second

// run serves cameras, starts the contestant, and measures it once it has settled.
func (c contestant) run(b *testing.B, folder, file string) cost {
	b.Helper()
	urls, sim := cameras(b, folder, file, c.cameras)
	defer sim.Kill()
	p := c.start(b, urls)
	defer p.Kill()
	if c.quiet {
		time.Sleep(quietSettle)
	} else {
		time.Sleep(settle)
	}
	if p.Ended() {
		b.Fatalf("%s ended:\n%s", c.name, p.Output())
	}
	before, began := cpu(b, p.PID()), time.Now()
	time.Sleep(measure)
	after := cpu(b, p.PID())
	took := time.Since(began)
	m := cost{cores: (after - before).Seconds() / took.Seconds(), mib: resident(b, p.PID())}
	if c.after != nil {
		c.after(b)
	}
	return m
}

// cameras serves a file as so many cameras and returns their addresses, with the login in them.
func cameras(b *testing.B, folder, file string, n int) (urls []string, sim *testenv.Process) {
	b.Helper()
	password := filepath.Join(folder, "cameras.password")
	if err := os.WriteFile(password, []byte(login+"\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	args := []string{"sim", "--listen", "127.0.0.1:0", "--cameras", "0", "--password-file", password}
	for range n {
		args = append(args, "--video", file)
	}
	sim = testenv.Start(b, klarsyn(b), args)
	testenv.Eventually(b, 30*time.Second, "the cameras tell their addresses", func() bool {
		if sim.Ended() {
			b.Fatalf("sim ended:\n%s", sim.Output())
		}
		urls = nil
		for line := range strings.SplitSeq(sim.Output(), "\n") {
			if _, rest, ok := strings.Cut(line, "  rtsp://"); ok {
				urls = append(urls, "rtsp://klarsyn:"+login+"@"+strings.TrimSpace(rest))
			}
		}
		return len(urls) == n
	})
	return urls, sim
}

// klarsyn is the program as users build it: make build.
func klarsyn(b testing.TB) string {
	b.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", "klarsyn"))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		testenv.Missing(b, "bin/klarsyn", "make build")
	}
	return path
}

// cost is what a program used.
type cost struct{ cores, mib float64 }

func median(costs []cost) cost {
	pick := func(of func(cost) float64) float64 {
		values := make([]float64, 0, len(costs))
		for _, c := range costs {
			values = append(values, of(c))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return cost{pick(func(c cost) float64 { return c.cores }), pick(func(c cost) float64 { return c.mib })}
}

// family is a process and its children's.
func family(t testing.TB, pid int) []int {
	pids := []int{pid}
	for _, child := range testenv.Children(t, pid, "") {
		pids = append(pids, family(t, child)...)
	}
	return pids
}

// cpu is the time that a process and its children have used.
func cpu(t testing.TB, pid int) time.Duration {
	t.Helper()
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	var sum time.Duration
	for _, p := range family(t, pid) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			continue // it ended
		}
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+2:]))
		for _, i := range []int{11, 12, 13, 14} { // user, system, and those of children that ended
			n, err := strconv.ParseInt(fields[i], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

// resident is the memory of a process and its children that is theirs, in MiB: shared libraries count in part.
func resident(t testing.TB, pid int) float64 {
	t.Helper()
	kib := 0
	for _, p := range family(t, pid) {
		f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", p))
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var n int
			if _, err := fmt.Sscanf(lines.Text(), "Pss: %d kB", &n); err == nil {
				kib += n
			}
		}
		f.Close()
	}
	return float64(kib) / 1024
}
