package keys

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Ring is the master keys that a process is configured with: one seals, and all of them open. A rotation may bring another one:
// what none of them opens has them loaded anew.
type Ring struct {
	// Load reads which master keys there are now.
	Load func() (Sealer, []Opener, error)

	mu      sync.Mutex
	sealer  Sealer
	openers []Opener
	loaded  bool
}

func (r *Ring) get() (Sealer, []Opener, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.loaded {
		if err := r.load(); err != nil {
			return nil, nil, err
		}
	}
	return r.sealer, r.openers, nil
}

func (r *Ring) load() (err error) {
	sealer, openers, err := r.Load()
	if err != nil {
		return err
	}
	r.release()
	r.sealer, r.openers, r.loaded = sealer, openers, true
	return nil
}

// Close gives the connections to key servers back. What is asked later opens new ones.
func (r *Ring) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release()
}

func (r *Ring) release() {
	closing := []any{r.sealer}
	for _, o := range r.openers {
		closing = append(closing, o)
	}
	for _, c := range closing {
		if c, ok := c.(interface{ Close() }); ok {
			c.Close()
		}
	}
}

// Reload reads anew which master keys there are. If it cannot, those that were known stay.
func (r *Ring) Reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.load()
}

// Seal closes plain under the master key that seals now. One that seals no more may have been left for another.
func (r *Ring) Seal(ctx context.Context, plain []byte) ([]byte, Mark, error) {
	sealer, _, err := r.get()
	if err != nil {
		return nil, Mark{}, err
	}
	sealed, mark, err := sealer.Seal(ctx, plain)
	if err == nil || errors.Is(err, ErrAway) {
		return sealed, mark, err
	}
	if reloadErr := r.Reload(); reloadErr != nil {
		return nil, Mark{}, errors.Join(err, reloadErr)
	}
	if sealer, _, err = r.get(); err != nil {
		return nil, Mark{}, err
	}
	return sealer.Seal(ctx, plain)
}

// Open opens what one of the master keys sealed.
func (r *Ring) Open(ctx context.Context, sealed []byte) ([]byte, error) {
	_, openers, err := r.get()
	if err != nil {
		return nil, err
	}
	plain, err := openAny(ctx, openers, sealed)
	if !errors.Is(err, ErrForeign) && !errors.Is(err, ErrDenied) { // refused: there may be a new token
		return plain, err
	}
	if err := r.Reload(); err != nil {
		return nil, err
	}
	if _, openers, err = r.get(); err != nil {
		return nil, err
	}
	return openAny(ctx, openers, sealed)
}

// openAny is ErrForeign only if each of them says so: one that is away may be the right one.
func openAny(ctx context.Context, openers []Opener, sealed []byte) ([]byte, error) {
	var foreign, others []error
	for _, o := range openers {
		plain, err := o.Open(ctx, sealed)
		switch {
		case err == nil:
			return plain, nil
		case errors.Is(err, ErrForeign):
			foreign = append(foreign, err)
		default:
			others = append(others, err)
		}
	}
	if len(others) > 0 {
		return nil, errors.Join(others...)
	}
	return nil, fmt.Errorf("%w: name the one that sealed it as master, or as master_before, in the configuration: %w", ErrForeign, errors.Join(foreign...))
}
