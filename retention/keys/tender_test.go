package keys_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"klarsyn/retention/keys"
)

// board is keys.Board in memory. It polices the tender: a recipient whose key does not exist is not
// published, and what a clip needs is not withdrawn.
type board struct {
	store     *keys.Store
	t         *testing.T
	published map[keys.Key]string
	needed    map[keys.Key]bool
	withdrawn []keys.Key
	err       error
	crash     func() // right after a withdrawal
}

func newBoard() *board {
	return &board{published: map[keys.Key]string{}, needed: map[keys.Key]bool{}}
}

func (b *board) PublishRecipient(ctx context.Context, permit, day, recipient string) error {
	if b.err != nil {
		return b.err
	}
	k := keys.Key{Permit: permit, Day: day}
	if b.store != nil {
		if have, err := b.store.Recipient(ctx, k); err != nil || have != recipient {
			b.t.Errorf("recipient of %v was published before its key was kept: %v", k, err)
		}
	}
	b.published[k] = recipient
	return nil
}

func (b *board) WithdrawRecipient(_ context.Context, permit, day string) error {
	if b.err != nil {
		return b.err
	}
	k := keys.Key{Permit: permit, Day: day}
	if b.needed[k] {
		b.t.Errorf("%v was withdrawn although a clip needs it", k)
	}
	delete(b.published, k)
	b.withdrawn = append(b.withdrawn, k)
	if b.crash != nil {
		b.crash()
	}
	return nil
}

func (b *board) KeyNeeded(_ context.Context, permit, day string) (bool, error) {
	return b.needed[keys.Key{Permit: permit, Day: day}], b.err
}

func tended(t *testing.T, at *time.Time) (*keys.Tender, *board) {
	s := store(t)
	b := newBoard()
	b.store, b.t = s, t
	return &keys.Tender{
		Store: s, Board: b, Now: func() time.Time { return *at },
		Permits: func(time.Time) []string { return []string{"plattan"} },
	}, b
}

func (b *board) days() []string {
	var days []string
	for k := range b.published {
		days = append(days, k.Day)
	}
	slices.Sort(days)
	return days
}

func TestKeysAreReadyForTodayAndTwoDays(t *testing.T) {
	at := noon
	tender, b := tended(t, &at)
	for range 2 { // a second round changes nothing
		if err := tender.Tend(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.days(); !slices.Equal(got, []string{"2026-11-20", "2026-11-21", "2026-11-22"}) {
		t.Errorf("keys of %v", got)
	}
	if len(b.withdrawn) != 0 {
		t.Errorf("withdrawn %v", b.withdrawn)
	}
}

// A key lives as long as a clip needs it, and ten minutes into the next day, for clips that began before.
func TestKeysOfPastDaysAreRetired(t *testing.T) {
	at := noon
	tender, b := tended(t, &at)
	if err := tender.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.needed[today] = true
	for _, c := range []struct {
		at     time.Time
		needed bool
		lives  bool
	}{
		{time.Date(2026, 11, 21, 0, 9, 0, 0, time.UTC), false, true},
		{time.Date(2026, 11, 21, 0, 11, 0, 0, time.UTC), true, true},
		{time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), true, true},
		{time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), false, false},
	} {
		at = c.at
		b.needed[today] = c.needed
		if err := tender.Tend(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := tender.Store.Recipient(t.Context(), today)
		if lives := err == nil; lives != c.lives {
			t.Errorf("at %s, needed %v: the key lives: %v, %v", c.at, c.needed, lives, err)
		}
	}
}

// A crash between withdrawing and destroying: the next round destroys.
func TestCrashBetweenWithdrawalAndDestruction(t *testing.T) {
	at := noon
	tender, b := tended(t, &at)
	if err := tender.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	at = noon.AddDate(0, 0, 1)
	ctx, cancel := context.WithCancel(t.Context())
	b.crash = cancel
	if err := tender.Tend(ctx); err == nil {
		t.Fatal("the crash went unnoticed")
	}
	b.crash = nil
	if _, err := tender.Store.Recipient(t.Context(), today); err != nil {
		t.Fatalf("the key went before the crash: %v", err)
	}
	if err := tender.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := tender.Store.Recipient(t.Context(), today); !errors.Is(err, keys.ErrNoKey) {
		t.Errorf("the key outlived the next round: %v", err)
	}
}

// A crash between minting and publishing: the next round publishes the same key.
func TestCrashBetweenMintingAndPublishing(t *testing.T) {
	at := noon
	tender, b := tended(t, &at)
	b.err = errors.New("no database")
	if err := tender.Tend(t.Context()); !errors.Is(err, b.err) {
		t.Fatalf("error %v", err)
	}
	recipient, err := tender.Store.Recipient(t.Context(), today)
	if err != nil {
		t.Fatal(err)
	}
	b.err = nil
	if err := tender.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.published[today] != recipient {
		t.Error("another key was published")
	}
}

// The board cannot say whether a key is needed: then it stays.
func TestKeyStaysWhenNobodyKnowsWhetherItIsNeeded(t *testing.T) {
	at := noon
	tender, b := tended(t, &at)
	if err := tender.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	at = noon.AddDate(0, 0, 3)
	b.err = errors.New("no database")
	if err := tender.Tend(t.Context()); err == nil {
		t.Error("no error")
	}
	if _, err := tender.Store.Recipient(t.Context(), today); err != nil {
		t.Errorf("the key was destroyed: %v", err)
	}
}

func TestFailedScrubIsRepeated(t *testing.T) {
	at := noon
	tender, _ := tended(t, &at)
	scrubs, fault := 0, errors.New("a reader holds it")
	tender.Scrub = func(context.Context) error {
		if scrubs++; scrubs == 1 {
			return fault
		}
		return nil
	}
	for i, want := range []error{fault, nil, nil} {
		if err := tender.Tend(t.Context()); !errors.Is(err, want) {
			t.Errorf("round %d: %v", i, err)
		}
	}
	if scrubs != 2 {
		t.Errorf("%d scrubs, want one that fails and one that works", scrubs)
	}
}

// Run tends by itself, ends with its context, and lives through faults.
func TestRun(t *testing.T) {
	s := store(t) // outside the bubble: a database has goroutines of its own
	b := newBoard()
	b.t = t
	ctx, cancel := context.WithCancel(t.Context())
	rounds := make(chan struct{})
	tender := &keys.Tender{
		Store: s, Board: b, Every: time.Millisecond, Now: now,
		Permits: func(at time.Time) []string {
			if at.Equal(noon) {
				rounds <- struct{}{}
			}
			return []string{"plattan"}
		},
	}
	b.err = errors.New("no database")
	done := make(chan error, 1)
	go func() { done <- tender.Run(ctx) }()
	<-rounds
	<-rounds
	cancel()
	for {
		select {
		case <-rounds: // one that was beginning
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		}
	}
}
