package policy_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"klarsyn/policy"
)

func stranger(remote, object string) policy.Entry {
	return policy.DeniedEntry(policy.Subject{Remote: remote}, policy.Denial{Object: policy.KindRoute.Of(object), Reason: "not-logged-in"})
}

// total is how many denials the entries stand for.
func total(t *testing.T, entries []policy.Entry) int {
	t.Helper()
	n := len(entries)
	for _, e := range entries {
		if more := e.Details["more"]; more != "" {
			m, err := strconv.Atoi(more)
			if err != nil {
				t.Fatal(err)
			}
			n += m
		}
	}
	return n
}

func TestDenialsAreCoalescedAndNoneIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{}
		c := policy.NewCoalescer(b, nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx, slog.New(slog.DiscardHandler)) }()
		deny := func(n int, remote, object string) {
			for range n {
				if err := c.Record(ctx, object, stranger(remote, object)); err != nil {
					t.Error(err)
				}
			}
		}
		wait := func(d time.Duration, want, stands int) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if all := b.all(); len(all) != want || total(t, all) != stands {
				t.Errorf("%d entries for %d denials, want %d for %d: %+v", len(all), total(t, all), want, stands, all)
			}
		}
		deny(50, "192.0.2.7", "a")
		wait(0, 1, 1) // the first at once
		deny(1, "192.0.2.8", "a")
		deny(1, "192.0.2.7", "b")
		wait(0, 3, 3) // another address, another kind
		wait(2*time.Minute, 4, 52)
		// A stranger who never pauses: each minute costs two entries, and nothing waits for his end.
		time.Sleep(300 * time.Millisecond) // so that each minute ends between two ticks
		for range 600 {
			deny(1, "192.0.2.7", "a")
			time.Sleep(500 * time.Millisecond)
		}
		synctest.Wait()
		if all := b.all(); len(all) < 9 || len(all) > 4+12 || total(t, all) < 52+480 {
			t.Errorf("after five more minutes: %d entries for %d denials", len(all), total(t, all))
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if n := total(t, b.all()); n != 652 {
			t.Errorf("%d denials in the log after a clean stop, want 652", n)
		}
	})
}

// A log that fails for a while costs an error for what it was to hold at once, and delays the rest.
func TestALogThatFailsLosesNoDenial(t *testing.T) {
	b := &book{}
	now := at(t, "2026-11-20T12:00:00Z")
	c := policy.NewCoalescer(b, func() time.Time { return now })
	record := func() error { return c.Record(t.Context(), "a", stranger("192.0.2.7", "a")) }
	b.breakWith(errBroken)
	for range 2 {
		if err := record(); err == nil {
			t.Error("a denial was neither written nor refused")
		}
	}
	b.breakWith(nil)
	for range 3 {
		if err := record(); err != nil {
			t.Error(err)
		}
	}
	b.breakWith(errBroken)
	for range 2 {
		if err := c.Flush(t.Context(), true); err == nil {
			t.Error("a flush that wrote nothing succeeded")
		}
	}
	b.breakWith(nil)
	if err := c.Flush(t.Context(), true); err != nil {
		t.Error(err)
	}
	if len(b.entries) != 2 || total(t, b.entries) != 3 {
		t.Errorf("%d entries for %d denials, want 2 for 3", len(b.entries), total(t, b.entries))
	}
}

// What is counted keeps its actors apart; whether it is written at once does not depend on them.
func TestCoalescedActorsStayApart(t *testing.T) {
	b := &book{}
	c := policy.NewCoalescer(b, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // a client that left is logged all the same
	for _, actor := range []string{"anna", policy.UnknownActor, "bo", "anna", "bo", "anna"} {
		e := stranger("192.0.2.7", "a")
		e.Actor = actor
		if err := c.Record(ctx, "login", e); err != nil {
			t.Error(err)
		}
	}
	if len(b.entries) != 1 || b.entries[0].Actor != "anna" {
		t.Errorf("at once: %+v, want the first alone", b.entries)
	}
	if err := c.Flush(t.Context(), true); err != nil {
		t.Error(err)
	}
	got := map[string]int{}
	for _, e := range b.entries {
		got[e.Actor] += total(t, []policy.Entry{e})
	}
	if fmt.Sprint(got) != "map[anna:3 bo:2 unknown:1]" {
		t.Errorf("logged %v", got)
	}
}

func TestCoalescerIsBounded(t *testing.T) {
	b := &book{}
	c := policy.NewCoalescer(b, nil)
	const addresses = 12_000
	for i := range addresses {
		e := stranger(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), "a")
		if err := c.Record(t.Context(), "a", e); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(b.entries); n > 10_001 {
		t.Errorf("%d entries at once, want at most 10,001", n)
	}
	for i := range 200 {
		e := stranger("192.0.2.7", "a")
		e.Actor = fmt.Sprintf("a%d", i)
		if err := c.Record(t.Context(), "b", e); err != nil {
			t.Fatal(err)
		}
	}
	before := len(b.entries)
	if err := c.Flush(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if n := len(b.entries) - before; n > 70 {
		t.Errorf("%d entries for what was counted, want at most 70", n)
	}
	if n := total(t, b.entries); n != addresses+200 {
		t.Errorf("%d denials in the log, want %d", n, addresses+200)
	}
}

// Whoever has one address of a /64 has them all: they are one stranger.
func TestNetworkOf(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"2001:db8:1:2::1": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "::1": "::/64", "": "", "somebody": "somebody",
	} {
		if got := policy.NetworkOf(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
	b := &book{}
	c := policy.NewCoalescer(b, nil)
	for _, remote := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3"} {
		if err := c.Record(t.Context(), "a", stranger(remote, "a")); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if len(b.entries) != 2 || b.entries[0].Remote != "2001:db8::1" || b.entries[1].Remote != "2001:db8::/64" {
		t.Errorf("logged %+v, want the first address and then the network", b.entries)
	}
}
