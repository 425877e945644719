package replay

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"klarsyn/policy/audit/leaf"
)

// The events that say something of a clip. A test holds them against the table of policy, which this package does not import:
// whoever checks a log links nothing that writes one.
const (
	reserved  = "clip-reserved"
	committed = "clip-committed"
	partial   = "clip-partial"
	lost      = "clip-lost"
	planned   = "deletion-planned"
	shredded  = "clip-shredded"
	deleted   = "clip-deleted"
	heldOver  = "clip-held-over"
	cut       = "clip-cut"
	placed    = "hold-placed"
	lifted    = "hold-lifted"
)

// Events are the events that say something of a clip's state: of other entries Add takes no notice.
func Events() []string {
	return []string{reserved, committed, partial, lost, planned, shredded, deleted, heldOver, cut, placed, lifted}
}

// Entry is what of an entry says something of a clip.
type Entry struct {
	Event         string
	Time          time.Time
	Kind, ID      string // of what it is about: "clip", "hold"
	Permit        string
	PermitVersion int
	Case          string
	Before, After string
	Hashes        []string
	Details       map[string]string
}

// ErrEntry says that an entry does not say what its event must: Klarsyn never wrote it.
var ErrEntry = errors.New("the entry does not say what its event must")

// Read reads what an entry says of clips; false if it says nothing of any.
func Read(l leaf.Leaf) (Entry, bool, error) {
	if !slices.Contains(Events(), l.Event) {
		return Entry{}, false, nil
	}
	var line struct {
		Object        string            `json:"object"`
		Permit        string            `json:"permit"`
		PermitVersion int               `json:"permit_version"`
		Case          string            `json:"case"`
		Before        string            `json:"before"`
		After         string            `json:"after"`
		Hashes        []string          `json:"hashes"`
		Details       map[string]string `json:"details"`
	}
	if err := json.Unmarshal(l.Entry, &line); err != nil {
		return Entry{}, false, fmt.Errorf("%w: %s: %w", ErrEntry, l.Event, err)
	}
	e := Entry{
		Event: l.Event, Time: l.Time, Permit: line.Permit, PermitVersion: line.PermitVersion, Case: line.Case,
		Before: line.Before, After: line.After, Hashes: line.Hashes, Details: line.Details,
	}
	e.Kind, e.ID, _ = strings.Cut(line.Object, ":")
	want := "clip"
	if l.Event == placed || l.Event == lifted {
		want = "hold"
	}
	if e.Kind != want || e.ID == "" {
		return Entry{}, false, fmt.Errorf("%w: %s is about %q", ErrEntry, l.Event, line.Object)
	}
	return e, true, nil
}

// Clips are the clips that the entry of a hold names.
func (e Entry) Clips() []string { return strings.Fields(e.Details["clips"]) }

// Instant is a detail that is an instant; zero if the entry does not say it.
func (e Entry) Instant(detail string) (time.Time, error) {
	return e.instant("details."+detail, e.Details[detail])
}

func (e Entry) instant(field, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %s of %s: %s is no instant", ErrEntry, e.Event, e.ID, field)
	}
	return t.UTC(), nil
}

// Moved is when a deletion is planned from now on.
func (e Entry) Moved() (time.Time, error) { return e.instant("after", e.After) }

// Number is a detail that is a number; 0 if the entry does not say it.
func (e Entry) Number(detail string) (int64, error) {
	text := e.Details[detail]
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%w: %s of %s: details.%s is no number", ErrEntry, e.Event, e.ID, detail)
	}
	return n, nil
}

// Hash is the SHA-256 of the sealed bytes, in hexadecimal; empty if the entry does not say it.
func (e Entry) Hash() (string, error) {
	text := e.Details["sha256"]
	if e.Event == cut && len(e.Hashes) == 1 {
		text = e.Hashes[0]
	}
	if text == "" {
		return "", nil
	}
	if b, err := hex.DecodeString(text); err != nil || len(b) != 32 || hex.EncodeToString(b) != text {
		return "", fmt.Errorf("%w: %s of %s: its hash is no SHA-256 in hexadecimal", ErrEntry, e.Event, e.ID)
	}
	return text, nil
}
