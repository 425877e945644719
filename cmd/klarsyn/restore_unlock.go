package main

import (
	"context"
	"errors"
	"fmt"

	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/keys"
	"klarsyn/retention/vault"
)

// unlocked is what opens the clips of a hold that was placed since.
type unlocked struct {
	catalogue.Since
	clips map[string]vault.Unlocked
}

// unlock opens what opens the clips of holds that were placed since. Who cannot open keys cannot: then nothing is opened to anybody,
// since the clips would go at their deadline although a case needs them. Only what the log says was destroyed nobody needs to look for.
func (r *restore) unlock(ctx context.Context, books *catalogue.Catalogue, custody *vault.Custody) ([]unlocked, error) {
	since, err := catalogue.HeldSince(r.entries)
	if err != nil {
		return nil, err
	}
	destroyed, err := r.destroyedSince()
	if err != nil {
		return nil, err
	}
	var all []unlocked
	for _, h := range since {
		u := unlocked{h, map[string]vault.Unlocked{}}
		clips, err := books.Keepable(ctx, h.IDs)
		if err != nil {
			return nil, err
		}
		for _, c := range clips {
			opened, err := unlockBy(ctx, custody, c, destroyed)
			if errors.Is(err, errDestroyed) {
				r.logger.Error("what opened a held clip was destroyed since the backup was made", "hold", h.ID, "clip", c.ID, "err", err)
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("hold %s of case %s was placed after the backup was made, and cannot be held again: everything stays closed; repeat this where master/master.key is, and with the backup of the keys (--keys-from): %w", h.ID, h.Case, err)
			}
			u.clips[c.ID] = opened
		}
		all = append(all, u)
	}
	return all, nil
}

// errDestroyed says that the log tells of the end of every key that opened a clip.
var errDestroyed = errors.New("every key that opened it was destroyed")

// destroyedSince are the keys whose destruction the log tells: of days by permit and day, and of cases.
func (r *restore) destroyedSince() (map[string]bool, error) {
	destroyed := map[string]bool{}
	err := r.entries(func(e policy.Entry) error {
		switch e.Event {
		case policy.DayKeyDestroyed:
			if day, ok := policy.DayKeyOf(e); ok {
				destroyed["day "+day.Permit+"/"+day.Day] = true
			}
		case policy.CaseKeyDestroyed:
			destroyed["case "+e.Case] = true
		}
		return nil
	})
	return destroyed, err
}

// unlockBy opens what opens a clip by whichever of its keys is there. A key that is missing, and was not destroyed, may be found.
func unlockBy(ctx context.Context, custody *vault.Custody, c retention.Clip, destroyed map[string]bool) (vault.Unlocked, error) {
	ways, err := custody.Ways(ctx, c)
	if err != nil {
		return vault.Unlocked{}, err
	}
	var missing error
	for _, way := range ways {
		opened, err := custody.Unlock(ctx, c, way)
		if err == nil {
			return opened, nil
		}
		name := "case " + way.Case
		if way.Case == "" {
			name = "day " + c.Permit + "/" + c.KeyDay
		}
		if !errors.Is(err, keys.ErrNoKey) || !destroyed[name] {
			missing = errors.Join(missing, err)
		}
	}
	if missing != nil {
		return vault.Unlocked{}, missing
	}
	return vault.Unlocked{}, fmt.Errorf("clip %s: %w", c.ID, errDestroyed)
}

// seal seals what was unlocked to the cases of its holds.
func (r *restore) seal(ctx context.Context, all []unlocked, custody *vault.Custody) (map[string]map[string]retention.SealedKey, error) {
	seals := map[string]map[string]retention.SealedKey{}
	for _, u := range all {
		var err error
		if seals[u.ID], err = custody.Again(ctx, u.Case, u.clips); err == nil {
			continue
		}
		if len(u.clips) > 0 {
			return nil, fmt.Errorf("hold %s of case %s was placed after the backup was made, and its clips cannot be sealed again: everything stays closed; repeat this where master/master.key is: %w", u.ID, u.Case, err)
		}
		r.logger.Warn("a case has no key; what its hold keeps is lost, or in rows of another one", "hold", u.ID, "err", err)
	}
	return seals, nil
}

// custody holds for who can open keys. Without a master key here it can open none, and says so when it is asked to.
func (r *restore) custody(books *catalogue.Catalogue, clock *retention.Clock) (*vault.Custody, error) {
	ring := &keys.Store{DB: r.keyDB.DB, Now: clock.Logging}
	masters := &keys.Ring{Load: func() (keys.Sealer, []keys.Opener, error) { return openMasters(r.layout, r.at, mintsAndOpens) }}
	if err := masters.Reload(); err != nil {
		since, readErr := catalogue.HeldSince(r.entries)
		if readErr != nil {
			return nil, readErr
		}
		if len(since) > 0 {
			return nil, fmt.Errorf("hold %s of case %s was placed after the backup was made, and cannot be held again: everything stays closed; repeat this where master/master.key is: %w", since[0].ID, since[0].Case, err)
		}
	} else {
		ring.Sealer, ring.Opener = masters, masters
	}
	return &vault.Custody{Vault: &vault.Vault{Shelf: books, Keyring: ring, Clock: clock}, Book: books, Keys: ring, Minting: books.LogCaseKeyMinted, Now: clock.Logging}, nil
}
