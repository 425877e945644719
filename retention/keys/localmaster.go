package keys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"filippo.io/age"

	"klarsyn/retention/crashpoint"
)

// LocalMaster is the local master key in the hands of who rotates it: both halves.
type LocalMaster struct {
	*Public
	*Secret
	folder string
}

// OpenLocalMaster opens both halves of the local master key in folder.
func OpenLocalMaster(folder string) (*LocalMaster, error) {
	p, err := LoadPublic(folder)
	if err != nil {
		return nil, err
	}
	s, err := LoadSecret(folder)
	if err != nil {
		return nil, err
	}
	return &LocalMaster{p, s, folder}, nil
}

// Name is the master key's, whichever identity it has now.
func (l *LocalMaster) Name() string { return localName }

const localName = "file"

// LocalFormer is a local master key that is being left for one on a key server. It may be half gone.
type LocalFormer struct{ Folder string }

// Open opens what lies under it.
func (l LocalFormer) Open(ctx context.Context, sealed []byte) ([]byte, error) {
	s, err := LoadSecret(l.Folder)
	if err != nil {
		return nil, err
	}
	return s.Open(ctx, sealed)
}

// Destroy destroys all of it.
func (l LocalFormer) Destroy(context.Context) error {
	return destroyFiles(l.Folder, nextFile, formerFile, publicFile, secretFile)
}

func (l *LocalMaster) path(name string) string { return filepath.Join(l.folder, name) }

// Current reports whether sealed lies under the key that seals now, and not under the one before.
func (l *LocalMaster) Current(_ context.Context, sealed []byte) (bool, error) {
	now, err := readIdentity(l.path(secretFile))
	if err != nil {
		return false, err
	}
	_, err = openWith(sealed, now)
	if errors.Is(err, ErrForeign) {
		return false, nil
	}
	return err == nil, err
}

// Renew puts another identity in the place of the master key and keeps the one before beside it. Each step may be repeated after
// a crash: what lies there tells how far it came, and no identity that something may be sealed under is ever replaced.
func (l *LocalMaster) Renew(ctx context.Context) error {
	former, err := exists(l.path(formerFile))
	if err != nil {
		return err
	}
	next, err := exists(l.path(nextFile))
	if err != nil {
		return err
	}
	if !next && !former {
		identity, err := age.GenerateHybridIdentity()
		if err != nil {
			return fmt.Errorf("making a master key: %w", err)
		}
		if err := l.write(nextFile, identity.String()+"\n", secretFile, 0o600); err != nil {
			return err
		}
		next = true
	}
	crashpoint.Here("rotate.made")
	if next {
		if !former {
			if err := errors.Join(os.Link(l.path(secretFile), l.path(formerFile)), syncFolder(l.folder)); err != nil {
				return fmt.Errorf("keeping the master key: %w", err)
			}
		}
		crashpoint.Here("rotate.kept")
		if err := errors.Join(os.Rename(l.path(nextFile), l.path(secretFile)), syncFolder(l.folder)); err != nil {
			return fmt.Errorf("replacing the master key: %w", err)
		}
		crashpoint.Here("rotate.replaced")
	}
	return l.publish(ctx)
}

// publish writes the public half of the master key that is there: whoever mints seals under it from here.
func (l *LocalMaster) publish(context.Context) error {
	identity, err := readIdentity(l.path(secretFile))
	if err != nil {
		return err
	}
	if err := l.write(publicFile, identity.Recipient().String()+"\n", publicFile, 0o644); err != nil {
		return err
	}
	crashpoint.Here("rotate.published")
	return nil
}

// write makes a file appear that belongs to the user and group of another: the processes that read it are not who rotates.
func (l *LocalMaster) write(name, text, like string, mode fs.FileMode) error {
	st, err := os.Stat(l.path(like))
	if err != nil {
		return unreadable("master key", err)
	}
	made := name + ".made"
	if err := writeNew(l.path(made), text, mode); err != nil {
		return err
	}
	if own, ok := st.Sys().(*syscall.Stat_t); ok && (int(own.Uid) != os.Geteuid() || int(own.Gid) != os.Getegid()) {
		if err := os.Chown(l.path(made), int(own.Uid), int(own.Gid)); err != nil {
			return fmt.Errorf("giving %s to the user of %s: %w; run this as that user, or as root", name, like, err)
		}
	}
	if err := errors.Join(os.Rename(l.path(made), l.path(name)), syncFolder(l.folder)); err != nil {
		return fmt.Errorf("writing %s: %w", l.path(name), err)
	}
	return nil
}

// Forget destroys the master key before this one.
func (l *LocalMaster) Forget(context.Context) error { return destroyFiles(l.folder, formerFile) }

// destroyFiles overwrites files before it removes them. A disk may keep what was written there before: see the README.
func destroyFiles(folder string, names ...string) error {
	for _, name := range names {
		path := filepath.Join(folder, name)
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("destroying a master key: %w", err)
		}
		st, err := f.Stat()
		if err == nil {
			_, err = f.Write(make([]byte, st.Size()))
		}
		if err := errors.Join(err, f.Sync(), f.Close(), os.Remove(path)); err != nil {
			return fmt.Errorf("destroying a master key: %w", err)
		}
	}
	return syncFolder(folder)
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("master key: %w", err)
	}
	return true, nil
}
