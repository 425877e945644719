package policy_test

import (
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"klarsyn/policy"
)

// Clocks in Stockholm change at 01:00 UTC on 29 March and 25 October 2026, 28 March and 31 October 2027.
func TestUntil(t *testing.T) {
	for _, c := range []struct{ what, start, retention, want string }{
		{"hours are hours", "2026-11-20T12:00:00Z", "PT72H", "2026-11-23T12:00:00Z"},
		{"hours over the autumn night", "2026-10-24T12:00:00Z", "PT72H", "2026-10-27T12:00:00Z"},
		{"days over the autumn night", "2026-10-24T12:00:00Z", "P3D", "2026-10-27T13:00:00Z"},
		{"days over the spring night", "2026-03-28T12:00:00Z", "P3D", "2026-03-31T11:00:00Z"},
		{"days are counted in Stockholm", "2026-11-20T23:30:00Z", "P1D", "2026-11-21T23:30:00Z"},
		{"fractions stay", "2026-11-20T12:00:00.123456Z", "P2M", "2027-01-20T12:00:00.123456Z"},
		{"two months", "2026-11-20T12:00:00Z", "P2M", "2027-01-20T12:00:00Z"},
		{"half a year, winter to summer", "2026-12-15T12:00:00Z", "P6M", "2027-06-15T11:00:00Z"},
		{"month end, 31 August", "2026-08-31T12:00:00Z", "P6M", "2027-02-28T13:00:00Z"},
		{"month end in a leap year", "2027-08-31T12:00:00Z", "P6M", "2028-02-29T13:00:00Z"},
		{"earlier day with the same last day", "2026-08-30T12:00:00Z", "P6M", "2027-02-27T23:00:00Z"},
		{"the last day itself, but not of its month", "2026-08-28T12:00:00Z", "P6M", "2027-02-27T23:00:00Z"},
		{"the day before it is ordinary", "2026-08-27T12:00:00Z", "P6M", "2027-02-27T13:00:00Z"},
		{"leap day", "2028-02-29T12:00:00Z", "P1Y", "2029-02-28T12:00:00Z"},
		{"last of February to March is not the end", "2027-02-28T12:00:00Z", "P1M", "2027-03-28T11:00:00Z"},
		{"UTC day and Stockholm day differ", "2026-08-30T22:30:00Z", "P6M", "2027-02-27T23:30:00Z"},
		{"due in the missing hour: the jump", "2026-03-28T01:30:00Z", "P1D", "2026-03-29T01:00:00Z"},
		{"due just before the missing hour", "2026-03-28T00:59:00Z", "P1D", "2026-03-29T00:59:00Z"},
		{"due just after the missing hour", "2026-03-28T02:00:00Z", "P1D", "2026-03-29T01:00:00Z"},
		{"due in the doubled hour: the first", "2026-10-24T00:30:00Z", "P1D", "2026-10-25T00:30:00Z"},
		{"due after the doubled hour", "2026-10-24T01:00:00Z", "P1D", "2026-10-25T02:00:00Z"},
		{"begun in the first doubled hour", "2026-10-25T00:30:00Z", "P1D", "2026-10-26T01:00:00Z"},
		{"begun in the second doubled hour", "2026-10-25T01:30:00Z", "P1D", "2026-10-26T01:30:00Z"},
		{"hours from the doubled hour", "2026-10-25T00:30:00Z", "PT24H", "2026-10-26T00:30:00Z"},
		{"doubled hour on a month's last day", "2027-10-31T00:30:00Z", "P1M", "2027-11-30T01:00:00Z"},
		{"clock time after the calendar", "2026-10-24T00:30:00Z", "P1DT1H", "2026-10-25T01:30:00Z"},
		{"another zone is the same instant", "2026-11-20T13:00:00+01:00", "P3D", "2026-11-23T12:00:00Z"},
	} {
		got := policy.Permit{Retention: period(t, c.retention)}.Until(at(t, c.start))
		if !got.Equal(at(t, c.want)) || got.Location() != time.UTC {
			t.Errorf("%s: %s + %s = %s, want %s", c.what, c.start, c.retention, got.Format(time.RFC3339Nano), c.want)
		}
	}
}

// Older footage never outlives newer footage, whatever the calendar does between them.
func TestUntilIsMonotonic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policy.Permit{Retention: anyPeriod(t)}
		start := anyInstant(t)
		later := start.Add(time.Duration(rapid.Int64Range(0, int64(40*24*time.Hour)).Draw(t, "gap")))
		if a, b := p.Until(start), p.Until(later); b.Before(a) {
			t.Fatalf("%s + %s = %s, but %s + %s = %s", start, p.Retention, a, later, p.Retention, b)
		}
	})
}

// Every minute of four years, because the odd hours are rare: the order holds, nothing ends before it
// begins, and no deadline is later than the calendar's own reading.
func TestUntilMinuteByMinute(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Stockholm")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text                string
		years, months, days int
	}{{"P1D", 0, 0, 1}, {"P3D", 0, 0, 3}, {"P1M", 0, 1, 0}, {"P6M", 0, 6, 0}, {"P1Y", 1, 0, 0}} {
		p := period(t, c.text)
		var last time.Time
		for start := at(t, "2026-01-01T00:00:00Z"); start.Year() < 2030; start = start.Add(10 * time.Minute) {
			until := p.After(start)
			if until.Before(last) || !until.After(start) {
				t.Fatalf("%s + %s = %s, before it was %s", start, p, until, last)
			}
			last = until
			local := start.In(zone)
			if next := local.AddDate(c.years, c.months, c.days+1); until.After(next) {
				t.Fatalf("%s + %s = %s, a day too late", start, p, until)
			}
		}
	}
}

// One clock of the year is doubled or missing; elsewhere a day later shows the same time on the clock.
func TestADayLaterShowsTheSameClock(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Stockholm")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		start := anyInstant(t).In(zone)
		days := rapid.IntRange(1, 400).Draw(t, "days")
		p, err := policy.ParsePeriod("P" + strconv.Itoa(days) + "D")
		if err != nil {
			t.Fatal(err)
		}
		got := p.After(start).In(zone)
		odd := func(l time.Time) bool { return l.Hour() == 2 || l.Hour() == 3 }
		if !odd(start) && got.Format("15:04:05") != start.Format("15:04:05") {
			t.Fatalf("%s + %s = %s", start, p, got)
		}
	})
}

func at(t testing.TB, s string) time.Time {
	t.Helper()
	instant, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return instant
}

// anyInstant prefers the nights on which clocks change and the ends of months.
func anyInstant(t *rapid.T) time.Time {
	anchors := []time.Time{
		time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC), time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC),
		time.Date(2027, 3, 28, 1, 0, 0, 0, time.UTC), time.Date(2027, 10, 31, 1, 0, 0, 0, time.UTC),
		time.Date(2028, 2, 29, 12, 0, 0, 0, time.UTC), time.Date(2026, 8, 31, 12, 0, 0, 0, time.UTC),
		time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC), time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC),
	}
	spread := rapid.SampledFrom([]time.Duration{2 * time.Hour, 3 * 24 * time.Hour, 400 * 24 * time.Hour}).Draw(t, "spread")
	return rapid.SampledFrom(anchors).Draw(t, "anchor").Add(time.Duration(rapid.Int64Range(-int64(spread), int64(spread)).Draw(t, "offset")))
}
