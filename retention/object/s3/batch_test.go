package s3_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"klarsyn/deploy/testenv"
	"klarsyn/retention/object"
	"klarsyn/retention/object/s3"
)

func putClip(t *testing.T, s *s3.Store, key string) object.Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, strings.NewReader(key), int64(len(key)), sha256.Sum256([]byte(key)))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// Many keys, in every kind of bucket, with all that other clients left under some of them: all goes, and the neighbours stay.
func TestDeleteAllRemovesWhatOthersLeft(t *testing.T) {
	servers(t, func(t *testing.T, server *testenv.S3) {
		admin := server.Admin(t)
		for _, kind := range []bucketKind{plain, versioned, locked, suspended} {
			t.Run(string(kind), func(t *testing.T) {
				bucket := newBucket(t, server, kind)
				s := open(t, server, bucket)
				var keys []string
				for i := range 12 {
					key := fmt.Sprintf("clips/k%d/2026-01-02/01JD4%03d", i%2, i)
					for range 1 + i%3 { // versions over one another, and markers
						body := []byte(key)
						if _, err := admin.PutObject(t.Context(), bucket, key, bytes.NewReader(body), int64(len(body)), "", "", minio.PutObjectOptions{}); err != nil {
							t.Fatal(err)
						}
						if i%3 == 2 {
							if err := admin.RemoveObject(t.Context(), bucket, key, minio.RemoveObjectOptions{}); err != nil {
								t.Fatal(err)
							}
						}
					}
					if i == 5 {
						if _, err := admin.NewMultipartUpload(t.Context(), bucket, key, minio.PutObjectOptions{}); err != nil {
							t.Fatal(err)
						}
					}
					keys = append(keys, key)
				}
				putClip(t, s, "clips/k0/2026-01-02/01JD4000x")
				putClip(t, s, "clips/k0/2026-01-02/01JD4")
				for i, d := range s.DeleteAll(t.Context(), keys) {
					if d.Err != nil || d.Left != 0 || d.Removed == 0 && kind != plain { // without versions a deletion leaves no marker
						t.Errorf("%s: %+v", keys[i], d)
					}
					if left := traces(t, s, keys[i]); len(left) != 0 {
						t.Errorf("%s: left %v", keys[i], left)
					}
				}
				for _, key := range []string{"clips/k0/2026-01-02/01JD4000x", "clips/k0/2026-01-02/01JD4"} {
					if left := traces(t, s, key); len(left) != 1 {
						t.Errorf("the neighbour %s: %v", key, left)
					}
				}
			})
		}
	})
}

// A version that somebody holds is told, and keeps no other from being removed, wherever it stands in the batch. The hold is
// the store's own: whoever may set it may clear it.
func TestHeldObjectBlocksNoOther(t *testing.T) {
	servers(t, func(t *testing.T, server *testenv.S3) {
		s := open(t, server, newBucket(t, server, locked))
		if err := s.LegalHolds(t.Context()); err != nil {
			t.Fatalf("the bucket has object lock: %v", err)
		}
		var keys []string
		versions := map[string]string{}
		for i := range 9 {
			key := fmt.Sprintf("clips/k1/2026-01-02/01JD4%03d", i)
			keys = append(keys, key)
			versions[key] = putClip(t, s, key).Version
		}
		held := map[string]bool{keys[0]: true, keys[4]: true, keys[8]: true}
		for key := range held {
			for range 2 { // it may be repeated
				if err := s.LegalHold(t.Context(), key, versions[key], true); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, d := range s.DeleteAll(t.Context(), keys) {
			if key := keys[i]; held[key] != (d.Err != nil) || held[key] != (len(traces(t, s, key)) == 1) || !held[key] && d.Removed != 1 {
				t.Errorf("%s, held %v: %+v, left %v", key, held[key], d, traces(t, s, key))
			}
		}
		for key := range held {
			for range 2 {
				if err := s.LegalHold(t.Context(), key, versions[key], false); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, d := range s.DeleteAll(t.Context(), keys) {
			if key := keys[i]; d.Err != nil || d.Left != 0 || len(traces(t, s, key)) != 0 {
				t.Errorf("%s after its hold: %+v", key, d)
			}
		}
		if err := s.LegalHold(t.Context(), keys[0], versions[keys[0]], true); !errors.Is(err, object.ErrNotFound) {
			t.Errorf("a hold on what is gone: %v", err)
		}
	})
}

// A bucket without object lock has no legal holds, and says so.
func TestNoLegalHoldWithoutObjectLock(t *testing.T) {
	servers(t, func(t *testing.T, server *testenv.S3) {
		for _, kind := range []bucketKind{plain, versioned} {
			s := open(t, server, newBucket(t, server, kind))
			info := putClip(t, s, "clips/k1/a")
			if err := s.LegalHold(t.Context(), "clips/k1/a", info.Version, true); !errors.Is(err, object.ErrNoLegalHold) {
				t.Errorf("%s: %v", kind, err)
			}
			if err := s.LegalHolds(t.Context()); !errors.Is(err, object.ErrNoLegalHold) {
				t.Errorf("%s, asked: %v", kind, err)
			}
			if d := s.DeleteAll(t.Context(), []string{"clips/k1/a"})[0]; d.Err != nil || d.Removed != 1 {
				t.Errorf("%s: %+v", kind, d)
			}
		}
	})
}

// A server that knows no deletion of many, or refuses it, is asked key by key.
func TestDeleteAllWithoutRequestsForMany(t *testing.T) {
	server := testenv.MinIO(t)
	for _, status := range []int{http.StatusNotImplemented, http.StatusMethodNotAllowed, http.StatusBadRequest} {
		s := instead(t, server, newBucket(t, server, versioned), func(w http.ResponseWriter, r *http.Request) bool {
			if many(r) {
				w.WriteHeader(status)
			}
			return many(r)
		})
		keys := []string{"clips/k1/a", "clips/k1/b"}
		for _, key := range keys {
			putClip(t, s, key)
		}
		for i, d := range s.DeleteAll(t.Context(), keys) {
			if d.Err != nil || d.Left != 0 || len(traces(t, s, keys[i])) != 0 {
				t.Errorf("%d: %s: %+v", status, keys[i], d)
			}
		}
	}
}

// A server that says it removed all of them and removed none is not believed.
func TestDeleteAllBelievesNoAnswer(t *testing.T) {
	server := testenv.MinIO(t)
	bucket := newBucket(t, server, versioned)
	s := through(t, server, bucket, nil)
	keys := []string{"clips/k1/a", "clips/k1/b"}
	for _, key := range keys {
		putClip(t, s, key)
	}
	if err := s.Probe(t.Context(), s3.Erase); err != nil {
		t.Fatal(err)
	}
	liar := instead(t, server, bucket, func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		case many(r):
			fmt.Fprint(w, `<DeleteResult/>`)
		}
		return r.Method == http.MethodDelete || many(r)
	})
	for i, d := range liar.DeleteAll(t.Context(), keys) {
		if d.Err == nil && d.Left == 0 {
			t.Errorf("%s: %+v", keys[i], d)
		}
		if len(traces(t, s, keys[i])) != 1 {
			t.Errorf("%s was removed: the test does not test what it says", keys[i])
		}
	}
}

// many says that a request is for the deletion of many versions.
func many(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("delete") }

// instead opens a bucket through something that answers some requests itself, and passes the others on.
func instead(t *testing.T, server *testenv.S3, bucket string, answers func(http.ResponseWriter, *http.Request) bool) *s3.Store {
	t.Helper()
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: server.Address})
		r.Out.Host = r.In.Host // it is signed
	}}
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !answers(w, r) {
			pass.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(p.Close)
	s, err := s3.Open(s3.Config{Endpoint: strings.TrimPrefix(p.URL, "http://"), Bucket: bucket, Plain: true, Credentials: testenv.Credentials(t, server.Access, server.Secret)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// A server that hangs ends with the context, and is asked for nothing more.
func TestDeleteAllEndsWithItsContext(t *testing.T) {
	server := testenv.MinIO(t)
	var hang atomic.Bool
	s := through(t, server, newBucket(t, server, versioned), func(r *http.Response) error {
		if hang.Load() {
			<-r.Request.Context().Done()
		}
		return nil
	})
	keys := []string{"clips/k1/a", "clips/k1/b"}
	for _, key := range keys {
		putClip(t, s, key)
	}
	if err := s.Probe(t.Context(), s3.Erase); err != nil {
		t.Fatal(err)
	}
	hang.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	for i, d := range s.DeleteAll(ctx, keys) {
		if !errors.Is(d.Err, object.ErrUnreachable) {
			t.Errorf("%s: %+v", keys[i], d)
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}
