package policy

import (
	"errors"
	"fmt"
)

// Errors that a caller of the Gate must tell apart.
var (
	ErrDenied         = errors.New("denied")
	ErrLogUnavailable = errors.New("the audit log cannot be written")
	ErrViewingClosed  = errors.New("the viewing is closed: look again")
)

// Why a look was denied.
const (
	ReasonNoSubject          = "no-subject"            // nobody is logged in
	ReasonNoPurpose          = "no-purpose"            // no purpose was stated
	ReasonPurposeNotInPermit = "purpose-not-in-permit" // the footage was not recorded for that purpose
	ReasonNoCase             = "no-case"               // no case number was stated
	ReasonBadCase            = "bad-case"              // the case number is not well-formed
	ReasonBadReason          = "bad-reason"            // the free text is too long or not printable
	ReasonRoleNotInPermit    = "role-not-in-permit"    // the permit does not let the role look
	ReasonNoApproval         = "no-approval"           // the permit demands that a second person approves
	ReasonRole               = "role"                  // the rules do not allow it
)

// RuleError is what stands in the place of the rule when the rules could not be asked.
const RuleError = "error"

// DeniedError says why something was denied; errors.Is(err, ErrDenied) holds. It is safe to show to the
// one who asked.
type DeniedError struct {
	Reason string // one of the Reason constants
	Rule   string // what the rules said, when they were asked
}

func (e *DeniedError) Error() string {
	if e.Rule == "" {
		return fmt.Sprintf("denied: %s", e.Reason)
	}
	return fmt.Sprintf("denied: %s (rule %s)", e.Reason, e.Rule)
}

// Is makes every denial an ErrDenied.
func (e *DeniedError) Is(target error) bool { return target == ErrDenied }
