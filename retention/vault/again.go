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

// Way is a key that opens a clip: of its day, or of a case.
type Way struct {
	Case string // empty: the day key
	copy bool   // by the copy that a hold of the case keeps; else by the clip's own header
}

// Ways are the keys that open a clip, by its rows; whether they are still there Unlock says. It asks for no deadline: a hold was in
// force when that passed.
func (cu *Custody) Ways(ctx context.Context, c retention.Clip) ([]Way, error) {
	var ways []Way
	_, err := cu.Vault.Shelf.Header(ctx, c.ID)
	if err != nil && !errors.Is(err, retention.ErrGone) {
		return nil, err
	}
	if err == nil {
		ways = append(ways, Way{Case: c.KeyCase})
	}
	cases, err := cu.Book.CasesOf(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	for _, number := range cases {
		sealed, err := cu.Vault.Shelf.CaseKey(ctx, c.ID, number)
		if err != nil && !errors.Is(err, retention.ErrGone) {
			return nil, err
		}
		if len(sealed.FileKey) > 0 {
			ways = append(ways, Way{number, true})
		}
	}
	return ways, nil
}

// Unlock opens what opens a clip, by one of its ways.
func (cu *Custody) Unlock(ctx context.Context, c retention.Clip, w Way) (Unlocked, error) {
	header, identity, err := cu.unlock(ctx, c, w)
	if err != nil {
		return Unlocked{}, fmt.Errorf("holding clip %s again: %w", c.ID, err)
	}
	fileKey, err := age.DecryptHeader(header, identity)
	if err != nil {
		return Unlocked{}, fmt.Errorf("holding clip %s again: its header does not open: %w", c.ID, err)
	}
	return Unlocked{header, fileKey}, nil
}

func (cu *Custody) unlock(ctx context.Context, c retention.Clip, w Way) (header []byte, identity age.Identity, err error) {
	if w.Case == "" {
		identity, err = cu.Vault.Keyring.Identity(ctx, c.Permit, c.KeyDay)
	} else {
		identity, err = cu.Vault.Keyring.CaseIdentity(ctx, w.Case)
	}
	if err != nil {
		return nil, nil, err
	}
	if !w.copy {
		header, err = cu.Vault.Shelf.Header(ctx, c.ID)
		return header, identity, err
	}
	sealed, err := cu.Vault.Shelf.CaseKey(ctx, c.ID, w.Case)
	if err != nil {
		return nil, nil, err
	}
	identity, err = unseal(sealed.FileKey, identity)
	return sealed.Header, identity, err
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
