package policy

// Role is what a subject is for; the rules say what a role may.
type Role string

// The roles of the system. Nobody has two of them at once in one session.
const (
	Investigator    Role = "investigator"     // retrieves footage, case-bound
	DashboardViewer Role = "dashboard-viewer" // aggregates only, never a frame
	Auditor         Role = "auditor"          // logs, reports, metadata; never footage
	Operator        Role = "operator"         // cameras and disks; never footage, never the log's pen
	// ComplianceOfficer decides what permits say here: authorisations, signs, retention; never footage.
	ComplianceOfficer Role = "compliance-officer"
	// InvestigationLead decides what is kept as evidence beyond its deadline, and for how long.
	InvestigationLead Role = "investigation-lead"
)

// LocalRole is what the log says of who works on the machine itself, without an account. The rules know no such role.
const LocalRole Role = "local"

// Roles are all roles there are.
func Roles() []Role {
	return []Role{Investigator, DashboardViewer, Auditor, Operator, ComplianceOfficer, InvestigationLead}
}

// Subject is who asks, as established by policy/identity.
type Subject struct {
	Name    string // account name
	Role    Role
	Session string // a short non-secret handle of the session, the same in every log entry of it
	Remote  string // client address without port
	MFA     string // second factor of the login; empty: none
	Client  string // what the client calls itself: its User-Agent
}

// Action is something that the rules allow or deny.
type Action string

// The actions.
const (
	SearchClips    Action = "search"         // see that clips exist, when and how long
	ViewOriginal   Action = "view-original"  // see footage
	ReadOccupancy  Action = "read-occupancy" // see counts
	ReadLog        Action = "read-log"       // see the audit log
	ReadDeletions  Action = "read-deletions" // see what was deleted when, with proofs
	ReadCameraList Action = "read-cameras"   // see that cameras exist
	ReadPermits    Action = "read-permits"   // see permits, their history and the register, ask what they say
	ReadHolds      Action = "read-holds"     // see what is held, for which case
	PlaceHolds     Action = "place-holds"    // hold clips beyond their deadline, and lift that again
	// AdministerPermits is to change what permits and groups of cameras hold, AdministerCameras what cameras there are.
	AdministerPermits Action = "administer-permits"
	AdministerCameras Action = "administer-cameras"
)

// Actions are all actions there are.
func Actions() []Action {
	return []Action{SearchClips, ViewOriginal, ReadOccupancy, ReadLog, ReadDeletions, ReadCameraList, ReadPermits, ReadHolds, PlaceHolds, AdministerPermits, AdministerCameras}
}
