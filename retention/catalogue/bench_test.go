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

// A clip's way out: its share of a claim of a hundred, and its tombstone.
func BenchmarkClipOut(b *testing.B) {
	s := benchBooks(b)
	from := start
	var claimed []retention.Clip
	for b.Loop() {
		if len(claimed) == 0 {
			b.StopTimer()
			for range 100 {
				s.put("k1", from, from.Add(5*time.Second), retention.Committed)
				from = from.Add(5 * time.Second)
			}
			b.StartTimer()
			claimed = s.claim(from.Add(2 * time.Hour))
		}
		s.must(s.Tombstone(b.Context(), claimed[0], from.Add(2*time.Hour), 1, 0))
		claimed = claimed[1:]
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "clips/s")
}
