package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
)

// BackgroundLife is the longest that a background is kept: after a night without its camera the square looks different anyway.
const BackgroundLife = 24 * time.Hour

// background is the ending of a camera's background in the spool; while it is written it has fresh behind it.
const background, fresh = ".background", ".new"

// maxBackground bounds what is read back of a spool that somebody else may have written to.
const maxBackground = 2 << 20

// BackgroundKeys is where the keys of backgrounds are: apart from their bytes, so that neither is of use without the other.
type BackgroundKeys interface {
	KeepBackground(ctx context.Context, cam camera.ID, identity string, deadline time.Time) error
	BackgroundKey(ctx context.Context, cam camera.ID, now time.Time) (string, error)
}

// Backgrounds keeps what counters have learnt in the spool: one a camera, sealed, and never for longer than its permit lets
// footage be kept, nor than BackgroundLife. It implements vision.Backgrounds.
type Backgrounds struct {
	Keys  BackgroundKeys
	Spool string
	// MinFree is how many bytes of the spool's disk are left free, for deletion.
	MinFree uint64
	// Permit is the permit under which a camera may record at a time: without one nothing is kept, and nothing opened.
	Permit func(cam string, at time.Time) (policy.Permit, bool)
	Now    func() time.Time
}

// Keep seals what was learnt to a key of its own, and takes the place of what was kept before.
func (b *Backgrounds) Keep(ctx context.Context, id camera.ID, learnt []byte) error {
	if err := (&spool{folder: b.Spool, minFree: b.MinFree}).room(); err != nil {
		return fmt.Errorf("background of camera %s: %w", id, err)
	}
	now := b.Now()
	permit, ok := b.Permit(string(id), now)
	if !ok {
		return fmt.Errorf("background of camera %s: %w", id, camera.ErrNotPermitted)
	}
	deadline := now.Add(BackgroundLife)
	if until := permit.Until(now); until.Before(deadline) {
		deadline = until
	}
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return fmt.Errorf("background of camera %s: %w", id, err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, key.Recipient())
	if err == nil {
		_, err = w.Write(learnt)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return fmt.Errorf("sealing the background of camera %s: %w", id, err)
	}
	// The row before the bytes: there are never bytes that nobody knows the end of.
	if err := b.Keys.KeepBackground(ctx, id, key.String(), deadline); err != nil {
		return err
	}
	return b.write(string(id)+background, sealed.Bytes())
}

// write puts a file in the place of another. After a crash there is one of them.
func (b *Backgrounds) write(name string, data []byte) error {
	s := &spool{folder: b.Spool}
	f, err := s.open(name+fresh, os.O_CREATE|os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if err := os.Rename(filepath.Join(b.Spool, name+fresh), filepath.Join(b.Spool, name)); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return s.sync()
}

// Recall opens what was kept last; nil if there is none, if it is past its deadline, or if the camera may not record.
func (b *Backgrounds) Recall(ctx context.Context, id camera.ID) ([]byte, error) {
	now := b.Now()
	if _, ok := b.Permit(string(id), now); !ok {
		return nil, nil
	}
	identity, err := b.Keys.BackgroundKey(ctx, id, now)
	if err != nil || identity == "" {
		return nil, err
	}
	key, err := age.ParseX25519Identity(identity)
	if err != nil {
		return nil, fmt.Errorf("the key of the background of camera %s is damaged", id) // without it: it is the key
	}
	f, err := os.Open(filepath.Join(b.Spool, string(id)+background))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	defer f.Close()
	r, err := age.Decrypt(io.LimitReader(f, maxBackground), key)
	if err != nil {
		return nil, fmt.Errorf("the background of camera %s: %w: %w", id, retention.ErrDamaged, err)
	}
	learnt, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("the background of camera %s: %w: %w", id, retention.ErrDamaged, err)
	}
	return learnt, nil
}
