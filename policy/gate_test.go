package policy_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"klarsyn/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBroken = errors.New("broken")

// table allows what is in it, for every purpose in the string.
type table struct {
	purposes string
	err      error
	asked    [][4]string
}

func (r *table) Allow(role policy.Role, action policy.Action, group, purpose string) (policy.Verdict, error) {
	r.asked = append(r.asked, [4]string{string(role), string(action), group, purpose})
	allowed := role == policy.Investigator && strings.Contains(r.purposes, purpose)
	return policy.Verdict{Allowed: allowed || r.err != nil, Rule: "rule-1", Revision: "rev-1"}, r.err
}

// book is log and viewings in memory. It holds callers to the contract: nothing is answered for a
// viewing that is not open, and what the real log would refuse is refused here.
type book struct {
	mu       sync.Mutex
	err      error
	entries  []policy.Entry
	viewings map[string]*kept
}

type kept struct {
	policy.Viewing
	policy.Totals
	closed bool
}

func (b *book) Append(context.Context, *sql.Tx, policy.Entry) error {
	panic("the gate has no transaction")
}

func (b *book) Record(ctx context.Context, e policy.Entry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := errors.Join(b.err, ctx.Err(), e.Validate()); err != nil {
		return err
	}
	b.entries = append(b.entries, e)
	return nil
}

func (b *book) Open(_ context.Context, v policy.Viewing, opened policy.Entry) (policy.Viewing, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := errors.Join(b.err, opened.Validate()); err != nil {
		return policy.Viewing{}, err
	}
	for _, k := range b.viewings {
		if !k.closed && k.Clip == v.Clip && k.Subject == v.Subject && k.Purpose == v.Purpose && k.Case == v.Case {
			k.Active = v.Opened
			return k.Viewing, nil
		}
	}
	b.viewings[v.ID] = &kept{Viewing: v}
	b.entries = append(b.entries, opened)
	return v, nil
}

func (b *book) Respond(_ context.Context, viewing string, at time.Time) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.viewings[viewing]
	if b.err != nil {
		return "", b.err
	}
	if k == nil || k.closed {
		return "", policy.ErrViewingClosed
	}
	k.Active = at
	k.Responses++
	k.Unfinished++
	return viewing, nil
}

func (b *book) Served(_ context.Context, response string, at time.Time, bytes int64, seconds float64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.viewings[response]
	k.Active = at
	k.Unfinished--
	k.Bytes += bytes
	k.Seconds += seconds
	return b.err
}

func (b *book) Active(_ context.Context, viewings []string, at time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range viewings {
		b.viewings[id].Active = at
	}
	return b.err
}

func (b *book) Stale(_ context.Context, idleSince time.Time) ([]policy.Viewing, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var stale []policy.Viewing
	for _, k := range b.viewings {
		if !k.closed && !k.Active.After(idleSince) {
			stale = append(stale, k.Viewing)
		}
	}
	return stale, b.err
}

func (b *book) Close(_ context.Context, viewing string, _, idleSince time.Time, closed func(policy.Viewing, policy.Totals) policy.Entry) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.viewings[viewing]
	if b.err != nil || k.closed || k.Active.After(idleSince) {
		return false, b.err
	}
	entry := closed(k.Viewing, k.Totals)
	if err := entry.Validate(); err != nil {
		return false, err
	}
	k.closed = true
	b.entries = append(b.entries, entry)
	return true, nil
}

func (b *book) all() []policy.Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.entries)
}

func (b *book) events() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var events []string
	for _, e := range b.entries {
		events = append(events, string(e.Event))
	}
	return strings.Join(events, " ")
}

func (b *book) breakWith(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

var anna = policy.Subject{Name: "anna", Role: policy.Investigator, Session: "s1", Remote: "192.0.2.7"}

func aLook(t testing.TB) policy.Request {
	return policy.Request{
		Action: policy.ViewOriginal, Camera: "k1", Clip: "A", Permit: plattan(t),
		Purpose: policy.CrimeInvestigation, Case: "0105-K12345-26", Reason: "robbery at the stairs",
	}
}

func gate(t testing.TB, rules policy.Rules, now func() time.Time) (*policy.Gate, *book) {
	t.Helper()
	b := &book{viewings: map[string]*kept{}}
	g, err := policy.NewGate(policy.GateConfig{Rules: rules, Log: b, Viewings: b, Now: now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return g, b
}

func TestLookThatIsAllowed(t *testing.T) {
	now := at(t, "2026-11-20T12:00:00Z")
	rules := &table{purposes: policy.CrimeInvestigation}
	g, b := gate(t, rules, func() time.Time { return now })
	grant, err := g.Look(t.Context(), anna, aLook(t))
	if err != nil {
		t.Fatal(err)
	}
	if !grant.Opens("A", "k1", now) || grant.Opens("B", "k1", now) || grant.Opens("A", "k2", now) || grant.Opens("A", "k1", now.Add(time.Minute)) {
		t.Error("the grant opens something else than clip A of k1 for a minute")
	}
	if want := [4]string{"investigator", "view-original", "square", policy.CrimeInvestigation}; len(rules.asked) != 1 || rules.asked[0] != want {
		t.Errorf("asked %v, want %v", rules.asked, want)
	}
	if len(b.entries) != 1 {
		t.Fatalf("logged %+v, want one entry", b.entries)
	}
	e := b.entries[0]
	if e.Event != policy.ViewingOpened || e.ID != grant.Viewing() || e.Actor != "anna" || e.Role != anna.Role || e.Session != "s1" ||
		e.Remote != "192.0.2.7" || e.Object != "clip:A" || e.Permit != "plattan" || e.PermitVersion != 1 || e.Purpose != policy.CrimeInvestigation ||
		e.Case != "0105-K12345-26" || e.Approval != "demo-policy" || e.Decision != "allow" || e.Rule != "rule-1" || e.Revision != "rev-1" ||
		e.Reason != "robbery at the stairs" {
		t.Errorf("logged %+v", e)
	}
	again, err := g.Look(t.Context(), anna, aLook(t))
	if err != nil || again.Viewing() != grant.Viewing() || len(b.entries) != 1 {
		t.Errorf("second look: viewing %s, %d entries, error %v; want the same viewing and no entry", again.Viewing(), len(b.entries), err)
	}
}

func TestLookThatIsDenied(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*policy.Subject, *policy.Request)
		want   string
	}{
		"nobody":            {func(s *policy.Subject, _ *policy.Request) { *s = policy.Subject{} }, policy.ReasonNoSubject},
		"no role":           {func(s *policy.Subject, _ *policy.Request) { s.Role = "" }, policy.ReasonNoSubject},
		"auditor":           {func(s *policy.Subject, _ *policy.Request) { s.Role = policy.Auditor }, policy.ReasonRole},
		"operator":          {func(s *policy.Subject, _ *policy.Request) { s.Role = policy.Operator }, policy.ReasonRole},
		"no purpose":        {func(_ *policy.Subject, r *policy.Request) { r.Purpose = "" }, policy.ReasonNoPurpose},
		"another purpose":   {func(_ *policy.Subject, r *policy.Request) { r.Purpose = policy.PublicOrder }, policy.ReasonPurposeNotInPermit},
		"no permit":         {func(_ *policy.Subject, r *policy.Request) { r.Permit = policy.Permit{} }, policy.ReasonPurposeNotInPermit},
		"purpose not ruled": {func(_ *policy.Subject, r *policy.Request) { r.Purpose, r.Permit.Purposes = "art", []string{"art"} }, policy.ReasonRole},
		"another role":      {func(_ *policy.Subject, r *policy.Request) { r.Permit.Roles = []policy.Role{policy.Auditor} }, policy.ReasonRoleNotInPermit},
		"to be approved":    {func(_ *policy.Subject, r *policy.Request) { r.Permit.Approval = true }, policy.ReasonNoApproval},
		"no case":           {func(_ *policy.Subject, r *policy.Request) { r.Case = "" }, policy.ReasonNoCase},
		"bad case":          {func(_ *policy.Subject, r *policy.Request) { r.Case = "K\n1" }, policy.ReasonBadCase},
		"endless case":      {func(_ *policy.Subject, r *policy.Request) { r.Case = strings.Repeat("K", 1<<20) }, policy.ReasonBadCase},
		"endless reason":    {func(_ *policy.Subject, r *policy.Request) { r.Reason = strings.Repeat("K", 501) }, policy.ReasonBadReason},
		"hostile reason":    {func(_ *policy.Subject, r *policy.Request) { r.Reason = "a\x1b[2J" }, policy.ReasonBadReason},
	} {
		g, b := gate(t, &table{purposes: policy.CrimeInvestigation + policy.PublicOrder}, nil)
		subject, request := anna, aLook(t)
		c.change(&subject, &request)
		grant, err := g.Look(t.Context(), subject, request)
		var denied *policy.DeniedError
		if !errors.Is(err, policy.ErrDenied) || !errors.As(err, &denied) || denied.Reason != c.want {
			t.Errorf("%s: error %v, want a denial for %s", name, err, c.want)
		}
		if grant != (policy.Grant{}) || len(b.viewings) != 0 {
			t.Errorf("%s: grant %+v, viewings %v", name, grant, b.viewings)
		}
		if len(b.entries) != 1 || b.entries[0].Event != policy.Denied || b.entries[0].Reason != c.want || b.entries[0].Decision != "deny" || len(b.entries[0].Case) > 1000 {
			t.Errorf("%s: logged %+v, want the denial", name, b.entries)
		}
		if actor := b.entries[0].Actor; actor == "" || (name == "nobody") != (actor == policy.UnknownActor) {
			t.Errorf("%s: the denial is %q's", name, actor)
		}
	}
}

func TestEverythingThatFailsDenies(t *testing.T) {
	t.Run("rules", func(t *testing.T) {
		g, b := gate(t, &table{err: errBroken}, nil)
		grant, err := g.Look(t.Context(), anna, aLook(t))
		if grant != (policy.Grant{}) || !errors.Is(err, policy.ErrDenied) || !errors.Is(err, errBroken) {
			t.Errorf("grant %+v, error %v", grant, err)
		}
		if b.events() != "denied" {
			t.Errorf("logged %q, want the denial", b.events())
		}
		if v, err := g.May(anna, policy.SearchClips, "k1"); v.Allowed || !errors.Is(err, errBroken) {
			t.Errorf("may: %+v, error %v", v, err)
		}
	})
	t.Run("log", func(t *testing.T) {
		g, b := gate(t, &table{purposes: policy.CrimeInvestigation}, nil)
		before, err := g.Look(t.Context(), anna, aLook(t))
		if err != nil {
			t.Fatal(err)
		}
		b.err = errBroken
		other := aLook(t)
		other.Clip = "B"
		for _, r := range []policy.Request{aLook(t), other, {Action: policy.ViewOriginal, Camera: "k1", Clip: "A"}} {
			grant, err := g.Look(t.Context(), anna, r)
			if grant != (policy.Grant{}) || !errors.Is(err, policy.ErrLogUnavailable) {
				t.Errorf("grant %+v, error %v, want ErrLogUnavailable", grant, err)
			}
		}
		if done, err := g.Respond(t.Context(), before); done != nil || !errors.Is(err, policy.ErrLogUnavailable) {
			t.Errorf("respond: error %v, want ErrLogUnavailable", err)
		}
	})
	t.Run("grant", func(t *testing.T) {
		now := at(t, "2026-11-20T12:00:00Z")
		g, b := gate(t, &table{purposes: policy.CrimeInvestigation}, func() time.Time { return now })
		grant, err := g.Look(t.Context(), anna, aLook(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.Respond(t.Context(), policy.Grant{}); !errors.Is(err, policy.ErrDenied) {
			t.Errorf("zero grant: error %v", err)
		}
		b.viewings[grant.Viewing()].closed = true
		if _, err := g.Respond(t.Context(), grant); !errors.Is(err, policy.ErrViewingClosed) {
			t.Errorf("closed viewing: error %v", err)
		}
		now = now.Add(time.Minute)
		if _, err := g.Respond(t.Context(), grant); !errors.Is(err, policy.ErrDenied) {
			t.Errorf("old grant: error %v", err)
		}
	})
	t.Run("configuration", func(t *testing.T) {
		if _, err := policy.NewGate(policy.GateConfig{}); err == nil {
			t.Error("a gate without rules and log was made")
		}
	})
}

func TestMayIsNotForFootage(t *testing.T) {
	rules := &table{purposes: policy.None}
	g, _ := gate(t, rules, nil)
	for _, c := range []struct {
		subject policy.Subject
		action  policy.Action
		camera  string
		want    bool
		group   string
	}{
		{anna, policy.SearchClips, "k1", true, "square"},
		{anna, policy.SearchClips, "", true, "-"},
		{anna, policy.ViewOriginal, "k1", false, ""},
		{policy.Subject{}, policy.SearchClips, "k1", false, ""},
		{policy.Subject{Name: "bo", Role: policy.Operator}, policy.SearchClips, "k1", false, "square"},
	} {
		rules.asked = nil
		v, err := g.May(c.subject, c.action, c.camera)
		if err != nil || v.Allowed != c.want {
			t.Errorf("%+v: %+v, error %v", c, v, err)
		}
		if (len(rules.asked) == 1) != (c.group != "") || (c.group != "" && rules.asked[0][2] != c.group) {
			t.Errorf("%+v: asked %v", c, rules.asked)
		}
	}
}

func TestLookAtNothing(t *testing.T) {
	g, _ := gate(t, &table{purposes: policy.CrimeInvestigation}, nil)
	for _, change := range []func(*policy.Request){
		func(r *policy.Request) { r.Action = policy.SearchClips },
		func(r *policy.Request) { r.Action = "" },
		func(r *policy.Request) { r.Clip = "" },
		func(r *policy.Request) { r.Camera = "" },
	} {
		r := aLook(t)
		change(&r)
		if grant, err := g.Look(t.Context(), anna, r); grant != (policy.Grant{}) || !errors.Is(err, policy.ErrDenied) {
			t.Errorf("%+v: grant %+v, error %v", r, grant, err)
		}
	}
}

// A player looks, reads ranges, pauses, and leaves: one opening, one closing, with what it was served.
func TestViewingIsClosedWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, b := gate(t, &table{purposes: policy.CrimeInvestigation}, nil)
		ctx, cancel := context.WithCancel(context.Background())
		stopped := make(chan error, 1)
		go func() { stopped <- g.Run(ctx) }()
		request := aLook(t)
		for range 3 {
			grant, err := g.Look(ctx, anna, request)
			if err != nil {
				t.Fatal(err)
			}
			done, err := g.Respond(ctx, grant)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Minute) // a slow client: its viewing is not idle
			done(1000, 2)
			done(1000, 2)
			time.Sleep(50 * time.Second)
		}
		if b.events() != "viewing-opened" {
			t.Errorf("while watching: %s", b.events())
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if b.events() != "viewing-opened viewing-closed" {
			t.Errorf("after leaving: %s", b.events())
		}
		closed := b.entries[1]
		if closed.Details["seconds"] != "6.000" || closed.Details["bytes"] != "3000" || closed.Details["responses"] != "3" ||
			closed.Details["unfinished"] != "0" || closed.Details["viewing"] != b.entries[0].ID || closed.Case != request.Case || closed.Actor != "anna" {
			t.Errorf("closed with %+v", closed)
		}
		if _, err := g.Look(ctx, anna, request); err != nil {
			t.Error(err)
		}
		if b.events() != "viewing-opened viewing-closed viewing-opened" {
			t.Errorf("after coming back: %s", b.events())
		}
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if !strings.HasSuffix(b.events(), "viewing-opened viewing-closed") || b.entries[3].Reason != "stopped" {
			t.Errorf("after a clean stop: %s", b.events())
		}
	})
}

// What a crash left open is closed by the next start, and a log that fails for a while delays it only.
func TestViewingsOfACrashAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		crashed, b := gate(t, &table{purposes: policy.CrimeInvestigation}, nil)
		grant, err := crashed.Look(t.Context(), anna, aLook(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := crashed.Respond(t.Context(), grant); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		b.breakWith(errBroken)
		g, err := policy.NewGate(policy.GateConfig{Rules: &table{}, Log: b, Viewings: b, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		stopped := make(chan error, 1)
		go func() { stopped <- g.Run(ctx) }()
		time.Sleep(time.Minute)
		b.breakWith(nil)
		time.Sleep(time.Minute)
		if b.events() != "viewing-opened viewing-closed" || b.entries[1].Details["unfinished"] != "1" {
			t.Errorf("logged %s: %+v", b.events(), b.entries)
		}
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

func TestCaseNumbers(t *testing.T) {
	for number, ok := range map[string]bool{
		"0105-K12345-26": true, "K 1234/26": true, "Ärende 7": true, "1": true, strings.Repeat("K", 64): true,
		"": false, " ": false, "-": false, " K1": false, "K1 ": false, "K\t1": false, "K\x001": false, "K\u202e1": false,
		"\xff1": false, strings.Repeat("K", 65): false,
	} {
		if err := policy.ValidCase(number); (err == nil) != ok || (err != nil && !errors.Is(err, policy.ErrBadCase)) {
			t.Errorf("%q: error %v, want valid %v", number, err, ok)
		}
	}
}

func FuzzCaseNumber(f *testing.F) {
	f.Add("0105-K12345-26")
	f.Add("K\n1")
	f.Fuzz(func(t *testing.T, s string) {
		if policy.ValidCase(s) == nil && (s == "" || len([]rune(s)) > 64 || strings.ContainsAny(s, "\x00\n\r\t\x1b")) {
			t.Errorf("%q passes", s)
		}
		g, b := gate(t, &table{purposes: policy.CrimeInvestigation}, nil)
		r := aLook(t)
		r.Case = s
		_, err := g.Look(context.Background(), anna, r)
		if (err == nil) != (policy.ValidCase(s) == nil) {
			t.Errorf("%q: error %v", s, err)
		}
		if logged := b.entries[0].Case; len(logged) > 1000 || strings.ContainsAny(logged, "\x00\n\r\x1b") {
			t.Errorf("%q was logged as %q", s, logged)
		}
	})
}
