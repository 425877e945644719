package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/policy/identity"
	"klarsyn/policy/rules"
)

// Declaration is what holds of a square, as klarsyn apply takes it: what there is, under which decisions, and for whom.
type Declaration struct {
	// Cameras are the fixed cameras of the square.
	Cameras []cameraConfig `yaml:"cameras,omitempty"`
	// Groups put cameras together for who may see what. A camera in none is in the group square.
	Groups []groupConfig `yaml:"groups,omitempty"`
	// Users are accounts. They have no password before klarsyn account password gives them one.
	Users []identity.Declared `yaml:"users,omitempty"`
	// Permits are the decisions under which cameras record; without a valid one nothing is recorded.
	Permits []permitConfig `yaml:"permits,omitempty"`
}

// groupConfig is a group of cameras, and the roles that have to do with it: each may there what it may in the group square.
type groupConfig struct {
	ID      string        `yaml:"id"`
	Cameras []string      `yaml:"cameras"`
	Roles   []policy.Role `yaml:"roles"`
}

// permitConfig is one version of a permit, and the state that it is to be in.
type permitConfig struct {
	policy.Permit `yaml:",inline"`
	// State is draft, active, suspended, revoked or ended. Default: active.
	State policy.PermitState `yaml:"state,omitempty"`
	// Reason says why it is suspended, revoked or ended.
	Reason string `yaml:"reason,omitempty"`
	// Unlawful says of a revoked one that what was collected must be erased; else it runs out.
	Unlawful bool `yaml:"unlawful,omitempty"`
	// Effective is from when the revocation holds, if not from now on.
	Effective *time.Time `yaml:"effective,omitempty"`
}

// described is a declaration that was read, and where its parts stand.
type described struct {
	Declaration
	place place
}

// readDeclaration reads and checks a description of the square. All that is wrong is named, with line and column.
func readDeclaration(name string, text []byte) (*described, error) {
	var c config
	p, err := decodeStrict(name, text, &c)
	if err != nil {
		return nil, err
	}
	d := &described{Declaration: c.Declaration, place: p}
	faults := &faultList{place: p}
	if !p.has("cameras", "groups", "users", "permits") { // an empty file, or a process's settings alone, would take away all there is
		faults.add("$", "it describes nothing of the square: want cameras and permits; an empty list where there are to be none")
	}
	d.checkCameras(faults)
	d.checkGroups(faults)
	d.checkUsers(faults)
	d.checkPermits(faults)
	return d, faults.err()
}

func (d *described) checkCameras(faults *faultList) {
	for i, cc := range d.Cameras {
		at := fmt.Sprintf("$.cameras[%d]", i)
		if slices.ContainsFunc(d.Cameras[:i], func(o cameraConfig) bool { return o.ID == cc.ID }) {
			faults.add(at+".id", "camera %s stands twice: give each its own id", cc.ID)
		}
		if _, err := cc.camera(); err != nil {
			faults.add(at+cameraField(cc, err), "%v", err)
		}
		if cc.Profile != "" && cc.Perspective != (camera.Perspective{}) {
			faults.add(at+".profile", "camera %s: profile and perspective are both told: want one of them", cc.ID)
		}
	}
}

// cameraFields are the fields of which an error of a camera may speak.
var cameraFields = regexp.MustCompile(`\b(url|transport|certificate_sha256|ca_file|counting|perspective|zone|camera id)\b`)

func cameraField(cc cameraConfig, err error) string {
	said := strings.TrimPrefix(err.Error(), "camera "+cc.ID+": ") // a camera may be called url
	switch field := cameraFields.FindString(said); field {
	case "":
		return ""
	case "zone": // it is the first that is wrong
		n := 1
		for n < len(cc.Zones) && (camera.Profile{Zones: cc.Zones[:n]}).Validate() == nil {
			n++
		}
		return fmt.Sprintf(".zones[%d]", n-1)
	case "camera id":
		return ".id"
	default:
		return "." + field
	}
}

func (d *described) knows(id string) bool {
	return slices.ContainsFunc(d.Cameras, func(c cameraConfig) bool { return c.ID == id })
}

func (d *described) checkGroups(faults *faultList) {
	in := map[string]string{}
	for i, g := range d.Groups {
		at := fmt.Sprintf("$.groups[%d]", i)
		switch {
		case !camera.IsSlug(g.ID):
			faults.add(at+".id", "%q: want 1 to 63 of a-z, 0-9 and '-'", g.ID)
		case g.ID == policy.DefaultGroup:
			faults.add(at+".id", "%s is the group of every camera that is in no other: choose another name", g.ID)
		case rules.Default().Names(g.ID):
			faults.add(at+".id", "%s: the rules name such a group themselves: choose another name", g.ID)
		case slices.ContainsFunc(d.Groups[:i], func(o groupConfig) bool { return o.ID == g.ID }):
			faults.add(at+".id", "group %s stands twice: give each its own id", g.ID)
		}
		for j, id := range g.Cameras {
			switch other, taken := in[id]; {
			case !d.knows(id):
				faults.add(fmt.Sprintf("%s.cameras[%d]", at, j), "camera %s is not among the cameras: describe it, or leave it out", id)
			case taken:
				faults.add(fmt.Sprintf("%s.cameras[%d]", at, j), "camera %s is in group %s already: a camera is in one group", id, other)
			}
			in[id] = g.ID
		}
		for j, r := range g.Roles {
			if !slices.Contains(policy.Roles(), r) {
				faults.add(fmt.Sprintf("%s.roles[%d]", at, j), "%q: want some of %v", r, policy.Roles())
			}
		}
	}
}

func (d *described) checkUsers(faults *faultList) {
	for i, u := range d.Users {
		at := fmt.Sprintf("$.users[%d]", i)
		switch err := u.Check(); {
		case errors.Is(err, identity.ErrBadName):
			faults.add(at+".name", "%v", err)
		case err != nil:
			faults.add(at+".role", "%v", err)
		}
		if slices.ContainsFunc(d.Users[:i], func(o identity.Declared) bool { return o.Name == u.Name }) {
			faults.add(at+".name", "user %s stands twice: an account has one role", u.Name)
		}
	}
}

func (d *described) checkPermits(faults *faultList) {
	for i := range d.Permits {
		pc := &d.Permits[i]
		at := fmt.Sprintf("$.permits[%d]", i)
		pc.ValidFrom, pc.ValidTo = pc.ValidFrom.UTC(), pc.ValidTo.UTC()
		if pc.MinCell == 0 {
			pc.MinCell = defaultMinCell
		}
		if pc.State == "" {
			pc.State = policy.Active
		}
		if slices.ContainsFunc(d.Permits[:i], func(o permitConfig) bool { return o.ID == pc.ID && o.Version == pc.Version }) {
			faults.add(at+".version", "permit %s stands twice: give each version its own number", pc.Ref())
		}
		faults.below(at, pc.Faults())
		for j, id := range pc.Cameras {
			if pc.State == policy.Active && !d.knows(id) {
				faults.add(fmt.Sprintf("%s.cameras[%d]", at, j), "camera %s is not among the cameras: describe it, or leave it out", id)
			}
		}
		pc.checkState(at, faults)
	}
}

func (pc *permitConfig) checkState(at string, faults *faultList) {
	switch pc.State {
	case policy.Draft, policy.Active:
		if pc.Reason != "" {
			faults.add(at+".reason", "only a permit that is suspended, revoked or ended has a reason: leave it out")
		}
	case policy.Suspended, policy.Revoked, policy.Ended:
		if pc.Reason == "" {
			faults.add(at+".state", "%s: say why, in reason", pc.State)
		}
	default:
		faults.add(at+".state", "%q: want draft, active, suspended, revoked or ended", pc.State)
	}
	if pc.State != policy.Revoked && (pc.Unlawful || pc.Effective != nil) {
		faults.add(at+".state", "unlawful and effective belong to a permit that is revoked: make it state: revoked, or leave them out")
	}
}

// defaultMinCell is the smallest count that may be shown where a permit says nothing of it.
const defaultMinCell = 5
