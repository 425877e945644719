package audit_test

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/retention/database/databasetest"
)

func viewing(t testing.TB, l *audit.Log, at time.Time) policy.Viewing {
	t.Helper()
	v, e := proposed(at)
	opened, err := l.Open(t.Context(), v, e)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func proposed(at time.Time) (policy.Viewing, policy.Entry) {
	v := policy.Viewing{
		ID: ulid.Make().String(), Clip: "A", Camera: "k1", Permit: "plattan", PermitVersion: 1,
		Subject: policy.Subject{Name: "anna", Role: policy.Investigator, Session: "s1", Remote: "192.0.2.1"},
		Purpose: policy.CrimeInvestigation, Case: "K-1", Opened: at, Active: at,
	}
	e := entryOf(v)
	e.ID, e.Time, e.Event, e.Approval, e.Decision = v.ID, at, policy.ViewingOpened, policy.DemoPolicy, "allow"
	return v, e
}

// entryOf is what the Gate's entries say of a viewing.
func entryOf(v policy.Viewing) policy.Entry {
	return policy.Entry{
		Actor: v.Subject.Name, Role: v.Subject.Role, Session: v.Subject.Session, Remote: v.Subject.Remote, Object: "clip:" + v.Clip,
		Permit: v.Permit, PermitVersion: v.PermitVersion, Purpose: v.Purpose, Case: v.Case, Details: map[string]string{"camera": v.Camera},
	}
}

// closingAt makes the entry that closes a viewing at that time.
func closingAt(at time.Time) func(policy.Viewing, policy.Totals) policy.Entry {
	return func(v policy.Viewing, t policy.Totals) policy.Entry {
		e := entryOf(v)
		e.Time, e.Event = at, policy.ViewingClosed
		e.Details = map[string]string{
			"viewing": v.ID, "camera": v.Camera, "responses": strconv.Itoa(t.Responses), "unfinished": strconv.Itoa(t.Unfinished),
			"bytes": strconv.FormatInt(t.Bytes, 10), "seconds": strconv.FormatFloat(t.Seconds, 'f', 3, 64),
		}
		return e
	}
}

func pending(t testing.TB, l *audit.Log) int64 {
	t.Helper()
	n, _, err := l.Pending(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRangesOfOnePlayerAreOneViewing(t *testing.T) {
	db := fresh(t).DB
	l := newLog(t, db, nil)
	first := viewing(t, l, start)
	var together sync.WaitGroup
	for i := range 8 {
		together.Go(func() {
			v, e := proposed(start.Add(time.Duration(i) * time.Second))
			again, err := l.Open(t.Context(), v, e)
			if err != nil || again.ID != first.ID || !again.Opened.Equal(start) {
				t.Errorf("opened again: %+v, error %v, want %s", again, err, first.ID)
			}
		})
	}
	together.Wait()
	if n := pending(t, l); n != 1 {
		t.Errorf("%d entries, want the one that opened the viewing", n)
	}
	for name, change := range map[string]func(*policy.Viewing){
		"another session": func(v *policy.Viewing) { v.Subject.Session = "s2" },
		"another case":    func(v *policy.Viewing) { v.Case = "K-2" },
		"another purpose": func(v *policy.Viewing) { v.Purpose = policy.MissingPerson },
		"another clip":    func(v *policy.Viewing) { v.Clip = "B" },
		"another person":  func(v *policy.Viewing) { v.Subject.Name = "bo" },
	} {
		v, e := proposed(start)
		change(&v)
		if other, err := l.Open(t.Context(), v, e); err != nil || other.ID != v.ID {
			t.Errorf("%s: %+v, error %v, want a viewing of its own", name, other, err)
		}
	}
}

func TestAClosedViewingIsOver(t *testing.T) {
	db := fresh(t).DB
	l := newLog(t, db, nil)
	v := viewing(t, l, start)
	whole, err := l.Respond(t.Context(), v.ID, start.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Served(t.Context(), whole, start.Add(2*time.Second), 1000, 2.5); err != nil {
		t.Fatal(err)
	}
	if err := l.Served(t.Context(), whole, start.Add(2*time.Second), 1, 1); err == nil {
		t.Error("a response ended twice")
	}
	late, err := l.Respond(t.Context(), v.ID, start.Add(3*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if closed, err := l.Close(t.Context(), v.ID, start.Add(4*time.Second), start.Add(2*time.Second), closingAt(start.Add(4*time.Second))); err != nil || closed {
		t.Errorf("a viewing that showed life was closed: %v, error %v", closed, err)
	}
	stale, err := l.Stale(t.Context(), start.Add(3*time.Second))
	if err != nil || len(stale) != 1 || stale[0].Subject != v.Subject || stale[0].Case != v.Case {
		t.Errorf("stale %+v, error %v, want the viewing", stale, err)
	}
	var totals policy.Totals
	closed, err := l.Close(t.Context(), v.ID, start.Add(time.Minute), start.Add(time.Minute), func(v policy.Viewing, t policy.Totals) policy.Entry {
		totals = t
		return closingAt(start.Add(time.Minute))(v, t)
	})
	if want := (policy.Totals{Responses: 2, Unfinished: 1, Bytes: 1000, Seconds: 2.5}); err != nil || !closed || totals != want {
		t.Errorf("closed %v with %+v, error %v, want %+v", closed, totals, err, want)
	}
	if closed, err := l.Close(t.Context(), v.ID, start.Add(time.Hour), start.Add(time.Hour), closingAt(start.Add(time.Hour))); err != nil || closed {
		t.Errorf("closed twice: %v, error %v", closed, err)
	}
	if _, err := l.Respond(t.Context(), v.ID, start.Add(time.Hour)); !errors.Is(err, policy.ErrViewingClosed) {
		t.Errorf("response in a closed viewing: error %v", err)
	}
	// What its closing entry counted does not change any more.
	if err := l.Served(t.Context(), late, start.Add(time.Hour), 5, 5); !errors.Is(err, policy.ErrViewingClosed) {
		t.Errorf("response that ended after its viewing: error %v", err)
	}
	report, err := audit.VerifyViewings(t.Context(), db, databasetest.Dialect())
	if err != nil {
		t.Fatal(err)
	}
	clean(t, report)
	if again := viewing(t, l, start.Add(time.Hour)); again.ID == v.ID {
		t.Error("a closed viewing was opened again")
	}
	if n := pending(t, l); n != 3 {
		t.Errorf("%d entries, want opened, closed, opened", n)
	}
}

func TestViewingAndEntryStandOrFallTogether(t *testing.T) {
	db := fresh(t).DB
	l := newLog(t, db, nil)
	v, e := proposed(start)
	e.Actor = ""
	if _, err := l.Open(t.Context(), v, e); !errors.Is(err, policy.ErrLogUnavailable) {
		t.Errorf("opened with an entry that cannot be logged: error %v", err)
	}
	v = viewing(t, l, start)
	broken := func(policy.Viewing, policy.Totals) policy.Entry { return policy.Entry{} }
	if _, err := l.Close(t.Context(), v.ID, start.Add(time.Hour), start.Add(time.Hour), broken); !errors.Is(err, policy.ErrLogUnavailable) {
		t.Errorf("closed with an entry that cannot be logged: error %v", err)
	}
	if stale, err := l.Stale(t.Context(), start.Add(time.Hour)); err != nil || len(stale) != 1 {
		t.Errorf("%d viewings are open, error %v, want only the second", len(stale), err)
	}
}
