package fsck

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"klarsyn/retention/object"
)

// Canary is what simulated cameras carry in every access unit, so that plaintext can be searched for.
const Canary = "KLARSYN-CANARY-1"

// NoPlaintext is I11: none of the files under the folders holds the canary. Sockets and pipes are passed over; a
// file that vanishes meanwhile counts as clean. What cannot be read is skipped, by name: one file must not keep
// the others from being searched, and who may read everything is not who checks every day.
func NoPlaintext(ctx context.Context, folders ...string) (Result, error) {
	return Plaintext{}.Search(ctx, folders...)
}

// Plaintext is a search of files.
type Plaintext struct {
	// Without is a folder that is not searched; empty: none.
	Without string
	// Known, if set, says whether a file holds plaintext that was read already.
	Known func(path string) (plain, known bool)
	// Progress, if set, hears how far it came.
	Progress func(what string, done int)
}

// Search searches the files under the folders.
func (p Plaintext) Search(ctx context.Context, folders ...string) (Result, error) {
	r := Result{ID: "I11", What: "no plaintext footage lies in any file"}
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err == nil && d.IsDir() && p.Without != "" && path == filepath.Clean(p.Without) {
				return fs.SkipDir
			}
			found := false
			if err == nil {
				if !d.Type().IsRegular() {
					return nil
				}
				found, err = p.holds(path)
			}
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil: // it names the path
				r.Skipped = append(r.Skipped, err.Error())
			default:
				r.Checked++
				if p.Progress != nil && r.Checked%progressEvery == 0 {
					p.Progress("files searched", r.Checked)
				}
				if found {
					r.broken(place{object: path}, mendPlaintext, "%s holds plaintext footage", path)
				}
			}
			return nil
		})
		if err != nil {
			return r, fmt.Errorf("fsck: searching %s for plaintext: %w", folder, err)
		}
	}
	r.Judge()
	return r, nil
}

// Objects is a store whose bytes can be searched.
type Objects interface {
	Traces(ctx context.Context, prefix string) iter.Seq2[object.Trace, error]
	Stat(ctx context.Context, key string) (object.Info, error)
	Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
}

// Searched is a Store whose objects are searched for plaintext while they are verified, so that none is read twice.
type Searched struct {
	Objects
	mu   sync.Mutex
	read map[digest]bool // what was read, and whether it holds the canary
}

// Search begins a search.
func Search(o Objects) *Searched { return &Searched{Objects: o, read: map[digest]bool{}} }

// Verify reads an object, as object.Store does, and remembers whether it holds the canary.
func (s *Searched) Verify(ctx context.Context, key string) (object.Info, error) {
	body, err := s.Open(ctx, key, 0, -1)
	if err != nil {
		return object.Info{}, err
	}
	defer body.Close()
	sum := sha256.New()
	all := &counted{r: io.TeeReader(body, sum)}
	found, err := contains(all, []byte(Canary))
	if err == nil {
		_, err = io.Copy(io.Discard, all) // a search that found something has not read the rest
	}
	if err != nil {
		return object.Info{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read[digestOf(key)] = found
	return object.Info{Key: key, Size: all.n, SHA256: [sha256.Size]byte(sum.Sum(nil))}, nil
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// NoPlaintext is I11 for a store that is no folder: what was not verified is read now. What only an older version holds
// cannot be read; that it is there at all, I1 tells.
func (s *Searched) NoPlaintext(ctx context.Context) (Result, error) {
	r := Result{ID: "I11", What: "no plaintext footage lies in any object"}
	for t, err := range s.Traces(ctx, "") {
		if err != nil {
			return r, fmt.Errorf("fsck: listing objects to search for plaintext: %w", err)
		}
		if t.Kind != object.Version {
			continue
		}
		found, known := s.Found(t.Key)
		if !known {
			_, err = s.Verify(ctx, t.Key)
			found, _ = s.Found(t.Key)
		}
		switch {
		case ctx.Err() != nil:
			return r, fmt.Errorf("fsck: searching objects for plaintext: %w", ctx.Err())
		case errors.Is(err, object.ErrNotFound):
		case err != nil:
			r.Skipped = append(r.Skipped, err.Error())
		default:
			r.Checked++
			if found {
				r.broken(place{object: t.Key}, mendPlaintext, "object %s holds plaintext footage", t.Key)
			}
		}
	}
	r.Judge()
	return r, nil
}

// Found says whether an object holds the canary, if it was verified.
func (s *Searched) Found(key string) (plain, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	plain, known = s.read[digestOf(key)]
	return plain, known
}

func (p Plaintext) holds(path string) (bool, error) {
	if p.Known != nil {
		if plain, known := p.Known(path); known {
			return plain, nil
		}
	}
	return fileHolds(path)
}

func fileHolds(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return contains(f, []byte(Canary))
}

// contains searches for needle, also where it crosses a buffer's end.
func contains(from io.Reader, needle []byte) (bool, error) {
	r := bufio.NewReaderSize(from, 1<<20)
	tail := []byte{}
	buf := make([]byte, 1<<20)
	for {
		n, err := r.Read(buf)
		window := append(tail, buf[:n]...)
		if bytes.Contains(window, needle) {
			return true, nil
		}
		tail = bytes.Clone(window[max(0, len(window)-len(needle)+1):])
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}
