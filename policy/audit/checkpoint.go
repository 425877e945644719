package audit

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

// Checkpoint is a signed statement of what the log held: the C2SP tlog-checkpoint with two extension
// lines, the checkpoint's own number and its time, so that a missing one and a false hour show too.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
	Number int64
	Time   time.Time
	Note   string // the signed text
}

// ErrDamaged says that what is stored is not what was signed.
var ErrDamaged = errors.New("the stored log is not what was signed: run klarsyn fsck; restore the database, or the signing key audit.key if another one took its place")

const (
	numberLine = "klarsyn-checkpoint "
	timeLine   = "klarsyn-time "
)

func (c Checkpoint) body() string {
	return fmt.Sprintf("%s\n%d\n%s\n%s%d\n%s%d\n", c.Origin, c.Size,
		base64.StdEncoding.EncodeToString(c.Root[:]), numberLine, c.Number, timeLine, c.Time.UnixMicro())
}

func (c Checkpoint) sign(signer note.Signer) (Checkpoint, error) {
	signed, err := note.Sign(&note.Note{Text: c.body()}, signer)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("sign checkpoint %d: %w", c.Number, err)
	}
	c.Note = string(signed)
	return c, nil
}

// OpenCheckpoint checks the signature of a note and reads the checkpoint in it.
func OpenCheckpoint(signed string, verifier note.Verifier) (Checkpoint, error) {
	opened, err := note.Open([]byte(signed), note.VerifierList(verifier))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	// Base64 with loose last bits and further signatures would let a stored note be changed unseen.
	if len(opened.Sigs) != 1 || len(opened.UnverifiedSigs) != 0 {
		return Checkpoint{}, fmt.Errorf("checkpoint: %d signatures of this key and %d others, want one alone", len(opened.Sigs), len(opened.UnverifiedSigs))
	}
	if _, err := base64.StdEncoding.Strict().DecodeString(opened.Sigs[0].Base64); err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: signature: %w", err)
	}
	c, err := parseBody(opened.Text)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	if c.Origin != verifier.Name() {
		return Checkpoint{}, fmt.Errorf("checkpoint of log %q, want %q", c.Origin, verifier.Name())
	}
	c.Note = signed
	return c, nil
}

func parseBody(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 6 || lines[5] != "" {
		return Checkpoint{}, fmt.Errorf("%d lines, want 5", len(lines)-1)
	}
	size, sizeErr := strconv.ParseInt(lines[1], 10, 64)
	root, rootErr := tlog.ParseHash(lines[2])
	number, numberErr := strconv.ParseInt(strings.TrimPrefix(lines[3], numberLine), 10, 64)
	at, timeErr := strconv.ParseInt(strings.TrimPrefix(lines[4], timeLine), 10, 64)
	if err := errors.Join(sizeErr, rootErr, numberErr, timeErr); err != nil {
		return Checkpoint{}, err
	}
	c := Checkpoint{Origin: lines[0], Size: size, Root: root, Number: number, Time: micros(at)}
	if c.body() != text {
		return Checkpoint{}, errors.New("not in canonical form")
	}
	return c, nil
}
