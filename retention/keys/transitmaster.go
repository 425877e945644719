package keys

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"klarsyn/retention/crashpoint"
)

// transitKey is what a key server tells of a key.
type transitKey struct {
	Latest     int64 `json:"latest_version"`
	MinDecrypt int64 `json:"min_decryption_version"`
	MinEncrypt int64 `json:"min_encryption_version"`
	MinThere   int64 `json:"min_available_version"`
}

func (t *Transit) key(ctx context.Context) (k transitKey, err error) {
	return k, t.ask(ctx, "looking", http.MethodGet, "keys/"+t.cfg.Key, nil, &k)
}

// Renew makes another version of the key. One that a crash left unused goes with the older ones.
func (t *Transit) Renew(ctx context.Context) error {
	err := t.ask(ctx, "rotating", http.MethodPost, "keys/"+t.cfg.Key+"/rotate", map[string]any{}, nil)
	if err == nil {
		crashpoint.Here("rotate.made")
	}
	return err
}

// Current reports whether sealed lies under the newest version of this key, and not under that of another one.
func (t *Transit) Current(ctx context.Context, sealed []byte) (bool, error) {
	version, ok := versionOf(sealed)
	if !ok {
		return false, nil
	}
	k, err := t.key(ctx)
	if err != nil || version != k.Latest {
		return false, err
	}
	_, err = t.Open(ctx, sealed)
	if errors.Is(err, ErrForeign) {
		return false, nil
	}
	return err == nil, err
}

// Forget destroys all versions before the newest, on the server and in what it would back up from here.
func (t *Transit) Forget(ctx context.Context) error {
	k, err := t.key(ctx)
	if err != nil || k.MinThere == k.Latest {
		return err
	}
	if k.MinDecrypt < k.Latest || k.MinEncrypt < k.Latest {
		if err := t.ask(ctx, "ending old versions", http.MethodPost, "keys/"+t.cfg.Key+"/config",
			map[string]any{"min_decryption_version": k.Latest, "min_encryption_version": k.Latest}, nil); err != nil {
			return err
		}
	}
	crashpoint.Here("rotate.ended")
	return t.ask(ctx, "destroying old versions", http.MethodPost, "keys/"+t.cfg.Key+"/trim", map[string]any{"min_available_version": k.Latest}, nil)
}

// Destroy removes the key from the server.
func (t *Transit) Destroy(ctx context.Context) error {
	_, err := t.key(ctx)
	if errors.Is(err, errNoTransitKey) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := t.ask(ctx, "destroying", http.MethodPost, "keys/"+t.cfg.Key+"/config", map[string]any{"deletion_allowed": true}, nil); err != nil {
		return err
	}
	crashpoint.Here("rotate.allowed")
	if err := t.ask(ctx, "destroying", http.MethodDelete, "keys/"+t.cfg.Key, nil, nil); err != nil {
		return err
	}
	if _, err := t.key(ctx); !errors.Is(err, errNoTransitKey) {
		return errors.Join(err, fmt.Errorf("%s is still there after it was deleted", t.cfg))
	}
	return nil
}
