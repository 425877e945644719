package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"klarsyn/policy"
)

const (
	sessionIdle     = 15 * time.Minute
	sessionLifetime = 8 * time.Hour
	// touchEvery bounds how often reading a page writes to the session store.
	touchEvery = time.Minute

	keyName    = "name"
	keyRole    = "role"
	keyHandle  = "handle"
	keyBegan   = "began" // microseconds
	keyTouched = "touched"
)

// newSessions builds the manager field by field: scs.New would start a cleaner that nobody stops.
func newSessions(store scs.Store, tls bool) *scs.SessionManager {
	name := "klarsyn"
	if tls {
		name = "__Host-klarsyn" // browsers refuse such a cookie unless it is Secure, host-only and for /
	}
	return &scs.SessionManager{
		IdleTimeout:      sessionIdle,
		Lifetime:         sessionLifetime,
		Store:            store,
		Codec:            scs.GobCodec{},
		HashTokenInStore: true,
		Cookie: scs.SessionCookie{
			Name: name, Path: "/", HttpOnly: true, Secure: tls, SameSite: http.SameSiteStrictMode,
		},
	}
}

type contextKey int

const (
	subjectKey contextKey = iota
	remoteKey
)

// withSession puts the session of the request, empty if it has none, into its context, and its subject if
// the account still stands: what was taken from somebody must not work until the session runs out.
func (s *Server) withSession(r *http.Request) (*http.Request, error) {
	ctx, err := s.sessions.Load(r.Context(), s.tokenOf(r))
	if err != nil {
		return nil, unavailable("sessions", err)
	}
	remote := s.remoteOf(r)
	ctx = context.WithValue(ctx, remoteKey, remote)
	name := s.sessions.GetString(ctx, keyName)
	if name == "" {
		return r.WithContext(ctx), nil
	}
	who := policy.Subject{
		Name:    name,
		Role:    policy.Role(s.sessions.GetString(ctx, keyRole)),
		Session: s.sessions.GetString(ctx, keyHandle),
		Remote:  remote,
		Client:  r.UserAgent(),
	}
	if s.cfg.Current != nil {
		err = s.cfg.Current(ctx, who, time.UnixMicro(s.sessions.GetInt64(ctx, keyBegan)).UTC())
	}
	if errors.Is(err, ErrRevoked) {
		_, err := s.end(ctx)
		return r.WithContext(ctx), err
	}
	if err != nil {
		return nil, unavailable("accounts", err)
	}
	return r.WithContext(context.WithValue(ctx, subjectKey, who)), nil
}

// tokenOf is the session's token: the cookie or, of a program that keeps no cookies, what Authorization says.
func (s *Server) tokenOf(r *http.Request) string {
	if c, err := r.Cookie(s.sessions.Cookie.Name); err == nil {
		return c.Value
	}
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return ""
}

// touch moves the idle timeout. A page that refreshes itself is not a person: it keeps a session alive
// only for dashboard viewers, whose screens hang on walls and show no picture.
func (s *Server) touch(ctx context.Context, polled bool) error {
	who, ok := subjectOf(ctx)
	if !ok || (polled && who.Role != policy.DashboardViewer) {
		return nil
	}
	now := s.cfg.Now()
	if now.Sub(time.Unix(s.sessions.GetInt64(ctx, keyTouched), 0)).Abs() < touchEvery {
		return nil
	}
	s.sessions.Put(ctx, keyTouched, now.Unix())
	_, _, err := s.sessions.Commit(ctx)
	return unavailable("sessions", err)
}

// begin logs subject in under a fresh token and returns the cookie that carries it.
func (s *Server) begin(ctx context.Context, who policy.Subject) (*http.Cookie, error) {
	if err := s.sessions.RenewToken(ctx); err != nil {
		return nil, unavailable("sessions", err)
	}
	if err := s.sessions.Clear(ctx); err != nil {
		return nil, unavailable("sessions", err)
	}
	if who.Session == "" {
		who.Session = rand.Text()[:10]
	}
	s.sessions.Put(ctx, keyName, who.Name)
	s.sessions.Put(ctx, keyRole, string(who.Role))
	s.sessions.Put(ctx, keyHandle, who.Session)
	s.sessions.Put(ctx, keyBegan, s.cfg.Now().UnixMicro())
	s.sessions.Put(ctx, keyTouched, s.cfg.Now().Unix())
	token, _, err := s.sessions.Commit(ctx)
	if err != nil {
		return nil, unavailable("sessions", err)
	}
	return s.cookie(token, 0), nil
}

// end destroys the session and returns the cookie that tells the browser to forget it.
func (s *Server) end(ctx context.Context) (*http.Cookie, error) {
	if err := s.sessions.Destroy(ctx); err != nil {
		return nil, unavailable("sessions", err)
	}
	return s.cookie("", -1), nil
}

func (s *Server) cookie(token string, maxAge int) *http.Cookie {
	c := s.sessions.Cookie
	return &http.Cookie{Name: c.Name, Value: token, Path: c.Path, MaxAge: maxAge,
		HttpOnly: c.HttpOnly, Secure: c.Secure, SameSite: c.SameSite}
}

// subjectOf is who asks; false if nobody is logged in.
func subjectOf(ctx context.Context) (policy.Subject, bool) {
	who, ok := ctx.Value(subjectKey).(policy.Subject)
	return who, ok
}
