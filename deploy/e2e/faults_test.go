package e2e

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"

	"klarsyn/deploy/testenv"
)

// audioOnly is an RTSP server that offers sound and no picture.
type audioOnly struct{ stream *gortsplib.ServerStream }

func (a *audioOnly) OnDescribe(*gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return &base.Response{StatusCode: base.StatusOK}, a.stream, nil
}

func startAudioOnly(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	handler := &audioOnly{}
	server := &gortsplib.Server{Handler: handler, RTSPAddress: addr}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	handler.stream = &gortsplib.ServerStream{Server: server, Desc: &description.Session{Medias: []*description.Media{
		{Type: description.MediaTypeAudio, Formats: []format.Format{&format.G711{PayloadTyp: 8, SampleRate: 8000, ChannelCount: 1}}},
	}}}
	if err := handler.stream.Initialize(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(handler.stream.Close)
	return "rtsp://" + addr + "/sound"
}

// stateOf is what /cameras tells of one camera.
func stateOf(v *visitor, id string) (state, cause string) {
	v.t.Helper()
	var list struct {
		Cameras []struct{ ID, State, Cause string }
	}
	v.read("/api/v1/cameras", nil, &list)
	for _, c := range list.Cameras {
		if c.ID == id {
			return c.State, c.Cause
		}
	}
	v.t.Fatalf("camera %s is not listed", id)
	return "", ""
}

// Cameras that cannot be recorded say why, keep no other from recording, and give no password away.
func TestCamerasThatFail(t *testing.T) {
	t.Parallel()
	folder := worldFolder(t)
	good, err := url.Parse(startSim(t, writePassword(t, folder), "--cameras", "1")["k1"])
	if err != nil {
		t.Fatal(err)
	}
	wrong := *good
	wrong.User = url.UserPassword("klarsyn", "s3cret-but-wrong")
	s := startDemo(t, t.TempDir(), "--tour=false", "--clip", "3s", "--retention", "60s",
		"--camera", wrong.String(), "--camera", "rtsp://127.0.0.1:1/nobody", "--camera", startAudioOnly(t))
	investigator := s.as(t, "investigator")
	investigator.stored("k1", 60*time.Second)
	for _, id := range []string{"r1", "r2", "r3"} {
		testenv.Eventually(t, 20*time.Second, "camera "+id+" is known to be down", func() bool {
			state, cause := stateOf(investigator, id)
			return state == "gap" && cause == "camera-down"
		})
	}
	if state, _ := stateOf(investigator, "k1"); state != "recording" {
		t.Errorf("camera k1 is %s beside cameras that fail", state)
	}
	pendingIsRefused(t, investigator, "k1")
	if code := s.Stop(t, time.Minute); code != 0 {
		t.Errorf("the demo ended with %d", code)
	}
	for what, want := range map[string]string{
		"wrong password": "camera r1 refused the credentials", "unreachable": "127.0.0.1:1", "no video": "no H.264 or H.265 video",
	} {
		if !strings.Contains(s.Output(), want) {
			t.Errorf("%s: the output lacks %q", what, want)
		}
	}
	if strings.Contains(s.Output(), "s3cret-but-wrong") {
		t.Error("the output holds a camera's password")
	}
	clean(t, fsck(t, s.data))

	// A login in the path or the query would be printed and sent in the clear: it is refused at the start.
	for _, address := range []string{
		"rtsp://127.0.0.1:1/user=admin&password=s3cret-in-path&channel=1.sdp", "rtsp://127.0.0.1:1/live?usr=admin&pwd=s3cret-in-path",
	} {
		p := testenv.Start(t, klarsyn(), []string{"demo", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--camera", address})
		if code := p.Wait(t, time.Minute); code != 2 || !strings.Contains(p.Output(), "camera r1") || !strings.Contains(p.Output(), "USER:PASSWORD@HOST") {
			t.Errorf("a login in the address: exit %d: %s", code, p.Output())
		}
		if strings.Contains(p.Output(), "s3cret-in-path") {
			t.Errorf("the output holds a camera's password: %s", p.Output())
		}
	}
}

// A full disk pauses recording, with its cause; deletion goes on; with room, recording goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := testenv.Tmpfs(t, 120)
	s := startDemo(t, filepath.Join(disk, "square"), "--clip", "3s", "--retention", "20s", "--tour=false", "--min-free", "64")
	investigator, auditor := s.as(t, "investigator"), s.as(t, "auditor")
	c := investigator.stored("k1", 60*time.Second)

	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 60<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 20*time.Second, "recording pauses and says why", func() bool {
		state, cause := stateOf(investigator, "k1")
		return state == "gap" && cause == "storage-full"
	})
	testenv.Eventually(t, time.Until(c.Deadline)+10*time.Second, "deletion goes on", func() bool {
		return investigator.gone(c.ID)
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 20*time.Second, "recording goes on when there is room", func() bool {
		state, _ := stateOf(investigator, "k1")
		return state == "recording"
	})

	// To the last byte: nothing can be written any more, so nothing is served, and nothing breaks.
	testenv.Fill(t, ballast)
	time.Sleep(8 * time.Second)
	if got := auditor.get("/api/v1/audit", nil).status; got != 200 && got != 503 {
		t.Errorf("the log of a full disk answers %d", got)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 40*time.Second, "recording goes on after a disk that was full to the last byte", func() bool {
		state, _ := stateOf(investigator, "k1")
		return state == "recording"
	})
	after := time.Now()
	testenv.Eventually(t, 60*time.Second, "clips are stored again", func() bool {
		for _, c := range investigator.clips("k1") {
			if c.From.After(after) && c.State == "committed" {
				return true
			}
		}
		return false
	})
	s.Stop(t, time.Minute)
	if !strings.Contains(s.Output(), "disk of the spool is full") {
		t.Error("the output does not say that the disk is full")
	}
	clean(t, fsck(t, s.data, "--stray", "2m"))
}

// What a person does wrong is named, with the mend, and exits with 2.
func TestWrongUse(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "square")
	run(t, "init", "--data", data)
	misspelt := filepath.Join(t.TempDir(), "misspelt.yaml")
	if err := os.WriteFile(misspelt, []byte("node: a\ncameras: []\npermits:\n  - id: plattan\n    version: 1\n    retenshun: PT1H\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	noVideo := filepath.Join(t.TempDir(), "not.mp4")
	if err := os.WriteFile(noVideo, []byte("this is no video"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"misspelt config key":   {[]string{"retain", "--data", data, "--config", misspelt}, 2, []string{"retenshun", "6", "misspelt.yaml"}},
		"missing config":        {[]string{"retain", "--data", data, "--config", "/nowhere.yaml"}, 2, []string{"/nowhere.yaml", "klarsyn init"}},
		"no data directory":     {[]string{"fsck", "--data", "/nowhere"}, 2, []string{"/nowhere"}},
		"port in use":           {[]string{"demo", "--listen", l.Addr().String()}, 2, []string{l.Addr().String(), "in use"}},
		"port in use by sim":    {[]string{"sim", "--listen", l.Addr().String()}, 2, []string{l.Addr().String()}},
		"unknown command":       {[]string{"demmo"}, 2, []string{"demmo"}},
		"unknown flag":          {[]string{"demo", "--retension", "5s"}, 2, []string{"retension", "--help"}},
		"retention too short":   {[]string{"demo", "--clip", "10s", "--retention", "5s"}, 2, []string{"--retention", "two clips"}},
		"not a video":           {[]string{"sim", "--cameras", "0", "--video", noVideo}, 2, []string{"not.mp4"}},
		"no such role":          {[]string{"account", "add", "--data", data, "--name", "anna", "--role", "boss"}, 2, []string{"boss", "investigator"}},
		"camera with bad URL":   {[]string{"demo", "--listen", "127.0.0.1:0", "--camera", "http://192.0.2.1/"}, 2, []string{"rtsp"}},
		"required flag missing": {[]string{"fsck"}, 2, []string{"data"}},
	} {
		t.Run(what, func(t *testing.T) {
			p := testenv.Start(t, klarsyn(), c.args)
			if code := p.Wait(t, 60*time.Second); code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, p.Output())
			}
			for _, w := range c.want {
				if !strings.Contains(p.Output(), w) {
					t.Errorf("the message lacks %q: %s", w, p.Output())
				}
			}
		})
	}
}

// Stored bytes that somebody changed are never shown, and fsck finds them.
func TestDamagedClip(t *testing.T) {
	t.Parallel()
	s := startDemo(t, t.TempDir(), "--clip", "3s", "--retention", "3m", "--tour=false")
	investigator := s.as(t, "investigator")
	c := investigator.stored("k1", 60*time.Second)
	found, err := filepath.Glob(filepath.Join(s.data, "objects", "clips", "k1", "*", c.ID))
	if err != nil || len(found) != 1 {
		t.Fatalf("the object of the clip: %v, %v", found, err)
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	b[100] ^= 1
	if err := os.WriteFile(found[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if a := investigator.look(c.ID); a.status != 500 || !strings.Contains(string(a.body), "damaged") {
		t.Errorf("a damaged clip: %d %s", a.status, a.body)
	}
	if code := s.Stop(t, time.Minute); code != 1 {
		t.Errorf("a demo whose check fails ends with %d", code)
	}
	if found := fsck(t, s.data)["I2"]; len(found.Violations) != 1 || !strings.Contains(found.Violations[0], c.ID) {
		t.Errorf("fsck says of I2: %v", found.Violations)
	}
}
