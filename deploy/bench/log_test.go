package bench

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/policy/audit/verify"
	"klarsyn/retention/database"
)

// BenchmarkLog fills a log with ROWS entries (1,000,000 unless told otherwise) from 32 writers while one process
// numbers it, then adds 200 and 2,000 a second, verifies the whole of it where it is stored and where it was exported. Every
// commit reaches the disk.
func BenchmarkLog(b *testing.B) {
	rows := 1_000_000
	if s := os.Getenv("ROWS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			b.Fatalf("ROWS=%q: want a number of entries", s)
		}
		rows = n
	}
	for _, dialect := range []string{database.SQLite, database.Postgres} {
		b.Run(fmt.Sprintf("%s/%d", dialect, rows), func(b *testing.B) {
			l := openLog(b, dialect)
			b.ResetTimer()
			for range b.N {
				l.fill(rows)
				l.settle()
				l.steady(200, 15*time.Second)
				l.steady(2000, 15*time.Second)
				l.verify()
			}
		})
	}
}

// auditedLog is a log that is numbered while it grows, as klarsyn retain does beside klarsyn ingest.
type auditedLog struct {
	b       *testing.B
	db      *sql.DB
	dialect string
	key     *audit.Key
	log     *audit.Log
	once    sync.Once // one line for what fails a million times
}

func openLog(b *testing.B, dialect string) *auditedLog {
	b.Helper()
	open, address := database.OpenSQLite, b.TempDir()+"/catalogue.db"
	if dialect == database.Postgres {
		open, address = database.OpenPostgres, testenv.StartPostgres(b).Database(b)
	}
	one := func() *sql.DB {
		db, err := open(b.Context(), address)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { db.Close() })
		return db
	}
	l := &auditedLog{b: b, db: one(), dialect: dialect}
	if err := database.Migrate(b.Context(), l.db, dialect, database.Owner{Name: "audit", Files: audit.Migrations()}); err != nil {
		b.Fatal(err)
	}
	var err error
	if l.key, err = audit.LoadOrCreateKey(b.TempDir()); err != nil {
		b.Fatal(err)
	}
	if l.log, err = audit.New(audit.Config{DB: l.db, Dialect: dialect, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		b.Fatal(err)
	}
	// The sequencer has connections of its own, as in another process.
	sequencer, err := audit.New(audit.Config{DB: one(), Dialect: dialect, Key: l.key})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- sequencer.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	return l
}

func (l *auditedLog) record(i int64) time.Duration {
	begun := time.Now()
	clip := policy.ClipRef{ID: fmt.Sprintf("01JD4Z9S5T8Q4W1V9D3M%06d", i), Camera: "k1", Permit: policy.PermitRef{ID: "plattan", Version: 1}}
	err := l.log.Record(l.b.Context(), policy.ClipCommittedEntry("service:ingest", clip, policy.Seal{Size: clipSize, To: begun, Frames: 750}))
	if err != nil {
		l.once.Do(func() { l.b.Error(err) })
	}
	return time.Since(begun)
}

// fill records from 32 writers, and watches how old the oldest entry gets that waits for its number.
func (l *auditedLog) fill(rows int) {
	watched, stop := context.WithCancel(l.b.Context())
	lags := l.lag(watched)
	begun := time.Now()
	var next atomic.Int64
	var writers sync.WaitGroup
	for range 32 {
		writers.Go(func() {
			for i := next.Add(1); i <= int64(rows); i = next.Add(1) {
				l.record(i)
			}
		})
	}
	writers.Wait()
	took := time.Since(begun)
	stop()
	l.b.ReportMetric(float64(rows)/took.Seconds(), "leaves/s")
	tell(l.b, <-lags, "lag", time.Second)
	for n := int64(1); n > 0; time.Sleep(20 * time.Millisecond) {
		var err error
		if n, _, err = l.log.Pending(l.b.Context()); err != nil {
			l.b.Fatal(err)
		}
	}
	l.b.ReportMetric((time.Since(begun) - took).Seconds(), "s-to-number-the-last")
}

// settle lets PostgreSQL write out what so much at once left behind, as it does by itself over minutes: what follows is
// about entries that come one by one.
func (l *auditedLog) settle() {
	if l.dialect != database.Postgres {
		return
	}
	for _, statement := range []string{`VACUUM ANALYZE`, `CHECKPOINT`} {
		if _, err := l.db.ExecContext(l.b.Context(), statement); err != nil {
			l.b.Fatal(err)
		}
	}
}

// lag samples the age of the oldest entry without a number.
func (l *auditedLog) lag(ctx context.Context) <-chan []time.Duration {
	out := make(chan []time.Duration, 1)
	go func() {
		var ages []time.Duration
		for ; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
			if n, oldest, err := l.log.Pending(ctx); err == nil && n > 0 {
				ages = append(ages, time.Since(oldest))
			}
		}
		out <- ages
	}()
	return out
}

// steady records at a fixed rate; an entry that has to wait for its turn counts from when it was due.
func (l *auditedLog) steady(perSecond int, for_ time.Duration) {
	watched, stop := context.WithCancel(l.b.Context())
	lags := l.lag(watched)
	n := int(for_.Seconds()) * perSecond
	took := make([]time.Duration, n)
	begun := time.Now()
	var writers sync.WaitGroup
	for i := range n {
		due := begun.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
		time.Sleep(time.Until(due))
		writers.Go(func() {
			l.record(int64(i))
			took[i] = time.Since(due)
		})
	}
	writers.Wait()
	stop()
	tell(l.b, took, fmt.Sprintf("at-%d/s", perSecond), time.Millisecond)
	tell(l.b, <-lags, fmt.Sprintf("lag-at-%d/s", perSecond), time.Second)
}

// verify checks the log where it is stored, and what was exported.
func (l *auditedLog) verify() {
	begun := time.Now()
	report, err := audit.Verify(l.b.Context(), audit.Verification{DB: l.db, Dialect: l.dialect, Verifier: l.key.Public, Now: time.Now()})
	if err != nil || len(report.Violations) > 0 {
		l.b.Fatalf("%+v, error %v", report, err)
	}
	l.b.ReportMetric(time.Since(begun).Seconds(), "s-to-verify-stored")
	dir := l.b.TempDir()
	begun = time.Now()
	if _, err := l.log.Export(l.b.Context(), audit.Export{Dir: dir, Keys: []string{l.key.Public}}); err != nil {
		l.b.Fatal(err)
	}
	l.b.ReportMetric(time.Since(begun).Seconds(), "s-to-export")
	begun = time.Now()
	checked, err := verify.Dir(l.b.Context(), dir, verify.Options{Keys: []string{l.key.Public}})
	if err != nil || len(checked.Problems) > 0 {
		l.b.Fatalf("%+v, error %v", checked, err)
	}
	l.b.ReportMetric(time.Since(begun).Seconds(), "s-to-verify-exported")
}

// tell reports the median, the 99th percentile and the maximum.
func tell(b *testing.B, all []time.Duration, what string, unit time.Duration) {
	b.Helper()
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	name := map[time.Duration]string{time.Millisecond: "ms", time.Second: "s"}[unit]
	for label, d := range map[string]time.Duration{"p50": all[len(all)/2], "p99": all[len(all)*99/100], "max": all[len(all)-1]} {
		b.ReportMetric(float64(d)/float64(unit), name+"-"+label+"-"+what)
	}
}
