package verify_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	witnessnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/verify"
)

var start = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// memory is an exported log in memory.
type memory map[string][]byte

func (m memory) ReadFile(name string) ([]byte, error) {
	b, ok := m[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

// signer is a key of a log.
type signer struct {
	note.Signer
	public string
}

func newSigner(t testing.TB, name string) signer {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer{s, public}
}

// witness is somebody who cosigns, by a library that is not ours.
type witness struct {
	*witnessnote.Signer
	public string
}

func newWitness(t testing.TB, name string) witness {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := witnessnote.NewSignerForCosignatureV1(private)
	if err != nil {
		t.Fatal(err)
	}
	cosigning, err := witnessnote.VKeyToCosignatureV1(public)
	if err != nil {
		t.Fatal(err)
	}
	return witness{s, cosigning}
}

func (w witness) verifier(t testing.TB) *verify.Witness {
	t.Helper()
	v, err := verify.NewWitness(w.public)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// cosign is the witness's signature line under a checkpoint.
func (w witness) cosign(t testing.TB, c verify.Checkpoint) string {
	t.Helper()
	signed, err := note.Sign(&note.Note{Text: c.Body()}, w)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(string(signed), c.Body()+"\n")
}

// log is a log that a test writes with nothing but the format.
type log struct {
	t       testing.TB
	files   memory
	key     signer
	next    *signer // signs from the next checkpoint on
	tree    leaf.Tree
	hashes  [][]tlog.Hash // by level of tiles
	records [][]byte
	notes   [][]byte
	rotated []byte
	newest  verify.Checkpoint
}

func newLog(t testing.TB) *log {
	t.Helper()
	return &log{t: t, files: memory{}, key: newSigner(t, "klarsyn/test")}
}

func (l *log) entry(event string, details string) {
	i := l.tree.Size()
	at := start.Add(time.Duration(i) * time.Second)
	entry := fmt.Appendf(nil, `{"id":"01JD4Z9S5T8Q4W1V9D3M%06d","time":%q,"event":%q,"actor":"service:ingest","object":"clip:%d"%s}`,
		i, at.Format(time.RFC3339Nano), event, i, details)
	l.add(leaf.Record(entry, at))
}

func (l *log) add(record []byte) {
	l.records = append(l.records, record)
	ended := l.tree.Add(tlog.RecordHash(record))
	for level := 0; level*8 < len(ended); level++ {
		if level == len(l.hashes) {
			l.hashes = append(l.hashes, nil)
		}
		l.hashes[level] = append(l.hashes[level], ended[level*8])
	}
}

// grow appends entries and signs a checkpoint.
func (l *log) grow(n int) {
	l.t.Helper()
	for range n {
		l.entry("clip-committed", "")
	}
	l.sign()
}

func (l *log) sign() {
	l.t.Helper()
	c := verify.Checkpoint{
		Origin: l.key.Name(), Size: l.tree.Size(), Root: l.tree.Root(), Number: int64(len(l.notes)) + 1,
		Time: start.Add(time.Duration(l.tree.Size()) * time.Second),
	}
	signers := []note.Signer{l.key}
	if l.next != nil {
		c.Rotation = &verify.Rotation{Old: l.key.public, New: l.next.public}
		signers = append(signers, l.next)
	}
	signed, err := note.Sign(&note.Note{Text: c.Body()}, signers...)
	if err != nil {
		l.t.Fatal(err)
	}
	c.Note = string(signed)
	l.newest = c
	l.notes = append(l.notes, signed)
	if l.next != nil {
		l.rotated = l.bundle(l.rotated, signed)
		l.key, l.next = *l.next, nil
	}
}

func (l *log) bundle(bundle, thing []byte) []byte {
	l.t.Helper()
	bundle, err := leaf.AppendBundle(bundle, thing)
	if err != nil {
		l.t.Fatal(err)
	}
	return bundle
}

// export writes the log's files.
func (l *log) export() memory {
	l.t.Helper()
	for _, span := range leaf.Spans(0, int64(len(l.records))) {
		var bundle []byte
		for _, record := range l.records[span.First() : span.First()+int64(span.Width)] {
			bundle = l.bundle(bundle, record)
		}
		l.files[leaf.Entries(span.N, span.Width)] = bundle
	}
	for level, hashes := range l.hashes {
		for _, span := range leaf.Spans(0, int64(len(hashes))) {
			var tile []byte
			for _, hash := range hashes[span.First() : span.First()+int64(span.Width)] {
				tile = append(tile, hash[:]...)
			}
			l.files[leaf.Tile(level, span.N, span.Width)] = tile
		}
	}
	for _, span := range leaf.Spans(0, int64(len(l.notes))) {
		var bundle []byte
		for _, signed := range l.notes[span.First() : span.First()+int64(span.Width)] {
			bundle = l.bundle(bundle, signed)
		}
		l.files[leaf.Checkpoints(span.N, span.Width)] = bundle
	}
	l.files[leaf.Newest] = []byte(l.newest.Note)
	if l.rotated != nil {
		l.files[leaf.Rotations] = l.rotated
	}
	return l.files
}

func check(t testing.TB, files verify.Files, o verify.Options) *verify.Report {
	t.Helper()
	report, err := verify.Log(t.Context(), files, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestAWholeLog(t *testing.T) {
	for _, sizes := range [][]int{{1}, {3, 1, 0, 200}, {256}, {255, 1}, {255, 2}, {256, 256, 1}, {700, 0, 0, 69300}} {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			l := newLog(t)
			n := 0
			for _, size := range sizes {
				l.grow(size)
				n += size
			}
			report := check(t, l.export(), verify.Options{Keys: []string{l.key.public}})
			if len(report.Problems) > 0 || report.Entries != int64(n) || report.Checkpoints != int64(len(sizes)) {
				t.Errorf("%+v", report)
			}
		})
	}
}

// Every byte of a log of 200 entries counts: whichever is flipped, the first bad place is named, and it is
// where the byte was.
func TestEveryFlippedByteIsFound(t *testing.T) {
	l := newLog(t)
	w := newWitness(t, "witness.example/w1")
	for range 3 {
		l.grow(50)
	}
	l.files[leaf.Cosignatures] = []byte("3 " + w.cosign(t, l.newest))
	next := newSigner(t, "klarsyn/test")
	first := l.key.public
	l.next = &next
	l.grow(50)
	l.files[leaf.Newest] = nil
	files := l.export()
	files[leaf.Newest] = []byte(l.newest.Note + w.cosign(t, l.newest))
	o := verify.Options{Keys: []string{first}, Witnesses: []*verify.Witness{w.verifier(t)}, First: true, Workers: 1}
	if report := check(t, files, o); len(report.Problems) > 0 || len(report.Cosigned) != 1 || report.Cosigned[0].Checkpoint != 4 {
		t.Fatalf("as it is: %+v", report)
	}
	step := 1
	if raceEnabled {
		step = 41 // the detector makes it ten times as slow; without it every byte is flipped
	}
	names := slices.Sorted(maps.Keys(files))
	flipped := 0
	for _, name := range names {
		whole := files[name]
		for i := 0; i < len(whole); i += step {
			for _, bit := range []byte{1 << (i % 8)} {
				changed := slices.Clone(whole)
				changed[i] ^= bit
				files[name] = changed
				report := check(t, files, o)
				flipped++
				if len(report.Problems) == 0 {
					t.Fatalf("byte %d of %s was flipped and nothing found", i, name)
				}
				if want := placeOf(l, name, i); want != "" && report.Problems[0].Place != want {
					t.Fatalf("byte %d of %s was flipped: found %+v, want %s", i, name, report.Problems[0], want)
				}
			}
		}
		files[name] = whole
	}
	t.Logf("%d bytes flipped, each found at its place", flipped)
}

// placeOf is what must be named when a byte of a file is wrong.
func placeOf(l *log, name string, i int) string {
	of := func(things [][]byte, offset int) int {
		for n, thing := range things {
			if i -= 2 + len(thing); i < 0 {
				return n + offset
			}
		}
		return -1
	}
	switch {
	case strings.HasPrefix(name, "tile/entries/"):
		return fmt.Sprintf("entry %d", of(l.records, 0))
	case strings.HasPrefix(name, "checkpoints/"):
		return fmt.Sprintf("checkpoint %d", of(l.notes, 1))
	case name == leaf.Cosignatures, name == leaf.Newest && i >= len(l.newest.Note):
		return "" // the file, or the checkpoint that the cosignature is of
	default:
		return name
	}
}

func TestWhatIsDeletedReorderedTruncatedOrForked(t *testing.T) {
	key := func(l *log) verify.Options { return verify.Options{Keys: []string{l.key.public}} }
	for name, c := range map[string]struct {
		change func(t *testing.T, l *log, files memory)
		want   string // the first bad place
	}{
		"an entry deleted": {func(_ *testing.T, l *log, files memory) {
			l.records = slices.Delete(l.records, 17, 18)
			l.export()
		}, "entry 17"},
		"two entries change places": {func(_ *testing.T, l *log, files memory) {
			l.records[3], l.records[4] = l.records[4], l.records[3]
			l.export()
		}, "entry 3"},
		"an entry written anew with its tile": {func(_ *testing.T, l *log, files memory) {
			l.records[300] = append(l.records[300][:0:0], strings.Replace(string(l.records[300]), "clip:300", "clip:301", 1)...)
			l.hashes[0][300] = tlog.RecordHash(l.records[300])
			l.export()
		}, "checkpoint 4"},
		"the last entries cut off": {func(_ *testing.T, l *log, files memory) {
			l.records = l.records[:390]
			l.export()
			delete(files, leaf.Entries(1, 144))
		}, leaf.Entries(1, 144)},
		"a bundle deleted":    {func(_ *testing.T, _ *log, files memory) { delete(files, leaf.Entries(0, 256)) }, leaf.Entries(0, 256)},
		"a tile deleted":      {func(_ *testing.T, _ *log, files memory) { delete(files, leaf.Tile(0, 0, 256)) }, leaf.Tile(0, 0, 256)},
		"an upper tile gone":  {func(_ *testing.T, _ *log, files memory) { delete(files, leaf.Tile(1, 0, 1)) }, leaf.Tile(1, 0, 1)},
		"checkpoints deleted": {func(_ *testing.T, _ *log, files memory) { delete(files, leaf.Checkpoints(0, 4)) }, "checkpoint 1"},
		"a checkpoint deleted": {func(_ *testing.T, l *log, _ memory) {
			l.notes = slices.Delete(l.notes, 1, 2)
			l.notes = append(l.notes, l.notes[2])
			l.export()
		}, "checkpoint 2"},
		"checkpoints reordered": {func(_ *testing.T, l *log, _ memory) {
			l.notes[1], l.notes[2] = l.notes[2], l.notes[1]
			l.export()
		}, "checkpoint 2"},
		"no newest checkpoint":              {func(_ *testing.T, _ *log, files memory) { delete(files, leaf.Newest) }, leaf.Newest},
		"an older checkpoint as the newest": {func(_ *testing.T, l *log, files memory) { files[leaf.Newest] = l.notes[2] }, "checkpoint 1"},
		"said to be pruned": {func(_ *testing.T, _ *log, files memory) {
			files[leaf.First] = []byte(verify.FormatFirst(256, 1))
			delete(files, leaf.Entries(0, 256))
		}, leaf.First},
		"a fork signed with the log's key": {func(t *testing.T, l *log, files memory) {
			other := newLog(t)
			other.key = l.key
			for range 4 {
				other.grow(50)
			}
			other.records[20] = leaf.Record([]byte(`{"id":"x","time":"2026-11-20T12:00:00Z","event":"e","actor":"a"}`), start.Add(20*time.Second))
			l.notes[3] = other.notes[3] // one checkpoint of another history
			l.export()
		}, leaf.Newest},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t)
			for range 4 {
				l.grow(100)
			}
			files := l.export()
			c.change(t, l, files)
			report := check(t, files, key(l))
			if len(report.Problems) == 0 || report.Problems[0].Place != c.want {
				t.Errorf("found %+v, want the first at %q", report.Problems, c.want)
			}
		})
	}
}

// Times that go backwards are found although everything is signed.
func TestTimesThatDecrease(t *testing.T) {
	l := newLog(t)
	l.grow(5)
	l.add(leaf.Record([]byte(`{"id":"x","time":"2026-11-20T12:00:00Z","event":"e","actor":"a"}`), start))
	l.sign()
	report := check(t, l.export(), verify.Options{Keys: []string{l.key.public}})
	if len(report.Problems) != 1 || report.Problems[0].Place != "entry 5" {
		t.Errorf("%+v", report.Problems)
	}
}

// A key that changes is followed from either end; one that nobody vouched for is not.
func TestRotatedKeys(t *testing.T) {
	l := newLog(t)
	keys := []string{l.key.public}
	l.grow(10)
	for range 2 {
		next := newSigner(t, "klarsyn/test")
		keys = append(keys, next.public)
		l.next = &next
		l.grow(10)
		l.grow(10)
	}
	files := l.export()
	for i, key := range keys {
		if report := check(t, files, verify.Options{Keys: []string{key}}); len(report.Problems) > 0 || !slices.Equal(report.Keys, keys) {
			t.Errorf("with key %d: %+v", i, report)
		}
	}
	stranger := newSigner(t, "klarsyn/test")
	if report := check(t, files, verify.Options{Keys: []string{stranger.public}}); len(report.Problems) != 1 {
		t.Errorf("with a stranger's key: %+v", report)
	}
	// The old key goes on signing, and so does one that took over by itself.
	for name, key := range map[string]signer{"the old key": l.key, "a stranger": stranger} {
		forged := *l
		forged.files = maps.Clone(l.files)
		forged.key = key
		if name == "the old key" {
			forged.key = newSigner(t, "klarsyn/test")
		}
		forged.grow(5)
		if report := check(t, forged.export(), verify.Options{Keys: keys[:1]}); len(report.Problems) == 0 {
			t.Errorf("%s signs on and nothing is found", name)
		}
	}
	// Somebody adds his signature to a checkpoint, and calls it a rotation.
	usurped := newLog(t)
	usurped.grow(3)
	both, err := note.Sign(&note.Note{Text: usurped.newest.Body()}, usurped.key, stranger)
	if err != nil {
		t.Fatal(err)
	}
	usurped.notes[0], usurped.newest.Note = both, string(both)
	usurped.rotated = usurped.bundle(nil, both)
	if report := check(t, usurped.export(), verify.Options{Keys: []string{usurped.key.public}}); len(report.Problems) == 0 {
		t.Error("a signature that was added passes as a rotation")
	}
}

// What a log prunes it says in an entry; then its older proofs hold, and the rest is whole.
func TestPrunedLog(t *testing.T) {
	l := newLog(t)
	for range 300 {
		l.grow(2)
	}
	l.entry("log-pruned", `,"details":{"first_entry":"512","first_checkpoint":"1"}`)
	l.sign()
	files := l.export()
	files[leaf.First] = []byte(verify.FormatFirst(512, 1))
	delete(files, leaf.Entries(0, 256))
	delete(files, leaf.Entries(1, 256))
	o := verify.Options{Keys: []string{l.key.public}}
	if report := check(t, files, o); len(report.Problems) > 0 || report.FirstEntry != 512 || report.Entries != 601 {
		t.Errorf("%+v", report)
	}
	files[leaf.First] = []byte(verify.FormatFirst(256, 1))
	if report := check(t, files, o); len(report.Problems) == 0 {
		t.Error("it may begin elsewhere than its entry says")
	}
	delete(files, leaf.First)
	if report := check(t, files, o); len(report.Problems) == 0 {
		t.Error("it may lack what nobody says was pruned")
	}
}

// A file that cannot be read is no verdict.
func TestALogThatCannotBeRead(t *testing.T) {
	broken := errors.New("input/output error")
	_, err := verify.Log(t.Context(), files(func(string) ([]byte, error) { return nil, broken }), verify.Options{Keys: []string{newSigner(t, "x").public}})
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

type files func(string) ([]byte, error)

func (f files) ReadFile(name string) ([]byte, error) { return f(name) }
