package e2e

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
)

// fault is something that happens to the way between a camera and its recorder.
type fault struct {
	begin, end func(t *testing.T)
	// harmless faults cost no picture.
	harmless bool
	// delaying faults cost none where all that was held back comes afterwards.
	delaying bool
}

// throughLinks gives each TCP camera a link of its own, and what happens on it.
func throughLinks(t *testing.T, urls map[string]string) map[string]fault {
	t.Helper()
	faults := map[string]fault{}
	for name, bad := range map[string]func(t *testing.T, l *testenv.Link){
		// Nothing comes any more, and nobody says so.
		"stall": func(t *testing.T, l *testenv.Link) { l.Add(t, "timeout", `{"timeout": 0}`) },
		// The connection is reset in the middle of a group of pictures, and again whenever it is tried.
		"reset": func(t *testing.T, l *testenv.Link) { l.Add(t, "reset_peer", `{"timeout": 300}`) },
		// The other side is gone; connections are still taken, and end after a while without an answer.
		"half-open": func(t *testing.T, l *testenv.Link) { l.Add(t, "timeout", `{"timeout": 3000}`) },
		// A tenth of what the camera sends comes through.
		"slow": func(t *testing.T, l *testenv.Link) { l.Add(t, "bandwidth", `{"rate": 4}`) },
	} {
		u, err := url.Parse(urls[name])
		if err != nil {
			t.Fatal(err)
		}
		l := testenv.NewLink(t, u.Host)
		u.Host = l.Address
		urls[name] = u.String()
		faults[name] = fault{begin: func(t *testing.T) { bad(t, l) }, end: func(*testing.T) { l.Mend() }, delaying: name == "slow"}
	}
	return faults
}

// throughRelays gives each UDP camera a relay of its own.
func throughRelays(t *testing.T, address string, urls map[string]string) map[string]fault {
	t.Helper()
	faults := map[string]fault{}
	for name, share := range map[string]struct{ loss, reorder float64 }{
		"loss-1": {0.01, 0}, "loss-5": {0.05, 0}, "loss-30": {0.3, 0.1}, "reorder": {0, 0.1},
	} {
		r := testenv.NewRelay(t, address)
		urls[name] = "rtsp://" + r.Address + "/" + name
		faults[name] = fault{
			begin:    func(*testing.T) { r.Lose(share.loss, share.reorder) },
			end:      func(*testing.T) { r.Lose(0, 0) },
			harmless: share.loss == 0,
		}
	}
	return faults
}

// A network that stalls, resets, starves, loses and reorders: what was whole is kept and can be decoded, what was not
// has a cause, counts say that they do not know, nothing piles up, and everything is recorded again afterwards.
func TestNetworkFaults(t *testing.T) {
	t.Parallel()
	folder := worldFolder(t)
	password := writePassword(t, folder)
	file := testenv.Video(t, folder, "camera.mp4", "320x240", "25", 20, x264("-b:v", "400k")...)
	long := testenv.Video(t, folder, "long.mp4", "320x240", "25", 180, x264("-b:v", "400k")...)
	tcp := []string{"stall", "reset", "half-open", "slow"}
	args := []string{"--cameras", "0"}
	for range tcp {
		args = append(args, "--video", file)
	}
	served := startSim(t, password, args...)
	urls := map[string]string{}
	for i, name := range tcp {
		urls[name] = served[fmt.Sprintf("v%d", i+1)]
	}
	pipelines := map[string]string{}
	for _, name := range []string{"loss-1", "loss-5", "loss-30", "reorder"} {
		pipelines[name] = "filesrc location=" + long + " ! qtdemux ! queue ! " + h264Out
	}
	faults := throughLinks(t, urls)
	for name, f := range throughRelays(t, testenv.GStreamer(t, pipelines).Address, urls) {
		faults[name] = f
	}

	in := installNetwork(t, folder, password, urls)
	auditor := visitorOf(t, in.installation, "auditor")
	for name := range faults {
		in.visitor.stored(name, 90*time.Second)
	}
	before := in.metric(t, "go_goroutines")
	began := time.Now()
	for _, f := range faults {
		f.begin(t)
	}
	time.Sleep(15 * time.Second)
	ended := time.Now()
	for _, f := range faults {
		f.end(t)
	}
	for name := range faults {
		testenv.Eventually(t, 90*time.Second, "camera "+name+" is recorded again", func() bool {
			for _, c := range in.visitor.clips(name) {
				if c.From.After(ended) && c.State == "committed" {
					return true
				}
			}
			return false
		})
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) { in.afterFault(t, auditor, name, f, began) })
	}
	testenv.Eventually(t, 30*time.Second, "no goroutine stays", func() bool { return in.metric(t, "go_goroutines") <= before+8 })
	if n := in.metric(t, "klarsyn_frames_dropped_total"); n != 0 {
		t.Errorf("the recorder turned %g pictures away", n)
	}
	if code := in.ingest.Stop(t, 40*time.Second); code != 0 {
		t.Errorf("ingest ended with %d", code)
	}
	clean(t, fsck(t, in.data))
}

// network is an installation whose recorder tells its numbers.
type network struct {
	*installation
	numbers *visitor
}

func (n *network) metric(t *testing.T, name string) float64 { return metric(t, n.numbers, name) }

func installNetwork(t *testing.T, folder, password string, urls map[string]string) *network {
	t.Helper()
	data := filepath.Join(folder, "square")
	run(t, "init", "--data", data)
	var cameras, ids []string
	for name, address := range urls {
		ids = append(ids, name)
		more := "    username: klarsyn\n    password_file: " + password
		if strings.HasPrefix(name, "loss") || name == "reorder" {
			more = "    transport: udp"
		}
		cameras = append(cameras, fmt.Sprintf(`  - id: %s
    url: %s
%s
    zones: [{id: allt, name: Allt, polygon: [{x: 0, y: 0}, {x: 1, y: 0}, {x: 1, y: 1}, {x: 0, y: 1}]}]
    perspective: {slope: 0.3, offset: 0.1}
`, name, address, more))
	}
	config := fmt.Sprintf("node: prov\nclip: 4s\ncameras:\n%spermits:\n  - {id: plattan, version: 1, regime: municipal, basis: assessment, assessment: {sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, date: 2025-12-01, decider: Trafiknämnden, diary: TN 2025-1}, cameras: [%s], "+
		"valid_from: 2026-01-01T00:00:00Z, retention: PT20M, purposes: [crime-investigation]}\n", strings.Join(cameras, ""), strings.Join(ids, ", "))
	if err := os.WriteFile(filepath.Join(data, "square.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "apply", "--data", data, "-f", filepath.Join(data, "square.yaml"))
	return startOver(t, data)
}

// startOver starts the three processes over a data directory that is described.
func startOver(t *testing.T, data string) *network {
	t.Helper()
	numbers := testenv.Address(t)
	in := &network{installation: &installation{data: data}, numbers: newVisitor(t, "http://"+numbers)}
	in.retain = testenv.Start(t, klarsyn(), []string{"retain", "--data", data})
	in.ingest = testenv.Start(t, klarsyn(), []string{"ingest", "--data", data, "--metrics", numbers})
	in.serve = testenv.Start(t, klarsyn(), []string{"serve", "--data", data, "--listen", "127.0.0.1:0"})
	in.visitor = visitorOf(t, in.installation, "investigator")
	return in
}

// afterFault looks at what was recorded of a camera before, during and after its fault.
func (n *network) afterFault(t *testing.T, auditor *visitor, name string, f fault, began time.Time) {
	t.Helper()
	for _, c := range settled(n.visitor.clips(name)) {
		if c.State == "pending" {
			continue
		}
		a := n.visitor.look(c.ID)
		if a.status != 200 {
			t.Fatalf("clip %s: %d %s", c.ID, a.status, a.body)
		}
		if p := decode(t, a.body); p.frames != c.Frames {
			t.Errorf("clip %s: ffprobe decodes %d frames of %d", c.ID, p.frames, c.Frames)
		}
	}
	causes := stops(auditor, name, began)
	unknown := 0
	for _, m := range samples(auditor, name) {
		if m.Time.After(began) && (m.Quality == "unknown" || m.Quality == "decoder-lost") {
			unknown++
		}
		if m.Quality != "ok" && m.Present != nil {
			t.Errorf("at %s nobody knows, and it is %g", m.Time, *m.Present)
		}
	}
	if f.harmless || f.delaying && len(causes) == 0 {
		allowed := 0
		if f.delaying {
			// What was held back comes all at once, and the counter's queue is short: an old count is of no use.
			allowed = int(n.metric(t, `klarsyn_vision_dropped_total{camera="`+name+`"}`))
		}
		if len(causes) != 0 || unknown > allowed {
			t.Errorf("a fault that costs nothing stopped the camera: %v, %d counts unknown, %d of them for which the counter was too slow", causes, unknown, allowed)
		}
		return
	}
	if len(causes) == 0 || unknown == 0 {
		t.Errorf("stopped for %v, %d counts unknown", causes, unknown)
	}
	for _, cause := range causes {
		if cause != "camera-down" {
			t.Errorf("stopped because of %s, want camera-down", cause)
		}
	}
}

// stops are the causes for which a camera was not recorded since a time.
func stops(auditor *visitor, camera string, since time.Time) []string {
	auditor.t.Helper()
	var causes []string
	var page struct {
		Entries []struct {
			Entry struct {
				Time    time.Time
				Object  string
				Details map[string]string
			}
		}
	}
	auditor.read("/api/v1/audit", url.Values{"event": {"camera-stopped"}, "limit": {"500"}}, &page)
	for _, row := range page.Entries {
		if row.Entry.Object == "camera:"+camera && row.Entry.Time.After(since) {
			causes = append(causes, row.Entry.Details["cause"])
		}
	}
	return causes
}
