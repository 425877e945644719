package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Basis says what kind of decision a permit rests on.
type Basis string

// The bases on which a public square may be watched.
const (
	Assessment Basis = "assessment" // a documented balance of interests
	Temporary  Basis = "temporary"  // an assessment-free basis with a short statutory limit
	Legacy     Basis = "legacy"     // a permit granted under the law before April 2025
)

// Purposes that the embedded rules know. A permit lists those it was decided for; a look states one.
const (
	CrimeInvestigation = "crime-investigation"
	CrimePrevention    = "crime-prevention"
	PublicOrder        = "public-order"
	AccidentInquiry    = "accident-inquiry"
	MissingPerson      = "missing-person"
)

// Permit is one version of a surveillance decision, as far as software enforces it. A version never
// changes once it is in force: a change is a new version. No valid permit, no recording.
type Permit struct {
	ID        string    `json:"id"`
	Version   int       `json:"version"`
	Basis     Basis     `json:"basis"`
	Cameras   []string  `json:"cameras"`
	ValidFrom time.Time `json:"valid_from"`
	ValidTo   time.Time `json:"valid_to,omitzero"` // zero: open end
	Retention Period    `json:"retention"`
	Purposes  []string  `json:"purposes"`
	MinCell   int       `json:"min_cell"` // counts below it are not published
}

// ErrBadPermit says that a permit cannot be enforced as it stands.
var ErrBadPermit = errors.New("invalid permit")

var slug = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Validate says what keeps the permit from being enforced, all of it at once.
func (p Permit) Validate() error {
	var wrong []error
	refuse := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if !slug.MatchString(p.ID) {
		refuse("id %q: want 1 to 63 of a-z, 0-9 and '-'", p.ID)
	}
	if p.Version < 1 {
		refuse("version %d: want 1 or more", p.Version)
	}
	if !slices.Contains([]Basis{Assessment, Temporary, Legacy}, p.Basis) {
		refuse("basis %q: want %s, %s or %s", p.Basis, Assessment, Temporary, Legacy)
	}
	if len(p.Cameras) == 0 {
		refuse("cameras: want at least one")
	}
	for i, camera := range p.Cameras {
		if !slug.MatchString(camera) {
			refuse("camera %q: want 1 to 63 of a-z, 0-9 and '-'", camera)
		}
		if slices.Contains(p.Cameras[:i], camera) {
			refuse("camera %q: listed twice", camera)
		}
	}
	if p.ValidFrom.IsZero() {
		refuse("valid_from: missing")
	}
	if !p.ValidTo.IsZero() && !p.ValidTo.After(p.ValidFrom) {
		refuse("valid_to %s: want later than valid_from %s", p.ValidTo.Format(time.RFC3339), p.ValidFrom.Format(time.RFC3339))
	}
	if p.Retention.IsZero() {
		refuse("retention: missing; footage must have an end")
	}
	if len(p.Purposes) == 0 {
		refuse("purposes: want at least one")
	}
	for i, purpose := range p.Purposes {
		if !slug.MatchString(purpose) {
			refuse("purpose %q: want 1 to 63 of a-z, 0-9 and '-'", purpose)
		}
		if slices.Contains(p.Purposes[:i], purpose) {
			refuse("purpose %q: listed twice", purpose)
		}
	}
	if p.MinCell < 0 {
		refuse("min_cell %d: want 0 or more", p.MinCell)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w %s: %w", ErrBadPermit, p.Ref(), errors.Join(wrong...))
	}
	return nil
}

// Ref names this version for logs and rows, for example "plattan@1".
func (p Permit) Ref() string { return p.ID + "@" + strconv.Itoa(p.Version) }

// version names this version for entries.
func (p Permit) version() PermitRef { return PermitRef{p.ID, p.Version} }

// Until is the deadline of footage whose first frame was taken at start: unreadable and deleted from
// that instant on. See Period.After for how months, days and the two odd nights of a year are counted.
func (p Permit) Until(start time.Time) time.Time { return p.Retention.After(start) }

// Covers reports whether the permit lets that camera record at t. The end of validity is not covered.
func (p Permit) Covers(camera string, t time.Time) bool {
	return slices.Contains(p.Cameras, camera) && !t.Before(p.ValidFrom) && (p.ValidTo.IsZero() || t.Before(p.ValidTo))
}
