package identity_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/identity"
)

func TestGuessingGetsSlow(t *testing.T) {
	b := setUp(t)
	b.with(t, "anna", policy.Investigator)
	tried := 0
	var wait *identity.WaitError
	for range 1000 {
		_, err := b.Authenticate(t.Context(), "anna", "wrong", "192.0.2.7")
		switch {
		case errors.As(err, &wait):
			b.now = b.now.Add(time.Second)
		case errors.Is(err, identity.ErrBadLogin):
			tried++
		default:
			t.Fatal(err)
		}
	}
	if tried > 16 {
		t.Errorf("%d guesses in a quarter of an hour, want at most 16", tried)
	}
	if _, err := b.Authenticate(t.Context(), "anna", password, "192.0.2.7"); !errors.As(err, &wait) || wait.For > 5*time.Minute {
		t.Errorf("the right password while waiting: error %v, want at most 5 min of waiting", err)
	}
	if _, err := b.Authenticate(t.Context(), "anna", password, "198.51.100.1"); err != nil {
		t.Errorf("the owner, from another address: error %v", err)
	}
	b.now = b.now.Add(6 * time.Minute)
	if _, err := b.Authenticate(t.Context(), "anna", password, "192.0.2.7"); err != nil {
		t.Errorf("after the wait: error %v", err)
	}
}

func TestGuessingFromEverywhereGetsSlowToo(t *testing.T) {
	b := setUp(t)
	b.with(t, "anna", policy.Investigator)
	tried := 0
	for i := range 200 {
		_, err := b.Authenticate(t.Context(), "anna", "wrong", "192.0.2."+string(rune('a'+i%26))+strings.Repeat("x", i/26))
		if errors.Is(err, identity.ErrBadLogin) {
			tried++
		}
	}
	if tried > 21 {
		t.Errorf("%d guesses, want at most 21", tried)
	}
	b.now = b.now.Add(31 * time.Second)
	if _, err := b.Authenticate(t.Context(), "anna", password, "198.51.100.1"); err != nil {
		t.Errorf("the owner is locked out for longer than 30 s: %v", err)
	}
}

func TestFailuresAreCoalescedAndNoneIsLost(t *testing.T) {
	b := setUp(t)
	b.with(t, "anna", policy.Investigator)
	const tries = 50
	for range tries {
		if _, err := b.Authenticate(t.Context(), "anna", "wrong", "192.0.2.7"); err == nil {
			t.Fatal("logged in")
		}
	}
	before := len(b.log.take())
	if before != 2 {
		t.Errorf("%d entries at once, want one each for wrong and throttled", before)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Run(ctx); err != nil {
		t.Fatal(err)
	}
	total := before
	for _, e := range b.log.take() {
		total++
		if e.Event != policy.LoginFailed {
			t.Errorf("logged %+v", e)
		}
		if more := e.Details["more"]; more != "" {
			n := 0
			for _, digit := range more {
				n = 10*n + int(digit-'0')
			}
			total += n
		}
	}
	if total != tries {
		t.Errorf("%d failures in the log, want %d", total, tries)
	}
}

// Many guesses at once are no more than one after the other, and an IPv6 address of its own is no stranger
// of its own: whoever has one address of a /64 has them all.
func TestGuessingAtOnceIsNoFaster(t *testing.T) {
	for name, c := range map[string]struct {
		account, remote func(i int) string
		most            int
	}{
		"one account":                   {func(int) string { return "anna" }, func(int) string { return "192.0.2.7" }, 5},
		"one account from one /64":      {func(int) string { return "anna" }, func(i int) string { return fmt.Sprintf("2001:db8:0:1::%x", i+1) }, 5},
		"many accounts from one /64":    {func(i int) string { return fmt.Sprintf("a%d", i) }, func(i int) string { return fmt.Sprintf("2001:db8:0:1::%x", i+1) }, 21},
		"one account from all over":     {func(int) string { return "anna" }, func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i+1) }, 21},
		"many accounts from one client": {func(i int) string { return fmt.Sprintf("a%d", i) }, func(int) string { return "192.0.2.7" }, 21},
	} {
		t.Run(name, func(t *testing.T) {
			b := setUp(t)
			b.with(t, "anna", policy.Investigator)
			var mu sync.Mutex
			tried := 0
			var crowd sync.WaitGroup
			gate := make(chan struct{})
			for i := range 100 {
				crowd.Go(func() {
					<-gate
					_, err := b.Authenticate(t.Context(), c.account(i), "wrong", c.remote(i))
					var wait *identity.WaitError
					switch {
					case errors.Is(err, identity.ErrBadLogin):
						mu.Lock()
						defer mu.Unlock()
						tried++
					case !errors.As(err, &wait):
						t.Errorf("error %v", err)
					}
				})
			}
			close(gate)
			crowd.Wait()
			if tried != c.most {
				t.Errorf("%d of 100 guesses at once were looked at, want %d", tried, c.most)
			}
		})
	}
}

// Behind a proxy or NAT all have one address: those who mistype must not shut the others out.
func TestPeopleWhoShareAnAddressLogIn(t *testing.T) {
	b := setUp(t)
	for i := range 40 {
		name := fmt.Sprintf("a%d", i)
		b.with(t, name, policy.Investigator)
		for _, p := range []string{password + "x", password} {
			if _, err := b.Authenticate(t.Context(), name, p, "192.0.2.7"); (err == nil) != (p == password) || (err != nil && !errors.Is(err, identity.ErrBadLogin)) {
				t.Fatalf("person %d: error %v", i, err)
			}
		}
	}
}

// A stranger who guesses from everywhere makes its owner wait somewhere new, but not where he lately
// logged in.
func TestOwnerIsNotLockedOutAtHome(t *testing.T) {
	b := setUp(t)
	b.with(t, "anna", policy.Investigator)
	login := func(remote string) error {
		_, err := b.Authenticate(t.Context(), "anna", password, remote)
		return err
	}
	if err := login("192.0.2.7"); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(20 * 24 * time.Hour)
	for i := range 60 {
		if _, err := b.Authenticate(t.Context(), "anna", "wrong", fmt.Sprintf("198.51.100.%d", i)); err == nil {
			t.Fatal("logged in")
		}
	}
	var wait *identity.WaitError
	if err := login("203.0.113.1"); !errors.As(err, &wait) {
		t.Errorf("somewhere new: error %v, want a wait", err)
	}
	if err := login("192.0.2.7"); err != nil {
		t.Errorf("at home: %v", err)
	}
	for range 5 {
		if _, err := b.Authenticate(t.Context(), "anna", "wrong", "192.0.2.7"); err == nil {
			t.Fatal("logged in")
		}
	}
	if err := login("192.0.2.7"); !errors.As(err, &wait) {
		t.Errorf("after failures at home: error %v, want a wait", err)
	}
}

// Writing to the log takes time that a client can measure: whether it happens at once must not tell
// whether an account exists, or why a login failed.
func TestTimeOfTheAnswerTellsNothing(t *testing.T) {
	for _, order := range [][]string{
		{"anna", "nobody", "gone", "anna"}, {"nobody", "anna", "gone", "nobody"}, {"gone", "anna", "nobody", "gone"}, {"nobody", "nobody", "anna", "anna"},
	} {
		b := setUp(t)
		b.with(t, "anna", policy.Investigator)
		b.with(t, "gone", policy.Operator)
		if err := b.Disable(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		b.log.take()
		for i, name := range order {
			if _, err := b.Authenticate(t.Context(), name, "wrong", "192.0.2.7"); !errors.Is(err, identity.ErrBadLogin) {
				t.Fatal(err)
			}
			if n := len(b.log.take()); (n == 1) != (i == 0) {
				t.Errorf("%v: try %d wrote %d entries at once, want 1 for the first alone", order, i+1, n)
			}
		}
	}
}
