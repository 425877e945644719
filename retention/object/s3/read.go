package s3

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/minio/minio-go/v7"

	"klarsyn/retention/object"
)

// Stat asks for the newest version.
func (s *Store) Stat(ctx context.Context, key string) (object.Info, error) {
	if err := object.CheckKey(key); err != nil {
		return object.Info{}, err
	}
	have, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return object.Info{}, s.fault("asking for", key, err)
	}
	return object.Info{Key: key, Version: have.VersionID, Size: have.Size}, nil
}

// Verify reads the newest version and hashes it.
func (s *Store) Verify(ctx context.Context, key string) (object.Info, error) {
	if err := object.CheckKey(key); err != nil {
		return object.Info{}, err
	}
	body, have, _, err := s.core.GetObject(ctx, s.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return object.Info{}, s.fault("reading back", key, err)
	}
	defer body.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, body)
	if err == nil && n != have.Size {
		err = fmt.Errorf("%d bytes of %d came: %w", n, have.Size, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return object.Info{}, s.fault("reading back", key, err)
	}
	return object.Info{Key: key, Version: have.VersionID, Size: n, SHA256: [sha256.Size]byte(sum.Sum(nil))}, nil
}

// Open asks for the range alone.
func (s *Store) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := object.CheckKey(key); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fmt.Errorf("object %s: reading from byte %d: want 0 or more", key, offset)
	}
	opts := minio.GetObjectOptions{}
	var err error
	switch {
	case length == 0: // no range is empty, but the object must be there
		if _, err := s.Stat(ctx, key); err != nil {
			return nil, err
		}
		return empty{}, nil
	case length > 0:
		err = opts.SetRange(offset, offset+length-1)
	case offset > 0:
		err = opts.SetRange(offset, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", key, err)
	}
	body, _, _, err := s.core.GetObject(ctx, s.bucket, key, opts)
	if minio.ToErrorResponse(err).Code == "InvalidRange" {
		return empty{}, nil
	}
	if err != nil {
		return nil, s.fault("reading", key, err)
	}
	return &reader{s, key, body}, nil
}

// empty is a range beyond the end.
type empty struct{}

func (empty) Read([]byte) (int, error) { return 0, io.EOF }
func (empty) Close() error             { return nil }

// reader names what failed while it is read.
type reader struct {
	s    *Store
	key  string
	body io.ReadCloser
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.s.fault("reading", r.key, err)
	}
	return n, err
}

func (r *reader) Close() error { return r.body.Close() }
