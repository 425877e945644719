package s3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"klarsyn/retention/object"
)

// Right is what a process may do with a store.
type Right int

// The rights of the three processes: ingest puts, serve reads, retain lists and deletes.
const (
	Put Right = 1 << iota
	Get
	Erase
)

// Processes that start together probe the same keys: one may take away what another has just put, or put again what
// it has just taken away. So a server is only found unfit if it fails this often in a row, with a pause between.
const (
	probes     = 5
	probePause = 200 * time.Millisecond
)

// What a probe leaves while it runs. Who may put but not delete leaves onceKey behind: a few bytes, which
// whoever deletes removes at its next start.
const (
	onceKey = "probe/write-once"
	hashKey = "probe/hash"
)

// Probe tries whether the server keeps what each right relies on. A server that does not is told with
// object.ErrUnfit: starting on it would promise what it does not keep. Any other error means that it could
// not be asked; then the first Put or Delete asks again.
func (s *Store) Probe(ctx context.Context, rights Right) error {
	for _, p := range []struct {
		right Right
		probe func(context.Context) error
	}{{Put, s.probePut}, {Get, s.probeGet}, {Erase, s.probeErase}} {
		if rights&p.right == 0 {
			continue
		}
		if err := s.proved(ctx, p.right, p.probe); err != nil {
			return err
		}
	}
	return nil
}

// proved asks once.
func (s *Store) proved(ctx context.Context, r Right, probe func(context.Context) error) error {
	if Right(s.proofs.Load())&r != 0 {
		return nil
	}
	if err := probe(ctx); err != nil {
		return err
	}
	for {
		old := s.proofs.Load()
		if s.proofs.CompareAndSwap(old, old|int32(r)) {
			return nil
		}
	}
}

// probePut wants a key to be written once, and a wrong hash to be refused.
func (s *Store) probePut(ctx context.Context) error {
	const text = "Klarsyn asks whether a key is written once.\n"
	sum := sha256.Sum256([]byte(text))
	put := func(key, body string, conditional bool) error {
		opts := minio.PutObjectOptions{DisableContentSha256: true}
		if conditional {
			opts.SetMatchETagExcept("*")
		}
		_, err := s.core.PutObject(ctx, s.bucket, key, strings.NewReader(body), int64(len(body)), "", hex.EncodeToString(sum[:]), opts)
		return err
	}
	err := s.often(ctx, func() error {
		if err := put(onceKey, text, true); err != nil && !taken(err) {
			return s.fault("putting a trial object", onceKey, err)
		}
		if err := put(onceKey, text, true); err == nil {
			return s.unfit("it ignores If-None-Match, so that an object could be put over another: use a server that knows conditional puts")
		} else if !taken(err) {
			return s.fault("putting a trial object twice", onceKey, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	// As long as text, so that only the hash is wrong.
	if err := put(hashKey, strings.ToUpper(text), false); err == nil {
		return s.unfit("it takes bytes whose hash is not the one that was signed (X-Amz-Content-Sha256)")
	} else if !refusedHash(err) {
		return s.fault("putting a trial object with a wrong hash", hashKey, err)
	}
	return nil
}

// probeGet wants an answer. Which one does not matter: a server tells nobody that an object is missing who
// may not list.
func (s *Store) probeGet(ctx context.Context) error {
	_, err := s.Stat(ctx, onceKey)
	if errors.Is(err, object.ErrNotFound) || errors.Is(err, object.ErrDenied) {
		return nil
	}
	return err
}

// probeErase wants nothing in the way of lawful deletion, and the trial object gone without a trace.
func (s *Store) probeErase(ctx context.Context) error {
	_, mode, validity, unit, err := s.core.GetObjectLockConfig(ctx, s.bucket)
	switch {
	case err != nil && minio.ToErrorResponse(err).Code != "ObjectLockConfigurationNotFoundError":
		return s.fault("asking for its object lock", "", err)
	case err == nil && mode != nil && *mode != "":
		days := ""
		if validity != nil && unit != nil {
			days = fmt.Sprintf(" of %d %s", *validity, strings.ToLower(string(*unit)))
		}
		return s.unfit(fmt.Sprintf("its object lock has a default retention (%s%s), which would forbid deletion at a clip's deadline: "+
			"take the default away, such as with: mc retention clear --default", *mode, days))
	}
	for _, key := range []string{onceKey, hashKey} {
		if err := s.often(ctx, func() error { return s.erased(ctx, key) }); err != nil {
			return err
		}
	}
	return nil
}

// erased takes key away and wants no trace of it.
func (s *Store) erased(ctx context.Context, key string) error {
	if _, err := s.erase(ctx, key); err != nil {
		return err
	}
	for t, err := range s.Traces(ctx, key) {
		if err != nil {
			return err
		}
		if t.Key == key {
			return s.unfit(fmt.Sprintf("it still lists a %s of %s after its deletion", t.Kind, key))
		}
	}
	return nil
}

// often asks again while the answer is that the server is unfit.
func (s *Store) often(ctx context.Context, ask func() error) error {
	for n := 1; ; n++ {
		err := ask()
		if !errors.Is(err, object.ErrUnfit) || n == probes {
			return err
		}
		select {
		case <-time.After(probePause):
		case <-ctx.Done():
			return err
		}
	}
}

func (s *Store) unfit(why string) error {
	return fmt.Errorf("object store %s: %w: %s", s.name, object.ErrUnfit, why)
}

// taken says that a conditional put found its key taken, or being taken.
func taken(err error) bool {
	code := minio.ToErrorResponse(err).Code
	return code == minio.PreconditionFailed || code == "ConditionalRequestConflict"
}

// refusedHash says that the server found other bytes than were announced.
func refusedHash(err error) bool {
	switch minio.ToErrorResponse(err).Code {
	case "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "BadDigest":
		return true
	}
	return false
}
