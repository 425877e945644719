package keys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"filippo.io/age"
)

// sealedByAge begins what a local master key sealed.
const sealedByAge = "age-encryption.org/"

// Public is the sealing half of a local master key. It is read again for each key that is minted: a rotation replaces it.
type Public struct{ folder string }

// LoadPublic finds the sealing half in folder.
func LoadPublic(folder string) (*Public, error) {
	p := &Public{folder}
	_, _, err := p.read()
	return p, err
}

func (p *Public) read() (age.Recipient, Mark, error) {
	path := filepath.Join(p.folder, publicFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, Mark{}, unreadable("public half of the master key", err)
	}
	text := strings.TrimSpace(string(b))
	r, err := age.ParseHybridRecipient(text)
	if err != nil {
		return nil, Mark{}, fmt.Errorf("%s is no age recipient (age1pq1…): restore it from your backup", path)
	}
	return r, markOf(text), nil
}

// markOf names a local master key by a fingerprint of its public half.
func markOf(recipient string) Mark {
	sum := sha256.Sum256([]byte(recipient))
	return Mark{"file:" + hex.EncodeToString(sum[:8]), 1}
}

// Seal closes plain for the holder of the secret half.
func (p *Public) Seal(_ context.Context, plain []byte) ([]byte, Mark, error) {
	r, mark, err := p.read()
	if err != nil {
		return nil, Mark{}, err
	}
	sealed, err := sealTo(r, plain)
	return sealed, mark, err
}

func sealTo(r age.Recipient, plain []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, r)
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

// Secret is the opening half of a local master key, and of the one before it while keys are still sealed under that.
type Secret struct {
	folder string

	mu         sync.Mutex
	identities []age.Identity
}

// LoadSecret reads the opening half from folder and refuses a file that others may read.
func LoadSecret(folder string) (*Secret, error) {
	s := &Secret{folder: folder}
	_, err := s.load()
	return s, err
}

// load reads the master key, and the former one if a rotation left it for now.
func (s *Secret) load() ([]age.Identity, error) {
	now, err := readIdentity(filepath.Join(s.folder, secretFile))
	if err != nil {
		return nil, err
	}
	all := []age.Identity{now}
	switch former, err := readIdentity(filepath.Join(s.folder, formerFile)); {
	case err == nil:
		all = append(all, former)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.identities = all
	return all, nil
}

func readIdentity(path string) (*age.HybridIdentity, error) {
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
	return identity, nil
}

// Open opens what Seal closed. What the key that is known here does not open another one may have sealed since it was read.
func (s *Secret) Open(_ context.Context, sealed []byte) ([]byte, error) {
	s.mu.Lock()
	identities := s.identities
	s.mu.Unlock()
	plain, err := openWith(sealed, identities...)
	if !errors.Is(err, ErrForeign) || !bytes.HasPrefix(sealed, []byte(sealedByAge)) {
		return plain, err
	}
	if identities, err = s.load(); err != nil {
		return nil, err
	}
	return openWith(sealed, identities...)
}

func openWith(sealed []byte, identities ...age.Identity) ([]byte, error) {
	if !bytes.HasPrefix(sealed, []byte(sealedByAge)) {
		return nil, fmt.Errorf("opening under the master key: %w", ErrForeign)
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), identities...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, fmt.Errorf("opening under the master key: %w: %w", ErrForeign, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening under the master key: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, 1<<16))
	if err != nil {
		return nil, fmt.Errorf("opening under the master key: %w", err)
	}
	return plain, nil
}
