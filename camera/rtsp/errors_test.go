package rtsp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/auth"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"

	"klarsyn/camera"
	"klarsyn/camera/rtsp"
)

func isError(err, want error) bool { return errors.Is(err, want) }

// expect runs a client and checks how its first session fails.
func expect(t *testing.T, cam camera.Camera, want error, words ...string) {
	t.Helper()
	_, s := client(t, cam)
	e := s.next("down")
	if !errors.Is(e.err, want) {
		t.Fatalf("got %v, want %v", e.err, want)
	}
	text := e.err.Error()
	for _, w := range append(words, "camera "+string(cam.ID)) {
		if !strings.Contains(text, w) {
			t.Errorf("%q does not say %q", text, w)
		}
	}
	if cam.Password != "" && strings.Contains(fmt.Sprintf("%+v %#v", e.err, e.err), string(cam.Password)) {
		t.Errorf("the error holds the password: %+v", e.err)
	}
	if e.at.IsZero() || time.Since(e.at).Abs() > 10*time.Second {
		t.Errorf("down at %v", e.at)
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	_, _, cam := square(t, "plain.mp4")
	cam.Password = "wrong-" + cam.Password
	expect(t, cam, rtsp.ErrCredentials, "camera k1 refused the credentials: check username and password")
}

func TestNoCredentials(t *testing.T) {
	t.Parallel()
	_, _, cam := square(t, "plain.mp4")
	cam.Username, cam.Password = "", ""
	expect(t, cam, rtsp.ErrCredentials, "set username and password")
}

func TestNoSuchStream(t *testing.T) {
	t.Parallel()
	_, _, cam := square(t, "plain.mp4")
	cam.URL += "-not"
	expect(t, cam, rtsp.ErrNoStream, "/k1-not")
}

func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	expect(t, camera.Camera{ID: "k1", URL: "rtsp://" + addr + "/k1", Username: "u", Password: password},
		rtsp.ErrUnreachable, addr, "connection refused")
}

func TestNoSuchHost(t *testing.T) {
	t.Parallel()
	expect(t, camera.Camera{ID: "k1", URL: "rtsp://camera.invalid/k1", Username: "u", Password: password},
		rtsp.ErrUnreachable, "camera.invalid:554")
}

// tcpServer answers every connection with f, which ends when its connection does.
func tcpServer(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	run(t, func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { ln.Close() })
		defer stop()
		for {
			conn, err := ln.Accept()
			if err != nil {
				return nil
			}
			go func() {
				defer conn.Close()
				f(conn)
			}()
		}
	})
	return ln.Addr().String()
}

func TestSilentServer(t *testing.T) {
	t.Parallel()
	addr := tcpServer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	expect(t, camera.Camera{ID: "k1", URL: "rtsp://" + addr + "/k1", Username: "u", Password: password},
		rtsp.ErrUnreachable, addr, "no RTSP answer")
}

func TestNotRTSP(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	addr := web.Listener.Addr().String()
	expect(t, camera.Camera{ID: "k1", URL: "rtsp://" + addr + "/k1", Username: "u", Password: password},
		rtsp.ErrNotRTSP, addr)
}

// answer replies to every request with the same lines.
func answer(t *testing.T, status string, header ...string) string {
	return tcpServer(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		for {
			var req base.Request
			if req.Unmarshal(br) != nil {
				return
			}
			fmt.Fprintf(c, "RTSP/1.0 %s\r\nCSeq: %s\r\n%s\r\n\r\n", status, req.Header["CSeq"][0], strings.Join(header, "\r\n"))
			if a := req.Header["Authorization"]; len(a) > 0 && strings.HasPrefix(a[0], "Basic") {
				t.Error("the password went over the wire in the clear")
			}
		}
	})
}

func TestBasicAuthenticationIsNotUsedInTheClear(t *testing.T) {
	t.Parallel()
	addr := answer(t, "401 Unauthorized", `WWW-Authenticate: Basic realm="cam"`)
	expect(t, camera.Camera{ID: "k1", URL: "rtsp://" + addr + "/k1", Username: "u", Password: password},
		rtsp.ErrCredentials, "digest")
}

func TestStatusOfTheCamera(t *testing.T) {
	t.Parallel()
	addr := answer(t, "453 Not Enough Bandwidth", "X-A: b")
	expect(t, camera.Camera{ID: "k1", URL: "rtsp://" + addr + "/k1", Username: "u", Password: password},
		rtsp.ErrClosed, "453", "Not Enough Bandwidth")
}

func TestRedirectToAnotherMachineIsRefused(t *testing.T) {
	t.Parallel()
	// The options request must pass before the redirect is followed.
	addr := tcpServer(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		for {
			var req base.Request
			if req.Unmarshal(br) != nil {
				return
			}
			if req.Method == base.Options {
				fmt.Fprintf(c, "RTSP/1.0 200 OK\r\nCSeq: %s\r\n\r\n", req.Header["CSeq"][0])
				continue
			}
			fmt.Fprintf(c, "RTSP/1.0 302 Moved\r\nCSeq: %s\r\nLocation: rtsp://127.0.0.2:9/x\r\n\r\n", req.Header["CSeq"][0])
		}
	})
	expect(t, camera.Camera{ID: "k1", URL: "rtsp://" + addr + "/k1", Username: "u", Password: password},
		rtsp.ErrRedirected, "127.0.0.2:9")
}

// audioOnly is a server that has a microphone and no lens.
type audioOnly struct{ stream *gortsplib.ServerStream }

func (a *audioOnly) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if !ctx.Conn.VerifyCredentials(ctx.Request, "u", password) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	return &base.Response{StatusCode: base.StatusOK}, a.stream, nil
}

func TestNotAVideo(t *testing.T) {
	t.Parallel()
	h := &audioOnly{}
	srv := &gortsplib.Server{RTSPAddress: "127.0.0.1:0", Handler: h, AuthMethods: []auth.VerifyMethod{auth.VerifyMethodDigestMD5}}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	h.stream = &gortsplib.ServerStream{Server: srv, Desc: &description.Session{Medias: []*description.Media{{
		Type:    description.MediaTypeAudio,
		Formats: []format.Format{&format.G711{PayloadTyp: 0, MULaw: true, SampleRate: 8000, ChannelCount: 1}},
	}}}}
	if err := h.stream.Initialize(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.stream.Close)
	expect(t, camera.Camera{ID: "k1", URL: "rtsp://" + srv.NetListener().Addr().String() + "/k1", Username: "u", Password: password},
		rtsp.ErrNoVideo, "offers no H.264 or H.265 video; it offers: audio G711")
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		cam  camera.Camera
		want string
	}{
		{camera.Camera{ID: "k1", URL: "http://a/b"}, "rtsp or rtsps"},
		{camera.Camera{ID: "k1", URL: "rtsp:///b"}, "no host"},
		{camera.Camera{ID: "k1", URL: "rtsp://:554/b"}, "no host"},
		{camera.Camera{ID: "k1", URL: "rtsp://u:" + password + "@a/b"}, "move them"},
		{camera.Camera{ID: "k1", URL: "rtsp://u:" + password + "@a:x/b"}, "not a URL"},
		{camera.Camera{ID: "k1", URL: "rtsp://a/b#c"}, "fragment"},
		{camera.Camera{ID: "k1", URL: "rtsp://a/user=admin&password=" + password + "&channel=1.sdp"}, "username and password_file"},
		{camera.Camera{ID: "k1", URL: "rtsp://a/b?usr=admin&pwd=" + password}, "username and password_file"},
		{camera.Camera{ID: "k1", URL: "rtsp://a/b", Password: password}, "username"},
		{camera.Camera{ID: "K 1", URL: "rtsp://a/b"}, "slug"},
	} {
		_, err := rtsp.New(tc.cam, rtsp.Config{})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v does not say %q", tc.cam.URL, err, tc.want)
		} else if strings.Contains(err.Error(), password) {
			t.Errorf("the error holds the password: %v", err)
		}
	}
}
