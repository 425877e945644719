package bench

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
)

// ours is klarsyn ingest, over an installation of its own; with zones it counts, too.
func ours(folder, name string, n int, count bool, counting string) contestant {
	var numbers string
	return contestant{
		name: name, cameras: n,
		start: func(b *testing.B, urls []string) *testenv.Process {
			data, err := os.MkdirTemp(folder, name)
			if err != nil {
				b.Fatal(err)
			}
			if out, err := exec.Command(klarsyn(b), "init", "--data", data).CombinedOutput(); err != nil {
				b.Fatalf("klarsyn init: %v: %s", err, out)
			}
			var cameras, ids []string
			for i, address := range urls {
				u, err := url.Parse(address)
				if err != nil {
					b.Fatal(err)
				}
				u.User = nil
				camera := fmt.Sprintf("  - {id: c%d, url: %q, username: klarsyn, password_file: %s", i, u.String(), filepath.Join(folder, "cameras.password"))
				if count {
					camera += ", zones: [{id: allt, name: Allt, polygon: [{x: 0, y: 0}, {x: 1, y: 0}, {x: 1, y: 1}, {x: 0, y: 1}]}], perspective: {slope: 0.3, offset: 0.1}" + counting
				}
				cameras, ids = append(cameras, camera+"}\n"), append(ids, fmt.Sprintf("c%d", i))
			}
			config := "cameras:\n" + strings.Join(cameras, "") + "permits:\n  - {id: p, version: 1, regime: municipal, basis: assessment, assessment: {sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, date: 2025-12-01, decider: Trafiknämnden, diary: TN 2025-1}, cameras: [" + strings.Join(ids, ", ") +
				"], valid_from: 2026-01-01T00:00:00Z, retention: PT1H, purposes: [crime-investigation]}\n"
			if err := os.WriteFile(filepath.Join(data, "square.yaml"), []byte(config), 0o600); err != nil {
				b.Fatal(err)
			}
			if out, err := exec.Command(klarsyn(b), "apply", "--data", data, "-f", filepath.Join(data, "square.yaml")).CombinedOutput(); err != nil {
				b.Fatalf("klarsyn apply: %v: %s", err, out)
			}
			keys := testenv.Start(b, klarsyn(b), []string{"retain", "--data", data})
			time.Sleep(2 * time.Second) // day keys are minted
			keys.Stop(b, 30*time.Second)
			numbers = testenv.Address(b)
			return testenv.Start(b, klarsyn(b), []string{"ingest", "--data", data, "--metrics", numbers})
		},
		// A recorder that loses what it is sent is cheap, and not what is measured.
		after: func(b *testing.B) {
			for _, name := range []string{"klarsyn_packets_lost_total", "klarsyn_frames_dropped_total", "klarsyn_losses_total", "klarsyn_sessions_ended_total"} {
				if v := number(b, numbers, name); v != 0 {
					b.Errorf("%s is %g", name, v)
				}
			}
			if v, least := number(b, numbers, "klarsyn_frames_total"), float64(n)*25*measure.Seconds(); v < least {
				b.Errorf("%g pictures were received, at least %g were sent", v, least)
			}
		},
	}
}

// number adds up all series of a metric.
func number(b *testing.B, address, name string) float64 {
	b.Helper()
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Get("http://" + address + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	return testenv.Metric(b, resp.Body, name)
}

// startMotion detects motion and records what it is sent, as its manual calls passthrough.
func startMotion(b *testing.B, path string, urls []string) *testenv.Process {
	b.Helper()
	folder := b.TempDir()
	conf := filepath.Join(folder, "motion.conf")
	u, err := url.Parse(urls[0])
	if err != nil {
		b.Fatal(err)
	}
	secret, _ := u.User.Password()
	user := u.User.Username() + ":" + secret
	u.User = nil
	text := fmt.Sprintf(`daemon off
log_level 4
target_dir %s
netcam_url %s
netcam_userpass %s
width 1920
height 1080
framerate 25
movie_output on
movie_passthrough on
emulate_motion on
picture_output off
webcontrol_port 0
stream_port 0
`, folder, u.String(), user)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return testenv.Start(b, path, []string{"-n", "-c", conf})
}

// startMediaMTX pulls the cameras and records them, in the clear.
func startMediaMTX(b *testing.B, path string, urls []string) *testenv.Process {
	b.Helper()
	folder := b.TempDir()
	conf := filepath.Join(folder, "mediamtx.yml")
	text := "logLevel: error\nrtsp: no\nrtmp: no\nhls: no\nwebrtc: no\nsrt: no\npathDefaults:\n  rtspTransport: tcp\n  record: yes\n  recordPath: " + folder +
		"/%path/%Y-%m-%d_%H-%M-%S-%f\n  recordSegmentDuration: 30s\npaths:\n"
	for i, u := range urls {
		text += fmt.Sprintf("  c%d:\n    source: %s\n", i, u)
	}
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return testenv.Start(b, path, []string{conf})
}
