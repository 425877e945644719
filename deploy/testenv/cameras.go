package testenv

import (
	_ "embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

//go:embed gstserver.py
var gstServer []byte

// Cameras are files that somebody else's RTSP server serves.
type Cameras struct {
	Address string
	running *Process
	start   func() *Process
}

// URL is a camera's address.
func (c *Cameras) URL(scheme, name string) string { return scheme + "://" + c.Address + "/" + name }

// GStreamer serves pipelines, by name, with GStreamer's RTSP server. options are its own: see gstserver.py.
func GStreamer(t testing.TB, pipelines map[string]string, options ...string) *Cameras {
	t.Helper()
	python := "/usr/bin/python3" // Debian's own: it has GStreamer's bindings
	if err := exec.Command(python, "-c", `import gi; gi.require_version("GstRtspServer", "1.0")`).Run(); err != nil {
		Missing(t, "GStreamer's RTSP server", "deploy/setup.sh --tests")
	}
	script := filepath.Join(t.TempDir(), "gstserver.py")
	if err := os.WriteFile(script, gstServer, 0o600); err != nil {
		t.Fatal(err)
	}
	address := Address(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	args := append(append([]string{script}, options...), port)
	for name, launch := range pipelines {
		args = append(args, name+"="+launch)
	}
	c := &Cameras{Address: address, start: func() *Process { return Start(t, python, args) }}
	c.Start(t)
	return c
}

// Start serves again after Stop.
func (c *Cameras) Start(t testing.TB) {
	t.Helper()
	c.running = c.start()
	Eventually(t, 30*time.Second, "the RTSP server listens", func() bool {
		if c.running.Ended() {
			t.Fatalf("the RTSP server ended:\n%s", c.running.Output())
		}
		conn, err := net.DialTimeout("tcp", c.Address, time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// Stop ends the server at once.
func (c *Cameras) Stop() { c.running.Kill() }

// VLC serves one file, again and again, with VLC, which sends pictures by UDP alone.
func VLC(t testing.TB, file, name string) *Cameras {
	t.Helper()
	vlc := Tool(t, "cvlc")
	address := Address(t)
	args := []string{"--quiet", file, "--loop", "--sout", fmt.Sprintf("#rtp{sdp=rtsp://%s/%s}", address, name), "--sout-keep"}
	home, err := os.MkdirTemp("", "klarsyn-vlc-") // another user must get in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	as := func(c *exec.Cmd) {
		c.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
		if os.Getuid() == 0 { // which VLC refuses
			const nobody = 65534
			if err := os.Chown(home, nobody, nobody); err != nil {
				t.Fatal(err)
			}
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
	}
	c := &Cameras{Address: address, start: func() *Process { return Start(t, vlc, args, as) }}
	c.Start(t)
	return c
}

// Video makes a file with ffmpeg. Its pictures come from a test source of a size and rate, such as "640x360" and
// "25"; options say how they are coded.
func Video(t testing.TB, folder, name, size, rate string, seconds int, options ...string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	args := []string{"-v", "error", "-f", "lavfi", "-i", "testsrc2=size=" + size + ":rate=" + rate}
	if strings.Contains(strings.Join(options, " "), "-c:a") {
		args = append(args, "-f", "lavfi", "-i", "sine=frequency=440")
	}
	args = append(append(args, "-t", fmt.Sprint(seconds), "-pix_fmt", "yuv420p"), options...)
	if out, err := exec.Command(Tool(t, "ffmpeg"), append(args, "-y", path)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg makes no %s: %v: %s", name, err, out)
	}
	return path
}
