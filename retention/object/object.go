// Package object is the contract with whatever keeps sealed clips: a directory, or an S3 server. It is
// the one provider contract of Klarsyn; every driver passes the suite in objecttest.
package object

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"time"
)

// Store keeps objects that are written once and removed without a trace. Every method may be called
// from several goroutines, honours ctx, and may be repeated after an error: repeating never makes a
// second object and never fails because the first try had worked after all.
type Store interface {
	// Put stores exactly size bytes under key and returns once they survive a power cut. sum is what
	// they must hash to; anything else leaves nothing behind and returns ErrMismatch. A key is written
	// once: if it holds the same bytes already, Put returns their Info, otherwise ErrExists.
	Put(ctx context.Context, key string, body io.Reader, size int64, sum [sha256.Size]byte) (Info, error)
	// Stat returns the one readable version of key, or ErrNotFound.
	Stat(ctx context.Context, key string) (Info, error)
	// Verify reads the object back and returns its Info with the hash of what was read.
	Verify(ctx context.Context, key string) (Info, error)
	// Open reads length bytes from offset of key, to the end if length is negative. A range beyond the
	// end is io.EOF on the first read. ErrNotFound may come from Open or from the first read.
	Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
	// Delete removes every trace of key: all versions, delete markers and unfinished uploads. It
	// returns how many it removed; a key without a trace is not an error.
	Delete(ctx context.Context, key string) (int, error)
	// DeleteAll is Delete for many keys in few round trips, followed by a listing of them. It tells each key apart, in the order
	// of keys: what fails at one keeps no other from being removed.
	DeleteAll(ctx context.Context, keys []string) []Deletion
	// LegalHold sets or clears the store's own legal hold on a version of key: while it is set nobody can delete that version.
	// ErrNoLegalHold says that this store has no such thing, ErrNotFound that there is no such version.
	LegalHold(ctx context.Context, key, version string, on bool) error
	// Traces lists every trace of every key under prefix, in no order. It may show what was added or
	// removed meanwhile, and misses nothing that was there throughout.
	Traces(ctx context.Context, prefix string) iter.Seq2[Trace, error]
}

// Info is what a store knows of a readable object.
type Info struct {
	Key     string
	Version string // empty where the store has none
	Size    int64
	SHA256  [sha256.Size]byte // set by Put and Verify
}

// Deletion is what became of one key.
type Deletion struct {
	Removed int
	// Left is what a listing that began after the last removal still found; it says nothing where Err is set.
	Left int
	Err  error
}

// Kind says what a trace is.
type Kind string

// The traces that a key can leave in a store.
const (
	Version Kind = "version" // bytes of an object
	Marker  Kind = "marker"  // an S3 delete marker: hides versions, removes nothing
	Upload  Kind = "upload"  // an upload that was not finished
)

// Trace is one thing that a store holds for a key.
type Trace struct {
	Key      string
	Kind     Kind
	Version  string
	Size     int64
	Modified time.Time
}

// Errors that callers tell apart. Everything else is a fault of the store or the way to it, and may be
// tried again.
var (
	ErrNotFound = errors.New("no such object")
	ErrExists   = errors.New("an object with other content stands under this key, and keys are written once")
	ErrMismatch = errors.New("the bytes do not match the announced size and hash")
	// ErrDenied may also stand for ErrNotFound: a server that keeps from a credential what there is.
	ErrDenied = errors.New("the store does not let this credential do that")
	// ErrUnreachable says that a store did not answer, or not with an answer of its own.
	ErrUnreachable = errors.New("the store cannot be reached")
	// ErrNoLegalHold says that a store cannot keep an object from being deleted: a directory, a bucket without object lock.
	ErrNoLegalHold = errors.New("the store has no legal holds")
	// ErrUnfit is a verdict about a server, not a fault that passes.
	ErrUnfit  = errors.New("the store cannot be trusted with footage")
	ErrBadKey = errors.New("not an object key: want parts of A-Z, a-z, 0-9, '.', '_' and '-', joined by '/', 180 bytes at most")
)

var goodKey = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$`)

// CheckKey refuses keys that a directory or an S3 server might read differently, such as "a/../b".
func CheckKey(key string) error {
	if len(key) > 180 || !goodKey.MatchString(key) {
		return fmt.Errorf("key %.80q: %w", key, ErrBadKey)
	}
	return nil
}
