package dir

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What is made in a directory is for whom the directory is, whatever the umask: another user's process deletes
// it. Also where the maker of a folder died before it was shared.
func TestGroupMayDeleteWhateverTheUmask(t *testing.T) {
	for name, c := range map[string]struct {
		umask        int
		root         fs.FileMode
		folder, file fs.FileMode
	}{
		"shared":                     {0o022, 0o770 | fs.ModeSetgid, 0o770 | fs.ModeSetgid, 0o640},
		"shared, with a tight umask": {0o077, 0o770 | fs.ModeSetgid, 0o770 | fs.ModeSetgid, 0o640},
		"one user's own":             {0o022, 0o700, 0o700, 0o600},
		"others are never let in":    {0o000, 0o777, 0o770, 0o640},
	} {
		t.Run(name, func(t *testing.T) {
			defer syscall.Umask(syscall.Umask(c.umask))
			root := filepath.Join(t.TempDir(), "objects")
			if err := os.Mkdir(root, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(root, c.root); err != nil {
				t.Fatal(err)
			}
			s, err := Open(root)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(s.path("clips"), 0o700); err != nil { // by who died right afterwards
				t.Fatal(err)
			}
			s.store(t)
			modes := map[string]fs.FileMode{uploads: c.folder, "clips": c.folder, "clips/k1": c.folder, "clips/k1/day": c.folder, key: c.file}
			for path, want := range modes {
				st, err := os.Stat(filepath.Join(root, path))
				if err != nil {
					t.Fatal(err)
				}
				if got := st.Mode() & (fs.ModePerm | fs.ModeSetgid); got != want {
					t.Errorf("%s has mode %s, want %s", path, got, want)
				}
			}
		})
	}
}
