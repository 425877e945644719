package api

import (
	"context"
	"net/http"

	"klarsyn/policy"
)

type loginInput struct {
	Body struct {
		User     string `json:"user" minLength:"1" maxLength:"100" doc:"account name"`
		Password string `json:"password" minLength:"1" maxLength:"1000"`
	}
}

// meBody tells a client who it is.
type meBody struct {
	User string      `json:"user"`
	Role policy.Role `json:"role" enum:"investigator,dashboard-viewer,auditor,operator,compliance-officer,investigation-lead"`
}

type loginOutput struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
	Body      meBody
}

type logoutOutput struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
}

type meOutput struct{ Body meBody }

func (s *Server) login(ctx context.Context, in *loginInput) (*loginOutput, error) {
	who, cookie, err := s.logIn(ctx, in.Body.User, in.Body.Password)
	if err != nil {
		return nil, err
	}
	return &loginOutput{SetCookie: *cookie, Body: meBody{User: who.Name, Role: who.Role}}, nil
}

func (s *Server) logout(ctx context.Context, _ *struct{}) (*logoutOutput, error) {
	cookie, err := s.logOut(ctx)
	if err != nil {
		return nil, err
	}
	return &logoutOutput{SetCookie: *cookie}, nil
}

func (s *Server) me(ctx context.Context, _ *struct{}) (*meOutput, error) {
	who, _ := subjectOf(ctx)
	return &meOutput{Body: meBody{User: who.Name, Role: who.Role}}, nil
}

// logIn checks the password (which logs the try) and begins a session.
func (s *Server) logIn(ctx context.Context, user, password string) (policy.Subject, *http.Cookie, error) {
	remote, _ := ctx.Value(remoteKey).(string)
	who, err := s.cfg.Accounts.Authenticate(ctx, user, password, remote)
	if err != nil {
		return policy.Subject{}, nil, err
	}
	cookie, err := s.begin(ctx, who)
	return who, cookie, err
}

// logOut ends the session first and logs it then: a session must end even if the log is down, since
// ending it shows nobody anything.
func (s *Server) logOut(ctx context.Context) (*http.Cookie, error) {
	who, known := subjectOf(ctx)
	cookie, err := s.end(ctx)
	if err != nil || !known {
		return cookie, err
	}
	err = s.cfg.Log.Record(ctx, policy.LoggedOutEntry(who))
	if err != nil {
		s.cfg.Logger.ErrorContext(ctx, "a logout could not be logged", "user", who.Name, "session", who.Session, "err", err)
	}
	return cookie, nil
}
