package vision

import (
	"sync"
	"time"

	"klarsyn/camera"
)

// maxSkipped bounds the times of dropped keyframes that wait for their "unknown": half an hour of them.
const maxSkipped = 1024

// item is one keyframe to be counted, or a time for which there is none.
type item struct {
	format  camera.Format
	time    time.Time
	nalus   [][]byte
	missing bool
}

// queue holds the newest keyframes and the times of those that it dropped for them. put never waits.
type queue struct {
	wake chan struct{} // holds a token while there may be something to take

	mu      sync.Mutex
	size    int
	items   []item      // oldest first
	skipped []time.Time // of dropped keyframes, all older than items
	closed  bool

	offered, dropped, lost uint64
}

func newQueue(size int) *queue { return &queue{size: size, wake: make(chan struct{}, 1)} }

func (q *queue) put(it item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !it.missing {
		q.offered++
	}
	if q.closed {
		if !it.missing {
			q.lost++
		}
		return
	}
	if len(q.items) == q.size {
		oldest := q.items[0]
		q.skipped = append(q.skipped, oldest.time)
		q.items[0] = item{} // let go of the picture
		q.items = q.items[1:]
		if !oldest.missing {
			q.dropped++
		}
	}
	if len(q.skipped) > maxSkipped {
		q.skipped = q.skipped[1:]
		q.lost++
	}
	q.items = append(q.items, it)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take gives what was dropped before the oldest keyframe, and that keyframe if there is one.
func (q *queue) take() (skipped []time.Time, it item, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	skipped, q.skipped = q.skipped, nil
	if len(q.items) == 0 {
		return skipped, item{}, false
	}
	it = q.items[0]
	q.items[0] = item{}
	q.items = q.items[1:]
	return skipped, it, true
}

// takeTimes empties the queue of everything, for when nobody can count it.
func (q *queue) takeTimes() []time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	times := q.skipped
	for _, it := range q.items {
		times = append(times, it.time)
	}
	q.skipped, q.items = nil, nil
	return times
}

// close makes every later put a loss, as nobody will take it; open undoes it.
func (q *queue) close() { q.setClosed(true) }

func (q *queue) open() { q.setClosed(false) }

func (q *queue) setClosed(v bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = v
}

func (q *queue) counts() (offered, dropped, lost uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.offered, q.dropped, q.lost
}
