package policy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Period is an ISO 8601 duration. Calendar parts and clock time are kept apart, because P3D, PT72H and
// P2M are three different promises: a day may have 23 or 25 hours, a month 28 to 31 days. The zero
// value is no time at all. Weeks are kept as seven days.
type Period struct {
	years, months, days int
	clock               time.Duration
}

// ErrBadPeriod says that a text is not a period.
var ErrBadPeriod = errors.New(`not an ISO 8601 duration: want for example "P2M", "P3D" or "PT72H"`)

// The bounds keep every sum of an instant and a period inside what time.Duration and a calendar can hold.
const (
	maxPeriodText = 64
	maxYears      = 100
	maxMonths     = 100 * 12
	maxDays       = 100 * 366
	maxClock      = maxDays * 24 * time.Hour
)

// ParsePeriod reads an ISO 8601 duration: whole numbers, except that seconds may have up to six
// decimals; parts in order, each at most once; weeks alone. It refuses signs, lower case and blanks.
func ParsePeriod(s string) (Period, error) {
	p, err := parsePeriod(s)
	if err != nil {
		if len(s) > maxPeriodText {
			s = s[:maxPeriodText]
		}
		return Period{}, fmt.Errorf("period %q: %w", s, err)
	}
	return p, nil
}

func parsePeriod(s string) (Period, error) {
	rest, ok := strings.CutPrefix(s, "P")
	if !ok || rest == "" || len(s) > maxPeriodText {
		return Period{}, ErrBadPeriod
	}
	if weeks, ok := strings.CutSuffix(rest, "W"); ok {
		n, err := number(weeks, maxDays/7)
		return Period{days: 7 * n}, err
	}
	date, clock, timed := strings.Cut(rest, "T")
	if timed && clock == "" {
		return Period{}, ErrBadPeriod
	}
	var p Period
	for _, part := range []struct {
		unit string
		max  int
		into *int
	}{{"Y", maxYears, &p.years}, {"M", maxMonths, &p.months}, {"D", maxDays, &p.days}} {
		digits, after, found := strings.Cut(date, part.unit)
		if !found {
			continue
		}
		n, err := number(digits, part.max)
		if err != nil {
			return Period{}, err
		}
		*part.into, date = n, after
	}
	if date != "" {
		return Period{}, ErrBadPeriod
	}
	for _, part := range []struct {
		unit string
		size time.Duration
	}{{"H", time.Hour}, {"M", time.Minute}, {"S", time.Second}} {
		digits, after, found := strings.Cut(clock, part.unit)
		if !found {
			continue
		}
		whole, fraction := digits, ""
		if part.unit == "S" {
			var dotted bool
			if whole, fraction, dotted = strings.Cut(digits, "."); dotted && (fraction == "" || len(fraction) > 6) {
				return Period{}, ErrBadPeriod
			}
		}
		n, err := number(whole, int(maxClock/part.size))
		if err != nil {
			return Period{}, err
		}
		p.clock += time.Duration(n) * part.size
		if fraction != "" {
			micros, err := number((fraction + "000000")[:6], 999_999)
			if err != nil {
				return Period{}, err
			}
			p.clock += time.Duration(micros) * time.Microsecond
		}
		clock = after
	}
	if clock != "" || p.clock > maxClock {
		return Period{}, ErrBadPeriod
	}
	return p, nil
}

// number reads plain decimal digits up to limit: strconv alone would let signs pass.
func number(s string, limit int) (int, error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, ErrBadPeriod
	}
	n, err := strconv.Atoi(s)
	if err != nil || n > limit {
		return 0, fmt.Errorf("%w, and not more than %d of a unit", ErrBadPeriod, limit)
	}
	return n, nil
}

// IsZero reports whether the period is no time at all.
func (p Period) IsZero() bool { return p == Period{} }

// String is the shortest ISO 8601 text with the same parts; ParsePeriod reads it back to the same value.
func (p Period) String() string {
	if p.IsZero() {
		return "PT0S"
	}
	var b strings.Builder
	b.WriteByte('P')
	part := func(n int, unit byte) {
		if n != 0 {
			b.WriteString(strconv.Itoa(n))
			b.WriteByte(unit)
		}
	}
	part(p.years, 'Y')
	part(p.months, 'M')
	part(p.days, 'D')
	if p.clock == 0 {
		return b.String()
	}
	b.WriteByte('T')
	part(int(p.clock/time.Hour), 'H')
	part(int(p.clock%time.Hour/time.Minute), 'M')
	seconds, micros := int(p.clock%time.Minute/time.Second), int(p.clock%time.Second/time.Microsecond)
	if micros == 0 {
		part(seconds, 'S')
		return b.String()
	}
	b.WriteString(strings.TrimRight(fmt.Sprintf("%d.%06d", seconds, micros), "0"))
	b.WriteByte('S')
	return b.String()
}

// MarshalText writes the period as its ISO 8601 text.
func (p Period) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads an ISO 8601 duration.
func (p *Period) UnmarshalText(b []byte) error {
	parsed, err := ParsePeriod(string(b))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}

// Exceeds reports whether footage can be kept longer by p than by limit: whether that is so for some day of four years.
func (p Period) Exceeds(limit Period) bool {
	for day := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC); day.Year() < 2030; day = day.AddDate(0, 0, 1) {
		if p.After(day).After(limit.After(day)) {
			return true
		}
	}
	return false
}
