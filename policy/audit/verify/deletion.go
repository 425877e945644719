package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"klarsyn/policy/audit/leaf"
)

// DeletionProof shows, without the system that it is of, that a clip was deleted, when and why not earlier or later: what is left
// of the clip, the entries of the log that say so, and the way of each to one signed checkpoint.
type DeletionProof struct {
	Tombstone  Tombstone
	Entries    []Included // in the order of the log
	Checkpoint string     // the signed note, with the cosignatures that it has
}

// Included is an entry and its way to the root of the tree.
type Included struct {
	Index  int64
	Record []byte           // what the tree hashes: the entry, a line feed and its sequencing time
	Hashes tlog.RecordProof // from the record's sibling to the root's child
}

// Tombstone is what is left of a deleted clip. All of it is said by entries of the log: it is told again so that people need not
// read those, and is worth nothing before it was held against them.
type Tombstone struct {
	Clip          string    `json:"clip"`
	Camera        string    `json:"camera"`
	Permit        string    `json:"permit"`
	PermitVersion int       `json:"permit_version"`
	From          time.Time `json:"from"`
	To            time.Time `json:"to,omitzero"`      // zero: its end never became known
	SHA256        string    `json:"sha256,omitempty"` // of the sealed bytes; empty: nothing was stored
	Size          int64     `json:"size,omitempty"`   // of the sealed bytes
	Deadline      time.Time `json:"deadline"`
	ShreddedAt    time.Time `json:"shredded_at"` // unreadable since
	DeletedAt     time.Time `json:"deleted_at"`  // a listing found nothing
	Versions      int64     `json:"versions"`    // versions, markers and parts that were removed
	Listed        int64     `json:"listed"`      // what the listing afterwards found
}

// deletionFormat names the form of a proof. A later form has another name, and this one stays readable: proofs are kept.
const deletionFormat = "klarsyn-deletion-proof/1"

// Bounds of what is read as a proof.
const (
	maxDeletionProof   = 4 << 20
	maxDeletionEntries = 1000
)

// written is a proof as JSON has it. Records are text, so that people can read them.
type written struct {
	Format     string          `json:"format"`
	Tombstone  Tombstone       `json:"tombstone"`
	Entries    []writtenRecord `json:"entries"`
	Checkpoint string          `json:"checkpoint"`
}

type writtenRecord struct {
	Index  int64    `json:"index"`
	Record string   `json:"record"`
	Hashes []string `json:"hashes"`
}

// Format is the proof's text. A proof has one form.
func (p DeletionProof) Format() (string, error) {
	w := written{Format: deletionFormat, Tombstone: p.Tombstone, Entries: []writtenRecord{}, Checkpoint: p.Checkpoint}
	for _, e := range p.Entries {
		r := writtenRecord{Index: e.Index, Record: string(e.Record), Hashes: []string{}}
		for _, hash := range e.Hashes {
			r.Hashes = append(r.Hashes, hash.String())
		}
		w.Entries = append(w.Entries, r)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(w); err != nil {
		return "", fmt.Errorf("write a proof of deletion: %w", err)
	}
	return b.String(), nil
}

// ParseDeletionProof reads a proof. It proves nothing before it was checked.
func ParseDeletionProof(text string) (DeletionProof, error) {
	if len(text) > maxDeletionProof {
		return DeletionProof{}, fmt.Errorf("it has %d bytes: a proof of deletion has at most %d", len(text), maxDeletionProof)
	}
	var w written
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return DeletionProof{}, fmt.Errorf("it is no proof of deletion: %w", err)
	}
	if w.Format != deletionFormat {
		return DeletionProof{}, fmt.Errorf("it is no proof of deletion that this version reads: its format is %.60q, want %q", w.Format, deletionFormat)
	}
	if len(w.Entries) > maxDeletionEntries {
		return DeletionProof{}, fmt.Errorf("it has %d entries: a proof of deletion has at most %d", len(w.Entries), maxDeletionEntries)
	}
	p := DeletionProof{Tombstone: w.Tombstone, Checkpoint: w.Checkpoint}
	for i, e := range w.Entries {
		one := Included{Index: e.Index, Record: []byte(e.Record)}
		for _, text := range e.Hashes {
			hash, err := tlog.ParseHash(text)
			if err != nil {
				return DeletionProof{}, fmt.Errorf("entry %d of %d: %.60q is not a hash", i+1, len(w.Entries), text)
			}
			one.Hashes = append(one.Hashes, hash)
		}
		p.Entries = append(p.Entries, one)
	}
	// What was changed without a meaning was changed all the same.
	if again, err := p.Format(); err != nil || again != text {
		return DeletionProof{}, errors.New("it is not in the form that proofs of deletion have: keep the file as it was given, byte by byte")
	}
	return p, nil
}

// Deletion is what a proof shows.
type Deletion struct {
	Tombstone  Tombstone
	Holds      []HeldFor // that kept the clip, in their order
	Due        time.Time // when it was to go: its deadline, or when the last hold let go of it if that was later
	Entries    []Said
	Checkpoint Checkpoint
	Cosigned   []Cosigned
}

// HeldFor is a hold that kept a clip for a while.
type HeldFor struct {
	Hold   string    `json:"hold"`
	Case   string    `json:"case"`
	Placed time.Time `json:"placed"`
	Ended  time.Time `json:"ended"`
}

// Said is an entry that a proof holds.
type Said struct {
	Index int64     `json:"index"`
	Event string    `json:"event"`
	Time  time.Time `json:"time"`
}

// ShreddedAfter is how long after it was due the clip was unreadable, and DeletedAfter how long after that its bytes were gone.
func (d Deletion) ShreddedAfter() time.Duration { return d.Tombstone.ShreddedAt.Sub(d.Due) }

// DeletedAfter is how long after it was due the clip's bytes were gone.
func (d Deletion) DeletedAfter() time.Duration { return d.Tombstone.DeletedAt.Sub(d.Due) }

// Check checks a proof with the log's keys, of which one must have signed its checkpoint; with cosignatures as in Proof.Check.
// Every entry must be in the log that the checkpoint signs, all of them must be of the clip, and the tombstone must say what
// they say and nothing else. That entries were left out, a proof cannot show: Check refuses where those that are there speak of
// others; what the whole log says, verify.Log and a replay tell.
func (p DeletionProof) Check(keys []string, witnesses []*Witness, quorum int) (Deletion, error) {
	checkpoint, cosigned, err := openProving(p.Checkpoint, keys, witnesses, quorum)
	if err != nil {
		return Deletion{}, err
	}
	var leaves []Numbered
	for i, e := range p.Entries {
		if i > 0 && e.Index <= p.Entries[i-1].Index {
			return Deletion{}, fmt.Errorf("%w: entry %d comes after entry %d", ErrNotProven, e.Index, p.Entries[i-1].Index)
		}
		l, err := includes(checkpoint, e.Index, e.Record, e.Hashes)
		if err != nil {
			return Deletion{}, err
		}
		leaves = append(leaves, Numbered{e.Index, l})
	}
	d, err := DeletionOf(p.Tombstone.Clip, leaves)
	if err != nil {
		return Deletion{}, err
	}
	if err := differs(p.Tombstone, d.Tombstone); err != nil {
		return Deletion{}, err
	}
	d.Checkpoint, d.Cosigned = checkpoint, cosigned
	return d, nil
}

// Numbered is an entry with its number in the log.
type Numbered struct {
	Index int64
	leaf.Leaf
}

// differs says what a tombstone says that no entry does.
func differs(given, said Tombstone) error {
	for _, field := range []struct {
		name        string
		given, said any
	}{
		{"camera", given.Camera, said.Camera}, {"permit", given.Permit, said.Permit}, {"permit_version", given.PermitVersion, said.PermitVersion},
		{"from", given.From, said.From}, {"to", given.To, said.To}, {"sha256", given.SHA256, said.SHA256}, {"size", given.Size, said.Size},
		{"deadline", given.Deadline, said.Deadline}, {"shredded_at", given.ShreddedAt, said.ShreddedAt}, {"deleted_at", given.DeletedAt, said.DeletedAt},
		{"versions", given.Versions, said.Versions}, {"listed", given.Listed, said.Listed},
	} {
		if field.given != field.said {
			return fmt.Errorf("%w: the tombstone says %s %v, the log says %v", ErrNotProven, field.name, shown(field.given), shown(field.said))
		}
	}
	return nil
}

func shown(value any) any {
	switch v := value.(type) {
	case time.Time:
		if v.IsZero() {
			return "nothing"
		}
		return v.Format(time.RFC3339Nano)
	case string:
		return fmt.Sprintf("%q", v)
	}
	return value
}
