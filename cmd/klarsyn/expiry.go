package main

import (
	"context"
	"time"
)

// expireEvery is how soon it is said of a permit that its time is over. It ends by itself, whether that is said or not.
const expireEvery = 10 * time.Second

// expirePermits says so, until ctx ends.
func (re *retain) expirePermits(ctx context.Context) {
	for tick := time.NewTicker(expireEvery); ; {
		n, err := re.books.Expire(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			re.site.logger.Error("whether permits expired could not be said", "err", err)
		case n > 0:
			re.site.logger.Warn("permits expired", "permits", n)
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}
