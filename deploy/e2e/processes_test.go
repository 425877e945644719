package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
)

// When a test runs as root, ingest and retain run as users of their own, and all share one group.
const (
	recorder = 65534
	keeper   = 65533
	group    = 65534
)

// installation is a data directory with its three processes, apart as in production.
type installation struct {
	data                  string
	retain, ingest, serve *testenv.Process
	visitor               *visitor
}

// cameraLine is what sim prints of a camera.
var cameraLine = regexp.MustCompile(`(?m)^(\w+)  (rtsp://\S+)$`)

// startSim serves simulated cameras and returns their addresses by id.
func startSim(t *testing.T, passwordFile string, args ...string) map[string]string {
	t.Helper()
	p := testenv.Start(t, klarsyn(), append([]string{"sim", "--listen", "127.0.0.1:0", "--password-file", passwordFile}, args...))
	urls := map[string]string{}
	testenv.Eventually(t, 30*time.Second, "the simulated cameras tell their addresses", func() bool {
		if p.Ended() {
			t.Fatalf("sim ended:\n%s", p.Output())
		}
		for _, m := range cameraLine.FindAllStringSubmatch(p.Output(), -1) {
			urls[m[1]] = m[2]
		}
		return len(urls) > 0
	})
	return urls
}

// worldFolder is a temporary folder that other users may enter.
func worldFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "klarsyn-e2e-data-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(klarsyn(), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("klarsyn %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// install makes a data directory for cameras and starts the three processes over it. As root, ingest
// runs as a user of its own that shares catalogue, spool and objects with the others, and nothing else.
func install(t *testing.T, data, passwordFile string, urls map[string]string, retention string) *installation {
	t.Helper()
	run(t, "init", "--data", data)
	var cameras, ids []string
	for id, url := range urls {
		ids = append(ids, id)
		cameras = append(cameras, fmt.Sprintf(`  - id: %s
    url: %s
    username: klarsyn
    password_file: %s
    zones: [{id: allt, name: Allt, polygon: [{x: 0, y: 0}, {x: 1, y: 0}, {x: 1, y: 1}, {x: 0, y: 1}]}]
    perspective: {slope: 0.3, offset: 0.1}
`, id, url, passwordFile))
	}
	config := fmt.Sprintf(`node: prov
clip: 5s
cameras:
%spermits:
  - id: plattan
    version: 1
    basis: assessment
    cameras: [%s]
    valid_from: 2026-01-01T00:00:00Z
    retention: %s
    purposes: [crime-investigation]
`, strings.Join(cameras, ""), strings.Join(ids, ", "), retention)
	if err := os.WriteFile(filepath.Join(data, "square.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(data, "square.yaml"), 0o644); err != nil { // init made it for root alone
		t.Fatal(err)
	}
	in := &installation{data: data}
	var asIngest, asRetain []testenv.Option
	if os.Getuid() == 0 {
		share(t, data)
		asIngest = append(asIngest, testenv.As(recorder, group))
		asRetain = append(asRetain, testenv.As(keeper, group))
	}
	in.retain = start(t, []string{"retain", "--data", data, "--stray-age", "1m", "--stray-every", "5s"}, asRetain...)
	in.ingest = start(t, []string{"ingest", "--data", data}, asIngest...)
	in.serve = start(t, []string{"serve", "--data", data, "--listen", "127.0.0.1:0"})
	password := strings.TrimSpace(run(t, "account", "add", "--data", data, "--name", "anna", "--role", "investigator"))
	address := regexp.MustCompile(`Klarsyn serves (http://\S+)`)
	testenv.Eventually(t, 60*time.Second, "serve tells its address", func() bool {
		m := address.FindStringSubmatch(in.serve.Output())
		if m != nil {
			in.visitor = newVisitor(t, m[1])
		}
		return m != nil
	})
	in.visitor.logIn("anna", password)
	return in
}

// start runs a command so that what it makes can be shared by its group.
func start(t *testing.T, args []string, options ...testenv.Option) *testenv.Process {
	t.Helper()
	return testenv.Start(t, "/bin/sh", append([]string{"-c", `umask 007; exec "$0" "$@"`, klarsyn()}, args...), options...)
}

// share gives each folder to whom it is for, as a deployment does: init made the modes, and only owners
// and groups are left to say.
func share(t *testing.T, data string) {
	t.Helper()
	for folder, owner := range map[string]struct{ uid, gid int }{
		"catalogue": {0, group}, "spool": {recorder, group}, "objects": {0, group}, "keys": {keeper, keeper}, "audit": {keeper, keeper},
	} {
		err := filepath.WalkDir(filepath.Join(data, folder), func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chown(path, owner.uid, owner.gid)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func writePassword(t *testing.T, folder string) string {
	t.Helper()
	path := filepath.Join(folder, "cameras.password")
	if err := os.WriteFile(path, []byte("a-password-of-cameras\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Three processes over one data directory, ingest as a user who has no key.
func TestSeparateProcesses(t *testing.T) {
	t.Parallel()
	testenv.Root(t)
	folder := worldFolder(t)
	password := writePassword(t, folder)
	urls := startSim(t, password, "--cameras", "1")
	data := filepath.Join(folder, "square")
	in := install(t, data, password, urls, "PT30S")

	c := in.visitor.stored("k1", 60*time.Second)
	if a := in.visitor.look(c.ID); a.status != 200 || decode(t, a.body).frames != c.Frames {
		t.Errorf("the look gave %d", a.status)
	}

	t.Run("ingest cannot open what it wrote", func(t *testing.T) {
		for _, path := range []string{"master/master.key", "keys/keys.db", "audit/audit.key"} {
			cmd := exec.Command("cat", filepath.Join(data, path))
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: recorder, Gid: group}}
			if out, err := cmd.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("ermission denied")) {
				t.Errorf("the ingest user read %s: %s", path, out)
			}
		}
		// All that the program itself can do with what it may read is fail.
		p := start(t, []string{"serve", "--data", data, "--listen", "127.0.0.1:0"}, testenv.As(recorder, group))
		if code := p.Wait(t, 30*time.Second); code == 0 || !strings.Contains(p.Output(), "permission denied") {
			t.Errorf("serve as the ingest user: exit %d: %s", code, p.Output())
		}
	})

	t.Run("retain cannot open what it deletes", func(t *testing.T) {
		cmd := exec.Command("cat", filepath.Join(data, "master/master.key"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: keeper, Gid: group}}
		if out, err := cmd.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("ermission denied")) {
			t.Errorf("the retain user read the master key: %s", out)
		}
	})

	t.Run("the clip is forgotten", func(t *testing.T) {
		testenv.Eventually(t, time.Until(c.Deadline)+10*time.Second, "the clip is gone", func() bool { return in.visitor.look(c.ID).status == 410 })
		testenv.Eventually(t, 10*time.Second, "its object is gone", func() bool {
			found, err := filepath.Glob(filepath.Join(data, "objects", "clips", "k1", "*", c.ID))
			return err == nil && len(found) == 0
		})
	})

	t.Run("a second ingest on the same spool is refused", func(t *testing.T) {
		p := start(t, []string{"ingest", "--data", data}, testenv.As(recorder, group))
		if code := p.Wait(t, 30*time.Second); code != 1 || !strings.Contains(p.Output(), "another recorder is running") {
			t.Errorf("exit %d: %s", code, p.Output())
		}
	})

	for name, p := range map[string]*testenv.Process{"ingest": in.ingest, "serve": in.serve, "retain": in.retain} {
		if p.Ended() {
			t.Errorf("%s ended by itself:\n%s", name, p.Output())
		}
	}
	for _, p := range []*testenv.Process{in.ingest, in.serve, in.retain} {
		if code := p.Stop(t, 40*time.Second); code != 0 {
			t.Errorf("exit code %d after Ctrl-C:\n%s", code, p.Output())
		}
	}
	clean(t, fsck(t, data, "--grace", "20s"))
}

// Foreign and generated videos are recorded without loss and read back whole.
func TestRealVideo(t *testing.T) {
	t.Parallel()
	folder := worldFolder(t)
	files := []string{generated(t, folder)}
	if given := os.Getenv("KLARSYN_DATA"); given != "" {
		more, err := filepath.Glob(filepath.Join(given, "*.mp4"))
		if err != nil || len(more) == 0 {
			t.Fatalf("KLARSYN_DATA=%s holds no .mp4 files: %v", given, err)
		}
		files = append(files, more...)
	} else {
		t.Log("KLARSYN_DATA is not set: only a generated video is recorded; set it to a folder of MP4 files with H.264 for real ones")
	}
	password := writePassword(t, folder)
	args := []string{"--cameras", "0"}
	for _, f := range files {
		args = append(args, "--video", f)
	}
	urls := startSim(t, password, args...)
	if len(urls) != len(files) {
		t.Fatalf("%d cameras for %d files", len(urls), len(files))
	}
	data := filepath.Join(folder, "square")
	in := install(t, data, password, urls, "PT10M")
	for id := range urls {
		in.visitor.stored(id, 90*time.Second)
	}
	time.Sleep(20 * time.Second) // a few clips more
	if code := in.ingest.Stop(t, 40*time.Second); code != 0 {
		t.Fatalf("ingest ended with %d", code)
	}
	for id := range urls {
		clips := in.visitor.clips(id)
		if len(clips) < 3 {
			t.Errorf("camera %s has %d clips", id, len(clips))
			continue
		}
		tiled(t, id, clips)
		played := 0.0
		for _, c := range clips {
			a := in.visitor.look(c.ID)
			if a.status != 200 {
				t.Errorf("camera %s: clip %s: %d %s", id, c.ID, a.status, a.body)
				continue
			}
			p := decode(t, a.body)
			played += p.duration
			if p.frames != c.Frames {
				t.Errorf("camera %s: clip %s: ffprobe decodes %d frames of %d", id, c.ID, p.frames, c.Frames)
			}
		}
		span := clips[len(clips)-1].To.Sub(clips[0].From).Seconds()
		if diff := played - span; diff < -2 || diff > 2 {
			t.Errorf("camera %s: %.2f s of video for %.2f s of time", id, played, span)
		}
	}
	clean(t, fsck(t, data))
}

// generated is a video with what cameras send and our own encoder does not: B-frames, odd rate, audio.
func generated(t *testing.T, folder string) string {
	t.Helper()
	path := filepath.Join(folder, "generated.mp4")
	out, err := exec.Command(testenv.Tool(t, "ffmpeg"), "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25",
		"-f", "lavfi", "-i", "sine=frequency=440", "-t", "8", "-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "50",
		"-pix_fmt", "yuv420p", "-c:a", "aac", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, out)
	}
	return path
}

// tiled wants each clip to begin where the one before it ended.
func tiled(t *testing.T, camera string, clips []clip) {
	t.Helper()
	for i := 1; i < len(clips); i++ {
		if before := clips[i-1]; before.To == nil || !before.To.Equal(clips[i].From) {
			t.Errorf("camera %s: clip %s ends at %v, the next begins at %s", camera, before.ID, before.To, clips[i].From)
		}
	}
}
