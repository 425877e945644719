package fsck

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"klarsyn/retention/object"
)

// Canary is what simulated cameras carry in every access unit, so that plaintext can be searched for.
const Canary = "KLARSYN-CANARY-1"

// NoPlaintext is I11: none of the files under the folders holds the canary. Sockets and pipes are passed over; a
// file that vanishes meanwhile counts as clean. What cannot be read is skipped, by name: one file must not keep
// the others from being searched, and who may read everything is not who checks every day.
func NoPlaintext(ctx context.Context, folders ...string) (Result, error) {
	r := Result{ID: "I11", What: "no plaintext footage lies in any file", Violations: []string{}}
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			found := false
			if err == nil {
				if !d.Type().IsRegular() {
					return nil
				}
				found, err = fileHolds(path)
			}
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil: // it names the path
				r.Skipped = append(r.Skipped, err.Error())
			default:
				r.Checked++
				if found {
					r.broken("%s holds plaintext footage", path)
				}
			}
			return nil
		})
		if err != nil {
			return r, fmt.Errorf("fsck: searching %s for plaintext: %w", folder, err)
		}
	}
	return r, nil
}

// Objects is a store whose bytes are searched.
type Objects interface {
	Traces(ctx context.Context, prefix string) iter.Seq2[object.Trace, error]
	Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
}

// NoPlaintextObjects is I11 for a store that is no folder: every object is read and searched as NoPlaintext searches
// files. What only an older version holds cannot be read; that it is there at all, I1 tells.
func NoPlaintextObjects(ctx context.Context, store Objects) (Result, error) {
	r := Result{ID: "I11", What: "no plaintext footage lies in any object", Violations: []string{}}
	for t, err := range store.Traces(ctx, "") {
		if err != nil {
			return r, fmt.Errorf("fsck: listing objects to search for plaintext: %w", err)
		}
		if t.Kind != object.Version {
			continue
		}
		found, err := objectHolds(ctx, store, t.Key)
		switch {
		case ctx.Err() != nil:
			return r, fmt.Errorf("fsck: searching objects for plaintext: %w", ctx.Err())
		case errors.Is(err, object.ErrNotFound):
		case err != nil:
			r.Skipped = append(r.Skipped, err.Error())
		default:
			r.Checked++
			if found {
				r.broken("object %s holds plaintext footage", t.Key)
			}
		}
	}
	return r, nil
}

func objectHolds(ctx context.Context, store Objects, key string) (bool, error) {
	body, err := store.Open(ctx, key, 0, -1)
	if err != nil {
		return false, err
	}
	defer body.Close()
	return holds(body, []byte(Canary))
}

func fileHolds(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return holds(f, []byte(Canary))
}

// holds searches for needle, also where it crosses a buffer's end.
func holds(from io.Reader, needle []byte) (bool, error) {
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
