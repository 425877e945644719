package s3

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/minio/minio-go/v7"

	"klarsyn/retention/object"
)

// maxObject is what S3 takes in one put. More would take an upload in parts, and those lie in a server
// unseen when they are not finished.
const maxObject = 5 << 30

// Put stores the body in one request, under a key that must be free. The hash goes along, so that the
// server itself refuses other bytes.
func (s *Store) Put(ctx context.Context, key string, body io.Reader, size int64, sum [sha256.Size]byte) (object.Info, error) {
	if err := object.CheckKey(key); err != nil {
		return object.Info{}, err
	}
	if size < 0 || size > maxObject {
		return object.Info{}, fmt.Errorf("object %s: %d bytes: want at most %d in one put", key, size, int64(maxObject))
	}
	if err := s.proved(ctx, Put, s.probePut); err != nil {
		return object.Info{}, err
	}
	guarded, err := guard(body, size, sum)
	if err != nil {
		return object.Info{}, fmt.Errorf("object %s: %w", key, err)
	}
	checksum := base64.StdEncoding.EncodeToString(sum[:])
	opts := minio.PutObjectOptions{
		DisableContentSha256: true, // the hash of the whole is signed instead of one for each piece
		UserMetadata:         map[string]string{minio.ChecksumSHA256.Key(): checksum},
	}
	opts.SetMatchETagExcept("*")
	done, err := s.core.PutObject(ctx, s.bucket, key, guarded, size, "", hex.EncodeToString(sum[:]), opts)
	if broken := guarded.broken(); broken != nil {
		return object.Info{}, fmt.Errorf("object %s: %w", key, broken)
	}
	switch {
	case err == nil:
	case taken(err):
		return s.stands(ctx, key, size, sum)
	case refusedHash(err):
		return object.Info{}, fmt.Errorf("object %s: on the way to the store: %w", key, object.ErrMismatch)
	default:
		return object.Info{}, s.fault("putting", key, err)
	}
	if done.ChecksumSHA256 != "" && done.ChecksumSHA256 != checksum {
		return object.Info{}, fmt.Errorf("object %s: the store says that it took other bytes: %w", key, object.ErrMismatch)
	}
	return object.Info{Key: key, Version: done.VersionID, Size: size, SHA256: sum}, nil
}

// stands looks at the object that stands under a key that a put found taken: after an answer that was lost
// it is the one that was put. Who may not read takes it for that one: the key is his alone, and the server
// takes nothing from him under it but what hashes to sum.
func (s *Store) stands(ctx context.Context, key string, size int64, sum [sha256.Size]byte) (object.Info, error) {
	have, err := s.Verify(ctx, key)
	switch {
	case errors.Is(err, object.ErrDenied):
		return object.Info{Key: key, Size: size, SHA256: sum}, nil
	case errors.Is(err, object.ErrNotFound):
		return object.Info{}, fmt.Errorf("object %s: something unreadable, such as a delete marker, stands under the key: %w", key, object.ErrExists)
	case err != nil:
		return object.Info{}, err
	case have.Size != size || have.SHA256 != sum:
		return object.Info{}, fmt.Errorf("object %s: %w", key, object.ErrExists)
	}
	return have, nil
}

// guardedBody is a body that breaks before its last byte if it is not what was announced, so that no server
// ever has all of it.
type guardedBody interface {
	io.Reader
	broken() error
}

// guard wraps a body. One that can be sent again from its beginning stays one.
func guard(body io.Reader, size int64, sum [sha256.Size]byte) (guardedBody, error) {
	g := &guarded{r: body, size: size, sum: sum, hash: sha256.New()}
	if size == 0 {
		// Nobody reads an empty body: it is checked here.
		return g, g.end()
	}
	if seeker, ok := body.(io.Seeker); ok {
		start, err := seeker.Seek(0, io.SeekCurrent)
		if err == nil {
			return &seekable{g, seeker, start}, nil
		}
	}
	return g, nil
}

type guarded struct {
	r    io.Reader
	size int64
	sum  [sha256.Size]byte
	hash hash.Hash
	sent int64
	err  error
}

func (g *guarded) broken() error { return g.err }

func (g *guarded) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	left := g.size - g.sent
	if left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > left {
		p = p[:left]
	}
	n, err := g.r.Read(p)
	g.hash.Write(p[:n])
	switch {
	case int64(n) == left:
		if g.err = g.end(); g.err != nil {
			return 0, g.err
		}
	case errors.Is(err, io.EOF):
		g.err = fmt.Errorf("%d bytes are missing: %w", left-int64(n), object.ErrMismatch)
		return 0, g.err
	case err != nil:
		g.err = err
		return 0, g.err
	}
	g.sent += int64(n)
	return n, nil
}

// end checks what was read, and that nothing follows.
func (g *guarded) end() error {
	if n, err := io.ReadFull(g.r, make([]byte, 1)); n > 0 {
		return fmt.Errorf("more than %d bytes came: %w", g.size, object.ErrMismatch)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	if [sha256.Size]byte(g.hash.Sum(nil)) != g.sum {
		return fmt.Errorf("the hash is another one: %w", object.ErrMismatch)
	}
	return nil
}

// seekable is a guarded body that a request may send once more.
type seekable struct {
	*guarded
	seeker io.Seeker
	start  int64
}

// Seek only ever goes back to the beginning.
func (s *seekable) Seek(offset int64, whence int) (int64, error) {
	if s.err != nil {
		return 0, s.err // what is broken is not sent again
	}
	if offset != 0 || whence != io.SeekStart {
		return 0, errors.New("a body is sent from its beginning")
	}
	if _, err := s.seeker.Seek(s.start, io.SeekStart); err != nil {
		return 0, err
	}
	s.hash.Reset()
	s.sent = 0
	return 0, nil
}
