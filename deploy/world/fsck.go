package world

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"klarsyn/policy/audit"
	"klarsyn/policy/audit/replay"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/fsck"
	"klarsyn/retention/fsck/story"
	"klarsyn/retention/keys"
	"klarsyn/retention/object"
	"klarsyn/retention/vault"
)

// settled is a store as it will be when everything in it is old: then what has no row is a violation. What probes leave in it is
// no footage.
type settled struct {
	object.Store
	at time.Time
}

func (s settled) Traces(ctx context.Context, prefix string) iter.Seq2[object.Trace, error] {
	if prefix == "" {
		prefix = "clips/"
	}
	return func(yield func(object.Trace, error) bool) {
		for t, err := range s.Store.Traces(ctx, prefix) {
			t.Modified = s.at
			if !yield(t, err) {
				return
			}
		}
	}
}

// fsck runs every check that there is, as who may open keys: with no patience, since nothing is under way.
func (c *Checker) fsck(ctx context.Context) ([]fsck.Result, error) {
	w := c.world
	books := catalogue.Checked{Catalogue: w.Books}
	results, err := fsck.Run(ctx, fsck.Check{
		Books: books, HoldBooks: books, Recipients: books.Recipients, Store: settled{w.Store, c.now.Add(-time.Hour)}, Now: c.now,
		Stray: time.Minute, Backgrounds: books.Backgrounds, Keys: w.Keys, Workers: 2,
		Spool: func() ([]string, error) { return vault.Spooled(w.Spool()) },
		Opens: func(ctx context.Context, clip, number string) error {
			err := vault.CaseOpens(ctx, w.Books, w.Keys, clip, number)
			if errors.Is(err, keys.ErrNoKey) {
				return retention.ErrGone // that it is missing is said of the key
			}
			return err
		},
		Replay: func(ctx context.Context) (fsck.Story, error) {
			clips, err := audit.Replay(ctx, w.DB, w.dialect(w.Catalogue))
			if errors.Is(err, replay.ErrEntry) {
				err = fmt.Errorf("%w: %w", fsck.ErrStory, err)
			}
			return story.Of(clips, time.Time{}), err // nothing was ever removed from it
		},
	})
	if err != nil {
		return nil, err
	}
	plain, err := fsck.Plaintext{}.Search(ctx, w.Folder)
	return append(results, plain), err
}
