package catalogue_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"klarsyn/retention"
)

// deleting makes clips that are claimed, in order of their ids.
func (b *books) deleting(n int) []retention.Clip {
	b.t.Helper()
	from := start
	for range n {
		b.put("k1", from, from.Add(time.Second), retention.Committed)
		from = from.Add(time.Second)
	}
	claimed := b.claim(from.Add(time.Hour))
	if len(claimed) != n {
		b.t.Fatalf("%d claimed", len(claimed))
	}
	return claimed
}

func (b *books) take(sweeper string, lease time.Duration, limit int) []retention.Charge {
	b.t.Helper()
	taken, err := b.TakeCharge(b.t.Context(), retention.Lease{Sweeper: sweeper, For: lease}, "", limit)
	b.must(err)
	return taken
}

// While a lease holds nobody else gets the clip; the one who has it may take it again; when it has ended, by the database's
// clock, another one may. Each taking has a fence of its own.
func oneSweeperAtATime(t *testing.T, b *books) {
	b.deleting(3)
	const lease = 400 * time.Millisecond
	mine := b.take("one", lease, 2)
	if len(mine) != 2 {
		t.Fatalf("took %d", len(mine))
	}
	if others := b.take("two", time.Minute, 10); len(others) != 1 || others[0].ID == mine[0].ID || others[0].ID == mine[1].ID {
		t.Errorf("the other one got %+v", others)
	}
	again := b.take("one", lease, 10)
	if len(again) != 2 || again[0].Fence <= mine[0].Fence {
		t.Errorf("took again %+v after %+v", again, mine)
	}
	time.Sleep(lease + 50*time.Millisecond)
	over := b.take("two", time.Minute, 10)
	if len(over) != 3 || over[0].Fence <= again[0].Fence {
		t.Errorf("took over %+v after %+v", over, again)
	}
	if back := b.take("one", lease, 10); len(back) != 0 {
		t.Errorf("took back %+v", back)
	}
}

// A sweeper whose lease was taken over, or who names another fence, ends nothing; who has charge ends it, once.
func onlyWhoHasChargeBuries(t *testing.T, b *books) {
	b.deleting(1)
	at := start.Add(2 * time.Hour)
	stone := func(c retention.Charge) []retention.Tombstone {
		return []retention.Tombstone{{Charge: c, At: at, Removed: 1}}
	}
	old := b.take("one", time.Microsecond, 1)[0]
	time.Sleep(5 * time.Millisecond)
	taken := b.take("two", time.Minute, 1)[0]
	stolen := taken
	stolen.Sweeper = "one"
	before, entries := b.dump(), b.entries()
	for what, c := range map[string]retention.Charge{"whose lease was taken over": old, "whose fence is another's": stolen, "who never took charge": {Clip: old.Clip}} {
		if buried, err := b.Bury(t.Context(), stone(c)); err != nil || len(buried) != 0 || b.dump() != before || b.entries() != entries {
			t.Errorf("one %s buried %v, %v", what, buried, err)
		}
	}
	if buried, err := b.Bury(t.Context(), stone(taken)); err != nil || !slices.Equal(buried, []string{taken.ID}) || b.entries() != entries+1 {
		t.Errorf("who has charge buried %v, %v", buried, err)
	}
	if buried, err := b.Bury(t.Context(), stone(taken)); err != nil || len(buried) != 0 || b.entries() != entries+1 {
		t.Errorf("again: %v, %v", buried, err)
	}
}

// Tombstones of one batch are written and logged together, or none of them is; each keeps what was removed of its clip.
func tombstonesTogether(t *testing.T, b *books) {
	b.deleting(5)
	var stones []retention.Tombstone
	for i, c := range b.take("one", time.Minute, 10) {
		stones = append(stones, retention.Tombstone{Charge: c, At: start.Add(2 * time.Hour), Removed: 1 + i%2})
	}
	broken := errors.New("the log is broken")
	before, entries := b.dump(), b.entries()
	b.breakLog(broken)
	if _, err := b.Bury(t.Context(), stones); !errors.Is(err, broken) || b.dump() != before {
		t.Errorf("without a log: %v", err)
	}
	b.breakLog(nil)
	buried, err := b.Bury(t.Context(), stones)
	if err != nil || len(buried) != 5 || b.entries() != entries+5 {
		t.Fatalf("buried %v, %v, %d entries", buried, err, b.entries()-entries)
	}
	for _, s := range stones {
		var removed int
		b.must(b.DB.QueryRow(`SELECT removed FROM catalogue_clip WHERE id = $1 AND state = 'deleted'`, s.ID).Scan(&removed))
		if removed != s.Removed {
			t.Errorf("clip %s: %d removed, want %d", s.ID, removed, s.Removed)
		}
	}
}

// What is held past its deadline keeps no gauge up: not before its day key's header is destroyed, and not after.
func heldIsNotOverdue(t *testing.T, b *books) {
	held := b.put("k1", start, start.Add(time.Second), retention.Committed)
	due := b.put("k1", held.End, held.End.Add(time.Second), retention.Committed)
	late := due.Deadline.Add(time.Minute)
	_, err := b.DB.Exec(`UPDATE catalogue_clip SET holds = 1 WHERE id = $1`, held.ID)
	b.must(err)
	check := func(what string, oldest time.Time, want retention.Backlog, overdue int) {
		t.Helper()
		o, err := b.OldestUndeleted(t.Context())
		b.must(err)
		have, err := b.Backlog(t.Context(), late)
		b.must(err)
		n, err := b.Overdue(t.Context(), late)
		b.must(err)
		if !o.Equal(oldest) || have != want || n != overdue {
			t.Errorf("%s: oldest %s, backlog %+v, %d overdue", what, o, have, n)
		}
	}
	check("both are past their deadline", due.Deadline, retention.Backlog{Due: 1}, 1)
	b.claim(late)
	check("one was claimed, the other one is its case's", due.Deadline, retention.Backlog{Removal: 1}, 1)
	b.must(b.bury(due, late, 1))
	check("one is gone", time.Time{}, retention.Backlog{}, 0)
}
