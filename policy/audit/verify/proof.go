package verify

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"klarsyn/policy/audit/leaf"
)

// Proof shows, without the log, that an entry is in it: C2SP tlog-proof, with the entry itself as extra data.
type Proof struct {
	Index      int64
	Record     []byte           // what the tree hashes: the entry and its sequencing time
	Hashes     tlog.RecordProof // from the record's sibling to the root's child
	Checkpoint string           // the signed note, with the cosignatures that it has
}

const proofHeader = "c2sp.org/tlog-proof@v1\n"

// maxProof bounds what is read as a proof: a record, 63 hashes and a checkpoint of some witnesses.
const maxProof = 2*leaf.Max + 64<<10

// Format is the proof's text.
func (p Proof) Format() string {
	var b strings.Builder
	b.WriteString(proofHeader)
	fmt.Fprintf(&b, "extra %s\nindex %d\n", base64.StdEncoding.EncodeToString(p.Record), p.Index)
	for _, hash := range p.Hashes {
		b.WriteString(hash.String() + "\n")
	}
	return b.String() + "\n" + p.Checkpoint
}

// ParseProof reads a proof. It proves nothing before it was checked.
func ParseProof(text string) (Proof, error) {
	if len(text) > maxProof {
		return Proof{}, fmt.Errorf("it has %d bytes: a proof has at most %d", len(text), maxProof)
	}
	rest, ok := strings.CutPrefix(text, proofHeader)
	head, checkpoint, whole := strings.Cut(rest, "\n\n")
	if !ok || !whole {
		return Proof{}, fmt.Errorf("it is no proof: its first line is not %q", strings.TrimSpace(proofHeader))
	}
	lines := strings.Split(head, "\n")
	if len(lines) < 2 {
		return Proof{}, errors.New("it lacks the entry or its index")
	}
	extra, ok := strings.CutPrefix(lines[0], "extra ")
	record, err := base64.StdEncoding.Strict().DecodeString(extra)
	if !ok || err != nil {
		return Proof{}, errors.New("line 2 is not the entry, as base64")
	}
	number, ok := strings.CutPrefix(lines[1], "index ")
	index, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || index < 0 {
		return Proof{}, errors.New("line 3 is not the entry's index")
	}
	p := Proof{Index: index, Record: record, Checkpoint: checkpoint}
	for i, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return Proof{}, fmt.Errorf("line %d is not a hash", i+4)
		}
		p.Hashes = append(p.Hashes, hash)
	}
	if p.Format() != text {
		return Proof{}, errors.New("it is not in the form that proofs have")
	}
	return p, nil
}

// Proven is an entry that is in the log.
type Proven struct {
	leaf.Leaf
	Checkpoint Checkpoint
	Cosigned   []Cosigned
}

// ErrNotProven says that a proof does not hold.
var ErrNotProven = errors.New("the proof does not hold")

// Check checks the proof with the log's keys, of which one must have signed its checkpoint. Cosignatures are
// checked where the witness is known; at least quorum of them must be there.
func (p Proof) Check(keys []string, witnesses []*Witness, quorum int) (Proven, error) {
	checkpoint, cosigned, err := openProving(p.Checkpoint, keys, witnesses, quorum)
	if err != nil {
		return Proven{}, err
	}
	proven := Proven{Checkpoint: checkpoint, Cosigned: cosigned}
	proven.Leaf, err = includes(checkpoint, p.Index, p.Record, p.Hashes)
	return proven, err
}

// openProving opens the checkpoint of a proof, which one of the keys must have signed, and the cosignatures of witnesses who are
// known, of which there must be quorum.
func openProving(signed string, keys []string, witnesses []*Witness, quorum int) (Checkpoint, []Cosigned, error) {
	chain, err := NewChain(keys, nil)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	own, lines := apart(signed, chain)
	checkpoint, err := chain.openAny(own)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("%w: %w: it is of another log, or of a time when the log had another key: give all that its keys file lists", ErrNotProven, err)
	}
	cosigned, seen := []Cosigned{}, map[string]bool{}
	for _, line := range lines {
		one, err := OpenCosignature(checkpoint, line, witnesses)
		if errors.Is(err, errUnknownWitness) {
			continue // somebody else's witness: nothing is claimed of it
		}
		if err != nil {
			return Checkpoint{}, nil, fmt.Errorf("%w: %w", ErrNotProven, err)
		}
		one.Given = true
		if !seen[one.Witness] {
			cosigned = append(cosigned, one)
		}
		seen[one.Witness] = true
	}
	if len(cosigned) < quorum {
		return Checkpoint{}, nil, fmt.Errorf("%w: %d of the witnesses that you know cosigned its checkpoint, you ask for %d", ErrNotProven, len(cosigned), quorum)
	}
	return checkpoint, cosigned, nil
}

// includes checks that a record is in the log that a checkpoint signs, under its number, and reads it.
func includes(c Checkpoint, index int64, record []byte, hashes tlog.RecordProof) (leaf.Leaf, error) {
	if err := tlog.CheckRecord(hashes, c.Size, c.Root, index, tlog.RecordHash(record)); err != nil {
		return leaf.Leaf{}, fmt.Errorf("%w: entry %d is not in the log of %d entries that checkpoint %d signs", ErrNotProven, index, c.Size, c.Number)
	}
	l, err := leaf.Parse(record)
	if err != nil {
		return leaf.Leaf{}, fmt.Errorf("%w: entry %d: %w", ErrNotProven, index, err)
	}
	return l, nil
}

// openAny opens a checkpoint that one of the keys signed, or two of them where one follows the other.
func (c *Chain) openAny(signed string) (Checkpoint, error) {
	opened, err := c.open(signed)
	if err == nil {
		return opened, nil
	}
	for _, before := range c.keys {
		for _, after := range c.keys {
			if opened, err := openNote(signed, before.verifier, after.verifier); err == nil && opened.Rotation != nil &&
				*opened.Rotation == (Rotation{before.text, after.text}) {
				return opened, nil
			}
		}
	}
	return Checkpoint{}, err
}
