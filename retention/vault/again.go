package vault

import (
	"context"
	"errors"
	"fmt"

	"filippo.io/age"

	"klarsyn/retention"
)

// Unlocked is what opens a clip, in the clear. It is never stored.
type Unlocked struct{ header, fileKey []byte }

// Unlock opens what opens a clip: with its day key, else with the key of a case that holds it or that it was cut out for. It asks for
// no deadline: a hold was in force when that passed.
func (cu *Custody) Unlock(ctx context.Context, c retention.Clip) (Unlocked, error) {
	header, err := cu.Vault.Shelf.Header(ctx, c.ID)
	var identity age.Identity
	switch {
	case err == nil && c.KeyCase != "":
		identity, err = cu.Vault.Keyring.CaseIdentity(ctx, c.KeyCase)
	case err == nil:
		identity, err = cu.Vault.Keyring.Identity(ctx, c.Permit, c.KeyDay)
	case errors.Is(err, retention.ErrGone):
		header, identity, err = cu.heldKey(ctx, c.ID)
	}
	if err != nil {
		return Unlocked{}, fmt.Errorf("holding clip %s again: %w", c.ID, err)
	}
	fileKey, err := age.DecryptHeader(header, identity)
	if err != nil {
		return Unlocked{}, fmt.Errorf("holding clip %s again: its header does not open: %w", c.ID, err)
	}
	return Unlocked{header, fileKey}, nil
}

// heldKey is what opens a clip for any of the cases that hold it.
func (cu *Custody) heldKey(ctx context.Context, clip string) ([]byte, age.Identity, error) {
	cases, err := cu.Book.CasesOf(ctx, clip)
	if err != nil {
		return nil, nil, err
	}
	err = retention.ErrGone
	for _, number := range cases {
		var sealed retention.SealedKey
		var identity age.Identity
		if sealed, err = cu.Vault.Shelf.CaseKey(ctx, clip, number); err != nil {
			continue
		}
		if identity, err = cu.Vault.Keyring.CaseIdentity(ctx, number); err != nil {
			continue
		}
		if identity, err = unseal(sealed.FileKey, identity); err == nil {
			return sealed.Header, identity, nil
		}
	}
	return nil, nil, err
}

// Again seals what opens each clip to a case, for a hold that was placed before and lost with the rows that knew it.
func (cu *Custody) Again(ctx context.Context, caseNumber string, clips map[string]Unlocked) (map[string]retention.SealedKey, error) {
	to, err := cu.recipient(ctx, caseNumber)
	if err != nil {
		return nil, err
	}
	keys := map[string]retention.SealedKey{}
	for id, u := range clips {
		sealed, err := sealTo(u.fileKey, to)
		if err != nil {
			return nil, fmt.Errorf("holding clip %s again: %w", id, err)
		}
		keys[id] = retention.SealedKey{Header: u.header, FileKey: sealed}
	}
	return keys, nil
}

// PlainSize is how many bytes are sealed in an object of that size: age has a nonce of 16 bytes, then chunks of 64 KiB with 16 bytes
// of authentication each.
func PlainSize(sealed int64) int64 {
	const nonce, chunk, tag = 16, 64 << 10, 16
	if sealed <= nonce {
		return 0
	}
	chunks := (sealed - nonce + chunk + tag - 1) / (chunk + tag)
	return sealed - nonce - chunks*tag
}
