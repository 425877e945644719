package vault

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"filippo.io/age"
	"github.com/oklog/ulid/v2"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/crashpoint"
)

// HoldBook is where holds are written: hold and deletion meet there, in the row of a clip.
type HoldBook interface {
	// Holdable lists the clips of a camera that touch [from, to) and may have footage.
	Holdable(ctx context.Context, cam camera.ID, from, to time.Time) ([]retention.Clip, error)
	// CasesOf lists the cases whose holds keep a clip.
	CasesOf(ctx context.Context, clip string) ([]string, error)
	PlaceHold(ctx context.Context, who policy.Subject, h retention.Hold, keys map[string]retention.SealedKey) ([]retention.HeldClip, []retention.Refusal, error)
}

// CaseKeys makes the keys of cases.
type CaseKeys interface {
	// MintCase makes the key of a case unless it exists, and returns its public recipient. tell comes before the key: if it fails
	// there is none.
	MintCase(ctx context.Context, caseNumber string, tell func(ctx context.Context, caseNumber string) error) (recipient string, err error)
}

// Custody places holds: it takes a copy of what opens each clip and seals it to the case, so that the clip outlives its day key.
// It sees no footage.
type Custody struct {
	Vault *Vault
	Book  HoldBook
	Keys  CaseKeys
	// Minting is told of a case that is about to get a key. It may be told again, if that failed.
	Minting func(ctx context.Context, caseNumber string) error
	Now     func() time.Time
}

// Place holds what h names: the clips of h.Clips by id, or a stretch of a camera's time. It returns the hold with what it keeps,
// and what it could not keep with the reason; if that is everything, the hold has no clips and does not exist.
func (cu *Custody) Place(ctx context.Context, who policy.Subject, h retention.Hold) (retention.Hold, []retention.Refusal, error) {
	clips, err := cu.wanted(ctx, &h)
	if err != nil || len(clips) == 0 {
		return h, nil, err
	}
	to, err := cu.recipient(ctx, h.Case)
	if err != nil {
		return h, nil, err
	}
	crashpoint.Here("hold.minted")
	keys := map[string]retention.SealedKey{}
	for _, c := range clips {
		key, err := cu.copyKey(ctx, c, to)
		if errors.Is(err, retention.ErrGone) {
			continue // its row says why, in the transaction that would have held it
		}
		if err != nil {
			return h, nil, fmt.Errorf("holding clip %s: %w", c.ID, err)
		}
		keys[c.ID] = key
	}
	crashpoint.Here("hold.sealed")
	id, err := ulid.New(ulid.Timestamp(cu.Now()), rand.Reader)
	if err != nil {
		return h, nil, fmt.Errorf("naming a hold: %w", err)
	}
	h.ID, h.Placed = id.String(), cu.Now()
	var refused []retention.Refusal
	h.Clips, refused, err = cu.Book.PlaceHold(ctx, who, h, keys)
	return h, refused, err
}

// wanted finds the clips that h is about, and says in h which part of each it wants. They are in order of their ids, the order
// in which their rows are locked.
func (cu *Custody) wanted(ctx context.Context, h *retention.Hold) ([]retention.Clip, error) {
	var clips []retention.Clip
	if h.Camera != "" {
		found, err := cu.Book.Holdable(ctx, h.Camera, h.From, h.To)
		if err != nil {
			return nil, unavailable(err)
		}
		clips, h.Clips = found, nil
	} else {
		for _, part := range h.Clips {
			c, err := cu.Vault.Shelf.Clip(ctx, part.Clip)
			if err != nil {
				return nil, err
			}
			clips = append(clips, c)
		}
		h.Clips = nil
	}
	if len(clips) > retention.MaxHeld {
		return nil, retention.ErrTooMuchHeld
	}
	slices.SortFunc(clips, func(a, b retention.Clip) int { return cmp.Compare(a.ID, b.ID) })
	clips = slices.CompactFunc(clips, func(a, b retention.Clip) bool { return a.ID == b.ID })
	for _, c := range clips {
		part := retention.HeldClip{Clip: c.ID, From: c.Start, To: c.End}
		if h.Camera != "" {
			if h.From.After(c.Start) {
				part.From = h.From
			}
			if c.End.IsZero() || h.To.Before(c.End) {
				part.To = h.To
			}
		}
		h.Clips = append(h.Clips, part)
	}
	return clips, nil
}

// recipient is the public half of the key of a case, which is made unless it exists.
func (cu *Custody) recipient(ctx context.Context, caseNumber string) (age.Recipient, error) {
	recipient, err := cu.Keys.MintCase(ctx, caseNumber, cu.Minting)
	if err != nil {
		return nil, unavailable(err)
	}
	to, err := age.ParseHybridRecipient(recipient)
	if err != nil {
		return nil, fmt.Errorf("the recipient of case %s is damaged: restore the key store from its backup: %w", caseNumber, err)
	}
	return to, nil
}

// copyKey is what opens a clip, sealed to a case. A clip that is past its deadline is opened by the case that holds it already.
func (cu *Custody) copyKey(ctx context.Context, c retention.Clip, to age.Recipient) (retention.SealedKey, error) {
	number := c.KeyCase
	if number != "" || cu.Vault.over(c) {
		cases, err := cu.Book.CasesOf(ctx, c.ID)
		if err != nil {
			return retention.SealedKey{}, unavailable(err)
		}
		if len(cases) == 0 {
			return retention.SealedKey{}, retention.ErrGone
		}
		if !slices.Contains(cases, number) { // the case that it was cut out for may have let it go
			number = cases[0]
		}
	}
	header, identity, _, err := cu.Vault.key(ctx, c, number)
	if err != nil {
		return retention.SealedKey{}, err
	}
	return reseal(header, identity, to)
}

// reseal opens a header, and seals the file key that is in it to a case.
func reseal(header []byte, identity age.Identity, to age.Recipient) (retention.SealedKey, error) {
	fileKey, err := age.DecryptHeader(header, identity)
	if err != nil {
		return retention.SealedKey{}, fmt.Errorf("its header does not open: %w", err)
	}
	sealed, err := sealTo(fileKey, to)
	return retention.SealedKey{Header: header, FileKey: sealed}, err
}

// sealTo seals a file key to a case.
func sealTo(fileKey []byte, to age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, fmt.Errorf("sealing to a case: %w", err)
	}
	if _, err := w.Write(fileKey); err != nil {
		return nil, fmt.Errorf("sealing to a case: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("sealing to a case: %w", err)
	}
	return out.Bytes(), nil
}

// unseal opens a file key that was sealed to a case, as what opens its clip.
func unseal(sealed []byte, identity age.Identity) (age.Identity, error) {
	r, err := age.Decrypt(bytes.NewReader(sealed), identity)
	if err != nil {
		return nil, fmt.Errorf("opening a file key with the key of its case: %w", err)
	}
	fileKey, err := io.ReadAll(io.LimitReader(r, 64))
	if err != nil {
		return nil, fmt.Errorf("opening a file key with the key of its case: %w", err)
	}
	return age.NewInjectedFileKeyIdentity(fileKey), nil
}
