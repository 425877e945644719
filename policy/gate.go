package policy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// Verdict is what the rules say, and which of them said it.
type Verdict struct {
	Allowed  bool
	Rule     string // the rule that matched; empty if none did
	Revision string // of the rules as a whole
}

// Rules decide by equality of role, action, camera group and purpose. An error is a denial.
type Rules interface {
	Allow(role Role, action Action, group, purpose string) (Verdict, error)
}

const (
	// DefaultGroup is the camera group of every camera that no configuration puts elsewhere.
	DefaultGroup = "square"
	// None stands for the group of what is not about one camera, and for the purpose of what is not footage.
	None = "-"
	// DemoPolicy is what the log says in the place of an approval until a second person must approve.
	DemoPolicy = "demo-policy"
)

// GateConfig is what a Gate needs. Rules, Log and Viewings are required.
type GateConfig struct {
	Rules    Rules
	Log      Log
	Viewings Viewings
	Group    func(camera string) string // nil: every camera is in DefaultGroup
	Now      func() time.Time           // nil: time.Now
	// GrantLife is how long a grant opens its clip; 0: 60 s.
	GrantLife time.Duration
	// Idle is how long a viewing may go without a response before it is closed; 0: 60 s.
	Idle   time.Duration
	Logger *slog.Logger // nil: slog.Default
}

// Gate is the only way to footage. It asks the rules, has the look logged, and then mints the Grant
// without which nothing opens a clip. Whatever fails, it denies.
type Gate struct {
	cfg GateConfig

	mu   sync.Mutex
	open map[string]*use // the viewings that this gate lately answered for
}

// use is what a gate knows of a viewing while it answers for it.
type use struct {
	responses int // running now
	last      time.Time
}

// NewGate checks the configuration.
func NewGate(cfg GateConfig) (*Gate, error) {
	if cfg.Rules == nil || cfg.Log == nil || cfg.Viewings == nil {
		return nil, errors.New("gate: rules, log and viewings must be given: without them nothing can be decided or logged")
	}
	if cfg.GrantLife < 0 || cfg.Idle < 0 {
		return nil, errors.New("gate: grant life and idle time must not be negative")
	}
	if cfg.Group == nil {
		cfg.Group = func(string) string { return DefaultGroup }
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.GrantLife == 0 {
		cfg.GrantLife = time.Minute
	}
	if cfg.Idle == 0 {
		cfg.Idle = time.Minute
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Gate{cfg: cfg, open: map[string]*use{}}, nil
}

// May decides everything that is not footage. camera is empty for what is not about one camera. It
// never allows footage, and never together with an error.
func (g *Gate) May(subject Subject, action Action, camera string) (Verdict, error) {
	if subject.Name == "" || subject.Role == "" || action == ViewOriginal {
		return Verdict{}, nil
	}
	group := None
	if camera != "" {
		group = g.cfg.Group(camera)
	}
	return g.ask(subject.Role, action, group, None)
}

func (g *Gate) ask(role Role, action Action, group, purpose string) (Verdict, error) {
	verdict, err := g.cfg.Rules.Allow(role, action, group, purpose)
	if err != nil {
		verdict.Allowed = false
		return verdict, fmt.Errorf("ask the rules whether %s may %s: %w", role, action, err)
	}
	return verdict, nil
}

// Look decides whether the subject may look at the clip. The caller passes what the stored clip says of
// camera and permit, never what a URL says. A denial is logged and comes back as *DeniedError. An allowed
// look is logged before its Grant exists; looking again at the same clip for the same reason, as a
// player does for every range, belongs to the same viewing.
func (g *Gate) Look(ctx context.Context, subject Subject, r Request) (Grant, error) {
	if r.Action != ViewOriginal || r.Clip == "" || r.Camera == "" {
		return Grant{}, fmt.Errorf("look at clip %q of camera %q: %q is not a way to look at footage: %w", r.Clip, r.Camera, r.Action, ErrDenied)
	}
	if reason := missing(subject, r); reason != "" {
		return Grant{}, g.deny(ctx, subject, r, reason, Verdict{})
	}
	verdict, err := g.ask(subject.Role, r.Action, g.cfg.Group(r.Camera), r.Purpose)
	if err != nil {
		verdict.Rule = RuleError
		denied := g.deny(ctx, subject, r, ReasonRole, verdict)
		return Grant{}, errors.Join(denied, err)
	}
	if !verdict.Allowed {
		return Grant{}, g.deny(ctx, subject, r, ReasonRole, verdict)
	}
	if reason := forbidden(subject, r.Permit); reason != "" {
		return Grant{}, g.deny(ctx, subject, r, reason, verdict)
	}
	viewing, err := g.openViewing(ctx, subject, r, verdict)
	if err != nil {
		return Grant{}, err
	}
	return Grant{
		viewing: viewing.ID, clip: r.Clip, camera: r.Camera, number: r.Case, expires: g.cfg.Now().Add(g.cfg.GrantLife),
	}, nil
}

// forbidden is why the permit that the clip was recorded under keeps the subject from looking, whatever the rules say.
func forbidden(subject Subject, p Permit) string {
	switch {
	case !p.LetsLook(subject.Role):
		return ReasonRoleNotInPermit
	case p.Approval: // nobody can give one yet: what needs it stays closed
		return ReasonNoApproval
	}
	return ""
}

// missing is why the request cannot even be put to the rules.
func missing(subject Subject, r Request) string {
	switch {
	case subject.Name == "" || subject.Role == "":
		return ReasonNoSubject
	case r.Purpose == "":
		return ReasonNoPurpose
	case !slices.Contains(r.Permit.Purposes, r.Purpose):
		return ReasonPurposeNotInPermit
	case r.Case == "":
		return ReasonNoCase
	case ValidCase(r.Case) != nil:
		return ReasonBadCase
	case !printable(r.Reason, maxReason):
		return ReasonBadReason
	}
	return ""
}

func (g *Gate) deny(ctx context.Context, subject Subject, r Request, reason string, verdict Verdict) error {
	entry := DeniedEntry(subject, Denial{
		Object: KindClip.Of(r.Clip), Action: r.Action, Camera: r.Camera, Permit: r.Permit.version(),
		Purpose: r.Purpose, Case: r.Case, Verdict: verdict, Reason: reason,
	})
	if err := g.cfg.Log.Record(ctx, entry); err != nil {
		return fmt.Errorf("%w: denial of clip %s: %w", ErrLogUnavailable, r.Clip, err)
	}
	return &DeniedError{Reason: reason, Rule: verdict.Rule}
}

func (g *Gate) openViewing(ctx context.Context, subject Subject, r Request, verdict Verdict) (Viewing, error) {
	now := g.cfg.Now().UTC()
	id, err := ulid.New(ulid.Timestamp(now), rand.Reader)
	if err != nil {
		return Viewing{}, fmt.Errorf("name a viewing of clip %s: %w", r.Clip, err)
	}
	viewing := Viewing{
		ID: id.String(), Clip: r.Clip, Camera: r.Camera, Permit: r.Permit.ID, PermitVersion: r.Permit.Version,
		Subject: subject, Purpose: r.Purpose, Case: r.Case, Opened: now, Active: now,
	}
	entry := ViewingOpenedEntry(viewing, Access{
		Why: Why{r.Purpose, r.Case, r.Reason}, Verdict: verdict, Approval: Approval{ID: DemoPolicy},
	})
	opened, err := g.cfg.Viewings.Open(ctx, viewing, entry)
	if err != nil {
		return Viewing{}, fmt.Errorf("%w: viewing of clip %s: %w", ErrLogUnavailable, r.Clip, err)
	}
	g.used(opened.ID, 0)
	return opened, nil
}

// Respond notes that a response under the grant begins. It must be called before the response's first
// byte, and done after its last, with the bytes that were sent and the seconds of footage in them. If
// it fails, nothing may be sent.
func (g *Gate) Respond(ctx context.Context, grant Grant) (done func(bytes int64, seconds float64), err error) {
	now := g.cfg.Now().UTC()
	if !grant.Opens(grant.clip, grant.camera, now) {
		return nil, fmt.Errorf("respond: the grant opens nothing (any more): %w", ErrDenied)
	}
	response, err := g.cfg.Viewings.Respond(ctx, grant.viewing, now)
	if errors.Is(err, ErrViewingClosed) {
		return nil, fmt.Errorf("respond in viewing %s: %w", grant.viewing, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: response in viewing %s: %w", ErrLogUnavailable, grant.viewing, err)
	}
	g.used(grant.viewing, 1)
	var once sync.Once
	return func(bytes int64, seconds float64) {
		once.Do(func() {
			defer g.used(grant.viewing, -1)
			// The client may be gone, and with it ctx; what it got must be noted all the same.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
			defer cancel()
			if err := g.cfg.Viewings.Served(ctx, response, g.cfg.Now().UTC(), bytes, seconds); err != nil {
				g.cfg.Logger.Error("a response's size was not noted: its viewing will say unfinished",
					"viewing", grant.viewing, "error", err)
			}
		})
	}, nil
}

func (g *Gate) used(viewing string, responses int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	u := g.open[viewing]
	if u == nil {
		u = &use{}
		g.open[viewing] = u
	}
	u.responses += responses
	u.last = g.cfg.Now()
}
