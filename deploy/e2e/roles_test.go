package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"klarsyn/deploy/testenv"
)

// apart is an installation on servers, each process with a database role and an access key of its own.
type apart struct {
	*servers
	data string
	keys string // folder of the credentials that the scripts made
}

// installApart does what the documentation says, step by step.
func installApart(t *testing.T, cameras string) *apart {
	t.Helper()
	in := &apart{
		servers: &servers{objects: testenv.MinIO(t, testenv.WithTLS), postgres: testenv.StartPostgres(t)},
		data:    filepath.Join(t.TempDir(), "square"), keys: t.TempDir(),
	}
	script(t, "minio.sh", []string{"https://" + in.objects.Address, "clips", in.keys}, []string{
		"MC=" + testenv.Installed(t, "mc"), "MINIO_ROOT_USER=" + in.objects.Access, "MINIO_ROOT_PASSWORD=" + in.objects.Secret, "CA=" + in.objects.CA,
	})
	script(t, "postgres.sh", []string{"klarsyn", in.keys}, in.postgres.Environment(t))
	run(t, "init", "--data", in.data, "--catalogue", in.rows(t, "owner", "klarsyn"), "--keys", in.rows(t, "owner", "klarsyn_keys"))
	for range 2 { // as after an upgrade
		script(t, "postgres.sh", []string{"klarsyn", in.keys}, in.postgres.Environment(t))
	}
	if err := os.WriteFile(filepath.Join(in.data, "square.yaml"), []byte(cameras), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, append([]string{"apply", "-f", filepath.Join(in.data, "square.yaml")}, in.as(t, "serve")[:6]...)...)
	return in
}

// rows is the address of a database for a role.
func (in *apart) rows(t *testing.T, role, database string) string {
	t.Helper()
	user := "klarsyn"
	if role != "owner" {
		user += "_" + role
	}
	return in.database(t, "postgres://"+user+"@"+in.postgres.Address+"/"+database, filepath.Join(in.keys, role+".pgpass"))
}

// as are the flags of a process that has the credentials of its role and no others.
func (in *apart) as(t *testing.T, role string) []string {
	t.Helper()
	flags := []string{"--data", in.data, "--objects", in.bucket(filepath.Join(in.keys, role+".credentials")), "--catalogue", in.rows(t, role, "klarsyn")}
	if role == "serve" || role == "retain" {
		flags = append(flags, "--keys", in.rows(t, role, "klarsyn_keys"))
	}
	return flags
}

// Each process works with the rights of its role; and whoever takes one over can do no more than that.
func TestServersApart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	password := writePassword(t, folder)
	camera := startSim(t, password, "--cameras", "1")["k1"]
	in := installApart(t, fmt.Sprintf(`node: prov
clip: 4s
cameras: [{id: k1, url: %s, username: klarsyn, password_file: %s}]
permits: [{id: plattan, version: 1, regime: municipal, basis: assessment, assessment: {sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, date: 2025-12-01, decider: Trafiknämnden, diary: TN 2025-1}, cameras: [k1], valid_from: 2026-01-01T00:00:00Z, retention: PT40S, purposes: [crime-investigation]}]
`, camera, password))
	retain := testenv.Start(t, klarsyn(), append([]string{"retain", "--stray-age", "1m", "--stray-every", "5s"}, in.as(t, "retain")...))
	ingest := testenv.Start(t, klarsyn(), append([]string{"ingest"}, in.as(t, "ingest")...))
	serve := testenv.Start(t, klarsyn(), append([]string{"serve", "--listen", "127.0.0.1:0"}, in.as(t, "serve")...))
	login := strings.TrimSpace(run(t, append([]string{"account", "add", "--name", "anna", "--role", "investigator"}, in.as(t, "serve")...)...))
	var v *visitor
	testenv.Eventually(t, 60*time.Second, "serve tells its address", func() bool {
		_, address, ok := strings.Cut(serve.Output(), "Klarsyn serves ")
		if ok && strings.Contains(address, "\n") {
			address, _, _ = strings.Cut(address, "\n")
			v = newVisitor(t, address)
		}
		return v != nil
	})
	v.logIn("anna", login)
	c := v.stored("k1", 60*time.Second)
	if a := v.look(c.ID); a.status != 200 || decode(t, a.body).frames != c.Frames {
		t.Errorf("a look: %d %s", a.status, a.body[:min(len(a.body), 300)])
	}
	in.objectsRefuse(t, c)
	in.databaseRefuses(t)
	in.logIsExported(t)
	testenv.Eventually(t, time.Until(c.Deadline)+15*time.Second, "the clip is gone", func() bool { return v.gone(c.ID) })
	testenv.Eventually(t, 15*time.Second, "its object is gone", func() bool {
		_, err := in.objects.Admin(t).StatObject(t.Context(), "clips", in.key(t, c), minio.StatObjectOptions{})
		return minio.ToErrorResponse(err).Code == minio.NoSuchKey
	})
	for name, p := range map[string]*testenv.Process{"ingest": ingest, "serve": serve, "retain": retain} {
		if strings.Contains(p.Output(), "permission denied") || strings.Contains(p.Output(), "does not let this credential") {
			t.Errorf("%s lacks a right", name)
		}
	}
	for _, p := range []*testenv.Process{ingest, serve, retain} {
		if code := p.Stop(t, 40*time.Second); code != 0 {
			t.Errorf("exit code %d after Ctrl-C", code)
		}
	}
	clean(t, fsck(t, in.data, in.as(t, "fsck")[2:]...))
}

// logIsExported copies, checks and proves the log with what serve may, and with nobody else's rights.
func (in *apart) logIsExported(t *testing.T) {
	t.Helper()
	public, out := filepath.Join(in.data, "audit", "audit.pub"), filepath.Join(t.TempDir(), "export")
	proof := filepath.Join(t.TempDir(), "entry.tlog-proof")
	rights := []string{"--data", in.data, "--objects", in.bucket(filepath.Join(in.keys, "serve.credentials")), "--catalogue", in.rows(t, "serve", "klarsyn")}
	run(t, append([]string{"log", "export", "-o", out}, rights...)...)
	run(t, append([]string{"proof", "entry", "--index", "1", "-o", proof}, rights...)...)
	run(t, "verify", "log", "--dir", out, "--key", public)
	run(t, "verify", "entry", "--proof", proof, "--key", public)
}

// key is where the bytes of a clip lie.
func (in *apart) key(t *testing.T, c clip) string {
	t.Helper()
	return "clips/" + c.Camera + "/" + c.From.UTC().Format(time.DateOnly) + "/" + c.ID
}

// objectsRefuse tries with each access key what its process has no business with.
func (in *apart) objectsRefuse(t *testing.T, c clip) {
	t.Helper()
	key := in.key(t, c)
	client := func(role string) *minio.Core {
		transport, err := minio.DefaultTransport(true)
		if err != nil {
			t.Fatal(err)
		}
		transport.TLSClientConfig = in.objects.TLS()
		core, err := minio.NewCore(in.objects.Address, &minio.Options{
			Creds: credentials.NewFileAWSCredentials(filepath.Join(in.keys, role+".credentials"), ""), Secure: true, Transport: transport, Region: "us-east-1", MaxRetries: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		return core
	}
	get := func(ctx context.Context, c *minio.Core) error {
		body, _, _, err := c.GetObject(ctx, "clips", key, minio.GetObjectOptions{})
		if err == nil {
			body.Close()
		}
		return err
	}
	put := func(ctx context.Context, c *minio.Core) error {
		_, err := c.PutObject(ctx, "clips", "clips/k1/forged", bytes.NewReader([]byte("x")), 1, "", "", minio.PutObjectOptions{})
		return err
	}
	list := func(ctx context.Context, c *minio.Core) error {
		_, err := c.ListObjectsV2("clips", "", "", "", "", 10)
		return err
	}
	remove := func(ctx context.Context, c *minio.Core) error {
		return c.RemoveObject(ctx, "clips", key, minio.RemoveObjectOptions{})
	}
	for what, try := range map[string]struct {
		role string
		do   func(context.Context, *minio.Core) error
	}{
		"ingest reads": {"ingest", get}, "ingest lists": {"ingest", list}, "ingest deletes": {"ingest", remove},
		"serve lists": {"serve", list}, "serve deletes": {"serve", remove},
		"retain reads": {"retain", get}, "retain puts": {"retain", put},
		"fsck puts": {"fsck", put}, "fsck deletes": {"fsck", remove},
	} {
		if err := try.do(t.Context(), client(try.role)); minio.ToErrorResponse(err).Code != minio.AccessDenied {
			t.Errorf("%s: %v, want AccessDenied", what, err)
		}
	}
}

// databaseRefuses tries with each role what its process has no business with.
func (in *apart) databaseRefuses(t *testing.T) {
	t.Helper()
	for _, c := range []struct{ role, database, what, statement string }{
		{"ingest", "klarsyn", "reads a header", `SELECT header FROM catalogue_header`},
		{"ingest", "klarsyn", "moves a deadline", `UPDATE catalogue_clip SET deadline_us = 0`},
		{"ingest", "klarsyn", "removes a row", `DELETE FROM catalogue_clip`},
		{"ingest", "klarsyn", "forges a recipient", `INSERT INTO catalogue_recipient VALUES ('plattan', '2026-11-25', 'mine')`},
		{"ingest", "klarsyn", "changes the log", `UPDATE audit_leaf SET entry = ''`},
		{"ingest", "klarsyn", "reads the log", `SELECT entry FROM audit_leaf`},
		{"ingest", "klarsyn", "makes an account", `INSERT INTO identity_account VALUES ('mallory', 'auditor', '', 0, 0, NULL)`},
		{"ingest", "klarsyn", "reads sessions", `SELECT * FROM identity_session`},
		{"ingest", "klarsyn", "alters a table", `ALTER TABLE catalogue_clip ADD COLUMN more TEXT`},
		{"ingest", "klarsyn_keys", "gets into the key store", `SELECT 1`},
		{"serve", "klarsyn", "commits a clip", `UPDATE catalogue_clip SET state = 'committed' WHERE state = 'pending'; UPDATE catalogue_clip SET size = size + 1`},
		{"serve", "klarsyn", "reserves a clip", `INSERT INTO catalogue_clip (id) VALUES ('x')`},
		{"serve", "klarsyn", "gives a hold to another case", `UPDATE catalogue_hold SET case_number = 'mine'`},
		{"serve", "klarsyn", "removes a hold", `DELETE FROM catalogue_hold`},
		{"serve", "klarsyn", "gives a part a longer life", `INSERT INTO catalogue_clip (id, camera, permit, permit_version, start_us, end_us, deadline_us, state, key_day, object_key, codec, node, parent)
			SELECT 'x', camera, permit, permit_version, start_us, end_us, deadline_us + 1, 'pending', key_day, 'clips/x', codec, node, id FROM catalogue_clip WHERE state = 'committed' LIMIT 1`},
		{"serve", "klarsyn", "destroys a header", `DELETE FROM catalogue_header`},
		{"serve", "klarsyn", "changes the log", `UPDATE audit_leaf SET entry = ''`},
		{"serve", "klarsyn", "takes an entry back", `DELETE FROM audit_pending`},
		{"serve", "klarsyn", "numbers the log", `INSERT INTO audit_checkpoint VALUES (9, 0, 0, '', 0)`},
		{"serve", "klarsyn", "removes a viewing", `DELETE FROM audit_viewing`},
		{"serve", "klarsyn", "changes a permit in force", `UPDATE catalogue_permit SET document = ''`},
		{"serve", "klarsyn", "lets clips live longer", `UPDATE catalogue_clip SET deadline_us = deadline_us + 1`},
		{"serve", "klarsyn", "takes a step back", `DELETE FROM catalogue_permit_step`},
		{"ingest", "klarsyn", "puts a permit in force", `INSERT INTO catalogue_permit_step (id, version, step, state, at_us, actor) VALUES ('plattan', 1, 9, 'active', 0, 'x')`},
		{"serve", "klarsyn_keys", "mints a day key", `INSERT INTO keys_day VALUES ('p', 'd', '', '', 0)`},
		{"serve", "klarsyn_keys", "destroys a day key", `DELETE FROM keys_day`},
		{"retain", "klarsyn", "reads a header", `SELECT header FROM catalogue_header`},
		{"retain", "klarsyn", "moves a deadline", `UPDATE catalogue_clip SET deadline_us = 0`},
		{"retain", "klarsyn", "removes a row", `DELETE FROM catalogue_clip`},
		{"retain", "klarsyn", "changes an entry", `UPDATE audit_leaf SET entry = ''`},
		{"retain", "klarsyn", "makes an account", `INSERT INTO identity_account VALUES ('mallory', 'auditor', '', 0, 0, NULL)`},
		{"retain", "klarsyn", "changes a permit", `UPDATE catalogue_permit SET document = ''`},
		{"serve", "klarsyn_keys", "destroys the key of a case", `DELETE FROM keys_case`},
		{"serve", "klarsyn_keys", "replaces the key of a case", `UPDATE keys_case SET sealed = ''`},
		{"serve", "klarsyn_keys", "names another master key", `UPDATE keys_master SET name = 'mine'`},
		{"retain", "klarsyn_keys", "mints the key of a case", `INSERT INTO keys_case VALUES ('K-1', 'mine', '', 0, 0)`},
		{"retain", "klarsyn_keys", "replaces the key of a case", `UPDATE keys_case SET sealed = ''`},
		{"retain", "klarsyn_keys", "names another master key", `INSERT INTO keys_master VALUES (1, 'mine', 1, '', '', 0)`},
		{"retain", "klarsyn_keys", "replaces a day key", `UPDATE keys_day SET recipient = 'mine'`},
		{"fsck", "klarsyn", "changes anything", `UPDATE catalogue_clip SET state = 'deleted'`},
		{"fsck", "klarsyn", "logs anything", `INSERT INTO audit_pending VALUES ('x', 0, '')`},
		{"fsck", "klarsyn", "reads passwords", `SELECT hash FROM identity_account`},
		{"fsck", "klarsyn_keys", "gets into the key store", `SELECT 1`},
	} {
		db, err := sql.Open("pgx", in.rows(t, c.role, c.database))
		if err != nil {
			t.Fatal(err)
		}
		_, err = db.ExecContext(t.Context(), c.statement)
		db.Close()
		if err == nil || !strings.Contains(err.Error(), "permission denied") && !strings.Contains(err.Error(), "must be owner") {
			t.Errorf("%s %s: %v, want permission denied", c.role, c.what, err)
		}
	}
	// It may remove entries whose time is over, and no other.
	db, err := sql.Open("pgx", in.rows(t, "retain", "klarsyn"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	result, err := db.ExecContext(t.Context(), `DELETE FROM audit_leaf`)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 0 {
		t.Errorf("retain removes %d young entries, error %v", n, err)
	}
}
