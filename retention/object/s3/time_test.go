package s3_test

import (
	"errors"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
	"klarsyn/retention/object"
	"klarsyn/retention/object/s3"
)

// A server tells its time to whoever asks, with TLS or without, also to one whose access key it does not know.
func TestServersTellTheTime(t *testing.T) {
	for name, server := range map[string]*testenv.S3{
		"MinIO": testenv.MinIO(t), "MinIO with TLS": testenv.MinIO(t, testenv.WithTLS), "versitygw": testenv.Versitygw(t),
	} {
		s, err := s3.Open(s3.Config{
			Endpoint: server.Address, Bucket: "nowhere", Plain: server.CA == "", CA: server.CA, Credentials: testenv.Credentials(t, "nobody", "wrong"),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		at, err := s.Time(t.Context())
		if away := time.Since(at).Abs(); err != nil || away > 5*time.Second {
			t.Errorf("%s: %s, %s away, %v", name, at, away, err)
		}
	}
	gone, err := s3.Open(s3.Config{Endpoint: "127.0.0.1:1", Bucket: "clips", Plain: true, Credentials: testenv.Credentials(t, "a", "b")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gone.Time(t.Context()); !errors.Is(err, object.ErrUnreachable) {
		t.Errorf("a server that is not there: %v", err)
	}
}
