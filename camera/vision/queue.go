package vision

import (
	"sync"
	"time"

	"klarsyn/camera"
)

// maxSkipped bounds the times of dropped keyframes that wait for their "unknown": half an hour of them.
const maxSkipped = 1024

// item is one access unit, or a time for which there is none.
type item struct {
	format   camera.Format
	time     time.Time
	nalus    [][]byte
	missing  bool
	keyframe bool
	look     bool    // its picture is to be counted
	still    bool    // nothing has moved since the keyframe before the last, for all that sizes tell
	gop      float64 // of a keyframe: the mean size of the pictures before it
}

// queue holds the newest access units and the times of those that were to be counted and that it dropped for them: always
// up to a keyframe, as what leans on a dropped one is of no use. put never waits.
type queue struct {
	wake chan struct{} // holds a token while there may be something to take

	mu      sync.Mutex
	size    int
	items   []item      // oldest first
	skipped []time.Time // of dropped pictures, all older than items
	torn    bool        // nothing is taken until the next keyframe
	closed  bool

	offered, dropped, lost uint64
}

func newQueue(size int) *queue { return &queue{size: size, wake: make(chan struct{}, 1)} }

func (q *queue) put(it item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it.look {
		q.offered++
	}
	if q.closed {
		if it.look {
			q.lost++
		}
		return
	}
	if it.keyframe {
		q.torn = false
	}
	if q.torn && !it.missing {
		q.drop(it)
		return
	}
	if len(q.items) == q.size {
		n := 1
		for n < len(q.items) && !q.items[n].keyframe && !q.items[n].missing {
			n++
		}
		for i := range n {
			q.drop(q.items[i])
			q.items[i] = item{} // let go of the picture
		}
		q.items = q.items[n:]
		if len(q.items) == 0 && !it.keyframe && !it.missing {
			q.torn = true
			q.drop(it)
			return
		}
	}
	q.items = append(q.items, it)
	q.call()
}

// drop remembers that a picture was not counted.
func (q *queue) drop(it item) {
	if !it.look && !it.missing {
		return
	}
	if it.look {
		q.dropped++
	}
	if q.skipped = append(q.skipped, it.time); len(q.skipped) > maxSkipped {
		q.skipped = q.skipped[1:]
		q.lost++
	}
	q.call()
}

func (q *queue) call() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take gives what was dropped before the oldest item, and that item if there is one.
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
		if it.look || it.missing {
			times = append(times, it.time)
		}
	}
	q.skipped, q.items, q.torn = nil, nil, true // who comes next knows none of the pictures that were taken
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
