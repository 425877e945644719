package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"klarsyn/retention/crashpoint"
	"klarsyn/retention/object"
)

// Delete removes every trace of one key.
func (s *Store) Delete(ctx context.Context, key string) (int, error) {
	d := s.DeleteAll(ctx, []string{key})[0]
	return d.Removed, d.Err
}

// LegalHold is what a directory has not: whoever may write in it may delete.
func (s *Store) LegalHold(context.Context, string, string, bool) error { return object.ErrNoLegalHold }

// deletion is the removal of many keys, with one sync for each folder.
type deletion struct {
	*Store
	keys []string
	out  []object.Deletion
	at   map[string][]int // where a key stands in keys
}

// DeleteAll removes the objects, then what uploads left behind, then folders that became empty, and lists. It syncs also where
// it finds nothing: who removed it may have died before that, and a power cut would bring it back.
func (s *Store) DeleteAll(ctx context.Context, keys []string) []object.Deletion {
	d := &deletion{s, keys, make([]object.Deletion, len(keys)), map[string][]int{}}
	folders := map[string][]int{} // by folder, relative to the root
	for i, key := range keys {
		if d.out[i].Err = object.CheckKey(key); d.out[i].Err == nil {
			d.at[key] = append(d.at[key], i)
			folders[path.Dir(key)] = append(folders[path.Dir(key)], i)
		}
	}
	if len(d.at) == 0 {
		return d.out
	}
	for folder, in := range folders {
		d.unlink(ctx, folder, in)
	}
	d.uploads(ctx)
	for folder := range folders {
		d.prune(folder)
	}
	for folder, in := range folders {
		d.list(folder, in)
	}
	d.listUploads(ctx)
	return d.out
}

// unlink removes the objects of one folder.
func (d *deletion) unlink(ctx context.Context, folder string, in []int) {
	for _, i := range in {
		err := ctx.Err()
		if err == nil {
			err = os.Remove(d.path(d.keys[i]))
		}
		switch {
		case err == nil:
			d.out[i].Removed++
		case !errors.Is(err, fs.ErrNotExist):
			d.out[i].Err = fmt.Errorf("deleting %s: %w", d.keys[i], err)
		}
	}
	crashpoint.Here("delete.dir.unlinked")
	if err := d.syncEntry(d.path(folder)); err != nil {
		d.fail(in, "deleting %s: %w", err)
	}
	crashpoint.Here("delete.dir.synced")
}

// uploads removes what uploads of the keys left behind.
func (d *deletion) uploads(ctx context.Context) {
	var all []int
	for _, in := range d.at {
		all = append(all, in...)
	}
	for t, err := range d.unfinished(ctx, "") {
		if err != nil {
			d.fail(all, "deleting unfinished uploads of %s: %w", err)
			return
		}
		in, ours := d.at[t.Key]
		if !ours {
			continue
		}
		if err := os.Remove(filepath.Join(d.root, uploads, t.Version)); err == nil {
			d.out[in[0]].Removed++
		} else if !errors.Is(err, fs.ErrNotExist) {
			d.fail(in, "deleting an unfinished upload of %s: %w", err)
		}
	}
	crashpoint.Here("delete.dir.uploads-unlinked")
	if err := d.sync(filepath.Join(d.root, uploads)); err != nil {
		d.fail(all, "deleting unfinished uploads of %s: %w", err)
	}
}

// prune removes folders that became empty.
func (d *deletion) prune(folder string) {
	for ; folder != "."; folder = path.Dir(folder) {
		if os.Remove(d.path(folder)) != nil { // not empty: somebody else's objects
			return
		}
	}
}

// list says which objects of one folder are still there.
func (d *deletion) list(folder string, in []int) {
	entries, err := os.ReadDir(d.path(folder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.fail(in, "listing %s: %w", err)
		return
	}
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		if !e.IsDir() {
			there[path.Join(folder, e.Name())] = true
		}
	}
	for _, i := range in {
		if there[d.keys[i]] {
			d.out[i].Left++
		}
	}
}

// listUploads counts what is left of the keys' uploads.
func (d *deletion) listUploads(ctx context.Context) {
	if err := d.same(); err != nil {
		for _, in := range d.at {
			d.fail(in, "listing what is left of %s: %w", err)
		}
		return
	}
	for t, err := range d.unfinished(ctx, "") {
		if err != nil {
			for _, in := range d.at {
				d.fail(in, "listing unfinished uploads of %s: %w", err)
			}
			return
		}
		for _, i := range d.at[t.Key] {
			d.out[i].Left++
		}
	}
}

// fail tells an error at keys that have none.
func (d *deletion) fail(in []int, format string, err error) {
	for _, i := range in {
		if d.out[i].Err == nil {
			d.out[i].Err = fmt.Errorf(format, d.keys[i], err)
		}
	}
}
