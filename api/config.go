// Package api is the door to Klarsyn for people and programs: the HTTP interface under /api/v1 with its
// OpenAPI 3.1 description, and one plain server-rendered page. It holds no footage, no keys and no
// rules: it asks the interfaces below, and turns their answers and errors into HTTP.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/alexedwards/scs/v2"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
)

// Config is everything that the server needs. Fields without "optional" are required: New refuses
// a Config in which one is missing, because a door without a lock must not open.
type Config struct {
	Cameras   func() []CameraInfo // of the square that holds now
	Clips     Clips
	Deletions Deletions
	Proofs    Proofs
	Vault     Vault
	Custody   Custody
	Holds     Holds
	// HoldChanges are what becomes of a hold after it was placed.
	HoldChanges HoldChanges
	Occupancy   Occupancy
	Log         Log
	Tiles       Tiles
	Square      Square
	Accounts    Accounts
	Gate        Gate
	// Current is asked at every request of a session that began at since. It fails with ErrRevoked if the
	// account was disabled or changed after that. Optional, but without it a session outlives what was
	// taken from its account until it runs out.
	Current func(ctx context.Context, s policy.Subject, since time.Time) error
	// Permit finds the permit version that a clip was recorded under. Its purposes are what a look may state.
	Permit func(id string, version int) (policy.Permit, bool)

	Sessions scs.Store // sees only hashes of session tokens
	TLS      bool      // clients speak TLS, to the listener or a proxy: cookies are Secure and the host is pinned to HTTPS
	// Proxied says that a proxy stands before the listener: who connects from this machine may be anybody.
	Proxied bool
	// Proxies are the networks of proxies that say truly in X-Forwarded-For whom they speak for. Optional:
	// without it the address of the connection is the client's.
	Proxies []netip.Prefix

	// Ready says why the process cannot serve, as a *NotReady where the part is known. Optional.
	Ready func(context.Context) error
	// Metrics answers GET /metrics. Optional.
	Metrics http.Handler
	Now     func() time.Time // optional: time.Now
	Logger  *slog.Logger     // optional: slog.Default()
}

// CameraInfo is what the interface tells of one camera. It has no place for an address or a credential.
type CameraInfo struct {
	ID    camera.ID
	Name  string
	Zones []ZoneInfo
	// MinCell is the smallest count of people that a dashboard viewer may see of a time, as the permit
	// of that time says. Optional: without it, or where it says 0, it is 5.
	MinCell func(at time.Time) int
	// State is what the recorder does now. Optional: without it the state is not told.
	State func() RecorderState
}

// ZoneInfo names a zone of a camera.
type ZoneInfo struct {
	ID   string
	Name string
}

// RecorderState is what one camera's recorder does, since when. Cause is empty while it records.
type RecorderState struct {
	Recording bool
	Cause     camera.Cause
	Since     time.Time
}

// Clips finds the rows of clips. Search returns clips of cam that overlap [from, to), oldest first,
// those after the clip id after; deleted clips need not be among them. Clip also finds deleted ones,
// and fails with retention.ErrNotFound.
type Clips interface {
	Search(ctx context.Context, cam camera.ID, from, to time.Time, limit int, after string) ([]retention.Clip, error)
	Clip(ctx context.Context, id string) (retention.Clip, error)
}

// Deletions lists proofs of deletion of cam (all cameras if empty) whose deletion lies in [from, to),
// newest first, those that follow the clip id after in that order.
type Deletions interface {
	Deletions(ctx context.Context, cam camera.ID, from, to time.Time, limit int, after string) ([]retention.Proof, error)
}

// Vault opens a clip for the holder of a grant. Errors: retention.ErrGone, ErrNotReady, ErrNoFootage,
// ErrDamaged, ErrUnavailable, ErrNoGrant.
type Vault interface {
	Open(ctx context.Context, g policy.Grant, clip string) (retention.Footage, error)
}

// Custody places holds. What could not be held comes back with the reason; a hold without clips was not placed.
type Custody interface {
	Place(ctx context.Context, who policy.Subject, h retention.Hold) (retention.Hold, []retention.Refusal, error)
}

// Holds reads holds, with the cameras whose footage they keep. Holds lists them, newest first, without the clips; Hold fails with
// retention.ErrNoHold.
type Holds interface {
	Holds(ctx context.Context, caseNumber string, inForce bool, limit int, before string) ([]retention.Hold, error)
	Hold(ctx context.Context, id string) (retention.Hold, error)
}

// HoldChanges lifts and extends holds, each logged in its transaction. Errors: retention.ErrNoHold, ErrHoldLifted, ErrSamePerson,
// ErrNobodyAsked.
type HoldChanges interface {
	AskLift(ctx context.Context, who policy.Subject, id, reason string) error
	Lift(ctx context.Context, who policy.Subject, id string) error
	ExtendHold(ctx context.Context, who policy.Subject, id string, review time.Time) error
}

// Occupancy reads counts. Latest returns the newest sample of every camera and zone.
type Occupancy interface {
	Samples(ctx context.Context, cam camera.ID, zone string, from, to time.Time, limit int) ([]camera.Sample, error)
	Latest(ctx context.Context) ([]camera.Sample, error)
}

// Log reads and writes the audit log. Entries returns the newest first. Record fails if nothing was
// written, and then nothing is served.
type Log interface {
	Entries(ctx context.Context, q LogQuery) ([]LogEntry, error)
	Record(ctx context.Context, e policy.Entry) error
}

// LogQuery selects audit entries: those with an index below Before (0: from the newest on), and where
// given only those of any of Events, of Actor, about Object, of Case, from Since inclusive to Until exclusive.
type LogQuery struct {
	Before       int64
	Limit        int
	Events       []policy.Event
	Actor        string
	Object       string
	Case         string
	Since, Until time.Time
}

// LogEntry is an audit entry with its place in the log.
type LogEntry struct {
	Index int64
	Entry policy.Entry
}

// Accounts checks a password. It logs the try itself. Errors: ErrWrongCredentials, *TooManyTries,
// policy.ErrLogUnavailable. Subject.Session is the session's handle in the audit log.
type Accounts interface {
	Authenticate(ctx context.Context, name, password, remote string) (policy.Subject, error)
}

// Gate decides. May asks the rules alone, and never allows footage. Look opens or reuses a viewing in the audit log before it
// returns a grant; it logs denials itself. Respond comes before the first byte of each footage
// response, and done after its last, with the bytes and the seconds of video that were served.
type Gate interface {
	May(s policy.Subject, a policy.Action, camera string) (policy.Verdict, error)
	Look(ctx context.Context, s policy.Subject, r policy.Request) (policy.Grant, error)
	Respond(ctx context.Context, g policy.Grant) (done func(bytes int64, seconds float64), err error)
}

// ErrWrongCredentials says that name and password do not belong together, and never which of them is wrong.
var ErrWrongCredentials = errors.New("wrong name or password")

// ErrRevoked says that an account was disabled or changed after a session of it began: the session is over.
var ErrRevoked = errors.New("the account was disabled or changed")

// ErrChangedMeanwhile says that somebody else changed what holds since a change was planned.
var ErrChangedMeanwhile = errors.New("somebody else applied a change meanwhile")

// TooManyTries says that a login was refused unseen, and when to come back.
type TooManyTries struct{ After time.Duration }

func (e *TooManyTries) Error() string {
	return fmt.Sprintf("too many tries to log in: wait %s", e.After.Round(time.Second))
}

// NotReady names the part that keeps the process from serving: a word for an operator such as "store",
// without addresses. Err is logged, never shown.
type NotReady struct {
	Part string
	Err  error
}

func (e *NotReady) Error() string { return fmt.Sprintf("%s is not ready: %v", e.Part, e.Err) }

func (e *NotReady) Unwrap() error { return e.Err }

const defaultMinCell = 5

// minCell is the smallest count that may be shown of a time.
func (c CameraInfo) minCell(at time.Time) int {
	if c.MinCell != nil {
		if n := c.MinCell(at); n > 0 {
			return n
		}
	}
	return defaultMinCell
}

// check fills in what is optional and says which required field is missing.
func (c *Config) check() error {
	for _, f := range []struct {
		name    string
		missing bool
	}{
		{"Clips", c.Clips == nil}, {"Deletions", c.Deletions == nil}, {"Proofs", c.Proofs == nil}, {"Vault", c.Vault == nil}, {"Custody", c.Custody == nil}, {"Holds", c.Holds == nil}, {"HoldChanges", c.HoldChanges == nil},
		{"Occupancy", c.Occupancy == nil}, {"Log", c.Log == nil}, {"Tiles", c.Tiles == nil}, {"Square", c.Square == nil}, {"Cameras", c.Cameras == nil}, {"Accounts", c.Accounts == nil},
		{"Gate", c.Gate == nil}, {"Permit", c.Permit == nil}, {"Sessions", c.Sessions == nil},
	} {
		if f.missing {
			return fmt.Errorf("api: Config.%s is missing: set it", f.name)
		}
	}
	for _, p := range c.Proxies {
		if !p.IsValid() {
			return fmt.Errorf("api: Config.Proxies: %q is no network: want for example 10.0.0.0/24", p)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}
