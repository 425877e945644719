package fsck_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"klarsyn/deploy/testenv"
	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
	"klarsyn/retention/fsck"
	"klarsyn/retention/keys"
	"klarsyn/retention/object/s3"
)

// square is an installation on PostgreSQL and MinIO: two clips of a camera, the second of them held.
type square struct {
	t       *testing.T
	db      *sql.DB
	books   *catalogue.Catalogue
	store   *s3.Store
	admin   *minio.Core
	bucket  string
	keys    *keys.Store
	begin   time.Time
	a, held retention.Clip
}

func newSquare(t *testing.T, postgres *testenv.Postgres, server *testenv.S3) *square {
	t.Helper()
	ctx := t.Context()
	q := &square{t: t, admin: server.Admin(t), begin: time.Now().UTC().Add(-10 * time.Minute).Truncate(time.Second)}
	open := func(owners ...database.Owner) *sql.DB {
		db, err := database.OpenPostgres(ctx, postgres.Database(t))
		q.must(err)
		t.Cleanup(func() { db.Close() })
		q.must(database.Migrate(ctx, db, database.Postgres, owners...))
		return db
	}
	q.db = open(database.Owner{Name: "audit", Files: audit.Migrations()}, database.Owner{Name: "catalogue", Files: catalogue.Migrations()})
	now := func() time.Time { return q.begin.Add(time.Minute) }
	log, err := audit.New(audit.Config{DB: q.db, Dialect: database.Postgres, Logger: slog.New(slog.DiscardHandler), Now: now})
	q.must(err)
	q.books = &catalogue.Catalogue{DB: q.db, Dialect: database.Postgres, Log: log, Actor: "service:test", Now: now}
	q.bucket = fmt.Sprintf("clips-%d", time.Now().UnixNano())
	q.must(q.admin.MakeBucket(ctx, q.bucket, minio.MakeBucketOptions{ObjectLocking: true}))
	q.store, err = s3.Open(s3.Config{Endpoint: server.Address, Bucket: q.bucket, Plain: true, Credentials: testenv.Credentials(t, server.Access, server.Secret)})
	q.must(err)
	t.Cleanup(q.store.Close)
	q.must(q.store.Probe(ctx, s3.Put|s3.Erase)) // and leave nothing of the probe
	folder := t.TempDir()
	q.must(keys.CreateMaster(folder))
	public, err := keys.LoadPublic(folder)
	q.must(err)
	q.keys = &keys.Store{DB: open(database.Owner{Name: "keys", Files: keys.Migrations()}), Sealer: public, Now: now}
	day := q.begin.Format(time.DateOnly)
	recipient, _, err := q.keys.Mint(ctx, keys.Key{Permit: "plattan", Day: day})
	q.must(err)
	q.must(q.books.PublishRecipient(ctx, "plattan", day, recipient))

	hour, err := policy.ParsePeriod("PT1H")
	q.must(err)
	q.must(q.books.Activate(ctx, policy.Permit{
		ID: "plattan", Version: 1, Regime: policy.Municipal, Basis: policy.Assessment, Cameras: []string{"k1"}, ValidFrom: q.begin.AddDate(0, -1, 0),
		Retention: hour, Purposes: []string{policy.CrimeInvestigation},
	}))
	q.a = q.record(1, q.begin)
	q.held = q.record(2, q.a.End)
	_, err = q.keys.MintCase(ctx, "K-1", q.books.LogCaseKeyMinted)
	q.must(err)
	_, refused, err := q.books.PlaceHold(ctx, anna, retention.Hold{
		ID: "H1", Kind: retention.Evidence, Case: "K-1", Basis: "robbery", Requester: "cilla", Approver: "anna", Review: time.Now().AddDate(0, 1, 0), Placed: now(),
		Clips: []retention.HeldClip{{Clip: q.held.ID, From: q.held.Start, To: q.held.End}},
	}, map[string]retention.SealedKey{q.held.ID: {Header: []byte("header of " + q.held.ID), FileKey: []byte("file key")}})
	q.must(err)
	if len(refused) > 0 {
		t.Fatal(refused)
	}
	q.must(q.store.LegalHold(ctx, q.held.ObjectKey, q.held.Version, true))
	t.Cleanup(func() { q.store.LegalHold(context.WithoutCancel(ctx), q.held.ObjectKey, q.held.Version, false) })
	return q
}

func (q *square) must(err error) {
	q.t.Helper()
	if err != nil {
		q.t.Fatal(err)
	}
}

func (q *square) exec(query string, args ...any) {
	q.t.Helper()
	_, err := q.db.ExecContext(q.t.Context(), query, args...)
	q.must(err)
}

func (q *square) record(n int, from time.Time) retention.Clip {
	q.t.Helper()
	ctx, id := q.t.Context(), fmt.Sprintf("%026d", n)
	c := retention.Clip{
		ID: id, Camera: "k1", Permit: "plattan", PermitVersion: 1, Start: from, End: from.Add(5 * time.Second), Deadline: from.Add(time.Hour),
		KeyDay: q.begin.Format(time.DateOnly), ObjectKey: retention.ObjectKey("k1", from, id), Codec: "h264", Node: "n1", State: retention.Committed, Frames: 10,
	}
	q.must(q.books.Reserve(ctx, c, []byte("header of "+id)))
	q.must(q.books.End(ctx, id, c.End, 10))
	body := "sealed bytes of " + id
	c.Size, c.PlainSize, c.SHA256 = int64(len(body)), 5, sha256.Sum256([]byte(body))
	info, err := q.store.Put(ctx, c.ObjectKey, strings.NewReader(body), c.Size, c.SHA256)
	q.must(err)
	c.Version = info.Version
	q.must(q.books.Commit(ctx, c))
	return c
}

func (q *square) check(level fsck.Level) fsck.Check {
	books := catalogue.Checked{Catalogue: q.books}
	return fsck.Check{
		Books: books, HoldBooks: books, Recipients: books.Recipients, Keys: q.keys, Store: q.store, LegallyHeld: q.store.LegallyHeld,
		Now: time.Now(), Grace: time.Minute, Stray: 0, Level: level, NotOpened: "nobody asked",
		Replay: func(ctx context.Context) (fsck.Story, error) {
			clips, err := audit.Replay(ctx, q.db, database.Postgres)
			return story{clips, time.Time{}}, err
		},
	}
}

// put puts an object past Klarsyn.
func (q *square) put(key, body string) {
	q.t.Helper()
	_, err := q.admin.PutObject(q.t.Context(), q.bucket, key, bytes.NewReader([]byte(body)), int64(len(body)), "", "", minio.PutObjectOptions{})
	q.must(err)
}

// The important ones on servers: each is broken once, and exactly that one is reported.
func TestServers(t *testing.T) {
	postgres, server := testenv.StartPostgres(t), testenv.MinIO(t)
	for name, c := range map[string]struct {
		id    string // none: nothing is broken
		level fsck.Level
		wrong func(q *square)
	}{
		"nothing":          {"", fsck.Hash, func(*square) {}},
		"nothing, by size": {"", fsck.Size, func(*square) {}},
		"a stray":          {"I1", fsck.Presence, func(q *square) { q.put("clips/k1/stray", "x") }},
		"a marker of the installation is no stray": {"", fsck.Presence, func(q *square) { q.put("installation/id", "01J0000000000000000000000A") }},
		"a marker over an object": {"I1", fsck.Presence, func(q *square) {
			q.must(q.admin.RemoveObject(q.t.Context(), q.bucket, q.a.ObjectKey, minio.RemoveObjectOptions{})) // without a version: it only hides the object
		}},
		"an object is missing": {"I2", fsck.Presence, func(q *square) {
			q.must(q.admin.RemoveObject(q.t.Context(), q.bucket, q.a.ObjectKey, minio.RemoveObjectOptions{VersionID: q.a.Version}))
		}},
		"another object took its place": {"I2", fsck.Hash, func(q *square) {
			q.must(q.admin.RemoveObject(q.t.Context(), q.bucket, q.a.ObjectKey, minio.RemoveObjectOptions{VersionID: q.a.Version}))
			q.put(q.a.ObjectKey, strings.Repeat("x", int(q.a.Size)))
		}},
		"another object of another size": {"I2", fsck.Size, func(q *square) {
			q.must(q.admin.RemoveObject(q.t.Context(), q.bucket, q.a.ObjectKey, minio.RemoveObjectOptions{VersionID: q.a.Version}))
			q.put(q.a.ObjectKey, "x")
		}},
		"a clip past its deadline": {"I3", fsck.Presence, func(q *square) {
			past := time.Now().Add(-2 * time.Minute)
			q.exec(`UPDATE catalogue_clip SET deadline_us = $1 WHERE id = $2`, past.UnixMicro(), q.a.ID)
			q.must(q.books.Log.Record(q.t.Context(), policy.DeletionPlannedEntry("service:test", ref(q.a), q.a.Deadline, past.Truncate(time.Microsecond), "for the test")))
		}},
		"a hold that lost its key":      {"I4", fsck.Presence, func(q *square) { q.exec(`UPDATE catalogue_held SET file_key = NULL`) }},
		"a hold that is not counted":    {"I4", fsck.Presence, func(q *square) { q.exec(`UPDATE catalogue_clip SET holds = 0 WHERE id = $1`, q.held.ID) }},
		"a held clip without a barrier": {"I4", fsck.Presence, func(q *square) { q.must(q.store.LegalHold(q.t.Context(), q.held.ObjectKey, q.held.Version, false)) }},
		"a state that nobody logged":    {"I7", fsck.Presence, func(q *square) { q.exec(`UPDATE catalogue_clip SET state = 'partial' WHERE id = $1`, q.a.ID) }},
		"a header for two clips": {"I9", fsck.Presence, func(q *square) {
			q.exec(`UPDATE catalogue_header SET header = (SELECT header FROM catalogue_header WHERE clip = $1) WHERE clip = $2`, q.held.ID, q.a.ID)
		}},
		"a day key is gone": {"I10", fsck.Presence, func(q *square) {
			_, err := q.keys.Destroy(q.t.Context(), keys.Key{Permit: "plattan", Day: q.begin.Format(time.DateOnly)})
			q.must(err)
			q.exec(`DELETE FROM catalogue_recipient`)
		}},
		"a hole": {"I12", fsck.Presence, func(q *square) { q.exec(`UPDATE catalogue_clip SET end_us = end_us - 1 WHERE id = $1`, q.a.ID) }},
		"a row is gone": {"I14", fsck.Presence, func(q *square) {
			_, err := q.store.Delete(q.t.Context(), q.a.ObjectKey)
			q.must(err)
			q.exec(`DELETE FROM catalogue_header WHERE clip = $1`, q.a.ID)
			q.exec(`DELETE FROM catalogue_clip WHERE id = $1`, q.a.ID)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			q := newSquare(t, postgres, server)
			c.wrong(q)
			results, err := fsck.Run(t.Context(), q.check(c.level))
			q.must(err)
			for _, r := range results {
				if want := r.ID == c.id; want != (len(r.Violations) == 1) || !want && len(r.Violations) > 0 {
					t.Errorf("%s: %q, want a violation: %v", r.ID, r.Violations, want)
				}
			}
		})
	}
}
