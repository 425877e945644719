package bench

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/oklog/ulid/v2"

	"klarsyn/camera"
	"klarsyn/deploy/testenv"
	"klarsyn/policy/audit"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
	"klarsyn/retention/object"
	"klarsyn/retention/object/s3"
)

// BenchmarkDeletion takes a thousand clips of ten cameras from due to proved gone on MinIO and PostgreSQL, by turns with what
// minio-go alone needs to list a thousand objects that lie the same way and to remove their versions. It reports the median of
// each, and the ratio.
func BenchmarkDeletion(b *testing.B) {
	server := testenv.MinIO(b)
	store := bucket(b, server).(*s3.Store)
	books := onPostgres(b)
	admin := server.Admin(b)
	name := fmt.Sprintf("raw%d", time.Now().UnixNano())
	if err := admin.MakeBucket(b.Context(), name, minio.MakeBucketOptions{}); err != nil {
		b.Fatal(err)
	}
	if err := admin.EnableVersioning(b.Context(), name); err != nil {
		b.Fatal(err)
	}
	due := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	sweeper := retention.NewSweeper(retention.SweeperConfig{
		Ledger: books, Eraser: object.Eraser{Store: store}, Log: slog.New(slog.DiscardHandler),
		Clock: retention.NewClock(func() time.Time { return due.Add(240 * time.Hour) }, due.Add(240*time.Hour), true),
	})
	const clips = 1000
	var ours, raw []time.Duration
	at := due
	for b.Loop() {
		var all []retention.Clip
		for i := range clips {
			from := at.Add(time.Duration(i/10) * 30 * time.Second)
			id := ulid.MustNew(ulid.Timestamp(from), ulid.DefaultEntropy()).String()
			cam := camera.ID(fmt.Sprintf("k%d", i%10))
			all = append(all, retention.Clip{
				ID: id, Camera: cam, Permit: "p", PermitVersion: 1, Start: from, Deadline: from.Add(time.Hour), KeyDay: from.Format(time.DateOnly),
				ObjectKey: retention.ObjectKey(cam, from, id), Codec: camera.H264, Node: "n1",
			})
		}
		at = at.Add(clips / 10 * 30 * time.Second)
		recordDue(b, books, all)
		together(b, all, func(c retention.Clip) error {
			_, err := store.Put(b.Context(), c.ObjectKey, bytes.NewReader(small), int64(len(small)), sha256.Sum256(small))
			return err
		})
		together(b, all, func(c retention.Clip) error {
			_, err := admin.PutObject(b.Context(), name, c.ObjectKey, bytes.NewReader(small), int64(len(small)), "", "", minio.PutObjectOptions{})
			return err
		})

		began := time.Now()
		removeRaw(b, admin, name)
		raw = append(raw, time.Since(began))
		began = time.Now()
		if _, err := sweeper.Sweep(b.Context()); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(began))
		if n := int(sweeper.Stats().Deleted); n != len(ours)*clips {
			b.Fatalf("%d were deleted of %d", n, len(ours)*clips)
		}
	}
	median := func(ds []time.Duration) float64 {
		slices.Sort(ds)
		return ds[len(ds)/2].Seconds()
	}
	b.ReportMetric(clips/median(ours), "clips/s")
	b.ReportMetric(clips/median(raw), "raw-objects/s")
	b.ReportMetric(median(raw)/median(ours), "of-raw")
	b.ReportMetric(0, "ns/op")
}

var small = bytes.Repeat([]byte("sealed "), 1000)

// onPostgres is a catalogue with its log, and a permit that is in force.
func onPostgres(b *testing.B) *catalogue.Catalogue {
	b.Helper()
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
	log, err := audit.New(audit.Config{DB: db, Dialect: database.Postgres, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	return &catalogue.Catalogue{DB: db, Dialect: database.Postgres, Log: log, Actor: "service:bench", Now: time.Now}
}

// recordDue writes the rows that a recorder would have left, without its steps.
func recordDue(b *testing.B, books *catalogue.Catalogue, all []retention.Clip) {
	b.Helper()
	tx, err := books.DB.BeginTx(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer tx.Rollback()
	for _, c := range all {
		if _, err := tx.ExecContext(b.Context(), `INSERT INTO catalogue_clip (id, camera, permit, permit_version, start_us, end_us, deadline_us, state, key_day, object_key, codec, node)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 'committed', $8, $9, $10, $11)`, c.ID, c.Camera, c.Permit, c.PermitVersion, c.Start.UnixMicro(),
			c.Start.Add(30*time.Second).UnixMicro(), c.Deadline.UnixMicro(), c.KeyDay, c.ObjectKey, c.Codec, c.Node); err != nil {
			b.Fatal(err)
		}
		if _, err := tx.ExecContext(b.Context(), `INSERT INTO catalogue_header (clip, header) VALUES ($1, $2)`, c.ID, small[:1600]); err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
}

// together does something for every clip, several at a time.
func together(b *testing.B, all []retention.Clip, do func(retention.Clip) error) {
	b.Helper()
	var wg sync.WaitGroup
	queue := make(chan retention.Clip)
	for range 8 {
		wg.Go(func() {
			for c := range queue {
				if err := do(c); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for _, c := range all {
		queue <- c
	}
	close(queue)
	wg.Wait()
}

// removeRaw lists a bucket's versions and removes them, as anybody would who wants no proof.
func removeRaw(b *testing.B, admin *minio.Core, bucket string) {
	b.Helper()
	results, err := admin.RemoveObjectsWithIter(b.Context(), bucket, func(yield func(minio.ObjectInfo) bool) {
		for o := range admin.ListObjectsIter(b.Context(), bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
			if o.Err != nil || !yield(o) {
				return
			}
		}
	}, minio.RemoveObjectsOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for r := range results {
		if r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}
