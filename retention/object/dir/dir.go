// Package dir keeps objects as files of a directory: the embedded default. A file appears under its
// name only when it is whole and on the disk.
package dir

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"klarsyn/retention/object"
)

// Store is an object.Store over one directory of one file system.
type Store struct {
	root string
	// made is the folder of uploads as it was when the store was opened; nil where nothing was made. If another one stands there,
	// or none, what a listing does not show is no proof: the disk may not be mounted any more.
	made fs.FileInfo
	// sync makes the entries of a folder survive a power cut. A test watches it.
	sync func(folder string) error
}

// Open makes the directory if need be and checks that files in it can be linked and locked, which is what makes
// a key write-once. A directory that is there keeps its mode: who shares it says so there, and what is made in
// it follows.
func Open(root string) (*Store, error) { return open(root, linux) }

// Existing is the store of a directory that is there, for who only lists it: it makes and tries nothing.
func Existing(root string) (*Store, error) {
	info, err := os.Stat(root)
	if err == nil && !info.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, fmt.Errorf("object directory %s: %w", root, err)
	}
	return &Store{root: filepath.Clean(root), sync: syncFolder}, nil
}

func open(root string, sys system) (*Store, error) {
	s := &Store{root: filepath.Clean(root), sync: syncFolder}
	err := os.MkdirAll(s.root, 0o770)
	if err == nil {
		err = s.makeFolders(filepath.Join(s.root, uploads))
	}
	if err != nil {
		return nil, fmt.Errorf("object directory %s cannot be made: %w", root, err)
	}
	if err := sys.probe(filepath.Join(s.root, uploads)); err != nil {
		return nil, fmt.Errorf("object directory %s: %w", root, err)
	}
	if s.made, err = os.Stat(filepath.Join(s.root, uploads)); err != nil {
		return nil, fmt.Errorf("object directory %s: %w", root, err)
	}
	return s, nil
}

// same is an error if the directory is not the one that was opened.
func (s *Store) same() error {
	if s.made == nil {
		return nil
	}
	now, err := os.Stat(filepath.Join(s.root, uploads))
	if err == nil && !os.SameFile(s.made, now) {
		err = errors.New("another directory stands there than was opened: is its disk mounted?")
	}
	if err != nil {
		return fmt.Errorf("object directory %s: %w", s.root, err)
	}
	return nil
}

func (s *Store) path(key string) string { return filepath.Join(s.root, filepath.FromSlash(key)) }

// Put writes beside, syncs, and links the file to its name: a link fails where a rename would replace.
func (s *Store) Put(ctx context.Context, key string, body io.Reader, size int64, sum [sha256.Size]byte) (object.Info, error) {
	if err := object.CheckKey(key); err != nil {
		return object.Info{}, err
	}
	f, err := s.newUpload(key)
	if err != nil {
		return object.Info{}, fmt.Errorf("putting %s: %w", key, err)
	}
	defer f.Close() // its lock says until here that somebody is at work on it
	defer os.Remove(f.Name())
	if err := write(ctx, f, body, size, sum); err != nil {
		return object.Info{}, fmt.Errorf("putting %s: %w", key, err)
	}
	switch err := s.link(f.Name(), key); {
	case errors.Is(err, fs.ErrExist):
		have, err := s.Verify(ctx, key)
		if err != nil {
			return object.Info{}, err
		}
		if have.SHA256 != sum || have.Size != size {
			return object.Info{}, fmt.Errorf("putting %s: %w", key, object.ErrExists)
		}
	case err != nil:
		return object.Info{}, fmt.Errorf("putting %s: %w", key, err)
	}
	if err := s.removeAbandoned(ctx, key); err != nil {
		return object.Info{}, fmt.Errorf("putting %s: %w", key, err)
	}
	return object.Info{Key: key, Size: size, SHA256: sum}, nil
}

// Stat says how large the object is.
func (s *Store) Stat(_ context.Context, key string) (object.Info, error) {
	if err := object.CheckKey(key); err != nil {
		return object.Info{}, err
	}
	st, err := os.Stat(s.path(key))
	if err != nil || !st.Mode().IsRegular() {
		return object.Info{}, notFound(key, err)
	}
	return object.Info{Key: key, Size: st.Size()}, nil
}

// Verify hashes the file as it stands.
func (s *Store) Verify(ctx context.Context, key string) (object.Info, error) {
	r, err := s.Open(ctx, key, 0, -1)
	if err != nil {
		return object.Info{}, err
	}
	defer r.Close()
	hash := sha256.New()
	n, err := io.Copy(hash, r)
	if err != nil {
		return object.Info{}, fmt.Errorf("verifying %s: %w", key, err)
	}
	return object.Info{Key: key, Size: n, SHA256: [sha256.Size]byte(hash.Sum(nil))}, nil
}

// Open reads a part of the file.
func (s *Store) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := object.CheckKey(key); err != nil {
		return nil, err
	}
	f, err := os.Open(s.path(key))
	if err != nil {
		return nil, notFound(key, err)
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, notFound(key, err)
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		f.Close()
		return nil, fmt.Errorf("reading %s from byte %d: %w", key, offset, err)
	}
	var r io.Reader = contextReader{ctx, f}
	if length >= 0 {
		r = io.LimitReader(r, length)
	}
	return struct {
		io.Reader
		io.Closer
	}{r, f}, nil
}

// Traces walks the directory.
func (s *Store) Traces(ctx context.Context, prefix string) iter.Seq2[object.Trace, error] {
	return func(yield func(object.Trace, error) bool) {
		enough := false
		err := filepath.WalkDir(s.walkFrom(prefix), func(p string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist): // removed while we walked
				return nil
			case err != nil:
				return err
			case ctx.Err() != nil:
				return ctx.Err()
			case d.IsDir() && d.Name() == uploads && filepath.Dir(p) == s.root:
				return filepath.SkipDir
			case d.IsDir():
				return nil
			}
			rel, err := filepath.Rel(s.root, p)
			if err != nil {
				return err
			}
			key := filepath.ToSlash(rel)
			if !strings.HasPrefix(key, prefix) {
				return nil
			}
			info, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			if !yield(object.Trace{Key: key, Kind: object.Version, Size: info.Size(), Modified: info.ModTime()}, nil) {
				enough = true
				return fs.SkipAll
			}
			return nil
		})
		if enough {
			return
		}
		if err == nil {
			err = s.same()
		}
		if err != nil {
			yield(object.Trace{}, fmt.Errorf("listing objects under %q: %w", prefix, err))
			return
		}
		for t, err := range s.unfinished(ctx, prefix) {
			if !yield(t, err) {
				return
			}
		}
	}
}

// walkFrom is the deepest folder that holds everything under prefix.
func (s *Store) walkFrom(prefix string) string {
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		return s.path(prefix[:i])
	}
	return s.root
}

// notFound names the key; what is not a file is no object.
func notFound(key string, err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		err = object.ErrNotFound
	}
	return fmt.Errorf("object %s: %w", key, err)
}

// contextReader ends a copy when its context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
