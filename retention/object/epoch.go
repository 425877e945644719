package object

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
)

// EpochPrefix is where a store keeps of which installation it is, and which epochs of it there were. No clip lies there.
const EpochPrefix = "installation/"

// installationKey holds the installation's id. It is written once, like every key.
const installationKey = EpochPrefix + "id"

func epochKey(installation string, n int64) string {
	return EpochPrefix + installation + "/" + strconv.FormatInt(n, 10)
}

// Verdicts about rows and objects that do not belong together.
var (
	ErrOtherInstallation = errors.New("the objects are of another installation than the catalogue")
	ErrLaterEpoch        = errors.New("the objects are of a later epoch than the catalogue: somebody put an older catalogue back without klarsyn restore")
	ErrNotMarked         = errors.New("the store does not say that it belongs to the catalogue: it is another one, it was emptied, or this credential may not read " + EpochPrefix)
)

// Epochs is what telling and asking a store of epochs needs of it.
type Epochs interface {
	Put(ctx context.Context, key string, body io.Reader, size int64, sum [sha256.Size]byte) (Info, error)
	Stat(ctx context.Context, key string) (Info, error)
	Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
}

// MarkEpoch tells a store of which installation it is and that an epoch of it began. It may be repeated.
func MarkEpoch(ctx context.Context, s Epochs, installation string, n int64) error {
	for key, content := range map[string]string{installationKey: installation, epochKey(installation, n): installation} {
		_, err := s.Put(ctx, key, strings.NewReader(content), int64(len(content)), sha256.Sum256([]byte(content)))
		if errors.Is(err, ErrExists) && key == installationKey {
			return ErrOtherInstallation
		}
		if err != nil {
			return fmt.Errorf("telling the store of epoch %d: %w", n, err)
		}
	}
	return nil
}

// CheckEpoch reports whether a store belongs to a catalogue of that installation and epoch. told says that somebody has marked
// it: then it must say so. It needs a right to read what lies under EpochPrefix, and none to list.
func CheckEpoch(ctx context.Context, s Epochs, installation string, n int64, told bool) error {
	have, err := content(ctx, s, installationKey)
	switch {
	case missing(err):
		if told {
			return ErrNotMarked
		}
		return nil
	case err != nil:
		return err
	case have != installation:
		return ErrOtherInstallation
	}
	for _, later := range []bool{true, false} {
		at := n
		if later {
			at++
		}
		_, err := s.Stat(ctx, epochKey(installation, at))
		switch {
		case err == nil && later:
			return ErrLaterEpoch
		case missing(err) && !later && told:
			return ErrNotMarked
		case err != nil && !missing(err):
			return fmt.Errorf("asking the store for its epoch: %w", err)
		}
	}
	return nil
}

// missing also takes a denial for an absence: a server keeps from who may not list what there is.
func missing(err error) bool { return errors.Is(err, ErrNotFound) || errors.Is(err, ErrDenied) }

func content(ctx context.Context, s Epochs, key string) (string, error) {
	r, err := s.Open(ctx, key, 0, -1)
	if err != nil {
		return "", fmt.Errorf("asking the store for its installation: %w", err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, 64))
	if err != nil {
		return "", fmt.Errorf("asking the store for its installation: %w", err)
	}
	return string(bytes.TrimSpace(b)), nil
}

// LatestEpoch is the highest epoch of an installation that a store was told of; 0 if none. It needs a right to list.
func LatestEpoch(ctx context.Context, s interface {
	Traces(ctx context.Context, prefix string) iter.Seq2[Trace, error]
}, installation string) (int64, error) {
	latest := int64(0)
	prefix := EpochPrefix + installation + "/"
	for t, err := range s.Traces(ctx, prefix) {
		if err != nil {
			return 0, fmt.Errorf("listing the store's epochs: %w", err)
		}
		if n, err := strconv.ParseInt(strings.TrimPrefix(t.Key, prefix), 10, 64); err == nil && t.Kind == Version {
			latest = max(latest, n)
		}
	}
	return latest, nil
}
