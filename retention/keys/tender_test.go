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
	holding   map[string]bool // by case
	logged    []string        // about case keys
	err       error
	crash     func() // right after a withdrawal
}

func newBoard() *board {
	return &board{published: map[keys.Key]string{}, needed: map[keys.Key]bool{}, holding: map[string]bool{}}
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

func (b *board) CaseNeeded(_ context.Context, number string) (bool, error) {
	return b.holding[number], b.err
}

func (b *board) LogCaseKeyMinted(_ context.Context, number string) error {
	if b.err != nil {
		return b.err
	}
	b.logged = append(b.logged, "minted "+number)
	return nil
}

func (b *board) LogCaseKeyDestroyed(ctx context.Context, number string) error {
	if b.holding[number] {
		b.t.Errorf("the key of case %s goes although a hold needs it", number)
	}
	if keys, err := b.store.Cases(ctx); err != nil || !slices.Contains(keys, number) {
		b.t.Errorf("the key of case %s is said to go after it went: %v", number, err)
	}
	b.logged = append(b.logged, "destroyed "+number)
	if b.crash != nil {
		b.crash()
	}
	return b.err
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

// The key of a case goes when no hold needs it, and not within an hour of being asked for: the hold that it was asked for may not be
// there yet.
func TestCaseKeysAreRetired(t *testing.T) {
	at := noon
	tender, b := tended(t, &at)
	tender.Store.Now = func() time.Time { return at }
	scrubs := 0
	tender.Scrub = func(context.Context) error { scrubs++; return nil }
	if _, err := tender.Store.MintCase(t.Context(), "K-1", b.LogCaseKeyMinted); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after   time.Duration
		asked   bool // once more, just before
		holding bool
		lives   bool
	}{
		{after: time.Minute, lives: true},
		{after: 59 * time.Minute, lives: true},
		{after: 3 * time.Hour, holding: true, lives: true},
		{after: 72 * time.Hour, holding: true, lives: true},
		{after: 72 * time.Hour, asked: true, lives: true}, // an old key for a new hold
		{after: 72*time.Hour + 30*time.Minute, lives: true},
		{after: 73*time.Hour + time.Minute, lives: false},
	} {
		at = noon.Add(c.after)
		b.holding["K-1"] = c.holding
		if c.asked {
			if _, err := tender.Store.MintCase(t.Context(), "K-1", b.LogCaseKeyMinted); err != nil {
				t.Fatal(err)
			}
		}
		if err := tender.Tend(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := tender.Store.CaseIdentity(t.Context(), "K-1")
		if lives := err == nil; lives != c.lives || err != nil && !errors.Is(err, keys.ErrNoKey) {
			t.Errorf("after %s, held %v: the key lives: %v, %v", c.after, c.holding, lives, err)
		}
	}
	if !slices.Equal(b.logged, []string{"minted K-1", "destroyed K-1"}) {
		t.Errorf("logged %v", b.logged)
	}
	if scrubs < 2 {
		t.Errorf("%d scrubs: the destroyed key may lie in the database's log", scrubs)
	}
}

// A crash between the word in the log and the end of the key: the next round destroys.
func TestCrashBetweenTheWordAndTheEndOfACaseKey(t *testing.T) {
	at := noon
	tender, b := tended(t, &at)
	tender.Store.Now = func() time.Time { return at }
	if _, err := tender.Store.MintCase(t.Context(), "K-1", b.LogCaseKeyMinted); err != nil {
		t.Fatal(err)
	}
	at = noon.Add(2 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	b.crash = cancel
	if err := tender.Tend(ctx); err == nil {
		t.Fatal("the crash went unnoticed")
	}
	if tender.Faults() != 1 {
		t.Errorf("%d faults are counted", tender.Faults())
	}
	b.crash = nil
	if err := tender.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := tender.Store.CaseIdentity(t.Context(), "K-1"); !errors.Is(err, keys.ErrNoKey) {
		t.Errorf("the key outlived the next round: %v", err)
	}
}

// Somebody asks for the key between the look and the end: it stays, its hold can be opened, and the log says that it is there.
func TestCaseKeyThatIsAskedForWhileItGoes(t *testing.T) {
	at := noon
	tender, b := tended(t, &at)
	tender.Store.Now = func() time.Time { return at }
	before, err := tender.Store.MintCase(t.Context(), "K-1", b.LogCaseKeyMinted)
	if err != nil {
		t.Fatal(err)
	}
	at = noon.Add(2 * time.Hour)
	b.crash = func() {
		again, err := tender.Store.MintCase(t.Context(), "K-1", b.LogCaseKeyMinted)
		if err != nil || again != before {
			t.Errorf("asked again: another key %v, %v", again != before, err)
		}
	}
	if err := tender.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := tender.Store.CaseIdentity(t.Context(), "K-1"); err != nil {
		t.Errorf("what is sealed to it is lost: %v", err)
	}
	if !slices.Equal(b.logged, []string{"minted K-1", "destroyed K-1", "minted K-1"}) {
		t.Errorf("logged %v", b.logged)
	}
}

// A case has no key without a word in the log. What a crash leaves between the two is told again, when the key is made.
func TestNoCaseKeyWithoutAWord(t *testing.T) {
	for name, c := range map[string]struct {
		sealer keys.Sealer // nil: the master key's
		log    error
		logged []string // when the key is there after all
	}{
		"the log fails":          {log: errors.New("the log is full"), logged: []string{"minted K-1"}},
		"the master key is away": {sealer: sealerAway{}, logged: []string{"minted K-1"}},
		"the process dies":       {logged: []string{"minted K-1", "minted K-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			at := noon
			tender, b := tended(t, &at)
			s := tender.Store
			works := s.Sealer
			if c.sealer != nil {
				s.Sealer = c.sealer
			}
			b.err = c.log
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := s.MintCase(ctx, "K-1", func(ctx context.Context, number string) error {
				if cases, err := s.Cases(ctx); err != nil || len(cases) > 0 {
					t.Errorf("the log hears of a key that is there: %v, %v", cases, err)
				}
				defer cancel() // nothing is kept after that
				return b.LogCaseKeyMinted(ctx, number)
			})
			if err == nil {
				t.Fatal("a key was minted")
			}
			if cases, err := s.Cases(t.Context()); err != nil || len(cases) > 0 {
				t.Errorf("left behind: %v, %v", cases, err)
			}
			if _, err := s.CaseRecipient(t.Context(), "K-1"); !errors.Is(err, keys.ErrNoKey) {
				t.Errorf("what is cut out is sealed to a key that is not there: %v", err)
			}

			b.err, s.Sealer = nil, works
			recipient, err := s.MintCase(t.Context(), "K-1", b.LogCaseKeyMinted)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if again, err := s.MintCase(t.Context(), "K-1", b.LogCaseKeyMinted); err != nil || again != recipient {
					t.Errorf("another key: %v, %v", again != recipient, err)
				}
			}
			if !slices.Equal(b.logged, c.logged) {
				t.Errorf("logged %v, want %v", b.logged, c.logged)
			}
		})
	}
}

// sealerAway is a key server that does not answer.
type sealerAway struct{}

func (sealerAway) Seal(context.Context, []byte) ([]byte, keys.Mark, error) {
	return nil, keys.Mark{}, keys.ErrAway
}
