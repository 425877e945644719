package dir

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"klarsyn/retention/object"
)

// uploads holds files that are being written. Its name is no valid key part, so it hides no object.
const uploads = ".uploads"

// newUpload makes a locked file in the uploads folder. The folder's group may read it, whatever the umask: who
// serves it is another user. Another put of the key may take it for abandoned and remove it before it is
// locked: then there is another.
func (s *Store) newUpload(key string) (*os.File, error) {
	folder, err := os.Stat(filepath.Join(s.root, uploads))
	if err != nil {
		return nil, err
	}
	for {
		name := filepath.Join(s.root, uploads, url.PathEscape(key)+"~"+rand.Text())
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		err = f.Chmod(0o600 | folder.Mode()&0o040)
		if err == nil {
			err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		}
		if err != nil {
			return nil, errors.Join(err, f.Close(), os.Remove(name))
		}
		if _, err = os.Lstat(name); err == nil {
			return f, nil
		}
		f.Close()
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

// write stores the body, synced.
func write(ctx context.Context, f *os.File, body io.Reader, size int64, sum [sha256.Size]byte) error {
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, hash), io.LimitReader(contextReader{ctx, body}, size+1))
	if err != nil {
		return err
	}
	if n != size || [sha256.Size]byte(hash.Sum(nil)) != sum {
		return fmt.Errorf("%d bytes of %d: %w", n, size, object.ErrMismatch)
	}
	return f.Sync()
}

// removeAbandoned removes the uploads of key whose writer is dead: a killed process gave up its lock.
func (s *Store) removeAbandoned(ctx context.Context, key string) error {
	for t, err := range s.unfinished(ctx, key) {
		if err != nil {
			return err
		}
		if t.Key != key {
			continue
		}
		name := filepath.Join(s.root, uploads, t.Version)
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			err = os.Remove(name)
		}
		f.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// unfinished lists the uploads under prefix; a trace's Version is the file's name.
func (s *Store) unfinished(_ context.Context, prefix string) iter.Seq2[object.Trace, error] {
	return func(yield func(object.Trace, error) bool) {
		entries, err := os.ReadDir(filepath.Join(s.root, uploads))
		if err != nil {
			yield(object.Trace{}, fmt.Errorf("listing unfinished uploads: %w", err))
			return
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), probing) { // no key begins so
				continue
			}
			escaped, _, _ := strings.Cut(e.Name(), "~")
			key, err := url.PathUnescape(escaped)
			if err != nil || !strings.HasPrefix(key, prefix) {
				continue
			}
			info, err := e.Info()
			if err != nil { // finished or removed meanwhile
				continue
			}
			if !yield(object.Trace{Key: key, Kind: object.Upload, Version: e.Name(), Size: info.Size(), Modified: info.ModTime()}, nil) {
				return
			}
		}
	}
}
