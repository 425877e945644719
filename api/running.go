package api

import (
	"net/http"
	"sync"
	"time"
)

// running counts the requests that are being answered: net/http ends the connections of a server that is
// closed, but does not wait for their handlers.
type running struct {
	mu    sync.Mutex
	n     int
	ended chan struct{} // closed when n falls to 0; nil if nobody waits
}

func (r *running) counts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.add(1)
		defer r.add(-1)
		next.ServeHTTP(w, req)
	})
}

func (r *running) add(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n += n
	if r.n == 0 && r.ended != nil {
		close(r.ended)
		r.ended = nil
	}
}

// wait waits until no request is being answered, at most so long, and says how many are left.
func (r *running) wait(atMost time.Duration) int {
	r.mu.Lock()
	if r.n == 0 {
		r.mu.Unlock()
		return 0
	}
	if r.ended == nil {
		r.ended = make(chan struct{})
	}
	ended := r.ended
	r.mu.Unlock()
	late := time.NewTimer(atMost)
	defer late.Stop()
	select {
	case <-ended:
	case <-late.C:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}
