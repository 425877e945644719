// Package sim serves simulated cameras over RTSP, each with its own clock, so that everything behind
// the network can be tested and shown without a camera.
package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/auth"
)

// Camera is one simulated camera. Username and Password are demanded with digest authentication.
type Camera struct {
	Path     string // without slashes, such as "k1"
	Feed     Feed
	Username string
	Password string
	// ClockOffset is how far the camera's own clock is wrong, as its sender reports show it.
	ClockOffset time.Duration
}

// Config is what a server serves, and where.
type Config struct {
	Listen  string // HOST:PORT; port 0 takes a free one
	Cameras []Camera
	Log     *slog.Logger
}

// Disturbance is a fault of a camera.
type Disturbance int

// The faults that a camera can be told to have.
const (
	Drop   Disturbance = iota // its connections are cut now; it may be asked again at once
	Stall                     // its connections stay, but no picture comes for a while
	Refuse                    // its connections are cut, and nobody is let in for a while
)

// Server serves all cameras on one port.
type Server struct {
	log      *slog.Logger
	listener net.Listener
	rtsp     *gortsplib.Server
	streams  map[string]*stream
	done     chan struct{} // closed when Run ends

	// mu guards conns: which connections read which camera.
	mu    sync.Mutex
	conns map[*gortsplib.ServerConn]string
}

// New binds the port at once, so that an address in use is known before anything is started. A server
// that is never run must be closed.
func New(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		log:     cfg.Log,
		streams: make(map[string]*stream, len(cfg.Cameras)),
		done:    make(chan struct{}),
		conns:   map[*gortsplib.ServerConn]string{},
	}
	if len(cfg.Cameras) == 0 {
		return nil, errors.New("simulated cameras: none given")
	}
	for _, cam := range cfg.Cameras {
		switch {
		case cam.Path == "" || strings.ContainsAny(cam.Path, "/?# "):
			return nil, fmt.Errorf("simulated camera %q: path must be one name without slashes, such as k1", cam.Path)
		case s.streams[cam.Path] != nil:
			return nil, fmt.Errorf("simulated camera %s stands twice: paths are unique", cam.Path)
		case cam.Username == "" || cam.Password == "":
			return nil, fmt.Errorf("simulated camera %s: username and password are both needed", cam.Path)
		case cam.Feed == nil:
			return nil, fmt.Errorf("simulated camera %s has no feed", cam.Path)
		}
		s.streams[cam.Path] = newStream(cam, cfg.Log.With("sim", cam.Path))
	}
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("simulated cameras cannot listen on %s: %w: choose another address or port (port 0 takes a free one)",
			cfg.Listen, err)
	}
	s.listener = ln
	s.rtsp = &gortsplib.Server{
		RTSPAddress:    ln.Addr().String(),
		Listen:         func(string, string) (net.Listener, error) { return ln, nil },
		Handler:        &handler{s},
		AuthMethods:    []auth.VerifyMethod{auth.VerifyMethodDigestMD5},
		WriteQueueSize: 2048, // packets; a keyframe in 4K is about a thousand
		// Our own reports go out with every keyframe: a client then knows the camera's time from its
		// first picture on, as with real cameras, and not after ten seconds.
		DisableRTCPSenderReports: true,
	}
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL is a camera's address, without credentials.
func (s *Server) URL(path string) string { return "rtsp://" + s.Addr() + "/" + path }

// Close gives the port back if Run is not called.
func (s *Server) Close() error { return s.listener.Close() }

// Run serves until ctx ends, and then returns nil. It returns early if a feed or the listener fails.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer close(s.done)
	if err := s.rtsp.Start(); err != nil {
		_ = s.listener.Close()
		return fmt.Errorf("simulated cameras on %s: %w", s.Addr(), err)
	}
	failed := make(chan error, len(s.streams)+1)
	var running sync.WaitGroup
	for path, st := range s.streams {
		running.Go(func() {
			if err := st.run(ctx, s.rtsp); err != nil && ctx.Err() == nil {
				failed <- fmt.Errorf("simulated camera %s: %w", path, err)
			}
		})
	}
	running.Go(func() {
		if err := s.rtsp.Wait(); err != nil && ctx.Err() == nil {
			failed <- fmt.Errorf("simulated cameras on %s: %w", s.Addr(), err)
		}
	})
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	cancel()
	s.rtsp.Close()
	running.Wait()
	return err
}

// FrameAt says which frame a camera was sending at t. It remembers the last 16,384 frames.
func (s *Server) FrameAt(path string, t time.Time) (n int, ok bool) {
	st := s.streams[path]
	if st == nil {
		return 0, false
	}
	return st.sent.at(t)
}

// Disturb gives a camera a fault that lasts for d (of no meaning for Drop).
func (s *Server) Disturb(path string, what Disturbance, d time.Duration) error {
	st := s.streams[path]
	if st == nil {
		return fmt.Errorf("no simulated camera %q", path)
	}
	switch what {
	case Stall:
		st.stall(d)
		return nil
	case Refuse:
		st.refuse(d)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn, p := range s.conns {
		if p == path {
			// Below RTSP: a client sees a cut cable, not a goodbye.
			_ = conn.NetConn().Close()
		}
	}
	return nil
}
