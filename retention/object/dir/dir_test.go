package dir_test

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"klarsyn/retention/object"
	"klarsyn/retention/object/dir"
	"klarsyn/retention/object/objecttest"
)

func TestConformance(t *testing.T) {
	objecttest.Run(t, func(t *testing.T) object.Store {
		s, err := dir.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// A crash in the middle of a put leaves a file among the uploads: it is listed, and deleted with its key.
func TestUnfinishedUploadIsATrace(t *testing.T) {
	root := t.TempDir()
	s, err := dir.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(root, ".uploads", "clips%2Fk1%2Fa~CRASHED")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	var seen []object.Trace
	for tr, err := range s.Traces(t.Context(), "clips/k1/") {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, tr)
	}
	if len(seen) != 1 || seen[0].Key != "clips/k1/a" || seen[0].Kind != object.Upload {
		t.Fatalf("traces: %+v", seen)
	}
	if n, err := s.Delete(t.Context(), "clips/k1/a"); n != 1 || err != nil {
		t.Fatalf("delete: %d, %v", n, err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the unfinished upload is still there: %v", err)
	}
}

func TestOpenNamesTheDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Open(file); err == nil {
		t.Fatal("a file was taken for a directory")
	}
}

// A process that was killed during a put leaves a file behind; the put that repeats it cleans up, but not
// after a put that is at work.
func TestRepeatedPutRemovesWhatAKilledOneLeft(t *testing.T) {
	root := t.TempDir()
	s, err := dir.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a~KILLED", "a~ATWORK", "ab~KILLED"} {
		if err := os.WriteFile(filepath.Join(root, ".uploads", name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	atWork, err := os.Open(filepath.Join(root, ".uploads", "a~ATWORK"))
	if err != nil {
		t.Fatal(err)
	}
	defer atWork.Close()
	if err := syscall.Flock(int(atWork.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "a", strings.NewReader("whole"), 5, sha256.Sum256([]byte("whole"))); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, err := os.ReadDir(filepath.Join(root, ".uploads"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{"ab~KILLED", "a~ATWORK"}; !slices.Equal(left, want) {
		t.Errorf("uploads %v, want %v", left, want)
	}
}
