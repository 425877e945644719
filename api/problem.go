package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"klarsyn/policy"
	"klarsyn/retention"
)

// Problem is every error that leaves this server, as RFC 9457 has it. Type is what a program tells
// errors apart by; Detail says what to do. Neither holds anything that the client may not know.
type Problem struct {
	Type     string         `json:"type" doc:"names the kind of problem; stable"`
	Title    string         `json:"title" doc:"the kind of problem for people"`
	Status   int            `json:"status" doc:"the HTTP status"`
	Detail   string         `json:"detail,omitempty" doc:"what is wrong and how to mend it"`
	Missing  []string       `json:"missing,omitempty" doc:"what a look must still state: purpose, case"`
	Purposes []string       `json:"purposes,omitempty" doc:"the purposes that the clip's permit allows"`
	Part     string         `json:"part,omitempty" doc:"the part that is not ready"`
	Errors   []ProblemField `json:"errors,omitempty" doc:"fields that are wrong"`

	retryAfter time.Duration
	cause      error
}

// ProblemField is one field that is wrong. The value is not repeated: it may be a password.
type ProblemField struct {
	Location string `json:"location,omitempty"`
	Message  string `json:"message"`
}

const (
	problemType  = "urn:klarsyn:problem:"
	problemMedia = "application/problem+json"
)

func newProblem(status int, kind, title, detail string) *Problem {
	return &Problem{Type: problemType + kind, Title: title, Status: status, Detail: detail}
}

func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

// Unwrap gives the log what the client does not see.
func (p *Problem) Unwrap() error { return p.cause }

// GetStatus, ContentType and GetHeaders are what huma asks an error.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is the media type of RFC 9457.
func (p *Problem) ContentType(string) string { return problemMedia }

// GetHeaders tells the client when to come back.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter > 0 {
		seconds := (p.retryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	return h
}

// Errors of this package that the table below turns into a status.
var (
	errNotLoggedIn = errors.New("not logged in")
	errForbidden   = errors.New("the role does not have this right")
	errNoCamera    = errors.New("no such camera")
	errNoRoute     = errors.New("no such page")
	errMethod      = errors.New("method not allowed")
	errCrossOrigin = errors.New("request from another site")
	errUnsatisfied = errors.New("range not satisfiable")
	errUsersLocal  = errors.New("accounts are changed on the machine itself")
)

// unavailableError says that a part which the answer needs could not be asked.
type unavailableError struct {
	part string
	err  error
}

func (e *unavailableError) Error() string { return fmt.Sprintf("%s: %v", e.part, e.err) }
func (e *unavailableError) Unwrap() error { return e.err }

// unavailable marks err as the failure of a part; nil stays nil.
func unavailable(part string, err error) error {
	if err == nil {
		return nil
	}
	return &unavailableError{part: part, err: err}
}

// problemFor is the only place where an error becomes a status. The order matters: what names its
// meaning comes before what only names the part that failed, and an unknown error tells nothing.
func problemFor(err error) *Problem {
	p := describe(err)
	if p.cause == nil && p != err { //nolint:errorlint // the very same value, not one of its kind
		p.cause = err
	}
	return p
}

func describe(err error) *Problem {
	var (
		problem  *Problem
		tries    *TooManyTries
		notReady *NotReady
		tooLarge *http.MaxBytesError
		part     *unavailableError

		described *BadDescription
	)
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.Is(err, errNotLoggedIn):
		return newProblem(401, "not-logged-in", "Not logged in", "Log in with POST /api/v1/login and send the session cookie, or its value as Authorization: Bearer.")
	case errors.Is(err, ErrWrongCredentials):
		return newProblem(401, "wrong-credentials", "Wrong name or password", "Check both and try again.")
	case errors.As(err, &tries):
		p := newProblem(429, "too-many-tries", "Too many tries", "Wait as long as Retry-After says, then try again.")
		p.retryAfter = max(tries.After, time.Second)
		return p
	case errors.Is(err, errTooManyDenials):
		p := newProblem(429, "too-many-denials", "Too many refusals", "So much was refused in this session that it must wait. Ask only for what your role may see.")
		p.retryAfter = denialEvery
		return p
	case errors.Is(err, ErrProofPending):
		return retryLater("proof-pending", "The proof is not ready yet", "The log has not numbered the deletion yet. Try again in a few seconds.")
	case errors.Is(err, policy.ErrLogUnavailable):
		return retryLater("log-unavailable", "The audit log cannot be written", "Nothing is shown that cannot be logged. Try again later.")
	case errors.Is(err, policy.ErrViewingClosed):
		return retryLater("viewing-closed", "The viewing was closed", "Ask again: a new viewing is opened.")
	case errors.Is(err, policy.ErrDenied), errors.Is(err, retention.ErrNoGrant):
		return newProblem(403, "denied", "Not allowed", "The rules do not let your role see this footage.")
	case errors.Is(err, ErrUnknownWitness):
		return newProblem(403, "unknown-witness", "Unknown witness", "No witness that this log knows made that cosignature: the operator adds the line that klarsyn witness prints to witnesses in square.yaml.")
	case errors.Is(err, ErrOtherCheckpoint):
		return newProblem(409, "other-checkpoint", "Not a checkpoint of this log", "Send the text of a checkpoint of GET /log/checkpoint, an empty line, and one signature line.")
	case errors.As(err, &described):
		p := newProblem(422, "bad-description", "The description of the square is wrong", "Nothing was changed. Mend what errors name, and apply again.")
		for line := range strings.Lines(described.Error()) {
			if line = strings.TrimRight(line, " \r\n"); line != "" {
				p.Errors = append(p.Errors, ProblemField{Message: line})
			}
		}
		return p
	case errors.Is(err, ErrChangedMeanwhile):
		return newProblem(409, "changed-meanwhile", "Somebody else applied a change", "Look at what holds now with GET /api/v1/square, and apply again.")
	case errors.Is(err, errUsersLocal):
		return newProblem(403, "users-local", "Accounts are not changed from here", "Leave users out, or apply the description on the machine itself with klarsyn apply --data.")
	case errors.Is(err, errForbidden):
		return newProblem(403, "forbidden", "Not allowed", "Your role does not have this right.")
	case errors.Is(err, errCrossOrigin):
		return newProblem(403, "cross-origin", "Request from another site", "Send the request from this site's own pages, or from a program without an Origin header.")
	case errors.Is(err, retention.ErrNotFound):
		return newProblem(404, "no-such-clip", "No such clip", "Find clips with GET /api/v1/clips.")
	case errors.Is(err, retention.ErrTooMuchHeld):
		return newProblem(422, "too-much", "Too much for one hold", "A hold keeps at most "+strconv.Itoa(retention.MaxHeld)+" clips: hold a shorter stretch, or place several.")
	case errors.Is(err, retention.ErrNoHold):
		return newProblem(404, "no-such-hold", "No such hold", "GET /api/v1/holds lists them.")
	case errors.Is(err, retention.ErrHoldLifted):
		return newProblem(409, "hold-lifted", "The hold was lifted already", "GET /api/v1/holds/{id} says when, and by whom.")
	case errors.Is(err, retention.ErrSamePerson):
		return newProblem(409, "same-person", "Lifting takes two people", "You asked for this hold to be lifted: another one who may lift holds must agree.")
	case errors.Is(err, retention.ErrNobodyAsked):
		return newProblem(409, "nobody-asked", "Nobody asked for it", "Say first why the hold is not needed any more.")
	case errors.Is(err, errNoCamera):
		return newProblem(404, "no-such-camera", "No such camera", "GET /api/v1/cameras lists the cameras that you may see.")
	case errors.Is(err, errNoRoute):
		return newProblem(404, "no-such-page", "No such page", "GET /openapi.json lists what there is.")
	case errors.Is(err, errMethod):
		return newProblem(405, "method-not-allowed", "Method not allowed", "The Allow header names the methods of this address.")
	case errors.Is(err, retention.ErrNotReady):
		return newProblem(409, "not-ready", "Still being recorded", "The clip can be seen when it is committed. Try again in a minute.")
	case errors.Is(err, retention.ErrGone):
		return newProblem(410, "gone", "Deleted", "The clip's deadline has passed: it was deleted and cannot be seen again.")
	case errors.Is(err, retention.ErrNoFootage):
		return newProblem(410, "no-footage", "Nothing was kept", "The recorder stopped before anything of this clip could be kept.")
	case errors.As(err, &tooLarge):
		return newProblem(413, "too-large", "Request too large", "Send at most "+strconv.FormatInt(tooLarge.Limit, 10)+" bytes.")
	case errors.Is(err, errUnsatisfied):
		return newProblem(416, "range", "Range not satisfiable", "The Content-Range header names the length.")
	case errors.Is(err, retention.ErrDamaged):
		return newProblem(500, "damaged", "The footage is damaged", "The stored bytes are not what was recorded. Nothing of it is shown; tell the operator the clip's id.")
	case errors.Is(err, retention.ErrUnavailable):
		return retryLater("store-unavailable", "The store or its keys cannot be reached", "Try again later.")
	case errors.As(err, &notReady):
		p := retryLater("not-serving", "Not ready", "A part is not ready: see \"part\".")
		p.Part = notReady.Part
		return p
	case errors.As(err, &part):
		p := retryLater("unavailable", "A part cannot be reached", "Try again later.")
		p.Part = part.part
		return p
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return retryLater("timeout", "The answer took too long", "Try again later.")
	default:
		return newProblem(500, "internal", "Internal error", "The request could not be answered. The server's log says why.")
	}
}

func retryLater(kind, title, detail string) *Problem {
	p := newProblem(http.StatusServiceUnavailable, kind, title, detail)
	p.retryAfter = 5 * time.Second
	return p
}

// fromHuma makes a Problem of what huma itself found wrong with a request.
func fromHuma(m *huma.ErrorModel) *Problem {
	kind, title := "invalid", "Invalid request"
	switch m.Status {
	case http.StatusRequestEntityTooLarge:
		kind, title = "too-large", "Request too large"
	case http.StatusUnsupportedMediaType:
		kind, title = "media-type", "Unsupported media type"
	case http.StatusRequestTimeout:
		kind, title = "timeout", "The request took too long"
	}
	if m.Status >= 500 {
		return newProblem(m.Status, "internal", "Internal error", "The request could not be answered. The server's log says why.")
	}
	p := newProblem(m.Status, kind, title, "See \"errors\" for the fields that are wrong, and GET /openapi.json for what is expected.")
	for _, e := range m.Errors {
		p.Errors = append(p.Errors, ProblemField{Location: e.Location, Message: e.Message})
	}
	if len(p.Errors) == 0 {
		p.Detail = m.Detail
	}
	return p
}

// transform is huma's hook on every body it writes; it keeps huma's own error type from clients.
func transform(_ huma.Context, _ string, v any) (any, error) {
	if m, ok := v.(*huma.ErrorModel); ok {
		return fromHuma(m), nil
	}
	return v, nil
}

// logFailed makes sure that an error of the audit log is known as one.
func logFailed(err error) error {
	if err == nil || errors.Is(err, policy.ErrLogUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", policy.ErrLogUnavailable, err)
}

// fail writes err as a problem; after the first byte it can only cut the connection.
func (s *Server) fail(c *gin.Context, err error) {
	p := problemFor(err)
	s.logProblem(c.Request.Context(), p)
	if c.Writer.Written() {
		panic(http.ErrAbortHandler)
	}
	writeProblem(c.Writer, p)
	c.Abort()
}

// logProblem tells the operator what the client is not told.
func (s *Server) logProblem(ctx context.Context, p *Problem) {
	if p.Status >= 500 && p.cause != nil {
		s.cfg.Logger.ErrorContext(ctx, "request failed", "problem", p.Type, "status", p.Status, "err", p.cause)
	}
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	for k, v := range p.GetHeaders() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", problemMedia)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	// The client may be gone: there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(p)
}
