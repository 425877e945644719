package s3_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
	"klarsyn/retention/object"
	"klarsyn/retention/object/s3"
)

// through opens a bucket through something that changes answers.
func through(t *testing.T, server *testenv.S3, bucket string, change func(*http.Response) error) *s3.Store {
	t.Helper()
	s, err := s3.Open(s3.Config{
		Endpoint: between(t, server, change), Bucket: bucket, Plain: true, Silence: 2 * time.Second,
		Credentials: testenv.Credentials(t, server.Access, server.Secret),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Probe(t.Context(), s3.Put); err != nil {
		t.Fatal(err)
	}
	return s
}

// clip is a body of some size with its hash.
func clip(size int) ([]byte, [sha256.Size]byte) {
	b := make([]byte, size)
	rand.Read(b)
	return b, sha256.Sum256(b)
}

// The answer to a put that worked is lost: the put is found to stand, and there is one of it.
func TestAnswerLostAfterThePut(t *testing.T) {
	servers(t, func(t *testing.T, server *testenv.S3) {
		var lose atomic.Bool
		s := through(t, server, newBucket(t, server, versioned), func(r *http.Response) error {
			if r.Request.Method == http.MethodPut && lose.CompareAndSwap(true, false) {
				return errors.New("lost on the way")
			}
			return nil
		})
		b, sum := clip(200_000)
		for name, body := range map[string]io.Reader{"sent again by itself": bytes.NewReader(b), "sent again by its caller": io.MultiReader(bytes.NewReader(b))} {
			key := "clips/k1/" + strings.ReplaceAll(name, " ", "-")
			lose.Store(true)
			info, err := s.Put(t.Context(), key, body, int64(len(b)), sum)
			if _, again := body.(io.Seeker); !again {
				if err == nil {
					t.Errorf("%s: the lost answer was not told", name)
				}
				info, err = s.Put(t.Context(), key, bytes.NewReader(b), int64(len(b)), sum)
			}
			if err != nil || info.SHA256 != sum || info.Size != int64(len(b)) || info.Version == "" {
				t.Errorf("%s: %+v, %v", name, info, err)
			}
			if got := traces(t, s, key); !slices.Equal(got, []object.Kind{object.Version}) {
				t.Errorf("%s: %v", name, got)
			}
		}
	})
}

// A server in trouble is asked a few times, and no more.
func TestTriesAreBounded(t *testing.T) {
	server := testenv.MinIO(t)
	var failing atomic.Bool
	var asked atomic.Int64
	s := through(t, server, newBucket(t, server, plain), func(r *http.Response) error {
		if !failing.Load() {
			return nil
		}
		asked.Add(1)
		return errors.New("in trouble")
	})
	b, sum := clip(1000)
	if _, err := s.Put(t.Context(), "clips/k1/before", bytes.NewReader(b), 1000, sum); err != nil {
		t.Fatal(err)
	}
	failing.Store(true)
	for name, ask := range map[string]func(context.Context) error{
		"put": func(ctx context.Context) error {
			_, err := s.Put(ctx, "clips/k1/a", bytes.NewReader(b), 1000, sum)
			return err
		},
		"stat":   func(ctx context.Context) error { _, err := s.Stat(ctx, "clips/k1/before"); return err },
		"verify": func(ctx context.Context) error { _, err := s.Verify(ctx, "clips/k1/before"); return err },
		"open":   func(ctx context.Context) error { _, err := s.Open(ctx, "clips/k1/before", 0, -1); return err },
		"delete": func(ctx context.Context) error { _, err := s.Delete(ctx, "clips/k1/before"); return err },
	} {
		asked.Store(0)
		err := ask(t.Context())
		if err == nil || errors.Is(err, object.ErrNotFound) || errors.Is(err, object.ErrUnfit) {
			t.Errorf("%s: %v", name, err)
		}
		if n := asked.Load(); n < 2 || n > 3 {
			t.Errorf("%s: asked %d times, want 2 or 3", name, n)
		}
	}
	failing.Store(false)
	if v, err := s.Verify(t.Context(), "clips/k1/before"); err != nil || v.SHA256 != sum {
		t.Errorf("afterwards: %+v, %v", v, err)
	}
}

// A server that hangs is given up after a silence, whatever it hangs in; when it goes on, all is well.
func TestServerThatHangs(t *testing.T) {
	server := testenv.MinIO(t)
	bucket := newBucket(t, server, versioned)
	s, err := s3.Open(s3.Config{
		Endpoint: server.Address, Bucket: bucket, Plain: true, Tries: 1, Silence: time.Second,
		Credentials: testenv.Credentials(t, server.Access, server.Secret),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, sum := clip(8 << 20)
	if _, err := s.Put(t.Context(), "clips/k1/before", bytes.NewReader(b), int64(len(b)), sum); err != nil {
		t.Fatal(err)
	}
	reading, err := s.Open(t.Context(), "clips/k1/before", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()
	server.Halt(t)
	began := time.Now()
	_, readErr := io.Copy(io.Discard, reading)
	_, putErr := s.Put(t.Context(), "clips/k1/a", bytes.NewReader(b), int64(len(b)), sum)
	_, deleteErr := s.Delete(t.Context(), "clips/k1/before")
	_, statErr := s.Stat(t.Context(), "clips/k1/before")
	for name, err := range map[string]error{"reading": readErr, "putting": putErr, "deleting": deleteErr, "asking": statErr} {
		if err == nil || errors.Is(err, object.ErrNotFound) {
			t.Errorf("%s on a server that hangs: %v", name, err)
		}
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %s to give up four requests of a second's silence each", took)
	}
	server.Resume(t)
	if info, err := s.Put(t.Context(), "clips/k1/a", bytes.NewReader(b), int64(len(b)), sum); err != nil || info.SHA256 != sum {
		t.Errorf("put afterwards: %+v, %v", info, err)
	}
	if _, err := s.Delete(t.Context(), "clips/k1/before"); err != nil {
		t.Errorf("delete afterwards: %v", err)
	}
	if got := traces(t, s, "clips/k1/a"); !slices.Equal(got, []object.Kind{object.Version}) {
		t.Errorf("of the put there are %v", got)
	}
}

// A server that was stopped has lost nothing that it acknowledged, and is used again when it is back.
func TestServerThatStops(t *testing.T) {
	servers(t, func(t *testing.T, server *testenv.S3) {
		s := open(t, server, newBucket(t, server, versioned))
		b, sum := clip(300_000)
		if _, err := s.Put(t.Context(), "clips/k1/before", bytes.NewReader(b), int64(len(b)), sum); err != nil {
			t.Fatal(err)
		}
		server.Stop()
		if _, err := s.Put(t.Context(), "clips/k1/a", bytes.NewReader(b), int64(len(b)), sum); err == nil {
			t.Error("a stopped server took a clip")
		}
		if _, err := s.Stat(t.Context(), "clips/k1/before"); err == nil || errors.Is(err, object.ErrNotFound) {
			t.Errorf("a stopped server says of a clip that it has: %v", err)
		}
		server.Start(t)
		if v, err := s.Verify(t.Context(), "clips/k1/before"); err != nil || v.SHA256 != sum {
			t.Errorf("after the stop: %+v, %v", v, err)
		}
		if _, err := s.Put(t.Context(), "clips/k1/a", bytes.NewReader(b), int64(len(b)), sum); err != nil {
			t.Errorf("after the stop: %v", err)
		}
	})
}

// A store without room refuses, keeps no half, goes on deleting, and takes clips when there is room.
func TestServerWithoutRoom(t *testing.T) {
	server := testenv.Versitygw(t, testenv.In(testenv.Tmpfs(t, 24)))
	s := open(t, server, newBucket(t, server, plain))
	b, sum := clip(8 << 20)
	var kept []string
	var err error
	for i := 0; i < 10 && err == nil; i++ {
		key := "clips/k1/" + string(rune('a'+i))
		if _, err = s.Put(t.Context(), key, bytes.NewReader(b), int64(len(b)), sum); err == nil {
			kept = append(kept, key)
		}
	}
	if err == nil || len(kept) == 0 {
		t.Fatalf("%d clips of 8 MiB fit into 24 MiB: %v", len(kept), err)
	}
	var listed []string
	for tr, err := range s.Traces(t.Context(), "clips/") {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, tr.Key)
	}
	slices.Sort(listed)
	if !slices.Equal(listed, kept) {
		t.Errorf("the store lists %v, it took %v", listed, kept)
	}
	if n, err := s.Delete(t.Context(), kept[0]); n != 1 || err != nil {
		t.Fatalf("deleting on a full store: %d, %v", n, err)
	}
	if _, err := s.Put(t.Context(), "clips/k1/again", bytes.NewReader(b), int64(len(b)), sum); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
