package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
)

// backedSquare is a square with three processes that is stopped and started again.
type backedSquare struct {
	t       *testing.T
	data    string
	flags   func(role string) []string // where the stores are, and as whom
	granted func()                     // gives each role its rights again, after a restore
	running []*testenv.Process
	visitor *visitor
	login   [2]string
}

var servedAt = regexp.MustCompile(`Klarsyn serves (http://\S+)`)

// start starts the three processes; the first time an investigator gets an account.
func (s *backedSquare) start() {
	s.t.Helper()
	s.running = []*testenv.Process{
		testenv.Start(s.t, klarsyn(), s.args("retain", "retain", "--stray-age", "1m", "--stray-every", "5s")),
		testenv.Start(s.t, klarsyn(), s.args("ingest", "ingest")),
		testenv.Start(s.t, klarsyn(), s.args("serve", "serve", "--listen", "127.0.0.1:0")),
	}
	if s.login[0] == "" {
		s.login = [2]string{"anna", strings.TrimSpace(run(s.t, s.args("serve", "account", "add", "--name", "anna", "--role", "investigator")...))}
	}
	testenv.Eventually(s.t, time.Minute, "serve tells its address", func() bool {
		m := servedAt.FindStringSubmatch(s.running[2].Output())
		if m != nil {
			s.visitor = newVisitor(s.t, m[1])
		}
		return m != nil
	})
	s.visitor.logIn(s.login[0], s.login[1])
}

func (s *backedSquare) stop() {
	s.t.Helper()
	for _, i := range []int{1, 2, 0} {
		if code := s.running[i].Stop(s.t, time.Minute); code != 0 {
			s.t.Errorf("a process ended with %d:\n%s", code, s.running[i].Output())
		}
	}
}

// args is a command with the credentials of a role.
func (s *backedSquare) args(role string, command ...string) []string {
	return append(append(command, "--data", s.data), s.flags(role)...)
}

// described is the square with one version of its permit.
func described(camera, password string, version int, retention string) string {
	return fmt.Sprintf(`node: prov
clip: 4s
cameras: [{id: k1, url: %s, username: klarsyn, password_file: %s}]
permits: [{id: plattan, version: %d, regime: municipal, basis: assessment, assessment: {sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, date: 2025-12-01, decider: Trafiknämnden, diary: TN 2025-1}, cameras: [k1], valid_from: 2026-01-01T00:00:00Z, retention: %s, purposes: [crime-investigation]}]
`, camera, password, version, retention)
}

// describe puts a description in force.
func (s *backedSquare) describe(text string) {
	s.t.Helper()
	path := filepath.Join(s.data, "square.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	run(s.t, s.args("apply", "apply", "-f", path)...)
}

// embedded keeps everything in a data directory.
func embedded(t *testing.T, text string) *backedSquare {
	t.Helper()
	s := &backedSquare{t: t, data: filepath.Join(t.TempDir(), "square"), flags: func(string) []string { return nil }, granted: func() {}}
	run(t, "init", "--data", s.data)
	s.describe(text)
	return s
}

// onServers keeps it on MinIO and PostgreSQL, each command with the rights of its role and no others.
func onServers(t *testing.T, text string) *backedSquare {
	t.Helper()
	in := installApart(t, text)
	return &backedSquare{
		t: t, data: in.data,
		flags: func(role string) []string {
			switch role {
			case "apply": // it needs no key
				return in.as(t, "serve")[2:6]
			case "backup":
				return []string{"--catalogue", in.rows(t, "backup", "klarsyn"), "--keys", in.rows(t, "backup", "klarsyn_keys")}
			case "restore": // the databases' owner, with an access key of its own
				return []string{
					"--catalogue", in.rows(t, "owner", "klarsyn"), "--keys", in.rows(t, "owner", "klarsyn_keys"),
					"--objects", in.bucket(filepath.Join(in.keys, "restore.credentials")),
				}
			}
			return in.as(t, role)[2:]
		},
		granted: func() { script(t, "postgres.sh", []string{"klarsyn", in.keys}, in.postgres.Environment(t)) },
	}
}

// A backup of before, put back, serves no clip that was deleted since. Here it is deleted because its permit was shortened after the
// backup was made: the shorter version holds again, too, and what is recorded afterwards goes by it.
func TestDeletionRestored(t *testing.T) {
	for name, install := range map[string]func(*testing.T, string) *backedSquare{"SQLite and a directory": embedded, "PostgreSQL and MinIO": onServers} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			password := writePassword(t, folder)
			camera := startSim(t, password, "--cameras", "1")["k1"]
			s := install(t, described(camera, password, 1, "PT10M"))
			s.start()
			c := s.visitor.stored("k1", 90*time.Second)
			if a := s.visitor.look(c.ID); a.status != 200 {
				t.Fatalf("a look before: %d %s", a.status, a.body)
			}
			rows, keys := filepath.Join(folder, "rows"), filepath.Join(folder, "keys")
			run(t, s.args("backup", "backup", "-o", rows, "--keys-to", keys)...)
			run(t, "backup", "verify", "-o", rows, "--key", filepath.Join(s.data, "audit", "audit.pub"))
			run(t, "backup", "verify", "-o", keys)

			s.describe(described(camera, password, 2, "PT12S"))
			testenv.Eventually(t, time.Minute, "the clip is deleted", func() bool { return s.visitor.gone(c.ID) })
			time.Sleep(2 * time.Second) // its tombstone is numbered
			s.stop()
			newer := filepath.Join(folder, "log")
			run(t, s.args("serve", "log", "export", "-o", newer)...)

			var said struct {
				Epoch    int64
				Replayed struct {
					Shredded, Permits, Rebuilt int
				}
				Unknown string
			}
			out := run(t, s.args("restore", "restore", "--from", rows, "--keys-from", keys, "--log", newer, "--replace", "--reap", "--json")...)
			if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &said); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if said.Replayed.Shredded == 0 || said.Replayed.Permits != 1 || said.Unknown != "" || said.Epoch < 3 {
				t.Errorf("restore says %s", out)
			}
			s.granted()
			s.start()
			if a := s.visitor.look(c.ID); a.status != 410 {
				t.Errorf("a look at what was deleted after the backup: %d", a.status)
			}
			after := s.visitor.stored("k1", 90*time.Second)
			if kept := after.Deadline.Sub(after.From); kept > 13*time.Second {
				t.Errorf("what is recorded now is kept for %s: the shorter permit is forgotten", kept)
			}
			testenv.Eventually(t, time.Minute, "that is deleted, too", func() bool { return s.visitor.gone(after.ID) })
			s.stop()
			clean(t, fsck(t, s.data, append([]string{"--grace", "20s"}, s.flags("fsck")...)...))
		})
	}
}
