package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"klarsyn/policy"
	"klarsyn/policy/audit/durable"
	"klarsyn/policy/audit/verify"
)

// nextFile holds a key that is to follow the present one. It is made by whoever wants the rotation, and taken
// by the process that numbers the log.
const nextFile = "audit.next.key"

// PrepareRotation makes the key that is to follow the one in dir, and returns its public half. The process
// that numbers the log takes it within a second: both keys sign one checkpoint that names both, and from the
// next one on the new key signs alone. Until then it may be asked again, and answers the same.
func PrepareRotation(dir string) (public string, err error) {
	present, err := LoadKey(dir)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, nextFile)
	next, err := loadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createKey(dir, path, present.Signer.Name()); err != nil {
			return "", fmt.Errorf("create the next audit key in %s: %w", dir, err)
		}
		next, err = loadKey(path)
	}
	if err != nil {
		return "", fmt.Errorf("audit key %s: %w", path, err)
	}
	return next.Public, nil
}

// next is the key that is to follow, nil if none is.
func (k *Key) next() (*Key, error) {
	path := filepath.Join(k.dir, nextFile)
	next, err := loadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("audit key %s: %w: remove it, and run klarsyn log rotate again", path, err)
	}
	if next.Signer.Name() != k.Signer.Name() {
		return nil, fmt.Errorf("audit key %s: it is of another log: remove it, and run klarsyn log rotate again", path)
	}
	next.dir = k.dir
	return next, nil
}

// nextKey is the key that is to follow. One that cannot be used keeps nothing from being numbered: it is told, once.
func (s *sequencer) nextKey() *Key {
	next, err := s.key.next()
	switch {
	case err == nil:
		s.nextFault = ""
	case err.Error() != s.nextFault:
		s.nextFault = err.Error()
		s.log.logger.Error("the log keeps its signing key: the one that was to follow cannot be used", "err", err)
	}
	return next
}

// promote puts the next key in the place of the present one, whose private half is gone then: it has signed
// all that it ever may.
func (s *sequencer) promote(next *Key) error {
	if err := os.Rename(filepath.Join(next.dir, nextFile), filepath.Join(next.dir, privateFile)); err != nil {
		return fmt.Errorf("put the new audit key in its place: %w", err)
	}
	if err := errors.Join(durable.SyncFolder(next.dir), publish(next.dir, next.Public)); err != nil {
		return fmt.Errorf("put the new audit key in its place: %w", err)
	}
	s.key = next
	s.log.key.Store(next)
	s.log.logger.Info("the log has a new signing key; give its public half to those who check the log", "key", next.Public)
	return nil
}

// finishRotation takes the next key if a crash came between the checkpoint that both signed and its place.
func (s *sequencer) finishRotation(ctx context.Context) error {
	next := s.nextKey()
	if next == nil {
		return nil
	}
	chain, err := loadChain(ctx, s.log.db, s.key.Public)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	keys := chain.Keys()
	if keys[len(keys)-1] != next.Public {
		return nil
	}
	return s.promote(next)
}

// loadChain reads the log's keys, of which one is trusted.
func loadChain(ctx context.Context, from queryer, trusted ...string) (*verify.Chain, error) {
	notes, err := rotations(ctx, from)
	if err != nil {
		return nil, err
	}
	return verify.NewChain(trusted, notes)
}

// rotations are the checkpoints at which the signing key changed.
func rotations(ctx context.Context, from queryer) ([]string, error) {
	rows, err := from.QueryContext(ctx, `SELECT note FROM audit_checkpoint WHERE rotation = 1 ORDER BY number`)
	if err != nil {
		return nil, fmt.Errorf("read rotations of the key: %w", err)
	}
	defer rows.Close()
	var notes []string
	for rows.Next() {
		var signed string
		if err := rows.Scan(&signed); err != nil {
			return nil, fmt.Errorf("read rotations of the key: %w", err)
		}
		notes = append(notes, signed)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read rotations of the key: %w", err)
	}
	return notes, nil
}

// ownEntries are what the sequencer logs itself, in the transaction that does it.
func (l *Log) ownEntries(present, next *Key, old prunable) ([]pending, error) {
	var entries []policy.Entry
	if next != nil {
		entries = append(entries, policy.LogKeyRotatedEntry(sequencerActor, present.Signer.Name(), present.Public, next.Public))
	}
	if old.any {
		entries = append(entries, policy.LogPrunedEntry(sequencerActor, present.Signer.Name(), old.pruning()))
	}
	var own []pending
	for _, e := range entries {
		p, err := l.prepare(e)
		if err != nil {
			return nil, err
		}
		own = append(own, p)
	}
	return own, nil
}

// sequencerActor is who the log says the sequencer is.
const sequencerActor = "service:log"
