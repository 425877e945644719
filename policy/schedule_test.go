package policy_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"

	"klarsyn/policy"
)

func TestParseClockTime(t *testing.T) {
	for text, want := range map[string]policy.ClockTime{
		"00:00": 0, "00:00:01": 1, "06:30": 6*3600 + 30*60, "21:00": 21 * 3600, "21:00:15": 21*3600 + 15,
		"23:59:59": 86399, "24:00": 86400, "24:00:00": 86400,
		"": -1, ":": -1, "6:30": -1, "06:3": -1, "006:30": -1, "0630": -1, "06.30": -1, "06:60": -1, "06:30:60": -1, "24:01": -1,
		"24:00:01": -1, "25:00": -1, "-1:00": -1, "+6:30": -1, "06:30:": -1, "06:30:00:00": -1, " 06:30": -1, "06:30 ": -1,
		"٠٦:30": -1, "06:30+01": -1, "noon": -1,
	} {
		got, err := policy.ParseClockTime(text)
		if want < 0 {
			if err == nil {
				t.Errorf("%q was read as %s", text, got)
			} else if !strings.Contains(err.Error(), "06:30") {
				t.Errorf("%q: error %v says not what to write", text, err)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%q: %d s, error %v, want %d", text, got, err, want)
		}
	}
	for s := policy.ClockTime(0); s <= 86400; s += 5 {
		if again, err := policy.ParseClockTime(s.String()); err != nil || again != s {
			t.Fatalf("%d s are written %s and read as %d, error %v", s, s, again, err)
		}
	}
}

// A schedule is the same in the configuration, in the catalogue and in the log.
func TestScheduleAsText(t *testing.T) {
	const text = `
weekly:
  - {days: [mon, fri], from: 21:00, to: 06:00}
  - {days: [sat], from: "00:00", to: 24:00}
exceptions:
  - {name: Christmas, start: 2026-12-24, rrule: FREQ=YEARLY, from: 00:00:30, to: 24:00}
  - {name: festival, start: 2026-08-15, open: true, from: 10:00, to: 12:00}
`
	want := &policy.Schedule{
		Weekly: []policy.Window{window(t, "mon fri", "21:00–06:00"), window(t, "sat", "00:00–24:00")},
		Exceptions: []policy.Exception{
			closed(t, "Christmas", "2026-12-24", "FREQ=YEARLY", "00:00:30–24:00"),
			open(t, "festival", "2026-08-15", "", "10:00–12:00"),
		},
	}
	var fromYAML, fromJSON policy.Schedule
	if err := yaml.UnmarshalWithOptions([]byte(text), &fromYAML, yaml.Strict()); err != nil || !reflect.DeepEqual(&fromYAML, want) {
		t.Fatalf("%+v, error %v", fromYAML, err)
	}
	written, err := json.Marshal(want)
	if err != nil || !strings.Contains(string(written), `"from":"21:00","to":"06:00"`) {
		t.Fatalf("%s, error %v", written, err)
	}
	if err := json.Unmarshal(written, &fromJSON); err != nil || !reflect.DeepEqual(&fromJSON, want) {
		t.Errorf("%+v, error %v", fromJSON, err)
	}
	for _, wrong := range []string{`{"weekly":[{"from":"9"}]}`, `{"weekly":[{"from":32400}]}`, `{"weekly":[{"to":"24:01"}]}`} {
		if err := json.Unmarshal([]byte(wrong), &policy.Schedule{}); err == nil {
			t.Errorf("%s was read", wrong)
		}
	}
	var none *policy.Schedule
	for s, want := range map[*policy.Schedule]string{
		none: "around the clock", {}: "never", want: "mon,fri 21:00–06:00; sat 00:00–24:00; 2 exceptions",
	} {
		if s.String() != want {
			t.Errorf("%q, want %q", s, want)
		}
	}
}

func TestScheduleFaults(t *testing.T) {
	var none *policy.Schedule
	for _, good := range []*policy.Schedule{
		none, {}, {Weekly: []policy.Window{window(t, "every day", "21:00–06:00")}},
		{Exceptions: []policy.Exception{
			closed(t, "one day", "2026-12-24", "", "00:00–24:00"),
			closed(t, "leap days that are Mondays", "2026-01-01", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", "00:00–24:00"),
			closed(t, "Good Friday", "2026-01-01", "FREQ=YEARLY;BYEASTER=-2", "00:00–24:00"),
			closed(t, "first Mondays", "2026-01-01", "FREQ=MONTHLY;BYDAY=1MO", "00:00–24:00"),
			closed(t, "the last Friday of the year", "2026-01-01", "FREQ=YEARLY;BYDAY=-1FR", "00:00–24:00"),
		}},
	} {
		if f := good.Faults(); len(f) > 0 {
			t.Errorf("%s: %v", good, f)
		}
	}
	for _, c := range []struct {
		field  string
		change func(*policy.Schedule)
	}{
		{"weekly[0].days", func(s *policy.Schedule) { s.Weekly[0].Days = nil }},
		{"weekly[0].days[0]", func(s *policy.Schedule) { s.Weekly[0].Days = []policy.Weekday{"Monday"} }},
		{"weekly[0].days[1]", func(s *policy.Schedule) { s.Weekly[0].Days = []policy.Weekday{"mon", "mon"} }},
		{"weekly[0].from", func(s *policy.Schedule) { s.Weekly[0].From = 86400 }},
		{"weekly[0].to", func(s *policy.Schedule) { s.Weekly[0].To = s.Weekly[0].From }},
		{"exceptions[0].name", func(s *policy.Schedule) { s.Exceptions[0].Name = "" }},
		{"exceptions[0].start", func(s *policy.Schedule) { s.Exceptions[0].Start = "" }},
		{"exceptions[0].start", func(s *policy.Schedule) { s.Exceptions[0].Start = "24 December" }},
		{"exceptions[0].start", func(s *policy.Schedule) { s.Exceptions[0].Start = "2026-02-29" }},
		{"exceptions[0].start", func(s *policy.Schedule) { s.Exceptions[0].Start = "0001-01-01" }}, // which a library takes for today
		{"exceptions[0].from", func(s *policy.Schedule) { s.Exceptions[0].From, s.Exceptions[0].To = 86400, 3600 }},
		{"exceptions[0].to", func(s *policy.Schedule) { s.Exceptions[0].From, s.Exceptions[0].To = 0, 0 }},
	} {
		s := &policy.Schedule{
			Weekly:     []policy.Window{window(t, "mon", "08:00–17:00")},
			Exceptions: []policy.Exception{closed(t, "Christmas", "2026-12-24", "FREQ=YEARLY", "00:00–24:00")},
		}
		c.change(s)
		if f := s.Faults(); len(f) != 1 || f[0].Field != c.field || f[0].What == "" {
			t.Errorf("%v, want one fault of %s", f, c.field)
		}
	}
}

// What the library of recurrence rules would take, and count for ever, fall over, or read as more than was written.
func TestRulesThatAreRefused(t *testing.T) {
	for rule, what := range map[string]string{
		"yearly":                                  "RFC 5545",
		"BYMONTH=12":                              "RFC 5545",
		"FREQ=YEARLY;BYMONTH=13":                  "bymonth",
		"FREQ=YEARLY;BYMONTHDAY=32":               "bymonthday",
		"FREQ=HOURLY":                             "about days",
		"FREQ=SECONDLY;INTERVAL=7":                "about days",
		"FREQ=DAILY;BYHOUR=3":                     "about days",
		"FREQ=DAILY;BYSECOND=3":                   "about days",
		"FREQ=DAILY;DTSTART=20261224T000000Z":     "about days",
		"DTSTART:20261224T000000Z\nFREQ=DAILY":    "about days",
		"FREQ=DAILY;INTERVAL=-1":                  "INTERVAL",
		"FREQ=YEARLY;INTERVAL=9223372036854":      "INTERVAL",
		"FREQ=DAILY;COUNT=-1":                     "COUNT",
		"FREQ=YEARLY;BYEASTER=999":                "BYEASTER",
		"FREQ=YEARLY;BYEASTER=-99":                "BYEASTER",
		"FREQ=MONTHLY;BYDAY=20MO":                 "BYDAY",
		"FREQ=YEARLY;BYMONTH=1;BYDAY=-53MO":       "BYDAY",
		"FREQ=YEARLY;BYDAY=54MO":                  "BYDAY",
		"FREQ=WEEKLY;BYDAY=2MO":                   "BYDAY",
		"FREQ=DAILY;BYDAY=1MO":                    "BYDAY",
		"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30":     "never",
		"FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30":      "never",
		"FREQ=DAILY;UNTIL=20261223":               "never",
		"FREQ=DAILY;" + strings.Repeat("X", 1000): "500 characters",
	} {
		s := &policy.Schedule{Exceptions: []policy.Exception{closed(t, "x", "2026-12-24", rule, "00:00–24:00")}}
		if f := s.Faults(); len(f) != 1 || f[0].Field != "exceptions[0].rrule" || !strings.Contains(f[0].What, what) {
			t.Errorf("%s: %v, want a fault of exceptions[0].rrule that says %q", rule, f, what)
		}
	}
	// Who looks at one all the same sees it closed, and soon.
	s := &policy.Schedule{
		Weekly:     []policy.Window{window(t, "every day", "00:00–24:00")},
		Exceptions: []policy.Exception{open(t, "x", "2026-12-24", "FREQ=MONTHLY;BYDAY=20MO", "00:00–24:00")},
	}
	if got := s.Intervals(at(t, "2026-12-01T00:00:00Z"), at(t, "2026-12-08T00:00:00Z")); len(got) > 0 {
		t.Errorf("a rule that cannot be read opened %v", got)
	}
}

// Times are those of Stockholm. 1 June 2026 is a Monday.
func TestIntervals(t *testing.T) {
	weekly := func(w ...policy.Window) *policy.Schedule { return &policy.Schedule{Weekly: w} }
	always := window(t, "every day", "00:00–24:00")
	except := func(w policy.Window, e ...policy.Exception) *policy.Schedule {
		return &policy.Schedule{Weekly: []policy.Window{w}, Exceptions: e}
	}
	for _, c := range []struct {
		what     string
		schedule *policy.Schedule
		within   string
		want     string // one line per stretch
	}{
		{"no schedule is around the clock", nil, "2026-06-01T00:00/2026-07-01T00:00", "2026-06-01T00:00/2026-07-01T00:00"},
		{"no window is never", weekly(), "2026-06-01T00:00/2026-07-01T00:00", ""},
		{"some days", weekly(window(t, "mon wed", "08:00–17:00")), "2026-06-01T00:00/2026-06-07T00:00",
			"2026-06-01T08:00/2026-06-01T17:00\n2026-06-03T08:00/2026-06-03T17:00"},
		{"the range cuts", weekly(window(t, "mon", "08:00–17:00")), "2026-06-01T09:00/2026-06-01T10:00", "2026-06-01T09:00/2026-06-01T10:00"},
		{"the end of a window is not in it", weekly(window(t, "mon", "08:00–17:00")), "2026-06-01T17:00/2026-06-02T00:00", ""},
		{"the beginning is", weekly(window(t, "mon", "08:00–17:00")), "2026-06-01T00:00/2026-06-01T08:00:01", "2026-06-01T08:00/2026-06-01T08:00:01"},
		{"seconds", weekly(window(t, "mon", "08:00:10–08:00:11")), "2026-06-01T00:00/2026-06-02T00:00", "2026-06-01T08:00:10/2026-06-01T08:00:11"},
		{"over midnight it belongs to the day on which it begins", weekly(window(t, "fri", "22:00–03:00")), "2026-06-01T00:00/2026-06-08T00:00",
			"2026-06-05T22:00/2026-06-06T03:00"},
		{"a night that began before the range", weekly(window(t, "fri", "22:00–03:00")), "2026-06-06T01:00/2026-06-07T00:00", "2026-06-06T01:00/2026-06-06T03:00"},
		{"nearly a day", weekly(window(t, "fri", "12:00–11:59")), "2026-06-06T11:00/2026-06-07T00:00", "2026-06-06T11:00/2026-06-06T11:59"},
		{"until 24:00", weekly(window(t, "fri", "18:00–24:00")), "2026-06-01T00:00/2026-06-08T00:00", "2026-06-05T18:00/2026-06-06T00:00"},
		{"until 00:00 is the same", weekly(window(t, "fri", "18:00–00:00")), "2026-06-01T00:00/2026-06-08T00:00", "2026-06-05T18:00/2026-06-06T00:00"},
		{"a whole day", weekly(window(t, "fri", "00:00–24:00")), "2026-06-01T00:00/2026-06-08T00:00", "2026-06-05T00:00/2026-06-06T00:00"},
		{"whole days are one stretch", weekly(always), "2026-06-01T00:00/2027-06-01T00:00", "2026-06-01T00:00/2027-06-01T00:00"},
		{"what touches at midnight is one stretch", weekly(window(t, "sat", "18:00–24:00"), window(t, "sun", "00:00–06:00")), "2026-06-01T00:00/2026-06-08T00:00",
			"2026-06-06T18:00/2026-06-07T06:00"},
		{"what overlaps is one stretch", weekly(window(t, "mon", "10:00–14:00"), window(t, "mon", "08:00–12:00"), window(t, "mon", "09:00–10:00")), "2026-06-01T00:00/2026-06-08T00:00",
			"2026-06-01T08:00/2026-06-01T14:00"},

		{"closed for a day", except(window(t, "every day", "08:00–17:00"), closed(t, "x", "2026-06-02", "", "00:00–24:00")), "2026-06-01T00:00/2026-06-04T00:00",
			"2026-06-01T08:00/2026-06-01T17:00\n2026-06-03T08:00/2026-06-03T17:00"},
		{"closed for an hour", except(always, closed(t, "x", "2026-06-02", "", "12:00–13:00")), "2026-06-02T00:00/2026-06-03T00:00",
			"2026-06-02T00:00/2026-06-02T12:00\n2026-06-02T13:00/2026-06-03T00:00"},
		{"closed over midnight, from before the range", except(always, closed(t, "x", "2026-06-01", "", "20:00–08:00")), "2026-06-02T00:00/2026-06-03T00:00",
			"2026-06-02T08:00/2026-06-03T00:00"},
		{"a closed day cuts the night that runs into it, and not the rest of the night that began in it", except(window(t, "every day", "21:00–06:00"),
			closed(t, "x", "2026-06-02", "", "00:00–24:00")), "2026-06-01T12:00/2026-06-03T12:00",
			"2026-06-01T21:00/2026-06-02T00:00\n2026-06-03T00:00/2026-06-03T06:00"},
		{"opened on a day without a window", except(window(t, "mon", "08:00–17:00"), open(t, "x", "2026-06-06", "", "10:00–14:00")), "2026-06-01T00:00/2026-06-08T00:00",
			"2026-06-01T08:00/2026-06-01T17:00\n2026-06-06T10:00/2026-06-06T14:00"},
		{"what closes wins over what opens, whichever comes first", except(window(t, "mon", "08:00–17:00"), closed(t, "x", "2026-06-06", "", "12:00–13:00"),
			open(t, "y", "2026-06-06", "", "10:00–14:00"), closed(t, "z", "2026-06-06", "", "10:00–11:00")), "2026-06-06T00:00/2026-06-08T00:00",
			"2026-06-06T11:00/2026-06-06T12:00\n2026-06-06T13:00/2026-06-06T14:00"},

		{"every year", except(window(t, "every day", "12:00–13:00"), closed(t, "Christmas", "2026-12-24", "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24", "00:00–24:00")),
			"2028-12-23T00:00/2028-12-26T00:00", "2028-12-23T12:00/2028-12-23T13:00\n2028-12-25T12:00/2028-12-25T13:00"},
		{"not before its first day", except(window(t, "every day", "12:00–13:00"), closed(t, "Christmas", "2026-12-25", "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24", "00:00–24:00")),
			"2026-12-24T00:00/2026-12-25T00:00", "2026-12-24T12:00/2026-12-24T13:00"},
		{"every week", except(always, closed(t, "market", "2026-06-01", "FREQ=WEEKLY;BYDAY=SA,SU", "08:00–16:00")), "2026-06-05T12:00/2026-06-08T12:00",
			"2026-06-05T12:00/2026-06-06T08:00\n2026-06-06T16:00/2026-06-07T08:00\n2026-06-07T16:00/2026-06-08T12:00"},
		{"every other week", &policy.Schedule{Exceptions: []policy.Exception{open(t, "x", "2026-06-01", "FREQ=WEEKLY;INTERVAL=2", "08:00–16:00")}},
			"2026-06-01T00:00/2026-06-30T00:00", "2026-06-01T08:00/2026-06-01T16:00\n2026-06-15T08:00/2026-06-15T16:00\n2026-06-29T08:00/2026-06-29T16:00"},
		{"every month", &policy.Schedule{Exceptions: []policy.Exception{open(t, "x", "2026-06-01", "FREQ=MONTHLY;BYDAY=1SA", "08:00–16:00")}},
			"2026-06-01T00:00/2026-08-01T00:00", "2026-06-06T08:00/2026-06-06T16:00\n2026-07-04T08:00/2026-07-04T16:00"},
		{"a month without that day has none", &policy.Schedule{Exceptions: []policy.Exception{open(t, "x", "2026-05-31", "FREQ=MONTHLY", "08:00–16:00")}},
			"2026-05-01T00:00/2026-08-01T00:00", "2026-05-31T08:00/2026-05-31T16:00\n2026-07-31T08:00/2026-07-31T16:00"},
		{"so many times", &policy.Schedule{Exceptions: []policy.Exception{open(t, "x", "2026-06-01", "FREQ=DAILY;COUNT=2", "08:00–16:00")}},
			"2026-06-01T00:00/2026-06-08T00:00", "2026-06-01T08:00/2026-06-01T16:00\n2026-06-02T08:00/2026-06-02T16:00"},
		{"the times are counted from the first day, not from where one looks", &policy.Schedule{Exceptions: []policy.Exception{open(t, "x", "2026-06-01", "FREQ=DAILY;COUNT=8", "08:00–16:00")}},
			"2026-06-07T00:00/2026-06-30T00:00", "2026-06-07T08:00/2026-06-07T16:00\n2026-06-08T08:00/2026-06-08T16:00"},
		{"until a day, that day too", &policy.Schedule{Exceptions: []policy.Exception{open(t, "x", "2026-06-01", "FREQ=DAILY;UNTIL=20260602", "08:00–16:00")}},
			"2026-06-01T00:00/2026-06-08T00:00", "2026-06-01T08:00/2026-06-01T16:00\n2026-06-02T08:00/2026-06-02T16:00"},
		{"Easter Sunday 2026 and 2027", &policy.Schedule{Exceptions: []policy.Exception{open(t, "x", "2026-01-01", "FREQ=YEARLY;BYEASTER=0", "08:00–16:00")}},
			"2026-01-01T00:00/2028-01-01T00:00", "2026-04-05T08:00/2026-04-05T16:00\n2027-03-28T08:00/2027-03-28T16:00"},
		{"leap days", &policy.Schedule{Exceptions: []policy.Exception{open(t, "x", "2026-01-01", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "08:00–16:00")}},
			"2026-01-01T00:00/2032-01-01T00:00", "2028-02-29T08:00/2028-02-29T16:00"},
		{"over the end of a year", except(window(t, "every day", "21:00–06:00"), closed(t, "x", "2026-01-01", "FREQ=YEARLY", "00:00–24:00")), "2026-12-31T12:00/2027-01-02T12:00",
			"2026-12-31T21:00/2027-01-01T00:00\n2027-01-02T00:00/2027-01-02T06:00"},
	} {
		if f := c.schedule.Faults(); len(f) > 0 {
			t.Errorf("%s: %v", c.what, f)
		}
		r := local(t, c.within)
		if got := show(c.schedule.Intervals(r.From, r.To)); got != c.want {
			t.Errorf("%s: within %s open\n%s\nwant\n%s", c.what, c.within, got, c.want)
		}
		if got := c.schedule.Intervals(r.To, r.From); len(got) > 0 {
			t.Errorf("%s: open backwards: %v", c.what, got)
		}
		if got := c.schedule.Intervals(r.From, r.From); len(got) > 0 {
			t.Errorf("%s: open for no time: %v", c.what, got)
		}
	}
}

// The nights on which clocks change, each at 01:00 UTC: in spring 02:00 to 03:00 is missing, in autumn it comes twice, from
// 00:00 to 01:00 UTC and again from 01:00 to 02:00.
var springs, autumns = []string{"2026-03-29", "2027-03-28"}, []string{"2026-10-25", "2027-10-31"}

func TestNightsOnWhichClocksChange(t *testing.T) {
	every := func(stretch string, opens bool) policy.Exception {
		e := closed(t, "x", "2026-01-01", "FREQ=DAILY", stretch)
		e.Open = opens
		return e
	}
	for _, c := range []struct {
		what, stretch  string
		spring, autumn string // when it is open, in UTC; what begins after noon begins on the day before
	}{
		{"the night is eight or ten hours", "21:00–06:00", "20:00–04:00", "19:00–05:00"},
		{"within the odd hour: never, or in its second pass", "02:10–02:50", "", "01:10–01:50"},
		{"the odd hour", "02:00–03:00", "", "01:00–02:00"},
		{"its first half", "02:00–02:30", "", "01:00–01:30"},
		{"its second half", "02:30–03:00", "", "01:30–02:00"},
		{"into it: to the jump, or to the first pass", "01:00–02:30", "00:00–01:00", "23:00–00:30"},
		{"over midnight into it", "21:00–02:30", "20:00–01:00", "19:00–00:30"},
		{"out of it: from the jump, or from the second pass", "02:30–06:00", "01:00–04:00", "01:30–05:00"},
		{"up to it", "01:00–02:00", "00:00–01:00", "23:00–00:00"},
		{"up to its end", "01:00–03:00", "00:00–01:00", "23:00–02:00"},
		{"from its beginning", "02:00–04:00", "01:00–02:00", "01:00–03:00"},
		{"from its end", "03:00–04:00", "01:00–02:00", "02:00–03:00"},
		{"just out of it", "02:30–03:30", "01:00–01:30", "01:30–02:30"},
		{"to its last second", "01:00–02:59:59", "00:00–01:00", "23:00–00:59:59"},
		{"far from it", "05:00–06:00", "03:00–04:00", "04:00–05:00"},
	} {
		for _, s := range []*policy.Schedule{
			{Weekly: []policy.Window{window(t, "every day", c.stretch)}},
			{Exceptions: []policy.Exception{every(c.stretch, true)}},
		} {
			for days, want := range map[*[]string]string{&springs: c.spring, &autumns: c.autumn} {
				for _, day := range *days {
					noon := at(t, day+"T12:00:00Z")
					if got := showUTC(s.Intervals(noon.AddDate(0, 0, -1), noon)); got != want {
						t.Errorf("%s: %s on %s is %q, want %q", c.what, c.stretch, day, got, want)
					}
				}
			}
		}
	}
	// What closes takes the other reading: no instant at which a clock shows a closed time is open.
	for _, c := range []struct{ stretch, spring, autumn string }{
		{"21:00–06:00", "20:00–04:00", "19:00–05:00"},
		{"02:10–02:50", "", "00:10–01:50"},
		{"02:00–03:00", "", "00:00–02:00"},
		{"01:00–02:30", "00:00–01:00", "23:00–01:30"},
		{"02:30–06:00", "01:00–04:00", "00:30–05:00"},
		{"02:30–03:30", "01:00–01:30", "00:30–02:30"},
		{"01:00–02:00", "00:00–01:00", "23:00–01:00"}, // until clocks show 02:00 for the last time
		{"03:00–04:00", "01:00–02:00", "02:00–03:00"},
	} {
		s := &policy.Schedule{Weekly: []policy.Window{window(t, "every day", "00:00–24:00")}, Exceptions: []policy.Exception{every(c.stretch, false)}}
		for days, want := range map[*[]string]string{&springs: c.spring, &autumns: c.autumn} {
			for _, day := range *days {
				noon := at(t, day+"T12:00:00Z")
				if got := showUTC(gaps(s.Intervals(noon.AddDate(0, 0, -1), noon))); got != want {
					t.Errorf("%s on %s closes %q, want %q", c.stretch, day, got, want)
				}
			}
		}
	}
}

func TestScheduleState(t *testing.T) {
	nights := &policy.Schedule{Weekly: []policy.Window{window(t, "every day", "21:00–06:00")}}
	var none *policy.Schedule
	for _, c := range []struct {
		schedule         *policy.Schedule
		when             string
		open             bool
		since, until     string
		noSince, noUntil bool // no edge within the eight days of a look
	}{
		{nights, "2026-10-25T02:30:00+02:00", true, "2026-10-24T21:00:00+02:00", "2026-10-25T06:00:00+01:00", false, false},
		{nights, "2026-06-10T21:00:00+02:00", true, "2026-06-10T21:00:00+02:00", "2026-06-11T06:00:00+02:00", false, false},
		{nights, "2026-06-10T20:59:59.999999999+02:00", false, "2026-06-10T06:00:00+02:00", "2026-06-10T21:00:00+02:00", false, false},
		{nights, "2026-06-10T06:00:00+02:00", false, "2026-06-10T06:00:00+02:00", "2026-06-10T21:00:00+02:00", false, false},
		{none, "2026-06-10T06:00:00+02:00", true, "", "", true, true},
		{&policy.Schedule{}, "2026-06-10T06:00:00+02:00", false, "", "", true, true},
		{&policy.Schedule{Exceptions: []policy.Exception{open(t, "x", "2026-06-10", "", "05:00–07:00")}}, "2026-06-10T04:00:00+02:00",
			false, "", "2026-06-10T05:00:00+02:00", true, false},
		{&policy.Schedule{Exceptions: []policy.Exception{open(t, "x", "2026-06-10", "", "05:00–07:00")}}, "2026-06-10T08:00:00+02:00",
			false, "2026-06-10T07:00:00+02:00", "", false, true},
	} {
		when := at(t, c.when)
		wantSince, wantUntil := when.Add(-8*24*time.Hour), when.Add(8*24*time.Hour)
		if !c.noSince {
			wantSince = at(t, c.since)
		}
		if !c.noUntil {
			wantUntil = at(t, c.until)
		}
		opens, since, until := c.schedule.State(when)
		if opens != c.open || !since.Equal(wantSince) || !until.Equal(wantUntil) {
			t.Errorf("%s at %s: open %v from %s to %s, want %v from %s to %s", c.schedule, c.when, opens, since, until, c.open, wantSince, wantUntil)
		}
	}
}

// What Intervals and State say of any schedule around a night on which clocks change.
func TestScheduleHoldsTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, _, near := anySchedule(t)
		if f := s.Faults(); len(f) > 0 {
			t.Fatal(f)
		}
		cuts := []time.Time{nearby(t, near, "a"), nearby(t, near, "b"), nearby(t, near, "c")}
		slices.SortFunc(cuts, time.Time.Compare)
		a, b, c := cuts[0], cuts[1], cuts[2]
		all := s.Intervals(a, c)
		for i, x := range all {
			if !x.From.Before(x.To) || x.From.Before(a) || x.To.After(c) || i > 0 && !all[i-1].To.Before(x.From) {
				t.Fatalf("%s within %s to %s: %v", s, a, c, all)
			}
		}
		if parts := joined(s.Intervals(a, b), s.Intervals(b, c)); show(parts) != show(all) {
			t.Fatalf("%s: cut at %s it is\n%s\nand in one piece\n%s", s, b, show(parts), show(all))
		}
		holds := func(when time.Time) bool {
			return slices.ContainsFunc(all, func(i policy.Interval) bool { return i.Holds(when) })
		}
		for range 10 {
			when := nearby(t, near, "when")
			opens, since, until := s.State(when)
			if since.After(when) || !when.Before(until) {
				t.Fatalf("%s at %s: since %s, until %s", s, when, since, until)
			}
			if !when.Before(a) && when.Before(c) && opens != holds(when) {
				t.Fatalf("%s at %s: open %v, within %v", s, when, opens, all)
			}
			if since.After(when.Add(-look)) {
				if before, _, _ := s.State(since.Add(-1)); before == opens {
					t.Fatalf("%s at %s: %s is no edge", s, when, since)
				}
			}
			if until.Before(when.Add(look)) {
				if after, _, _ := s.State(until); after == opens {
					t.Fatalf("%s at %s: %s is no edge", s, when, until)
				}
			}
			between := since.Add(time.Duration(rapid.Int64Range(0, int64(until.Sub(since))-1).Draw(t, "between")))
			for _, other := range []time.Time{since, between, until.Add(-1)} {
				if same, _, _ := s.State(other); same != opens {
					t.Fatalf("%s at %s: open %v from %s to %s, but not at %s", s, when, opens, since, until, other)
				}
			}
		}
	})
}

// What a clock on the wall says, worked out without the package: an open instant shows a time inside some window, and no
// closed one. Outside the hour that comes twice the converse holds as well.
func TestNoFrameOutsideTheHours(t *testing.T) {
	zone := stockholm(t)
	rapid.Check(t, func(t *rapid.T) {
		s, days, near := anySchedule(t)
		for range 50 {
			when := nearby(t, near, "when")
			opens, _, _ := s.State(when)
			inside, outside := clockSays(s, days, when.In(zone))
			if opens && (!inside || outside) {
				t.Fatalf("%s is open at %s, inside %v, closed %v", s, when.In(zone), inside, outside)
			}
			if !opens && inside && !outside && !twice(when, zone) {
				t.Fatalf("%s is closed at %s, inside of its hours", s, when.In(zone))
			}
		}
	})
}

// clockSays whether the clock at a place shows a time inside some window or open exception, and inside some closed one.
func clockSays(s *policy.Schedule, names []func(day time.Time) bool, at time.Time) (inside, outside bool) {
	if s == nil {
		return true, false
	}
	today := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
	clock := at.Hour()*3600 + at.Minute()*60 + at.Second()
	covers := func(names func(day time.Time) bool, from, to policy.ClockTime) bool {
		f, u := int(from), int(to)
		if f < u {
			return names(today) && f <= clock && clock < u
		}
		return names(today) && f <= clock || names(today.AddDate(0, 0, -1)) && clock < u
	}
	for _, w := range s.Weekly {
		named := func(day time.Time) bool {
			return slices.Contains(w.Days, policy.Weekday(strings.ToLower(day.Weekday().String()[:3])))
		}
		inside = inside || covers(named, w.From, w.To)
	}
	for i, e := range s.Exceptions {
		if covers(names[i], e.From, e.To) {
			inside, outside = inside || e.Open, outside || !e.Open
		}
	}
	return inside, outside
}

// twice reports whether clocks show the time of that instant an hour before or after again.
func twice(at time.Time, zone *time.Location) bool {
	clock := at.In(zone).Format("15:04:05")
	return at.Add(time.Hour).In(zone).Format("15:04:05") == clock || at.Add(-time.Hour).In(zone).Format("15:04:05") == clock
}

// recurrences are rules with what they mean, worked out by hand: n days after the first, is day one of theirs?
var recurrences = []struct {
	rule  string
	holds func(day time.Time, n int) bool
}{
	{"", func(_ time.Time, n int) bool { return n == 0 }},
	{"FREQ=DAILY", func(time.Time, int) bool { return true }},
	{"FREQ=DAILY;INTERVAL=3", func(_ time.Time, n int) bool { return n%3 == 0 }},
	{"FREQ=DAILY;COUNT=5", func(_ time.Time, n int) bool { return n < 5 }},
	{"FREQ=DAILY;UNTIL=20271105", func(day time.Time, _ int) bool {
		return !day.After(time.Date(2027, 11, 5, 0, 0, 0, 0, time.UTC))
	}},
	{"FREQ=WEEKLY;INTERVAL=2", func(_ time.Time, n int) bool { return n%14 == 0 }},
	{"FREQ=WEEKLY;BYDAY=SA,SU", func(day time.Time, _ int) bool { return day.Weekday() == time.Saturday || day.Weekday() == time.Sunday }},
	{"FREQ=MONTHLY;BYMONTHDAY=-1", func(day time.Time, _ int) bool { return day.AddDate(0, 0, 1).Day() == 1 }},
	{"FREQ=MONTHLY;BYDAY=-1SU", func(day time.Time, _ int) bool {
		return day.Weekday() == time.Sunday && day.AddDate(0, 0, 7).Month() != day.Month()
	}},
	{"FREQ=YEARLY;BYMONTH=3,10;BYMONTHDAY=25,28,29,31", func(day time.Time, _ int) bool {
		return (day.Month() == time.March || day.Month() == time.October) && slices.Contains([]int{25, 28, 29, 31}, day.Day())
	}},
}

// anySchedule is a schedule around one of the nights on which clocks change, with what its exceptions mean.
func anySchedule(t *rapid.T) (*policy.Schedule, []func(day time.Time) bool, time.Time) {
	change, err := time.Parse(time.RFC3339, rapid.SampledFrom(slices.Concat(springs, autumns)).Draw(t, "night")+"T01:00:00Z")
	if err != nil {
		t.Fatal(err)
	}
	if rapid.IntRange(0, 19).Draw(t, "around the clock") == 0 {
		return nil, nil, change
	}
	s := &policy.Schedule{}
	for range rapid.IntRange(0, 3).Draw(t, "windows") {
		w := policy.Window{Days: rapid.SliceOfNDistinct(rapid.SampledFrom(weekdays), 1, 7, rapid.ID[policy.Weekday]).Draw(t, "days")}
		w.From, w.To = anyStretch(t)
		s.Weekly = append(s.Weekly, w)
	}
	var names []func(day time.Time) bool
	for range rapid.IntRange(0, 3).Draw(t, "exceptions") {
		r := rapid.SampledFrom(recurrences).Draw(t, "rule")
		first := change.Truncate(24*time.Hour).AddDate(0, 0, rapid.IntRange(-20, 2).Draw(t, "first"))
		e := policy.Exception{Name: "x", Start: first.Format(time.DateOnly), Rule: r.rule, Open: rapid.Bool().Draw(t, "open")}
		e.From, e.To = anyStretch(t)
		s.Exceptions = append(s.Exceptions, e)
		names = append(names, func(day time.Time) bool {
			n := int(day.Sub(first) / (24 * time.Hour))
			return !day.Before(first) && r.holds(day, n)
		})
	}
	return s, names, change
}

var weekdays = []policy.Weekday{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// anyStretch prefers the hour that is missing or comes twice.
func anyStretch(t *rapid.T) (from, to policy.ClockTime) {
	one := func(what string, last int) policy.ClockTime {
		if rapid.Bool().Draw(t, what+" at random") {
			return policy.ClockTime(rapid.IntRange(0, last).Draw(t, what))
		}
		return policy.ClockTime(60 * rapid.SampledFrom([]int{0, 60, 119, 120, 130, 150, 170, 179, 180, 181, 240, 360, 1260}).Draw(t, what))
	}
	from, to = one("from", 86399), one("to", 86400)
	if from == to {
		to = (to + 3600) % 86400
	}
	return from, to
}

// nearby is an instant within a few days of another, more often within hours.
func nearby(t *rapid.T, near time.Time, what string) time.Time {
	if rapid.Bool().Draw(t, what+" on the minute") {
		return near.Add(time.Duration(rapid.IntRange(-30*60, 30*60).Draw(t, what)) * time.Minute)
	}
	span := rapid.SampledFrom([]time.Duration{2 * time.Hour, 30 * time.Hour, 9 * 24 * time.Hour}).Draw(t, what+" within")
	return near.Add(time.Duration(rapid.Int64Range(-int64(span), int64(span)).Draw(t, what)))
}

// look is how far State looks for an edge.
const look = 8 * 24 * time.Hour

// Whatever JSON holds: if it is a schedule without faults, one can look at a week of it.
func FuzzSchedule(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"weekly":[]}`,
		`{"weekly":[{"days":["mon","sun"],"from":"21:00","to":"06:00"}]}`,
		`{"weekly":[{"days":["sun"],"from":"02:10","to":"02:50"},{"days":["sat"],"from":"02:30","to":"02:10:01"}]}`,
		`{"exceptions":[{"name":"x","start":"2026-12-24","rrule":"FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24","from":"00:00","to":"24:00"}]}`,
		`{"exceptions":[{"name":"x","start":"2026-10-25","open":true,"from":"02:10","to":"02:50"}]}`,
		`{"exceptions":[{"name":"x","start":"2000-01-01","rrule":"FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30","from":"02:10","to":"02:50"}]}`,
		`{"exceptions":[{"name":"x","start":"2026-01-31","rrule":"FREQ=MONTHLY;BYDAY=20MO","open":true,"from":"02:10","to":"02:50"}]}`,
		`{"exceptions":[{"name":"x","start":"2026-01-31","rrule":"FREQ=YEARLY;BYEASTER=-2,250;BYSETPOS=-1","open":true,"from":"02:10","to":"02:50"}]}`,
		`{"exceptions":[{"name":"x","start":"9999-12-31","rrule":"FREQ=WEEKLY;INTERVAL=1000;WKST=SU;COUNT=3","open":true,"from":"02:10","to":"02:50"}]}`,
		`{"exceptions":[{"name":"x","start":"2026-10-20","rrule":"FREQ=YEARLY;BYWEEKNO=-1,53,43;BYDAY=SU;BYYEARDAY=298,-1","open":true,"from":"23:00","to":"22:59:59"}]}`,
	} {
		f.Add([]byte(seed))
	}
	from := time.Date(2026, 10, 21, 12, 0, 0, 0, time.UTC)
	to := from.AddDate(0, 0, 7)
	f.Fuzz(func(t *testing.T, text []byte) {
		var s policy.Schedule
		if len(text) > 4096 || json.Unmarshal(text, &s) != nil || len(s.Faults()) > 0 {
			return
		}
		began := time.Now()
		all := s.Intervals(from, to)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: a week took %s", text, took)
		}
		for i, x := range all {
			if !x.From.Before(x.To) || x.From.Before(from) || x.To.After(to) || i > 0 && !all[i-1].To.Before(x.From) {
				t.Fatalf("%s: %v", text, all)
			}
			if i > 100 {
				continue
			}
			if opens, _, _ := s.State(x.From); !opens {
				t.Errorf("%s: closed at %s, within %v", text, x.From, all)
			}
			if opens, _, _ := s.State(x.To); opens && x.To.Before(to) {
				t.Errorf("%s: open at %s, within %v", text, x.To, all)
			}
		}
		written, err := json.Marshal(&s)
		if err != nil {
			t.Fatal(err)
		}
		var again policy.Schedule
		if err := json.Unmarshal(written, &again); err != nil || show(again.Intervals(from, to)) != show(all) {
			t.Errorf("%s became %s, error %v", text, written, err)
		}
	})
}

func window(t testing.TB, days, stretch string) policy.Window {
	t.Helper()
	w := policy.Window{Days: slices.Clone(weekdays)}
	if days != "every day" {
		w.Days = nil
		for d := range strings.FieldsSeq(days) {
			w.Days = append(w.Days, policy.Weekday(d))
		}
	}
	w.From, w.To = clocks(t, stretch)
	return w
}

func closed(t testing.TB, name, start, rule, stretch string) policy.Exception {
	t.Helper()
	e := policy.Exception{Name: name, Start: start, Rule: rule}
	e.From, e.To = clocks(t, stretch)
	return e
}

func open(t testing.TB, name, start, rule, stretch string) policy.Exception {
	t.Helper()
	e := closed(t, name, start, rule, stretch)
	e.Open = true
	return e
}

func clocks(t testing.TB, stretch string) (from, to policy.ClockTime) {
	t.Helper()
	var both [2]policy.ClockTime
	parts := strings.Split(stretch, "–")
	for i, s := range parts {
		c, err := policy.ParseClockTime(s)
		if err != nil {
			t.Fatal(err)
		}
		both[i] = c
	}
	return both[0], both[1]
}

func stockholm(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Stockholm")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// local reads from/to on the clock of Stockholm.
func local(t testing.TB, s string) policy.Interval {
	t.Helper()
	var both [2]time.Time
	for i, part := range strings.Split(s, "/") {
		layout := "2006-01-02T15:04:05"
		instant, err := time.ParseInLocation(layout[:len(part)], part, stockholm(t))
		if err != nil {
			t.Fatal(err)
		}
		both[i] = instant
	}
	return policy.Interval{From: both[0], To: both[1]}
}

// show writes intervals on the clock of Stockholm, one a line, as the tables have them.
func show(all []policy.Interval) string {
	zone, _ := time.LoadLocation("Europe/Stockholm")
	clock := func(t time.Time) string {
		return strings.TrimSuffix(t.In(zone).Format("2006-01-02T15:04:05.999999999"), ":00")
	}
	lines := make([]string, len(all))
	for i, x := range all {
		lines[i] = clock(x.From) + "/" + clock(x.To)
	}
	return strings.Join(lines, "\n")
}

func showUTC(all []policy.Interval) string {
	clock := func(t time.Time) string { return strings.TrimSuffix(t.UTC().Format("15:04:05"), ":00") }
	parts := make([]string, len(all))
	for i, x := range all {
		parts[i] = clock(x.From) + "–" + clock(x.To)
	}
	return strings.Join(parts, ", ")
}

// gaps are the stretches between.
func gaps(all []policy.Interval) []policy.Interval {
	var out []policy.Interval
	for i := 1; i < len(all); i++ {
		out = append(out, policy.Interval{From: all[i-1].To, To: all[i].From})
	}
	return out
}

// joined puts one list behind the other, and what touches together.
func joined(a, b []policy.Interval) []policy.Interval {
	if len(a) > 0 && len(b) > 0 && a[len(a)-1].To.Equal(b[0].From) {
		last := policy.Interval{From: a[len(a)-1].From, To: b[0].To}
		return slices.Concat(a[:len(a)-1], []policy.Interval{last}, b[1:])
	}
	return slices.Concat(a, b)
}
