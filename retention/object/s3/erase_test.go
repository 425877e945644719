package s3_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"

	"github.com/minio/minio-go/v7"

	"klarsyn/deploy/testenv"
	"klarsyn/retention/object"
	"klarsyn/retention/object/s3"
)

// servers are the real servers that a test runs on.
func servers(t *testing.T, test func(t *testing.T, server *testenv.S3)) {
	t.Helper()
	t.Run("MinIO", func(t *testing.T) { test(t, testenv.MinIO(t)) })
	t.Run("versitygw", func(t *testing.T) { test(t, testenv.Versitygw(t, testenv.WithVersions)) })
}

// traces lists what the store holds of one key.
func traces(t *testing.T, s *s3.Store, key string) []object.Kind {
	t.Helper()
	var kinds []object.Kind
	for tr, err := range s.Traces(t.Context(), key) {
		if err != nil {
			t.Fatal(err)
		}
		if tr.Key == key {
			kinds = append(kinds, tr.Kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// Whatever other clients and older rules left under a key goes with it: versions over one another, markers
// that hide them, uploads that nobody finished. The neighbours stay.
func TestDeleteRemovesWhatOthersLeft(t *testing.T) {
	servers(t, func(t *testing.T, server *testenv.S3) {
		admin := server.Admin(t)
		for _, kind := range []bucketKind{versioned, locked, suspended} {
			t.Run(string(kind), func(t *testing.T) {
				bucket := newBucket(t, server, kind)
				s := open(t, server, bucket)
				for _, key := range []string{"clips/k1/a", "clips/k1/a", "clips/k1/ab", "clips/k1/a"} {
					body := []byte("version of " + key)
					if _, err := admin.PutObject(t.Context(), bucket, key, bytes.NewReader(body), int64(len(body)), "", "", minio.PutObjectOptions{}); err != nil {
						t.Fatal(err)
					}
					if err := admin.RemoveObject(t.Context(), bucket, key, minio.RemoveObjectOptions{}); err != nil {
						t.Fatal(err)
					}
				}
				for range 2 {
					id, err := admin.NewMultipartUpload(t.Context(), bucket, "clips/k1/a", minio.PutObjectOptions{})
					if err != nil {
						t.Fatal(err)
					}
					part := bytes.Repeat([]byte("p"), 1<<20)
					if _, err := admin.PutObjectPart(t.Context(), bucket, "clips/k1/a", id, 1, bytes.NewReader(part), int64(len(part)), minio.PutObjectPartOptions{}); err != nil {
						t.Fatal(err)
					}
				}
				before := traces(t, s, "clips/k1/a")
				for _, want := range []object.Kind{object.Marker, object.Upload} {
					if !slices.Contains(before, want) {
						t.Fatalf("the test planted no %s: %v", want, before)
					}
				}
				removed, err := s.Delete(t.Context(), "clips/k1/a")
				if err != nil || removed != len(before) {
					t.Errorf("removed %d of %d: %v", removed, len(before), err)
				}
				if left := traces(t, s, "clips/k1/a"); len(left) != 0 {
					t.Errorf("left: %v", left)
				}
				if left := traces(t, s, "clips/k1/ab"); len(left) == 0 {
					t.Error("a neighbour went, too")
				}
			})
		}
	})
}

// What the store itself keeps is told, never passed over: here a lawful hold that somebody placed.
func TestDeleteTellsWhatItMayNotRemove(t *testing.T) {
	servers(t, func(t *testing.T, server *testenv.S3) {
		bucket := newBucket(t, server, locked)
		s := open(t, server, bucket)
		b := []byte("held")
		info, err := s.Put(t.Context(), "clips/k1/held", bytes.NewReader(b), 4, sha256.Sum256(b))
		if err != nil {
			t.Fatal(err)
		}
		on := minio.LegalHoldEnabled
		if err := server.Admin(t).PutObjectLegalHold(t.Context(), bucket, "clips/k1/held", minio.PutObjectLegalHoldOptions{Status: &on, VersionID: info.Version}); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Delete(t.Context(), "clips/k1/held"); n != 0 || err == nil {
			t.Errorf("removed %d, %v", n, err)
		}
		if left := traces(t, s, "clips/k1/held"); !slices.Equal(left, []object.Kind{object.Version}) {
			t.Errorf("left: %v", left)
		}
		off := minio.LegalHoldDisabled
		if err := server.Admin(t).PutObjectLegalHold(t.Context(), bucket, "clips/k1/held", minio.PutObjectLegalHoldOptions{Status: &off, VersionID: info.Version}); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Delete(t.Context(), "clips/k1/held"); n != 1 || err != nil {
			t.Errorf("after the hold: removed %d, %v", n, err)
		}
	})
}

// A listing that its caller gave up proves nothing, and must not look like an empty one.
func TestListingThatIsCutShortIsAnError(t *testing.T) {
	server := testenv.MinIO(t)
	s := open(t, server, newBucket(t, server, versioned))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range s.Traces(ctx, "") {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("the listing ended with %v", last)
	}
}
