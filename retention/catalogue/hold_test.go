package catalogue_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
)

var (
	lena = policy.Subject{Name: "lena", Role: policy.InvestigationLead, Session: "s1"}
	leo  = policy.Subject{Name: "leo", Role: policy.InvestigationLead, Session: "s2"}
)

// holdOn holds clips for a case.
func (b *books) holdOn(number string, clips ...retention.Clip) (retention.Hold, []retention.Refusal) {
	b.t.Helper()
	h := retention.Hold{ID: ulid.Make().String(), Kind: retention.Evidence, Case: number, Basis: "robbery", Requester: "anna", Approver: lena.Name,
		Review: start.AddDate(0, 1, 0), Placed: start}
	keys := map[string]retention.SealedKey{}
	for _, c := range clips {
		h.Clips = append(h.Clips, retention.HeldClip{Clip: c.ID, From: c.Start, To: c.End})
		keys[c.ID] = retention.SealedKey{Header: []byte("header of " + c.ID), FileKey: []byte("sealed")}
	}
	held, refused, err := b.PlaceHold(b.t.Context(), lena, h, keys)
	b.must(err)
	h.Clips = held
	return h, refused
}

func (b *books) liftHold(h retention.Hold) {
	b.t.Helper()
	b.must(b.AskLift(b.t.Context(), lena, h.ID, "closed"))
	b.must(b.Lift(b.t.Context(), leo, h.ID))
}

// A sweeper whose clock is a little ahead claims what somebody whose clock is a little behind holds: one of them wins, and what
// was said to be held is never deleted.
func holdRacesClaim(t *testing.T, b *books) {
	const n = 60
	at := start
	var all []retention.Clip
	for range n {
		all = append(all, b.put("k1", at, at.Add(time.Second), retention.Committed))
		at = at.Add(time.Second)
	}
	due := all[n-1].Deadline
	slices.SortFunc(all, func(a, b retention.Clip) int { return -a.Start.Compare(b.Start) }) // from the other end than the sweeper
	var mu sync.Mutex
	held, refused, claimed := map[string]bool{}, map[string]bool{}, map[string]bool{}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range n {
				got, err := b.Claim(t.Context(), due, 2)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, c := range got {
					claimed[c.ID] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		for i := 0; i < n; i += 3 {
			h, no := b.holdOn("K-1", all[i:i+3]...)
			mu.Lock()
			for _, c := range h.Clips {
				held[c.Clip] = true
			}
			for _, r := range no {
				refused[r.Clip] = true
			}
			mu.Unlock()
		}
	})
	wg.Wait()
	for _, c := range all {
		now, err := b.Clip(t.Context(), c.ID)
		b.must(err)
		_, headerErr := b.Header(t.Context(), c.ID)
		_, keyErr := b.CaseKey(t.Context(), c.ID, "K-1")
		switch {
		case held[c.ID] == refused[c.ID], held[c.ID] == claimed[c.ID]:
			t.Errorf("clip %s: held %v, refused %v, claimed %v", c.ID, held[c.ID], refused[c.ID], claimed[c.ID])
		case held[c.ID] && (now.State != retention.Committed || now.Holds != 1 || keyErr != nil):
			t.Errorf("a held clip is %s with %d holds, %v", now.State, now.Holds, keyErr)
		case held[c.ID] && now.Cased.IsZero() != (headerErr == nil):
			t.Errorf("a held clip: over since %s, and its header: %v", now.Cased, headerErr)
		case claimed[c.ID] && (now.State != retention.Deleting || now.Holds != 0 || !errors.Is(headerErr, retention.ErrGone)):
			t.Errorf("a claimed clip is %s with %d holds, %v", now.State, now.Holds, headerErr)
		}
	}
	if len(held) == 0 || len(claimed) == 0 {
		t.Logf("held %d, claimed %d: nobody met anybody", len(held), len(claimed))
	}
}

// Of several holds on a clip the last one lifted lets it go, whoever lifts first, also when all are lifted at once.
func lastHoldOut(t *testing.T, b *books) {
	c := b.put("k1", start, start.Add(time.Minute), retention.Committed)
	var all []retention.Hold
	for _, number := range []string{"K-1", "K-2", "K-3", "K-4"} {
		h, refused := b.holdOn(number, c)
		if len(refused) != 0 {
			t.Fatalf("refused: %v", refused)
		}
		b.must(b.AskLift(t.Context(), lena, h.ID, "closed"))
		all = append(all, h)
	}
	if got := b.claim(c.Deadline); len(got) != 0 {
		t.Fatalf("claimed %v", got)
	}
	var wg sync.WaitGroup
	for _, h := range all {
		wg.Go(func() {
			if err := b.Lift(t.Context(), leo, h.ID); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	now, err := b.Clip(t.Context(), c.ID)
	if err != nil || now.State != retention.Deleting || now.Holds != 0 {
		t.Errorf("%+v, %v", now, err)
	}
}

// What cannot be logged is neither held nor lifted.
func holdsWithoutALog(t *testing.T, b *books) {
	c := b.put("k1", start, start.Add(time.Minute), retention.Committed)
	h, _ := b.holdOn("K-1", c)
	b.must(b.AskLift(t.Context(), lena, h.ID, "closed"))
	before := b.dump()
	broken := errors.New("the log is away")
	b.breakLog(broken)
	defer b.breakLog(nil)
	cut := retention.Clip{ID: ulid.Make().String(), Start: start.Add(time.Second), End: start.Add(2 * time.Second), ObjectKey: "clips/k1/x"}
	part := retention.PartHeld{Hold: h.ID, Case: "K-1", Clip: c.ID}
	for name, do := range map[string]func() error{
		"hold": func() error {
			_, _, err := b.PlaceHold(t.Context(), lena, retention.Hold{ID: "x", Case: "K-2", Clips: h.Clips}, map[string]retention.SealedKey{c.ID: {}})
			return err
		},
		"ask to lift": func() error { return b.AskLift(t.Context(), lena, h.ID, "again") },
		"lift":        func() error { return b.Lift(t.Context(), leo, h.ID) },
		"extend":      func() error { return b.ExtendHold(t.Context(), lena, h.ID, start.AddDate(1, 0, 0)) },
		"cut":         func() error { return b.ReserveCut(t.Context(), part, cut, []byte("header")) },
		"hold over":   func() error { _, err := b.Claim(t.Context(), c.Deadline, 10); return err },
	} {
		if err := do(); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
		if b.dump() != before {
			t.Errorf("%s changed something", name)
		}
	}
}

// A part of a clip lies on no timeline and in no list of what was recorded; it goes with its hold, due or not.
func partsOfClips(t *testing.T, b *books) {
	ctx := t.Context()
	c := b.put("k1", start, start.Add(time.Minute), retention.Committed)
	h, _ := b.holdOn("K-1", c)
	part := retention.PartHeld{Hold: h.ID, Case: "K-1", Clip: c.ID, From: start.Add(10 * time.Second), To: start.Add(20 * time.Second)}
	if _, err := b.DB.ExecContext(ctx, `UPDATE catalogue_held SET from_us = $1, to_us = $2`, part.From.UnixMicro(), part.To.UnixMicro()); err != nil {
		t.Fatal(err)
	}
	if parts, err := b.ToCut(ctx, retention.PartHeld{}, 10); err != nil || len(parts) != 1 || parts[0] != part {
		t.Fatalf("%+v, %v, want %+v", parts, err, part)
	}
	if parts, err := b.ToCut(ctx, part, 10); err != nil || len(parts) != 0 {
		t.Errorf("behind the last one: %+v, %v", parts, err)
	}
	if parts, err := b.ToCut(ctx, retention.PartHeld{Hold: part.Hold}, 10); err != nil || len(parts) != 1 {
		t.Errorf("in the middle of a hold: %+v, %v", parts, err)
	}
	cut := retention.Clip{ID: ulid.Make().String(), Camera: "k1", Start: part.From, End: part.To, Frames: 25, ObjectKey: "clips/k1/cut", Node: "cutter"}
	b.must(b.ReserveCut(ctx, part, cut, []byte("header")))
	if err := b.ReserveCut(ctx, part, retention.Clip{ID: ulid.Make().String(), ObjectKey: "clips/k1/other"}, []byte("header")); !errors.Is(err, retention.ErrGone) {
		t.Errorf("two cuts of one part: %v", err)
	}
	if parts, err := b.ToCut(ctx, retention.PartHeld{}, 10); err != nil || len(parts) != 0 {
		t.Errorf("%+v, %v", parts, err)
	}
	// It may still be given up: who held it would hold what nobody ends.
	if _, refused := b.holdOn("K-2", cut); len(refused) != 1 || !strings.Contains(refused[0].Reason, "being cut out of "+c.ID) {
		t.Errorf("holding a part that is being cut out: refused %+v", refused)
	}
	cut.Size, cut.PlainSize, cut.SHA256 = 100, 84, [32]byte{1}
	b.must(b.CommitCut(ctx, part, cut))
	if err := b.CommitCut(ctx, part, cut); !errors.Is(err, retention.ErrGone) {
		t.Errorf("twice: %v", err)
	}
	stored, err := b.Clip(ctx, cut.ID)
	b.must(err)
	parent, err := b.Clip(ctx, c.ID)
	b.must(err)
	if stored.State != retention.Committed || stored.Holds != 1 || stored.Parent != c.ID || stored.KeyCase != "K-1" || !stored.Deadline.Equal(c.Deadline) || parent.Holds != 0 {
		t.Errorf("the part %+v of %+v", stored, parent)
	}
	found, err := b.Search(ctx, "k1", start, start.Add(time.Hour), 10, "")
	spans, spansErr := b.Spans(ctx, "k1", start, start.Add(time.Hour))
	cuts, cutsErr := b.Cuts(ctx, "k1", start, start.Add(time.Hour))
	if err := errors.Join(err, spansErr, cutsErr); err != nil || len(found) != 1 || len(spans) != 1 || len(cuts) != 1 || cuts[0].ID != cut.ID {
		t.Errorf("found %d, on the timeline %d, parts %d, %v", len(found), len(spans), len(cuts), err)
	}
	if end, err := b.Covered(ctx, "k1"); err != nil || !end.Equal(c.End) {
		t.Errorf("accounted time ends at %s, %v", end, err)
	}
	b.liftHold(h)
	if stored, err = b.Clip(ctx, cut.ID); err != nil || stored.State != retention.Deleting {
		t.Errorf("before the deadline, without its hold: %+v, %v", stored, err)
	}
	if parent, err = b.Clip(ctx, c.ID); err != nil || parent.State != retention.Committed {
		t.Errorf("and the clip: %+v, %v", parent, err)
	}
}

// The store's legal hold is asked for where a hold and the store disagree, and nowhere else.
func barriers(t *testing.T, b *books) {
	ctx := t.Context()
	c := b.put("k1", start, start.Add(time.Minute), retention.Committed)
	b.put("k2", start, start.Add(time.Minute), retention.Committed)
	check := func(when string, on, off int) {
		t.Helper()
		u, err := b.Unbarred(ctx, "", 10)
		d, err2 := b.Barred(ctx, "", 10)
		if err := errors.Join(err, err2); err != nil || len(u) != on || len(d) != off {
			t.Errorf("%s: %d to set, %d to clear, %v; want %d and %d", when, len(u), len(d), err, on, off)
		}
	}
	check("nothing is held", 0, 0)
	h, _ := b.holdOn("K-1", c)
	check("held", 1, 0)
	if behind, err := b.Unbarred(ctx, c.ID, 10); err != nil || len(behind) != 0 {
		t.Errorf("behind the last one: %v, %v", behind, err)
	}
	b.must(b.SetBarrier(ctx, c.ID, retention.BarrierPerhaps))
	check("perhaps set", 1, 0)
	b.must(b.SetBarrier(ctx, c.ID, retention.BarrierOn))
	check("set", 0, 0)
	b.liftHold(h)
	check("lifted", 0, 1)
	if behind, err := b.Barred(ctx, c.ID, 10); err != nil || len(behind) != 0 {
		t.Errorf("behind the last one: %v, %v", behind, err)
	}
	b.claim(c.Deadline)
	check("claimed", 0, 1)
	b.must(b.SetBarrier(ctx, c.ID, retention.BarrierOff))
	check("cleared", 0, 0)
}

// A hold says of which cameras it is, whether it was placed on clips or on a stretch of time.
func camerasOfHolds(t *testing.T, b *books) {
	var clips []retention.Clip
	for _, cam := range []camera.ID{"k2", "k1", "k1"} {
		clips = append(clips, b.put(cam, start.Add(time.Duration(len(clips))*time.Minute), start.Add(time.Duration(len(clips)+1)*time.Minute), retention.Committed))
	}
	both, _ := b.holdOn("K-1", clips...)
	one, _ := b.holdOn("K-2", clips[0])
	stretch := retention.Hold{ID: ulid.Make().String(), Kind: retention.Evidence, Case: "K-3", Basis: "robbery", Requester: "anna", Approver: lena.Name, Placed: start,
		Review: start.AddDate(0, 1, 0), Camera: "k1", From: clips[1].Start, To: clips[1].End, Clips: []retention.HeldClip{{Clip: clips[1].ID}}}
	_, _, err := b.PlaceHold(t.Context(), lena, stretch, map[string]retention.SealedKey{clips[1].ID: {Header: []byte("header"), FileKey: []byte("sealed")}})
	b.must(err)
	b.liftHold(one) // it was of that camera all the same
	want := map[string][]camera.ID{both.ID: {"k1", "k2"}, one.ID: {"k2"}, stretch.ID: {"k1"}}
	all, err := b.Holds(t.Context(), "", false, 10, "")
	b.must(err)
	for _, h := range all {
		alone, err := b.Hold(t.Context(), h.ID)
		b.must(err)
		if !slices.Equal(h.Cameras, want[h.ID]) || !slices.Equal(alone.Cameras, want[h.ID]) {
			t.Errorf("hold for case %s: %v and %v, want %v", h.Case, h.Cameras, alone.Cameras, want[h.ID])
		}
	}
	if len(all) != len(want) {
		t.Errorf("%d holds", len(all))
	}
}
