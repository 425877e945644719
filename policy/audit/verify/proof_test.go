package verify_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/tlog"

	"klarsyn/policy/audit/audittest"
	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/verify"
)

// proofOf is a proof by tlog's own means.
func proofOf(t testing.TB, l *audittest.Log, index int64, checkpoint string) verify.Proof {
	t.Helper()
	hashes, err := tlog.ProveRecord(l.Tree.Size(), index, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			level, n := tlog.SplitStoredHashIndex(x)
			found[i] = leaf.Fold(l.Hashes[0][n<<level : (n+1)<<level])
		}
		return found, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return verify.Proof{Index: index, Record: l.Records[index], Hashes: hashes, Checkpoint: checkpoint}
}

func TestProofOfEveryEntry(t *testing.T) {
	l := audittest.NewLog(t)
	l.Grow(300)
	w := audittest.NewWitness(t, "witness.example/w1")
	signed := l.Newest.Note + w.Cosign(t, l.Newest)
	for index := range l.Tree.Size() {
		text := proofOf(t, l, index, signed).Format()
		p, err := verify.ParseProof(text)
		if err != nil {
			t.Fatal(err)
		}
		proven, err := p.Check([]string{l.Key.Public}, []*verify.Witness{w.Verifier(t)}, 1)
		if err != nil || proven.Actor != "service:ingest" || len(proven.Cosigned) != 1 || proven.Checkpoint.Size != 300 {
			t.Fatalf("entry %d: %+v, error %v", index, proven, err)
		}
		// Somebody else's library reads the same.
		var other proof.TLogProof
		if err := other.Unmarshal([]byte(text)); err != nil || other.Index != uint64(index) || !bytes.Equal(other.ExtraData, l.Records[index]) {
			t.Fatalf("entry %d is read elsewhere as %+v, error %v", index, other, err)
		}
	}
}

func TestEveryFlippedByteOfAProofIsFound(t *testing.T) {
	l := audittest.NewLog(t)
	l.Grow(37)
	w := audittest.NewWitness(t, "witness.example/w1")
	text := proofOf(t, l, 20, l.Newest.Note+w.Cosign(t, l.Newest)).Format()
	for i := range len(text) {
		changed := []byte(text)
		changed[i] ^= 1 << (i % 8)
		p, err := verify.ParseProof(string(changed))
		if err == nil {
			_, err = p.Check([]string{l.Key.Public}, []*verify.Witness{w.Verifier(t)}, 1)
		}
		if err == nil {
			t.Errorf("byte %d was flipped and the proof holds", i)
		}
	}
}

func TestProofsThatProveNothing(t *testing.T) {
	l := audittest.NewLog(t)
	l.Grow(37)
	good := proofOf(t, l, 20, l.Newest.Note)
	keys := []string{l.Key.Public}
	if _, err := good.Check(keys, nil, 0); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*verify.Proof)
		keys   []string
		quorum int
	}{
		"another key":        {func(*verify.Proof) {}, []string{audittest.NewSigner(t, "klarsyn/test").Public}, 0},
		"another index":      {func(p *verify.Proof) { p.Index = 21 }, keys, 0},
		"another entry":      {func(p *verify.Proof) { p.Record = l.Records[21] }, keys, 0},
		"a hash too few":     {func(p *verify.Proof) { p.Hashes = p.Hashes[1:] }, keys, 0},
		"a hash too many":    {func(p *verify.Proof) { p.Hashes = append(slices.Clone(p.Hashes), p.Hashes[0]) }, keys, 0},
		"beyond the log":     {func(p *verify.Proof) { p.Index = 37 }, keys, 0},
		"too few witnesses":  {func(*verify.Proof) {}, keys, 1},
		"unsigned":           {func(p *verify.Proof) { p.Checkpoint, _, _ = strings.Cut(p.Checkpoint, "— ") }, keys, 0},
		"not even an answer": {func(p *verify.Proof) { p.Checkpoint = "" }, keys, 0},
	} {
		p := good
		c.change(&p)
		if _, err := p.Check(c.keys, nil, c.quorum); err == nil {
			t.Errorf("%s: the proof holds", name)
		}
	}
}

func FuzzParseProof(f *testing.F) {
	l := audittest.NewLog(f)
	l.Grow(5)
	f.Add(proofOf(f, l, 2, l.Newest.Note).Format())
	f.Add("c2sp.org/tlog-proof@v1\nindex 1\n\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := verify.ParseProof(text)
		if err != nil {
			return
		}
		if p.Format() != text {
			t.Error("a proof has two forms")
		}
		_, _ = p.Check([]string{l.Key.Public}, nil, 0)
	})
}

func FuzzLog(f *testing.F) {
	l := audittest.NewLog(f)
	l.Grow(3)
	whole := l.Export()
	for name, content := range whole {
		f.Add(name, content)
	}
	f.Add(leaf.Rotations, []byte{0, 3, 'a', '\n', '\n'})
	f.Add(leaf.First, []byte("256 1\n"))
	f.Add(leaf.Cosignatures, []byte("1 — x y\n"))
	f.Add(leaf.Witnesses, []byte("w+1+x\n"))
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		changed := audittest.Memory{}
		for n, c := range whole {
			changed[n] = c
		}
		before, known := changed[name]
		changed[name] = content
		report := check(t, changed, verify.Options{Keys: []string{l.Key.Public}})
		if known && !bytes.Equal(before, content) && len(report.Problems) == 0 {
			t.Errorf("%s was changed and nothing found", name)
		}
	})
}

func FuzzTextOf(f *testing.F) {
	f.Add(verify.Checkpoint{Origin: "klarsyn/1", Size: 3, Number: 1, Time: time.Unix(1, 0)}.Body() + "\n")
	f.Add("klarsyn\n1\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := verify.TextOf(text); err == nil && !strings.HasPrefix(text, c.Body()) {
			t.Errorf("%q was read as %q", text, c.Body())
		}
	})
}
