package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"klarsyn/deploy/testenv"
)

// A start removes what killed demos left, and nothing that a live one still uses: not while it begins, and
// not while it stops, when it has given its spool back already.
func TestAbandonedDemosAreRemoved(t *testing.T) {
	for name, c := range map[string]struct {
		leave func(t *testing.T) string // and its directory
		gone  bool
	}{
		"a live one, whose spool is free": {func(t *testing.T) string { return made(t).folder }, false},
		"a killed one": {func(t *testing.T) string {
			d := made(t)
			d.held.Close() // as the kernel does
			return d.folder
		}, true},
		"one that was killed while it was removed": {func(t *testing.T) string {
			d := made(t)
			d.held.Close()
			if err := os.RemoveAll(filepath.Join(d.folder, "spool")); err != nil {
				t.Fatal(err)
			}
			return d.folder
		}, true},
		"one that is just being made": {func(t *testing.T) string {
			folder, err := os.MkdirTemp("", abandoned)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(folder, heldName+".new"), "")
			write(t, filepath.Join(folder, "keys"), "")
			return folder
		}, false},
		"a link to something else": {func(t *testing.T) string {
			d := made(t)
			d.held.Close()
			elsewhere := filepath.Join(os.TempDir(), "elsewhere")
			if err := os.Rename(d.folder, elsewhere); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(elsewhere, d.folder); err != nil {
				t.Fatal(err)
			}
			return elsewhere
		}, false},
		"a data directory of another name": {func(t *testing.T) string {
			d := made(t)
			d.held.Close()
			kept := filepath.Join(os.TempDir(), "square")
			if err := os.Rename(d.folder, kept); err != nil {
				t.Fatal(err)
			}
			return kept
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			folder := c.leave(t)
			var errs bytes.Buffer
			removeAbandoned(stdio{&bytes.Buffer{}, &errs})
			_, err := os.Stat(folder)
			if gone := os.IsNotExist(err); gone != c.gone || errs.Len() > 0 {
				t.Errorf("gone %v, want %v; it said %q", gone, c.gone, errs.String())
			}
			if _, err := os.Stat(filepath.Join(folder, "keys")); c.gone != os.IsNotExist(err) {
				t.Errorf("what lies in it: %v", err)
			}
		})
	}
}

// made is a demo's directory with something in it, held by a live demo.
func made(t *testing.T) *temporary {
	t.Helper()
	d, err := makeTemporary()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.held.Close() })
	for _, name := range []string{"keys", "spool"} {
		if err := os.Mkdir(filepath.Join(d.folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(d.folder, "spool", "lock"), "")
	return d
}

func TestTemporaryDirectoryIsRemovedAtTheEnd(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	d := made(t)
	if err := d.remove(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A directory that cannot be emptied keeps its lock file, so that the next start knows it and tries again.
func TestLockIsTheLastToGo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	d := made(t)
	for _, name := range []string{"keys", "spool"} { // before and after the lock in any order
		stick(t, filepath.Join(d.folder, name))
	}
	if err := d.remove(); err == nil || !strings.Contains(err.Error(), "keys") {
		t.Errorf("says %v", err)
	}
	if _, err := os.Stat(filepath.Join(d.folder, heldName)); err != nil {
		t.Errorf("the lock: %v", err)
	}
}

// stick makes a directory that cannot be removed until the test ends.
func stick(t *testing.T, folder string) {
	t.Helper()
	if os.Getuid() != 0 {
		write(t, filepath.Join(folder, "file"), "")
		if err := os.Chmod(folder, 0o500); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(folder, 0o700) })
		return
	}
	// Root may remove anything but what is mounted.
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=64k"); err != nil {
		testenv.Missing(t, "the right to mount ("+err.Error()+")", "this test as another user, or as root outside a container")
	}
	t.Cleanup(func() { syscall.Unmount(folder, 0) })
}
