package api

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"klarsyn/policy"
)

// Why this package refuses somebody, where the gate was not asked.
const (
	reasonNotLoggedIn = "not-logged-in"
	reasonCrossOrigin = "cross-origin"
	reasonRole        = policy.ReasonRole
	reasonTooMany     = "too-many-denials"

	reasonUnknownWitness = "unknown-witness"
	reasonUsersLocal     = "users-local"
)

// turnAway logs that somebody who is not logged in was refused a route, and returns answer; if it cannot
// be logged, that is the answer. Strangers may ask as often as they like: their denials are coalesced.
func (s *Server) turnAway(c *gin.Context, reason string, answer error) error {
	object := routeOf(c)
	stranger := policy.Subject{Remote: s.remoteOf(c.Request)}
	err := s.denials.Record(c.Request.Context(), reason+" "+object, policy.DeniedEntry(stranger, policy.Denial{Object: object, Reason: reason}))
	if err != nil {
		return logFailed(err)
	}
	return answer
}

// routeOf names a route for the log: the pattern, since an address may hold anything.
func routeOf(c *gin.Context) string {
	if c.FullPath() == "" {
		return policy.KindRoute.Of("unmatched")
	}
	return policy.KindRoute.Of(c.Request.Method + " " + c.FullPath())
}

// refuse logs a denial that the gate did not log itself, then returns answer; if it cannot be logged,
// that is the answer.
func (s *Server) refuse(ctx context.Context, a policy.Action, object string, v policy.Verdict, answer error) error {
	return s.deny(ctx, policy.Denial{Object: object, Action: a, Verdict: v}, answer)
}

// deny logs the denial of somebody who is logged in, unless too many of the session's were logged already.
func (s *Server) deny(ctx context.Context, d policy.Denial, answer error) error {
	if _, err := s.mayDeny(ctx); err != nil {
		return err
	}
	who, _ := subjectOf(ctx)
	if err := s.cfg.Log.Record(ctx, policy.DeniedEntry(who, d)); err != nil {
		return logFailed(err)
	}
	return answer
}

// mayDeny takes one of the denials that the session may still cost the log; unused gives it back where
// nothing was denied. When they are used up the request is refused unseen, and only counted: one session
// must not be able to keep the log busy with its refusals.
func (s *Server) mayDeny(ctx context.Context) (unused func(), err error) {
	who, _ := subjectOf(ctx)
	if s.allowance.take(who.Session, s.cfg.Now()) {
		return func() { s.allowance.giveBack(who.Session) }, nil
	}
	err = s.denials.Record(ctx, reasonTooMany+" "+who.Session, policy.DeniedEntry(who, policy.Denial{Reason: reasonTooMany}))
	if err != nil {
		return nil, logFailed(err)
	}
	return nil, errTooManyDenials
}

// refuseForeign turns away what a page of another site sends in this site's name.
func (s *Server) refuseForeign(c *gin.Context) {
	if err := s.foreign.Check(c.Request); err != nil {
		s.failPage(c, s.turnAway(c, reasonCrossOrigin, errCrossOrigin))
	}
}

// embedded reports whether a page of another site, be it a sister of this one, put the request into itself.
// Cookies go with such a request of a sister site, and a look would be logged that nobody asked for.
func embedded(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return true
}

// allowance is how many denials each session may still have logged one by one.
type allowance struct {
	mu   sync.Mutex
	left map[string]*tokens
}

type tokens struct {
	n    float64
	last time.Time
}

const (
	denialsAtOnce = 30
	denialEvery   = 2 * time.Second
	maxAllowances = 10_000
)

func newAllowance() *allowance { return &allowance{left: map[string]*tokens{}} }

func (a *allowance) take(session string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.left[session]
	if t == nil {
		if len(a.left) >= maxAllowances {
			a.dropFull(now)
		}
		t = &tokens{n: denialsAtOnce, last: now}
		a.left[session] = t
	}
	t.fill(now)
	if t.n < 1 {
		return false
	}
	t.n--
	return true
}

func (t *tokens) fill(now time.Time) {
	if passed := now.Sub(t.last); passed > 0 {
		t.n = min(denialsAtOnce, t.n+float64(passed)/float64(denialEvery))
		t.last = now
	}
}

func (a *allowance) giveBack(session string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.left[session]; t != nil {
		t.n = min(denialsAtOnce, t.n+1)
	}
}

// dropFull forgets the sessions that have all of their allowance: they lose nothing by it.
func (a *allowance) dropFull(now time.Time) {
	for session, t := range a.left {
		if t.fill(now); t.n >= denialsAtOnce {
			delete(a.left, session)
		}
	}
}

var errTooManyDenials = errors.New("too many denials in this session")
