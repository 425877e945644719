package verify_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"klarsyn/policy/audit/audittest"
	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/verify"
)

// BenchmarkSampledFlips flips bytes of a log of a million entries, wherever chance puts them, and wants each named at its
// place. It is no test, since each takes as long as checking all of the log up to there.
func BenchmarkSampledFlips(b *testing.B) {
	l := audittest.NewLog(b)
	for range 2000 {
		l.Grow(500)
	}
	files := l.Export()
	o := verify.Options{Keys: []string{l.Key.Public}, First: true}
	if report := check(b, files, o); len(report.Problems) > 0 || report.Entries != 1_000_000 {
		b.Fatalf("as it is: %+v", report)
	}
	names := slices.Sorted(maps.Keys(files))
	random := rand.New(rand.NewPCG(1, 2))
	const each = 12
	for b.Loop() {
		for _, kind := range []string{"tile/entries/", "tile/0/", "tile/1/", "tile/2/", "checkpoints/", leaf.Newest} {
			some := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.HasPrefix(name, kind) })
			for range each {
				name := some[random.IntN(len(some))]
				whole := files[name]
				i := random.IntN(len(whole))
				changed := slices.Clone(whole)
				changed[i] ^= 1 << random.IntN(8)
				files[name] = changed
				report := check(b, files, o)
				files[name] = whole
				if want := millionth(l, name, i); len(report.Problems) == 0 || report.Problems[0].Place != want {
					b.Fatalf("byte %d of %s was flipped: found %+v, want %s", i, name, report.Problems, want)
				}
			}
		}
	}
	b.ReportMetric(6*each, "flips-found")
}

// millionth is what must be named when a byte of a file of a long log is wrong.
func millionth(l *audittest.Log, name string, i int) string {
	kind, things, first := "", [][]byte(nil), 0
	switch {
	case strings.HasPrefix(name, "tile/entries/"):
		kind, things = "entry", l.Records
		name = strings.TrimPrefix(name, "tile/entries/")
	case strings.HasPrefix(name, "checkpoints/"):
		kind, things, first = "checkpoint", l.Notes, 1
		name = strings.TrimPrefix(name, "checkpoints/")
	default:
		return name
	}
	span, _ := leaf.ParseSpan(name)
	for n := span.First(); ; n++ {
		if i -= 2 + len(things[n]); i < 0 {
			return fmt.Sprintf("%s %d", kind, int(n)+first)
		}
	}
}
