package rtsp

import "time"

// The clock of a session (see README): one reading of the wall clock when the session begins, the
// monotonic clock and the media time of the pictures from then on.
const (
	// acquire is how long the offset may still fall in one step. Cameras send the pictures of the last
	// keyframe on in one burst when a session begins: the first picture is then the most delayed one.
	acquire = 10 * time.Second
	// slew is the most by which stamps may run faster or slower than media time afterwards: 500 ppm.
	// Crystals of cameras are off by less than 100 ppm.
	slewNum, slewDen = 500, 1_000_000
	// window is the time over which the least delayed picture is sought.
	window = 10 * time.Second
	// jump is the disagreement between media time and monotonic time that no network explains.
	jump = 2 * time.Second
)

// stamper turns media time into UTC. Arrival times are noisy: a picture comes late, never early. So the
// least delayed picture of the last seconds tells how media time and real time relate, and all others
// are stamped through it.
type stamper struct {
	wall time.Time // UTC when the session began, without monotonic part

	began     bool
	firstAt   time.Duration // arrival of the first picture
	offset    time.Duration // arrival minus media time, as it is applied
	lastMedia time.Duration
	lastAt    time.Duration // of the last stamp, since wall

	// The least offset of the running window and of the one before it: a minimum over one to two windows.
	least, before minimum
	windowFrom    time.Duration
}

// minimum may not have been seen yet.
type minimum struct {
	d  time.Duration
	ok bool
}

func (o *minimum) lower(d time.Duration) {
	if !o.ok || d < o.d {
		o.d, o.ok = d, true
	}
}

// stamp gives the UTC receive time of a picture of this media time that arrived so long after the
// session began. Media time must not fall. It reports false if the camera's clock jumped: no stamp
// can then be both continuous and true.
func (s *stamper) stamp(media, arrival time.Duration) (time.Time, bool) {
	seen := arrival - media
	if !s.began {
		s.began = true
		s.firstAt, s.windowFrom = arrival, arrival
		s.offset, s.lastMedia, s.lastAt = seen, media, arrival
	}
	if arrival-s.windowFrom >= window {
		s.before, s.least = s.least, minimum{}
		s.windowFrom = arrival
	}
	s.least.lower(seen)
	target := s.least.d
	if s.before.ok {
		target = min(target, s.before.d)
	}

	elapsed := media - s.lastMedia
	s.lastMedia = media
	switch {
	case arrival-s.firstAt < acquire:
		s.offset = min(s.offset, target)
	case target < s.offset-jump:
		// A picture from the future: the media clock jumped forward.
		return time.Time{}, false
	case target > s.offset+jump && s.before.ok:
		// For a whole window every picture was late: the media clock jumped back or stood still.
		return time.Time{}, false
	default:
		most := elapsed * slewNum / slewDen
		s.offset += min(max(target-s.offset, -most), most)
	}

	// A falling offset may take back more than a short picture lasts: stamps then stand still.
	s.lastAt = max(s.lastAt, media+s.offset)
	return s.wall.Add(s.lastAt), true
}
