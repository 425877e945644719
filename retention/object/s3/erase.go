package s3

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/minio/minio-go/v7"

	"klarsyn/retention/object"
)

// nullVersion is how servers name the version that was put while a bucket had no versions.
const nullVersion = "null"

// Delete removes every version and marker by its id, since a deletion without one only adds a marker, and
// ends unfinished uploads. Every removal's own error is told.
func (s *Store) Delete(ctx context.Context, key string) (int, error) {
	if err := object.CheckKey(key); err != nil {
		return 0, err
	}
	if err := s.proved(ctx, Erase, s.probeErase); err != nil {
		return 0, err
	}
	return s.erase(ctx, key)
}

func (s *Store) erase(ctx context.Context, key string) (int, error) {
	// All are listed before one is removed: a listing that shrinks while it is read may skip.
	var found []object.Trace
	for t, err := range s.versions(ctx, key) {
		if err != nil {
			return 0, err
		}
		// Not broken off at the first other key: versitygw lists the markers of all keys before versions.
		if t.Key == key {
			found = append(found, t)
		}
	}
	for t, err := range s.uploads(ctx, key) {
		if err != nil {
			return 0, err
		}
		if t.Key == key {
			found = append(found, t)
		}
	}
	removed := 0
	var errs []error
	for _, t := range found {
		gone, err := s.remove(ctx, t)
		if err != nil {
			errs = append(errs, err)
		} else if gone {
			removed++
		}
	}
	return removed, errors.Join(errs...)
}

// remove takes one trace away; false if somebody else did.
func (s *Store) remove(ctx context.Context, t object.Trace) (bool, error) {
	var err error
	if t.Kind == object.Upload {
		err = s.core.AbortMultipartUpload(ctx, s.bucket, t.Key, t.Version)
	} else {
		err = s.core.RemoveObject(ctx, s.bucket, t.Key, minio.RemoveObjectOptions{VersionID: t.Version})
		if err != nil && t.Version == nullVersion {
			err = s.removeUnversioned(ctx, t.Key, err)
		}
	}
	err = s.fault(fmt.Sprintf("removing %s %s of", t.Kind, t.Version), t.Key, err)
	if errors.Is(err, object.ErrNotFound) {
		return false, nil
	}
	if err != nil && s.left(ctx, t) {
		return false, nil // versitygw calls the id of a version that somebody else has just removed invalid
	}
	return err == nil, err
}

// left says that a listing answers and that a trace is not in it any more.
func (s *Store) left(ctx context.Context, t object.Trace) bool {
	for other, err := range s.Traces(ctx, t.Key) {
		if err != nil || other.Key == t.Key && other.Kind == t.Kind && other.Version == t.Version {
			return false
		}
	}
	return true
}

// removeUnversioned deletes without a version, for servers that name a version "null" and then do not know
// it. In a bucket that has, or had, versions this would only add a marker.
func (s *Store) removeUnversioned(ctx context.Context, key string, because error) error {
	v, err := s.core.GetBucketVersioning(ctx, s.bucket)
	if err != nil || v.Status != "" {
		return because
	}
	return s.core.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{})
}

// Traces lists versions and markers, then unfinished uploads. MinIO tells the uploads of one key only, never
// those under a prefix: there a listing of more than one key misses uploads that other clients began.
func (s *Store) Traces(ctx context.Context, prefix string) iter.Seq2[object.Trace, error] {
	return func(yield func(object.Trace, error) bool) {
		for _, list := range []iter.Seq2[object.Trace, error]{s.versions(ctx, prefix), s.uploads(ctx, prefix)} {
			for t, err := range list {
				if !yield(t, err) || err != nil {
					return
				}
			}
		}
	}
}

// versions lists versions and markers under prefix. A bucket without versions answers, too.
func (s *Store) versions(ctx context.Context, prefix string) iter.Seq2[object.Trace, error] {
	return func(yield func(object.Trace, error) bool) {
		opts := minio.ListObjectsOptions{Prefix: prefix, Recursive: true, WithVersions: true}
		for o := range s.core.ListObjectsIter(ctx, s.bucket, opts) {
			if o.Err != nil {
				yield(object.Trace{}, s.fault("listing", prefix, o.Err))
				return
			}
			t := object.Trace{Key: o.Key, Kind: object.Version, Version: o.VersionID, Size: o.Size, Modified: o.LastModified}
			if o.IsDeleteMarker {
				t.Kind = object.Marker
			}
			if !yield(t, nil) {
				return
			}
		}
		// The library ends a listing without a word when ctx does: what was not listed is not absent.
		if err := ctx.Err(); err != nil {
			yield(object.Trace{}, s.fault("listing", prefix, err))
		}
	}
}

// uploads lists unfinished uploads, which no other listing shows although they hold bytes.
func (s *Store) uploads(ctx context.Context, prefix string) iter.Seq2[object.Trace, error] {
	return func(yield func(object.Trace, error) bool) {
		const page = 1000
		keyMarker, idMarker := "", ""
		for {
			found, err := s.core.ListMultipartUploads(ctx, s.bucket, prefix, keyMarker, idMarker, "", page)
			if err != nil {
				yield(object.Trace{}, s.fault("listing unfinished uploads of", prefix, err))
				return
			}
			for _, u := range found.Uploads {
				if !yield(object.Trace{Key: u.Key, Kind: object.Upload, Version: u.UploadID, Size: u.Size, Modified: u.Initiated}, nil) {
					return
				}
			}
			if !found.IsTruncated {
				return
			}
			if found.NextKeyMarker == keyMarker && found.NextUploadIDMarker == idMarker {
				yield(object.Trace{}, s.fault("listing unfinished uploads of", prefix, errors.New("the listing does not get on: the server repeats a page")))
				return
			}
			keyMarker, idMarker = found.NextKeyMarker, found.NextUploadIDMarker
		}
	}
}
