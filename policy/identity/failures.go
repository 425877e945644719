package identity

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"klarsyn/policy"
)

// failures logs failed logins. The first of a kind is logged at once; more of the same address and name
// within a minute are counted and logged as one, so that a guesser cannot flood the log.
type failures struct {
	log policy.Log

	mu   sync.Mutex
	seen map[failure]*failed
}

type failure struct{ actor, remote, reason string }

type failed struct {
	since time.Time
	more  int // since then, not logged yet
}

const coalesceFor = time.Minute

// add logs a failure or counts it. An error means that it is neither.
func (f *failures) add(ctx context.Context, what failure, now time.Time) error {
	f.mu.Lock()
	known := f.seen[what]
	if known != nil && now.Sub(known.since) < coalesceFor {
		known.more++
		f.mu.Unlock()
		return nil
	}
	full := known == nil && len(f.seen) >= maxKeys
	f.mu.Unlock()
	if full {
		if err := f.flush(ctx, now); err != nil {
			return err
		}
	}
	more := 0
	if known != nil {
		more = f.take(what, known)
	}
	if err := f.record(ctx, what, more); err != nil {
		f.giveBack(what, known, more)
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.seen) < maxKeys {
		f.seen[what] = &failed{since: now}
	}
	return nil
}

// flush logs what was counted in minutes that are over, and forgets them.
func (f *failures) flush(ctx context.Context, now time.Time) error {
	f.mu.Lock()
	over := map[failure]*failed{}
	for what, known := range f.seen {
		if now.Sub(known.since) >= coalesceFor {
			over[what] = known
		}
	}
	f.mu.Unlock()
	var wrong []error
	for what, known := range over {
		more := f.take(what, known)
		if more == 0 {
			continue
		}
		if err := f.record(ctx, what, more-1); err != nil {
			f.giveBack(what, known, more)
			wrong = append(wrong, err)
		}
	}
	return errors.Join(wrong...)
}

// take removes a counted minute and says what was in it; zero if somebody else took it.
func (f *failures) take(what failure, known *failed) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen[what] != known {
		return 0
	}
	delete(f.seen, what)
	return known.more
}

func (f *failures) giveBack(what failure, known *failed, more int) {
	if known == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if present := f.seen[what]; present != nil {
		present.more += more
		return
	}
	known.more = more
	f.seen[what] = known
}

func (f *failures) record(ctx context.Context, what failure, more int) error {
	e := policy.Entry{
		Event: policy.LoginFailed, Actor: what.actor, Remote: what.remote, Decision: "deny", Reason: what.reason,
	}
	if more > 0 {
		e.Details = map[string]string{"more": strconv.Itoa(more)}
	}
	return f.log.Record(ctx, e)
}
