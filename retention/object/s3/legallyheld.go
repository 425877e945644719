package s3

import (
	"context"

	"github.com/minio/minio-go/v7"

	"klarsyn/retention/object"
)

// LegallyHeld says whether the store's own legal hold is on a version of key: for a check, which sets none.
// object.ErrNoLegalHold says that this store has no such thing.
func (s *Store) LegallyHeld(ctx context.Context, key, version string) (bool, error) {
	if err := object.CheckKey(key); err != nil {
		return false, err
	}
	if err := s.lockable(ctx); err != nil {
		return false, err
	}
	have, err := s.core.GetObjectLegalHold(ctx, s.bucket, key, minio.GetObjectLegalHoldOptions{VersionID: version})
	if minio.ToErrorResponse(err).Code == "NoSuchObjectLockConfiguration" { // of this object: nobody ever set one
		return false, nil
	}
	if err != nil {
		return false, s.fault("asking for the legal hold of", key, err)
	}
	return have != nil && *have == minio.LegalHoldEnabled, nil
}
