package s3_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"klarsyn/deploy/testenv"
	"klarsyn/retention/object"
	"klarsyn/retention/object/s3"
)

const everything = s3.Put | s3.Get | s3.Erase

// between stands between client and server, on plain HTTP, and may change what comes back.
func between(t *testing.T, server *testenv.S3, change func(*http.Response) error) string {
	t.Helper()
	p := httptest.NewServer(&httputil.ReverseProxy{
		// The Host header is signed: it stays what the client sent.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: server.Address})
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{DisableKeepAlives: true}, ModifyResponse: change,
		ErrorLog: log.New(io.Discard, "", 0),
	})
	t.Cleanup(p.Close)
	return strings.TrimPrefix(p.URL, "http://")
}

// accepting answers yes to puts that the server refuses with a status.
func accepting(status int) func(*http.Response) error {
	return func(r *http.Response) error {
		if r.Request.Method == http.MethodPut && r.StatusCode == status {
			r.StatusCode, r.Status = http.StatusOK, "200 OK"
			r.Body, r.ContentLength = http.NoBody, 0
			r.Header = http.Header{"Etag": {`"0"`}}
		}
		return nil
	}
}

// A sound server passes, and what the probe put is gone afterwards.
func TestProbeLeavesNothing(t *testing.T) {
	servers(t, func(t *testing.T, server *testenv.S3) {
		for _, kind := range []bucketKind{plain, versioned, locked} {
			s := open(t, server, newBucket(t, server, kind))
			if err := s.Probe(t.Context(), everything); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			for tr, err := range s.Traces(t.Context(), "") {
				t.Errorf("%s: left %+v, %v", kind, tr, err)
			}
		}
	})
}

// Processes that start together put and take away each other's trial objects, and none blames the server.
func TestProbesTogether(t *testing.T) {
	servers(t, func(t *testing.T, server *testenv.S3) {
		for _, kind := range []bucketKind{plain, versioned} {
			bucket := newBucket(t, server, kind)
			var all errgroup.Group
			for range 4 {
				for _, right := range []s3.Right{s3.Put, s3.Get, s3.Erase} {
					s := open(t, server, bucket)
					all.Go(func() error { return s.Probe(t.Context(), right) })
				}
			}
			if err := all.Wait(); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
	})
}

// A server that says that it has deleted, and has not, is refused.
func TestProbeRefusesWhoKeeps(t *testing.T) {
	server := testenv.MinIO(t)
	bucket := newBucket(t, server, versioned)
	if err := open(t, server, bucket).Probe(t.Context(), s3.Put); err != nil { // it leaves its trial object
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: server.Address})
		r.Out.Host = r.In.Host // it is signed
	}}
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	defer liar.Close()
	cfg := s3.Config{Endpoint: strings.TrimPrefix(liar.URL, "http://"), Bucket: bucket, Plain: true, Credentials: testenv.Credentials(t, server.Access, server.Secret)}
	s, err := s3.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Probe(t.Context(), s3.Erase); !errors.Is(err, object.ErrUnfit) || !strings.Contains(err.Error(), "after its deletion") {
		t.Errorf("probe: %v, want ErrUnfit", err)
	}
}

// A server that does not keep what deletion and write-once rely on is refused before anything is recorded.
func TestProbeRefuses(t *testing.T) {
	server := testenv.MinIO(t)
	retained := func(t *testing.T) string {
		bucket := newBucket(t, server, locked)
		mode, days, unit := minio.Governance, uint(30), minio.Days
		if err := server.Admin(t).SetObjectLockConfig(t.Context(), bucket, &mode, &days, &unit); err != nil {
			t.Fatal(err)
		}
		return bucket
	}
	for _, c := range []struct {
		name   string
		bucket func(*testing.T) string
		change func(*http.Response) error
		want   []string
	}{
		{"a default retention", retained, nil, []string{"GOVERNANCE of 30 days", "mc retention clear"}},
		{"no conditional put", func(t *testing.T) string { return newBucket(t, server, plain) }, accepting(http.StatusPreconditionFailed), []string{"If-None-Match"}},
		{"any hash will do", func(t *testing.T) string { return newBucket(t, server, plain) }, accepting(http.StatusBadRequest), []string{"X-Amz-Content-Sha256"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := s3.Config{Endpoint: server.Address, Bucket: c.bucket(t), Plain: true, Credentials: testenv.Credentials(t, server.Access, server.Secret)}
			if c.change != nil {
				cfg.Endpoint = between(t, server, c.change)
			}
			s, err := s3.Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			err = s.Probe(t.Context(), everything)
			if !errors.Is(err, object.ErrUnfit) {
				t.Fatalf("probe: %v, want ErrUnfit", err)
			}
			for _, w := range append(c.want, cfg.Bucket) {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the refusal lacks %q: %v", w, err)
				}
			}
			// Who did not listen to the probe gets no further.
			b := []byte("x")
			if c.change == nil {
				_, err = s.Delete(t.Context(), "clips/k1/a")
			} else {
				_, err = s.Put(t.Context(), "clips/k1/a", bytes.NewReader(b), 1, sha256.Sum256(b))
			}
			if !errors.Is(err, object.ErrUnfit) {
				t.Errorf("afterwards: %v, want ErrUnfit", err)
			}
		})
	}
}

// What an operator got wrong is named with its mend, and is no verdict about the server.
func TestProbeNamesMistakes(t *testing.T) {
	server, secure := testenv.MinIO(t), testenv.MinIO(t, testenv.WithTLS)
	good := testenv.Credentials(t, server.Access, server.Secret)
	bucket := newBucket(t, server, plain)
	for _, c := range []struct {
		name string
		cfg  s3.Config
		want string
	}{
		{"no such bucket", s3.Config{Endpoint: server.Address, Bucket: "nowhere", Plain: true, Credentials: good}, "bucket does not exist"},
		{"wrong secret", s3.Config{Endpoint: server.Address, Bucket: bucket, Plain: true, Credentials: testenv.Credentials(t, server.Access, "wrong")}, "access key or its secret"},
		{"unknown key", s3.Config{Endpoint: server.Address, Bucket: bucket, Plain: true, Credentials: testenv.Credentials(t, "nobody", "wrong")}, "access key or its secret"},
		{"nobody there", s3.Config{Endpoint: "127.0.0.1:1", Bucket: bucket, Plain: true, Credentials: good, Tries: 1}, "127.0.0.1:1"},
		{"TLS to a server without", s3.Config{Endpoint: server.Address, Bucket: bucket, Credentials: good, Tries: 1}, "speaks no TLS"},
		{"an unknown authority", s3.Config{Endpoint: secure.Address, Bucket: bucket, Credentials: testenv.Credentials(t, secure.Access, secure.Secret)}, "ca=FILE"},
		{"another authority", s3.Config{Endpoint: secure.Address, Bucket: bucket, CA: testenv.Certify(t, filepath.Join(t.TempDir(), "c"), filepath.Join(t.TempDir(), "k")),
			Credentials: testenv.Credentials(t, secure.Access, secure.Secret)}, "ca=FILE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Silence = 5 * time.Second
			s, err := s3.Open(c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			err = s.Probe(t.Context(), everything)
			if err == nil || errors.Is(err, object.ErrUnfit) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("probe: %v, want something of %q", err, c.want)
			}
		})
	}
}

func TestOpenNamesMistakes(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("MINIO_ACCESS_KEY", "")
	t.Setenv("HOME", t.TempDir())
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("s3cret, but no credentials\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg  s3.Config
		want string
	}{
		"no key anywhere":       {s3.Config{Endpoint: "127.0.0.1:1", Bucket: "abc"}, "AWS_ACCESS_KEY_ID"},
		"credentials missing":   {s3.Config{Endpoint: "127.0.0.1:1", Bucket: "abc", Credentials: "/nowhere"}, "/nowhere"},
		"credentials of a sort": {s3.Config{Endpoint: "127.0.0.1:1", Bucket: "abc", Credentials: file}, "aws_access_key_id"},
		"CA missing":            {s3.Config{Endpoint: "127.0.0.1:1", Bucket: "abc", CA: "/nowhere.crt"}, "/nowhere.crt"},
		"CA of a sort":          {s3.Config{Endpoint: "127.0.0.1:1", Bucket: "abc", CA: file}, "PEM"},
	} {
		_, err := s3.Open(c.cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want something of %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error quotes the file: %v", name, err)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for address, want := range map[string]s3.Config{
		"s3://objects.example/clips":                                         {Endpoint: "objects.example", Bucket: "clips"},
		"s3://127.0.0.1:9000/clips/?tls=false":                               {Endpoint: "127.0.0.1:9000", Bucket: "clips", Plain: true},
		"s3://h:9000/clips?region=sto&ca=/etc/ca.crt&credentials=/run/k.ini": {Endpoint: "h:9000", Bucket: "clips", Region: "sto", CA: "/etc/ca.crt", Credentials: "/run/k.ini"},
	} {
		if got, err := s3.ParseAddress(address); err != nil || got != want {
			t.Errorf("%s: %+v, %v", address, got, err)
		}
	}
	for address, want := range map[string]string{
		"s3://AKIA:s3cret@h/clips":              "credentials=FILE",
		"s3://AKIA:s3cret%zz@h/clips":           "not an address",
		"https://h/clips":                       "s3://HOST",
		"s3:///clips":                           "s3://HOST",
		"s3://h":                                "s3://HOST",
		"s3://h/a/b":                            "s3://HOST",
		"s3://h/UPPER":                          "s3://HOST",
		"s3://h/clips?regoin=x":                 "regoin",
		"s3://h/clips?tls=maybe":                "true or false",
		"s3://h/clips?tls=false&ca=/etc/ca.crt": "contradict",
	} {
		_, err := s3.ParseAddress(address)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want something of %q and no secret", address, err, want)
		}
	}
}
