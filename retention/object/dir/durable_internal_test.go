package dir

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"klarsyn/retention/object"
)

// synced opens a store over a temporary folder and notes what it syncs, relative to the root.
func synced(t *testing.T) (*Store, func() []string) {
	t.Helper()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	s.sync = func(folder string) error {
		err := syncFolder(folder)
		if err == nil {
			rel, err := filepath.Rel(s.root, folder)
			if err != nil {
				t.Error(err)
			}
			names = append(names, rel)
		}
		return err
	}
	return s, func() []string {
		n := names
		names = nil
		return n
	}
}

const key, body = "clips/k1/day/one", "sealed"

func (s *Store) store(t *testing.T) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, strings.NewReader(body), int64(len(body)), sha256.Sum256([]byte(body))); err != nil {
		t.Fatal(err)
	}
}

// What a put says is stored survives a power cut: each folder on the way to it was synced after its entry was
// made, by us or by somebody who died before he synced it.
func TestPutSyncsTheWholeWay(t *testing.T) {
	whole := []string{".", "clips", "clips/k1", "clips/k1/day"}
	for name, before := range map[string]func(t *testing.T, s *Store){
		"nothing is there": func(*testing.T, *Store) {},
		"the folders are there, their maker died": func(t *testing.T, s *Store) {
			if err := os.MkdirAll(filepath.Dir(s.path(key)), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"the object is there, its maker died after the link": func(t *testing.T, s *Store) {
			if err := errors.Join(os.MkdirAll(filepath.Dir(s.path(key)), 0o700), os.WriteFile(s.path(key), []byte(body), 0o600)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, was := synced(t)
			before(t, s)
			plain := s.sync
			s.sync = func(folder string) error {
				if _, err := os.Stat(s.path(key)); folder == filepath.Dir(s.path(key)) && err != nil {
					t.Error("the object's folder was synced before the object was in it")
				}
				return plain(folder)
			}
			s.store(t)
			if got := was(); !slices.Equal(got, whole) {
				t.Errorf("synced %v, want %v", got, whole)
			}
		})
	}
}

// What a delete says is gone stays gone after a power cut, whoever removed it.
func TestDeleteSyncsWhatItRemoves(t *testing.T) {
	upload := func(t *testing.T, s *Store) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(s.root, uploads, "clips%2Fk1%2Fday%2Fone~DEAD"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		before func(t *testing.T, s *Store)
		want   []string
	}{
		"an object":          {func(t *testing.T, s *Store) { s.store(t) }, []string{"clips/k1/day", uploads}},
		"an object's upload": {upload, []string{".", uploads}},
		"nothing":            {func(*testing.T, *Store) {}, []string{".", uploads}},
		"an object and folder that somebody removed and did not sync": {func(t *testing.T, s *Store) {
			if err := os.MkdirAll(filepath.Join(s.root, "clips/k1"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, []string{"clips/k1", uploads}},
	} {
		t.Run(name, func(t *testing.T) {
			s, was := synced(t)
			c.before(t, s)
			was()
			plain := s.sync
			s.sync = func(folder string) error {
				if _, err := os.Stat(s.path(key)); err == nil {
					t.Error("synced before it was removed")
				}
				if left, err := os.ReadDir(filepath.Join(s.root, uploads)); err != nil || filepath.Base(folder) == uploads && len(left) > 0 {
					t.Errorf("the uploads were synced before they were removed: %v, %v", left, err)
				}
				return plain(folder)
			}
			if _, err := s.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			if got := was(); !slices.Equal(got, c.want) {
				t.Errorf("synced %v, want %v", got, c.want)
			}
		})
	}
}

// A sync that fails is an error, never a put or a deletion that is said to be done.
func TestFailedSyncIsAnError(t *testing.T) {
	broken := errors.New("the disk is broken")
	for _, at := range []string{".", "clips", "clips/k1", "clips/k1/day", uploads} {
		s, _ := synced(t)
		if at != uploads { // a put leaves nothing there that would have to stay
			s.sync = failing(s, at, broken)
			if _, err := s.Put(t.Context(), key, strings.NewReader(body), int64(len(body)), sha256.Sum256([]byte(body))); !errors.Is(err, broken) {
				t.Errorf("put with a sync of %s that fails: %v", at, err)
			}
		}
		if at == "clips/k1/day" || at == uploads {
			s.sync = syncFolder
			s.store(t)
			s.sync = failing(s, at, broken)
			if _, err := s.Delete(t.Context(), key); !errors.Is(err, broken) {
				t.Errorf("delete with a sync of %s that fails: %v", at, err)
			}
		}
	}
}

func failing(s *Store, at string, err error) func(string) error {
	return func(folder string) error {
		if folder == filepath.Join(s.root, at) {
			return err
		}
		return syncFolder(folder)
	}
}

// A file system that cannot do what keys rely on is refused by name, with what to do. One that this process
// may not write to, or that is full, is not: deletion and reading must begin.
func TestProbe(t *testing.T) {
	linked := 0
	for name, c := range map[string]struct {
		sys  system
		want string // of the error; "": none
	}{
		"as it should be":       {linux, ""},
		"no links":              {system{func(string, string) error { return syscall.EPERM }, linux.lock}, "cannot link files (operation not permitted)"},
		"links that replace":    {system{func(string, string) error { linked++; return nil }, linux.lock}, "lets a link replace a file"},
		"no locks":              {system{linux.link, func(*os.File) error { return syscall.ENOLCK }}, "cannot lock files"},
		"a full disk":           {system{func(string, string) error { return syscall.ENOSPC }, linux.lock}, ""},
		"somebody's full share": {system{func(string, string) error { return syscall.EDQUOT }, linux.lock}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "objects")
			s, err := open(root, c.sys)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				s.store(t)
			} else if !errors.Is(err, object.ErrUnfit) || !strings.Contains(err.Error(), root) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "ext4") {
				t.Errorf("error %v, want the directory, %q and the mend", err, c.want)
			}
			if left, err := os.ReadDir(filepath.Join(root, uploads)); err != nil || len(left) > 0 {
				t.Errorf("the probe left %v, %v", left, err)
			}
		})
	}
	if linked != 2 {
		t.Errorf("%d links were tried, want the second on the name of the first", linked)
	}
}

// Who may only read opens the store, too.
func TestProbeOfAReader(t *testing.T) {
	if err := linux.probe(filepath.Join(t.TempDir(), "where nobody may write")); err != nil {
		t.Error(err)
	}
}

// What a killed probe left is no trace of anything, and goes.
func TestKilledProbe(t *testing.T) {
	s, _ := synced(t)
	old, young := filepath.Join(s.root, uploads, probing+"OLD"), filepath.Join(s.root, uploads, probing+"YOUNG-linked")
	for _, name := range []string{old, young} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for tr, err := range s.Traces(t.Context(), "") {
		t.Errorf("listed %+v, %v", tr, err)
	}
	long := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a killed probe left is still there: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("a probe that may be at work was disturbed: %v", err)
	}
}
