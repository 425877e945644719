package e2e

import (
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
)

// foreign is a camera that we did not make: how its file is coded, served, and configured here.
type foreign struct {
	coding []string // ffmpeg's, on test pictures of 320x240 at 25 a second unless size says so
	size   string
	serve  string // from the demuxer on, for GStreamer; "" is H.264 as it comes
	config string // of the camera in square.yaml
	// declared is the rate that the stream claims to have; "" is the true one.
	declared string
	tls      bool
	vlc      bool
	sound    bool
	gop      time.Duration
	// leading is how many pictures of a clip may need the clip before it.
	leading int
}

// least is how many clips of it to wait for.
func (c foreign) least() int {
	if c.gop > 0 {
		return 2
	}
	return 3
}

const (
	h264Out = "h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96"
	h265Out = "h265parse config-interval=-1 ! rtph265pay name=pay0 pt=96"
)

func x264(options ...string) []string {
	return append([]string{"-c:v", "libx264", "-preset", "ultrafast", "-g", "50"}, options...)
}

// cases of cameras, each with what is odd about it.
func foreignCameras(ca, pin string) map[string]foreign {
	return map[string]foreign{
		"tcp":       {coding: x264()},
		"udp":       {coding: x264(), config: "transport: udp"},
		"rtsps-ca":  {coding: x264(), tls: true, config: "ca_file: " + ca},
		"rtsps-pin": {coding: x264(), tls: true, config: "certificate_sha256: " + pin},
		"vlc-udp":   {coding: x264("-c:a", "aac"), vlc: true, config: "transport: udp"},
		"h265":      {coding: []string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:keyint=50:open-gop=0"}, serve: h265Out},
		// Pictures that lead a keyframe and are drawn over what was before it: alone, a clip cannot show those.
		"h265-open-gop":        {coding: []string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:keyint=50:open-gop=1"}, serve: h265Out, leading: 3},
		"sound":                {coding: x264("-c:a", "aac"), sound: true},
		"b-frames":             {coding: []string{"-c:v", "libx264", "-preset", "veryfast", "-g", "50", "-bf", "3"}},
		"sets-in-the-sdp-only": {coding: x264(), serve: "h264parse config-interval=0 ! video/x-h264,stream-format=avc ! rtph264pay name=pay0 pt=96 config-interval=0"},
		"sets-in-band":         {coding: x264(), serve: "h264parse ! video/x-h264,stream-format=byte-stream,alignment=nal ! rtph264pay name=pay0 pt=96 config-interval=1"},
		"no-rtcp":              {coding: x264()},
		"odd-size":             {coding: x264(), size: "334x190"},
		"gop-of-10-s":          {coding: x264("-g", "250", "-keyint_min", "250"), gop: 10 * time.Second},
		// Coded as a hundred pictures a second, and sent as a quarter of that.
		"wrong-frame-rate": {coding: x264("-bsf:v", "setts=pts=PTS*4:dts=DTS*4"), declared: "100"},
	}
}

// Cameras of other makes are recorded without loss and read back whole, each as odd as it is.
func TestForeignCameras(t *testing.T) {
	t.Parallel()
	folder := worldFolder(t)
	cert, key := filepath.Join(folder, "camera.crt"), filepath.Join(folder, "camera.key")
	cases := foreignCameras(testenv.Certify(t, cert, key), fingerprint(t, cert))
	plain, secure := map[string]string{}, map[string]string{}
	urls := map[string]string{}
	for name, c := range cases {
		size := c.size
		if size == "" {
			size = "320x240"
		}
		rate, seconds := "25", 60
		if c.declared != "" {
			rate, seconds = c.declared, 15
		}
		file := testenv.Video(t, folder, name+".mp4", size, rate, seconds, c.coding...)
		if c.vlc {
			if err := os.Chmod(file, 0o644); err != nil {
				t.Fatal(err)
			}
			urls[name] = testenv.VLC(t, file, name).URL("rtsp", name)
			continue
		}
		out := c.serve
		if out == "" {
			out = h264Out
		}
		launch := "filesrc location=" + file + " ! qtdemux name=d d.video_0 ! queue ! " + out
		if c.sound {
			launch += " d.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97"
		}
		if c.tls {
			secure[name] = launch
		} else {
			plain[served(name)] = launch
		}
	}
	open, shut := testenv.GStreamer(t, plain), testenv.GStreamer(t, secure, "--tls", cert, key, "--user", "klarsyn", "a-password-of-cameras")
	for name, c := range cases {
		switch {
		case c.tls:
			urls[name] = shut.URL("rtsps", name)
		case !c.vlc:
			urls[name] = open.URL("rtsp", served(name))
		}
	}

	in := installForeign(t, folder, cases, urls)
	defer func() {
		if t.Failed() {
			t.Logf("ingest wrote:\n%s", in.ingest.Output())
		}
	}()
	for name, c := range cases {
		in.visitor.several(name, c.least(), 90*time.Second)
	}
	sound := 0.0
	for _, c := range cases {
		if c.sound || c.vlc {
			sound++
		}
	}
	if told := in.metric(t, "klarsyn_audio_tracks"); told != sound {
		t.Errorf("%g audio tracks are told of %g that were offered", told, sound)
	}
	soundIsLogged(t, visitorOf(t, in.installation, "auditor"), cases)
	if code := in.ingest.Stop(t, 40*time.Second); code != 0 {
		t.Errorf("ingest ended with %d", code)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { recordedForeign(t, in, name, c) })
	}
	clean(t, fsck(t, in.data))
}

// soundIsLogged sees that the log says of each camera whether it offered sound, and that none was taken.
func soundIsLogged(t *testing.T, auditor *visitor, cases map[string]foreign) {
	t.Helper()
	var page struct {
		Entries []struct {
			Entry struct {
				Object, Result string
				Details        map[string]string
			}
		}
	}
	auditor.read("/api/v1/audit", url.Values{"event": {"audio-checked"}, "limit": {"200"}}, &page)
	said := map[string]string{}
	for _, e := range page.Entries {
		said[strings.TrimPrefix(e.Entry.Object, "camera:")] = e.Entry.Details["tracks"] + " " + e.Entry.Result
	}
	for name, c := range cases {
		want := "0 no sound"
		if c.sound || c.vlc {
			want = "1 not taken"
		}
		if said[name] != want {
			t.Errorf("camera %s: the log says of its sound %q, want %q", name, said[name], want)
		}
	}
}

// served is a camera's name at the server.
func served(name string) string {
	if name == "no-rtcp" {
		return "no-rtcp-nortcp"
	}
	return name
}

// installForeign records all cameras of a case table in one installation.
func installForeign(t *testing.T, folder string, cases map[string]foreign, urls map[string]string) *network {
	t.Helper()
	data := filepath.Join(folder, "square")
	run(t, "init", "--data", data)
	var cameras, ids []string
	for name, c := range cases {
		ids = append(ids, name)
		camera := fmt.Sprintf("  - id: %s\n    url: %s\n", name, urls[name])
		if c.config != "" {
			camera += "    " + c.config + "\n"
		}
		if c.tls {
			camera += "    username: klarsyn\n    password_file: " + writePassword(t, folder) + "\n"
		}
		cameras = append(cameras, camera)
	}
	config := fmt.Sprintf("node: prov\nclip: 4s\ncameras:\n%spermits:\n  - {id: plattan, version: 1, regime: municipal, basis: assessment, assessment: {sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, date: 2025-12-01, decider: Trafiknämnden, diary: TN 2025-1}, cameras: [%s], "+
		"valid_from: 2026-01-01T00:00:00Z, retention: PT20M, purposes: [crime-investigation]}\n", strings.Join(cameras, ""), strings.Join(ids, ", "))
	if err := os.WriteFile(filepath.Join(data, "square.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "apply", "--data", data, "-f", filepath.Join(data, "square.yaml"))
	return startOver(t, data)
}

// visitorOf makes an account at a running serve and logs in with it.
func visitorOf(t *testing.T, in *installation, role string) *visitor {
	t.Helper()
	password := strings.TrimSpace(run(t, "account", "add", "--data", in.data, "--name", role, "--role", role))
	var v *visitor
	testenv.Eventually(t, 60*time.Second, "serve tells its address", func() bool {
		_, address, ok := strings.Cut(in.serve.Output(), "Klarsyn serves ")
		if address, _, whole := strings.Cut(address, "\n"); ok && whole {
			v = newVisitor(t, address)
		}
		return v != nil
	})
	v.logIn(role, password)
	return v
}

// recordedForeign looks at what was recorded of one camera.
func recordedForeign(t *testing.T, in *network, name string, c foreign) {
	t.Helper()
	clips := in.visitor.clips(name)
	longest := max(4*time.Second, c.gop) + 2*time.Second
	if len(clips) < c.least() {
		t.Fatalf("%d clips", len(clips))
	}
	tiled(t, name, clips)
	frames, seconds := 0, 0.0
	for _, clip := range clips {
		a := in.visitor.look(clip.ID)
		if a.status != 200 {
			t.Fatalf("clip %s: %d %s", clip.ID, a.status, a.body)
		}
		if p := decode(t, a.body); p.frames > clip.Frames || p.frames < clip.Frames-c.leading {
			t.Errorf("clip %s: ffprobe decodes %d frames of %d", clip.ID, p.frames, clip.Frames)
		}
		if clip.Seconds > longest.Seconds() {
			t.Errorf("clip %s lasts %.1f s", clip.ID, clip.Seconds)
		}
		frames, seconds = frames+clip.Frames, seconds+clip.Seconds
	}
	if rate := float64(frames) / seconds; rate < 23 || rate > 27 {
		t.Errorf("%d frames in %.1f s are %.1f a second, want 25 whatever the stream declares", frames, seconds, rate)
	}
}

// fingerprint is what openssl tells of a certificate.
func fingerprint(t *testing.T, cert string) string {
	t.Helper()
	b, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	return fmt.Sprintf("%x", sha256.Sum256(block.Bytes))
}

// A camera that is set to another size, and to other parameter sets, in the middle of a stream: a clip ends there,
// the next one begins, and nothing is lost between them.
func TestForeignCameraChangesItsPicture(t *testing.T) {
	t.Parallel()
	folder := worldFolder(t)
	first := testenv.Video(t, folder, "first.h264", "320x240", "25", 20, x264()...)
	second := testenv.Video(t, folder, "second.h264", "640x360", "25", 60, x264("-bf", "0", "-profile:v", "main")...)
	// One stream, coded one after the other: the second half brings its parameter sets in band.
	var both []byte
	for _, part := range []string{first, second} {
		b, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, b...)
	}
	raw, file := filepath.Join(folder, "both.h264"), filepath.Join(folder, "both.mp4")
	if err := os.WriteFile(raw, both, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(testenv.Tool(t, "ffmpeg"), "-v", "error", "-framerate", "25", "-f", "h264", "-i", raw, "-c", "copy", "-y", file).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg joins nothing: %v: %s", err, out)
	}
	server := testenv.GStreamer(t, map[string]string{"changes": "filesrc location=" + file + " ! qtdemux ! " + h264Out})
	in := installForeign(t, folder, map[string]foreign{"changes": {}}, map[string]string{"changes": server.URL("rtsp", "changes")})
	in.visitor.several("changes", 8, 90*time.Second) // five at the most are of the first twenty seconds
	if code := in.ingest.Stop(t, 40*time.Second); code != 0 {
		t.Errorf("ingest ended with %d", code)
	}
	recordedForeign(t, in, "changes", foreign{})
	sizes := map[int]int{}
	for _, c := range in.visitor.clips("changes") {
		sizes[decode(t, in.visitor.look(c.ID).body).width]++
	}
	if sizes[320] < 3 || sizes[640] < 2 || len(sizes) != 2 {
		t.Errorf("clips by width: %v", sizes)
	}
	clean(t, fsck(t, in.data))
}

// Cameras whose certificate is not the expected one are not recorded, and what to write is said.
func TestForeignCertificates(t *testing.T) {
	t.Parallel()
	folder := worldFolder(t)
	cert, key := filepath.Join(folder, "camera.crt"), filepath.Join(folder, "camera.key")
	testenv.Certify(t, cert, key)
	other := testenv.Certify(t, filepath.Join(folder, "other.crt"), filepath.Join(folder, "other.key"))
	cases := map[string]foreign{
		"unknown-authority": {tls: true},
		"other-authority":   {tls: true, config: "ca_file: " + other},
		"other-certificate": {tls: true, config: "certificate_sha256: " + fingerprint(t, filepath.Join(folder, "other.crt"))},
	}
	launch := map[string]string{}
	for name := range cases {
		launch[name] = "videotestsrc is-live=true ! jpegenc ! rtpjpegpay name=pay0 pt=26" // nobody gets as far as to see it
	}
	server := testenv.GStreamer(t, launch, "--tls", cert, key)
	urls := map[string]string{}
	for name := range cases {
		urls[name] = server.URL("rtsps", name)
	}
	in := installForeign(t, folder, cases, urls)
	for name, want := range map[string]string{
		"unknown-authority": "certificate_sha256: " + fingerprint(t, cert),
		"other-authority":   "certificate_sha256: " + fingerprint(t, cert),
		"other-certificate": "another certificate than certificate_sha256 says",
	} {
		testenv.Eventually(t, 20*time.Second, "ingest says what is wrong with "+name, func() bool {
			for line := range strings.SplitSeq(in.ingest.Output(), "\n") {
				if strings.Contains(line, "camera="+name) && strings.Contains(line, want) {
					return true
				}
			}
			return false
		})
		if clips := in.visitor.clips(name); len(clips) != 0 {
			t.Errorf("camera %s was recorded", name)
		}
	}
	if strings.Contains(in.ingest.Output(), "a-password-of-cameras") {
		t.Error("the output holds a camera's password")
	}
}

// A camera that goes away and comes back again and again is recorded whenever it is there, and leaves nothing behind.
func TestReconnectStorm(t *testing.T) {
	t.Parallel()
	folder := worldFolder(t)
	file := testenv.Video(t, folder, "camera.mp4", "320x240", "25", 120, x264()...)
	server := testenv.GStreamer(t, map[string]string{"storm": "filesrc location=" + file + " ! qtdemux ! queue ! " + h264Out})
	in := installNetwork(t, folder, writePassword(t, folder), map[string]string{"storm": server.URL("rtsp", "storm")})
	in.visitor.stored("storm", 60*time.Second)
	goroutines, files := in.metric(t, "go_goroutines"), in.metric(t, "process_open_fds")
	for range 8 {
		server.Stop()
		time.Sleep(300 * time.Millisecond)
		server.Start(t)
		time.Sleep(1500 * time.Millisecond)
	}
	calm := time.Now()
	testenv.Eventually(t, 90*time.Second, "the camera is recorded again", func() bool {
		for _, c := range in.visitor.clips("storm") {
			if c.From.After(calm) && c.State == "committed" {
				return true
			}
		}
		return false
	})
	for _, c := range settled(in.visitor.clips("storm")) {
		if a := in.visitor.look(c.ID); a.status != 200 || decode(t, a.body).frames != c.Frames {
			t.Errorf("clip %s: %d", c.ID, a.status)
		}
	}
	if ended := in.metric(t, "klarsyn_sessions_ended_total"); ended < 3 {
		t.Errorf("%g sessions ended: was that a storm?", ended)
	}
	testenv.Eventually(t, 30*time.Second, "nothing is left of the sessions", func() bool {
		return in.metric(t, "go_goroutines") <= goroutines+4 && in.metric(t, "process_open_fds") <= files+4
	})
	if code := in.ingest.Stop(t, 40*time.Second); code != 0 {
		t.Errorf("ingest ended with %d", code)
	}
	clean(t, fsck(t, in.data))
}
