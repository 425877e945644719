package replay_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"klarsyn/policy"
	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/replay"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func after(d time.Duration) time.Time { return noon.Add(d) }

// logged is an entry as a log has it, made at a time after noon.
func logged(t testing.TB, at time.Duration, e policy.Entry) leaf.Leaf {
	t.Helper()
	e.ID, e.Time = "01JD4Z9S5T8Q4W1V9D3M000001", after(at)
	if err := e.Validate(); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	l, err := leaf.Parse(leaf.Record(b, e.Time))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func ref(id string) policy.ClipRef {
	return policy.ClipRef{ID: id, Camera: "k1", Permit: policy.PermitRef{ID: "plattan", Version: 2}}
}

var (
	lead = policy.Subject{Name: "lena", Role: policy.InvestigationLead, Session: "S"}
	seal = policy.Seal{SHA256: policy.Hash{7}, Size: 4096, To: after(30 * time.Second), Frames: 750}
)

func reserved(id string) policy.Entry {
	return policy.ClipReservedEntry("service:ingest", ref(id), noon, after(time.Hour))
}

func committed(id string) policy.Entry {
	return policy.ClipCommittedEntry("service:ingest", ref(id), seal)
}

func hold(id string, clips ...string) policy.Hold {
	return policy.Hold{ID: id, Case: "K-" + id, Clips: clips, Basis: "robbery", Review: after(24 * time.Hour)}
}

func placed(id string, clips ...string) policy.Entry {
	return policy.HoldPlacedEntry(lead, hold(id, clips...), policy.Approval{ID: id, By: "bo"})
}

func lifted(id string, clips ...string) policy.Entry {
	return policy.HoldLiftedEntry(lead, hold(id, clips...), "closed", policy.Approval{ID: id, By: "bo"})
}

func shredded(id string) policy.Entry {
	return policy.ClipShreddedEntry("service:retain", ref(id), after(time.Hour), "committed")
}

func deleted(id string) policy.Entry {
	return policy.ClipDeletedEntry("service:retain", ref(id), policy.Deletion{
		Deadline: after(time.Hour), Deleted: after(time.Hour + 2*time.Second), Removed: 1,
		From: noon, To: seal.To, SHA256: seal.SHA256, Size: seal.Size,
	})
}

// What became of clip A, told by what was logged a second apart.
func TestReplay(t *testing.T) {
	whole := replay.Clip{
		ID: "A", Camera: "k1", Permit: "plattan", PermitVersion: 2, From: noon, To: seal.To, Deadline: after(time.Hour),
		SHA256: seal.SHA256.String(), Size: 4096, State: replay.Committed, Reserved: true,
	}
	but := func(change func(*replay.Clip)) replay.Clip {
		c := whole
		change(&c)
		return c
	}
	part := ref("A")
	part.Parent, part.Hold = "P", "H"
	earlier := policy.DeletionPlannedEntry("service:retain", ref("A"), after(time.Hour), after(time.Minute), "shorter")
	cut := policy.ClipCutEntry("service:serve", ref("A"), policy.Cut{
		Parent: "P", Hold: "H", Case: "K-H", From: noon, To: seal.To, Size: 4096, Frames: 750, SHA256: seal.SHA256,
	})
	cutFromA := policy.ClipCutEntry("service:serve", ref("B"), policy.Cut{Parent: "A", Hold: "H", Case: "K-H", From: noon, To: seal.To, SHA256: seal.SHA256})
	for name, c := range map[string]struct {
		entries []policy.Entry
		want    replay.Clip
	}{
		"reserved": {[]policy.Entry{reserved("A")}, but(func(c *replay.Clip) {
			c.To, c.SHA256, c.Size, c.State = time.Time{}, "", 0, replay.Pending
		})},
		"stored": {[]policy.Entry{reserved("A"), reserved("B"), committed("A")}, whole},
		"cut off": {[]policy.Entry{reserved("A"), policy.ClipPartialEntry("service:ingest", ref("A"), seal)},
			but(func(c *replay.Clip) { c.State = replay.Partial })},
		"lost": {[]policy.Entry{reserved("A"), policy.ClipLostEntry("service:ingest", ref("A"), "disk")}, but(func(c *replay.Clip) {
			c.To, c.SHA256, c.Size, c.State, c.Lost = time.Time{}, "", 0, replay.Lost, after(time.Second)
		})},
		"the permit is shortened": {[]policy.Entry{reserved("A"), committed("A"), earlier},
			but(func(c *replay.Clip) { c.Deadline = after(time.Minute) })},
		"shredded": {[]policy.Entry{reserved("A"), committed("A"), shredded("A")},
			but(func(c *replay.Clip) { c.State, c.Shredded = replay.Deleting, after(2*time.Second) })},
		"deleted": {[]policy.Entry{reserved("A"), committed("A"), shredded("A"), deleted("A")}, but(func(c *replay.Clip) {
			c.State, c.Shredded, c.Deleted = replay.Deleted, after(2*time.Second), after(time.Hour+2*time.Second)
		})},
		"the clock of who stored it is behind": {[]policy.Entry{reserved("A"), shredded("A"), committed("A")},
			but(func(c *replay.Clip) { c.State, c.Shredded = replay.Deleting, after(time.Second) })},
		"held": {[]policy.Entry{reserved("A"), committed("A"), placed("H", "B", "A")},
			but(func(c *replay.Clip) { c.Holds = []replay.Hold{{"H", "K-H"}} })},
		"held twice, lifted once": {[]policy.Entry{reserved("A"), committed("A"), placed("H", "A"), placed("J", "A"), lifted("H", "A")},
			but(func(c *replay.Clip) { c.Holds = []replay.Hold{{"J", "K-J"}} })},
		"lifted": {[]policy.Entry{reserved("A"), committed("A"), placed("H", "A"), lifted("H", "A")}, whole},
		"lifted, which names only what was left of it": {[]policy.Entry{reserved("A"), committed("A"), placed("H", "A", "B"), lifted("H", "B")}, whole},
		"held over": {[]policy.Entry{reserved("A"), committed("A"), placed("H", "A"), policy.ClipHeldOverEntry("service:retain", ref("A"), after(time.Hour))},
			but(func(c *replay.Clip) { c.Holds, c.HeldOver = []replay.Hold{{"H", "K-H"}}, after(3*time.Second) })},
		"a part of it is cut out": {[]policy.Entry{reserved("A"), committed("A"), placed("H", "A"), cutFromA}, whole},
		"a part that is being cut out": {[]policy.Entry{policy.ClipReservedEntry("service:serve", part, noon, after(time.Hour))}, but(func(c *replay.Clip) {
			c.To, c.SHA256, c.Size, c.State, c.Parent, c.Holds = time.Time{}, "", 0, replay.Pending, "P", []replay.Hold{{ID: "H"}}
		})},
		"a part": {[]policy.Entry{policy.ClipReservedEntry("service:serve", part, noon, after(time.Hour)), cut},
			but(func(c *replay.Clip) { c.Parent, c.Holds = "P", []replay.Hold{{"H", "K-H"}} })},
		"a part, lifted": {[]policy.Entry{policy.ClipReservedEntry("service:serve", part, noon, after(time.Hour)), cut, lifted("H", "A")},
			but(func(c *replay.Clip) { c.Parent = "P" })},
		"its reservation was pruned": {[]policy.Entry{shredded("A")}, replay.Clip{
			ID: "A", Permit: "plattan", PermitVersion: 2, Deadline: after(time.Hour), State: replay.Deleting, Shredded: noon,
		}},
		"all but its deletion was pruned": {[]policy.Entry{deleted("A")}, but(func(c *replay.Clip) {
			c.Reserved, c.State, c.Deleted = false, replay.Deleted, after(time.Hour+2*time.Second)
		})},
		"all but its hold was pruned": {[]policy.Entry{placed("H", "A")}, replay.Clip{ID: "A", Holds: []replay.Hold{{"H", "K-H"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			var r replay.Clips
			for i, e := range c.entries {
				if err := r.Add(logged(t, time.Duration(i)*time.Second, e)); err != nil {
					t.Fatal(err)
				}
			}
			got, ok := r.Clip("A")
			a, b := got, c.want
			if !ok || !slices.Equal(a.Holds, b.Holds) {
				t.Errorf("held by %v, want %v", a.Holds, b.Holds)
			}
			a.Holds, b.Holds = nil, nil
			if !equal(a, b) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func equal(a, b replay.Clip) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// Whoever wants to know what lies there keeps no clip that is gone, and a late word of it does not bring it back for long.
func TestForgetting(t *testing.T) {
	r := replay.Clips{Forget: true}
	for _, e := range []policy.Entry{
		reserved("A"), committed("A"), reserved("B"), placed("H", "A", "B"), lifted("H", "A", "B"), shredded("A"), deleted("A"),
		shredded("A"), deleted("A"), placed("J", "B"),
	} {
		if err := r.Add(logged(t, 0, e)); err != nil {
			t.Fatal(err)
		}
	}
	if _, known := r.Clip("A"); known || r.Len() != 1 || r.Forgotten() != 2 || r.Entries() != 10 {
		t.Errorf("A is known: %v; %d clips, %d forgotten, %d entries", known, r.Len(), r.Forgotten(), r.Entries())
	}
	if b, _ := r.Clip("B"); !b.Held() {
		t.Errorf("B is %+v", b)
	}
}

// The events are those that policy has: a new one that says something of a clip must be decided about here.
func TestEventsAreThoseOfPolicy(t *testing.T) {
	said := map[string]bool{}
	for _, e := range replay.Events() {
		said[e] = true
		if !slices.Contains(policy.Events(), policy.Event(e)) {
			t.Errorf("policy has no event %s", e)
		}
	}
	// Of these a clip's state does not depend.
	apart := []policy.Event{
		policy.DeletionFailed, policy.RedactionMade, policy.RestrictionSet, policy.ThumbnailViewed, policy.StillViewed, policy.ViewingOpened,
		policy.ViewingClosed, policy.Denied, policy.ClipShared, policy.RecipientNotified, policy.HoldRefused, policy.HoldExtended, policy.HoldLiftAsked, policy.Repaired,
	}
	for _, e := range policy.Events() {
		about := slices.Contains(e.Kinds(), policy.KindClip) || slices.Contains(e.Kinds(), policy.KindHold)
		if about && !said[string(e)] && !slices.Contains(apart, e) {
			t.Errorf("%s is about clips, and neither replayed nor said to be of no matter", e)
		}
	}
}

// What Klarsyn never wrote is refused, and changes nothing.
func TestOddEntries(t *testing.T) {
	for name, change := range map[string][2]string{
		"not about a clip": {`clip:A`, `camera:A`},
		"about nothing":    {`clip:A`, ``},
		"no instant":       {`2026-11-20T12:00:30Z`, `yesterday`},
		"no number":        {`4096`, `-1`},
		"no hash":          {seal.SHA256.String(), strings.Repeat("Z", 64)},
		"a short hash":     {seal.SHA256.String(), `00`},
		"another type":     {`"permit_version":2`, `"permit_version":"2"`},
	} {
		var r replay.Clips
		l := logged(t, 0, committed("A"))
		l.Entry = []byte(strings.Replace(string(l.Entry), change[0], change[1], 1))
		if err := r.Add(l); !errors.Is(err, replay.ErrEntry) || r.Len() != 0 {
			t.Errorf("%s: error %v, %d clips", name, err, r.Len())
		}
	}
}

// Where two machines log within a quarter of a second, their entries may stand in either order. What a clip came to does not
// depend on it, but for holds, whose end comes after their beginning.
func TestOrderOfAClipsOwnEntriesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		entries := []policy.Entry{
			reserved("A"), committed("A"),
			policy.DeletionPlannedEntry("service:retain", ref("A"), after(time.Hour), after(time.Minute), "shorter"),
			policy.DeletionPlannedEntry("service:retain", ref("A"), after(time.Minute), after(time.Second), "shorter yet"),
			shredded("A"), deleted("A"),
		}
		entries = entries[:rapid.IntRange(1, len(entries)).Draw(rt, "how far")]
		var first, second replay.Clips
		for _, e := range entries {
			if err := first.Add(logged(t, 0, e)); err != nil {
				rt.Fatal(err)
			}
		}
		for _, e := range rapid.Permutation(entries).Draw(rt, "order") {
			if err := second.Add(logged(t, 0, e)); err != nil {
				rt.Fatal(err)
			}
		}
		a, _ := first.Clip("A")
		b, _ := second.Clip("A")
		if !equal(a, b) {
			rt.Fatalf("%+v\n%+v", a, b)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"id":"I","time":"2026-11-20T12:00:00Z","event":"clip-reserved","actor":"a","object":"clip:A","permit":"p","permit_version":1,"details":{"camera":"k1","from":"2026-11-20T12:00:00Z","deadline":"2026-11-20T13:00:00Z"}}`))
	f.Add([]byte(`{"id":"I","time":"2026-11-20T12:00:00Z","event":"hold-placed","actor":"a","object":"hold:H","case":"K","details":{"clips":"A B  C"}}`))
	f.Add([]byte(`{"id":"I","time":"2026-11-20T12:00:00Z","event":"clip-cut","actor":"a","object":"clip:A","hashes":["00"],"details":{"size":"9223372036854775808"}}`))
	f.Fuzz(func(t *testing.T, entry []byte) {
		l, err := leaf.Parse(leaf.Record(entry, noon))
		if err != nil {
			return
		}
		var r replay.Clips
		if err := r.Add(l); err != nil && (!errors.Is(err, replay.ErrEntry) || r.Len() != 0) {
			t.Fatalf("error %v with %d clips", err, r.Len())
		}
		for c := range r.All() {
			if !c.Held() && len(c.Holds) > 0 {
				t.Fatal(c)
			}
		}
	})
}
