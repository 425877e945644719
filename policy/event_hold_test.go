package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"klarsyn/policy"
)

// A hold on a week of a camera names 20,160 clips: more than one entry may be long. Every clip is named once, in its order, and
// the worst of the entries still fits the log.
func TestAHoldOnManyClipsIsSeveralEntries(t *testing.T) {
	const longest = 16 << 10 // what the log takes as one entry
	who := policy.Subject{Name: strings.Repeat("n", 64), Role: policy.InvestigationLead, Client: strings.Repeat("ü", 200), Session: "S", Remote: "2001:db8::1"}
	for _, c := range []struct{ clips, entries int }{{0, 1}, {1, 1}, {400, 1}, {401, 2}, {20160, 51}} {
		var ids []string
		for i := range c.clips {
			ids = append(ids, fmt.Sprintf("01JD4Z9S5T8Q4W1V9D3M%06d", i))
		}
		h := policy.Hold{
			ID: "H", Kind: "access-request", Case: strings.Repeat("ß", 100), Clips: ids, Basis: strings.Repeat("\x01", 2000),
			Requester: strings.Repeat("r", 100), Review: at(t, "2027-01-01T00:00:00Z"),
		}
		for event, entries := range map[policy.Event][]policy.Entry{
			policy.HoldPlaced: policy.HoldPlacedEntries(who, h, policy.Approval{ID: "H", By: strings.Repeat("b", 64)}),
			policy.HoldLifted: policy.HoldLiftedEntries(who, h, strings.Repeat("å", 2000), policy.Approval{ID: "H", By: "bo"}),
		} {
			if len(entries) != c.entries {
				t.Fatalf("%d entries of %s name %d clips, want %d", len(entries), event, c.clips, c.entries)
			}
			var named []string
			for i, e := range entries {
				if size := len(line(t, e.Stamped(time.Now()))) + 60; size > longest {
					t.Errorf("%d of %s has %d bytes", i, event, size)
				}
				if err := e.Validate(); err != nil && c.clips > 0 {
					t.Error(err)
				}
				want := ""
				if c.entries > 1 {
					want = fmt.Sprintf("%d/%d", i+1, c.entries)
				}
				if e.Event != event || e.Details["part"] != want {
					t.Errorf("%s is part %q, want %s and %q", e.Event, e.Details["part"], event, want)
				}
				named = append(named, strings.Fields(e.Details["clips"])...)
			}
			if !slices.Equal(named, ids) {
				t.Errorf("%s names %d of %d clips", event, len(named), len(ids))
			}
		}
	}
}

// A part that is cut out of a clip says so from its reservation on, since nothing else tells until it is stored who keeps it.
func TestAReservedPartNamesItsClipAndHold(t *testing.T) {
	noon := at(t, "2026-11-20T12:00:00Z")
	whole := policy.ClipRef{ID: "A", Camera: "k1", Permit: policy.PermitRef{ID: "plattan", Version: 1}}
	part := whole
	part.ID, part.Parent, part.Hold = "B", "A", "H"
	e := policy.ClipReservedEntry("service:serve", part, noon, noon.Add(time.Hour))
	if e.Details["parent"] != "A" || e.Details["hold"] != "H" {
		t.Errorf("it says %v", e.Details)
	}
	if e := policy.ClipReservedEntry("service:ingest", whole, noon, noon.Add(time.Hour)); len(e.Details) != 3 {
		t.Errorf("a clip that is no part says %v", e.Details)
	}
}

// A deletion says what was deleted as far as that was known.
func TestADeletionSaysWhatWasDeleted(t *testing.T) {
	noon := at(t, "2026-11-20T12:00:00Z")
	ref := policy.ClipRef{ID: "A", Camera: "k1", Permit: policy.PermitRef{ID: "plattan", Version: 1}}
	d := policy.Deletion{Deadline: noon, Deleted: noon.Add(time.Second), Removed: 1}
	for name, c := range map[string]struct {
		change func(*policy.Deletion)
		more   map[string]string
	}{
		"as before": {func(*policy.Deletion) {}, nil},
		"without an end": {func(d *policy.Deletion) { d.From = noon.Add(-time.Hour) },
			map[string]string{"camera": "k1", "from": "2026-11-20T11:00:00Z"}},
		"stored": {func(d *policy.Deletion) {
			d.From, d.To, d.SHA256, d.Size = noon.Add(-time.Hour), noon.Add(-time.Minute), policy.Hash{1}, 17
		}, map[string]string{
			"camera": "k1", "from": "2026-11-20T11:00:00Z", "to": "2026-11-20T11:59:00Z", "sha256": policy.Hash{1}.String(), "size": "17",
		}},
	} {
		d := d
		c.change(&d)
		e := policy.ClipDeletedEntry("service:retain", ref, d)
		if len(e.Details) != 4+len(c.more) {
			t.Errorf("%s: %v", name, e.Details)
		}
		for key, want := range c.more {
			if e.Details[key] != want {
				t.Errorf("%s: %s is %q, want %q", name, key, e.Details[key], want)
			}
		}
		if err := e.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
