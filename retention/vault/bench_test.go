package vault_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"klarsyn/camera"
)

const benchFragment = 1 << 20 // two seconds of a camera at 4 Mbit/s

// Sealing into the spool as recording does it, each fragment synced.
func BenchmarkSeal(b *testing.B) {
	s := newSite(b)
	rec, _, end := s.begin("k0", noon)
	fragment := noise(benchFragment)
	b.SetBytes(benchFragment)
	for b.Loop() {
		end.End, end.Frames = end.End.Add(time.Second), end.Frames+10
		s.must(rec.Write(b.Context(), fragment, end))
	}
	s.must(rec.Close(b.Context(), end))
}

// The same bytes into a plain file, each fragment synced: what sealing is held against.
func BenchmarkPlainFile(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "plain"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	fragment := noise(benchFragment)
	b.SetBytes(benchFragment)
	for b.Loop() {
		if _, err := f.Write(fragment); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// From the spool to the commit: hash, put, read back, commit, for a clip of 2.5 MB.
func BenchmarkMove(b *testing.B) {
	s := newSite(b)
	from := noon
	b.SetBytes(2_500_000)
	for b.Loop() {
		b.StopTimer()
		s.recordOnly("k0", from, 2_500_000)
		from = from.Add(time.Second)
		b.StartTimer()
		s.move()
	}
}

// Opening and reading a clip of 2.5 MB.
func BenchmarkRead(b *testing.B) {
	s := newSite(b)
	s.record("k0", noon, 2_500_000)
	s.move()
	c := s.last("k0")
	b.SetBytes(2_500_000)
	for b.Loop() {
		if _, err := s.read(c); err != nil {
			b.Fatal(err)
		}
	}
}

func (s *site) recordOnly(cam camera.ID, from time.Time, size int) {
	s.t.Helper()
	rec, _, end := s.begin(cam, from, size)
	s.must(rec.Close(s.t.Context(), end))
}
