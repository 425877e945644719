package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
)

const (
	oldHold = "01JD000000000000000000HHHH"
	newHold = "01JD000000000000000000HHHJ"
)

func (w *world) remembered() map[string]retention.Hold {
	if w.held == nil {
		w.held = map[string]retention.Hold{oldHold: {ID: oldHold, Kind: retention.Evidence, Case: "K1", Basis: "robbery", Requester: "anna", Approver: "leo",
			Placed: testNow.Add(-time.Hour), Review: testNow.AddDate(0, 1, 0), LiftAsked: testNow.Add(-time.Minute), LiftAskedBy: "leo",
			Clips: []retention.HeldClip{{Clip: whole}}, Cameras: []camera.ID{"k1"}}}
	}
	return w.held
}

func (w *world) Place(_ context.Context, _ policy.Subject, h retention.Hold) (retention.Hold, []retention.Refusal, error) {
	if w.dbDown {
		return h, nil, errDown
	}
	var refused []retention.Refusal
	var kept []retention.HeldClip
	for _, c := range h.Clips {
		if c.Clip == tombstone {
			refused = append(refused, retention.Refusal{Clip: c.Clip, Reason: "deleted already"})
		} else {
			kept = append(kept, c)
		}
	}
	if h.Camera != "" {
		kept = []retention.HeldClip{{Clip: whole, From: h.From, To: h.To}}
	}
	h.ID, h.Placed, h.Clips, h.Cameras = newHold, testNow, kept, []camera.ID{"k1"}
	if len(kept) > 0 {
		w.remembered()[h.ID] = h
	}
	return h, refused, nil
}

func (w *world) Holds(_ context.Context, _ string, _ bool, limit int, before string) ([]retention.Hold, error) {
	if w.dbDown {
		return nil, errDown
	}
	var found []retention.Hold
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(w.remembered()))) {
		if (before == "" || id < before) && len(found) < limit {
			found = append(found, w.held[id])
		}
	}
	return found, nil
}

func (w *world) Hold(_ context.Context, id string) (retention.Hold, error) {
	h, ok := w.remembered()[id]
	if !ok {
		return h, retention.ErrNoHold
	}
	return h, nil
}

func (w *world) change(id string, f func(h *retention.Hold) error) error {
	h := w.remembered()[id]
	if !h.InForce() {
		return retention.ErrHoldLifted
	}
	if err := f(&h); err != nil {
		return err
	}
	w.held[id] = h
	return nil
}

func (w *world) AskLift(_ context.Context, who policy.Subject, id, reason string) error {
	return w.change(id, func(h *retention.Hold) error {
		h.LiftAsked, h.LiftAskedBy, h.LiftReason = testNow, who.Name, reason
		return nil
	})
}

func (w *world) Lift(_ context.Context, who policy.Subject, id string) error {
	return w.change(id, func(h *retention.Hold) error {
		if h.LiftAskedBy == who.Name {
			return retention.ErrSamePerson
		}
		h.Lifted, h.LiftedBy = testNow, who.Name
		return nil
	})
}

func (w *world) ExtendHold(_ context.Context, _ policy.Subject, id string, review time.Time) error {
	return w.change(id, func(h *retention.Hold) error { h.Review = review; return nil })
}

// holdBodyOf asks to hold clips.
func holdBodyOf(clips ...string) string {
	return fmt.Sprintf(`{"case": "K1", "basis": "robbery at the stairs", "requester": "anna", "review": "2026-12-20T00:00:00Z", "clips": ["%s"]}`, strings.Join(clips, `", "`))
}

func TestHoldSaysWhatIsKeptAndWhatIsNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.InvestigationLead)
	res := b.do("POST", "/api/v1/holds", holdBodyOf(whole, tombstone))
	var h holdBody
	if err := json.Unmarshal(res.body, &h); err != nil || res.status != 201 {
		t.Fatalf("%d %s, %v", res.status, res.body, err)
	}
	if h.ID != newHold || h.Kind != retention.Evidence || h.Approver == "" || len(h.Clips) != 1 || h.Clips[0].Clip != whole || len(h.Refused) != 1 || h.Refused[0].Clip != tombstone {
		t.Errorf("%s", res.body)
	}
	if res := b.do("POST", "/api/v1/holds", holdBodyOf(tombstone)); res.status != 410 || !strings.Contains(string(res.body), "deleted already") {
		t.Errorf("%d %s", res.status, res.body)
	}
}

func TestHoldThatMakesNoSense(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.InvestigationLead)
	who := string(policy.InvestigationLead) // as the world names its accounts
	good := map[string]any{"case": "K1", "basis": "robbery", "requester": "anna", "review": "2026-12-20T00:00:00Z", "clips": []string{whole}}
	stretch := map[string]any{"clips": nil, "camera": "k1", "from": testNow.Add(-time.Hour), "to": testNow}
	for name, tt := range map[string]struct {
		change map[string]any
		status int
		field  string
	}{
		"nothing wrong":           {nil, 201, ""},
		"a stretch of time":       {stretch, 201, ""},
		"an access request":       {map[string]any{"kind": "access-request"}, 201, ""},
		"no such kind":            {map[string]any{"kind": "wish"}, 422, "body.kind"},
		"no case number":          {map[string]any{"case": " "}, 422, "body.case"},
		"no ground":               {map[string]any{"basis": "  "}, 422, "body.basis"},
		"asked for by oneself":    {map[string]any{"requester": strings.ToUpper(who)}, 422, "body.requester"},
		"review in the past":      {map[string]any{"review": testNow}, 422, "body.review"},
		"review in two years":     {map[string]any{"review": testNow.AddDate(2, 0, 0)}, 422, "body.review"},
		"neither clips nor time":  {map[string]any{"clips": nil}, 422, "body.clips"},
		"both":                    {map[string]any{"camera": "k1", "from": testNow.Add(-time.Hour), "to": testNow}, 422, "body.clips"},
		"time without a camera":   {map[string]any{"clips": nil, "from": testNow.Add(-time.Hour), "to": testNow}, 422, "body.from"},
		"time that ends first":    {map[string]any{"clips": nil, "camera": "k1", "from": testNow, "to": testNow.Add(-time.Hour)}, 422, "body.from"},
		"time that is yet to be":  {map[string]any{"clips": nil, "camera": "k1", "from": testNow.Add(-time.Hour), "to": testNow.Add(time.Minute)}, 422, "body.to"},
		"a clip that is not one":  {map[string]any{"clips": []string{"../x"}}, 404, ""},
		"a camera not to be seen": {map[string]any{"clips": nil, "camera": "k9", "from": testNow.Add(-time.Hour), "to": testNow}, 404, ""},
	} {
		asked := map[string]any{}
		for _, m := range []map[string]any{good, tt.change} {
			for k, v := range m {
				asked[k] = v
				if v == nil {
					delete(asked, k)
				}
			}
		}
		body, err := json.Marshal(asked)
		if err != nil {
			t.Fatal(err)
		}
		res := b.do("POST", "/api/v1/holds", string(body))
		if res.status != tt.status || !strings.Contains(string(res.body), tt.field) {
			t.Errorf("%s: %d %s, want %d and %s", name, res.status, res.body, tt.status, tt.field)
		}
	}
}

// Lifting takes a reason from the first, and agreement from another.
func TestLiftingTakesTwoPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.as(policy.InvestigationLead)
	if res := b.do("POST", "/api/v1/holds", holdBodyOf(whole)); res.status != 201 {
		t.Fatalf("%d %s", res.status, res.body)
	}
	path := "/api/v1/holds/" + newHold
	for _, step := range []struct {
		body   string
		status int
	}{{`{}`, 422}, {`{"reason": "case closed"}`, 202}, {`{"reason": "again"}`, 409}} {
		if res := b.do("POST", path+"/lift", step.body); res.status != step.status {
			t.Fatalf("%s: %d %s, want %d", step.body, res.status, res.body, step.status)
		}
	}
	asked := w.held[newHold]
	asked.LiftAskedBy = "somebody else"
	w.held[newHold] = asked
	if res := b.do("POST", path+"/lift", `{}`); res.status != 200 || !strings.Contains(string(res.body), `"lifted"`) {
		t.Errorf("%d %s", res.status, res.body)
	}
	if res := b.do("POST", path+"/extend", `{"review": "2026-12-20T00:00:00Z"}`); res.status != 409 {
		t.Errorf("extending what was lifted: %d %s", res.status, res.body)
	}
	if res := b.do("POST", "/api/v1/holds/"+oldHold+"/extend", `{"review": "2026-12-24T00:00:00Z"}`); res.status != 200 || !w.held[oldHold].Review.Equal(time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%d %s", res.status, res.body)
	}
}

// A hold on footage of a camera that does not exist for who asks does not exist for him either.
func TestHoldOfAHiddenCamera(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.remembered()[newHold] = retention.Hold{ID: newHold, Kind: retention.Evidence, Case: "K2", LiftAsked: testNow, LiftAskedBy: "leo",
		Clips: []retention.HeldClip{{Clip: whole}, {Clip: hidden}}, Cameras: []camera.ID{"k1", "k9"}}
	b := w.as(policy.InvestigationLead)
	for _, request := range []string{"GET /api/v1/holds/" + newHold, "POST /api/v1/holds/" + newHold + "/lift", "POST /api/v1/holds/" + newHold + "/extend"} {
		method, path, _ := strings.Cut(request, " ")
		body := ""
		if method == "POST" {
			body = `{"review": "2026-12-20T00:00:00Z"}`
			if strings.HasSuffix(path, "lift") {
				body = `{}`
			}
		}
		if res := b.do(method, path, body); res.status != 404 || !strings.Contains(string(res.body), "no-such-hold") {
			t.Errorf("%s: %d %s", request, res.status, res.body)
		}
	}
	if h := w.held[newHold]; !h.InForce() {
		t.Error("it was lifted")
	}
	if all := b.holds(""); len(all.Holds) != 1 || all.Holds[0].ID != oldHold || all.Next != "" {
		t.Errorf("the list has %+v", all)
	}
}

// Pages are full of what may be seen: neither their length nor where the next one begins tells of what may not.
func TestPagesOfHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var want []string
	for n := range 30 {
		h := retention.Hold{ID: fmt.Sprintf("01JD00000000000000000000%02d", n), Case: "K1", Cameras: []camera.ID{"k1"}}
		if n%5 != 3 { // most of them, whole pages in a row
			h.Cameras = []camera.ID{"k9"}
		} else {
			want = append(want, h.ID)
		}
		w.remembered()[h.ID] = h
	}
	delete(w.held, oldHold)
	slices.Reverse(want)
	for _, limit := range []int{1, 2, 3, 5, 6, 7, 100} {
		var got []string
		before := ""
		for {
			page := w.as(policy.Auditor).holds(fmt.Sprintf("?limit=%d%s", limit, before))
			for _, h := range page.Holds {
				got = append(got, h.ID)
			}
			if page.Next == "" {
				break
			}
			if len(page.Holds) != limit || page.Next != got[len(got)-1] {
				t.Errorf("by %d: a page of %d goes on behind %s", limit, len(page.Holds), page.Next)
			}
			before = "&before=" + page.Next
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %d: %v, want %v", limit, got, want)
		}
	}
}

// What is held of a camera that is not described any more is seen, and can be lifted: else it would be kept for ever.
func TestHoldOfACameraThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.remembered()[newHold] = retention.Hold{ID: newHold, Kind: retention.Evidence, Case: "K2", LiftAsked: testNow, LiftAskedBy: "leo",
		Camera: "k7", Cameras: []camera.ID{"k7"}}
	b := w.as(policy.InvestigationLead)
	if all := b.holds(""); len(all.Holds) != 2 {
		t.Errorf("the list has %+v", all)
	}
	if res := b.do("POST", "/api/v1/holds/"+newHold+"/lift", `{}`); res.status != 200 {
		t.Errorf("%d %s", res.status, res.body)
	}
}

type holdPage struct {
	Holds []holdBody `json:"holds"`
	Next  string     `json:"next"`
}

func (b *browser) holds(query string) holdPage {
	b.w.t.Helper()
	res := b.get("/api/v1/holds" + query)
	var page holdPage
	if err := json.Unmarshal(res.body, &page); err != nil || res.status != 200 {
		b.w.t.Fatalf("%d %s, %v", res.status, res.body, err)
	}
	return page
}
