package policy

import "strings"

// DayKeyOf is the day key that an entry is about.
func DayKeyOf(e Entry) (DayKey, bool) {
	id, about := strings.CutPrefix(e.Object, KindDayKey.Of(""))
	permit, day, whole := strings.Cut(id, "/")
	return DayKey{Permit: permit, Day: day}, about && whole
}
