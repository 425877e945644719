package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"filippo.io/age"
)

// Sealer closes a key, and says under which master key. It needs no secret: who mints day keys cannot open them again.
type Sealer interface {
	Seal(ctx context.Context, plain []byte) (sealed []byte, by Mark, err error)
}

// Opener opens a sealed key. Only the process that serves footage has one.
type Opener interface {
	// Open's error is ErrForeign if another master key sealed it, and otherwise says why this one cannot open it now.
	Open(ctx context.Context, sealed []byte) ([]byte, error)
}

// ErrForeign says that something was not sealed under that master key.
var ErrForeign = errors.New("it was sealed under another master key, or is damaged")

// The files of a local master key.
const (
	secretFile = "master.key" // the identity: for serve alone, 0600
	publicFile = "master.pub" // the recipient: for whoever mints keys
	// While a rotation is under way:
	nextFile   = "master.next.key"   // the identity that is to be the master key
	formerFile = "master.former.key" // the identity that was, until nothing is sealed under it
)

// CreateMaster makes a local master key in folder unless there is one.
func CreateMaster(folder string) error {
	if _, err := os.Stat(filepath.Join(folder, secretFile)); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("master key: %w", err)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("key folder: %w", err)
	}
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return fmt.Errorf("making a master key: %w", err)
	}
	if err := writeNew(filepath.Join(folder, publicFile), identity.Recipient().String()+"\n", 0o644); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(folder, secretFile), identity.String()+"\n", 0o600); err != nil {
		return err
	}
	return syncFolder(folder) // a key that a power cut takes back would leave day keys sealed for nobody
}

// writeNew makes the file appear whole and synced, replacing what a crash may have left.
func writeNew(path, text string, mode fs.FileMode) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, text); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := errors.Join(f.Sync(), f.Close(), os.Rename(path+".new", path)); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// syncFolder keeps what was renamed, made or removed in folder over a power cut.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return fmt.Errorf("key folder: %w", err)
	}
	defer d.Close()
	return d.Sync()
}

// unreadable says what mends a half that cannot be read. err names the file.
func unreadable(what string, err error) error {
	mend := "look after the disk it lies on"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		mend = "restore it from your backup"
	case errors.Is(err, fs.ErrPermission):
		mend = "it is for another process: start as the user that owns it"
	}
	return fmt.Errorf("%s: %w; %s", what, err, mend)
}
