package audit_test

import (
	"fmt"
	"testing"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/policy/audit/replay"
	"klarsyn/retention/database/databasetest"
)

// Entries count from their transaction on: those that have their number, and those that wait for it.
func TestReplayOfTheStoredLog(t *testing.T) {
	db := fresh(t).DB
	l := newLog(t, db, key(t))
	const clips = 520 // more entries than one statement reads
	ref := func(i int) policy.ClipRef {
		return policy.ClipRef{ID: fmt.Sprintf("C%d", i), Camera: "k1", Permit: policy.PermitRef{ID: "plattan", Version: 1}}
	}
	for first := 0; first < clips; first += 260 {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Append(t.Context(), tx, policy.LoggedOutEntry(policy.Subject{Name: "anna", Role: policy.Auditor, Session: "S"})); err != nil {
			t.Fatal(err)
		}
		for i := first; i < min(first+260, clips); i++ {
			for _, e := range []policy.Entry{
				policy.ClipReservedEntry("service:ingest", ref(i), start, start.Add(time.Hour)),
				policy.ClipCommittedEntry("service:ingest", ref(i), policy.Seal{SHA256: policy.Hash{1}, Size: int64(i), To: start.Add(time.Minute)}),
			} {
				if err := l.Append(t.Context(), tx, e); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		sequenced(t, l)
	}
	if err := l.Record(t.Context(), policy.ClipShreddedEntry("service:retain", ref(7), start.Add(time.Hour), "committed")); err != nil {
		t.Fatal(err)
	}
	r, err := audit.Replay(t.Context(), db, databasetest.Dialect())
	if err != nil {
		t.Fatal(err)
	}
	if r.Len() != clips || r.Entries() != 2*clips+1 {
		t.Errorf("%d clips from %d entries", r.Len(), r.Entries())
	}
	for i, want := range map[int]replay.State{6: replay.Committed, 7: replay.Deleting, clips - 1: replay.Committed} {
		if c, ok := r.Clip(ref(i).ID); !ok || c.State != want || c.Size != int64(i) || !c.Reserved {
			t.Errorf("clip %d: %+v", i, c)
		}
	}
}
