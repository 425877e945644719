package sim

import (
	"sort"
	"sync"
	"time"
)

// history is a ring of the last frames with the instants at which they were due. The due time is taken,
// not the time of sending: a client's stamps follow the schedule, too, with the jitter removed.
type history struct {
	mu    sync.Mutex
	ring  []sentFrame
	count int // frames ever added
}

type sentFrame struct {
	due time.Time
	n   int
}

func newHistory(size int) *history { return &history{ring: make([]sentFrame, size)} }

func (h *history) add(due time.Time, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring[h.count%len(h.ring)] = sentFrame{due, n}
	h.count++
}

// at finds the last frame that was due at or before t.
func (h *history) at(t time.Time) (int, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := min(h.count, len(h.ring))
	oldest := h.count - held
	i := sort.Search(held, func(i int) bool { return h.ring[(oldest+i)%len(h.ring)].due.After(t) })
	if i == 0 {
		return 0, false
	}
	return h.ring[(oldest+i-1)%len(h.ring)].n, true
}
