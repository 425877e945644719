package identity

import (
	"context"
	"errors"
	"testing"
)

func FuzzParsePHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$0123456789012345678901234567890123456789012")
	f.Add("$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$0123456789012345678901234567890123456789012")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePHC(s)
		if err == nil && (!p.cost.bounded() || len(p.sum) != sumSize) {
			t.Errorf("%q asks for %+v", s, p.cost)
		}
	})
}

func TestStoredHashMustNotAskForMoreThanBounds(t *testing.T) {
	h := newHasher(Cost{Memory: 64, Time: 1, Threads: 1})
	for _, stored := range []string{
		"", "plain", "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE",
		"$argon2id$v=19$m=4000000,t=1,p=1$c29tZXNhbHQ$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE",
		"$argon2id$v=19$m=64,t=0,p=1$c29tZXNhbHQ$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE",
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$",
	} {
		if ok, err := h.matches(context.Background(), "", stored); ok || !errors.Is(err, errBadHash) {
			t.Errorf("%q: matches %v, error %v", stored, ok, err)
		}
	}
}

func TestCrowdBeyondTheQueueIsBusy(t *testing.T) {
	h := newHasher(Cost{Memory: 64, Time: 1, Threads: 1})
	for range atOnce {
		h.turns <- struct{}{}
	}
	for range maxWaiting {
		h.waiting <- struct{}{}
	}
	if _, err := h.hash(context.Background(), "x"); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want ErrBusy", err)
	}
}

func BenchmarkDefaultCost(b *testing.B) {
	h := newHasher(DefaultCost())
	for b.Loop() {
		if _, err := h.hash(context.Background(), "correct-horse-battery"); err != nil {
			b.Fatal(err)
		}
	}
}
