package main

import (
	"context"
	"errors"

	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/keys"
	"klarsyn/retention/object"
	"klarsyn/retention/vault"
)

// custody places holds: it may open day keys, so it belongs to the process that serves.
func (sv *serve) custody(books *catalogue.Catalogue, ring *keys.Store) *vault.Custody {
	return &vault.Custody{Vault: sv.vault, Book: books, Keys: ring, Minting: books.LogCaseKeyMinted, Now: sv.site.clock.Logging}
}

// cutterOf cuts parts of clips out into their cases. It reads footage, so it belongs to the process that may; what leaves it is sealed.
func (sv *serve) cutterOf(books *catalogue.Catalogue, ring *keys.Store) *vault.Cutter {
	return &vault.Cutter{Vault: sv.vault, List: books, Book: books, Keys: ring, Store: sv.site.store, Now: sv.site.clock.Logging, Log: sv.site.logger}
}

// legalHolds are the object store's, in the words of retention.
type legalHolds struct{ store object.Store }

func (l legalHolds) LegalHold(ctx context.Context, key, version string, on bool) error {
	err := l.store.LegalHold(ctx, key, version, on)
	switch {
	case errors.Is(err, object.ErrNoLegalHold):
		return retention.ErrNoBarrier
	case errors.Is(err, object.ErrNotFound) && !on:
		return nil
	}
	return err
}
