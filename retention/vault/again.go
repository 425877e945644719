package vault

import (
	"context"
	"fmt"

	"filippo.io/age"

	"klarsyn/retention"
)

// Again takes a copy of what opens each clip and seals it to a case, for a hold that was placed before and lost with the rows that
// knew it. It asks for no deadline: the hold was in force when that passed. A clip without a header is not among what it returns.
func (cu *Custody) Again(ctx context.Context, caseNumber string, clips []retention.Clip) (map[string]retention.SealedKey, error) {
	recipient, minted, err := cu.Keys.MintCase(ctx, caseNumber)
	if err != nil {
		return nil, unavailable(err)
	}
	if minted {
		if err := cu.Minted(ctx, caseNumber); err != nil {
			return nil, err
		}
	}
	to, err := age.ParseHybridRecipient(recipient)
	if err != nil {
		return nil, fmt.Errorf("the recipient of case %s is damaged: restore the key store from its backup: %w", caseNumber, err)
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
		fileKey, err := age.DecryptHeader(header, identity)
		if err != nil {
			return nil, fmt.Errorf("holding clip %s again: its header does not open: %w", c.ID, err)
		}
		sealed, err := sealTo(fileKey, to)
		if err != nil {
			return nil, err
		}
		keys[c.ID] = retention.SealedKey{Header: header, FileKey: sealed}
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
