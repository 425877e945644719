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
	flags   []string
	running []*testenv.Process
	visitor *visitor
	login   [2]string
}

var servedAt = regexp.MustCompile(`Klarsyn serves (http://\S+)`)

// start starts the three processes; the first time an investigator gets an account.
func (s *backedSquare) start() {
	s.t.Helper()
	s.running = []*testenv.Process{
		testenv.Start(s.t, klarsyn(), s.args("retain", "--stray-age", "1m", "--stray-every", "5s")),
		testenv.Start(s.t, klarsyn(), s.args("ingest")),
		testenv.Start(s.t, klarsyn(), s.args("serve", "--listen", "127.0.0.1:0")),
	}
	if s.login[0] == "" {
		s.login = [2]string{"anna", strings.TrimSpace(run(s.t, s.args("account", "add", "--name", "anna", "--role", "investigator")...))}
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

func (s *backedSquare) args(command string, more ...string) []string {
	words := strings.Fields(command)
	words = append(append(words, more...), "--data", s.data)
	return append(words, s.flags...)
}

// describe writes the square with one version of its permit, and puts it in force.
func (s *backedSquare) describe(camera, password string, version int, retention string) {
	s.t.Helper()
	text := fmt.Sprintf(`node: prov
clip: 4s
cameras: [{id: k1, url: %s, username: klarsyn, password_file: %s}]
permits: [{id: plattan, version: %d, regime: municipal, basis: assessment, assessment: {sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, date: 2025-12-01, decider: Trafiknämnden, diary: TN 2025-1}, cameras: [k1], valid_from: 2026-01-01T00:00:00Z, retention: %s, purposes: [crime-investigation]}]
`, camera, password, version, retention)
	path := filepath.Join(s.data, "square.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	flags := s.flags // apply touches no object
	run(s.t, append([]string{"apply", "-f", path, "--data", s.data}, flags...)...)
}

// A backup of before, put back, serves no clip that was deleted since. Here it is deleted because its permit was shortened after the
// backup was made: the shorter version holds again, too, and what is recorded afterwards goes by it.
func TestDeletionRestored(t *testing.T) {
	for name, servers := range map[string]bool{"SQLite and a directory": false, "PostgreSQL and MinIO": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			password := writePassword(t, folder)
			camera := startSim(t, password, "--cameras", "1")["k1"]
			s := &backedSquare{t: t, data: filepath.Join(folder, "square")}
			if servers {
				s.flags = startServers(t).flags
			}
			run(t, append([]string{"init", "--data", s.data}, s.flags...)...)
			s.describe(camera, password, 1, "PT10M")
			s.start()
			c := s.visitor.stored("k1", 90*time.Second)
			if a := s.visitor.look(c.ID); a.status != 200 {
				t.Fatalf("a look before: %d %s", a.status, a.body)
			}
			rows, keys := filepath.Join(folder, "rows"), filepath.Join(folder, "keys")
			run(t, s.args("backup", "-o", rows, "--keys-to", keys)...)
			run(t, "backup", "verify", "-o", rows, "--key", filepath.Join(s.data, "audit", "audit.pub"))
			run(t, "backup", "verify", "-o", keys)

			s.describe(camera, password, 2, "PT12S")
			testenv.Eventually(t, time.Minute, "the clip is deleted", func() bool { return s.visitor.gone(c.ID) })
			time.Sleep(2 * time.Second) // its tombstone is numbered
			s.stop()
			newer := filepath.Join(folder, "log")
			run(t, s.args("log export", "-o", newer)...)

			var said struct {
				Epoch    int64
				Replayed struct {
					Shredded, Permits, Rebuilt int
				}
				Unknown string
			}
			out := run(t, s.args("restore", "--from", rows, "--keys-from", keys, "--log", newer, "--replace", "--reap", "--json")...)
			if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &said); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if said.Replayed.Shredded == 0 || said.Replayed.Permits != 1 || said.Unknown != "" || said.Epoch < 3 {
				t.Errorf("restore says %s", out)
			}
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
			clean(t, fsck(t, s.data, append([]string{"--grace", "20s"}, s.flags...)...))
		})
	}
}
