package verify

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Witness checks the cosignatures of one witness: C2SP tlog-cosignature v1 with Ed25519. It is a
// note.Verifier.
type Witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
	text string // the verifier key
}

const cosignatureV1 = 4 // the algorithm in a verifier key

// NewWitness reads a witness's verifier key, NAME+HASH+KEY.
func NewWitness(vkey string) (*Witness, error) {
	parts := strings.SplitN(strings.TrimSpace(vkey), "+", 3) // base64 may hold further ones
	if len(parts) != 3 || parts[0] == "" {
		return nil, errors.New("not a witness's verifier key: want NAME+HASH+KEY, as the witness prints it")
	}
	hash, err := strconv.ParseUint(parts[1], 16, 32)
	if err != nil {
		return nil, fmt.Errorf("witness %s: the hash of its key is not hexadecimal", parts[0])
	}
	key, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != cosignatureV1 {
		return nil, fmt.Errorf("witness %s: its key is not one for Ed25519 cosignatures", parts[0])
	}
	w := &Witness{name: parts[0], hash: uint32(hash), key: key[1:], text: strings.TrimSpace(vkey)}
	sum := sha256.Sum256(append([]byte(w.name+"\n"), key...))
	if binary.BigEndian.Uint32(sum[:]) != w.hash {
		return nil, fmt.Errorf("witness %s: the hash does not belong to its key: copy the whole line", w.name)
	}
	return w, nil
}

// ParseWitnesses reads witnesses' verifier keys, one to a line; lines that begin with # are passed over.
func ParseWitnesses(text string) ([]*Witness, error) {
	var witnesses []*Witness
	for i, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		w, err := NewWitness(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		witnesses = append(witnesses, w)
	}
	return witnesses, nil
}

// Name is the witness's name, KeyHash that of its key, as in its signature lines.
func (w *Witness) Name() string { return w.name }

// KeyHash is the id of the witness's key.
func (w *Witness) KeyHash() uint32 { return w.hash }

// Verify checks a cosignature of a checkpoint's text.
func (w *Witness) Verify(text, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	seconds := binary.BigEndian.Uint64(sig)
	message := fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", seconds, text)
	return seconds < 1<<63 && ed25519.Verify(w.key, message, sig[8:])
}

// Cosigned says that a witness saw the log consistent up to a checkpoint.
type Cosigned struct {
	Witness    string    `json:"witness"`
	Checkpoint int64     `json:"checkpoint"`
	Size       int64     `json:"size"`
	Time       time.Time `json:"time"`
	// Given says that the witness's key was given by whoever checks, and not by the log itself.
	Given bool   `json:"key_given"`
	Line  string `json:"-"` // the signature line, with its line feed
	Key   string `json:"-"` // the witness's verifier key
}

// apart parts a note into what the log signed and the lines of others behind it.
func apart(signed string, c *Chain) (own string, others []string) {
	head, tail, _ := strings.Cut(signed, "\n\n")
	own = head + "\n\n"
	for line := range strings.SplitAfterSeq(tail, "\n") {
		if line == "" {
			continue
		}
		if len(others) == 0 && strings.HasPrefix(line, "— "+c.keys[0].verifier.Name()+" ") {
			own += line
		} else {
			others = append(others, line)
		}
	}
	return own, others
}

// OpenCosignature checks a witness's signature line under a checkpoint.
func OpenCosignature(checkpoint Checkpoint, line string, witnesses []*Witness) (Cosigned, error) {
	for _, w := range witnesses {
		rest, ok := strings.CutPrefix(line, "— "+w.name+" ")
		if !ok || !strings.HasSuffix(rest, "\n") {
			continue
		}
		sig, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSuffix(rest, "\n"))
		if err != nil || len(sig) < 12 || binary.BigEndian.Uint32(sig) != w.hash {
			continue
		}
		if !w.Verify([]byte(checkpoint.Body()), sig[4:]) {
			return Cosigned{}, fmt.Errorf("the cosignature of %s is not of this checkpoint", w.name)
		}
		at := time.Unix(int64(binary.BigEndian.Uint64(sig[4:])), 0).UTC()
		return Cosigned{Witness: w.name, Checkpoint: checkpoint.Number, Size: checkpoint.Size, Time: at, Line: line, Key: w.text}, nil
	}
	return Cosigned{}, errUnknownWitness
}

var errUnknownWitness = errors.New("it carries a signature line of nobody who is known")

var _ note.Verifier = (*Witness)(nil)
