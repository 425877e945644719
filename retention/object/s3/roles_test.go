package s3_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"klarsyn/deploy/testenv"
	"klarsyn/retention/object"
	"klarsyn/retention/object/s3"
)

// makeRoles runs the documented script and returns the folder of the credentials.
func makeRoles(t *testing.T, server *testenv.S3, bucket string) string {
	t.Helper()
	folder := t.TempDir()
	scheme := "http"
	if server.CA != "" {
		scheme = "https"
	}
	script := func(env ...string) error {
		c := exec.Command("../../../deploy/roles/minio.sh", scheme+"://"+server.Address, bucket, folder)
		c.Env = append(os.Environ(), append(env, "MC="+testenv.Installed(t, "mc"), "CA="+server.CA)...)
		out, err := c.CombinedOutput()
		if err != nil {
			return fmt.Errorf("minio.sh: %w: %s", err, out)
		}
		return nil
	}
	if err := script(); err == nil || !strings.Contains(err.Error(), "MINIO_ROOT_USER") {
		t.Errorf("without an administrator: %v", err)
	}
	for range 2 { // it may be run again
		if err := script("MINIO_ROOT_USER="+server.Access, "MINIO_ROOT_PASSWORD="+server.Secret); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// Each process can do its part with the access key that the script makes for it, and nothing else: whoever
// takes over the recorder can delete nothing and read nothing, who takes over the page puts parts for cases and deletes nothing.
func TestRoles(t *testing.T) {
	server := testenv.MinIO(t, testenv.WithTLS)
	if err := server.Admin(t).MakeBucket(t.Context(), "clips", minio.MakeBucketOptions{ObjectLocking: true}); err != nil {
		t.Fatal(err)
	}
	folder := makeRoles(t, server, "clips")
	as := func(role string) *s3.Store {
		s, err := s3.Open(s3.Config{Endpoint: server.Address, Bucket: "clips", CA: server.CA, Credentials: filepath.Join(folder, role+".credentials"), Tries: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	ingest, serve, retain, fsck := as("ingest"), as("serve"), as("retain"), as("fsck")
	for name, probe := range map[string]error{
		"ingest": ingest.Probe(t.Context(), s3.Put), "serve": serve.Probe(t.Context(), s3.Get), "retain": retain.Probe(t.Context(), s3.Erase),
	} {
		if probe != nil {
			t.Fatalf("%s cannot start: %v", name, probe)
		}
	}
	b, sum := clip(100_000)
	put := func(s *s3.Store, key string) error {
		_, err := s.Put(t.Context(), key, bytes.NewReader(b), int64(len(b)), sum)
		return err
	}
	get := func(s *s3.Store) error { _, err := s.Verify(t.Context(), "clips/k1/a"); return err }
	list := func(s *s3.Store) error {
		n := 0
		for _, err := range s.Traces(t.Context(), "clips/") {
			if err != nil {
				return err
			}
			n++
		}
		if n != 1 {
			t.Errorf("%d traces are listed, want 1", n)
		}
		return nil
	}
	erase := func(s *s3.Store) error { _, err := s.Delete(t.Context(), "clips/k1/a"); return err }

	if err := put(ingest, "clips/k1/a"); err != nil {
		t.Fatalf("ingest cannot put: %v", err)
	}
	if err := put(ingest, "clips/k1/a"); err != nil { // its answer was lost
		t.Errorf("ingest cannot repeat a put: %v", err)
	}
	for what, err := range map[string]error{
		"ingest reads": get(ingest), "ingest lists": list(ingest), "ingest deletes": erase(ingest),
		"serve lists": list(serve), "serve deletes": erase(serve),
		"retain puts": put(retain, "clips/k1/b"), "retain reads": get(retain),
		"fsck puts": put(fsck, "clips/k1/b"), "fsck deletes": erase(fsck),
		"ingest holds": ingest.LegalHolds(t.Context()), "serve holds": serve.LegalHolds(t.Context()), "fsck holds": fsck.LegalHolds(t.Context()),
	} {
		if !errors.Is(err, object.ErrDenied) {
			t.Errorf("%s: %v, want ErrDenied", what, err)
		}
	}
	for what, err := range map[string]error{"serve reads": get(serve), "fsck reads": get(fsck), "fsck lists": list(fsck), "retain lists": list(retain), "retain holds": retain.LegalHolds(t.Context()), "retain deletes": erase(retain), "serve puts": put(serve, "clips/k2/part")} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := get(fsck); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("after its deletion: %v", err)
	}
}

// The secrets that the script makes are nobody else's to read.
func TestRolesKeepTheirSecrets(t *testing.T) {
	server := testenv.MinIO(t)
	folder := makeRoles(t, server, "clips")
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 5 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	seen := map[string]bool{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", e.Name(), info.Mode(), err)
		}
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		_, secret, _ := strings.Cut(string(text), "aws_secret_access_key = ")
		if secret = strings.TrimSpace(secret); len(secret) < 30 || seen[secret] {
			t.Errorf("%s: a secret of %d characters, seen before: %v", e.Name(), len(secret), seen[secret])
		}
		seen[secret] = true
	}
}
