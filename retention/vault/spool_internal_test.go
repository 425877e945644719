package vault

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"klarsyn/camera"
)

// Whatever a damaged disk makes of an index: reading it neither fails nor believes in a clip that shrinks.
func FuzzMarks(f *testing.F) {
	good := mark{1000, camera.Closing{End: time.UnixMicro(5), Frames: 10}}.String() + "\n"
	for _, text := range []string{"", good, good + good + "end\n", good + "end", "end\n", "-5 1 1\nend\n", "2 1 1\n1 1 1\nend\n", "9999999999999999999 1 1\n", "\x00"} {
		f.Add([]byte(text))
	}
	s := &spool{folder: f.TempDir()}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(s.path("id", index), text, 0o600); err != nil {
			t.Fatal(err)
		}
		marks, closed, err := s.marks("id")
		if err != nil || closed && len(marks) == 0 {
			t.Fatalf("%d marks, closed %v, %v", len(marks), closed, err)
		}
		last := int64(0)
		for _, m := range marks {
			if m.plain < last || m.Frames < 0 {
				t.Fatalf("marks %v", marks)
			}
			last = m.plain
		}
	})
}

func TestSealedSize(t *testing.T) {
	for plain, want := range map[int64]int64{0: 32, 1: 33, 65535: 65567, 65536: 65568, 65537: 65585, 131072: 131120} {
		if got := sealedSize(plain); got != want {
			t.Errorf("%d bytes are sealed in %d, want %d", plain, got, want)
		}
	}
}

// Absence is said only of what a power cut cannot bring back: the folder is synced after the files are gone,
// also if somebody else removed them and died before he synced it.
func TestErasingFromTheSpoolIsForGood(t *testing.T) {
	for name, files := range map[string][]string{"both files": {sealed, index}, "one of them": {index}, "neither": nil} {
		t.Run(name, func(t *testing.T) {
			l := Leftovers{Folder: t.TempDir()}
			for _, ending := range files {
				if err := os.WriteFile(filepath.Join(l.Folder, "ID"+ending), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			synced := 0
			l.synced = func() {
				synced++
				if left, err := os.ReadDir(l.Folder); err != nil || len(left) > 0 {
					t.Errorf("synced before it was removed: %v, %v", left, err)
				}
			}
			if n, err := l.Erase("clips/k1/day/ID"); n != len(files) || err != nil {
				t.Errorf("erased %d, %v", n, err)
			}
			if synced != 1 {
				t.Errorf("synced %d times", synced)
			}
		})
	}
}

// On another machine than the recorder's there is no spool, and nothing to erase.
func TestNoSpoolHere(t *testing.T) {
	l := Leftovers{Folder: filepath.Join(t.TempDir(), "spool")}
	if n, err := l.Erase("clips/k1/day/ID"); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// The group that the spool is shared with may go on with its files, whatever the umask of the recorder.
func TestSpoolIsSharedWhateverTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	for folder, want := range map[fs.FileMode]fs.FileMode{0o770 | fs.ModeSetgid: 0o660, 0o750: 0o640, 0o700: 0o600} {
		path := t.TempDir()
		if err := os.Chmod(path, folder); err != nil {
			t.Fatal(err)
		}
		s, err := openSpool(path, "n1", 0)
		if err != nil {
			t.Fatal(err)
		}
		r := &recording{in: &Intake{spool: s}}
		r.clip.ID = "ID"
		if err := r.create(); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"lock", "node", "ID" + sealed, "ID" + index} {
			if st, err := os.Stat(filepath.Join(path, name)); err != nil || st.Mode() != want {
				t.Errorf("in a folder of mode %s: %s has mode %v, want %s, %v", folder, name, st.Mode(), want, err)
			}
		}
		for _, f := range []*os.File{r.file, r.idx, s.lock} {
			f.Close()
		}
	}
}
