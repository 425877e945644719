package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"klarsyn/policy"
	"klarsyn/retention/database"
	"klarsyn/retention/database/databasetest"
)

func TestThrottleIsBounded(t *testing.T) {
	th := newThrottle()
	now := time.Unix(0, 0)
	for i := range maxKeys + 10 {
		now = now.Add(time.Millisecond)
		login, wait := th.try("anna", fmt.Sprint(i), now)
		if wait > 0 {
			now = now.Add(wait)
			login, _ = th.try("anna", fmt.Sprint(i), now)
		}
		login.succeeded(now)
		th.try(fmt.Sprint(i), fmt.Sprint(i), now)
	}
	if len(th.seen) > maxKeys || len(th.homes) > maxKeys {
		t.Errorf("%d keys and %d homes, want at most %d", len(th.seen), len(th.homes), maxKeys)
	}
	newest := fmt.Sprint(maxKeys + 9)
	for range 5 {
		th.try(newest, newest, now)
	}
	if _, wait := th.try(newest, newest, now); wait == 0 {
		t.Error("the newest failures were forgotten")
	}
	if pair, _, _ := patience("anna", newest); th.homes[pair.key] != now {
		t.Error("the newest home was forgotten")
	}
}

// A try that is taken back leaves no trace, unless others failed meanwhile.
func TestTriesAreTakenBack(t *testing.T) {
	th := newThrottle()
	now := time.Unix(0, 0)
	for range 100 {
		login, wait := th.try("anna", "home", now)
		if wait > 0 {
			t.Fatalf("tries that were taken back make one wait %s", wait)
		}
		login.undo()
	}
	for range 4 {
		th.try("anna", "home", now)
	}
	slow, _ := th.try("anna", "home", now)
	if _, wait := th.try("anna", "home", now); wait != firstWait {
		t.Errorf("wait %s after five, want %s", wait, firstWait)
	}
	slow.undo()
	if _, wait := th.try("anna", "home", now); wait != 0 {
		t.Errorf("wait %s after one of five was taken back", wait)
	}
}

type noLog struct{}

func (noLog) Append(context.Context, *sql.Tx, policy.Entry) error { return nil }
func (noLog) Record(context.Context, policy.Entry) error          { return nil }

// More logins at once than there is room for are turned away at once, without a guess being counted
// against anybody; those who wait get their turn.
func TestACrowdIsTurnedAway(t *testing.T) {
	db := databasetest.Open(t).DB
	if err := database.Migrate(t.Context(), db, databasetest.Dialect(), database.Owner{Name: "identity", Files: Migrations()}); err != nil {
		t.Fatal(err)
	}
	a, err := NewAccounts(Config{DB: db, Log: noLog{}, Cost: Cost{Memory: 64, Time: 1, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Create(t.Context(), "anna", policy.Investigator, "correct-horse-battery"); err != nil {
		t.Fatal(err)
	}
	login := func(from string) error {
		_, err := a.Authenticate(t.Context(), "anna", "correct-horse-battery", from)
		return err
	}
	if err := login("192.0.2.7"); err != nil {
		t.Fatal(err)
	}
	for range atOnce {
		a.hasher.turns <- struct{}{}
	}
	var waiting sync.WaitGroup
	for i := range maxWaiting {
		waiting.Go(func() {
			if _, err := a.Authenticate(t.Context(), fmt.Sprintf("a%d", i), "wrong", fmt.Sprintf("198.51.100.%d", i)); !errors.Is(err, ErrBadLogin) {
				t.Errorf("one who waited: error %v", err)
			}
		})
	}
	for deadline := time.Now().Add(10 * time.Second); len(a.hasher.waiting) < maxWaiting; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d wait", len(a.hasher.waiting))
		}
	}
	for range 100 {
		if err := login("192.0.2.7"); !errors.Is(err, ErrBusy) {
			t.Fatalf("one too many: error %v, want ErrBusy", err)
		}
	}
	for range atOnce {
		<-a.hasher.turns
	}
	waiting.Wait()
	if err := login("192.0.2.7"); err != nil {
		t.Errorf("after the crowd: error %v", err)
	}
}
