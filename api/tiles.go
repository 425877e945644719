package api

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"klarsyn/policy"
)

// Tiles is the log as the files of a tiled log (C2SP tlog-tiles). File fails with fs.ErrNotExist for a name that
// the log does not have. Cosign takes what a witness says of a checkpoint; errors: ErrUnknownWitness,
// ErrOtherCheckpoint.
type Tiles interface {
	File(ctx context.Context, name string) ([]byte, error)
	Cosign(ctx context.Context, note string) error
	State(ctx context.Context) (LogState, error)
}

// LogState is how far the log is, and who has seen how much of it.
type LogState struct {
	Name      string
	Entries   int64 // 0: nothing was signed yet
	Root      string
	Signed    time.Time
	Witnesses []WitnessState
}

// WitnessState is the newest word of a witness; Seen is zero if it never said anything.
type WitnessState struct {
	Name    string
	Entries int64
	Seen    time.Time
}

// Errors of a cosignature that is not taken.
var (
	ErrUnknownWitness  = errors.New("no witness that this log knows made that cosignature")
	ErrOtherCheckpoint = errors.New("that is no checkpoint of this log")
)

const (
	maxCosignature = 16 << 10
	entriesFolder  = "entries/"
	tilesMedia     = "application/octet-stream"
	noteMedia      = "text/plain; charset=utf-8"
)

// newestCheckpoint answers what witnesses and auditors ask every few seconds.
func (s *Server) newestCheckpoint(c *gin.Context) { s.logFile(c, "checkpoint", noteMedia) }

// keyRotations answers how the signing key changed, so that whoever knows one of them may follow.
func (s *Server) keyRotations(c *gin.Context) { s.logFile(c, "rotations", tilesMedia) }

// tile answers a tile of hashes to anybody: they tell nothing but that nothing was changed. Entries say who did
// what, so they are for those who may read the log, and that they read it is logged first.
func (s *Server) tile(c *gin.Context) {
	name := strings.TrimPrefix(c.Param("name"), "/")
	if !strings.HasPrefix(name, entriesFolder) {
		s.logFile(c, "tile/"+name, tilesMedia)
		return
	}
	ctx := c.Request.Context()
	who, known := subjectOf(ctx)
	if !known {
		s.fail(c, s.turnAway(c, reasonNotLoggedIn, errNotLoggedIn))
		return
	}
	if err := s.allowed(ctx, who, policy.ReadLog); err != nil {
		s.fail(c, err)
		return
	}
	err := s.cfg.Log.Record(ctx, policy.LogReadEntry(who, policy.LogQuestion{File: name}))
	if err != nil {
		s.fail(c, logFailed(err))
		return
	}
	s.logFile(c, "tile/"+name, tilesMedia)
}

func (s *Server) logFile(c *gin.Context, name, media string) {
	content, err := s.cfg.Tiles.File(c.Request.Context(), name)
	if errors.Is(err, fs.ErrNotExist) {
		s.fail(c, errNoRoute)
		return
	}
	if err != nil {
		s.fail(c, unavailable("log", err))
		return
	}
	c.Data(http.StatusOK, media, content)
}

// cosign takes a witness's cosignature. Its signature is what lets it in: a witness has no account.
func (s *Server) cosign(c *gin.Context) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxCosignature))
	if err != nil {
		s.fail(c, err)
		return
	}
	err = s.cfg.Tiles.Cosign(c.Request.Context(), string(body))
	switch {
	case err == nil:
		c.Status(http.StatusNoContent)
	case errors.Is(err, ErrUnknownWitness):
		s.fail(c, s.turnAway(c, reasonUnknownWitness, ErrUnknownWitness))
	case errors.Is(err, ErrOtherCheckpoint):
		s.fail(c, ErrOtherCheckpoint)
	default:
		s.fail(c, unavailable("log", err))
	}
}
