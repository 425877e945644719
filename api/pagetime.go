package api

import (
	"fmt"
	"strings"
	"time"
)

// local writes a time as people in Stockholm read it, with its offset: in the hour that comes twice
// nothing else tells the two apart.
func (s *Server) local(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.In(s.page.stockholm).Format("2006-01-02 15:04:05 -07:00")
}

// askedTime reads the times of the search form, Stockholm's clock. An empty end is now; an empty
// beginning is some minutes before the end. Where the clock shows a time twice, the beginning is the
// earlier and the end the later of both: a search must rather show an hour too much.
func (s *Server) askedTime(from, to string) (start, end time.Time, ok bool) {
	end = s.cfg.Now().UTC()
	if to != "" {
		_, later, err := s.page.wallTime(to)
		if err != nil {
			return start, end, false
		}
		end = later
	}
	start = end.Add(-clipsWindow)
	if from != "" {
		earlier, _, err := s.page.wallTime(from)
		if err != nil {
			return start, end, false
		}
		start = earlier
	}
	return start, end, start.Before(end)
}

// wallTime reads what an input of type datetime-local sends, and gives both instants at which
// Stockholm's clock shows it: the same one twice except in the repeated hour. A time that the clock
// skips is taken with the offset from before the jump.
func (p *page) wallTime(s string) (earlier, later time.Time, err error) {
	layout := "2006-01-02T15:04:05"
	if strings.Count(s, ":") == 1 {
		layout = "2006-01-02T15:04"
	}
	wall, err := time.ParseInLocation(layout, s, time.UTC)
	if err != nil {
		return earlier, later, fmt.Errorf("time %q: want 2006-01-02T15:04:05", s)
	}
	_, before := wall.Add(-24 * time.Hour).In(p.stockholm).Zone()
	_, after := wall.Add(24 * time.Hour).In(p.stockholm).Zone()
	a := wall.Add(-time.Duration(before) * time.Second)
	b := wall.Add(-time.Duration(after) * time.Second)
	shows := func(t time.Time) bool { return t.In(p.stockholm).Format(layout) == wall.Format(layout) }
	switch {
	case shows(a) && shows(b):
		if b.Before(a) {
			a, b = b, a
		}
		return a.UTC(), b.UTC(), nil
	case shows(b):
		return b.UTC(), b.UTC(), nil
	default:
		return a.UTC(), a.UTC(), nil
	}
}

// duration writes what is left of a time, as script.js does.
func (w words) duration(d time.Duration) string {
	seconds := int64((d + time.Second - 1) / time.Second)
	h, m, sec := seconds/3600, seconds/60%60, seconds%60
	switch {
	case h >= 48:
		return fmt.Sprintf("%d %s %d %s", h/24, w.Day, h%24, w.Hour)
	case h > 0:
		return fmt.Sprintf("%d %s %d %s", h, w.Hour, m, w.Minute)
	case m > 0:
		return fmt.Sprintf("%d %s %d %s", m, w.Minute, sec, w.Second)
	}
	return fmt.Sprintf("%d %s", sec, w.Second)
}

// seconds writes a length to a tenth.
func (w words) seconds(d time.Duration) string {
	return w.decimal(fmt.Sprintf("%.1f %s", d.Seconds(), w.Second))
}

func (w words) size(bytes int64) string {
	switch {
	case bytes >= 1e6:
		return w.decimal(fmt.Sprintf("%.1f MB", float64(bytes)/1e6))
	case bytes > 0:
		return fmt.Sprintf("%.0f kB", float64(bytes)/1e3)
	}
	return "–"
}

func (w words) decimal(s string) string {
	if w.Lang == "sv" {
		return strings.Replace(s, ".", ",", 1)
	}
	return s
}
