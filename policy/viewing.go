package policy

import (
	"context"
	"time"
)

// Viewing is one subject looking at one clip in one session, for one purpose in one case. Every footage
// response belongs to exactly one viewing.
type Viewing struct {
	ID            string // ULID; also the id of the log entry that opened it
	Clip          string
	Camera        string
	Permit        string
	PermitVersion int
	Subject       Subject
	Purpose       string
	Case          string
	Opened        time.Time
	Active        time.Time // last sign of life
}

// Totals is what a viewing's responses add up to.
type Totals struct {
	Responses  int
	Unfinished int // begun, but how much they served was never told: the server died
	Bytes      int64
	Seconds    float64
}

// Viewings keeps viewings and their responses beside the log. policy/audit implements it; the Gate is
// its only caller. Times are passed in, so that rows and entries tell the same ones.
type Viewings interface {
	// Open stores v and appends opened in one transaction, and returns v. If the same subject already
	// has an open viewing of the same clip with the same session, purpose and case, that one is marked
	// active at v.Opened and returned instead, and nothing is logged.
	Open(ctx context.Context, v Viewing, opened Entry) (Viewing, error)
	// Respond notes that a response of the viewing begins, and returns the response's id. It fails with
	// ErrViewingClosed if the viewing is not open.
	Respond(ctx context.Context, viewing string, at time.Time) (response string, err error)
	// Served notes how a response ended. It fails with ErrViewingClosed if the viewing was closed meanwhile:
	// the response then stays among the unfinished ones that the closing entry counted.
	Served(ctx context.Context, response string, at time.Time, bytes int64, seconds float64) error
	// Active marks viewings whose responses are still running.
	Active(ctx context.Context, viewings []string, at time.Time) error
	// Stale lists open viewings without a sign of life since idleSince.
	Stale(ctx context.Context, idleSince time.Time) ([]Viewing, error)
	// Close closes the viewing and appends the entry that closed makes of it, in one transaction, unless
	// it was closed before or showed life after idleSince; it reports whether it closed it.
	Close(ctx context.Context, viewing string, at, idleSince time.Time, closed func(Viewing, Totals) Entry) (bool, error)
}
