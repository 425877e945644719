// Package rtsp takes video from one camera over RTSP: one connection, digest authentication, access units
// stamped with UTC, and a new session whenever the last one failed.
package rtsp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/base"

	"klarsyn/camera"
)

// Config is how patient a client is. The zero value gives the defaults.
type Config struct {
	// FrameTimeout ends a session that has delivered no picture for so long (5 s). For a keyframe it waits
	// six times as long.
	FrameTimeout time.Duration
	// DialTimeout bounds the connection and each answer during the handshake (5 s).
	DialTimeout time.Duration
	// BackoffMin and BackoffMax bound the wait between two attempts (0.5 s, 30 s).
	BackoffMin, BackoffMax time.Duration
	// Now is the clock that pictures are stamped by (time.Now). It is read when a session begins, and
	// again at every keyframe: a session does not outlive a step of the clock.
	Now func() time.Time
	// Offered, if set, is told once in every session what the camera offers beside the video that is taken: after DESCRIBE,
	// before SETUP and PLAY, from the goroutine of Run. It must not block.
	Offered func(Offer)
	Log     *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.FrameTimeout <= 0 {
		c.FrameTimeout = 5 * time.Second
	}
	if c.DialTimeout <= 0 {
		c.DialTimeout = 5 * time.Second
	}
	if c.BackoffMin <= 0 {
		c.BackoffMin = 500 * time.Millisecond
	}
	if c.BackoffMax <= 0 {
		c.BackoffMax = 30 * time.Second
	}
	c.BackoffMax = max(c.BackoffMax, c.BackoffMin)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Stats counts since New.
type Stats struct {
	Sessions     uint64 // sessions that delivered at least one picture
	Failures     uint64 // sessions that ended by themselves or could not begin
	Units        uint64 // access units handed to the sink
	PacketsLost  uint64 // gaps in the RTP sequence
	DecodeErrors uint64 // packets or access units that made no sense
	AudioTracks  uint64 // that the camera offered in its newest session; none is taken
	OtherTracks  uint64 // the same of further video, and of what is neither: events, subtitles
	Dropped      uint64 // access units received and thrown away: the sink was too slow, or no stamp could be true
}

// Client keeps one camera's session. It is run once.
type Client struct {
	cam  camera.Camera
	cfg  Config
	url  *base.URL // with credentials: gortsplib takes them from there. Never printed.
	addr string    // host:port, the only address that is ever dialled
	tls  *tls.Config
	log  *slog.Logger
	n    counters

	// lastStamp is owned by the goroutine of Run: the last time given to the sink.
	lastStamp time.Time
}

type counters struct {
	sessions, failures, units, lost, decodeErrors, dropped atomic.Uint64
	offer                                                  atomic.Pointer[Offer]
}

// New checks the camera's address. It connects to nothing.
func New(cam camera.Camera, cfg Config) (*Client, error) {
	if err := cam.Validate(); err != nil {
		return nil, err
	}
	u, err := base.ParseURL(cam.URL)
	if err != nil {
		// The library's error may quote the whole URL.
		return nil, fmt.Errorf("camera %s: url is not an RTSP URL: want rtsp://HOST:PORT/PATH without a fragment", cam.ID)
	}
	if u.Hostname() == "" {
		return nil, fmt.Errorf("camera %s: url has no host: want rtsp://HOST:PORT/PATH", cam.ID)
	}
	if cam.Username == "" && cam.Password != "" {
		return nil, fmt.Errorf("camera %s: a password without a username: set both or neither", cam.ID)
	}
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "rtsps":
		port = "322"
	default:
		port = "554"
	}
	if cam.Username != "" {
		u.User = userinfo(cam)
	}
	cfg = cfg.withDefaults()
	return &Client{
		cam:  cam,
		cfg:  cfg,
		url:  u,
		addr: net.JoinHostPort(u.Hostname(), port),
		tls:  trust(cam, u.Hostname()),
		log:  cfg.Log.With("camera", string(cam.ID)),
	}, nil
}

// Stats may be called from any goroutine.
func (c *Client) Stats() Stats {
	var offer Offer
	if o := c.n.offer.Load(); o != nil {
		offer = *o
	}
	return Stats{
		Sessions:     c.n.sessions.Load(),
		Failures:     c.n.failures.Load(),
		Units:        c.n.units.Load(),
		PacketsLost:  c.n.lost.Load(),
		DecodeErrors: c.n.decodeErrors.Load(),
		Dropped:      c.n.dropped.Load(),
		AudioTracks:  uint64(offer.Audio),
		OtherTracks:  uint64(offer.Other),
	}
}

// Run delivers to sink until ctx ends, and then returns nil: no failure of the camera ends it. All
// calls of sink come from the goroutine of Run. Every session that was Up is Down before Run returns.
func (c *Client) Run(ctx context.Context, sink camera.Sink) error {
	wait := backoff{low: c.cfg.BackoffMin, high: c.cfg.BackoffMax}
	var said string
	for ctx.Err() == nil {
		end := c.session(ctx, sink)
		if ctx.Err() != nil {
			break
		}
		c.n.failures.Add(1)
		if end.healthy {
			wait.reset()
			said = ""
		}
		d := wait.next()
		if errors.Is(end.err, ErrCredentials) {
			// Many cameras lock an account after a few wrong passwords: ask seldom.
			d = wait.longest()
		}
		level := slog.LevelDebug
		if text := end.err.Error(); text != said {
			// The same failure every 30 s for a week is one line, not twenty thousand.
			level, said = slog.LevelWarn, text
		}
		c.log.Log(ctx, level, "camera session ended", "err", end.err, "retry_in", d.Round(time.Millisecond))
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	return nil
}

// scrub takes the password out of a text that a library wrote, and what looks like a login in an address. Passwords of three characters and less
// are left: replacing them would tear words apart and so show them.
func (c *Client) scrub(text string) string {
	text = camera.Redact(text)
	p := string(c.cam.Password)
	if len(p) < 4 {
		return text
	}
	escaped := strings.TrimPrefix(userinfo(c.cam).String(), c.cam.Username+":")
	return strings.NewReplacer(p, c.cam.Password.String(), escaped, c.cam.Password.String()).Replace(text)
}
