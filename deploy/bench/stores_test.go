package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"klarsyn/camera"
	"klarsyn/deploy/testenv"
	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
	"klarsyn/retention/keys"
	"klarsyn/retention/object"
	"klarsyn/retention/object/dir"
	"klarsyn/retention/object/s3"
	"klarsyn/retention/vault"
)

// clipSize is a clip of 5 seconds at 4 Mbit/s.
const clipSize = 2_500_000

// BenchmarkClips takes clips from the spool to their commit, and then deletes them, on every store with either
// database: what one recorder and one sweeper manage.
func BenchmarkClips(b *testing.B) {
	minioServer, versity := testenv.MinIO(b), testenv.Versitygw(b, testenv.WithVersions)
	postgres := testenv.StartPostgres(b)
	stores := []struct {
		name string
		open func(b *testing.B) object.Store
	}{
		{"dir", func(b *testing.B) object.Store {
			s, err := dir.Open(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			return s
		}},
		{"minio", func(b *testing.B) object.Store { return bucket(b, minioServer) }},
		{"versitygw", func(b *testing.B) object.Store { return bucket(b, versity) }},
	}
	for _, store := range stores {
		for _, dialect := range []string{database.SQLite, database.Postgres} {
			b.Run(fmt.Sprintf("%s/%s/commit", store.name, dialect), func(b *testing.B) { commits(b, newPlace(b, store.open(b), dialect, postgres)) })
			b.Run(fmt.Sprintf("%s/%s/delete", store.name, dialect), func(b *testing.B) { deletions(b, newPlace(b, store.open(b), dialect, postgres)) })
		}
	}
}

func bucket(b *testing.B, server *testenv.S3) object.Store {
	b.Helper()
	admin, name := server.Admin(b), fmt.Sprintf("b%d", time.Now().UnixNano())
	if err := errors.Join(admin.MakeBucket(b.Context(), name, minio.MakeBucketOptions{}), admin.EnableVersioning(b.Context(), name)); err != nil {
		b.Fatal(err)
	}
	s, err := s3.Open(s3.Config{Endpoint: server.Address, Bucket: name, Plain: true, Credentials: testenv.Credentials(b, server.Access, server.Secret)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	return s
}

// place is a catalogue, a store and a recorder between them.
type place struct {
	b     *testing.B
	books *catalogue.Catalogue
	store object.Store
	in    *vault.Intake
	now   time.Time
	body  []byte
}

func newPlace(b *testing.B, store object.Store, dialect string, postgres *testenv.Postgres) *place {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	p := &place{b: b, store: store, now: time.Now().UTC().Truncate(time.Second), body: make([]byte, clipSize)}
	rand.Read(p.body)
	clock := func() time.Time { return p.now }
	open, address := database.OpenSQLite, b.TempDir()+"/catalogue.db"
	if dialect == database.Postgres {
		open, address = database.OpenPostgres, postgres.Database(b)
	}
	db, err := open(b.Context(), address)
	must(err)
	b.Cleanup(func() { db.Close() })
	must(database.Migrate(b.Context(), db, dialect, database.Owner{Name: "audit", Files: audit.Migrations()},
		database.Owner{Name: "catalogue", Files: catalogue.Migrations()}, database.Owner{Name: "keys", Files: keys.Migrations()}))
	log, err := audit.New(audit.Config{DB: db, Dialect: dialect, Now: clock, Logger: slog.New(slog.DiscardHandler)})
	must(err)
	p.books = &catalogue.Catalogue{DB: db, Dialect: dialect, Log: log, Actor: "service:bench", Now: clock}
	folder := b.TempDir()
	must(keys.CreateMaster(folder))
	public, err := keys.LoadPublic(folder)
	must(err)
	hour, err := policy.ParsePeriod("PT1H")
	must(err)
	permit := policy.Permit{ID: "p", Version: 1, Regime: policy.Municipal, Basis: policy.Assessment, Cameras: []string{"k1"}, ValidFrom: p.now.AddDate(-1, 0, 0), Retention: hour, Purposes: []string{policy.CrimeInvestigation}}
	must(p.books.Activate(b.Context(), permit))
	must((&keys.Tender{Store: &keys.Store{DB: db, Sealer: public, Now: clock}, Board: p.books, Now: clock, Permits: func(time.Time) []string { return []string{"p"} }}).Tend(b.Context()))
	p.in, err = vault.OpenIntake(b.Context(), vault.IntakeConfig{
		Reservations: p.books, Timeline: p.books, Outcomes: p.books, Store: store, Spool: b.TempDir(), Node: "n1", Now: clock,
		Permit: func(string, time.Time) (policy.Permit, bool) { return permit, true },
	})
	must(err)
	b.Cleanup(func() { p.in.Close() })
	return p
}

// spool records one clip into the spool.
func (p *place) spool() {
	p.b.Helper()
	rec, err := p.in.Begin(p.b.Context(), camera.Opening{Camera: "k1", Start: p.now, Received: p.now, Format: camera.Format{Codec: camera.H264}})
	if err != nil {
		p.b.Fatal(err)
	}
	p.now = p.now.Add(time.Second)
	end := camera.Closing{End: p.now, Frames: 25}
	if err := errors.Join(rec.Write(p.b.Context(), p.body, end), rec.Close(p.b.Context(), end)); err != nil {
		p.b.Fatal(err)
	}
}

func (p *place) move() {
	p.b.Helper()
	if err := p.in.Move(p.b.Context()); err != nil {
		p.b.Fatal(err)
	}
}

func commits(b *testing.B, p *place) {
	b.SetBytes(clipSize)
	n := 0
	for b.Loop() {
		b.StopTimer()
		p.spool()
		b.StartTimer()
		p.move()
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "clips/s")
}

// deletions claims, removes, lists and entombs; the clips are small, since their size costs a deletion nothing.
func deletions(b *testing.B, p *place) {
	p.body = p.body[:1000]
	var sweeper *retention.Sweeper
	left := 0
	n := 0
	for b.Loop() {
		if left == 0 {
			b.StopTimer()
			const batch = 50
			for range batch {
				p.spool()
			}
			p.move()
			p.now = p.now.Add(2 * time.Hour)
			sweeper = retention.NewSweeper(retention.SweeperConfig{Ledger: p.books, Eraser: object.Eraser{Store: p.store}, Clock: retention.NewClock(func() time.Time { return p.now }, p.now.Add(-time.Minute), true), Batch: 1})
			left = batch
			b.StartTimer()
		}
		if _, err := sweeper.Sweep(b.Context()); err != nil {
			b.Fatal(err)
		}
		left--
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "clips/s")
}

// BenchmarkRawPut is what a bare client manages on the same servers with the same bytes.
func BenchmarkRawPut(b *testing.B) {
	for name, server := range map[string]*testenv.S3{"minio": testenv.MinIO(b), "versitygw": testenv.Versitygw(b, testenv.WithVersions)} {
		b.Run(name, func(b *testing.B) {
			s := bucket(b, server)
			body := make([]byte, clipSize)
			rand.Read(body)
			sum := sha256.Sum256(body)
			b.SetBytes(clipSize)
			i := 0
			for b.Loop() {
				i++
				if _, err := s.Put(context.Background(), fmt.Sprintf("clips/raw/%d", i), bytes.NewReader(body), clipSize, sum); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "clips/s")
		})
	}
}
