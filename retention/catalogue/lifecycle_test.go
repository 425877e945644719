package catalogue_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
)

// open is a pending clip whose end is not known yet; absent is none at all.
const (
	open   retention.State = "open"
	absent retention.State = "absent"
)

// What each operation makes of a clip in each state. What is not listed changes nothing, logs nothing and
// is no error.
var transitions = map[string]map[retention.State]struct {
	to      retention.State
	err     error
	entries int64
}{
	"reserve again": {
		absent: {to: open, entries: 2}, // recording began: the camera's own entry
		open:   {err: catalogue.ErrOpenClip}, retention.Pending: {err: catalogue.ErrOverlap}, retention.Committed: {err: catalogue.ErrOverlap},
		retention.Partial: {err: catalogue.ErrOverlap}, retention.Lost: {err: catalogue.ErrOverlap},
		retention.Deleting: {err: catalogue.ErrOverlap}, retention.Deleted: {err: catalogue.ErrOverlap},
	},
	"end": {open: {to: retention.Pending}},
	"commit": {
		retention.Pending: {to: retention.Committed, entries: 1},
		open:              {err: catalogue.ErrOpenClip}, absent: {err: retention.ErrGone},
		retention.Committed: {err: retention.ErrGone}, retention.Partial: {err: retention.ErrGone}, retention.Lost: {err: retention.ErrGone},
		retention.Deleting: {err: retention.ErrGone}, retention.Deleted: {err: retention.ErrGone},
	},
	"commit as partial": {
		retention.Pending: {to: retention.Partial, entries: 1},
		open:              {err: catalogue.ErrOpenClip}, absent: {err: retention.ErrGone},
		retention.Committed: {err: retention.ErrGone}, retention.Partial: {err: retention.ErrGone}, retention.Lost: {err: retention.ErrGone},
		retention.Deleting: {err: retention.ErrGone}, retention.Deleted: {err: retention.ErrGone},
	},
	"lose": {
		retention.Pending: {to: retention.Lost, entries: 1}, open: {to: retention.Lost, entries: 1}, absent: {err: retention.ErrGone},
		retention.Committed: {err: retention.ErrGone}, retention.Partial: {err: retention.ErrGone}, retention.Lost: {err: retention.ErrGone},
		retention.Deleting: {err: retention.ErrGone}, retention.Deleted: {err: retention.ErrGone},
	},
	"claim when it is due": {
		open: {to: retention.Deleting, entries: 1}, retention.Pending: {to: retention.Deleting, entries: 1},
		retention.Committed: {to: retention.Deleting, entries: 1}, retention.Partial: {to: retention.Deleting, entries: 1},
		retention.Lost: {to: retention.Deleting, entries: 1},
	},
	"claim a moment before it is due": {},
	"tombstone":                       {retention.Deleting: {to: retention.Deleted, entries: 1}},
}

func everyStateMeetsEveryOperation(t *testing.T, b *books) {
	ctx, at, broken := t.Context(), start, errors.New("the log is broken")
	var charges map[string]retention.Charge // of what is being deleted
	operate := map[string]func(retention.Clip) error{
		"reserve again":     func(c retention.Clip) error { return b.Reserve(ctx, c, []byte("another header")) },
		"end":               func(c retention.Clip) error { return b.End(ctx, c.ID, c.Start.Add(time.Second), 10) },
		"commit":            func(c retention.Clip) error { return b.Commit(ctx, stored(c, retention.Committed)) },
		"commit as partial": func(c retention.Clip) error { return b.Commit(ctx, stored(c, retention.Partial)) },
		"lose":              func(c retention.Clip) error { return b.Lose(ctx, c, "for the test") },
		"claim when it is due": func(c retention.Clip) error {
			_, err := b.Claim(ctx, c.Deadline, 100)
			return err
		},
		"claim a moment before it is due": func(c retention.Clip) error {
			_, err := b.Claim(ctx, c.Deadline.Add(-time.Microsecond), 100)
			return err
		},
		"tombstone": func(c retention.Clip) error {
			_, err := b.Bury(ctx, []retention.Tombstone{{Charge: charges[c.ID], At: c.Deadline.Add(time.Second), Removed: 1}})
			return err
		},
	}
	for operation, table := range transitions {
		for _, state := range []retention.State{absent, open, retention.Pending, retention.Committed, retention.Partial, retention.Lost, retention.Deleting, retention.Deleted} {
			t.Run(fmt.Sprintf("%s meets %s", state, operation), func(t *testing.T) {
				at = at.Add(time.Second)
				const cam = "k1"
				c := newClip(cam, at)
				if _, err := b.DB.Exec(`DELETE FROM catalogue_clip`); err != nil { // one clip at a time: Claim takes all
					t.Fatal(err)
				}
				if _, err := b.DB.Exec(`DELETE FROM catalogue_gap`); err != nil {
					t.Fatal(err)
				}
				switch state {
				case absent:
				case open:
					c = b.put(cam, at, time.Time{}, "")
				default:
					c = b.put(cam, at, at.Add(time.Second), state)
				}
				want := table[state]
				charges = b.charge()

				before := b.dump()
				if want.entries > 0 {
					b.breakLog(broken)
					if err := operate[operation](c); !errors.Is(err, broken) {
						t.Errorf("without a log: %v", err)
					}
					b.breakLog(nil)
					if b.dump() != before {
						t.Errorf("without a log something was changed:\n%s", b.dump())
					}
				}
				entries := b.entries()
				if err := operate[operation](c); !errors.Is(err, want.err) {
					t.Errorf("error %v, want %v", err, want.err)
				}
				if n := b.entries() - entries; n != want.entries {
					t.Errorf("%d log entries, want %d", n, want.entries)
				}
				if want.to == "" {
					if after := b.dump(); after != before {
						t.Errorf("changed from\n%sto\n%s", before, after)
					}
					return
				}
				have, err := b.Clip(ctx, c.ID)
				if err != nil {
					t.Fatal(err)
				}
				to := have.State
				if to == retention.Pending && have.End.IsZero() {
					to = open
				}
				if to != want.to {
					t.Errorf("became %s, want %s", to, want.to)
				}
				_, err = b.Header(ctx, c.ID)
				if shredded := errors.Is(err, retention.ErrGone); shredded == (to == open || to == retention.Pending || have.Readable()) {
					t.Errorf("a clip that is %s has its header destroyed: %v", to, shredded)
				}
			})
		}
	}
}

func reserveWritesAll(t *testing.T, b *books) {
	c := newClip("k1", start)
	c.CameraTime, c.ClockFlagged = start.Add(-3*time.Second), true
	b.must(b.Reserve(t.Context(), c, []byte("header")))
	have, err := b.Clip(t.Context(), c.ID)
	if err != nil || have != c {
		t.Errorf("reserved %+v\n    have %+v, %v", c, have, err)
	}
	if h, err := b.Header(t.Context(), c.ID); err != nil || string(h) != "header" {
		t.Errorf("header %q, %v", h, err)
	}
	if _, err := b.Clip(t.Context(), "nothing"); !errors.Is(err, retention.ErrNotFound) {
		t.Errorf("a clip that never was: %v", err)
	}
}

func commitKeepsAll(t *testing.T, b *books) {
	c := b.put("k1", start, start.Add(5*time.Second), "")
	want := stored(c, retention.Committed)
	b.must(b.Commit(t.Context(), want))
	if have, err := b.Clip(t.Context(), c.ID); err != nil || have != want {
		t.Errorf("committed %+v\n     have %+v, %v", want, have, err)
	}
	other := b.put("k1", c.End, c.End.Add(time.Second), "")
	if err := b.Commit(t.Context(), stored(other, retention.Pending)); err == nil {
		t.Error("a clip was committed as pending")
	}
}

func claimTakesWhatIsDue(t *testing.T, b *books) {
	at := start
	var ids []string
	for range 5 {
		ids = append(ids, b.put("k1", at, at.Add(time.Second), retention.Committed).ID)
		at = at.Add(time.Second)
	}
	claimed, err := b.Claim(t.Context(), start.Add(time.Hour+3*time.Second), 3)
	b.must(err)
	var got []string
	for _, c := range claimed {
		got = append(got, c.ID)
		if c.State != retention.Deleting || c.ObjectKey == "" {
			t.Errorf("claimed %+v", c)
		}
	}
	if !slices.Equal(got, ids[:3]) {
		t.Errorf("claimed %v, want %v", got, ids[:3])
	}
	if left := b.claim(start.Add(time.Hour + 3*time.Second)); len(left) != 1 || left[0].ID != ids[3] {
		t.Errorf("then claimed %+v", left)
	}
}

// Who goes round what is left over meets each clip once a round, wherever he begins, and none that is readable or gone.
func chargesGoRound(t *testing.T, b *books) {
	from := start
	var want []string
	for i := range 7 {
		c := b.put("k1", from, from.Add(time.Second), retention.Committed)
		from = from.Add(time.Second)
		if i < 6 {
			want = append(want, c.ID)
		}
	}
	claimed := b.claim(start.Add(time.Hour + 5*time.Second))
	b.must(b.bury(claimed[3], start.Add(2*time.Hour), 1))
	want = slices.Delete(want, 3, 4)
	var got []string
	for after := ""; ; after = got[len(got)-1] {
		page, err := b.TakeCharge(t.Context(), retention.Lease{Sweeper: "test", For: time.Minute}, after, 2)
		b.must(err)
		for _, c := range page {
			got = append(got, c.ID)
			if c.State != retention.Deleting || c.ObjectKey == "" {
				t.Errorf("%+v", c)
			}
		}
		if len(page) < 2 {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("went round %v, want %v", got, want)
	}
}

func claimsRace(t *testing.T, b *books) {
	at := start
	for range 40 {
		b.put("k1", at, at.Add(time.Second), retention.Committed)
		at = at.Add(time.Second)
	}
	entries := b.entries()
	var mu sync.Mutex
	times := map[string]int{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				claimed, err := b.Claim(t.Context(), at.Add(time.Hour), 3)
				if err != nil {
					t.Error(err)
				}
				if len(claimed) == 0 {
					return
				}
				mu.Lock()
				for _, c := range claimed {
					times[c.ID]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for id, n := range times {
		if n != 1 {
			t.Errorf("clip %s was claimed %d times", id, n)
		}
	}
	if n := b.entries() - entries; len(times) != 40 || n != 40 {
		t.Errorf("%d clips and %d entries, want 40 of each", len(times), n)
	}
}

func deadlines(t *testing.T, b *books) {
	ctx := t.Context()
	check := func(what string, oldest time.Time, overdue int) {
		t.Helper()
		o, err := b.OldestUndeleted(ctx)
		b.must(err)
		count, err := b.Overdue(ctx, start.Add(time.Hour+1500*time.Millisecond))
		b.must(err)
		if !o.Equal(oldest) || count != overdue {
			t.Errorf("%s: oldest %s, %d overdue", what, o, count)
		}
	}
	check("nothing", time.Time{}, 0)
	first := b.put("k1", start, start.Add(time.Second), retention.Committed)
	second := b.put("k1", first.End, first.End.Add(time.Second), retention.Lost)
	third := b.put("k1", second.End, second.End.Add(time.Second), "")
	check("three clips", first.Deadline, 2)
	b.claim(first.Deadline)
	check("the first is being deleted", first.Deadline, 2)
	b.must(b.bury(first, first.Deadline, 1))
	check("the first is gone", second.Deadline, 1)
	for _, c := range b.claim(third.Deadline) {
		b.must(b.bury(c, third.Deadline, 0))
	}
	check("all are gone", time.Time{}, 0)
}

func ownership(t *testing.T, b *books) {
	at := start
	for state, want := range map[retention.State]bool{
		retention.Pending: true, retention.Committed: true, retention.Partial: true, retention.Lost: false,
		retention.Deleting: true, retention.Deleted: false,
	} {
		at = at.Add(2 * time.Hour) // so that a claim takes no other
		c := b.put("k1", at, at.Add(time.Second), state)
		if known, live, err := b.Owner(t.Context(), c.ObjectKey); !known || live != want || err != nil {
			t.Errorf("the object of a clip that is %s: known %v, live %v, %v, want %v", state, known, live, err, want)
		}
		for _, c := range b.claim(at.Add(2 * time.Hour)) {
			b.must(b.bury(c, at, 0))
		}
	}
	if known, live, err := b.Owner(t.Context(), "clips/k1/none"); known || live || err != nil {
		t.Errorf("a key without a clip: %v, %v, %v", known, live, err)
	}
	entries := b.entries()
	b.must(b.LogOrphan(t.Context(), "clips/k1/none", 17))
	if b.entries() != entries+1 {
		t.Error("the removal of a stray object was not logged")
	}
	b.breakLog(errors.New("broken"))
	if err := b.LogOrphan(t.Context(), "clips/k1/none", 17); err == nil {
		t.Error("no log, and no error")
	}
}

func openClips(t *testing.T, b *books) {
	foreign := newClip("k9", start)
	foreign.Node = "n2"
	b.must(b.Reserve(t.Context(), foreign, []byte("h")))
	done := b.put("k1", start, start.Add(time.Second), retention.Committed)
	ended := b.put("k1", done.End, done.End.Add(time.Second), "")
	writing := b.put("k1", ended.End, time.Time{}, "")
	lost := b.put("k2", start, start.Add(time.Second), retention.Lost)
	expired := b.put("k3", start.Add(-time.Hour), time.Time{}, "")
	b.claim(start)
	got, err := b.Open(t.Context(), "n1")
	b.must(err)
	var ids []string
	for _, c := range got {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	want := []string{ended.ID, writing.ID, expired.ID} // the last has no end yet, though it is being deleted
	slices.Sort(want)
	if !slices.Equal(ids, want) {
		t.Errorf("open %v, want %v, not %s or %s", ids, want, done.ID, lost.ID)
	}
}

func allRows(t *testing.T, b *books) {
	committed := b.put("k2", start, start.Add(time.Second), retention.Committed)
	lost := b.put("k1", start.Add(time.Minute), start.Add(time.Minute), retention.Lost)
	var got []retention.Row
	for row, err := range b.All(t.Context()) {
		b.must(err)
		got = append(got, row)
	}
	if len(got) != 2 || got[0].ID != lost.ID || got[1].ID != committed.ID {
		t.Fatalf("rows %+v", got)
	}
	if got[0].HasHeader || !got[1].HasHeader || got[1].HeaderHash == [32]byte{} {
		t.Errorf("headers: %v %v", got[0].HasHeader, got[1].HasHeader)
	}
	for range b.All(t.Context()) {
		break // a checker may leave early
	}
}

var _ policy.Log = (*books)(nil)
