//go:build crashpoints

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"klarsyn/retention"
	"klarsyn/retention/crashpoint"
	"klarsyn/retention/object/s3"
)

// again is set in a process of this test that runs a command in place of the tests.
const again = "KLARSYN_TEST_COMMAND"

// TestAsCommand is no test: it is the process that the others kill.
func TestAsCommand(t *testing.T) {
	line := os.Getenv(again)
	if line == "" {
		t.Skip("nobody asked for a command")
	}
	os.Exit(run(t.Context(), strings.Split(line, "\n"), stdio{os.Stdout, os.Stderr}))
}

// killed runs a command that dies at a point, and reports whether it came there.
func killed(t *testing.T, point string, args ...string) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestAsCommand$")
	cmd.Env = append(os.Environ(), again+"="+strings.Join(args, "\n"), crashpoint.Environment+"="+point)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	if cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("%s: %v: %s", point, err, out)
	}
	return true
}

// A backup that is killed at any step leaves nothing that looks whole, and the next one works.
func TestBackupDies(t *testing.T) {
	for _, point := range []string{"backup.copied", "backup.keys", "backup.written", "backup.logged", "backup.placed"} {
		t.Run(point, func(t *testing.T) {
			l := installed(t)
			recorded(t, l, 1)
			folder := t.TempDir()
			rowsIn, keysIn := filepath.Join(folder, "rows"), filepath.Join(folder, "keys")
			args := []string{"backup", "--data", l.root, "-o", rowsIn, "--keys-to", keysIn}
			if !killed(t, point, args...) {
				t.Fatal("it did not die")
			}
			whole := point == "backup.placed"
			for _, f := range []string{rowsIn, keysIn} {
				if _, _, err := readManifest(f, ""); (err == nil) != whole {
					t.Errorf("%s: %v", f, err)
				}
			}
			if removed, err := expireKeyBackups(folder, time.Now().Add(100*time.Hour)); err != nil || len(removed) == 0 {
				t.Errorf("what is left of keys: removed %v, %v", removed, err)
			}
			if _, err := os.Stat(rowsIn); err == nil {
				rowsIn += "2"
			}
			commanded[backedUp](t, "backup", "--data", l.root, "-o", rowsIn, "--keys-to", keysIn)
			for _, rights := range []s3.Right{s3.Put, s3.Get, s3.Erase} {
				if err := started(t, l, rights); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// A restore that is killed at any step leaves a square that nobody serves, and one that is repeated ends well.
func TestRestoreDies(t *testing.T) {
	for _, point := range []string{
		"restore.closed", "restore.aside", "restore.loaded", "restore.replayed", "restore.shredded", "restore.raised", "restore.reconciled", "restore.opened",
	} {
		t.Run(point, func(t *testing.T) {
			l, clips, rowsIn, keysIn, later := movedOn(t, 2)
			args := []string{"restore", "--data", l.root, "--from", rowsIn, "--keys-from", keysIn, "--replace", "--reap"}
			if !killed(t, point, args...) {
				t.Fatal("it did not die")
			}
			if point != "restore.opened" {
				if err := started(t, l, s3.Get); err == nil || !strings.Contains(err.Error(), "is closed") {
					t.Errorf("after it died: %v", err)
				}
				commanded[restored](t, args...)
			}
			now := clipsOf(t, l, append(clips, later))
			if now[0].State != retention.Deleting || now[1].State != retention.Committed || now[2].State != retention.Lost {
				t.Errorf("clips are %s, %s and %s", now[0].State, now[1].State, now[2].State)
			}
			sweptAt(t, l, time.Now())
			if code, results := runFsck(t, l); code != exitOK {
				t.Errorf("fsck: %+v", results)
			}
		})
	}
}
