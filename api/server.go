package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"klarsyn/policy"
)

// Server answers people and programs. It keeps no state of its own beside the session store: any number
// of them may serve the same installation.
type Server struct {
	cfg      Config
	engine   *gin.Engine
	handler  http.Handler
	sessions *scs.SessionManager
	access   map[string]access
	openapi  []byte
	page     *page

	foreign   *http.CrossOriginProtection
	denials   *policy.Coalescer
	allowance *allowance
	running   running
	grace     time.Duration // of requests under way at the end
}

// Time limits of the HTTP server. A footage response extends its write limit as it progresses.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 90 * time.Second
	shutdownGrace     = 5 * time.Second
	cutGrace          = 6 * time.Second // longer than the gate takes to note how a response ended
	maxHeaderBytes    = 16 << 10
	maxBodyBytes      = 64 << 10
	maxDescription    = 1 << 20 // of a square
)

// New builds the server. It fails if something required is missing from cfg, or if a route and the
// access table do not match: a route that nobody decided about must not exist.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, sessions: newSessions(cfg.Sessions, cfg.TLS), access: accessTable(), foreign: http.NewCrossOriginProtection(),
		denials: policy.NewCoalescer(cfg.Log, cfg.Now), allowance: newAllowance(), grace: shutdownGrace,
	}
	var err error
	if s.page, err = newPage(); err != nil {
		return nil, err
	}
	gin.SetMode(gin.ReleaseMode)
	s.engine = gin.New(func(e *gin.Engine) {
		e.HandleMethodNotAllowed = true
		e.RedirectTrailingSlash = false
		e.RedirectFixedPath = false
	})
	if err := s.engine.SetTrustedProxies(nil); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s.engine.Use(s.recordAccess, s.recoverPanic, s.refuseForeign, s.admit)
	s.engine.NoRoute(func(c *gin.Context) { s.fail(c, errNoRoute) })
	s.engine.NoMethod(func(c *gin.Context) { s.fail(c, errMethod) })

	described := humagin.New(s.engine, openAPIConfig())
	s.registerAPI(described)
	s.registerPlain()
	if s.openapi, err = describeAll(described); err != nil {
		return nil, err
	}
	if err := undecided(s.engine.Routes(), s.access); err != nil {
		return nil, err
	}

	s.handler = s.secureHeaders(limitBody(s.engine))
	return s, nil
}

// ServeHTTP answers one request; Serve adds the time limits that a listener needs.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Serve answers on l until ctx ends, then lets requests finish for a few seconds and cuts the rest. It
// closes l, and returns when no handler is at work any more: what notes how their responses ended may
// stop then, and not before. A listener that speaks TLS is the caller's, who then sets Config.TLS.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	counting, stopCounting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCounting()
	counted := make(chan error, 1)
	go func() { counted <- s.denials.Run(counting, s.cfg.Logger) }()
	err := s.answer(ctx, l)
	stopCounting()
	if countErr := <-counted; countErr != nil {
		err = errors.Join(err, fmt.Errorf("api: denials were not logged: %w", countErr))
	}
	return err
}

func (s *Server) answer(ctx context.Context, l net.Listener) error {
	// Requests outlive ctx by the grace; cut ends what is left, footage above all.
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	srv := &http.Server{
		Handler:           s.running.counts(s),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ErrorLog:          newErrorLog(s.cfg.Logger),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("api: serving on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(requests, s.grace)
	defer cancel()
	err := srv.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		s.cfg.Logger.Warn("requests cut off at shutdown", "after", s.grace)
		cut()
		err = srv.Close()
	}
	<-served //nolint:errcheck // it ends because it is told to
	if n := s.running.wait(cutGrace); n > 0 {
		s.cfg.Logger.Error("requests do not end; their viewings are closed by the next start", "requests", n)
	}
	if err != nil {
		return fmt.Errorf("api: stopping: %w", err)
	}
	return nil
}

func openAPIConfig() huma.Config {
	cfg := huma.DefaultConfig("Klarsyn", "1")
	cfg.Info.Description = "Cameras of a public square under a permit: counts for everyone who may count, " +
		"footage only for an approved and logged look, proofs that the rest was deleted on time. " +
		"Every error is a problem (RFC 9457). Times are RFC 3339, in UTC."
	// No schema links in answers, no documentation page from a foreign server, one description only.
	cfg.CreateHooks = nil
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "", "", ""
	cfg.RejectUnknownQueryParameters = true
	cfg.Transformers = []huma.Transformer{transform}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "the value of that cookie, for programs that keep none"},
		"session": {Type: "apiKey", In: "cookie", Name: "klarsyn",
			Description: "set by POST /api/v1/login; named __Host-klarsyn over TLS"},
	}
	return cfg
}
