package api

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"
)

// recordAccess writes one line per request: the route, not the address, because a query may hold a
// case number. The audit log, not this one, is where looks are recorded.
func (s *Server) recordAccess(c *gin.Context) {
	began := time.Now()
	ended := false
	defer func() {
		level := slog.LevelInfo
		if quiet(c.FullPath()) {
			level = slog.LevelDebug
		}
		route := c.FullPath()
		if route == "" {
			route = "unmatched"
		}
		attrs := []slog.Attr{
			slog.String("method", c.Request.Method), slog.String("route", route),
			slog.Int("status", c.Writer.Status()), slog.Int("bytes", max(0, c.Writer.Size())),
			slog.Duration("took", time.Since(began)), slog.String("remote", s.remoteOf(c.Request)),
		}
		if who, ok := subjectOf(c.Request.Context()); ok {
			attrs = append(attrs, slog.String("user", who.Name), slog.String("session", who.Session))
		}
		if id := c.Param("id"); validClipID(id) {
			attrs = append(attrs, slog.String("clip", id))
		}
		if !ended {
			attrs = append(attrs, slog.Bool("cut", true))
		}
		s.cfg.Logger.LogAttrs(c.Request.Context(), level, "request", attrs...)
	}()
	c.Next()
	ended = true
}

// quiet are the routes that machines ask every few seconds.
func quiet(route string) bool {
	switch route {
	case "/healthz", "/readyz", "/metrics", "/log/checkpoint", "/log/cosignatures", pollRoute:
		return true
	}
	return false
}

// recoverPanic turns a panic into a problem, or where bytes are already out cuts the connection: a
// client must never take half an answer for a whole one.
func (s *Server) recoverPanic(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares the panic's value so
			panic(v)
		}
		if c.Request.Context().Err() == nil {
			s.cfg.Logger.ErrorContext(c.Request.Context(), "panic in a request",
				"route", c.FullPath(), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
		if c.Writer.Written() {
			panic(http.ErrAbortHandler)
		}
		writeProblem(c.Writer, problemFor(fmt.Errorf("panic: %v", v)))
		c.Abort()
	}()
	c.Next()
}

// limitBody keeps a client from filling memory; no request here has a body worth more, but a description of the square.
func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var limit int64 = maxBodyBytes
		if r.URL.Path == "/api/v1/square" || r.URL.Path == "/api/v1/permits/simulate" {
			limit = maxDescription
		}
		if r.ContentLength > limit {
			w.Header().Set("Connection", "close")
			writeProblem(w, problemFor(&http.MaxBytesError{Limit: limit}))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit+1) // huma stops at the same byte, and says why
		next.ServeHTTP(w, r)
	})
}

// secureHeaders go on every response. Referrer-Policy is same-origin and not no-referrer, because with
// the latter browsers send "Origin: null" with a form, which the cross-origin check must refuse.
func (s *Server) secureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
			"media-src 'self' blob:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		h.Set("Cache-Control", "no-store")
		h.Set("Vary", "Cookie, Authorization")
		if s.cfg.TLS {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// newErrorLog takes what net/http says of connections, which is noise from strangers, as debug lines.
func newErrorLog(l *slog.Logger) *log.Logger {
	if l == nil {
		return log.New(io.Discard, "", 0)
	}
	return slog.NewLogLogger(l.Handler(), slog.LevelDebug)
}
