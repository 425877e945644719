package catalogue_test

import (
	"database/sql"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
	"klarsyn/policy/audit"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
)

// BenchmarkExpiry is what the rows of a thousand due clips cost, from the claim to the tombstone, in a catalogue of ROWS clips
// (default 100,000): half of them stored, half tombstones. It must not depend on ROWS. Beside it stands what a scrape's
// questions cost.
func BenchmarkExpiry(b *testing.B) {
	rows := 100_000
	if text := os.Getenv("ROWS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatalf("ROWS=%s: want a number", text)
		}
		rows = n
	}
	b.Run("sqlite", func(b *testing.B) { expiry(b, benchBooks(b), rows) })
	b.Run("postgres", func(b *testing.B) {
		db, err := database.OpenPostgres(b.Context(), testenv.StartPostgres(b).Database(b))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { db.Close() })
		for _, owner := range []database.Owner{{Name: "audit", Files: audit.Migrations()}, {Name: "catalogue", Files: catalogue.Migrations()}} {
			if err := database.Migrate(b.Context(), db, database.Postgres, owner); err != nil {
				b.Fatal(err)
			}
		}
		expiry(b, newBooks(b, db, database.Postgres), rows)
	})
}

const dueAtOnce = 1000

func expiry(b *testing.B, s *books, rows int) {
	late := start.Add(24 * time.Hour)
	for from := 1; from <= rows; from += 50_000 { // no statement may last
		s.fill(from, min(rows, from+50_000-1), `CASE WHEN i % 2 = 0 THEN 'committed' ELSE 'deleted' END`, late.AddDate(0, 0, 30))
	}
	s.analyze()
	next := rows
	done := 0
	var asked time.Duration
	for b.Loop() {
		b.StopTimer()
		s.fill(next+1, next+dueAtOnce, `'committed'`, late.Add(-time.Minute))
		next += dueAtOnce
		b.StartTimer()
		claimed, err := s.Claim(b.Context(), late, dueAtOnce)
		if err != nil || len(claimed) != dueAtOnce {
			b.Fatalf("claimed %d, %v", len(claimed), err)
		}
		b.StopTimer()
		began := time.Now()
		if backlog, err := s.Backlog(b.Context(), late); err != nil || backlog.Removal != dueAtOnce {
			b.Fatalf("%+v, %v", backlog, err)
		}
		if _, err := s.OldestUndeleted(b.Context()); err != nil {
			b.Fatal(err)
		}
		asked += time.Since(began)
		b.StartTimer()
		var stones []retention.Tombstone
		for _, c := range s.charge() {
			stones = append(stones, retention.Tombstone{Charge: c, At: late, Removed: 1})
		}
		if buried, err := s.Bury(b.Context(), stones); err != nil || len(buried) != dueAtOnce {
			b.Fatalf("buried %d, %v", len(buried), err)
		}
		done += dueAtOnce
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(done), "µs/clip")
	b.ReportMetric(float64(asked.Microseconds())/float64(done/dueAtOnce), "µs/scrape")
}

// fill inserts clips by number, each with a header unless it is a tombstone.
func (b *books) fill(from, to int, state string, deadline time.Time) {
	b.t.Helper()
	numbers := `WITH RECURSIVE n(i) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < CAST($2 AS BIGINT)) `
	b.exec(`INSERT INTO catalogue_clip (id, camera, permit, permit_version, start_us, end_us, deadline_us, state, key_day, object_key, codec, node)
		`+numbers+`SELECT 'C' || CAST(1000000000000 + i AS TEXT), 'k' || CAST(i % 50 AS TEXT), 'plattan', 3, i * 1000000, (i + 1) * 1000000, CAST($3 AS BIGINT) + i,
		`+state+`, '2026-11-20', 'clips/k/' || CAST(i AS TEXT), 'h264', 'n1' FROM n`, from, to, deadline.UnixMicro())
	b.exec(`INSERT INTO catalogue_header (clip, header) SELECT id, CAST('`+strings.Repeat("h", 200)+`' AS BYTEA) FROM catalogue_clip
		WHERE state <> 'deleted' AND id >= 'C' || CAST(1000000000000 + CAST($1 AS BIGINT) AS TEXT) AND id <= 'C' || CAST(1000000000000 + CAST($2 AS BIGINT) AS TEXT)`, from, to)
}

func (b *books) exec(query string, args ...any) sql.Result {
	b.t.Helper()
	res, err := b.DB.ExecContext(b.t.Context(), query, args...)
	b.must(err)
	return res
}

// analyze tells the database what it holds, as it finds out by itself in service.
func (b *books) analyze() {
	b.t.Helper()
	b.exec(`ANALYZE catalogue_clip`)
}
