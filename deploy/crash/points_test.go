package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	here = regexp.MustCompile(`crashpoint\.Here\(([^)]*)\)`)
	good = regexp.MustCompile(`^[a-z]+(\.[a-z0-9-]+)+$`)
)

// elsewhere are files whose points the campaign's workers do not come by, with why.
var elsewhere = map[string]string{
	"../../retention/keys/transitmaster.go": "worlds have a local master key; the tests of retention/keys die at these, against a key server",
	"../../cmd/klarsyn/backup_make.go":      "workers are wired as the commands are, and link none of them; TestBackupDies and TestRestoreDies die at these",
	"../../cmd/klarsyn/restore_run.go":      "as above",
	"../../cmd/klarsyn/restore_finish.go":   "as above",
}

// namedPoints are the points in the source, by file. Two files may have one name: of the same step, taken by one driver or another.
func namedPoints(t *testing.T) map[string][]string {
	t.Helper()
	named := map[string][]string{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "../.." {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "retention/crashpoint/") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range here.FindAllSubmatch(b, -1) {
			name := string(m[1])
			if !strings.HasPrefix(name, `"`) || !strings.HasSuffix(name, `"`) {
				t.Errorf("%s: %s: a point is named by a string, so that it can be found", path, m[0])
				continue
			}
			named[path] = append(named[path], strings.Trim(name, `"`))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return named
}

// A point's name tells of what it is a step, and which step is done. It stands once in a file: at a second place of that name
// nobody could die before the first was passed.
func TestPointsAreNamed(t *testing.T) {
	all := 0
	for path, names := range namedPoints(t) {
		all += len(names)
		slices.Sort(names)
		for i, name := range names {
			if i > 0 && names[i-1] == name {
				t.Errorf("%s: %s names two places", path, name)
			}
			if !good.MatchString(name) {
				t.Errorf("%s: %q: want SUBJECT.DONE in lower case", path, name)
			}
		}
	}
	if all < 60 {
		t.Errorf("only %d points were found", all)
	}
}
