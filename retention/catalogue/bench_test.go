package catalogue_test

import (
	"testing"
	"time"

	"klarsyn/policy/audit"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
)

func benchBooks(b *testing.B) *books {
	db := openFile(b, b.TempDir()+"/catalogue.db")
	if err := database.Migrate(b.Context(), db, database.SQLite, database.Owner{Name: "audit", Files: audit.Migrations()}); err != nil {
		b.Fatal(err)
	}
	if err := database.Migrate(b.Context(), db, database.SQLite, database.Owner{Name: "catalogue", Files: catalogue.Migrations()}); err != nil {
		b.Fatal(err)
	}
	return newBooks(b, db, database.SQLite)
}

// A clip's whole way in: reserve, end, commit, with three log entries, each step synced.
func BenchmarkClipIn(b *testing.B) {
	s := benchBooks(b)
	from := start
	for b.Loop() {
		s.put("k1", from, from.Add(5*time.Second), retention.Committed)
		from = from.Add(5 * time.Second)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "clips/s")
}

// A clip's way out: its share of a claim of a hundred, of taking charge of them, and of their tombstones.
func BenchmarkClipOut(b *testing.B) {
	s := benchBooks(b)
	from := start
	done := 0
	for b.Loop() {
		if done%100 != 0 { // its share was paid
			done++
			continue
		}
		b.StopTimer()
		for range 100 {
			s.put("k1", from, from.Add(5*time.Second), retention.Committed)
			from = from.Add(5 * time.Second)
		}
		b.StartTimer()
		s.claim(from.Add(2 * time.Hour))
		var stones []retention.Tombstone
		for _, c := range s.charge() {
			stones = append(stones, retention.Tombstone{Charge: c, At: from.Add(2 * time.Hour), Removed: 1})
		}
		if buried, err := s.Bury(b.Context(), stones); err != nil || len(buried) != 100 {
			b.Fatalf("%d buried, %v", len(buried), err)
		}
		done++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "clips/s")
}
