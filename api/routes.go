package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"klarsyn/policy"
)

// auth says who gets past the door of a route.
type auth string

const (
	anyone   auth = "anyone"               // no session is looked at
	visitor  auth = "visitor"              // a session is looked at, none is needed
	loggedIn auth = "logged in"            // 401 without a session
	machine  auth = "loopback or operator" // a scraper on this machine, or a logged-in operator
)

// access is what was decided about one route. Action is what the gate is asked: for perCamera by the
// handler with the camera of the loaded row (404 if not allowed), else here, before the handler (403).
type access struct {
	auth      auth
	action    policy.Action
	perCamera bool
	oneOf     []policy.Action // besides action; any one of these will do
	polled    bool            // asked by a page that refreshes itself: see touch
	footage   bool            // answers with pictures: only this site's own pages may embed it
}

const pollRoute = "/api/v1/occupancy/latest"

// accessTable decides about every route there is; New refuses a route that is not in it.
func accessTable() map[string]access {
	return map[string]access{
		"POST /api/v1/login":           {auth: visitor},
		"POST /api/v1/logout":          {auth: loggedIn},
		"GET /api/v1/me":               {auth: loggedIn},
		"GET /api/v1/cameras":          {auth: loggedIn, action: policy.ReadCameraList, perCamera: true},
		"GET /api/v1/clips":            {auth: loggedIn, action: policy.SearchClips, perCamera: true},
		"GET /api/v1/clips/:id":        {auth: loggedIn, action: policy.SearchClips, perCamera: true},
		"GET /api/v1/clips/:id/media":  {auth: loggedIn, action: policy.ViewOriginal, perCamera: true, footage: true},
		"HEAD /api/v1/clips/:id/media": {auth: loggedIn, action: policy.ViewOriginal, perCamera: true, footage: true},
		"GET /api/v1/occupancy":        {auth: loggedIn, action: policy.ReadOccupancy, perCamera: true},
		"GET " + pollRoute:             {auth: loggedIn, action: policy.ReadOccupancy, perCamera: true, polled: true},
		"GET /api/v1/deletions":        {auth: loggedIn, action: policy.ReadDeletions},
		"GET /api/v1/audit":            {auth: loggedIn, action: policy.ReadLog},

		// The handler asks again with the camera of the clip: what may not be known of is not found.
		"GET /api/v1/clips/:id/deletion-proof": {auth: loggedIn, action: policy.ReadDeletions},

		"GET /api/v1/cameras/:id/timeline": {auth: loggedIn, action: policy.SearchClips, perCamera: true},
		"GET /api/v1/permits":              {auth: loggedIn, action: policy.ReadPermits},
		"GET /api/v1/permits/explain":      {auth: loggedIn, action: policy.ReadPermits},
		"GET /api/v1/register":             {auth: loggedIn, action: policy.ReadPermits},
		// A plan says how what holds differs from what was sent, addresses of cameras, accounts and stored clips included. So
		// it is for those who may read all that, also where nothing is changed.
		"POST /api/v1/permits/simulate": {auth: loggedIn, action: policy.AdministerPermits},
		"GET /api/v1/square":            {auth: loggedIn, action: policy.ReadPermits, oneOf: administer()},
		// The handler asks again, for each kind of thing that changes.
		"POST /api/v1/square": {auth: loggedIn, action: policy.ReadPermits, oneOf: administer()},

		// Whether the camera's footage may be held is asked for each clip.
		"POST /api/v1/holds":            {auth: loggedIn, action: policy.PlaceHolds},
		"GET /api/v1/holds":             {auth: loggedIn, action: policy.ReadHolds},
		"GET /api/v1/holds/:id":         {auth: loggedIn, action: policy.ReadHolds},
		"POST /api/v1/holds/:id/lift":   {auth: loggedIn, action: policy.PlaceHolds},
		"POST /api/v1/holds/:id/extend": {auth: loggedIn, action: policy.PlaceHolds},

		"GET /openapi.json": {auth: anyone},
		"GET /healthz":      {auth: anyone},
		"GET /readyz":       {auth: anyone},
		"GET /metrics":      {auth: machine},

		// Hashes and signatures are for everybody who checks; of tiles the handler lets entries to who may read the log.
		"GET /log/checkpoint":    {auth: anyone},
		"GET /log/rotations":     {auth: anyone},
		"GET /log/tile/*name":    {auth: visitor},
		"POST /log/cosignatures": {auth: anyone},

		"GET /":                {auth: visitor},
		"POST /login":          {auth: visitor},
		"POST /logout":         {auth: visitor},
		"GET /clips/:id":       {auth: loggedIn, action: policy.SearchClips, perCamera: true},
		"POST /clips/:id/look": {auth: loggedIn, action: policy.ViewOriginal, perCamera: true},
		"GET /log":             {auth: loggedIn, action: policy.ReadLog},
		"GET /register":        {auth: loggedIn, action: policy.ReadPermits},
		"GET /register.csv":    {auth: loggedIn, action: policy.ReadPermits},
		"GET /assets/:file":    {auth: anyone},
	}
}

// administer is to change some of what holds of the square.
func administer() []policy.Action {
	return []policy.Action{policy.AdministerCameras, policy.AdministerPermits}
}

// undecided says which routes have no entry in the table, and which entries have no route.
func undecided(routes gin.RoutesInfo, table map[string]access) error {
	var errs []error
	left := maps.Clone(table)
	for _, r := range routes {
		key := r.Method + " " + r.Path
		if _, ok := table[key]; !ok {
			errs = append(errs, fmt.Errorf("api: route %s has no entry in the access table: decide who may", key))
		}
		delete(left, key)
	}
	for _, key := range slices.Sorted(maps.Keys(left)) {
		errs = append(errs, fmt.Errorf("api: the access table decides about %s, which is no route: remove it", key))
	}
	return errors.Join(errs...)
}

// admit is the door: it establishes who asks and turns away who may not ask this route at all.
func (s *Server) admit(c *gin.Context) {
	if c.FullPath() == "" {
		return // no such route: the handlers after this one say so
	}
	rule, ok := s.access[c.Request.Method+" "+c.FullPath()]
	if !ok {
		s.fail(c, fmt.Errorf("route %s %s is not in the access table", c.Request.Method, c.FullPath()))
		return
	}
	if rule.auth == anyone || (rule.auth == machine && s.fromThisMachine(c.Request)) {
		return
	}
	r, err := s.withSession(c.Request)
	if err != nil {
		s.failPage(c, err)
		return
	}
	c.Request = r
	if err := s.admitted(c, rule); errors.Is(err, errNotLoggedIn) && forPerson(c) {
		c.Redirect(http.StatusSeeOther, "/") // where the login form is
		c.Abort()
	} else if err != nil {
		s.failPage(c, err)
	}
}

// admitted says why who asks may not ask this route; nil if nothing speaks against it.
func (s *Server) admitted(c *gin.Context, rule access) error {
	ctx := c.Request.Context()
	who, known := subjectOf(ctx)
	if !known {
		if rule.auth == visitor {
			return nil
		}
		return s.turnAway(c, reasonNotLoggedIn, errNotLoggedIn)
	}
	switch {
	case rule.auth == machine && who.Role != policy.Operator:
		return s.deny(ctx, policy.Denial{Object: routeOf(c), Reason: reasonRole}, errForbidden)
	case rule.footage && embedded(c.Request):
		d := policy.Denial{Object: clipObject(c.Param("id")), Action: rule.action, Reason: reasonCrossOrigin}
		return s.deny(ctx, d, errCrossOrigin)
	}
	if err := s.touch(ctx, rule.polled); err != nil {
		return err
	}
	if rule.action == "" || rule.perCamera {
		return nil
	}
	if err := s.allowed(ctx, who, rule.action); err != nil || len(rule.oneOf) == 0 {
		return err
	}
	return s.allowed(ctx, who, rule.oneOf...)
}

// forPerson reports whether a page was asked for by a browser, and not the interface or by a program.
func forPerson(c *gin.Context) bool {
	return !strings.HasPrefix(c.FullPath(), "/api/") && strings.Contains(c.GetHeader("Accept"), "text/html")
}

// may asks the rules.
func (s *Server) may(who policy.Subject, a policy.Action, camera string) (policy.Verdict, error) {
	v, err := s.cfg.Gate.May(who, a, camera)
	return v, unavailable("rules", err)
}

// allowed asks the rules about something that belongs to no camera and for which any one of the actions will do; a no to
// all of them is logged and gives errForbidden.
func (s *Server) allowed(ctx context.Context, who policy.Subject, oneOf ...policy.Action) error {
	var (
		last    policy.Action
		verdict policy.Verdict
		err     error
	)
	for _, last = range oneOf {
		if verdict, err = s.may(who, last, ""); err != nil || verdict.Allowed {
			return err
		}
	}
	return s.refuse(ctx, last, "", verdict, errForbidden)
}
