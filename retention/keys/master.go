package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
)

// Sealer closes a day key. It needs no secret: who mints day keys cannot open them again.
type Sealer interface {
	Seal(ctx context.Context, plain []byte) ([]byte, error)
}

// Opener opens a sealed day key. Only the process that serves footage has one.
type Opener interface {
	Open(ctx context.Context, sealed []byte) ([]byte, error)
}

// The files of a local master key.
const (
	secretFile = "master.key" // the identity: for serve alone, 0600
	publicFile = "master.pub" // the recipient: for whoever mints day keys
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
	d, err := os.Open(folder)
	if err != nil {
		return fmt.Errorf("key folder: %w", err)
	}
	defer d.Close()
	return d.Sync() // a key that a power cut takes back would leave day keys sealed for nobody
}

// writeNew makes the file appear whole and synced, replacing what a crash between the two files of
// CreateMaster may have left.
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

// Public is the sealing half of a local master key.
type Public struct{ recipient age.Recipient }

// LoadPublic reads the sealing half from folder.
func LoadPublic(folder string) (*Public, error) {
	path := filepath.Join(folder, publicFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, unreadable("public half of the master key", err)
	}
	r, err := age.ParseHybridRecipient(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, fmt.Errorf("%s is no age recipient (age1pq1…): restore it from your backup", path)
	}
	return &Public{r}, nil
}

// Seal closes plain for the holder of the secret half.
func (p *Public) Seal(_ context.Context, plain []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, p.recipient)
	if err != nil {
		return nil, fmt.Errorf("sealing under the master key: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("sealing under the master key: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("sealing under the master key: %w", err)
	}
	return out.Bytes(), nil
}

// Secret is the opening half of a local master key.
type Secret struct{ identity age.Identity }

// LoadSecret reads the opening half from folder and refuses a file that others may read.
func LoadSecret(folder string) (*Secret, error) {
	path := filepath.Join(folder, secretFile)
	st, err := os.Stat(path)
	if err != nil {
		return nil, unreadable("master key", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("master key %s may be read by others (mode %04o): run chmod 600 %s", path, st.Mode().Perm(), path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, unreadable("master key", err)
	}
	identity, err := age.ParseHybridIdentity(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, fmt.Errorf("%s is no age identity (AGE-SECRET-KEY-PQ-1…): restore it from your backup", path)
	}
	return &Secret{identity}, nil
}

// Open opens what Seal closed.
func (s *Secret) Open(_ context.Context, sealed []byte) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(sealed), s.identity)
	if err != nil {
		return nil, fmt.Errorf("opening under the master key: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, 1<<16))
	if err != nil {
		return nil, fmt.Errorf("opening under the master key: %w", err)
	}
	return plain, nil
}
