package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Validate says why an entry cannot be logged: it must be of an event that the table knows, say all that
// the table wants said of it, and be about a thing of the right kind. Every Log holds entries against it, those
// of tests as well. What is read back is not held against it: the log outlives the table.
func (e Entry) Validate() error {
	if e.Event == "" || e.Actor == "" {
		return fmt.Errorf("entry %s has event %q and actor %q: both must be given", e.ID, e.Event, e.Actor)
	}
	row, known := meanings[e.Event]
	if !known {
		return fmt.Errorf("entry %s: event %q is not in the table of events", e.ID, e.Event)
	}
	if err := row.fits(e.Object); err != nil {
		return fmt.Errorf("entry %s of event %s: %w", e.ID, e.Event, err)
	}
	for _, field := range row.needs {
		if !e.has(field) {
			return fmt.Errorf("entry %s of event %s: field %s must be given", e.ID, e.Event, field)
		}
	}
	return e.wellFormed()
}

// fits says why an entry of the event cannot be about that object.
func (m meaning) fits(object string) error {
	if object == "" {
		if len(m.kinds) == 0 || slices.Contains(m.kinds, KindNone) {
			return nil
		}
		return fmt.Errorf("field object must be given: want %s", kindsText(m.kinds))
	}
	kind, id, _ := strings.Cut(object, ":")
	if kind == "" || id == "" || !slices.Contains(m.kinds, Kind(kind)) {
		return fmt.Errorf("field object is %q: want %s", object, kindsText(m.kinds))
	}
	return nil
}

// kindsText names kinds for people.
func kindsText(kinds []Kind) string {
	if len(kinds) == len(anyKind) {
		return "none, or a kind that the table knows"
	}
	var names []string
	for _, k := range kinds {
		if k == KindNone {
			names = append(names, "none")
		} else {
			names = append(names, k.Of("…"))
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, " or ")
}

// given says of each field that the table may want, by its JSON name, whether the entry has it.
var given = map[string]func(Entry) bool{
	"role":           func(e Entry) bool { return e.Role != "" },
	"session":        func(e Entry) bool { return e.Session != "" },
	"remote":         func(e Entry) bool { return e.Remote != "" },
	"permit":         func(e Entry) bool { return e.Permit != "" },
	"permit_version": func(e Entry) bool { return e.PermitVersion > 0 },
	"purpose":        func(e Entry) bool { return e.Purpose != "" },
	"case":           func(e Entry) bool { return e.Case != "" },
	"approval":       func(e Entry) bool { return e.Approval != "" },
	"decision":       func(e Entry) bool { return e.Decision != "" },
	"rule":           func(e Entry) bool { return e.Rule != "" },
	"revision":       func(e Entry) bool { return e.Revision != "" },
	"reason":         func(e Entry) bool { return e.Reason != "" },
	"offset":         func(e Entry) bool { return e.Offset != "" },
	"clock":          func(e Entry) bool { return e.Clock != "" },
	"mfa":            func(e Entry) bool { return e.MFA != "" },
	"client":         func(e Entry) bool { return e.Client != "" },
	"object_version": func(e Entry) bool { return e.ObjectVersion != "" },
	"approver":       func(e Entry) bool { return e.Approver != "" },
	"result":         func(e Entry) bool { return e.Result != "" },
	"recipient":      func(e Entry) bool { return e.Recipient != "" },
	"before":         func(e Entry) bool { return e.Before != "" },
	"after":          func(e Entry) bool { return e.After != "" },
	"hashes":         func(e Entry) bool { return len(e.Hashes) > 0 },
}

func (e Entry) has(field string) bool {
	if name, isDetail := strings.CutPrefix(field, "details."); isDetail {
		return e.Details[name] != ""
	}
	is, known := given[field]
	return known && is(e)
}

// wellFormed checks the form of what the entry gives, of whatever event it is. The fields from before the table are as
// they always were; constructors bound them.
func (e Entry) wellFormed() error {
	wrong := func(field, format string, args ...any) error {
		return fmt.Errorf("entry %s of event %s: field %s %s", e.ID, e.Event, field, fmt.Sprintf(format, args...))
	}
	for _, text := range []struct {
		field, value string
		limit        int
	}{
		{"clock", string(e.Clock), maxWord}, {"mfa", e.MFA, maxWord}, {"client", e.Client, maxClient},
		{"object_version", e.ObjectVersion, maxClient}, {"approver", e.Approver, maxWord}, {"result", e.Result, maxReason},
		{"recipient", e.Recipient, maxClient}, {"before", e.Before, maxReason}, {"after", e.After, maxReason},
	} {
		if !printable(text.value, text.limit) {
			return wrong(text.field, "is not at most %d printable characters", text.limit)
		}
	}
	if e.Offset != "" && !e.Time.IsZero() && e.Offset != offsetAt(e.Time) {
		return wrong("offset", "is %q: Stockholm's was %s then", e.Offset, offsetAt(e.Time))
	}
	for _, hash := range e.Hashes {
		if !hashForm.MatchString(hash) {
			return wrong("hashes", "holds %q: want a SHA-256 in hexadecimal", hash)
		}
	}
	return nil
}

const (
	maxWord   = 64
	maxClient = 200
)

var hashForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Stamped is e with its time, which is now unless e has one, and the offset that clocks in Stockholm had from UTC
// then: whoever reads the log in ten years need not know when summer time began.
func (e Entry) Stamped(now time.Time) Entry {
	if e.Time.IsZero() {
		e.Time = now
	}
	e.Offset = offsetAt(e.Time)
	return e
}

func offsetAt(t time.Time) string { return t.In(stockholm).Format("-07:00") }
