package api

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"time"
	_ "time/tzdata" // the page shows Stockholm's time also where the system has no zones

	"github.com/gin-gonic/gin"

	"klarsyn/retention"
)

//go:embed page
var pageFiles embed.FS

// page is what the server-rendered pages are made of.
type page struct {
	templates map[string]*template.Template
	assets    map[string]pageAsset
	stockholm *time.Location
}

type pageAsset struct {
	mediaType, etag string
	content         []byte
}

func newPage() (*page, error) {
	p := &page{templates: map[string]*template.Template{}, assets: map[string]pageAsset{}}
	var err error
	if p.stockholm, err = time.LoadLocation("Europe/Stockholm"); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	for _, name := range []string{"login", "square", "clip", "log", "register", "error"} {
		t, err := template.ParseFS(pageFiles, "page/layout.html", "page/square.html", "page/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("api: page %s: %w", name, err)
		}
		p.templates[name] = t.Lookup(name + ".html")
	}
	for name, mediaType := range map[string]string{
		"style.css": "text/css; charset=utf-8", "script.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml",
	} {
		b, err := pageFiles.ReadFile("page/" + name)
		if err != nil {
			return nil, fmt.Errorf("api: asset %s: %w", name, err)
		}
		sum := sha256.Sum256(b)
		p.assets[name] = pageAsset{mediaType: mediaType, etag: `"` + hex.EncodeToString(sum[:8]) + `"`, content: b}
	}
	return p, nil
}

// frame is what every page shows around its content.
type frame struct {
	W        words
	Other    string // this address in the other language
	Now      string // the server's clock, for countdowns
	Title    string
	User     string
	RoleName string
	Notice   string
}

const langCookie = "klarsyn_lang"

// frameOf picks the language: what the address asks for and the browser then keeps, else what it kept,
// else what it prefers.
func (s *Server) frameOf(c *gin.Context) frame {
	lang := ""
	if kept, err := c.Cookie(langCookie); err == nil && (kept == "sv" || kept == "en") {
		lang = kept
	}
	if asked := c.Query("lang"); asked == "sv" || asked == "en" {
		lang = asked
		http.SetCookie(c.Writer, &http.Cookie{Name: langCookie, Value: lang, Path: "/", MaxAge: 365 * 24 * 3600,
			HttpOnly: true, Secure: s.cfg.TLS, SameSite: http.SameSiteLaxMode})
	}
	if lang == "" {
		lang = preferred(c.GetHeader("Accept-Language"))
	}
	f := frame{W: wordsFor(lang), Now: s.cfg.Now().UTC().Format(time.RFC3339)}
	here := c.Request.URL.Query()
	here.Set("lang", f.W.OtherLang)
	f.Other = "?" + here.Encode()
	if who, ok := subjectOf(c.Request.Context()); ok {
		f.User, f.RoleName = who.Name, f.W.role(who.Role)
	}
	return f
}

// render writes a whole page or, if its template fails, none of it.
func (s *Server) render(c *gin.Context, status int, name string, view any) {
	var b bytes.Buffer
	if err := s.page.templates[name].Execute(&b, view); err != nil {
		s.fail(c, fmt.Errorf("page %s: %w", name, err))
		return
	}
	c.Data(status, "text/html; charset=utf-8", b.Bytes())
}

type errorView struct {
	frame
	Status  int
	Message string
}

// failPage shows a problem to a person; a program that asked for no HTML gets the problem itself.
func (s *Server) failPage(c *gin.Context, err error) {
	if !forPerson(c) {
		s.fail(c, err)
		return
	}
	p := problemFor(err)
	s.logProblem(c.Request.Context(), p)
	for k, v := range p.GetHeaders() {
		c.Writer.Header()[k] = v
	}
	f := s.frameOf(c)
	view := errorView{frame: f, Status: p.Status, Message: f.W.problem(err)}
	if view.Message == "" {
		view.Message = p.Title
	}
	s.render(c, p.Status, "error", view)
	c.Abort()
}

// problem is what a person is told of an error; empty if its title must do.
func (w words) problem(err error) string {
	switch {
	case errors.Is(err, retention.ErrGone):
		return w.Gone
	case errors.Is(err, retention.ErrNotReady):
		return w.NotReady
	case errors.Is(err, retention.ErrNoFootage):
		return w.NoFootage
	case errors.Is(err, retention.ErrDamaged):
		return w.Damaged
	case errors.Is(err, retention.ErrNotFound), errors.Is(err, errNoCamera), errors.Is(err, errNoRoute):
		return w.NotFound
	}
	switch problemFor(err).Status {
	case http.StatusForbidden:
		return w.Denied
	case http.StatusTooManyRequests:
		return w.TooManyTries
	case http.StatusServiceUnavailable:
		return w.TryLater
	}
	return ""
}

func (s *Server) asset(c *gin.Context) {
	a, ok := s.page.assets[c.Param("file")]
	if !ok {
		s.fail(c, errNoRoute)
		return
	}
	c.Header("Cache-Control", "no-cache")
	c.Header("ETag", a.etag)
	c.Header("Content-Type", a.mediaType)
	http.ServeContent(c.Writer, c.Request, "", time.Time{}, bytes.NewReader(a.content))
}
