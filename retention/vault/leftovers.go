package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"klarsyn/retention"
	"klarsyn/retention/crashpoint"
)

// Spool is the spool as one of the places that a sweeper clears.
type Spool struct{ Leftovers }

// Erase removes the files of the clips that the keys name, syncs once, also where it finds none, and lists.
func (s Spool) Erase(ctx context.Context, keys []string) []retention.Erasure {
	erased := make([]retention.Erasure, len(keys))
	folder := &spool{folder: s.Folder, synced: s.synced}
	for i, key := range keys {
		for _, ending := range []string{sealed, index} {
			err := ctx.Err()
			if err == nil {
				err = os.Remove(folder.path(path.Base(key), ending))
			}
			switch {
			case err == nil:
				erased[i].Removed++
			case !errors.Is(err, fs.ErrNotExist):
				erased[i].Err = fmt.Errorf("spool: %w", err)
			}
		}
	}
	crashpoint.Here("delete.spool.unlinked")
	if err := folder.sync(); err != nil && !errors.Is(err, fs.ErrNotExist) { // no recorder ever had a spool here
		return failed(erased, err)
	}
	crashpoint.Here("delete.spool.synced")
	ids, err := Spooled(s.Folder)
	if err != nil {
		return failed(erased, err)
	}
	left := make(map[string]bool, len(ids))
	for _, id := range ids {
		left[id] = true
	}
	for i, key := range keys {
		if left[path.Base(key)] {
			erased[i].Left++
		}
	}
	return erased
}

func failed(erased []retention.Erasure, err error) []retention.Erasure {
	for i := range erased {
		if erased[i].Err == nil {
			erased[i].Err = err
		}
	}
	return erased
}
