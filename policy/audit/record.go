package audit

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"klarsyn/policy"
)

const (
	maxTogether   = 64               // entries in one transaction
	recordTimeout = 20 * time.Second // longer than a database waits for its lock
)

// Record logs e in a transaction of its own, or in one with others that wait at the same time: a commit
// reaches the disk for all of them at once. It returns when e is durable. If ctx ends before its turn came,
// e is not logged; after that it waits for the outcome, because nobody could say otherwise.
func (l *Log) Record(ctx context.Context, e policy.Entry) error {
	p, err := l.prepare(e)
	if err != nil {
		return err
	}
	w := &waiting{pending: p, done: make(chan error, 1)}
	if !l.together.join(w) {
		select {
		case err := <-w.done: // somebody else wrote it
			return err
		case <-w.lead: // it is this one's turn to write for all who wait
		case <-ctx.Done():
			if l.together.leave(w) {
				return notLogged("wait for the log", context.Cause(ctx))
			}
			select {
			case err := <-w.done:
				return err
			case <-w.lead:
			}
		}
	}
	l.writeTogether(ctx)
	return <-w.done
}

// waiting is an entry that waits to be written.
type waiting struct {
	pending
	done chan error
	lead chan struct{} // closed when this one is to write for all
}

// together lets one of those who wait write for all of them.
type together struct {
	mu      sync.Mutex
	writing bool
	queue   []*waiting
}

// join queues an entry. It reports whether the caller is to write.
func (t *together) join(w *waiting) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.lead = make(chan struct{})
	t.queue = append(t.queue, w)
	if t.writing {
		return false
	}
	t.writing = true
	return true
}

// leave takes an entry out of the queue. It reports whether it was still there and nobody's turn.
func (t *together) leave(w *waiting) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-w.lead:
		return false
	default:
	}
	for i, other := range t.queue {
		if other == w {
			t.queue = append(t.queue[:i], t.queue[i+1:]...)
			return true
		}
	}
	return false
}

func (t *together) take() []*waiting {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(t.queue), maxTogether)
	batch := append([]*waiting(nil), t.queue[:n]...)
	t.queue = append(t.queue[:0], t.queue[n:]...)
	return batch
}

// pass gives the turn to the next who waits, if there is one.
func (t *together) pass() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writing = len(t.queue) > 0
	if t.writing {
		close(t.queue[0].lead)
	}
}

// writeTogether writes those who wait. The caller is the first of them, so it writes its own entry.
func (l *Log) writeTogether(ctx context.Context) {
	defer l.together.pass()
	batch := l.together.take()
	// The writer's client may leave; those of the others have not.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	err := l.write(ctx, batch)
	for _, w := range batch {
		if err != nil && len(batch) > 1 { // one that cannot be written must not keep the others from it
			w.done <- l.write(ctx, []*waiting{w})
			continue
		}
		w.done <- err
	}
}

func (l *Log) write(ctx context.Context, batch []*waiting) error {
	return l.within(ctx, func(tx *sql.Tx) error {
		for _, w := range batch {
			if err := w.insert(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
}
