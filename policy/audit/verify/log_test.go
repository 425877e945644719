package verify_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"klarsyn/policy/audit/audittest"
	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/verify"
)

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
			l := audittest.NewLog(t)
			n := 0
			for _, size := range sizes {
				l.Grow(size)
				n += size
			}
			report := check(t, l.Export(), verify.Options{Keys: []string{l.Key.Public}})
			if len(report.Problems) > 0 || report.Entries != int64(n) || report.Checkpoints != int64(len(sizes)) {
				t.Errorf("%+v", report)
			}
		})
	}
}

// Every byte of a log of 200 entries counts: whichever is flipped, the first bad place is named, and it is
// where the byte was.
func TestEveryFlippedByteIsFound(t *testing.T) {
	l := audittest.NewLog(t)
	w := audittest.NewWitness(t, "witness.example/w1")
	for range 3 {
		l.Grow(50)
	}
	l.Files[leaf.Cosignatures] = []byte("3 " + w.Cosign(t, l.Newest))
	next := audittest.NewSigner(t, "klarsyn/test")
	first := l.Key.Public
	l.Next = &next
	l.Grow(50)
	l.Files[leaf.Newest] = nil
	files := l.Export()
	files[leaf.Newest] = []byte(l.Newest.Note + w.Cosign(t, l.Newest))
	o := verify.Options{Keys: []string{first}, Witnesses: []*verify.Witness{w.Verifier(t)}, First: true, Workers: 1}
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
func placeOf(l *audittest.Log, name string, i int) string {
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
		return fmt.Sprintf("entry %d", of(l.Records, 0))
	case strings.HasPrefix(name, "checkpoints/"):
		return fmt.Sprintf("checkpoint %d", of(l.Notes, 1))
	case name == leaf.Cosignatures, name == leaf.Newest && i >= len(l.Newest.Note):
		return "" // the file, or the checkpoint that the cosignature is of
	default:
		return name
	}
}

func TestWhatIsDeletedReorderedTruncatedOrForked(t *testing.T) {
	key := func(l *audittest.Log) verify.Options { return verify.Options{Keys: []string{l.Key.Public}} }
	for name, c := range map[string]struct {
		change func(t *testing.T, l *audittest.Log, files audittest.Memory)
		want   string // the first bad place
	}{
		"an entry deleted": {func(_ *testing.T, l *audittest.Log, files audittest.Memory) {
			l.Records = slices.Delete(l.Records, 17, 18)
			l.Export()
		}, "entry 17"},
		"two entries change places": {func(_ *testing.T, l *audittest.Log, files audittest.Memory) {
			l.Records[3], l.Records[4] = l.Records[4], l.Records[3]
			l.Export()
		}, "entry 3"},
		"an entry written anew with its tile": {func(_ *testing.T, l *audittest.Log, files audittest.Memory) {
			l.Records[300] = append(l.Records[300][:0:0], strings.Replace(string(l.Records[300]), "clip:300", "clip:301", 1)...)
			l.Hashes[0][300] = tlog.RecordHash(l.Records[300])
			l.Export()
		}, "checkpoint 4"},
		"the last entries cut off": {func(_ *testing.T, l *audittest.Log, files audittest.Memory) {
			l.Records = l.Records[:390]
			l.Export()
			delete(files, leaf.Entries(1, 144))
		}, leaf.Entries(1, 144)},
		"a bundle deleted":    {func(_ *testing.T, _ *audittest.Log, files audittest.Memory) { delete(files, leaf.Entries(0, 256)) }, leaf.Entries(0, 256)},
		"a tile deleted":      {func(_ *testing.T, _ *audittest.Log, files audittest.Memory) { delete(files, leaf.Tile(0, 0, 256)) }, leaf.Tile(0, 0, 256)},
		"an upper tile gone":  {func(_ *testing.T, _ *audittest.Log, files audittest.Memory) { delete(files, leaf.Tile(1, 0, 1)) }, leaf.Tile(1, 0, 1)},
		"checkpoints deleted": {func(_ *testing.T, _ *audittest.Log, files audittest.Memory) { delete(files, leaf.Checkpoints(0, 4)) }, "checkpoint 1"},
		"a checkpoint deleted": {func(_ *testing.T, l *audittest.Log, _ audittest.Memory) {
			l.Notes = slices.Delete(l.Notes, 1, 2)
			l.Notes = append(l.Notes, l.Notes[2])
			l.Export()
		}, "checkpoint 2"},
		"checkpoints reordered": {func(_ *testing.T, l *audittest.Log, _ audittest.Memory) {
			l.Notes[1], l.Notes[2] = l.Notes[2], l.Notes[1]
			l.Export()
		}, "checkpoint 2"},
		"no newest checkpoint":              {func(_ *testing.T, _ *audittest.Log, files audittest.Memory) { delete(files, leaf.Newest) }, leaf.Newest},
		"an older checkpoint as the newest": {func(_ *testing.T, l *audittest.Log, files audittest.Memory) { files[leaf.Newest] = l.Notes[2] }, "checkpoint 1"},
		"said to be pruned": {func(_ *testing.T, _ *audittest.Log, files audittest.Memory) {
			files[leaf.First] = []byte(verify.FormatFirst(256, 1))
			delete(files, leaf.Entries(0, 256))
		}, leaf.First},
		"a fork signed with the log's key": {func(t *testing.T, l *audittest.Log, files audittest.Memory) {
			other := audittest.NewLog(t)
			other.Key = l.Key
			for range 4 {
				other.Grow(50)
			}
			other.Records[20] = leaf.Record([]byte(`{"id":"x","time":"2026-11-20T12:00:00Z","event":"e","actor":"a"}`), audittest.Start.Add(20*time.Second))
			l.Notes[3] = other.Notes[3] // one checkpoint of another history
			l.Export()
		}, leaf.Newest},
	} {
		t.Run(name, func(t *testing.T) {
			l := audittest.NewLog(t)
			for range 4 {
				l.Grow(100)
			}
			files := l.Export()
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
	l := audittest.NewLog(t)
	l.Grow(5)
	l.Add(leaf.Record([]byte(`{"id":"x","time":"2026-11-20T12:00:00Z","event":"e","actor":"a"}`), audittest.Start))
	l.Sign()
	report := check(t, l.Export(), verify.Options{Keys: []string{l.Key.Public}})
	if len(report.Problems) != 1 || report.Problems[0].Place != "entry 5" {
		t.Errorf("%+v", report.Problems)
	}
}

// A key that changes is followed from either end; one that nobody vouched for is not.
func TestRotatedKeys(t *testing.T) {
	l := audittest.NewLog(t)
	keys := []string{l.Key.Public}
	l.Grow(10)
	for range 2 {
		next := audittest.NewSigner(t, "klarsyn/test")
		keys = append(keys, next.Public)
		l.Next = &next
		l.Grow(10)
		l.Grow(10)
	}
	files := l.Export()
	for i, key := range keys {
		if report := check(t, files, verify.Options{Keys: []string{key}}); len(report.Problems) > 0 || !slices.Equal(report.Keys, keys) {
			t.Errorf("with key %d: %+v", i, report)
		}
	}
	stranger := audittest.NewSigner(t, "klarsyn/test")
	if report := check(t, files, verify.Options{Keys: []string{stranger.Public}}); len(report.Problems) != 1 {
		t.Errorf("with a stranger's key: %+v", report)
	}
	// The old key goes on signing, and so does one that took over by itself.
	for name, key := range map[string]audittest.Signer{"the old key": l.Key, "a stranger": stranger} {
		forged := *l
		forged.Files = maps.Clone(l.Files)
		forged.Key = key
		if name == "the old key" {
			forged.Key = audittest.NewSigner(t, "klarsyn/test")
		}
		forged.Grow(5)
		if report := check(t, forged.Export(), verify.Options{Keys: keys[:1]}); len(report.Problems) == 0 {
			t.Errorf("%s signs on and nothing is found", name)
		}
	}
	// Somebody adds his signature to a checkpoint, and calls it a rotation.
	usurped := audittest.NewLog(t)
	usurped.Grow(3)
	both, err := note.Sign(&note.Note{Text: usurped.Newest.Body()}, usurped.Key, stranger)
	if err != nil {
		t.Fatal(err)
	}
	usurped.Notes[0], usurped.Newest.Note = both, string(both)
	usurped.Rotated = bundleOf(t, both)
	if report := check(t, usurped.Export(), verify.Options{Keys: []string{usurped.Key.Public}}); len(report.Problems) == 0 {
		t.Error("a signature that was added passes as a rotation")
	}
}

// What a log prunes it says in an entry; then its older proofs hold, and the rest is whole.
func TestPrunedLog(t *testing.T) {
	l := audittest.NewLog(t)
	for range 300 {
		l.Grow(2)
	}
	l.Entry("log-pruned", `,"details":{"first_entry":"512","first_checkpoint":"1"}`)
	l.Sign()
	files := l.Export()
	files[leaf.First] = []byte(verify.FormatFirst(512, 1))
	delete(files, leaf.Entries(0, 256))
	delete(files, leaf.Entries(1, 256))
	o := verify.Options{Keys: []string{l.Key.Public}}
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
	_, err := verify.Log(t.Context(), files(func(string) ([]byte, error) { return nil, broken }), verify.Options{Keys: []string{audittest.NewSigner(t, "x").Public}})
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

type files func(string) ([]byte, error)

func (f files) ReadFile(name string) ([]byte, error) { return f(name) }

func bundleOf(t testing.TB, thing []byte) []byte {
	t.Helper()
	bundle, err := leaf.AppendBundle(nil, thing)
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}
