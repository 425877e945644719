package catalogue_test

import (
	"testing"
	"time"

	"klarsyn/retention"
)

// caseKeys tells of each reason for which the key of a case must stay, one after the other, and of none.
func caseKeys(t *testing.T, b *books) {
	ctx := t.Context()
	needed := func(want bool, when string) {
		t.Helper()
		if got, err := b.CaseNeeded(ctx, "K-1"); err != nil || got != want {
			t.Errorf("%s: the key is needed: %v, %v; want %v", when, got, err, want)
		}
	}
	do := func(statement string, args ...any) {
		t.Helper()
		_, err := b.DB.ExecContext(ctx, statement, args...)
		b.must(err)
	}
	needed(false, "no hold")
	do(`INSERT INTO catalogue_hold (id, kind, case_number, basis, requester, approver, review_us, placed_us)
		VALUES ('h1', 'evidence', 'K-1', 'x', 'a', 'b', 1, 1), ('h2', 'evidence', 'K-2', 'x', 'a', 'b', 1, 1)`)
	needed(true, "a hold in force that keeps nothing yet")
	do(`INSERT INTO catalogue_held (hold, clip, from_us, to_us) VALUES ('h1', 'c1', 1, 2), ('h2', 'c1', 1, 2)`)
	do(`UPDATE catalogue_hold SET lifted_us = 5 WHERE id = 'h1'`)
	needed(true, "a lifted hold that has not let go of a clip")
	do(`UPDATE catalogue_held SET over_us = 5 WHERE hold = 'h1'`)
	needed(false, "a lifted hold, while another case holds the clip")
	from := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	c := b.put("k1", from, from.Add(time.Minute), retention.Committed)
	do(`UPDATE catalogue_clip SET key_case = 'K-1' WHERE id = $1`, c.ID)
	needed(true, "a clip that the key seals")
	do(`UPDATE catalogue_clip SET state = 'deleting' WHERE id = $1`, c.ID)
	needed(true, "such a clip while it is deleted")
	do(`UPDATE catalogue_clip SET state = 'deleted' WHERE id = $1`, c.ID)
	needed(false, "such a clip when it is deleted")

	before := b.entries()
	b.must(b.LogCaseKeyDestroyed(ctx, "K-1"))
	if got := b.entries(); got != before+1 {
		t.Errorf("%d entries more", got-before)
	}
}
