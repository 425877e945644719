package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/oklog/ulid/v2"

	"klarsyn/camera"
	"klarsyn/deploy/testenv"
	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/policy/audit/absence"
	"klarsyn/retention"
	"klarsyn/retention/database"
)

// told is a log that tells of five clips, exported two hours after they began.
type told struct {
	folder, key                             string
	live, pending, held, deleted, due, lost string // ids
	began                                   time.Time
}

const sealedBytes = "sealed bytes of a clip"

func (l told) objectKey(id string) string { return retention.ObjectKey(camera.ID("k1"), l.began, id) }

func idAt(t *testing.T, at time.Time) string {
	t.Helper()
	id, err := ulid.New(ulid.Timestamp(at), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return id.String()
}

func toldLog(t *testing.T) told {
	t.Helper()
	l := told{folder: filepath.Join(t.TempDir(), "log"), began: time.Now().Add(-2 * time.Hour)}
	for _, id := range []*string{&l.live, &l.pending, &l.held, &l.deleted, &l.due, &l.lost} {
		*id = idAt(t, l.began)
	}
	db, err := database.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := database.Migrate(t.Context(), db, database.SQLite, database.Owner{Name: "audit", Files: audit.Migrations()}); err != nil {
		t.Fatal(err)
	}
	keys := t.TempDir()
	signing, err := audit.LoadOrCreateKey(keys)
	if err != nil {
		t.Fatal(err)
	}
	l.key = filepath.Join(keys, "audit.pub")
	log, err := audit.New(audit.Config{DB: db, Dialect: database.SQLite, Key: signing, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	past, future := l.began.Add(time.Hour), time.Now().Add(24*time.Hour)
	seal := policy.Seal{SHA256: policy.Hash{1}, Size: int64(len(sealedBytes)), To: l.began.Add(time.Minute)}
	lena := policy.Subject{Name: "lena", Role: policy.InvestigationLead}
	ref := func(id string) policy.ClipRef {
		return policy.ClipRef{ID: id, Camera: "k1", Permit: policy.PermitRef{ID: "plattan", Version: 1}}
	}
	write := func(at time.Time, e policy.Entry) {
		t.Helper()
		e.Time = at
		if err := log.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	for id, deadline := range map[string]time.Time{l.live: future, l.pending: future, l.held: past, l.deleted: past, l.due: past, l.lost: future} {
		write(l.began, policy.ClipReservedEntry("service:ingest", ref(id), l.began, deadline))
		if id == l.lost {
			write(l.began.Add(time.Minute), policy.ClipLostEntry("service:ingest", ref(id), "disk"))
		} else if id != l.pending {
			write(l.began.Add(time.Minute), policy.ClipCommittedEntry("service:ingest", ref(id), seal))
		}
	}
	write(l.began.Add(2*time.Minute), policy.HoldPlacedEntry(lena, policy.Hold{ID: "H", Case: "K-1", Clips: []string{l.held}, Basis: "robbery", Review: future}, policy.Approval{ID: "H", By: "bo"}))
	write(past, policy.ClipHeldOverEntry("service:retain", ref(l.held), past))
	write(past, policy.ClipShreddedEntry("service:retain", ref(l.deleted), past, "committed"))
	write(past.Add(time.Second), policy.ClipDeletedEntry("service:retain", ref(l.deleted), policy.Deletion{Deadline: past, Deleted: past.Add(time.Second), Removed: 1}))
	if err := log.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Export(t.Context(), audit.Export{Dir: l.folder, Keys: []string{signing.Public}}); err != nil {
		t.Fatal(err)
	}
	return l
}

// depot is where somebody puts things without asking Klarsyn.
type depot interface {
	objects() string
	put(t *testing.T, key, body string)
	mark(t *testing.T, key string)
	begin(t *testing.T, key string)
}

type folder struct{ root string }

func newFolder(t *testing.T) depot {
	t.Helper()
	f := folder{t.TempDir()}
	if err := os.Mkdir(filepath.Join(f.root, ".uploads"), 0o700); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f folder) objects() string { return f.root }

func (f folder) put(t *testing.T, key, body string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(f.root, key)), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(f.root, key), body)
}

func (f folder) mark(t *testing.T, _ string) {
	t.Helper()
	t.Skip("a directory has no delete markers")
}

func (f folder) begin(t *testing.T, key string) {
	write(t, filepath.Join(f.root, ".uploads", strings.ReplaceAll(key, "/", "%2F")+"~KILLED"), "half")
}

// bucket is one with versions on a MinIO.
type bucket struct {
	server      *testenv.S3
	name, login string
}

func (b bucket) objects() string {
	return fmt.Sprintf("s3://%s/%s?tls=false&credentials=%s", b.server.Address, b.name, b.login)
}

func (b bucket) put(t *testing.T, key, body string) {
	t.Helper()
	_, err := b.server.Admin(t).PutObject(t.Context(), b.name, key, strings.NewReader(body), int64(len(body)), "", "", minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// mark leaves the marker that a plain deletion makes, and takes away the version below it.
func (b bucket) mark(t *testing.T, key string) {
	t.Helper()
	admin := b.server.Admin(t)
	had, err := admin.PutObject(t.Context(), b.name, key, strings.NewReader(sealedBytes), int64(len(sealedBytes)), "", "", minio.PutObjectOptions{})
	if err == nil {
		err = admin.RemoveObject(t.Context(), b.name, key, minio.RemoveObjectOptions{})
	}
	if err == nil {
		err = admin.RemoveObject(t.Context(), b.name, key, minio.RemoveObjectOptions{VersionID: had.VersionID})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (b bucket) begin(t *testing.T, key string) {
	t.Helper()
	core := b.server.Admin(t)
	id, err := core.NewMultipartUpload(t.Context(), b.name, key, minio.PutObjectOptions{})
	if err == nil {
		_, err = core.PutObjectPart(t.Context(), b.name, key, id, 1, bytes.NewReader([]byte("half")), 4, minio.PutObjectPartOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What lies there is held against the log; the auditor is told of each thing that must not, and why.
func TestVerifyAbsence(t *testing.T) {
	l := toldLog(t)
	type wrong struct {
		id   string
		kind string
		rule absence.Rule
	}
	server := testenv.MinIO(t)
	login := testenv.Credentials(t, server.Access, server.Secret)
	for where, newPlace := range map[string]func(t *testing.T) depot{
		"directory": newFolder,
		"MinIO": func(t *testing.T) depot {
			t.Helper()
			b := bucket{server, strings.ToLower("b" + rand.Text()), login}
			admin := server.Admin(t)
			if err := errors.Join(admin.MakeBucket(t.Context(), b.name, minio.MakeBucketOptions{}), admin.EnableVersioning(t.Context(), b.name)); err != nil {
				t.Fatal(err)
			}
			return b
		},
	} {
		for name, c := range map[string]struct {
			do   func(t *testing.T, p depot)
			want []wrong
		}{
			"clean":                          {func(*testing.T, depot) {}, nil},
			"a deleted clip is put back":     {func(t *testing.T, p depot) { p.put(t, l.objectKey(l.deleted), sealedBytes) }, []wrong{{l.deleted, "version", absence.Gone}}},
			"a delete marker is left":        {func(t *testing.T, p depot) { p.mark(t, l.objectKey(l.deleted)) }, []wrong{{l.deleted, "marker", absence.Gone}}},
			"an unfinished upload":           {func(t *testing.T, p depot) { p.begin(t, l.objectKey(l.deleted)) }, []wrong{{l.deleted, "upload", absence.Gone}}},
			"a stray":                        {func(t *testing.T, p depot) { p.put(t, "clips/k1/notes.txt", "x") }, []wrong{{"notes.txt", "version", absence.Unexplained}}},
			"a clip that no entry knows":     {func(t *testing.T, p depot) { id := "01KAW4D3ZJ7Q0V6Y3R9T5B2M8N"; p.put(t, l.objectKey(id), "x") }, []wrong{{"01KAW4D3ZJ7Q0V6Y3R9T5B2M8N", "version", absence.Unexplained}}},
			"a clip of times to come":        {func(t *testing.T, p depot) { p.put(t, l.objectKey("7ZZZZZZZZZ7Q0V6Y3R9T5B2M8N"), "x") }, []wrong{{"7ZZZZZZZZZ7Q0V6Y3R9T5B2M8N", "version", absence.Unexplained}}},
			"a due clip was not deleted":     {func(t *testing.T, p depot) { p.put(t, l.objectKey(l.due), sealedBytes) }, []wrong{{l.due, "version", absence.Overdue}}},
			"a lost clip is there":           {func(t *testing.T, p depot) { p.put(t, l.objectKey(l.lost), sealedBytes) }, []wrong{{l.lost, "version", absence.Gone}}},
			"a live clip lies elsewhere":     {func(t *testing.T, p depot) { p.put(t, "copies/"+l.live, sealedBytes) }, []wrong{{l.live, "version", absence.Other}}},
			"a pending clip has an upload":   {func(t *testing.T, p depot) { p.begin(t, l.objectKey(l.pending)) }, nil},
			"a body under the key of a mark": {func(t *testing.T, p depot) { p.put(t, "installation/x", strings.Repeat("x", 2000)) }, []wrong{{"installation/x", "version", absence.Unexplained}}},
			"two at once": {func(t *testing.T, p depot) {
				p.put(t, l.objectKey(l.due), sealedBytes)
				p.put(t, l.objectKey(l.deleted), sealedBytes)
			}, []wrong{{l.due, "version", absence.Overdue}, {l.deleted, "version", absence.Gone}}},
		} {
			t.Run(where+"/"+name, func(t *testing.T) {
				p := newPlace(t)
				p.put(t, l.objectKey(l.live), sealedBytes)
				p.put(t, l.objectKey(l.held), sealedBytes)
				p.put(t, l.objectKey(idAt(t, time.Now())), "just begun")
				p.put(t, "probe/write-once", "Klarsyn asks")
				p.put(t, "installation/id", "01KAW4D3ZJ7Q0V6Y3R9T5B2M8N")
				c.do(t, p)
				got := command(t, "verify", "absence", "--objects", p.objects(), "--log", l.folder, "--key", l.key, "--json")
				var r absence.Report
				if err := json.Unmarshal([]byte(got.out), &r); err != nil {
					t.Fatal(got, err)
				}
				if (got.code == 0) != (len(c.want) == 0) || r.Wrong != int64(len(c.want)) || r.Live != 1 || r.Held != 1 || r.Cases != 1 || r.Newer != 1 || r.Marks != 2 {
					t.Errorf("%s", got)
				}
				for _, w := range c.want {
					found := false
					for _, p := range r.Problems {
						found = found || strings.HasSuffix(p.Key, w.id) && p.Kind == w.kind && p.Rule == w.rule
					}
					if !found {
						t.Errorf("not found: %+v\n%s", w, got)
					}
				}
				if plain := command(t, "verify", "absence", "--objects", p.objects(), "--log", l.folder, "--key", l.key); plain.code != got.code ||
					strings.Contains(plain.out, "MUST NOT LIE THERE") != (len(c.want) > 0) {
					t.Errorf("%s", plain)
				}
			})
		}
	}
}

// A second version of a clip, and another body in its place, are not what the log tells of.
func TestVerifyAbsenceOfASecondVersion(t *testing.T) {
	l := toldLog(t)
	listed := func(things string) said {
		file := filepath.Join(t.TempDir(), "listing.json")
		write(t, file, `{"Versions": [`+things+`], "DeleteMarkers": null}`)
		return command(t, "verify", "absence", "--listing", file, "--log", l.folder, "--key", l.key)
	}
	one := func(size int) string {
		return fmt.Sprintf(`{"Key": %q, "VersionId": "v", "Size": %d, "Owner": {"ID": "o"}}`, l.objectKey(l.live), size)
	}
	if got := listed(one(len(sealedBytes))); got.code != 0 {
		t.Error(got)
	}
	if got := listed(one(len(sealedBytes)) + "," + one(len(sealedBytes))); got.code != 1 || !strings.Contains(got.out, "second version") {
		t.Error(got)
	}
	if got := listed(one(len(sealedBytes) + 1)); got.code != 1 || !strings.Contains(got.out, "were stored of the clip") {
		t.Error(got)
	}
}

// A listing that was made before a clip was deleted is judged by what the log said then.
func TestVerifyAbsenceOfAnOlderListing(t *testing.T) {
	l := toldLog(t)
	file := filepath.Join(t.TempDir(), "listing.json")
	write(t, file, fmt.Sprintf(`{"Versions": [{"Key": %q, "Size": %d}]}`, l.objectKey(l.deleted), len(sealedBytes)))
	for at, code := range map[string]int{
		l.began.Add(30 * time.Minute).Format(time.RFC3339): 0,
		l.began.Add(90 * time.Minute).Format(time.RFC3339): 1,
		"yesterday": 2,
	} {
		if got := command(t, "verify", "absence", "--listing", file, "--listed-at", at, "--log", l.folder, "--key", l.key); got.code != code {
			t.Errorf("listed at %s: %s", at, got)
		}
	}
}

// What a log says that was truncated or changed is worth nothing; wrong use is told apart.
func TestVerifyAbsenceByADamagedLog(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(l *told) error
		code   int
	}{
		"whole": {func(*told) error { return nil }, 0},
		"truncated": {func(l *told) error {
			return filepath.WalkDir(filepath.Join(l.folder, "tile", "entries"), func(path string, d os.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				return os.Truncate(path, 700)
			})
		}, 1},
		"changed": {func(l *told) error {
			return filepath.WalkDir(filepath.Join(l.folder, "tile", "entries"), func(path string, d os.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				b, err := os.ReadFile(path)
				return errors.Join(err, os.WriteFile(path, bytes.Replace(b, []byte(l.due), []byte(l.live), 1), 0o600))
			})
		}, 1},
		"set back":    {func(l *told) error { return os.Remove(filepath.Join(l.folder, "checkpoint")) }, 2},
		"no such key": {func(l *told) error { l.key += "x"; return nil }, 2},
		"no such log": {func(l *told) error { l.folder += "x"; return nil }, 2},
	} {
		l := toldLog(t)
		p := newFolder(t)
		if err := c.damage(&l); err != nil {
			t.Fatal(err)
		}
		if got := command(t, "verify", "absence", "--objects", p.objects(), "--log", l.folder, "--key", l.key); got.code != c.code {
			t.Errorf("%s: %s", name, got)
		}
	}
	l := toldLog(t)
	for name, args := range map[string][]string{
		"a folder that is none": {"--objects", filepath.Join(t.TempDir(), "nowhere")},
		"nothing":               {},
		"both":                  {"--objects", t.TempDir(), "--listing", l.key},
		"a secret":              {"--objects", "s3://AK:s3cret@h/clips"},
		"no listing":            {"--listing", filepath.Join(t.TempDir(), "nowhere")},
	} {
		got := command(t, append([]string{"verify", "absence", "--log", l.folder, "--key", l.key}, args...)...)
		if got.code != 2 || strings.Contains(got.errs, "s3cret") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := command(t, "verify", "absence", "--log", l.folder, "--key", l.key, "--listing", l.key); got.code != 1 || !strings.Contains(got.errs, "listing") {
		t.Errorf("a listing that is none: %s", got)
	}
}
