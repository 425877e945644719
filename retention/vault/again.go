package vault

import (
	"context"
	"fmt"

	"klarsyn/retention"
)

// Again takes a copy of what opens each clip and seals it to a case, for a hold that was placed before and lost with the rows that
// knew it. It asks for no deadline: the hold was in force when that passed. A clip without a header is not among what it returns.
func (cu *Custody) Again(ctx context.Context, caseNumber string, clips []retention.Clip) (map[string]retention.SealedKey, error) {
	to, err := cu.recipient(ctx, caseNumber)
	if err != nil {
		return nil, err
	}
	keys := map[string]retention.SealedKey{}
	for _, c := range clips {
		header, err := cu.Vault.Shelf.Header(ctx, c.ID)
		if err != nil {
			return nil, fmt.Errorf("holding clip %s again: %w", c.ID, err)
		}
		identity, err := cu.Vault.Keyring.Identity(ctx, c.Permit, c.KeyDay)
		if err != nil {
			return nil, fmt.Errorf("holding clip %s again: %w", c.ID, err)
		}
		if keys[c.ID], err = reseal(header, identity, to); err != nil {
			return nil, fmt.Errorf("holding clip %s again: %w", c.ID, err)
		}
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
