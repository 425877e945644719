package catalogue_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
)

func searchPages(t *testing.T, b *books) {
	ctx := t.Context()
	var want []string
	for i := range 23 {
		state := []retention.State{retention.Committed, retention.Partial, "", retention.Lost}[i%4]
		want = append(want, b.put("k1", at(float64(5*i)), at(float64(5*i+5)), state).ID)
	}
	b.put("k2", at(0), at(5), retention.Committed)
	var got []string
	after, pages := "", 0
	for {
		page, err := b.Search(ctx, "k1", at(0), at(1000), 10, after)
		b.must(err)
		if len(page) == 0 {
			break
		}
		pages++
		for _, c := range page {
			got = append(got, c.ID)
		}
		after = got[len(got)-1]
	}
	if !slices.Equal(got, want) || pages != 3 {
		t.Errorf("%d clips on %d pages, want %d in order", len(got), pages, len(want))
	}
	for name, c := range map[string]struct {
		from, to float64
		want     int
	}{
		"touching at the end only":       {115, 200, 0},
		"touching at the beginning only": {-10, 0, 0},
		"a moment within":                {7, 7.5, 1},
		"two that meet":                  {4, 6, 2},
		"no time at all":                 {7, 7, 1},
	} {
		page, err := b.Search(ctx, "k1", at(c.from), at(c.to), 100, "")
		if err != nil || len(page) != c.want {
			t.Errorf("%s: %d clips, %v, want %d", name, len(page), err, c.want)
		}
	}
	// A clip that is being written is found, one that was claimed is not.
	b.put("k1", at(500), time.Time{}, "")
	if page, err := b.Search(ctx, "k1", at(900), at(901), 10, ""); err != nil || len(page) != 1 {
		t.Errorf("an open clip: %d, %v", len(page), err)
	}
	b.claim(at(3600))
	if page, err := b.Search(ctx, "k1", at(0), at(5), 10, ""); err != nil || len(page) != 0 {
		t.Errorf("a clip that is being deleted was listed: %v", err)
	}
}

func deletionsPage(t *testing.T, b *books) {
	ctx := t.Context()
	var want []string
	for i := range 23 {
		c := b.put([]camera.ID{"k1", "k2"}[i%2], at(float64(5*i)), at(float64(5*i+5)), retention.Committed)
		b.claim(c.Deadline)
		// Several are proved gone at the same moment.
		b.must(b.bury(c, at(4000+float64(i/4)), 2))
		want = append(want, c.ID)
	}
	var got []string
	after := ""
	for {
		page, err := b.Deletions(ctx, "", at(0), at(10000), 5, after)
		b.must(err)
		if len(page) == 0 {
			break
		}
		for _, p := range page {
			got = append(got, p.Clip)
		}
		after = got[len(got)-1]
	}
	slices.Reverse(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d deletions, want %d, the newest first", len(got), len(want))
	}
	page, err := b.Deletions(ctx, "k2", at(4001), at(4002), 100, "")
	b.must(err)
	if len(page) != 2 {
		t.Fatalf("%d deletions of k2 within the second, want 2", len(page))
	}
	p := page[0]
	if p.Camera != "k2" || p.Permit != "plattan" || p.PermitVersion != 3 || p.To.Sub(p.From) != 5*time.Second || p.Versions != 2 || p.Listed != 0 ||
		p.SHA256 != [32]byte{1, 2, 3} || !p.Deadline.Equal(p.From.Add(time.Hour)) || !p.ShreddedAt.Equal(p.Deadline) || !p.DeletedAt.Equal(at(4001)) ||
		p.Lag() != p.DeletedAt.Sub(p.Deadline) {
		t.Errorf("proof %+v", p)
	}
}

func somePermit(t testing.TB, version int) policy.Permit {
	t.Helper()
	days, err := policy.ParsePeriod("P3D")
	if err != nil {
		t.Fatal(err)
	}
	return policy.Permit{
		ID: "plattan", Version: version, Regime: policy.Municipal, Basis: policy.Assessment, Cameras: []string{"k1", "k2"}, ValidFrom: start,
		Retention: days, Purposes: []string{policy.CrimeInvestigation}, MinCell: 5,
	}
}

func permitsNeverChange(t *testing.T, b *books) {
	ctx, p := t.Context(), somePermit(t, 4)
	b.breakLog(errors.New("broken"))
	if err := b.Activate(ctx, p); err == nil {
		t.Error("a permit was activated without a log entry")
	}
	if _, ok, err := b.Permit(ctx, p.ID, 4); ok || err != nil {
		t.Errorf("it is there: %v, %v", ok, err)
	}
	b.breakLog(nil)
	entries := b.entries()
	for range 2 {
		b.must(b.Activate(ctx, p))
	}
	b.must(b.Activate(ctx, somePermit(t, 5)))
	if n := b.entries() - entries; n != 2 {
		t.Errorf("%d log entries for two versions", n)
	}
	have, ok, err := b.Permit(ctx, p.ID, 4)
	if err != nil || !ok || fmt.Sprint(have) != fmt.Sprint(p) {
		t.Errorf("activated %+v\n     have %+v, %v", p, have, err)
	}
	longer, err := policy.ParsePeriod("P30D")
	b.must(err)
	for name, change := range map[string]func(*policy.Permit){
		"a longer retention": func(p *policy.Permit) { p.Retention = longer },
		"another camera":     func(p *policy.Permit) { p.Cameras = append(slices.Clone(p.Cameras), "k3") },
		"a longer validity":  func(p *policy.Permit) { p.ValidFrom = p.ValidFrom.Add(-time.Hour) },
	} {
		changed := p
		change(&changed)
		if err := b.Activate(ctx, changed); !errors.Is(err, catalogue.ErrPermitChanged) {
			t.Errorf("%s under the same version: %v", name, err)
		}
	}
	if n := b.entries() - entries; n != 2 {
		t.Errorf("%d log entries after refused changes", n)
	}
}

func recipients(t *testing.T, b *books) {
	ctx, day := t.Context(), "2026-11-20"
	check := func(want string, entries int64, do func() error) {
		t.Helper()
		before := b.entries()
		b.must(do())
		if n := b.entries() - before; n != entries {
			t.Errorf("%d log entries, want %d", n, entries)
		}
		r, err := b.Recipient(ctx, "plattan", day)
		if r != want || (err == nil) != (want != "") {
			t.Errorf("recipient %q, %v, want %q", r, err, want)
		}
	}
	publish := func(r string) func() error {
		return func() error { return b.PublishRecipient(ctx, "plattan", day, r) }
	}
	withdraw := func() error { return b.WithdrawRecipient(ctx, "plattan", day) }
	check("age1a", 1, publish("age1a"))
	check("age1a", 0, publish("age1a"))
	// The key store was lost and made anew: what is sealed to the old one, nobody can open.
	check("age1b", 1, publish("age1b"))
	check("", 1, withdraw)
	check("", 0, withdraw)
	if _, err := b.Recipient(ctx, "plattan", day); err == nil || !strings.Contains(err.Error(), "klarsyn retain") {
		t.Errorf("the error does not say who makes keys: %v", err)
	}
	before := b.dump()
	b.breakLog(errors.New("broken"))
	if publish("age1c")() == nil || b.dump() != before {
		t.Error("a recipient was published without a log entry")
	}
	b.breakLog(nil)

	c := newClip("k1", start)
	for _, step := range []struct {
		want bool
		do   func()
	}{
		{false, func() {}},
		{true, func() { c = b.put("k1", start, start.Add(time.Second), retention.Committed) }},
		{true, func() { b.claim(c.Deadline) }},
		{false, func() { b.must(b.bury(c, c.Deadline, 1)) }},
	} {
		step.do()
		if needed, err := b.KeyNeeded(ctx, "plattan", day); needed != step.want || err != nil {
			t.Errorf("needed %v, %v, want %v", needed, err, step.want)
		}
	}
}
