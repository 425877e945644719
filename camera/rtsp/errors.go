package rtsp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"

	"klarsyn/camera"
)

// What can be wrong with a camera, for errors.Is.
var (
	ErrCredentials = errors.New("camera refused the credentials")
	ErrUnreachable = errors.New("camera is unreachable")
	ErrNotRTSP     = errors.New("not an RTSP server")
	ErrNoStream    = errors.New("camera has no such stream")
	ErrNoVideo     = errors.New("camera offers no H.264 or H.265 video")
	ErrStalled     = errors.New("camera sends no pictures")
	ErrClock       = errors.New("camera's media clock jumped")
	ErrSystemClock = errors.New("system clock was set")
	ErrClosed      = errors.New("camera ended the session")
	ErrRedirected  = errors.New("camera redirects to another address")
	ErrCertificate = errors.New("camera's certificate is not trusted")
)

// Error is a failed session as an operator reads it. Its text never holds a credential.
type Error struct {
	Camera camera.ID
	Kind   error  // one of the errors above
	Detail string // what is wrong and what to do, to be read after "camera ID"
}

func (e *Error) Error() string { return fmt.Sprintf("camera %s %s", e.Camera, e.Detail) }

// Unwrap makes errors.Is see the kind. The library's own error is not kept: its text may hold a URL
// with credentials.
func (e *Error) Unwrap() error { return e.Kind }

func (c *Client) fail(kind error, format string, args ...any) *Error {
	return &Error{Camera: c.cam.ID, Kind: kind, Detail: c.scrub(fmt.Sprintf(format, args...))}
}

// refused explains why a session could not begin. answered says whether the other side ever spoke RTSP.
func (c *Client) refused(err error, answered bool) *Error {
	var (
		status liberrors.ErrClientBadStatusCode
		auth   liberrors.ErrClientAuthSetup
		netErr net.Error
		op     *net.OpError
		mine   *Error
	)
	if untrusted := c.untrusted(err); untrusted != nil {
		return untrusted
	}
	switch {
	case errors.As(err, &mine):
		return mine
	case errors.As(err, &status):
		return c.refusedStatus(status)
	case errors.As(err, &auth):
		return c.fail(ErrCredentials, "offers only authentication that would show the password on the wire: "+
			"enable digest authentication on the camera, or use an rtsps:// url")
	case errors.As(err, &op) && op.Op == "dial":
		return c.fail(ErrUnreachable, "is unreachable at %s: %s: check its power, its network and the url", c.addr, dialCause(op))
	case errors.As(err, &liberrors.ErrClientRequestTimedOut{}) && !answered:
		return c.fail(ErrUnreachable, "is unreachable: %s accepts connections but gave no RTSP answer within %v: "+
			"check that this is the camera's RTSP port", c.addr, c.cfg.DialTimeout)
	case errors.As(err, &netErr) && netErr.Timeout():
		return c.fail(ErrUnreachable, "is unreachable at %s: no answer within %v: check its power, its network and the url",
			c.addr, c.cfg.DialTimeout)
	case !answered && broken(err):
		return c.fail(ErrUnreachable, "is unreachable: %s takes connections and breaks them off before an answer: it may be starting, or have as many connections as it allows", c.addr)
	case !answered:
		return c.fail(ErrNotRTSP, "does not speak RTSP at %s (%s): check host, port and scheme of the url", c.addr, plain(err))
	}
	return c.fail(ErrClosed, "broke off the handshake: %s", plain(err))
}

func (c *Client) refusedStatus(status liberrors.ErrClientBadStatusCode) *Error {
	switch status.Code {
	case base.StatusUnauthorized, base.StatusForbidden:
		if c.cam.Username == "" {
			return c.fail(ErrCredentials, "demands credentials: set username and password")
		}
		return c.fail(ErrCredentials, "refused the credentials: check username and password")
	case base.StatusNotFound:
		return c.fail(ErrNoStream, "has no stream at %s: check the path of the url", c.url.Path)
	}
	return c.fail(ErrClosed, "refused the session with RTSP status %d (%q)", status.Code, short(status.Message))
}

// ended explains why a running session ended by itself.
func (c *Client) ended(err error) *Error {
	if errors.As(err, &liberrors.ErrClientTCPTimeout{}) || errors.As(err, &liberrors.ErrClientUDPTimeout{}) {
		return c.stalled()
	}
	return c.fail(ErrClosed, "ended the session: %s", plain(err))
}

func (c *Client) stalled() *Error {
	return c.fail(ErrStalled, "has sent no whole picture for %v: the session is begun anew", c.cfg.FrameTimeout)
}

// keyless is for a stream whose pictures come, and none of them can begin a clip.
func (c *Client) keyless() *Error {
	return c.fail(ErrStalled, "has sent no further keyframe for %v: set a keyframe interval of a few seconds on it; the session is begun anew",
		keyframePatience*c.cfg.FrameTimeout)
}

func (c *Client) noVideo(desc *description.Session) *Error {
	var offered []string
	for _, m := range desc.Medias {
		for _, f := range m.Formats {
			offered = append(offered, fmt.Sprintf("%s %s", m.Type, short(f.Codec())))
		}
	}
	if len(offered) == 0 {
		offered = []string{"nothing"}
	}
	return c.fail(ErrNoVideo, "offers no H.264 or H.265 video; it offers: %s: set its encoder to H.264",
		strings.Join(offered, ", "))
}

func dialCause(op *net.OpError) string {
	var dns *net.DNSError
	switch {
	case errors.As(op, &dns) && dns.IsNotFound:
		return "no such host"
	case errors.As(op, &dns) && dns.IsTimeout:
		return "its name cannot be resolved (timeout): check DNS"
	case errors.As(op, &dns):
		return "its name cannot be resolved (resolver error): check DNS"
	case op.Timeout():
		return "timeout"
	case op.Err != nil:
		return strings.TrimPrefix(op.Err.Error(), "connect: ")
	}
	return "cannot connect"
}

// broken says that the other side broke the connection off, rather than ended it, or spoke something else.
func broken(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// plain is an error's text in few words. End of file is what a library calls a closed connection.
func plain(err error) string {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the connection was closed"
	}
	return fmt.Sprintf("%q", short(err.Error()))
}

// short bounds what the other side can write into our logs.
func short(s string) string {
	if len(s) > 120 {
		return s[:120] + "…"
	}
	return s
}

func userinfo(cam camera.Camera) *url.Userinfo {
	return url.UserPassword(cam.Username, string(cam.Password))
}
