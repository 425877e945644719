package s3

import (
	"context"
	"errors"
	"fmt"

	"github.com/minio/minio-go/v7"

	"klarsyn/retention/object"
)

// holdKey is asked about in the probe; nothing ever lies there.
const holdKey = "probe/legal-hold"

// LegalHold sets or clears the legal hold of one version, and believes it when the server says so.
func (s *Store) LegalHold(ctx context.Context, key, version string, on bool) error {
	if err := object.CheckKey(key); err != nil {
		return err
	}
	if err := s.lockable(ctx); err != nil {
		return err
	}
	status := minio.LegalHoldDisabled
	if on {
		status = minio.LegalHoldEnabled
	}
	err := s.core.PutObjectLegalHold(ctx, s.bucket, key, minio.PutObjectLegalHoldOptions{Status: &status, VersionID: version})
	if err := s.fault("setting the legal hold of", key, err); err != nil {
		return err
	}
	have, err := s.core.GetObjectLegalHold(ctx, s.bucket, key, minio.GetObjectLegalHoldOptions{VersionID: version})
	if err != nil {
		return s.fault("asking for the legal hold of", key, err)
	}
	if have == nil || *have != status {
		return fmt.Errorf("object store %s: the server took a legal hold of %s (%s), and tells another one: %w", s.name, key, status, object.ErrUnfit)
	}
	return nil
}

// LegalHolds says whether the bucket has legal holds and this credential may set them: nil, object.ErrNoLegalHold,
// object.ErrDenied, or why that could not be asked.
func (s *Store) LegalHolds(ctx context.Context) error {
	err := s.LegalHold(ctx, holdKey, "", false)
	if errors.Is(err, object.ErrNotFound) { // so it would have been done, if there were such an object
		return nil
	}
	return err
}

// lockable asks once whether the bucket has object lock: that is decided when a bucket is made.
func (s *Store) lockable(ctx context.Context) error {
	switch s.locks.Load() {
	case locksYes:
		return nil
	case locksNo:
		return s.noLegalHold()
	}
	lock, _, _, _, err := s.core.GetObjectLockConfig(ctx, s.bucket)
	if err != nil && minio.ToErrorResponse(err).Code != "ObjectLockConfigurationNotFoundError" {
		return s.fault("asking for its object lock", "", err)
	}
	if err != nil || lock != "Enabled" {
		s.locks.Store(locksNo)
		return s.noLegalHold()
	}
	s.locks.Store(locksYes)
	return nil
}

func (s *Store) noLegalHold() error {
	return fmt.Errorf("object store %s: the bucket was made without object lock: %w", s.name, object.ErrNoLegalHold)
}

// What is known of a bucket's object lock; 0: nothing yet.
const (
	locksYes int32 = iota + 1
	locksNo
)
