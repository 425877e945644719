package fsck_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"klarsyn/deploy/testenv"
	"klarsyn/retention/fsck"
	"klarsyn/retention/object"
	"klarsyn/retention/object/dir"
)

func TestPlaintextIsFound(t *testing.T) {
	const buffer = 1 << 20
	at := func(offset int) []byte {
		b := bytes.Repeat([]byte("x"), 2*buffer+100)
		copy(b[offset:], fsck.Canary)
		return b
	}
	for name, c := range map[string]struct {
		content []byte
		found   bool
	}{
		"nothing":                     {nil, false},
		"noise":                       {bytes.Repeat([]byte("KLARSYN-CANARY-"), 100_000), false},
		"the canary alone":            {[]byte(fsck.Canary), true},
		"half a canary":               {[]byte(fsck.Canary[:15]), false},
		"at the beginning":            {at(0), true},
		"at the very end":             {at(2*buffer + 100 - len(fsck.Canary)), true},
		"before a buffer's end":       {at(buffer - len(fsck.Canary)), true},
		"across a buffer's end":       {at(buffer - 8), true},
		"a byte across a buffer":      {at(buffer - len(fsck.Canary) + 1), true},
		"all but a byte across":       {at(buffer - 1), true},
		"across the second buffer":    {at(2*buffer - 5), true},
		"right after a buffer's end":  {at(buffer), true},
		"a half before, a half later": {append(append([]byte(fsck.Canary[:8]), 'x'), fsck.Canary[8:]...), false},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			path := filepath.Join(folder, "deep", "down")
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(path, "file"), c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, "clean"), []byte("clean"), 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := fsck.NoPlaintext(t.Context(), folder)
			if err != nil || r.ID != "I11" || r.Checked != 2 || r.Violations == nil {
				t.Fatalf("%+v, %v", r, err)
			}
			if found := len(r.Violations) == 1 && strings.Contains(r.Violations[0], path); found != c.found {
				t.Errorf("found %v: %v", found, r.Violations)
			}
		})
	}
}

// A store that is no folder is searched object by object.
func TestPlaintextIsFoundInObjects(t *testing.T) {
	store, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for key, content := range map[string]string{"clips/k1/clean": "sealed", "clips/k1/leak": "xx" + fsck.Canary} {
		if _, err := store.Put(t.Context(), key, strings.NewReader(content), int64(len(content)), sha256.Sum256([]byte(content))); err != nil {
			t.Fatal(err)
		}
	}
	searched := fsck.Search(store)
	info, err := searched.Verify(t.Context(), "clips/k1/leak")
	if want, err2 := store.Verify(t.Context(), "clips/k1/leak"); err != nil || err2 != nil || info.Size != want.Size || info.SHA256 != want.SHA256 {
		t.Errorf("verified as %+v, %v; the store says %+v, %v", info, err, want, err2)
	}
	r, err := searched.NoPlaintext(t.Context())
	if err != nil || r.ID != "I11" || r.Checked != 2 || len(r.Violations) != 1 || !strings.Contains(r.Violations[0], "clips/k1/leak") {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = fsck.Search(lockedUp{store}).NoPlaintext(t.Context())
	if err != nil || r.Checked != 0 || len(r.Skipped) != 2 {
		t.Errorf("what may not be read: %+v, %v", r, err)
	}
}

// lockedUp lists its objects and lets nobody read them.
type lockedUp struct{ *dir.Store }

func (lockedUp) Open(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return nil, object.ErrDenied
}

func TestFoldersThatAreNotThere(t *testing.T) {
	if r, err := fsck.NoPlaintext(t.Context(), filepath.Join(t.TempDir(), "none")); err != nil || r.Checked != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// What cannot be read is named, the rest is searched all the same, and it is no violation.
func TestWhatCannotBeReadIsNamed(t *testing.T) {
	folder, err := os.MkdirTemp("", "klarsyn-canary-") // others may enter it, unlike t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.Chmod(filepath.Join(folder, "locked"), 0o700) // or it cannot be removed
		os.RemoveAll(folder)
	})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(folder, 0o755))
	for _, name := range []string{"a", "locked/file", "unreadable", "z"} {
		path := filepath.Join(folder, name)
		must(os.MkdirAll(filepath.Dir(path), 0o755))
		must(os.WriteFile(path, []byte(fsck.Canary), 0o644))
	}
	must(os.Chmod(filepath.Join(folder, "locked"), 0o001))
	must(os.Chmod(filepath.Join(folder, "unreadable"), 0))
	var r fsck.Result
	testenv.AsNobody(t, func() {
		r, err = fsck.NoPlaintext(t.Context(), folder, filepath.Join(folder, "locked"))
	})
	must(err)
	if r.Checked != 2 || len(r.Violations) != 2 || !strings.Contains(r.Violations[0], "/a ") || !strings.Contains(r.Violations[1], "/z ") {
		t.Errorf("%d checked, %q", r.Checked, r.Violations)
	}
	if len(r.Skipped) != 3 || !strings.Contains(r.Skipped[0], "/locked: permission denied") || !strings.Contains(r.Skipped[1], "/unreadable: permission denied") {
		t.Errorf("skipped %q", r.Skipped)
	}
}
