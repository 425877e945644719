package policy_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"klarsyn/policy"
)

// What the first version logged, byte by byte. An entry that says no more than it did then is still the same bytes:
// they are what the tree hashes, and what everybody searches by who learnt them once.
func TestOldEntriesAreTheSameBytes(t *testing.T) {
	b, err := os.ReadFile("testdata/entries.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(b)), "\n")
	made := samples(t)
	var entries []policy.Entry
	for _, event := range []policy.Event{
		policy.CameraStarted, policy.CameraStopped, policy.CameraRefused, policy.ClipReserved, policy.ClipCommitted,
		policy.ClipPartial, policy.ClipLost, policy.ClipShredded, policy.ClipDeleted, policy.OrphanDeleted, policy.DayKeyMinted,
		policy.DayKeyDestroyed,
	} {
		entries = append(entries, made[event])
	}
	noon := at(t, "2026-11-20T12:00:00Z")
	viewing := policy.Viewing{
		ID: "V", Clip: "A", Camera: "k1", Permit: "plattan", PermitVersion: 1, Subject: anna,
		Purpose: policy.CrimeInvestigation, Case: "K-1", Opened: noon,
	}
	stranger := policy.Subject{Remote: anna.Remote}
	entries = append(entries,
		policy.ViewingOpenedEntry(viewing, policy.Access{
			Why:      policy.Why{Purpose: policy.CrimeInvestigation, Case: "K-1", Reason: "robbery at the stairs"},
			Verdict:  policy.Verdict{Allowed: true, Rule: "rule-1", Revision: "rev-1"},
			Approval: policy.Approval{ID: policy.DemoPolicy},
		}),
		made[policy.ViewingClosed], made[policy.Denied],
		policy.DeniedEntry(stranger, policy.Denial{Object: "route:GET /x", Reason: "not-logged-in"}),
		policy.DeniedEntry(anna, policy.Denial{Object: "clip:A", Action: policy.SearchClips, Verdict: policy.Verdict{Revision: "rev-1"}}),
		policy.DeniedEntry(anna, policy.Denial{Reason: "too-many-denials"}),
		made[policy.PermitActivated], policy.RulesActivatedEntry("service:test", "rev-2", ""),
		made[policy.LoggedIn], made[policy.LoginFailed], made[policy.LoggedOut], made[policy.AccountCreated],
		policy.AccountChangedEntry("service:test", "bo", policy.AccountChange{What: "password"}), made[policy.AccountChanged],
		made[policy.LogRead], made[policy.ServiceStarted], made[policy.ServiceStopped],
		policy.Entry{
			ID: "I", Time: noon, Event: policy.Denied, Actor: "a", Role: "r", Session: "s", Remote: "m", Object: "clip:A",
			Permit: "p", PermitVersion: 2, Purpose: "u", Case: "c", Approval: "y", Decision: "deny", Rule: "l", Revision: "v",
			Reason: "n", Details: map[string]string{"b": "<&>", "a": "å"},
		},
	)
	if len(entries) != len(want) {
		t.Fatalf("%d entries, %d lines", len(entries), len(want))
	}
	for i, e := range entries {
		if got := line(t, e); got != want[i] {
			t.Errorf("got  %s\nwant %s", got, want[i])
		}
		if err := e.Validate(); err != nil {
			t.Error(err)
		}
	}
}

// line is an entry as the log writes it.
func line(t *testing.T, e policy.Entry) string {
	t.Helper()
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}

// The fields that came later have their place between reason and details.
func TestNewFieldsInTheirOrder(t *testing.T) {
	e := policy.Entry{
		Reason: "n", Offset: "+01:00", Clock: policy.ClockBehind, MFA: "totp", Client: "c", ObjectVersion: "2", Approver: "bo",
		Result: "ok", Recipient: "r", Before: "b", After: "a", Hashes: []string{policy.Hash{}.String()}, Details: map[string]string{"d": "e"},
	}
	const want = `"reason":"n","offset":"+01:00","clock":"behind","mfa":"totp","client":"c","object_version":"2","approver":"bo",` +
		`"result":"ok","recipient":"r","before":"b","after":"a",` +
		`"hashes":["0000000000000000000000000000000000000000000000000000000000000000"],"details":{"d":"e"}}`
	if got := line(t, e); !strings.HasSuffix(got, want) {
		t.Errorf("%s\nwant at its end %s", got, want)
	}
}
