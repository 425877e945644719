package e2e

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"klarsyn/deploy/testenv"
)

// servers are a MinIO and a PostgreSQL of a test's own, with the flags that lead there as administrator.
type servers struct {
	objects  *testenv.S3
	postgres *testenv.Postgres
	flags    []string
}

func startServers(t *testing.T) *servers {
	t.Helper()
	s := &servers{objects: testenv.MinIO(t, testenv.WithTLS), postgres: testenv.StartPostgres(t)}
	if err := s.objects.Admin(t).MakeBucket(t.Context(), "clips", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	passwords := testenv.PasswordFile(t, s.postgres.User, s.postgres.Password)
	s.flags = []string{
		"--objects", s.bucket(testenv.Credentials(t, s.objects.Access, s.objects.Secret)),
		"--catalogue", s.database(t, s.postgres.Database(t), passwords), "--keys", s.database(t, s.postgres.Database(t), passwords),
	}
	return s
}

func (s *servers) bucket(credentials string) string {
	return fmt.Sprintf("s3://%s/clips?ca=%s&credentials=%s", s.objects.Address, url.QueryEscape(s.objects.CA), url.QueryEscape(credentials))
}

// database takes the password out of an address and names the file that holds it.
func (s *servers) database(t *testing.T, address, passwords string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(u.User.Username())
	u.RawQuery = url.Values{"sslmode": {"disable"}, "passfile": {passwords}}.Encode()
	return u.String()
}

// stored counts what lies in the bucket, versions and markers included.
func (s *servers) stored(t *testing.T) int {
	t.Helper()
	n := 0
	for o := range s.objects.Admin(t).ListObjectsIter(t.Context(), "clips", minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		n++
	}
	return n
}

// The square of the first test, on MinIO with TLS and PostgreSQL.
func TestServersDemo(t *testing.T) {
	t.Parallel()
	s := startServers(t)
	d := startDemo(t, t.TempDir(), append(s.flags, "--clip", "4s", "--retention", "25s", "--tour=false")...)
	investigator, viewer, auditor := d.as(t, "investigator"), d.as(t, "dashboard-viewer"), d.as(t, "auditor")
	c := investigator.stored("k1", 90*time.Second)
	lookAt(t, c, newVisitor(t, d.URL), investigator, viewer, auditor)
	countsAreServed(t, auditor, viewer)
	forgotten(t, c, investigator, viewer, auditor)
	testenv.Eventually(t, 30*time.Second, "a clip of each camera is gone", func() bool {
		for _, id := range cameras {
			if len(deletions(auditor, id, c.From.Add(-time.Minute))) == 0 {
				return false
			}
		}
		return true
	})
	logged(t, c, auditor)
	if s.stored(t) == 0 {
		t.Error("nothing lies in the bucket: where are the clips?")
	}
	if code := d.Stop(t, time.Minute); code != 0 {
		t.Errorf("the demo ended with %d", code)
	}
	sum := summaryOf(t, d)
	if sum["clips_committed"] < 6 || sum["clips_deleted"] < 3 || sum["overdue"] != 0 || sum["max_delete_lag_s"] > 10 || sum["gaps"] != 0 || sum["fsck_violations"] != 0 {
		t.Errorf("summary: %v", sum)
	}
	if _, err := os.Stat(filepath.Join(d.data, "catalogue", "catalogue.db")); err == nil {
		t.Error("rows lie in the data directory, too")
	}
	clean(t, fsck(t, d.data))

	// Plaintext in the bucket is found like plaintext in a folder.
	leak := "of a picture: " + canary
	if _, err := s.objects.Admin(t).PutObject(t.Context(), "clips", "clips/leak", strings.NewReader(leak), int64(len(leak)), "", "", minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if r := fsck(t, d.data)["I11"]; len(r.Violations) != 1 || !strings.Contains(r.Violations[0], "clips/leak") {
		t.Errorf("fsck says of plaintext in the bucket: %v", r.Violations)
	}
}

// MinIO is away for half a minute: recording goes on into the spool, what falls due is unreadable in time, and
// afterwards everything is where it belongs, once.
func TestServersObjectStoreStops(t *testing.T) {
	t.Parallel()
	s := startServers(t)
	d := startDemo(t, t.TempDir(), append(s.flags, "--clip", "4s", "--retention", "60s", "--tour=false")...)
	investigator := d.as(t, "investigator")
	before := investigator.stored("k1", 90*time.Second)
	if a := investigator.look(before.ID); a.status != 200 {
		t.Fatalf("a look before: %d %s", a.status, a.body)
	}
	s.objects.Stop()
	stopped := time.Now()
	if a := investigator.look(before.ID); a.status != 503 {
		t.Errorf("a look while the store is away: %d %s", a.status, a.body)
	}
	testenv.Eventually(t, time.Until(before.Deadline)+10*time.Second, "the clip is unreadable at its deadline, store or no store", func() bool {
		return investigator.gone(before.ID)
	})
	time.Sleep(time.Until(stopped.Add(30 * time.Second)))
	s.objects.Start(t)
	for _, id := range cameras {
		testenv.Eventually(t, 60*time.Second, "clips of camera "+id+" from meanwhile are stored", func() bool {
			for _, c := range investigator.clips(id) {
				if c.From.After(stopped) && c.From.Before(stopped.Add(20*time.Second)) && c.State == "committed" {
					return true
				}
			}
			return false
		})
		tiled(t, id, settled(investigator.clips(id)))
	}
	testenv.Eventually(t, 60*time.Second, "the spool is drained", func() bool {
		left, err := filepath.Glob(filepath.Join(d.data, "spool", "*.seal"))
		return err == nil && len(left) <= 2*len(cameras)
	})
	if code := d.Stop(t, time.Minute); code != 0 {
		t.Errorf("the demo ended with %d", code)
	}
	sum := summaryOf(t, d)
	if sum["gaps"] != 0 || sum["overdue"] != 0 || sum["fsck_violations"] != 0 {
		t.Errorf("summary: %v", sum)
	}
	clean(t, fsck(t, d.data, "--stray", "3m"))
}

// PostgreSQL is away for a while: what is open is finished into the spool, nothing new is begun and nothing is
// served, and the timeline says that it was our fault.
func TestServersDatabaseStops(t *testing.T) {
	t.Parallel()
	s := startServers(t)
	d := startDemo(t, t.TempDir(), append(s.flags, "--clip", "4s", "--retention", "5m", "--tour=false")...)
	investigator := d.as(t, "investigator")
	before := investigator.stored("k1", 90*time.Second)
	auditor := d.as(t, "auditor")
	stopping := time.Now()
	s.postgres.Stop()
	stopped := time.Now()
	testenv.Eventually(t, 30*time.Second, "nothing is served without the log", func() bool {
		a := investigator.look(before.ID)
		if a.status == 200 || strings.Contains(string(a.body), canary) {
			t.Fatalf("footage was served without a log: %d", a.status)
		}
		return a.status == 503
	})
	time.Sleep(15 * time.Second)
	back := time.Now()
	s.postgres.Start(t)
	for _, id := range cameras {
		testenv.Eventually(t, 60*time.Second, "camera "+id+" is recorded again", func() bool {
			for _, c := range investigator.clips(id) {
				if c.From.After(back) && c.State == "committed" {
					return true
				}
			}
			return false
		})
	}
	if a := investigator.look(before.ID); a.status != 200 || decode(t, a.body).frames != before.Frames {
		t.Errorf("a look afterwards: %d", a.status)
	}
	for _, id := range cameras {
		permitsWereAway(t, investigator, auditor, id, stopping, stopped, back)
	}
	if code := d.Stop(t, time.Minute); code != 0 {
		t.Errorf("the demo ended with %d", code)
	}
	clean(t, fsck(t, d.data, "--stray", "3m"))
}

// permitsWereAway sees what became of a camera while nobody could read its permit: the open clip was finished in the spool and
// stored later, none was begun, and the timeline says whose fault that was. A clip may end while the database stops, and
// then none is open afterwards.
func permitsWereAway(t *testing.T, investigator, auditor *visitor, camera string, stopping, stopped, back time.Time) {
	t.Helper()
	finished := false
	for _, c := range investigator.clips(camera) {
		if c.From.After(stopped.Add(time.Second)) && c.From.Before(back.Add(-time.Second)) {
			t.Errorf("camera %s: clip %s was begun at %s, while nobody could say that it may", camera, c.ID, c.From)
		}
		if c.To != nil && c.To.After(stopping) && c.From.Before(stopped) {
			finished = true
			if c.State != "committed" && c.State != "partial" {
				t.Errorf("camera %s: the clip that was open is %s", camera, c.State)
			}
		}
	}
	if !finished {
		t.Errorf("camera %s: the clip that was open when the database stopped is not there", camera)
	}
	var body struct{ Intervals []stretch }
	auditor.read("/api/v1/cameras/"+camera+"/timeline", url.Values{"from": {stopped.Add(6 * time.Second).Format(time.RFC3339Nano)},
		"to": {back.Add(-time.Second).Format(time.RFC3339Nano)}}, &body)
	for _, s := range body.Intervals {
		if s.Cause != "our-fault" {
			t.Errorf("camera %s: from %s to %s the cause is %s (%s)", camera, s.From, s.To, s.Cause, s.Detail)
		}
	}
	if len(body.Intervals) == 0 {
		t.Errorf("camera %s: the timeline says nothing of the outage", camera)
	}
}

// script runs a script of deploy/roles.
func script(t *testing.T, name string, args, env []string) {
	t.Helper()
	c := exec.Command(filepath.Join("..", "roles", name), args...)
	c.Env = append(os.Environ(), env...)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}
