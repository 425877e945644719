package s3_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"go.uber.org/goleak"

	"klarsyn/deploy/testenv"
	"klarsyn/retention/object"
	"klarsyn/retention/object/objecttest"
	"klarsyn/retention/object/s3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bucketKind is a state that a bucket may be in.
type bucketKind string

const (
	plain     bucketKind = "without versions"
	versioned bucketKind = "with versions"
	suspended bucketKind = "with versions suspended"
	locked    bucketKind = "with object lock"
)

// newBucket makes an empty bucket with a name of its own.
func newBucket(t *testing.T, server *testenv.S3, kind bucketKind) string {
	t.Helper()
	admin, name := server.Admin(t), strings.ToLower("b"+rand.Text())
	err := admin.MakeBucket(t.Context(), name, minio.MakeBucketOptions{ObjectLocking: kind == locked})
	if err == nil && (kind == versioned || kind == suspended) {
		err = admin.EnableVersioning(t.Context(), name)
	}
	if err == nil && kind == suspended {
		err = admin.SuspendVersioning(t.Context(), name)
	}
	if err != nil {
		t.Fatalf("bucket %s: %v", kind, err)
	}
	return name
}

// open opens a bucket with the administrator's access key.
func open(t *testing.T, server *testenv.S3, bucket string) *s3.Store {
	t.Helper()
	s, err := s3.Open(s3.Config{
		Endpoint: server.Address, Bucket: bucket, Plain: server.CA == "", CA: server.CA,
		Credentials: testenv.Credentials(t, server.Access, server.Secret),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// The same suite that a directory passes, on real servers, on every kind of bucket.
func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name   string
		server func(testing.TB, ...testenv.S3Option) *testenv.S3
		option []testenv.S3Option
		kinds  []bucketKind
	}{
		{"MinIO", testenv.MinIO, nil, []bucketKind{plain, versioned, suspended, locked}},
		{"MinIO with TLS", testenv.MinIO, []testenv.S3Option{testenv.WithTLS}, []bucketKind{versioned}},
		{"versitygw", testenv.Versitygw, nil, []bucketKind{plain, locked}},
		{"versitygw with versions", testenv.Versitygw, []testenv.S3Option{testenv.WithVersions}, []bucketKind{plain, versioned, suspended, locked}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := c.server(t, c.option...)
			for _, kind := range c.kinds {
				t.Run(string(kind), func(t *testing.T) {
					objecttest.Run(t, func(t *testing.T) object.Store {
						s := open(t, server, newBucket(t, server, kind))
						if err := s.Probe(t.Context(), s3.Put|s3.Get|s3.Erase); err != nil {
							t.Fatal(err)
						}
						return s
					})
				})
			}
		})
	}
}
