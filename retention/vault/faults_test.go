package vault_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"io"

	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/object"
	"klarsyn/retention/object/dir"
)

var errFault = errors.New("fault")

// faults says what of a step fails: before it is applied, or after it.
type faults struct {
	fault func(step string) (before, after error)
}

func (f faults) at(step string) (before, after error) {
	if f.fault == nil {
		return nil, nil
	}
	return f.fault(step)
}

// failing makes one step fail.
func failing(step string, applied bool) func(string) (before, after error) {
	return func(s string) (before, after error) {
		switch {
		case s != step:
			return nil, nil
		case applied:
			return nil, errFault
		}
		return errFault, nil
	}
}

// faultyStore is the real store, unless a step is made to fail.
type faultyStore struct {
	*dir.Store
	faults
	onPut func()
}

func (s *faultyStore) Put(ctx context.Context, key string, body io.Reader, size int64, sum [sha256.Size]byte) (object.Info, error) {
	if s.onPut != nil {
		s.onPut()
	}
	before, after := s.at("put")
	if before != nil {
		return object.Info{}, before
	}
	info, err := s.Store.Put(ctx, key, body, size, sum)
	if err != nil {
		return info, err
	}
	return info, after
}

func (s *faultyStore) Verify(ctx context.Context, key string) (object.Info, error) {
	if before, after := s.at("verify"); before != nil || after != nil {
		return object.Info{}, errors.Join(before, after)
	}
	return s.Store.Verify(ctx, key)
}

func (s *faultyStore) Stat(ctx context.Context, key string) (object.Info, error) {
	if before, _ := s.at("stat"); before != nil {
		return object.Info{}, before
	}
	return s.Store.Stat(ctx, key)
}

func (s *faultyStore) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	before, after := s.at("open")
	if before != nil {
		return nil, before
	}
	r, err := s.Store.Open(ctx, key, offset, length)
	if err != nil || after == nil {
		return r, err
	}
	return struct { // it breaks off while it is read
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r, 100), broken{after}), r}, nil
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// faultyOutcomes is the real catalogue, unless a step is made to fail.
type faultyOutcomes struct {
	*catalogue.Catalogue
	faults
}

func (o *faultyOutcomes) Open(ctx context.Context, node string) ([]retention.Clip, error) {
	if before, _ := o.at("list"); before != nil {
		return nil, before
	}
	return o.Catalogue.Open(ctx, node)
}

func (o *faultyOutcomes) Commit(ctx context.Context, c retention.Clip) error {
	before, after := o.at("commit")
	if before != nil {
		return before
	}
	return errors.Join(o.Catalogue.Commit(ctx, c), after)
}

func (o *faultyOutcomes) Lose(ctx context.Context, c retention.Clip, reason string) error {
	before, after := o.at("lose")
	if before != nil {
		return before
	}
	return errors.Join(o.Catalogue.Lose(ctx, c, reason), after)
}

func (l noLog) Append(context.Context, *sql.Tx, policy.Entry) error { return l.err }
func (l noLog) Record(context.Context, policy.Entry) error          { return l.err }
