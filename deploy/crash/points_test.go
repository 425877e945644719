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

var here = regexp.MustCompile(`crashpoint\.Here\(([^)]*)\)`)

// namedPoints are the points in the source.
func namedPoints(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." && path != "../.." {
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
			names = append(names, strings.Trim(name, `"`))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A point is one place, and its name tells of what it is a step, and which step is done.
func TestPointsAreNamedOnce(t *testing.T) {
	names := namedPoints(t)
	if len(names) < 40 {
		t.Errorf("only %d points were found", len(names))
	}
	slices.Sort(names)
	for i, name := range names {
		if i > 0 && names[i-1] == name {
			t.Errorf("%s names two places: whoever wants to die at one of them cannot", name)
		}
		if ok, err := regexp.MatchString(`^[a-z]+(\.[a-z0-9-]+)+$`, name); err != nil || !ok {
			t.Errorf("%q: want SUBJECT.DONE in lower case", name)
		}
	}
}
