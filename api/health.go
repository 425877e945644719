package api

import (
	"context"
	"time"

	"github.com/gin-gonic/gin"
)

type healthOutput struct {
	Body struct {
		Status string `json:"status" enum:"ok"`
	}
}

const readyTimeout = 3 * time.Second

// healthz says that the process answers, and nothing else: a broken store must not have it restarted.
func (s *Server) healthz(context.Context, *struct{}) (*healthOutput, error) {
	out := &healthOutput{}
	out.Body.Status = "ok"
	return out, nil
}

// readyz says whether it can serve now.
func (s *Server) readyz(ctx context.Context, _ *struct{}) (*healthOutput, error) {
	if s.cfg.Ready != nil {
		ctx, cancel := context.WithTimeout(ctx, readyTimeout)
		defer cancel()
		if err := s.cfg.Ready(ctx); err != nil {
			return nil, unavailable("server", err)
		}
	}
	return s.healthz(ctx, nil)
}

// metrics hands over to the registry's own handler, which gzips and negotiates by itself.
func (s *Server) metrics(c *gin.Context) {
	if s.cfg.Metrics == nil {
		s.fail(c, errNoRoute)
		return
	}
	s.cfg.Metrics.ServeHTTP(c.Writer, c.Request)
}
