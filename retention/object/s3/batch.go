package s3

import (
	"context"
	"errors"
	"net/http"
	"path"
	"slices"
	"sync"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"klarsyn/retention/crashpoint"
	"klarsyn/retention/object"
)

// How much is asked of a server at a time.
const (
	deletesAtOnce = 4
	deleteInOne   = 250  // versions in one request: S3 takes a thousand, and a server works on several requests at a time
	page          = 1000 // entries of a listing's page
	listsAtOnce   = 8
	askedAtOnce   = 16 // of what is asked key by key
)

// batch is the removal of many keys.
type batch struct {
	*Store
	keys []string
	out  []object.Deletion
	at   map[string]int // where a key stands in keys; one that comes twice has the answer of its last place
	mu   sync.Mutex     // over out and found
	// found are the versions and markers that a listing showed, by key.
	found map[string][]object.Trace
}

// DeleteAll lists the versions and markers of all keys, removes them in requests of a thousand, ends unfinished uploads, and
// lists what it removed from. What a request for many could not remove it tries once more by itself: some servers know no
// requests for many, and some no version "null". Uploads are asked for key by key, since MinIO tells them no other way.
func (s *Store) DeleteAll(ctx context.Context, keys []string) []object.Deletion {
	b := &batch{Store: s, keys: keys, out: make([]object.Deletion, len(keys)), at: map[string]int{}, found: map[string][]object.Trace{}}
	err := s.proved(ctx, Erase, s.probeErase)
	for i, key := range keys {
		if b.out[i].Err = err; err == nil {
			b.out[i].Err = object.CheckKey(key)
		}
		if b.out[i].Err == nil {
			b.at[key] = i
		}
	}
	b.list(ctx, b.sound())
	// Both at a time: an upload that is finished meanwhile is a version, which the listing below shows.
	var removing sync.WaitGroup
	listed := b.sound()
	removing.Go(func() {
		b.remove(ctx, listed)
		crashpoint.Here("delete.s3.versions")
	})
	removing.Go(func() {
		b.each(ctx, listed, b.endUploads)
		crashpoint.Here("delete.s3.uploads")
	})
	removing.Wait()
	b.found = map[string][]object.Trace{}
	b.list(ctx, b.sound())
	var left []string
	for _, key := range b.sound() {
		if b.out[b.at[key]].Left += len(b.found[key]); b.out[b.at[key]].Left > 0 {
			left = append(left, key)
		}
	}
	b.each(ctx, left, b.again)
	for i, key := range keys { // one that comes twice
		if j, ok := b.at[key]; ok && j != i {
			b.out[i] = object.Deletion{Left: b.out[j].Left, Err: b.out[j].Err}
		}
	}
	return b.out
}

// sound are the keys at which nothing failed, in order.
func (b *batch) sound() []string {
	var keys []string
	for key, i := range b.at {
		if b.out[i].Err == nil {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// each does something for every key, several at a time. What it returns is told at that key.
func (b *batch) each(ctx context.Context, keys []string, do func(ctx context.Context, key string) (object.Deletion, error)) {
	var g errgroup.Group
	g.SetLimit(askedAtOnce)
	for _, key := range keys {
		g.Go(func() error {
			d, err := do(ctx, key)
			b.mu.Lock()
			defer b.mu.Unlock()
			o := &b.out[b.at[key]]
			o.Removed += d.Removed
			o.Left = d.Left
			if o.Err == nil {
				o.Err = err
			}
			return nil
		})
	}
	_ = g.Wait() // errors are told at their keys
}

// list finds the versions and markers of keys, with one listing for those of a folder that begin alike.
func (b *batch) list(ctx context.Context, keys []string) {
	var g errgroup.Group
	g.SetLimit(listsAtOnce)
	for len(keys) > 0 { // they are sorted
		n := 1
		for n < len(keys) && path.Dir(keys[n]) == path.Dir(keys[0]) {
			n++
		}
		group := keys[:n]
		keys = keys[n:]
		g.Go(func() error {
			found, err := b.listTogether(ctx, group)
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, key := range group {
				if err != nil {
					b.out[b.at[key]].Err = err
				}
				b.found[key] = found[key]
			}
			return nil
		})
	}
	_ = g.Wait() // errors are told at their keys
}

// listTogether lists sorted keys of one folder by what they begin with. If too much else begins so they are listed one by one.
func (b *batch) listTogether(ctx context.Context, keys []string) (map[string][]object.Trace, error) {
	found := map[string][]object.Trace{}
	prefixes := []string{common(keys[0], keys[len(keys)-1])}
	for len(prefixes) > 0 {
		seen := 0
		for t, err := range b.versions(ctx, prefixes[0]) {
			if err != nil {
				return nil, err
			}
			if _, asked := slices.BinarySearch(keys, t.Key); asked {
				found[t.Key] = append(found[t.Key], t)
			}
			if seen++; seen > page*len(keys) && len(prefixes) == 1 && len(keys) > 1 { // a page for each key costs as much
				found, prefixes = map[string][]object.Trace{}, append(prefixes, keys...)
				break
			}
		}
		prefixes = prefixes[1:]
	}
	return found, nil
}

// common is what two strings both begin with: of sorted ones, what all between them begin with too.
func common(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// remove takes away what was found. A server that could not be reached is not asked again for these keys; any other refusal is
// looked into key by key, after the listing.
func (b *batch) remove(ctx context.Context, keys []string) {
	var all []minio.ObjectInfo
	for _, key := range keys {
		for _, t := range b.found[key] {
			all = append(all, minio.ObjectInfo{Key: t.Key, VersionID: t.Version})
		}
	}
	var g errgroup.Group
	g.SetLimit(deletesAtOnce)
	for some := range slices.Chunk(all, deleteInOne) {
		g.Go(func() error {
			b.removeTogether(ctx, some)
			return nil
		})
	}
	_ = g.Wait() // errors are told at their keys
}

// removeTogether is one request.
func (b *batch) removeTogether(ctx context.Context, some []minio.ObjectInfo) {
	results, err := b.core.RemoveObjectsWithIter(ctx, b.bucket, slices.Values(some), minio.RemoveObjectsOptions{})
	told := map[string]bool{}
	if err == nil {
		for r := range results {
			told[r.ObjectName] = true
			if i, ours := b.at[r.ObjectName]; ours {
				b.tell(i, r)
			} else {
				err = b.fault("removing versions", "", r.Err) // it is about the whole request
			}
		}
	}
	if err == nil {
		err = b.fault("removing versions", "", ctx.Err()) // the library ends without a word when ctx does
	}
	if err == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range some {
		if i := b.at[v.Key]; !told[v.Key] && b.out[i].Err == nil {
			b.out[i].Err = err
		}
	}
}

// tell notes what the server said of one version.
func (b *batch) tell(i int, r minio.RemoveObjectResult) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case r.Err == nil:
		b.out[i].Removed++
	case !refused(r.Err):
		b.out[i].Err = b.fault("removing versions of", r.ObjectName, r.Err)
	}
}

// refused says that a server has answered, for one version or for all, that it will not do it in this way. What it answers for
// one has no status of its own.
func refused(err error) bool {
	answer := minio.ToErrorResponse(err)
	switch answer.StatusCode {
	case 0:
		var told minio.ErrorResponse
		return errors.As(err, &told) && told.Code != ""
	case http.StatusNotImplemented:
		return true
	default:
		return answer.StatusCode < 500
	}
}

// endUploads ends the unfinished uploads of a key, and lists them again if there were any.
func (b *batch) endUploads(ctx context.Context, key string) (object.Deletion, error) {
	var d object.Deletion
	found, err := b.uploadsOf(ctx, key)
	if err != nil || len(found) == 0 {
		return d, err
	}
	for _, t := range found {
		gone, err := b.Store.remove(ctx, t)
		if err != nil {
			return d, err
		}
		if gone {
			d.Removed++
		}
	}
	found, err = b.uploadsOf(ctx, key)
	d.Left = len(found)
	return d, err
}

func (s *Store) uploadsOf(ctx context.Context, key string) ([]object.Trace, error) {
	var found []object.Trace
	for t, err := range s.uploads(ctx, key) {
		if err != nil {
			return nil, err
		}
		if t.Key == key {
			found = append(found, t)
		}
	}
	return found, nil
}

// again removes by itself what is left of a key, and lists it.
func (b *batch) again(ctx context.Context, key string) (object.Deletion, error) {
	n, err := b.erase(ctx, key)
	d := object.Deletion{Removed: n}
	if err != nil {
		return d, err
	}
	for t, err := range b.Traces(ctx, key) {
		if err != nil {
			return d, err
		}
		if t.Key == key {
			d.Left++
		}
	}
	return d, nil
}
