// Package audittest writes logs for tests with nothing but their format, so that who checks a log and who
// witnesses it are tried on logs that klarsyn itself would never write.
package audittest

import (
	"crypto/rand"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/verify"
)

// Start is when the first entry of every log is numbered; the others follow a second apart.
var Start = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// Memory is an exported log in memory.
type Memory map[string][]byte

// ReadFile is a file of the log.
func (m Memory) ReadFile(name string) ([]byte, error) {
	b, ok := m[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

// Signer is a key of a log.
type Signer struct {
	note.Signer
	Public string
}

// NewSigner makes a key for a log of that name.
func NewSigner(t testing.TB, name string) Signer {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return Signer{s, public}
}

// Witness is somebody who cosigns, by a library that is not ours.
type Witness struct {
	*cosignature.Signer
	Public string
}

// NewWitness makes one of that name.
func NewWitness(t testing.TB, name string) Witness {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := cosignature.NewSignerForCosignatureV1(private)
	if err != nil {
		t.Fatal(err)
	}
	cosigning, err := cosignature.VKeyToCosignatureV1(public)
	if err != nil {
		t.Fatal(err)
	}
	return Witness{s, cosigning}
}

// Verifier checks what the witness signs.
func (w Witness) Verifier(t testing.TB) *verify.Witness {
	t.Helper()
	v, err := verify.NewWitness(w.Public)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Cosign is the witness's signature line under a checkpoint.
func (w Witness) Cosign(t testing.TB, c verify.Checkpoint) string {
	t.Helper()
	signed, err := note.Sign(&note.Note{Text: c.Body()}, w)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(string(signed), c.Body()+"\n")
}

// Log is a log that a test writes with nothing but the format.
type Log struct {
	t       testing.TB
	Files   Memory
	Key     Signer
	Next    *Signer // signs from the next checkpoint on
	Tree    leaf.Tree
	Hashes  [][]tlog.Hash // by level of tiles
	Records [][]byte
	Notes   [][]byte
	Rotated []byte
	Newest  verify.Checkpoint
}

// NewLog is an empty log.
func NewLog(t testing.TB) *Log {
	t.Helper()
	return &Log{t: t, Files: Memory{}, Key: NewSigner(t, "klarsyn/test")}
}

// Entry appends an entry; details are JSON to add to it, beginning with a comma.
func (l *Log) Entry(event string, details string) {
	i := l.Tree.Size()
	at := Start.Add(time.Duration(i) * time.Second)
	entry := fmt.Appendf(nil, `{"id":"01JD4Z9S5T8Q4W1V9D3M%06d","time":%q,"event":%q,"actor":"service:ingest","object":"clip:%d"%s}`,
		i, at.Format(time.RFC3339Nano), event, i, details)
	l.Add(leaf.Record(entry, at))
}

// Add appends a record.
func (l *Log) Add(record []byte) {
	l.Records = append(l.Records, record)
	ended := l.Tree.Add(tlog.RecordHash(record))
	for level := 0; level*8 < len(ended); level++ {
		if level == len(l.Hashes) {
			l.Hashes = append(l.Hashes, nil)
		}
		l.Hashes[level] = append(l.Hashes[level], ended[level*8])
	}
}

// Grow appends entries and signs a checkpoint.
func (l *Log) Grow(n int) {
	l.t.Helper()
	for range n {
		l.Entry("clip-committed", "")
	}
	l.Sign()
}

// Sign signs a checkpoint, with Next as well if the key is to change.
func (l *Log) Sign() {
	l.t.Helper()
	c := verify.Checkpoint{
		Origin: l.Key.Name(), Size: l.Tree.Size(), Root: l.Tree.Root(), Number: int64(len(l.Notes)) + 1,
		Time: Start.Add(time.Duration(l.Tree.Size()) * time.Second),
	}
	signers := []note.Signer{l.Key}
	if l.Next != nil {
		c.Rotation = &verify.Rotation{Old: l.Key.Public, New: l.Next.Public}
		signers = append(signers, l.Next)
	}
	signed, err := note.Sign(&note.Note{Text: c.Body()}, signers...)
	if err != nil {
		l.t.Fatal(err)
	}
	c.Note = string(signed)
	l.Newest = c
	l.Notes = append(l.Notes, signed)
	if l.Next != nil {
		l.Rotated = l.bundle(l.Rotated, signed)
		l.Key, l.Next = *l.Next, nil
	}
}

func (l *Log) bundle(bundle, thing []byte) []byte {
	l.t.Helper()
	bundle, err := leaf.AppendBundle(bundle, thing)
	if err != nil {
		l.t.Fatal(err)
	}
	return bundle
}

// Export writes the log's files.
func (l *Log) Export() Memory {
	l.t.Helper()
	for _, span := range leaf.Spans(0, int64(len(l.Records))) {
		var bundle []byte
		for _, record := range l.Records[span.First() : span.First()+int64(span.Width)] {
			bundle = l.bundle(bundle, record)
		}
		l.Files[leaf.Entries(span.N, span.Width)] = bundle
	}
	for level, hashes := range l.Hashes {
		for _, span := range leaf.Spans(0, int64(len(hashes))) {
			var tile []byte
			for _, hash := range hashes[span.First() : span.First()+int64(span.Width)] {
				tile = append(tile, hash[:]...)
			}
			l.Files[leaf.Tile(level, span.N, span.Width)] = tile
		}
	}
	for _, span := range leaf.Spans(0, int64(len(l.Notes))) {
		var bundle []byte
		for _, signed := range l.Notes[span.First() : span.First()+int64(span.Width)] {
			bundle = l.bundle(bundle, signed)
		}
		l.Files[leaf.Checkpoints(span.N, span.Width)] = bundle
	}
	l.Files[leaf.Newest] = []byte(l.Newest.Note)
	if l.Rotated != nil {
		l.Files[leaf.Rotations] = l.Rotated
	}
	return l.Files
}
