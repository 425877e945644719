package timeline_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/timeline"
)

var noon = time.Date(2026, 11, 20, 11, 0, 0, 0, time.UTC) // 12:00 in Stockholm

func second(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

// nights permits k1 from 12:00:10 to 12:01:40 each day, and was in force from noon on.
func nights(t testing.TB) *policy.Permits {
	t.Helper()
	hour, err := policy.ParsePeriod("PT1H")
	if err != nil {
		t.Fatal(err)
	}
	p := policy.Permit{
		ID: "plattan", Version: 1, Regime: policy.Municipal, Basis: policy.Assessment, Cameras: []string{"k1"}, ValidFrom: noon.AddDate(0, -1, 0),
		Retention: hour, Purposes: []string{policy.CrimeInvestigation},
		Schedule: &policy.Schedule{Weekly: []policy.Window{{Days: []policy.Weekday{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}, From: 12*3600 + 10, To: 12*3600 + 100}}},
	}
	set, err := policy.PermitsOf([]policy.Version{{Permit: p, Steps: []policy.Step{{State: policy.Active, At: noon}}}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func clipOf(id string, from, to int, state retention.State) retention.Clip {
	c := retention.Clip{ID: id, Camera: "k1", Permit: "plattan", PermitVersion: 1, Start: second(from), State: state, Deadline: second(from + 3600)}
	if to > 0 {
		c.End = second(to)
	}
	return c
}

func gapOf(from, to int, cause camera.Cause, detail string) retention.Gap {
	g := retention.Gap{Gap: camera.Gap{Camera: "k1", From: second(from), Cause: cause, Detail: detail}}
	if to > 0 {
		g.To = second(to)
	}
	return g
}

func TestEverySecondHasItsCause(t *testing.T) {
	gone := clipOf("gone", 20, 30, retention.Deleted)
	gone.DeletedAt, gone.Rule = second(95), "plattan@2"
	past := timeline.Past{
		Camera: "k1", Permits: nights(t), Now: second(120),
		Clips: []retention.Clip{gone, clipOf("a", 30, 40, retention.Committed), clipOf("lost", 40, 45, retention.Lost), clipOf("b", 60, 70, retention.Partial)},
		Gaps: []retention.Gap{gapOf(45, 50, camera.CameraDown, "no route"), gapOf(50, 60, camera.OurFault, retention.Unaccounted),
			gapOf(70, 90, camera.OurFault, "disk full")},
	}
	want := []string{
		"0-10 not-permitted schedule", // nothing is written down: the permit says it
		"10-20 our-fault ",            // it was permitted, and nobody recorded
		"20-30 deleted  plattan@2",
		"30-40 recorded  retention",
		"40-45 our-fault ",
		"45-50 camera-down ",
		"50-60 our-fault ",
		"60-70 recorded  retention",
		"70-90 our-fault ",
		"90-100 our-fault ",
		"100-120 not-permitted schedule", // to now: the future has no cause
	}
	var got []string
	for _, s := range timeline.Compose(past, second(0), at(1000)) {
		got = append(got, fmt.Sprintf("%g-%g %s %s%s", s.From.Sub(noon).Seconds(), s.To.Sub(noon).Seconds(), s.Cause, s.Clause, with(s.Rule)))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the timeline is\n%q, want\n%q", got, want)
	}
}

func with(rule string) string {
	if rule == "" {
		return ""
	}
	return " " + rule
}

// What is being recorded reaches to now; before a permit was in force nothing was permitted.
func TestTheEndsOfATimeline(t *testing.T) {
	past := timeline.Past{Camera: "k1", Permits: nights(t), Now: second(50), Clips: []retention.Clip{clipOf("open", 20, 0, retention.Pending)}}
	got := timeline.Compose(past, second(-30), at(60))
	last := got[len(got)-1]
	if last.Cause != timeline.Recorded || last.Clip != "open" || !last.To.Equal(second(50)) {
		t.Errorf("the open clip is %+v", last)
	}
	if got[0].Cause != policy.CauseNotPermitted || got[0].Clause != policy.ClauseState || !got[0].To.Equal(second(0)) {
		t.Errorf("before the permit was in force: %+v", got[0])
	}
	if none := timeline.Compose(timeline.Past{Camera: "k9", Permits: nights(t), Now: second(50)}, second(0), at(10)); len(none) != 1 || none[0].Clause != policy.ClauseNone {
		t.Errorf("a camera that no permit names: %+v", none)
	}
}

// Whatever rows there are, also ones that overlap or leave holes, the stretches tile the range: no hole, no overlap, one cause each.
func TestStretchesTile(t *testing.T) {
	permits := nights(t)
	rapid.Check(t, func(rt *rapid.T) {
		past := timeline.Past{Camera: "k1", Permits: permits, Now: second(rapid.IntRange(-50, 200).Draw(rt, "now"))}
		for i := range rapid.IntRange(0, 8).Draw(rt, "rows") {
			from := rapid.IntRange(-60, 180).Draw(rt, "from")
			to := from + rapid.IntRange(0, 60).Draw(rt, "length")
			if rapid.Bool().Draw(rt, "clip") {
				state := rapid.SampledFrom([]retention.State{retention.Pending, retention.Committed, retention.Partial, retention.Lost, retention.Deleting, retention.Deleted}).Draw(rt, "state")
				past.Clips = append(past.Clips, clipOf(fmt.Sprint(i), from, to, state))
			} else {
				cause := rapid.SampledFrom([]camera.Cause{camera.NotPermitted, camera.Suspended, camera.MaskFailed, camera.CameraDown, camera.OurFault}).Draw(rt, "cause")
				past.Gaps = append(past.Gaps, gapOf(from, to, cause, rapid.SampledFrom([]string{"", retention.Unaccounted}).Draw(rt, "detail")))
			}
		}
		from, to := second(rapid.IntRange(-100, 200).Draw(rt, "asked from")), at(rapid.IntRange(-100, 300).Draw(rt, "asked to"))
		end := to
		if past.Now.Before(end) {
			end = past.Now
		}
		reached := from
		for _, s := range timeline.Compose(past, from, to) {
			if !s.From.Equal(reached) || !s.To.After(s.From) || s.Cause == "" {
				rt.Fatalf("after %s comes %+v", reached, s)
			}
			reached = s.To
		}
		if from.Before(end) && !reached.Equal(end) || !from.Before(end) && !reached.Equal(from) {
			rt.Fatalf("the stretches reach to %s, want %s", reached, end)
		}
	})
}

// What a case keeps past its deadline is held, also where only a part of a clip is: the rest of it is gone.
func TestHeldIsTold(t *testing.T) {
	held := clipOf("held", 10, 20, retention.Committed)
	held.Holds, held.Cased = 1, second(3700)
	gone := clipOf("gone", 20, 40, retention.Deleted)
	gone.DeletedAt = second(3700)
	part := func(id string, from, to int) retention.Clip {
		c := clipOf(id, from, to, retention.Committed)
		c.Parent, c.Holds, c.KeyCase = "gone", 1, "K-1"
		return c
	}
	lifted := part("lifted", 38, 40)
	lifted.Holds = 0
	past := timeline.Past{Camera: "k1", Permits: nights(t), Now: second(4000), Clips: []retention.Clip{held, gone},
		Cuts: []retention.Clip{part("first", 20, 24), part("second", 30, 35), lifted}}
	var got []string
	at := second(10)
	for _, s := range timeline.Compose(past, second(10), second(40)) {
		if !s.From.Equal(at) {
			t.Errorf("%s begins at %s, want %s", s.Cause, s.From, at)
		}
		at = s.To
		got = append(got, fmt.Sprintf("%s %s %g", s.Cause, s.Clip, s.To.Sub(s.From).Seconds()))
	}
	want := []string{"held held 10", "held first 4", "deleted gone 6", "held second 5", "deleted gone 5"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
