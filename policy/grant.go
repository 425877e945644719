package policy

import "time"

// Grant is the right to look at one clip for a short while. Only a Gate mints one, after the look was
// logged; the zero value opens nothing. No path reaches footage without a Grant.
type Grant struct {
	viewing string
	clip    string
	camera  string
	number  string // of the case
	expires time.Time
}

// Viewing is the id of the viewing that the audit log opened for this grant.
func (g Grant) Viewing() string { return g.viewing }

// Case is the number of the case for which the look was logged: past its deadline a clip opens only for a case that holds it.
func (g Grant) Case() string { return g.number }

// Opens reports whether the grant opens that clip of that camera at that time.
func (g Grant) Opens(clip, camera string, now time.Time) bool {
	return g.viewing != "" && g.clip != "" && g.clip == clip && g.camera == camera && now.Before(g.expires)
}
