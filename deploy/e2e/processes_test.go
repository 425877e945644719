package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
)

// account is an operating-system user; the first group is its own for what it makes.
type account struct {
	uid    uint32
	groups []uint32
}

// The groups of an installation: one of all three processes, and one of who opens the key store.
const (
	sharers    = 65534
	keyHolders = 65533
)

// When a test runs as root, each process has a user of its own.
var (
	recorder = account{65534, []uint32{sharers}}
	keeper   = account{65533, []uint32{sharers, keyHolders}}
	server   = account{65532, []uint32{sharers, keyHolders}}
)

// as runs a command as the user, if the test may.
func as(a account) testenv.Option {
	return func(c *exec.Cmd) {
		if os.Getuid() == 0 {
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.uid, Gid: a.groups[0], Groups: a.groups}}
		}
	}
}

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
	want := 0
	for i, a := range args {
		switch a {
		case "--video":
			want++
		case "--cameras":
			n, err := strconv.Atoi(args[i+1])
			if err != nil {
				t.Fatal(err)
			}
			want += n
		}
	}
	testenv.Eventually(t, 30*time.Second, "the simulated cameras tell their addresses", func() bool {
		if p.Ended() {
			t.Fatalf("sim ended:\n%s", p.Output())
		}
		for _, m := range cameraLine.FindAllStringSubmatch(p.Output(), -1) {
			urls[m[1]] = m[2]
		}
		return len(urls) >= want
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
	return runAs(t, account{}, args...)
}

// runAs runs a command as a user; none is who tests.
func runAs(t *testing.T, a account, args ...string) string {
	t.Helper()
	cmd := exec.Command(klarsyn(), args...)
	if a.groups != nil {
		as(a)(cmd)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("klarsyn %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// install makes a data directory for cameras and starts the three processes over it. As root, each runs as a
// user of its own, who may reach what it needs and nothing else.
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
    regime: municipal
    basis: assessment
    assessment: {sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, date: 2025-12-01, decider: Trafiknämnden, diary: TN 2025-1}
    cameras: [%s]
    valid_from: 2026-01-01T00:00:00Z
    retention: %s
    purposes: [crime-investigation]
`, strings.Join(cameras, ""), strings.Join(ids, ", "), retention)
	if err := os.WriteFile(filepath.Join(data, "square.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "apply", "--data", data, "-f", filepath.Join(data, "square.yaml"))
	share(t, data)
	in := &installation{data: data}
	in.retain = start(t, keeper, "retain", "--data", data, "--stray-age", "1m", "--stray-every", "5s")
	in.ingest = start(t, recorder, "ingest", "--data", data)
	in.serve = start(t, server, "serve", "--data", data, "--listen", "127.0.0.1:0")
	password := strings.TrimSpace(runAs(t, server, "account", "add", "--data", data, "--name", "anna", "--role", "investigator"))
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

// start runs a command as a user of the installation.
func start(t *testing.T, a account, args ...string) *testenv.Process {
	t.Helper()
	return testenv.Start(t, klarsyn(), args, as(a))
}

// share gives everything to whom it is for, as a deployment does: init made the folders' modes, and only owners
// and groups are left to say.
func share(t *testing.T, data string) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	if err := os.Chmod(filepath.Join(data, "square.yaml"), 0o640); err != nil {
		t.Fatal(err)
	}
	for place, owner := range map[string]struct{ uid, gid uint32 }{
		"square.yaml": {0, sharers}, "catalogue": {0, sharers}, "objects": {0, sharers}, "spool": {recorder.uid, sharers},
		"keys": {keeper.uid, keyHolders}, "audit": {keeper.uid, keyHolders}, "master": {server.uid, sharers},
	} {
		err := filepath.WalkDir(filepath.Join(data, place), func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chown(path, int(owner.uid), int(owner.gid))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// writePassword makes the cameras' password file, which the recorder alone may read.
func writePassword(t *testing.T, folder string) string {
	t.Helper()
	path := filepath.Join(folder, "cameras.password")
	if err := os.WriteFile(path, []byte("a-password-of-cameras\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(path, int(recorder.uid), sharers); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// Three processes over one data directory, each as a user who can reach what it needs and nothing else, with the
// umask that everybody has.
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

	t.Run("each reads what is his", func(t *testing.T) {
		users := map[string]account{"ingest": recorder, "retain": keeper, "serve": server}
		for path, readers := range map[string][]string{
			password:                                 {"ingest"},
			filepath.Join(data, "square.yaml"):       {"ingest", "retain", "serve"},
			filepath.Join(data, "master/master.key"): {"serve"},
			filepath.Join(data, "keys/keys.db"):      {"retain", "serve"},
			filepath.Join(data, "audit/audit.key"):   {"retain"},
		} {
			for name, user := range users {
				cmd := exec.Command("cat", path)
				as(user)(cmd)
				out, err := cmd.CombinedOutput()
				if slices.Contains(readers, name) {
					if err != nil {
						t.Errorf("the %s user cannot read %s: %v: %s", name, path, err, out)
					}
				} else if err == nil || !bytes.Contains(out, []byte("ermission denied")) {
					t.Errorf("the %s user read %s: %v", name, path, err)
				}
			}
		}
		// All that the program itself can do with what ingest may read is fail.
		p := start(t, recorder, "serve", "--data", data, "--listen", "127.0.0.1:0")
		if code := p.Wait(t, 30*time.Second); code == 0 || !strings.Contains(p.Output(), "permission denied") {
			t.Errorf("serve as the ingest user: exit %d: %s", code, p.Output())
		}
	})

	t.Run("the clip is forgotten", func(t *testing.T) {
		testenv.Eventually(t, time.Until(c.Deadline)+10*time.Second, "the clip is gone", func() bool { return in.visitor.gone(c.ID) })
		testenv.Eventually(t, 10*time.Second, "its object is gone", func() bool {
			found, err := filepath.Glob(filepath.Join(data, "objects", "clips", "k1", "*", c.ID))
			return err == nil && len(found) == 0
		})
	})

	t.Run("a second ingest on the same spool is refused", func(t *testing.T) {
		p := start(t, recorder, "ingest", "--data", data)
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

// Foreign and generated videos are recorded without loss, for all of the time between their first picture and the
// recorder's end, and read back whole.
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
		in.visitor.several(id, 4, 2*time.Minute)
	}
	stopped := time.Now()
	if code := in.ingest.Stop(t, 40*time.Second); code != 0 {
		t.Fatalf("ingest ended with %d", code)
	}
	stopping := time.Since(stopped)
	for i, file := range files {
		id := fmt.Sprintf("v%d", i+1)
		clips := in.visitor.clips(id)
		if len(clips) < 3 {
			t.Errorf("camera %s has %d clips", id, len(clips))
			continue
		}
		tiled(t, id, clips)
		played := time.Duration(0)
		for _, c := range clips {
			a := in.visitor.look(c.ID)
			if a.status != 200 {
				t.Errorf("camera %s: clip %s: %d %s", id, c.ID, a.status, a.body)
				continue
			}
			p := decode(t, a.body)
			played += time.Duration(p.duration * float64(time.Second))
			if p.frames != c.Frames {
				t.Errorf("camera %s: clip %s: ffprobe decodes %d frames of %d", id, c.ID, p.frames, c.Frames)
			}
		}
		// Against the wall, not against what the catalogue says of itself: it would not miss what it never had.
		ran, gop := stopped.Sub(clips[0].From), longestGOP(t, file)
		t.Logf("camera %s, %s: %.2f s of video in %d clips, %.2f s after the first picture recording was stopped, which took %.2f s; groups of pictures up to %.2f s",
			id, filepath.Base(file), played.Seconds(), len(clips), ran.Seconds(), stopping.Seconds(), gop.Seconds())
		if played < ran-gop || played > ran+stopping+gop {
			t.Errorf("camera %s: %.2f s of video for %.2f s of time", id, played.Seconds(), ran.Seconds())
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
