package object

import "context"

// Eraser is what deletion needs of a Store.
type Eraser struct{ Store Store }

// Erase removes every trace of key.
func (e Eraser) Erase(ctx context.Context, key string) (int, error) { return e.Store.Delete(ctx, key) }

// Remains counts the traces of key by listing.
func (e Eraser) Remains(ctx context.Context, key string) (int, error) {
	n := 0
	for t, err := range e.Store.Traces(ctx, key) {
		if err != nil {
			return n, err
		}
		if t.Key == key {
			n++
		}
	}
	return n, nil
}
