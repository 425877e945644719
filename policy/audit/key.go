package audit

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"klarsyn/policy/audit/durable"
)

// Key signs checkpoints. It lies in files outside the database, so that who can write the database can
// not write the log's past. Its name is the log's origin.
type Key struct {
	Signer note.Signer
	Public string // the verifier key, for whoever checks the log

	dir string // where it lies, and where the one that follows it is looked for
}

const (
	privateFile = "audit.key"
	publicFile  = "audit.pub"
)

// LoadOrCreateKey reads the key in dir, or makes one if there is none: audit.key (0600) and, beside it
// for everybody, audit.pub. Processes that start at the same time get the same key.
func LoadOrCreateKey(dir string) (*Key, error) {
	path := filepath.Join(dir, privateFile)
	key, err := loadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createKey(dir, path, newOrigin()); err != nil {
			return nil, fmt.Errorf("create audit key in %s: %w", dir, err)
		}
		key, err = loadKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("audit key %s: %w", path, err)
	}
	if err := publish(dir, key.Public); err != nil {
		return nil, fmt.Errorf("audit key %s: %w", filepath.Join(dir, publicFile), err)
	}
	return key, nil
}

// LoadKey reads the key in dir and makes none: where a log has been signed, another key would only look
// like damage.
func LoadKey(dir string) (*Key, error) {
	path := filepath.Join(dir, privateFile)
	key, err := loadKey(path)
	if err != nil {
		return nil, fmt.Errorf("audit key %s: %w; restore it from your backup", path, err)
	}
	return key, nil
}

// LoadVerifier reads the public key in dir, for a process that only checks.
func LoadVerifier(dir string) (string, error) {
	path := filepath.Join(dir, publicFile)
	public, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("public audit key: %w", err)
	}
	key := strings.TrimSpace(string(public))
	if _, err := note.NewVerifier(key); err != nil {
		return "", fmt.Errorf("public audit key %s: %w", path, err)
	}
	return key, nil
}

func loadKey(path string) (*Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("mode %04o lets others read it: chmod 600, and make a new key if it may have been read", info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	private, public, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	signer, err := note.NewSigner(private)
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		return nil, err
	}
	if verifier.Name() != signer.Name() || verifier.KeyHash() != signer.KeyHash() {
		return nil, errors.New("its two halves do not belong together")
	}
	return &Key{Signer: signer, Public: public, dir: filepath.Dir(path)}, nil
}

// newOrigin names a log that nobody has named before.
func newOrigin() string {
	var nonce [4]byte
	rand.Read(nonce[:])
	return "klarsyn/" + hex.EncodeToString(nonce[:])
}

// createKey places a whole key: a crash leaves no half of one, and the second of two processes keeps the first one's.
func createKey(dir, path, origin string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	private, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return err
	}
	err = durable.Create(path, []byte(private+"\n"+public+"\n"), 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func publish(dir, public string) error {
	path := filepath.Join(dir, publicFile)
	if present, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(present)) == public {
		return nil
	}
	return durable.Write(path, []byte(public+"\n"), 0o644)
}
