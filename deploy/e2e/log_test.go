package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
)

// exitOf runs a command and returns what it printed and its exit code.
func exitOf(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), klarsyn(), args...)
	b, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("klarsyn %s: %v", strings.Join(args, " "), err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// succeeds runs a command that must.
func succeeds(t *testing.T, args ...string) string {
	t.Helper()
	output, code := exitOf(t, args...)
	if code != 0 {
		t.Fatalf("klarsyn %s: exit %d: %s", strings.Join(args, " "), code, output)
	}
	return output
}

// wholeLog exports a data directory's log and checks the export.
func wholeLog(t *testing.T, data, out, key string) (report struct {
	Entries  int64 `json:"entries"`
	Keys     []string
	Cosigned []struct {
		Witness string
		Size    int64
		Given   bool `json:"key_given"`
	}
	Problems []struct{ Place, What string }
}) {
	t.Helper()
	succeeds(t, "log", "export", "--data", data, "-o", out)
	output := succeeds(t, "verify", "log", "--dir", out, "--key", key, "--json")
	if err := json.Unmarshal([]byte(output), &report); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return report
}

// TestLog is an auditor's and a witness's day: the log of a running square is exported and checked elsewhere, an entry
// is proven, the key changes, and a byte that was flipped is named.
func TestLog(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	data := filepath.Join(folder, "square")
	s := startDemo(t, data, "--clip", "2s", "--retention", "30s", "--tour=false")
	public := filepath.Join(folder, "audit.pub")
	testenv.CopyFile(t, filepath.Join(data, "audit", "audit.pub"), public)
	s.as(t, "investigator").stored("k1", 60*time.Second)

	out := filepath.Join(folder, "export")
	first := wholeLog(t, data, out, public)
	again := first
	testenv.Eventually(t, 20*time.Second, "the export is brought up to date", func() bool {
		again = wholeLog(t, data, out, public)
		return again.Entries > first.Entries
	})
	if first.Entries < 10 {
		t.Errorf("exports of %d and %d entries", first.Entries, again.Entries)
	}
	// That it was exported stands in the log.
	auditor := s.as(t, "auditor")
	testenv.Eventually(t, 10*time.Second, "the export is an entry of the log", func() bool {
		var page struct {
			Entries []struct{ Entry struct{ Actor string } }
		}
		auditor.read("/api/v1/audit", url.Values{"event": {"log-exported"}}, &page)
		return len(page.Entries) >= 2 && strings.HasPrefix(page.Entries[0].Entry.Actor, "command:")
	})

	proof := filepath.Join(folder, "entry-3.tlog-proof")
	succeeds(t, "proof", "entry", "--data", data, "--index", "3", "-o", proof)
	if output := succeeds(t, "verify", "entry", "--proof", proof, "--key", public); !strings.Contains(output, "is entry 3 of log klarsyn/") {
		t.Errorf("the proof says %s", output)
	}
	if output, code := exitOf(t, "proof", "entry", "--data", data, "--index", "9999999", "-o", proof+"x"); code != 2 || !strings.Contains(output, "no such entry") {
		t.Errorf("a proof of nothing: exit %d: %s", code, output)
	}

	// The key changes under way: who has the old one follows.
	succeeds(t, "log", "rotate", "--data", data)
	testenv.Eventually(t, 10*time.Second, "the new key signs", func() bool {
		b, err := os.ReadFile(filepath.Join(data, "audit", "audit.pub"))
		old, oldErr := os.ReadFile(public)
		return err == nil && oldErr == nil && string(b) != string(old)
	})
	if rotated := wholeLog(t, data, out, public); len(rotated.Keys) != 2 {
		t.Errorf("the log has the keys %v", rotated.Keys)
	}
	tampered(t, out, public)
	if code := s.Stop(t, time.Minute); code != 0 {
		t.Fatalf("the demo ended with %d", code)
	}
	clean(t, fsck(t, data))
}

// tampered flips a byte of an export, and wants it named.
func tampered(t *testing.T, out, public string) {
	t.Helper()
	bundles, err := filepath.Glob(filepath.Join(out, "tile/entries/000*"))
	if err != nil || len(bundles) == 0 {
		t.Fatalf("no entries in %s: %v", out, err)
	}
	path := bundles[0]
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		parts, err := filepath.Glob(path + "/*")
		if err != nil || len(parts) != 1 {
			t.Fatalf("%s holds %v, %v", path, parts, err)
		}
		path = parts[0]
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[40] ^= 1 // within the first entry
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	output, code := exitOf(t, "verify", "log", "--dir", out, "--key", public)
	if code != 1 || !strings.HasPrefix(output, "BROKEN at entry 0: ") {
		t.Errorf("a flipped byte: exit %d: %s", code, output)
	}
	output, code = exitOf(t, "verify", "log", "--dir", out, "--key", public, "--json")
	var report struct{ Problems []struct{ Place string } }
	if err := json.Unmarshal([]byte(output), &report); err != nil || code != 1 || len(report.Problems) == 0 || report.Problems[0].Place != "entry 0" {
		t.Errorf("a flipped byte, as JSON: exit %d, %v: %s", code, err, output)
	}
}

// TestLogWitness has two witnesses watch a square that is configured to know them. Their word reaches the export and the
// metrics; when the square is set back to an older state of its own, both ring.
func TestLogWitness(t *testing.T) {
	t.Parallel()
	folder := worldFolder(t)
	data := filepath.Join(folder, "data")
	password := writePassword(t, folder)
	in := install(t, data, password, startSim(t, password, "--cameras", "1"), "PT1H")
	public := filepath.Join(folder, "audit.pub")
	testenv.CopyFile(t, filepath.Join(data, "audit", "audit.pub"), public)

	var states, keys []string
	for _, name := range []string{"witness.example/w1", "witness.example/w2"} {
		state := filepath.Join(t.TempDir(), "state")
		// The first look makes the key; nobody knows it yet.
		output, code := exitOf(t, "witness", "--log", in.visitor.base+"/log", "--key", public, "--state", state, "--name", name, "--once")
		if code != 1 || !strings.Contains(output, "does not know this witness") {
			t.Fatalf("an unknown witness: exit %d: %s", code, output)
		}
		key, err := os.ReadFile(filepath.Join(state, "witness.pub"))
		if err != nil {
			t.Fatal(err)
		}
		states, keys = append(states, state), append(keys, strings.TrimSpace(string(key)))
	}
	in.stop(t)
	known, err := os.ReadFile(filepath.Join(data, "square.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	known = append(known, []byte("\nwitnesses:\n  - "+strings.Join(keys, "\n  - ")+"\n")...)
	if err := os.WriteFile(filepath.Join(data, "square.yaml"), known, 0o640); err != nil {
		t.Fatal(err)
	}
	older := filepath.Join(folder, "older.db")
	testenv.CopyFile(t, filepath.Join(data, "catalogue", "catalogue.db"), older)
	in.startAgain(t)

	var watching []*testenv.Process
	for _, state := range states {
		watching = append(watching, testenv.Start(t, klarsyn(), []string{"witness", "--log", in.visitor.base + "/log", "--key", public, "--state", state, "--every", "1s"}))
	}
	witnesses := filepath.Join(folder, "witnesses.pub")
	if err := os.WriteFile(witnesses, []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 30*time.Second, "both witnesses are heard", func() bool {
		a := in.visitor.get("/metrics", nil)
		return a.status == http.StatusOK && strings.Count(string(a.body), "klarsyn_audit_cosignature_age_seconds{witness=") == 2 && !strings.Contains(string(a.body), "} +Inf")
	})
	out := filepath.Join(folder, "export")
	succeeds(t, "log", "export", "--data", data, "-o", out)
	output := succeeds(t, "verify", "log", "--dir", out, "--key", public, "--witness", witnesses)
	for _, name := range []string{"seen   by witness.example/w1", "seen   by witness.example/w2"} {
		if !strings.Contains(output, name) || strings.Contains(output, "its key is from the log itself") {
			t.Errorf("the check does not say %q: %s", name, output)
		}
	}
	proof := filepath.Join(folder, "entry.tlog-proof")
	succeeds(t, "proof", "entry", "--data", data, "--index", "1", "-o", proof)
	if output := succeeds(t, "verify", "entry", "--proof", proof, "--key", public, "--witness", witnesses, "--quorum", "1"); !strings.Contains(output, "cosigned by witness.example/") {
		t.Errorf("the proof says %s", output)
	}

	// Somebody puts yesterday's database in its place. From inside nothing is wrong.
	in.stop(t)
	for _, ending := range []string{"-wal", "-shm"} {
		if err := os.Remove(filepath.Join(data, "catalogue", "catalogue.db"+ending)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	testenv.CopyFile(t, older, filepath.Join(data, "catalogue", "catalogue.db"))
	in.startAgain(t)
	for i, w := range watching {
		if code := w.Wait(t, time.Minute); code != 1 || !strings.Contains(w.Output(), "ALARM") {
			t.Errorf("witness %d ended with %d: %s", i+1, code, w.Output())
		}
	}
	if _, code := exitOf(t, "log", "export", "--data", data, "-o", out); code != 1 {
		t.Errorf("a log that was set back was exported over what it was: exit %d", code)
	}
}

// TestLogCrash kills a square again and again while a witness watches: the log neither forks nor has a gap.
func TestLogCrash(t *testing.T) {
	t.Parallel()
	data, state := filepath.Join(t.TempDir(), "square"), filepath.Join(t.TempDir(), "state")
	public := filepath.Join(t.TempDir(), "audit.pub")
	for i := range 6 {
		s := startDemo(t, data, "--clip", "2s", "--retention", "20s", "--tour=false")
		if i == 0 {
			testenv.CopyFile(t, filepath.Join(data, "audit", "audit.pub"), public)
			testenv.Eventually(t, 30*time.Second, "the first checkpoint is there", func() bool {
				answer, err := http.Get(s.URL + "/log/checkpoint")
				if err != nil {
					return false
				}
				_ = answer.Body.Close()
				return answer.StatusCode == http.StatusOK
			})
		}
		if i == 3 {
			succeeds(t, "log", "rotate", "--data", data)
		}
		for range 3 {
			time.Sleep(time.Duration(150+97*i) * time.Millisecond)
			output, code := exitOf(t, "witness", "--log", s.URL+"/log", "--key", public, "--state", state, "--once")
			if code != 1 || strings.Contains(output, "ALARM") || !strings.Contains(output, "does not know this witness") {
				t.Fatalf("round %d: the witness ends with %d: %s", i, code, output)
			}
		}
		s.Kill()
		s.Wait(t, time.Minute)
	}
	s := startDemo(t, data, "--clip", "2s", "--retention", "20s", "--tour=false")
	if code := s.Stop(t, time.Minute); code != 0 {
		t.Fatalf("the demo ended with %d", code)
	}
	found := fsck(t, data)
	for _, v := range append(found["I8"].Violations, found["I6"].Violations...) {
		t.Error(v)
	}
	if report := wholeLog(t, data, t.TempDir(), public); len(report.Problems) > 0 || len(report.Keys) != 2 {
		t.Errorf("%+v", report)
	}
}

// stop stops the three processes.
func (in *installation) stop(t *testing.T) {
	t.Helper()
	for _, p := range []*testenv.Process{in.serve, in.ingest, in.retain} {
		if code := p.Stop(t, time.Minute); code != 0 {
			t.Fatalf("a process ended with %d: %s", code, p.Output())
		}
	}
}

// startAgain starts them where they were.
func (in *installation) startAgain(t *testing.T) {
	t.Helper()
	in.retain = start(t, keeper, "retain", "--data", in.data)
	in.ingest = start(t, recorder, "ingest", "--data", in.data)
	in.serve = start(t, server, "serve", "--data", in.data, "--listen", strings.TrimPrefix(in.visitor.base, "http://"))
	testenv.Eventually(t, 60*time.Second, "serve answers again", func() bool {
		a, err := in.visitor.try("/healthz", nil)
		return err == nil && a.status == http.StatusOK
	})
}
