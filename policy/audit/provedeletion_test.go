package audit_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/policy/audit/verify"
)

// lives of clips, side by side: each proof holds exactly the entries that are about its clip.
func TestDeletionsAreProven(t *testing.T) {
	k := key(t)
	l := newLog(t, fresh(t).DB, k)
	id := func(name string) string { return "01JD4Z9S5T8Q4W1V9D3MCLEA" + name }
	ref := func(name string) policy.ClipRef {
		return policy.ClipRef{ID: id(name), Camera: "k1", Permit: policy.PermitRef{ID: "plattan", Version: 1}}
	}
	deadline := start.Add(time.Hour)
	seal := policy.Seal{SHA256: policy.Hash{1}, Size: 7, To: start.Add(time.Minute)}
	lena := policy.Subject{Name: "lena", Role: policy.InvestigationLead}
	hold := func(h string, clips ...string) policy.Hold {
		return policy.Hold{ID: h, Case: "K-1", Clips: clips, Basis: "robbery", Review: deadline}
	}
	write := func(at time.Duration, entries ...policy.Entry) {
		t.Helper()
		for _, e := range entries {
			e.Time = start.Add(at)
			if err := l.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	gone := func(name string, at time.Duration) policy.Entry {
		return policy.ClipDeletedEntry("service:retain", ref(name), policy.Deletion{
			Deadline: deadline, Deleted: start.Add(at), Removed: 1, From: start, To: seal.To, SHA256: seal.SHA256, Size: seal.Size,
		})
	}
	shred := func(name string) policy.Entry {
		return policy.ClipShreddedEntry("service:retain", ref(name), deadline, "committed")
	}
	var many []string // which a hold names, so that it takes several entries
	for i := range 900 {
		many = append(many, fmt.Sprintf("01JD4Z9S5T8Q4W1V9D3MX%05d", i))
	}
	many = append(many, id("CC"))
	names := []string{"AA", "BB", "CC", "DD", "EE"}
	for _, name := range names {
		write(0, policy.ClipReservedEntry("service:ingest", ref(name), start, deadline))
	}
	for _, name := range names {
		write(time.Minute, policy.ClipCommittedEntry("service:ingest", ref(name), seal))
	}
	write(2*time.Minute, policy.HoldPlacedEntry(lena, hold("H1", id("BB"), id("DD")), policy.Approval{ID: "H1", By: "bo"}))
	write(3*time.Minute, policy.HoldPlacedEntries(lena, hold("H2", many...), policy.Approval{ID: "H2", By: "bo"})...)
	part := ref("FF")
	part.Parent, part.Hold = id("DD"), "H1"
	write(4*time.Minute, policy.ClipReservedEntry("service:serve", part, start, deadline), policy.ClipCommittedEntry("service:serve", part, seal),
		policy.ClipCutEntry("service:serve", part, policy.Cut{Parent: id("DD"), Hold: "H1", Case: "K-1", From: start, To: seal.To, Size: 7, SHA256: seal.SHA256}))
	write(time.Hour+time.Second, shred("AA"), shred("DD"), policy.ClipHeldOverEntry("service:retain", ref("BB"), deadline))
	sequenced(t, l)
	if _, err := l.ProveDeletion(t.Context(), id("AA")); !errors.Is(err, audit.ErrNotDeleted) {
		t.Errorf("shredded only: error %v", err)
	}
	write(time.Hour+2*time.Second, gone("AA", time.Hour+2*time.Second))
	if _, err := l.ProveDeletion(t.Context(), id("AA")); !errors.Is(err, audit.ErrNotYet) {
		t.Errorf("deleted and not numbered: error %v", err)
	}
	write(3*time.Hour, shred("BB"), shred("FF"))
	write(3*time.Hour, policy.HoldLiftedEntry(lena, hold("H1", id("BB"), id("FF")), "closed", policy.Approval{ID: "H1", By: "bo"}), shred("CC"))
	write(3*time.Hour, policy.HoldLiftedEntries(lena, hold("H2", many...), "closed", policy.Approval{ID: "H2", By: "bo"})...)
	write(3*time.Hour+time.Second, gone("BB", 3*time.Hour+time.Second), gone("CC", 3*time.Hour+time.Second), gone("DD", 3*time.Hour+time.Second), gone("FF", 3*time.Hour+time.Second))
	sequenced(t, l)
	reserved, committed, shredded, deleted := string(policy.ClipReserved), string(policy.ClipCommitted), string(policy.ClipShredded), string(policy.ClipDeleted)
	placed, lifted, cut := string(policy.HoldPlaced), string(policy.HoldLifted), string(policy.ClipCut)
	for name, want := range map[string][]string{
		"AA": {reserved, committed, shredded, deleted},
		"BB": {reserved, committed, placed, string(policy.ClipHeldOver), shredded, lifted, deleted},
		"CC": {reserved, committed, placed, shredded, lifted, deleted},
		"DD": {reserved, committed, placed, cut, shredded, deleted},
		"FF": {reserved, committed, cut, shredded, lifted, deleted},
	} {
		p, err := l.ProveDeletion(t.Context(), id(name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, err := p.Format()
		if err != nil {
			t.Fatal(err)
		}
		read, err := verify.ParseDeletionProof(text)
		if err != nil {
			t.Fatal(err)
		}
		d, err := read.Check([]string{k.Public}, nil, 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var events []string
		for _, e := range d.Entries {
			events = append(events, e.Event)
		}
		if !slices.Equal(events, want) || d.Tombstone.Clip != id(name) || d.Tombstone.SHA256 != seal.SHA256.String() {
			t.Errorf("%s: %v in %+v, want %v", name, events, d.Tombstone, want)
		}
	}
	for _, name := range []string{"EE", "ZZ"} {
		if _, err := l.ProveDeletion(t.Context(), id(name)); !errors.Is(err, audit.ErrNotDeleted) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
