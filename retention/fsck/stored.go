package fsck

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"klarsyn/retention"
	"klarsyn/retention/object"
)

// stored is I2: what the catalogue says is stored is there, as long as it was and byte for byte. That an object of a held clip is
// missing is I4's to say.
type stored struct {
	Check
	listed listing
	work   chan retention.Row
	ended  sync.WaitGroup

	mu      sync.Mutex
	result  Result
	missing []retention.Row
	read    int
	err     error
}

// stored begins its work: with the level Hash several objects are read at a time, while rows go on.
func (c Check) stored(ctx context.Context, l listing) *stored {
	s := &stored{Check: c, listed: l, work: make(chan retention.Row)}
	s.result = Result{ID: "I2", What: map[Level]string{
		Presence: "a committed clip is stored",
		Size:     "a committed clip is stored with its size",
		Hash:     "a committed clip is stored with its size and hash",
	}[c.Level]}
	if c.Level != Hash {
		return s
	}
	for range c.Workers {
		s.ended.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case row, more := <-s.work:
					if !more {
						return
					}
					s.verify(ctx, row)
				}
			}
		})
	}
	return s
}

func (s *stored) row(ctx context.Context, row retention.Row) error {
	if !row.Readable() {
		return nil
	}
	s.mu.Lock()
	s.result.Checked++
	err := s.err
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if s.Level == Hash {
		select {
		case s.work <- row:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	t := s.listed[digestOf(row.ObjectKey)]
	switch {
	case t.versions == 0: // or put since the store was listed
		s.missing = append(s.missing, row)
	case s.Level == Size && t.versions == 1 && t.size != row.Size:
		s.wrongSize(row, t.size)
	}
	return nil
}

// verify reads an object.
func (s *stored) verify(ctx context.Context, row retention.Row) {
	info, err := s.Store.Verify(ctx, row.ObjectKey)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read++; s.read%progressEvery == 0 {
		s.Progress("objects read", s.read)
	}
	switch {
	case errors.Is(err, object.ErrNotFound):
		s.missing = append(s.missing, row)
	case err != nil:
		if s.err == nil {
			s.err = fmt.Errorf("clip %s: %w", row.ID, err)
		}
	case info.Size != row.Size:
		s.wrongSize(row, info.Size)
	case info.SHA256 != row.SHA256:
		s.result.broken(clipAt(row.ID, row.ObjectKey), mendHash, "clip %s: the stored bytes do not match their hash", row.ID)
	}
}

func (s *stored) wrongSize(row retention.Row, have int64) {
	s.result.broken(clipAt(row.ID, row.ObjectKey), mendHash, "clip %s: %d bytes are stored, %d were", row.ID, have, row.Size)
}

func (s *stored) done(ctx context.Context) ([]Result, error) {
	close(s.work)
	s.ended.Wait()
	if err := errors.Join(s.err, ctx.Err()); err != nil {
		return nil, err
	}
	for _, row := range s.missing {
		if row.Held() {
			continue
		}
		gone, err := s.missed(ctx, row)
		if err != nil {
			return nil, err
		}
		if gone {
			s.result.broken(clipAt(row.ID, row.ObjectKey), mendObject, "clip %s: its object %s is missing", row.ID, row.ObjectKey)
		}
	}
	sorted(&s.result)
	s.listed = nil
	return []Result{s.result}, nil
}

// missed asks again: a clip may have been put, or deleted, since the store was listed and the rows were read.
func (c Check) missed(ctx context.Context, row retention.Row) (bool, error) {
	clip, err := c.Books.Clip(ctx, row.ID)
	if errors.Is(err, retention.ErrNotFound) {
		return false, nil
	}
	if err != nil || !clip.Readable() {
		return false, err
	}
	if c.Level == Hash {
		return true, nil // it was looked for by its name
	}
	switch _, err := c.Store.Stat(ctx, row.ObjectKey); {
	case errors.Is(err, object.ErrNotFound):
		return true, nil
	default:
		return false, err
	}
}

// sorted gives findings that came in no order one.
func sorted(r *Result) {
	found := r.Findings
	slices.SortStableFunc(found, func(a, b Finding) int { return cmp.Or(strings.Compare(a.Row, b.Row), strings.Compare(a.What, b.What)) })
	slices.Sort(r.Warnings)
	r.Findings, r.Violations = nil, nil
	for _, f := range found {
		r.add(f)
	}
}
