package vault

import (
	"context"
	"fmt"

	"filippo.io/age"

	"klarsyn/retention"
)

// CaseShelf is where a checker finds what a hold keeps of a clip.
type CaseShelf interface {
	CaseKey(ctx context.Context, clip, caseNumber string) (retention.SealedKey, error)
	Header(ctx context.Context, id string) ([]byte, error)
}

// CaseRing opens the keys of cases.
type CaseRing interface {
	CaseIdentity(ctx context.Context, caseNumber string) (age.Identity, error)
}

// CaseOpens proves that the key of a case opens the header of a clip that a hold of the case keeps, and reads no footage.
// retention.ErrGone says that no hold of the case keeps it any more, retention.ErrUnavailable that nobody could tell.
func CaseOpens(ctx context.Context, shelf CaseShelf, ring CaseRing, clip, caseNumber string) error {
	sealed, err := shelf.CaseKey(ctx, clip, caseNumber)
	if err != nil {
		return goneOrAway(err)
	}
	header := sealed.Header
	if len(header) == 0 {
		if header, err = shelf.Header(ctx, clip); err != nil {
			return goneOrAway(err)
		}
	}
	identity, err := ring.CaseIdentity(ctx, caseNumber)
	if err == nil && len(sealed.FileKey) > 0 {
		identity, err = unseal(sealed.FileKey, identity)
	}
	if err != nil {
		return err
	}
	if _, err := age.DecryptHeader(header, identity); err != nil {
		return fmt.Errorf("the header does not open: %w", err)
	}
	return nil
}
