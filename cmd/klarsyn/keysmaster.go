package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"klarsyn/retention/keys"
)

// fileMaster is the address of the master key in the data directory.
const fileMaster = "file"

func isFile(address string) bool { return address == "" || address == fileMaster }

// keyUse is what a process does with the master key.
type keyUse int

const (
	mints         keyUse = iota // it seals
	mintsAndOpens               // it opens, too
)

// masterKeys are the master keys that the process is configured with. It reads its configuration again when it meets a key that
// none of them opens: somebody may have moved the keys. Each is tried before anything depends on it; a key server that does not
// answer is no reason not to start.
func (s *site) masterKeys(ctx context.Context, use keyUse) (*keys.Ring, error) {
	ring := &keys.Ring{Load: func() (keys.Sealer, []keys.Opener, error) {
		a, err := s.given.addresses.configured(s.layout, s.given.config)
		if err != nil {
			return nil, nil, err
		}
		return openMasters(s.layout, a, use)
	}}
	if err := ring.Reload(); err != nil {
		return nil, err
	}
	err := tryMaster(ctx, ring, use)
	if errors.Is(err, keys.ErrAway) {
		s.logger.Error("the key server does not answer: no key is minted or opened until it does", "err", err)
		err = nil
	}
	if err != nil {
		ring.Close()
		return nil, err
	}
	return ring, nil
}

// tryMaster seals a value, and opens it where the process opens keys.
func tryMaster(ctx context.Context, ring *keys.Ring, use keyUse) error {
	probe := []byte(rand.Text())
	sealed, mark, err := ring.Seal(ctx, probe)
	if err != nil || use != mintsAndOpens {
		return err
	}
	plain, err := ring.Open(ctx, sealed)
	if err != nil {
		return err
	}
	if !bytes.Equal(plain, probe) {
		return fmt.Errorf("the master key %s opens something else than it sealed: restore it from your backup", mark.Name)
	}
	return nil
}

// openMasters opens the master key that seals and, for a process that opens, those that keys may still lie under: the one that is
// being left, and a file that is still there beside a key server.
func openMasters(l layout, a addresses, use keyUse) (seal keys.Sealer, open []keys.Opener, err error) {
	if !isFile(a.master) {
		t, err := openTransit(l, a.master)
		if err != nil {
			return nil, nil, err
		}
		seal, open = t, append(open, t)
	} else if seal, err = keys.LoadPublic(l.master()); err != nil {
		return nil, nil, err
	}
	if use != mintsAndOpens {
		return seal, nil, nil
	}
	if isFile(a.master) || hasLocalMaster(l) {
		local, err := keys.LoadSecret(l.master())
		if err != nil {
			return nil, nil, err
		}
		open = append(open, local)
	}
	if !isFile(a.masterBefore) {
		t, err := openTransit(l, a.masterBefore)
		if err != nil {
			return nil, nil, err
		}
		open = append(open, t)
	}
	return seal, open, nil
}

// hasLocalMaster reports whether a master key lies in the data directory. One that cannot be looked at is said to: opening it tells.
func hasLocalMaster(l layout) bool {
	_, err := os.Lstat(filepath.Join(l.master(), "master.key"))
	return !errors.Is(err, os.ErrNotExist)
}

func openTransit(l layout, address string) (*keys.Transit, error) {
	cfg, err := keys.ParseTransit(address)
	if err != nil {
		return nil, usageError{err}
	}
	cfg.TokenFile, cfg.CA = inFolder(l.root, cfg.TokenFile), inFolder(l.root, cfg.CA)
	t, err := keys.OpenTransit(cfg)
	if err != nil {
		return nil, usageError{err}
	}
	return t, nil
}
