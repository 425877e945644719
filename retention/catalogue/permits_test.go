package catalogue_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
)

// eva is who decides in these tests.
var eva = policy.Subject{Name: "eva", Role: policy.ComplianceOfficer, Session: "s1", Remote: "192.0.2.7"}

func kept(t testing.TB, p policy.Permit, period string) policy.Permit {
	t.Helper()
	var err error
	if p.Retention, err = policy.ParsePeriod(period); err != nil {
		t.Fatal(err)
	}
	return p
}

func permit(t testing.TB, id string, version int, period string) policy.Permit {
	t.Helper()
	p := kept(t, somePermit(t, version), period)
	p.ID, p.ValidFrom = id, start.AddDate(-1, 0, 0)
	return p
}

// apply makes the steps over the newest revision.
func (b *books) apply(steps ...catalogue.PermitStep) (catalogue.Applied, error) {
	base, err := b.Revision(b.t.Context())
	if err != nil {
		return catalogue.Applied{}, err
	}
	return b.Apply(b.t.Context(), catalogue.Application{Base: base, Document: []byte("cameras: []\n"), Steps: steps, Who: eva})
}

func (b *books) applied(steps ...catalogue.PermitStep) catalogue.Moved {
	b.t.Helper()
	done, err := b.apply(steps...)
	b.must(err)
	return done.Moved
}

// step changes the state of a version now.
func (b *books) step(p policy.Permit, state policy.PermitState) catalogue.PermitStep {
	return catalogue.PermitStep{Permit: p, Step: policy.Step{State: state, At: b.Now(), Actor: eva.Name, Reason: "for the test"}}
}

// everything is all that an application can change.
func (b *books) everything() string {
	b.t.Helper()
	ctx := b.t.Context()
	square, err := b.Square(ctx)
	b.must(err)
	var revisions strings.Builder
	rows, err := b.DB.QueryContext(ctx, `SELECT revision, document, sha256, applied_us, actor FROM catalogue_square ORDER BY revision`)
	b.must(err)
	defer rows.Close()
	for rows.Next() {
		var n, us int64
		var document, sum, actor string
		b.must(rows.Scan(&n, &document, &sum, &us, &actor))
		fmt.Fprintln(&revisions, n, document, sum, us, actor)
	}
	b.must(rows.Err())
	return fmt.Sprintf("%s%+v\n%s%d entries", b.dump(), square, revisions.String(), b.entries())
}

// limited is a log that has room for so many entries.
type limited struct {
	policy.Log
	mu   sync.Mutex
	left int
}

var errNoRoom = errors.New("the log is full")

func (l *limited) Append(ctx context.Context, tx *sql.Tx, e policy.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left--; l.left < 0 {
		return errNoRoom
	}
	return l.Log.Append(ctx, tx, e)
}

// A change is made whole or not at all, at whichever entry the log fails, and whatever stands or falls with it.
func applyIsOneTransaction(t *testing.T, b *books) {
	b.put("k1", at(0), at(5), retention.Committed)
	b.put("k1", at(5), at(10), retention.Committed)
	change := catalogue.Application{
		Document: []byte("cameras: [k1]\n"), Who: eva,
		Drafts: []policy.Permit{permit(t, "sveavagen", 1, "P3D")},
		Steps:  []catalogue.PermitStep{b.step(permit(t, "plattan", 4, "PT1M"), policy.Active), b.step(permit(t, "plattan", 4, "PT1M"), policy.Suspended), b.step(permit(t, "trappan", 1, "P1D"), policy.Active)},
		Also: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO catalogue_recipient (permit, day, recipient) VALUES ('also', 'also', 'also')`)
			return err
		},
	}
	before := b.everything()
	refused := func(name string, change catalogue.Application, want error) {
		t.Helper()
		if _, err := b.Apply(t.Context(), change); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if after := b.everything(); after != before {
			t.Fatalf("%s: something was changed, from\n%s\nto\n%s", name, before, after)
		}
	}
	broken := errors.New("broken")
	also := change
	also.Also = func(context.Context, *sql.Tx) error { return broken }
	refused("what stands or falls with it fell", also, broken)
	for _, base := range []int64{-1, 1, 7} {
		stale := change
		stale.Base = base
		refused("a stale base", stale, catalogue.ErrStale)
	}
	changed := change
	changed.Steps = append(slices.Clone(change.Steps), b.step(permit(t, "plattan", 3, "P4D"), policy.Active))
	refused("a version that changed", changed, catalogue.ErrPermitChanged)
	nobody := change
	nobody.Steps = append(slices.Clone(change.Steps), b.step(permit(t, "plattan", 4, "PT1M"), policy.Superseded))
	if _, err := b.Apply(t.Context(), nobody); err == nil || b.everything() != before {
		t.Errorf("a state that nobody decides: %v", err)
	}

	log := b.Log
	// A draft, three steps, two clips that go earlier, the revision.
	const entries = 7
	for n := range entries {
		b.Log = &limited{Log: log, left: n}
		refused(fmt.Sprintf("a log with room for %d entries", n), change, errNoRoom)
		tried := change
		tried.Try = true
		refused(fmt.Sprintf("a try over a log with room for %d entries", n), tried, errNoRoom)
	}
	b.Log = &limited{Log: log, left: entries}
	tried := change
	tried.Try = true
	foreseen, err := b.Apply(t.Context(), tried)
	if err != nil || b.everything() != before {
		t.Errorf("a try left a trace: %v\n%s", err, b.everything())
	}
	b.Log = &limited{Log: log, left: entries}
	logged := b.entries()
	done, err := b.Apply(t.Context(), change)
	if err != nil || done != foreseen || done.Revision != 1 || done.Moved != (catalogue.Moved{Clips: 2, Bytes: 2000, Due: 0}) {
		t.Errorf("%+v, foreseen %+v, error %v", done, foreseen, err)
	}
	b.Log = log
	if n := b.entries() - logged; n != entries {
		t.Errorf("%d entries, want %d", n, entries)
	}
	square, err := b.Square(t.Context())
	b.must(err)
	states := map[string]string{}
	for _, v := range square.Versions {
		for _, s := range v.Steps {
			states[v.Permit.Ref()] += " " + string(s.State)
		}
	}
	want := map[string]string{"plattan@1": " active superseded", "plattan@2": " active superseded", "plattan@3": " active superseded", "plattan@4": " active suspended", "trappan@1": " active"}
	if square.Revision != 1 || string(square.Document) != "cameras: [k1]\n" || len(square.Versions) != 6 || fmt.Sprint(states) != fmt.Sprint(want) {
		t.Errorf("revision %d, %q, %d versions, %v, want %v", square.Revision, square.Document, len(square.Versions), states, want)
	}
	var also2 int
	b.must(b.DB.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM catalogue_recipient WHERE permit = 'also'`).Scan(&also2))
	if also2 != 1 {
		t.Error("what stands or falls with it did not stand")
	}
	refusedAgain := b.everything()
	if _, err := b.Apply(t.Context(), change); !errors.Is(err, catalogue.ErrStale) || b.everything() != refusedAgain {
		t.Errorf("the same over the same base: %v", err)
	}
}

// Of several who apply over one revision one does.
func appliesRace(t *testing.T, b *books) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var done, stale int
	for n := range 6 {
		p := permit(t, fmt.Sprintf("permit%d", n), 1, "P3D")
		wg.Go(func() {
			_, err := b.Apply(t.Context(), catalogue.Application{Document: []byte("x"), Steps: []catalogue.PermitStep{b.step(p, policy.Active)}, Who: eva})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				done++
			case errors.Is(err, catalogue.ErrStale):
				stale++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	square, err := b.Square(t.Context())
	b.must(err)
	if done != 1 || stale != 5 || square.Revision != 1 || len(square.Versions) != 3+1 {
		t.Errorf("%d applied, %d were refused; revision %d with %d versions", done, stale, square.Revision, len(square.Versions))
	}
}

// What is reserved under a version that is not in force is refused, and leaves nothing; while it is, it is not.
func reserveNeedsAPermitInForce(t *testing.T, b *books) {
	from := start
	try := func(name, id string, version int, want error) {
		t.Helper()
		from = from.Add(time.Minute)
		c := newClip("k1", from)
		c.Permit, c.PermitVersion = id, version
		before := b.everything()
		err := b.Reserve(t.Context(), c, []byte("header"))
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if err == nil {
			b.must(b.End(t.Context(), c.ID, from.Add(time.Second), 1))
		} else if b.everything() != before {
			t.Errorf("%s: it left something", name)
		}
	}
	no := camera.ErrNotPermitted
	try("in force", "plattan", 3, nil)
	try("superseded", "plattan", 2, no)
	try("unknown version", "plattan", 4, no)
	try("unknown permit", "square", 1, no)
	draft := permit(t, "sveavagen", 1, "P3D")
	base, err := b.Revision(t.Context())
	b.must(err)
	_, err = b.Apply(t.Context(), catalogue.Application{Base: base, Document: []byte("x"), Drafts: []policy.Permit{draft}, Who: eva})
	b.must(err)
	try("draft", "sveavagen", 1, no)
	b.applied(b.step(draft, policy.Active))
	try("activated", "sveavagen", 1, nil)
	b.applied(b.step(draft, policy.Suspended))
	try("suspended", "sveavagen", 1, no)
	b.applied(b.step(draft, policy.Active))
	try("active again", "sveavagen", 1, nil)
	try("another permit", "plattan", 3, nil)
	b.applied(b.step(draft, policy.Ended))
	try("ended", "sveavagen", 1, no)
	b.applied(b.step(draft, policy.Revoked))
	try("revoked", "sveavagen", 1, no)
	next := permit(t, "sveavagen", 2, "P3D")
	b.applied(b.step(next, policy.Active))
	try("the next version", "sveavagen", 2, nil)
	try("the one before", "sveavagen", 1, no)
	over := permit(t, "sveavagen", 3, "P3D")
	over.ValidTo = b.Now().Add(-time.Second)
	b.applied(b.step(over, policy.Active))
	if n, err := b.Expire(t.Context()); n != 1 || err != nil {
		t.Errorf("%d permits expired, %v", n, err)
	}
	try("expired", "sveavagen", 3, no)
	if n, err := b.Expire(t.Context()); n != 0 || err != nil {
		t.Errorf("again %d permits expired, %v", n, err)
	}
}

// unlawfulIsDue: a revocation that says so makes due what reaches past the instant from which it holds, and nothing else.
func unlawfulIsDue(t *testing.T, b *books) {
	ctx := t.Context()
	other := permit(t, "sveavagen", 1, "P3D")
	b.applied(b.step(other, policy.Active))
	effective := at(10)
	due := map[string]bool{}
	put := func(cam camera.ID, from, to float64, state retention.State, hit bool) retention.Clip {
		t.Helper()
		end := at(to)
		if to == 0 {
			end = time.Time{}
		}
		c := b.put(cam, at(from), end, state)
		due[c.ID] = hit
		return c
	}
	gone := put("k9", -7200, -7190, retention.Deleted, false) // its deadline is an hour after it began
	put("k8", -7200, -7190, retention.Deleting, false)
	put("k1", 0, 9, retention.Committed, false)
	put("k1", 9, 10, retention.Committed, false) // it ends where the revocation begins to hold
	put("k1", 10, 12, retention.Committed, true)
	put("k1", 12, 15, retention.Partial, true)
	put("k2", 8, 10.000001, retention.Committed, true)
	put("k2", 12, 14, "", true) // it is not stored yet
	put("k3", 11, 12, retention.Lost, true)
	put("k4", 2, 0, "", true) // who knows where it ends
	early := put("k5", 10, 11, retention.Committed, false)
	b.must(b.Activate(ctx, somePermit(t, 4))) // a lawful decision follows, before the other is revoked
	lawful := newClip("k7", at(12))
	lawful.PermitVersion = 4
	b.must(b.Reserve(ctx, lawful, []byte("h")))
	b.must(b.End(ctx, lawful.ID, at(14), 1))
	foreign := newClip("k6", at(10))
	foreign.Permit, foreign.PermitVersion = "sveavagen", 1
	b.must(b.Reserve(ctx, foreign, []byte("h")))
	b.must(b.End(ctx, foreign.ID, at(20), 1))
	// A minute later; one clip is due by itself already.
	now := at(60)
	b.Now = func() time.Time { return now }
	if _, err := b.DB.ExecContext(ctx, `UPDATE catalogue_clip SET deadline_us = $1 WHERE id = $2`, at(59).UnixMicro(), early.ID); err != nil {
		t.Fatal(err)
	}
	before, logged := b.deadlines(), b.entries()

	revoke := b.step(somePermit(t, 3), policy.Revoked)
	revoke.Step.Unlawful, revoke.Step.Effective = true, effective
	moved := b.applied(revoke)
	hits := 0
	for id, d := range b.deadlines() {
		switch {
		case due[id]:
			hits++
			if !d.deadline.Equal(now) || d.rule != "plattan@3 unlawful" {
				t.Errorf("clip %s is kept until %s by %q, want %s", id, d.deadline, d.rule, now)
			}
		case d != before[id]:
			t.Errorf("clip %s was kept until %v, and is until %v", id, before[id], d)
		}
	}
	if moved.Clips != hits || moved.Due != hits || moved.Bytes != 3*1000 || hits != 6 {
		t.Errorf("moved %+v, %d clips", moved, hits)
	}
	// The revocation, each clip, and the revision.
	if n := b.entries() - logged; n != int64(hits)+2 {
		t.Errorf("%d entries, want %d", n, hits+2)
	}
	claimed := b.claim(now)
	if len(claimed) != hits+1 {
		t.Errorf("%d clips are claimed, want %d", len(claimed), hits+1)
	}
	for _, c := range claimed {
		if !due[c.ID] && c.ID != early.ID {
			t.Errorf("clip %s is claimed", c.ID)
		}
	}
	if c, err := b.Clip(ctx, gone.ID); err != nil || c.State != retention.Deleted {
		t.Errorf("a clip that was gone: %+v, %v", c, err)
	}
}

// A revocation that is not unlawful, or an end, moves nothing; one from which it is not said since when erases what comes after it.
func revocationsThatEraseLess(t *testing.T, b *books) {
	past := b.put("k1", at(-60), at(-30), retention.Committed)
	open := b.put("k1", at(-30), time.Time{}, "")
	before := b.deadlines()
	for _, s := range []policy.PermitState{policy.Suspended, policy.Active, policy.Ended, policy.Revoked} {
		if moved := b.applied(b.step(somePermit(t, 3), s)); moved != (catalogue.Moved{}) || fmt.Sprint(b.deadlines()) != fmt.Sprint(before) {
			t.Errorf("%s: moved %+v", s, moved)
		}
	}
	b.applied(b.step(somePermit(t, 3), policy.Active))
	after := b.put("k2", at(1), at(5), retention.Committed) // between when it was decided and when that is written
	b.Now = func() time.Time { return at(10) }
	for _, effective := range []time.Time{{}, start.Add(time.Hour)} { // a revocation holds at once, whatever it says
		revoke := b.step(somePermit(t, 3), policy.Revoked)
		revoke.Step.Unlawful, revoke.Step.Effective, revoke.Step.At = true, effective, start
		if _, err := b.DB.ExecContext(t.Context(), `UPDATE catalogue_clip SET deadline_us = $1`, start.Add(time.Hour).UnixMicro()); err != nil {
			t.Fatal(err)
		}
		b.applied(revoke)
		got := b.deadlines()
		if !got[open.ID].deadline.Equal(at(10)) || !got[after.ID].deadline.Equal(at(10)) || !got[past.ID].deadline.Equal(start.Add(time.Hour)) {
			t.Errorf("effective %s: %v", effective, got)
		}
	}
}

type deadline struct {
	deadline time.Time
	rule     string
}

// deadlines are those of all clips.
func (b *books) deadlines() map[string]deadline {
	b.t.Helper()
	all := map[string]deadline{}
	for row, err := range b.All(b.t.Context()) {
		b.must(err)
		all[row.ID] = deadline{row.Deadline, row.Rule}
	}
	return all
}

// deadlinesOnlyComeNearer: whatever versions follow each other, no clip's deadline moves up, and each is the earliest that a
// version allows which was in force since the clip was collected.
func deadlinesOnlyComeNearer(t *testing.T, b *books) {
	ctx := t.Context()
	now, run := start, 0
	b.Now = func() time.Time { return now }
	type force struct { // a stretch in which a version was in force, by the test's own book
		period   string
		from, to time.Time
	}
	periods := []string{"PT1H", "PT1H0.000001S", "P1D", "PT24H", "P3D", "PT72H", "P1M", "P30D", "P2M", "P1Y"}
	rapid.Check(t, func(rt *rapid.T) {
		run++ // each run has a permit and a camera of its own, and does not read those of all before
		for _, table := range []string{"permit", "permit_step", "clip", "header"} {
			if _, err := b.DB.ExecContext(ctx, `DELETE FROM catalogue_`+table); err != nil {
				rt.Fatal(err)
			}
		}
		id, cam := fmt.Sprintf("p%d", run), camera.ID(fmt.Sprintf("c%d", run))
		var version policy.Permit
		var forces []force
		suspended := false
		counted := map[string]time.Time{}
		last := map[string]time.Time{}
		inForce := func() bool { return len(forces) > 0 && forces[len(forces)-1].to.IsZero() }
		stop := func() {
			if inForce() {
				forces[len(forces)-1].to = now
			}
		}
		for range rapid.IntRange(2, 10).Draw(rt, "steps") {
			now = now.Add(rapid.SampledFrom([]time.Duration{time.Second, time.Hour, 25 * time.Hour, 40 * 24 * time.Hour}).Draw(rt, "passes"))
			did := rapid.SampledFrom([]string{"version", "version", "clip", "clip", "suspend", "resume", "end"}).Draw(rt, "step")
			var err error
			switch did {
			case "version":
				period := rapid.SampledFrom(periods).Draw(rt, "period")
				version = permit(t, id, version.Version+1, period)
				stop()
				suspended = false
				forces = append(forces, force{period, now, time.Time{}})
				_, err = b.apply(b.step(version, policy.Active))
			case "suspend":
				if inForce() {
					stop()
					suspended = true
					_, err = b.apply(b.step(version, policy.Suspended))
				}
			case "resume":
				if suspended {
					suspended = false
					forces = append(forces, force{version.Retention.String(), now, time.Time{}})
					_, err = b.apply(b.step(version, policy.Active))
				}
			case "end":
				if inForce() {
					stop()
					_, err = b.apply(b.step(version, policy.Ended))
				}
			case "clip":
				if !inForce() {
					continue
				}
				c := newClip(cam, now)
				c.Counted = now.Add(-rapid.SampledFrom([]time.Duration{0, 300 * time.Millisecond}).Draw(rt, "sent"))
				if c.Counted.Before(forces[len(forces)-1].from) {
					c.Counted = now
				}
				c.Permit, c.PermitVersion, c.Deadline = id, version.Version, version.Until(c.Counted)
				if err = b.Reserve(ctx, c, []byte("h")); err != nil {
					break
				}
				counted[c.ID], last[c.ID] = c.Counted, c.Deadline
				now = now.Add(500 * time.Millisecond)
				err = b.End(ctx, c.ID, now, 1)
				if err == nil && rapid.Bool().Draw(rt, "stored") {
					c.End = now
					err = b.Commit(ctx, stored(c, retention.Committed))
				}
			}
			if err != nil {
				rt.Fatalf("%s: %v", did, err)
			}
			for clip, from := range counted {
				c, err := b.Clip(ctx, clip)
				if err != nil {
					rt.Fatal(err)
				}
				var want time.Time
				for _, f := range forces {
					if until := kept(t, version, f.period).Until(from); (f.to.IsZero() || f.to.After(from)) && (want.IsZero() || until.Before(want)) {
						want = until
					}
				}
				if c.Deadline.After(last[clip]) || !c.Deadline.Equal(want) {
					rt.Fatalf("after %s, clip of %s was kept until %s and is until %s, want %s; in force were %v", did, from, last[clip], c.Deadline, want, forces)
				}
				last[clip] = c.Deadline
			}
		}
	})
}

// Whoever records while versions change is refused, or the clip has a deadline that every version since then allows.
func reserveRacesApply(t *testing.T, b *books) {
	ctx := t.Context()
	periods := []string{"PT50M", "PT40M", "PT45M", "PT30M", "PT59M", "PT10M"} // newClip's own is an hour
	var recorders sync.WaitGroup
	var mu sync.Mutex
	reserved, refused := map[string]int{}, 0
	current := somePermit(t, 3)
	believed := func() policy.Permit {
		mu.Lock()
		defer mu.Unlock()
		return current
	}
	changing, stop := context.WithCancel(ctx)
	for n := range 4 {
		cam := camera.ID(fmt.Sprintf("c%d", n))
		recorders.Go(func() {
			for i := 0; changing.Err() == nil && i < 2000; i++ {
				p := believed()
				c := newClip(cam, at(float64(i)))
				c.PermitVersion, c.Deadline = p.Version, p.Until(c.Start)
				err := b.Reserve(ctx, c, []byte("h"))
				switch {
				case err == nil:
					err = b.End(ctx, c.ID, at(float64(i+1)), 1)
					mu.Lock()
					reserved[c.ID] = p.Version
					mu.Unlock()
				case errors.Is(err, camera.ErrNotPermitted):
					err = nil
					mu.Lock()
					refused++
					mu.Unlock()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	versions := []policy.Permit{current}
	for i, period := range periods {
		time.Sleep(30 * time.Millisecond)
		p := permit(t, "plattan", 4+i, period)
		b.applied(b.step(p, policy.Active))
		versions = append(versions, p)
		time.Sleep(10 * time.Millisecond) // recorders hear of it a little later
		mu.Lock()
		current = p
		mu.Unlock()
	}
	time.Sleep(20 * time.Millisecond)
	b.applied(b.step(versions[len(versions)-1], policy.Suspended))
	after := time.Now()
	time.Sleep(20 * time.Millisecond)
	stop()
	recorders.Wait()
	seen := map[int]int{}
	for row, err := range b.All(ctx) {
		b.must(err)
		if reserved[row.ID] != row.PermitVersion {
			t.Errorf("clip %s was reserved under %d, and is of %d", row.ID, reserved[row.ID], row.PermitVersion)
		}
		seen[row.PermitVersion]++
		for _, p := range versions {
			if p.Version >= row.PermitVersion && row.Deadline.After(p.Until(row.Start)) {
				t.Errorf("a clip under version %d is kept until %s, version %d allows %s", row.PermitVersion, row.Deadline, p.Version, p.Until(row.Start))
			}
		}
	}
	if len(seen) < 3 || refused == 0 {
		t.Errorf("the race did not take place: %v clips by version, %d refused, until %s", seen, refused, after)
	}
}
