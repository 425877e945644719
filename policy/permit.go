package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Basis says what kind of decision a permit rests on. The rules of its regime say how long it may hold.
type Basis string

// The bases on which a public square may be watched.
const (
	Assessment Basis = "assessment" // a documented balance of interests
	Temporary  Basis = "temporary"  // an assessment-free basis with a short statutory limit
	Urgent     Basis = "urgent"     // a shorter one, of the police alone
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

// Mode is what the cameras of a permit may do.
type Mode string

// The modes. There is no live video for anyone: live means counts.
const (
	Record    Mode = "record"     // pictures are kept, and people counted
	CountOnly Mode = "count-only" // nothing is kept but counts
)

// Occupancy is the one analysis that there is: how many people, never who.
const Occupancy = "occupancy"

// Document is the paper that a permit rests on.
type Document struct {
	SHA256  string `json:"sha256" yaml:"sha256"`                 // of the document, in hexadecimal
	Date    string `json:"date" yaml:"date"`                     // of the decision: 2006-01-02
	Decider string `json:"decider" yaml:"decider"`               // office or role, not a name
	Diary   string `json:"diary" yaml:"diary"`                   // diary number (diarienummer)
	DPIA    string `json:"dpia,omitempty" yaml:"dpia,omitempty"` // diary number of the impact assessment
}

// Place is what the register says of where cameras are.
type Place struct {
	Address string   `json:"address" yaml:"address"`
	Type    string   `json:"type" yaml:"type"` // such as "torg"
	Polygon []Vertex `json:"polygon,omitempty" yaml:"polygon,omitempty"`
}

// Vertex is a place as two numbers: of a mask, fractions of the picture's width and height from the top left corner; of a
// place, degrees of longitude and latitude.
type Vertex struct {
	X float64 `json:"x" yaml:"x"`
	Y float64 `json:"y" yaml:"y"`
}

// Mask is a part of one camera's picture that nobody may see.
type Mask struct {
	Camera      string   `json:"camera" yaml:"camera"`
	ID          string   `json:"id" yaml:"id"`
	Version     int      `json:"version" yaml:"version"`
	Kind        string   `json:"kind" yaml:"kind"` // black or blur
	Polygon     []Vertex `json:"polygon" yaml:"polygon"`
	Calibration string   `json:"calibration,omitempty" yaml:"calibration,omitempty"` // names the picture that it was drawn over
}

// Limits bound what a camera's pictures may show. Zero: no bound.
type Limits struct {
	Width  int     `json:"width,omitempty" yaml:"width,omitempty"`   // pixels
	Height int     `json:"height,omitempty" yaml:"height,omitempty"` // pixels
	Rate   float64 `json:"rate,omitempty" yaml:"rate,omitempty"`     // pictures per second
}

// Sign is a notice that people pass (KBL 15 §).
type Sign struct {
	ID      string `json:"id" yaml:"id"`
	Place   string `json:"place" yaml:"place"`
	Checked string `json:"checked,omitempty" yaml:"checked,omitempty"` // 2006-01-02
}

// Permit is one version of a surveillance decision (bevakningsbeslut), as far as software enforces or documents it. A version
// never changes once it was in force: a change is a new version. No valid permit, no recording.
type Permit struct {
	ID         string    `json:"id" yaml:"id"`
	Version    int       `json:"version" yaml:"version"`
	Regime     Regime    `json:"regime,omitempty" yaml:"regime,omitempty"`
	Basis      Basis     `json:"basis" yaml:"basis"`
	Controller string    `json:"controller,omitempty" yaml:"controller,omitempty"`
	Processor  string    `json:"processor,omitempty" yaml:"processor,omitempty"`
	Joint      string    `json:"joint,omitempty" yaml:"joint,omitempty"` // agreement between joint controllers
	Assessment *Document `json:"assessment,omitempty" yaml:"assessment,omitempty"`
	Place      *Place    `json:"place,omitempty" yaml:"place,omitempty"`

	Cameras    []string `json:"cameras" yaml:"cameras"`
	MaxCameras int      `json:"max_cameras,omitempty" yaml:"max_cameras,omitempty"`
	Masks      []Mask   `json:"masks,omitempty" yaml:"masks,omitempty"`

	ValidFrom time.Time `json:"valid_from" yaml:"valid_from"`
	ValidTo   time.Time `json:"valid_to,omitzero" yaml:"valid_to,omitempty"` // zero: open end
	Schedule  *Schedule `json:"schedule,omitempty" yaml:"schedule,omitempty"`

	Mode      Mode     `json:"mode,omitempty" yaml:"mode,omitempty"`           // empty: record
	Analytics []string `json:"analytics,omitempty" yaml:"analytics,omitempty"` // none: occupancy
	Limits    Limits   `json:"limits,omitzero" yaml:"limits,omitempty"`
	PTZ       bool     `json:"ptz,omitempty" yaml:"ptz,omitempty"` // cameras may be turned and zoomed
	Audio     bool     `json:"audio,omitempty" yaml:"audio,omitempty"`
	Special   string   `json:"special_technology,omitempty" yaml:"special_technology,omitempty"`

	Retention Period   `json:"retention" yaml:"retention"`
	Purposes  []string `json:"purposes" yaml:"purposes"`
	Roles     []Role   `json:"roles,omitempty" yaml:"roles,omitempty"`       // who may look; none: whom the rules let
	Approval  bool     `json:"approval,omitempty" yaml:"approval,omitempty"` // a second person must approve each look
	Export    bool     `json:"export,omitempty" yaml:"export,omitempty"`
	MinCell   int      `json:"min_cell" yaml:"min_cell,omitempty"` // counts below it are not published

	Signs  []Sign `json:"signs,omitempty" yaml:"signs,omitempty"`
	Review string `json:"review,omitempty" yaml:"review,omitempty"` // the day by which somebody looks at it again
}

// ErrBadPermit says that a permit cannot be enforced as it stands.
var ErrBadPermit = errors.New("invalid permit")

var (
	slug = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	hash = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Validate says what keeps the permit from being enforced, all of it at once.
func (p Permit) Validate() error {
	all := p.Faults()
	if len(all) == 0 {
		return nil
	}
	wrong := make([]error, len(all))
	for i, f := range all {
		wrong[i] = f
	}
	return fmt.Errorf("%w %s: %w", ErrBadPermit, p.Ref(), errors.Join(wrong...))
}

// Faults are what keeps the permit from being enforced, field by field.
func (p Permit) Faults() []Fault {
	var all faults
	p.identityFaults(&all)
	p.subjectFaults(&all)
	p.timeFaults(&all)
	p.useFaults(&all)
	return all
}

const wantSlug = "want 1 to 63 of a-z, 0-9 and '-'"

func (p Permit) identityFaults(all *faults) {
	if !slug.MatchString(p.ID) {
		all.add("id", "%q: %s", p.ID, wantSlug)
	}
	if p.Version < 1 {
		all.add("version", "%d: want 1 or more", p.Version)
	}
	rules, ok := RulesOf(p.Regime)
	if !ok {
		all.add("regime", "%q: want one of %v: it says which limits of law hold", p.Regime, Regimes())
	} else if _, ok := rules.Bases[p.Basis]; !ok {
		all.add("basis", "%q: want assessment, temporary, legacy, or of the police urgent", p.Basis)
	}
	if a := p.Assessment; a != nil {
		if !hash.MatchString(a.SHA256) {
			all.add("assessment.sha256", "want 64 hexadecimal digits in lower case, as sha256sum tells them")
		}
		if !isDay(a.Date) {
			all.add("assessment.date", "%q: want a day such as 2026-01-31", a.Date)
		}
		if a.Decider == "" {
			all.add("assessment.decider", "missing: which office decided")
		}
		if a.Diary == "" {
			all.add("assessment.diary", "missing: the diary number under which the document is kept")
		}
	}
}

func (p Permit) subjectFaults(all *faults) {
	if len(p.Cameras) == 0 {
		all.add("cameras", "want at least one")
	}
	all.slugs("cameras", "camera", p.Cameras)
	if p.MaxCameras < 0 {
		all.add("max_cameras", "%d: want 0 or more", p.MaxCameras)
	} else if p.MaxCameras > 0 && len(p.Cameras) > p.MaxCameras {
		all.add("cameras", "%d cameras, and max_cameras is %d: the permit is for so many", len(p.Cameras), p.MaxCameras)
	}
	for i, m := range p.Masks {
		at := fmt.Sprintf("masks[%d]", i)
		if !slices.Contains(p.Cameras, m.Camera) {
			all.add(at+".camera", "%q: it is not among the permit's cameras", m.Camera)
		}
		if !slug.MatchString(m.ID) {
			all.add(at+".id", "%q: %s", m.ID, wantSlug)
		} else if slices.ContainsFunc(p.Masks[:i], func(o Mask) bool { return o.Camera == m.Camera && o.ID == m.ID }) {
			all.add(at+".id", "%q: listed twice for camera %s", m.ID, m.Camera)
		}
		if m.Version < 1 {
			all.add(at+".version", "%d: want 1 or more", m.Version)
		}
		if m.Kind != "black" && m.Kind != "blur" {
			all.add(at+".kind", "%q: want black or blur", m.Kind)
		}
		if len(m.Polygon) < 3 {
			all.add(at+".polygon", "%d corners: want at least 3", len(m.Polygon))
		}
		for j, v := range m.Polygon {
			if !(v.X >= 0 && v.X <= 1 && v.Y >= 0 && v.Y <= 1) {
				all.add(fmt.Sprintf("%s.polygon[%d]", at, j), "(%g, %g) is outside the picture: want fractions from 0 to 1", v.X, v.Y)
			}
		}
	}
	if l := p.Limits; l.Width < 0 || l.Height < 0 || !(l.Rate >= 0 && l.Rate <= 1000) {
		all.add("limits", "want positive numbers, or leave out what is not limited")
	}
	if p.Place != nil && p.Place.Address == "" {
		all.add("place.address", "missing: the register names it")
	}
}

func (p Permit) timeFaults(all *faults) {
	if p.ValidFrom.IsZero() {
		all.add("valid_from", "missing")
	}
	if !p.ValidTo.IsZero() && !p.ValidTo.After(p.ValidFrom) {
		all.add("valid_to", "%s: want later than valid_from %s", p.ValidTo.Format(time.RFC3339), p.ValidFrom.Format(time.RFC3339))
	}
	rules, _ := RulesOf(p.Regime)
	if longest := rules.Bases[p.Basis].Longest; !longest.IsZero() && !p.ValidFrom.IsZero() {
		if end := longest.After(p.ValidFrom); p.ValidTo.After(end) {
			all.add("valid_to", "%s: on this basis at most %s, so until %s (%s)", p.ValidTo.Format(time.RFC3339), longest,
				end.Format(time.RFC3339), rules.Bases[p.Basis].Source)
		}
	}
	all.below("schedule", p.Schedule.Faults())
	switch limit := rules.Retention.Cap; {
	case p.Retention.IsZero():
		all.add("retention", "missing; footage must have an end")
	case !limit.IsZero() && p.Retention.Exceeds(limit):
		all.add("retention", "%s: at most %s (%s)", p.Retention, limit, rules.Retention.Source)
	}
	if p.Review != "" && !isDay(p.Review) {
		all.add("review", "%q: want a day such as 2027-01-31", p.Review)
	}
}

func (p Permit) useFaults(all *faults) {
	if !slices.Contains([]Mode{"", Record, CountOnly}, p.Mode) {
		all.add("mode", "%q: want record or count-only", p.Mode)
	}
	for i, a := range p.Analytics {
		if a != Occupancy {
			all.add(fmt.Sprintf("analytics[%d]", i), "%q: want occupancy; nothing else is counted, and nobody is identified", a)
		}
	}
	if p.Audio {
		all.add("audio", "true: no sound is recorded by this version; leave it out")
	}
	if p.Special != "" && p.Special != "none" {
		all.add("special_technology", "%q: want none; there is no other", p.Special)
	}
	if len(p.Purposes) == 0 {
		all.add("purposes", "want at least one")
	}
	all.slugs("purposes", "purpose", p.Purposes)
	for i, r := range p.Roles {
		if !slices.Contains(Roles(), r) {
			all.add(fmt.Sprintf("roles[%d]", i), "%q: want some of %v", r, Roles())
		}
	}
	if p.MinCell < 0 {
		all.add("min_cell", "%d: want 0 or more", p.MinCell)
	}
	for i, s := range p.Signs {
		if s.ID == "" || s.Place == "" {
			all.add(fmt.Sprintf("signs[%d]", i), "want id and place")
		}
		if s.Checked != "" && !isDay(s.Checked) {
			all.add(fmt.Sprintf("signs[%d].checked", i), "%q: want a day such as 2026-01-31", s.Checked)
		}
	}
}

func (f *faults) slugs(field, one string, list []string) {
	for i, s := range list {
		switch at := fmt.Sprintf("%s[%d]", field, i); {
		case !slug.MatchString(s):
			f.add(at, "%s %q: %s", one, s, wantSlug)
		case slices.Contains(list[:i], s):
			f.add(at, "%s %q: listed twice", one, s)
		}
	}
}

func isDay(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

// Ref names this version for logs and rows, for example "plattan@1".
func (p Permit) Ref() string { return p.ID + "@" + strconv.Itoa(p.Version) }

// version names this version for entries.
func (p Permit) version() PermitRef { return PermitRef{p.ID, p.Version} }

// Until is the deadline of footage whose first frame was taken at start: unreadable and deleted from
// that instant on, never later than the cap of the regime. See Period.After for how months, days and the two odd nights of a
// year are counted.
func (p Permit) Until(start time.Time) time.Time {
	until := p.Retention.After(start)
	if rules, ok := RulesOf(p.Regime); ok && !rules.Retention.Cap.IsZero() {
		until = earliest(until, rules.Retention.Cap.After(start))
	}
	return until
}

// Ends is the first instant that the permit does not cover any more, by itself or by the limit of its basis; zero if it has none.
func (p Permit) Ends() time.Time {
	rules, _ := RulesOf(p.Regime)
	longest := rules.Bases[p.Basis].Longest
	switch {
	case longest.IsZero():
		return p.ValidTo
	case p.ValidTo.IsZero():
		return longest.After(p.ValidFrom)
	}
	return earliest(p.ValidTo, longest.After(p.ValidFrom))
}

// names reports whether the permit is about that camera.
func (p Permit) names(camera string) bool { return slices.Contains(p.Cameras, camera) }

// holds reports whether t lies in the permit's validity. The end is not part of it.
func (p Permit) holds(t time.Time) bool {
	end := p.Ends()
	return !t.Before(p.ValidFrom) && (end.IsZero() || t.Before(end))
}

// Covers reports whether the permit, were it in force, would let that camera record at t.
func (p Permit) Covers(camera string, t time.Time) bool {
	open, _, _ := p.Schedule.State(t)
	return p.names(camera) && p.holds(t) && open && p.Mode != CountOnly && len(p.MasksOf(camera)) == 0
}

// MasksOf are the masks that the permit demands of a camera.
func (p Permit) MasksOf(camera string) []Mask {
	var masks []Mask
	for _, m := range p.Masks {
		if m.Camera == camera {
			masks = append(masks, m)
		}
	}
	return masks
}

// Counts reports whether the permit lets people be counted at all.
func (p Permit) Counts() bool {
	return len(p.Analytics) == 0 || slices.Contains(p.Analytics, Occupancy)
}

// LetsLook reports whether the permit lets that role look at what was recorded under it.
func (p Permit) LetsLook(role Role) bool { return len(p.Roles) == 0 || slices.Contains(p.Roles, role) }
