package timeline_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"klarsyn/retention/timeline"
)

func at(s int) time.Time {
	if s < 0 {
		return time.Time{}
	}
	return time.Unix(int64(1_800_000_000+s), 0).UTC()
}

func TestCheck(t *testing.T) {
	type span struct{ from, to int } // -1: open
	for name, c := range map[string]struct {
		spans []span
		want  int
	}{
		"nothing":                   {nil, 0},
		"one open clip":             {[]span{{0, -1}}, 0},
		"clips end to end":          {[]span{{0, 5}, {5, 10}, {10, 15}}, 0},
		"in any order":              {[]span{{10, 15}, {0, 5}, {5, 10}}, 0},
		"last one open":             {[]span{{0, 5}, {5, -1}}, 0},
		"a hole":                    {[]span{{0, 5}, {6, 10}}, 1},
		"an overlap":                {[]span{{0, 5}, {4, 10}}, 1},
		"one inside another":        {[]span{{0, 10}, {2, 3}, {10, 12}}, 1},
		"an open one in the middle": {[]span{{0, -1}, {5, 10}}, 1},
		"ends before it begins":     {[]span{{5, 3}}, 1},
		"one of no time":            {[]span{{0, 5}, {5, 5}, {5, 10}}, 0},
		"one of no time, as listed": {[]span{{0, 5}, {5, 10}, {5, 5}}, 0},
		"one of no time, then open": {[]span{{0, 5}, {5, -1}, {5, 5}}, 0},
		"two open ones":             {[]span{{0, -1}, {0, -1}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var spans []timeline.Span
			for _, s := range c.spans {
				spans = append(spans, timeline.Span{From: at(s.from), To: at(s.to), Name: "span"})
			}
			if got := timeline.Check(spans); len(got) != c.want {
				t.Errorf("%d faults, want %d: %v", len(got), c.want, got)
			}
		})
	}
}

// Spans cut from one stretch tile it, in any order; taking an inner one out leaves one fault.
func TestCutStretchTiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lengths := rapid.SliceOfN(rapid.IntRange(1, 1000), 3, 30).Draw(t, "lengths")
		var spans []timeline.Span
		pos := 0
		for _, l := range lengths {
			spans = append(spans, timeline.Span{From: at(pos), To: at(pos + l), Name: "span"})
			pos += l
		}
		shuffled := rapid.Permutation(spans).Draw(t, "order")
		if got := timeline.Check(shuffled); len(got) != 0 {
			t.Fatalf("faults: %v", got)
		}
		out := rapid.IntRange(1, len(spans)-2).Draw(t, "out")
		holed := append(append([]timeline.Span{}, spans[:out]...), spans[out+1:]...)
		if got := timeline.Check(holed); len(got) != 1 {
			t.Fatalf("a hole gave %d faults: %v", len(got), got)
		}
	})
}
