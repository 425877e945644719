// Package verify checks a log and the proofs that it gave without trusting, or linking, anything that
// writes one: an exported log leaf by leaf, a single entry by its proof, a witness's cosignature.
package verify

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is a signed statement of what the log held: the C2SP tlog-checkpoint with extension lines for
// its own number and time, so that a missing one and a false hour show too.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
	Number int64
	Time   time.Time
	// Rotation is set where the signing key changes: both keys sign, and what they sign names both.
	Rotation *Rotation
	Note     string // the signed text
}

// Rotation names a key and its successor, as verifier keys.
type Rotation struct{ Old, New string }

const (
	numberLine   = "klarsyn-checkpoint "
	timeLine     = "klarsyn-time "
	rotationLine = "klarsyn-rotation "
)

// Body is the text that is signed.
func (c Checkpoint) Body() string {
	body := fmt.Sprintf("%s\n%d\n%s\n%s%d\n%s%d\n", c.Origin, c.Size,
		base64.StdEncoding.EncodeToString(c.Root[:]), numberLine, c.Number, timeLine, c.Time.UnixMicro())
	if c.Rotation != nil {
		body += rotationLine + c.Rotation.Old + " " + c.Rotation.New + "\n"
	}
	return body
}

// parseBody reads what was signed. It has one form only.
func parseBody(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if (len(lines) != 6 && len(lines) != 7) || lines[len(lines)-1] != "" {
		return Checkpoint{}, fmt.Errorf("%d lines, want 5 or 6", len(lines)-1)
	}
	size, sizeErr := strconv.ParseInt(lines[1], 10, 64)
	root, rootErr := tlog.ParseHash(lines[2])
	number, numberErr := strconv.ParseInt(strings.TrimPrefix(lines[3], numberLine), 10, 64)
	at, timeErr := strconv.ParseInt(strings.TrimPrefix(lines[4], timeLine), 10, 64)
	if err := errors.Join(sizeErr, rootErr, numberErr, timeErr); err != nil {
		return Checkpoint{}, err
	}
	c := Checkpoint{Origin: lines[0], Size: size, Root: root, Number: number, Time: time.UnixMicro(at).UTC()}
	if len(lines) == 7 {
		keys := strings.Split(strings.TrimPrefix(lines[5], rotationLine), " ")
		if len(keys) != 2 {
			return Checkpoint{}, errors.New("a rotation names two keys")
		}
		c.Rotation = &Rotation{Old: keys[0], New: keys[1]}
	}
	if c.Body() != text || size < 0 || number < 1 {
		return Checkpoint{}, errors.New("not in canonical form")
	}
	return c, nil
}

// openNote checks the signatures of those who are named, all of them and of nobody else, in their order.
func openNote(signed string, signers ...note.Verifier) (Checkpoint, error) {
	opened, err := note.Open([]byte(signed), note.VerifierList(signers...))
	if err != nil {
		return Checkpoint{}, err
	}
	if len(opened.UnverifiedSigs) > 0 || len(opened.Sigs) != len(signers) {
		return Checkpoint{}, fmt.Errorf("%d signatures of the log and %d others, want %d alone", len(opened.Sigs), len(opened.UnverifiedSigs), len(signers))
	}
	// note.Open passes over repeated signatures and loose last bits of base64: a stored note has one form.
	form := opened.Text + "\n"
	for i, sig := range opened.Sigs {
		if sig.Hash != signers[i].KeyHash() { //nolint:gosec // there are as many as signers
			return Checkpoint{}, errors.New("its signatures are out of order")
		}
		if _, err := base64.StdEncoding.Strict().DecodeString(sig.Base64); err != nil {
			return Checkpoint{}, fmt.Errorf("signature: %w", err)
		}
		form += signatureLine(sig)
	}
	if form != signed {
		return Checkpoint{}, errors.New("not in canonical form")
	}
	c, err := parseBody(opened.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	for _, s := range signers {
		if s.Name() != c.Origin {
			return Checkpoint{}, fmt.Errorf("of log %q, signed by a key of %q", c.Origin, s.Name())
		}
	}
	c.Note = signed
	return c, nil
}

func signatureLine(s note.Signature) string { return "— " + s.Name + " " + s.Base64 + "\n" }

// TextOf reads the text of a signed note without checking who signed it: for whoever keeps notes, not for
// whoever trusts them.
func TextOf(signed string) (Checkpoint, error) {
	text, _, _ := strings.Cut(signed, "\n\n")
	return parseBody(text + "\n")
}
