package api

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/gin-gonic/gin"

	"klarsyn/policy"
	"klarsyn/retention"
)

// The forms answer with a redirect, so that reloading repeats nothing. What went wrong travels as one of
// a few fixed words in the address, never as text and never with what was typed.
const (
	noteWrong       = "wrong"
	noteWait        = "wait"
	noteUnavailable = "unavailable"
	noteDenied      = "denied"
	notePurpose     = "purpose"
	noteCase        = "case"
	noteDamaged     = "damaged"
)

func (s *Server) submitLogin(c *gin.Context) {
	_, cookie, err := s.logIn(c.Request.Context(), bounded(c.PostForm("user"), 100), bounded(c.PostForm("password"), 1000))
	var tries *TooManyTries
	switch {
	case err == nil:
		http.SetCookie(c.Writer, cookie)
		c.Redirect(http.StatusSeeOther, "/")
	case errors.Is(err, ErrWrongCredentials):
		c.Redirect(http.StatusSeeOther, "/?note="+noteWrong)
	case errors.As(err, &tries):
		c.Redirect(http.StatusSeeOther, "/?note="+noteWait)
	default:
		s.logProblem(c.Request.Context(), problemFor(err))
		c.Redirect(http.StatusSeeOther, "/?note="+noteUnavailable)
	}
}

// bounded keeps what an account could never be called from reaching the password hash.
func bounded(s string, limit int) string {
	if len(s) > limit {
		return ""
	}
	return s
}

func (s *Server) submitLogout(c *gin.Context) {
	cookie, err := s.logOut(c.Request.Context())
	if err != nil {
		s.failPage(c, err)
		return
	}
	http.SetCookie(c.Writer, cookie)
	c.Redirect(http.StatusSeeOther, "/")
}

// submitLook asks the gate at once, so that a person learns of a denial in words and not from a dark
// player. The viewing that it opens is the one that the player's requests then belong to.
func (s *Server) submitLook(c *gin.Context) {
	ctx := c.Request.Context()
	row, err := s.findClip(ctx, c.Param("id"))
	if err != nil {
		s.failPage(c, err)
		return
	}
	if err := s.viewable(row); err != nil {
		s.failPage(c, err)
		return
	}
	st := statement{purpose: c.PostForm("purpose"), caseNo: c.PostForm("case")}
	back := "/clips/" + row.ID
	if _, err := s.look(ctx, row, st); err != nil {
		c.Redirect(http.StatusSeeOther, back+"?"+url.Values{"note": notesOf(err)}.Encode())
		s.logProblem(ctx, problemFor(err))
		return
	}
	if err := s.remember(ctx, row.ID, st); err != nil {
		s.failPage(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, back)
}

// notesOf turns an error of a look into the words that the clip's page understands.
func notesOf(err error) []string {
	p := problemFor(err)
	switch {
	case len(p.Missing) > 0:
		return slices.Clone(p.Missing)
	case errors.Is(err, errTooManyDenials):
		return []string{noteWait}
	case errors.Is(err, policy.ErrDenied):
		return []string{noteDenied}
	case errors.Is(err, retention.ErrDamaged):
		return []string{noteDamaged}
	default:
		return []string{noteUnavailable}
	}
}
