package fsck

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
				found, err = holds(path, []byte(Canary))
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

// holds searches a file for needle, also where it crosses a buffer's end.
func holds(path string, needle []byte) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
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
