package witness

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"klarsyn/policy/audit/durable"
	"klarsyn/policy/audit/verify"
)

// Files of the state.
const (
	keyFile       = "witness.key" // the private key
	publicFile    = "witness.pub" // its verifier key, for the log's server and for auditors
	latestFile    = "latest"      // the newest checkpoint that was accepted
	rotationsFile = "rotations"   // how the log's key changed since the one that was given
	lockFile      = ".lock"
)

// nothingYet is the memory of a witness before its first contact.
const nothingYet = "no checkpoint was accepted yet\n"

// state is what a witness must not forget.
type state struct {
	dir    string
	lock   *os.File
	signer note.Signer
	public string
	given  []string // keys of the log that are trusted
	chain  *verify.Chain
	latest verify.Checkpoint // its Note is empty before the first contact
}

// ErrBusy says that another witness works over the same state.
var ErrBusy = errors.New("another witness works over this state: give each its own --state")

func openState(dir, name string, keys []string) (_ *state, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	s := &state{dir: dir, given: keys}
	if s.lock, err = os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.lock.Close())
		}
	}()
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("state %s: %w", dir, ErrBusy)
	}
	for _, read := range []func() error{func() error { return s.readKey(name) }, s.readRotations, s.readLatest} {
		if err := read(); err != nil {
			return nil, fmt.Errorf("state %s: %w", dir, err)
		}
	}
	return s, nil
}

func (s *state) close() error { return s.lock.Close() }

func (s *state) path(name string) string { return filepath.Join(s.dir, name) }

// readKey reads the witness's own key, or makes it at the first start.
func (s *state) readKey(name string) error {
	private, err := os.ReadFile(s.path(keyFile))
	if errors.Is(err, fs.ErrNotExist) {
		if latest, err := os.ReadFile(s.path(latestFile)); err == nil && string(latest) != nothingYet {
			return fmt.Errorf("%s is missing, but the witness has seen the log already: restore it from your backup", keyFile)
		}
		private, err = s.makeKey(name)
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(s.path(keyFile))
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s: mode %04o lets others read it: chmod 600", keyFile, info.Mode().Perm())
	}
	text := strings.TrimSpace(string(private))
	signer, err := cosignature.NewSignerForCosignatureV1(text)
	if err != nil {
		return fmt.Errorf("%s: %w: restore it from your backup", keyFile, err)
	}
	own, err := note.NewSigner(text)
	if err != nil {
		return fmt.Errorf("%s: %w: restore it from your backup", keyFile, err)
	}
	if name != "" && own.Name() != name {
		return fmt.Errorf("%s is of witness %s, not %s: leave --name out, or choose another --state", keyFile, own.Name(), name)
	}
	public, err := os.ReadFile(s.path(publicFile))
	if err != nil {
		return err
	}
	s.signer, s.public = signer, strings.TrimSpace(string(public))
	w, err := verify.NewWitness(s.public)
	if err != nil || w.Name() != signer.Name() || w.KeyHash() != signer.KeyHash() {
		return fmt.Errorf("%s does not belong to %s: restore both from your backup", publicFile, keyFile)
	}
	return nil
}

func (s *state) makeKey(name string) ([]byte, error) {
	if name == "" {
		var nonce [4]byte
		rand.Read(nonce[:])
		name = "witness/" + hex.EncodeToString(nonce[:])
	}
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return nil, fmt.Errorf("make a key for witness %q: %w", name, err)
	}
	cosigning, err := cosignature.VKeyToCosignatureV1(public)
	if err != nil {
		return nil, fmt.Errorf("make a key for witness %q, whose name may hold neither blanks nor +: %w", name, err)
	}
	// The private key last: it stands for a state that is whole, and that would miss what it remembers.
	err = errors.Join(durable.Write(s.path(publicFile), []byte(cosigning+"\n"), 0o600), durable.Write(s.path(latestFile), []byte(nothingYet), 0o600),
		durable.Write(s.path(keyFile), []byte(private+"\n"), 0o600))
	return []byte(private), err
}

func (s *state) readRotations() error {
	bundle, err := os.ReadFile(s.path(rotationsFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.chain, err = s.follow(bundle)
	if errors.Is(err, verify.ErrUntrusted) {
		return fmt.Errorf("%s: %w: is --key of the log that this witness follows?", rotationsFile, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: restore it from your backup, or remove it and give the log's newest key", rotationsFile, err)
	}
	return nil
}

// follow is the chain of keys by those rotations.
func (s *state) follow(bundle []byte) (*verify.Chain, error) {
	notes, err := verify.SplitNotes(bundle)
	if err != nil {
		return nil, err
	}
	return verify.NewChain(s.given, notes)
}

func (s *state) readLatest() error {
	signed, err := os.ReadFile(s.path(latestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing: the witness forgot what it saw, and would take whatever it is shown now: restore it from your backup, or begin anew with another --state and another name", latestFile)
	}
	if err != nil {
		return err
	}
	if string(signed) == nothingYet {
		return nil
	}
	s.latest, err = s.chain.Open(string(signed))
	if err != nil {
		return fmt.Errorf("%s: %w: restore it from your backup; a witness that forgot what it saw must begin anew, with another --state and another name", latestFile, err)
	}
	return nil
}

// remember keeps a checkpoint, whatever becomes of this process.
func (s *state) remember(c verify.Checkpoint) error {
	if err := durable.Write(s.path(latestFile), []byte(c.Note), 0o600); err != nil {
		return fmt.Errorf("remember checkpoint %d: %w", c.Number, err)
	}
	s.latest = c
	return nil
}

func (s *state) rememberRotations(bundle []byte, chain *verify.Chain) error {
	if err := durable.Write(s.path(rotationsFile), bundle, 0o600); err != nil {
		return fmt.Errorf("remember the log's new key: %w", err)
	}
	s.chain = chain
	return nil
}
