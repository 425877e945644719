package rtsp

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"klarsyn/camera"
)

const (
	// backlog bounds the access units between the connection's goroutine and ours. The sink does not
	// block, but what a slow line has held back for a quarter of a minute comes all at once, perhaps on a machine that is busy.
	backlog = 512
	// backlogBytes bounds the same by size: a camera decides how large its pictures are.
	backlogBytes = 64 << 20
)

// outcome is how a session ended.
type outcome struct {
	err     error
	healthy bool // it delivered for at least one FrameTimeout: the next attempt may come soon
}

// session is one connection from dialling to its end.
type session struct {
	c     *Client
	began time.Time // with monotonic part
	wall  time.Time // the session's only reading of the wall clock that stamps go by
	conn  *gortsplib.Client

	answered atomic.Bool // the other side spoke RTSP
	units    chan unit
	waiting  atomic.Int64 // bytes in units

	// What follows is owned by the connection's reading goroutine once PLAY was sent.
	asm     *assembler
	missing uint64 // packets, before the one that comes next
	flowing bool   // the last thing that was handed on is a picture
	untold  *hole  // that found no room
}

func (c *Client) session(ctx context.Context, sink camera.Sink) outcome {
	began := time.Now()
	s := &session{
		c:     c,
		began: began,
		wall:  c.notBefore(c.cfg.Now().Round(0).UTC()),
		units: make(chan unit, backlog),
	}
	c.log.Debug("camera session begins", "addr", c.addr)
	s.conn = s.newConn()
	if err := s.conn.Start(); err != nil {
		return s.down(sink, c.refused(err, false))
	}
	// gortsplib's goroutines end with Close, which waits for them.
	defer s.conn.Close()

	if err := s.handshake(ctx); err != nil {
		if ctx.Err() != nil {
			return s.down(sink, ctx.Err())
		}
		return s.down(sink, c.refused(err, s.answered.Load()))
	}
	return s.deliver(ctx, sink)
}

// notBefore keeps the stamps of two sessions in order when the wall clock was set back a little in
// between (an NTP correction). A larger step is the operator's doing: the clock as it is now is right.
func (c *Client) notBefore(wall time.Time) time.Time {
	if behind := c.lastStamp.Sub(wall); behind > 0 {
		if behind <= jump {
			return c.lastStamp
		}
		c.log.Warn("the system clock was set back between two sessions", "by", behind.Round(time.Millisecond))
	}
	return wall
}

// now is in the same clock as the stamps.
func (s *session) now() time.Time { return s.wall.Add(time.Since(s.began)) }

func (s *session) down(sink camera.Sink, err error) outcome {
	at := s.now()
	if at.Before(s.c.lastStamp) {
		at = s.c.lastStamp
	}
	s.c.lastStamp = at
	sink.Down(at, err)
	return outcome{err: err}
}

func (s *session) newConn() *gortsplib.Client {
	c := s.c
	transport := gortsplib.ProtocolTCP
	if c.cam.Transport == camera.UDP {
		transport = gortsplib.ProtocolUDP
	}
	return &gortsplib.Client{
		Scheme:       c.url.Scheme,
		Host:         c.url.Host,
		Protocol:     &transport,
		TLSConfig:    c.tls,
		ReadTimeout:  c.cfg.DialTimeout,
		WriteTimeout: c.cfg.DialTimeout,
		UserAgent:    "klarsyn",
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != c.addr {
				// A camera must not send us, with its credentials, to another machine.
				return nil, c.fail(ErrRedirected, "redirects to %s: if that is right, make it the camera's url", short(address))
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		OnRequest: func(req *base.Request) {
			// Never the header: it holds the digest.
			c.log.Debug("rtsp request", "method", string(req.Method), "url", c.scrub(req.URL.CloneWithoutCredentials().String()))
		},
		OnResponse: func(res *base.Response) {
			s.answered.Store(true)
			c.log.Debug("rtsp response", "status", int(res.StatusCode))
			if c.url.Scheme == "rtsp" {
				dropBasic(res)
			}
		},
		OnPacketsLost: func(lost uint64) {
			c.n.lost.Add(lost)
			s.missing += lost
		},
		OnDecodeError: func(error) { c.n.decodeErrors.Add(1) },
	}
}

// handshake goes as far as PLAY. It ends with ctx or after a few times DialTimeout, whatever the other
// side does.
func (s *session) handshake(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 4*s.c.cfg.DialTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, s.conn.Close)
	defer stop()

	desc, _, err := s.conn.Describe(s.c.url)
	if err != nil {
		return err
	}
	asm, medi, forma, err := newAssembler(desc)
	if err != nil {
		return s.c.noVideo(desc)
	}
	// What is not set up never reaches us; that the camera would send it is told.
	s.c.offered(besides(desc, medi))
	s.asm = asm
	if _, err = s.conn.Setup(desc.BaseURL, medi, 0, 0); err != nil {
		return err
	}
	s.conn.OnPacketRTP(medi, forma, func(pkt *rtp.Packet) { s.packet(medi, forma, pkt) })
	_, err = s.conn.Play(nil)
	return err
}

// packet runs on the connection's reading goroutine: it must not block, or RTSP stalls.
func (s *session) packet(medi *description.Media, _ format.Format, pkt *rtp.Packet) {
	pts, ok := s.conn.PacketPTS(medi, pkt)
	if !ok {
		return
	}
	t := packetTime{pts: pts, arrival: time.Since(s.began)}
	if taken, ok := s.conn.PacketNTP(medi, pkt); ok {
		t.taken = taken.UTC()
	}
	if s.missing > 0 {
		s.missing = 0
		s.tear(t, errPacketsLost)
	}
	u, err := s.asm.put(pkt, t)
	if err != nil {
		s.c.n.decodeErrors.Add(1)
		s.tear(t, errNonsense)
		return
	}
	if u == nil {
		return
	}
	if s.untold != nil {
		if !s.enqueue(unit{hole: s.untold, arrival: t.arrival}) {
			s.c.n.dropped.Add(1)
			s.asm.lost()
			return
		}
		s.untold = nil
	}
	if s.enqueue(*u) {
		s.flowing = true
		return
	}
	s.c.n.dropped.Add(1)
	s.asm.lost()
	s.tell(t, &hole{camera.OurFault, errTooSlow})
}

// What a hole in a session is told with. The texts are the same for every one, so that many are one gap.
var (
	errPacketsLost = errors.New("packets were lost on the way from the camera")
	errNonsense    = errors.New("the camera sent packets that make no picture")
	errTooSlow     = errors.New("pictures came faster than they could be taken")
)

// tear gives up the picture at hand and those that are drawn over it, and says so once.
func (s *session) tear(t packetTime, why error) {
	s.asm.tear(t.pts)
	s.tell(t, &hole{camera.CameraDown, why})
}

// tell hands on that a hole begins, unless no picture came since the last one.
func (s *session) tell(t packetTime, h *hole) {
	if !s.flowing {
		return
	}
	s.flowing = false
	if !s.enqueue(unit{hole: h, arrival: t.arrival}) {
		s.untold = h
	}
}

// enqueue does not wait: it reports whether there was room. Only the reading goroutine calls it.
func (s *session) enqueue(u unit) bool {
	size := int64(u.au.Size())
	if s.waiting.Load()+size > backlogBytes {
		return false
	}
	s.waiting.Add(size)
	select {
	case s.units <- u:
		return true
	default:
		s.waiting.Add(-size)
		return false
	}
}

// dropBasic takes Basic out of what the camera offers: over plain TCP it would show the password to
// everybody on the way, and to whoever stands in for the camera.
func dropBasic(res *base.Response) {
	offered, ok := res.Header["WWW-Authenticate"]
	if !ok {
		return
	}
	res.Header["WWW-Authenticate"] = slices.DeleteFunc(offered, func(v string) bool {
		return strings.HasPrefix(strings.ToLower(strings.TrimSpace(v)), "basic")
	})
}
