package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"klarsyn/retention/database"
)

// said is what a command says, and its exit code.
type said struct {
	code      int
	out, errs string
}

func (s said) String() string { return fmt.Sprintf("exit %d\n%s%s", s.code, s.out, s.errs) }

// command runs klarsyn as an operator does.
func command(t *testing.T, args ...string) said {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, stdio{&out, &errs})
	return said{code, out.String(), errs.String()}
}

// held is all that an application could change, as text: what was applied, permits, accounts, clips, and the log's length.
func held(t *testing.T, l layout) string {
	t.Helper()
	db, err := database.OpenSQLite(t.Context(), l.catalogue())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var text strings.Builder
	for _, query := range []string{
		`SELECT revision, document, sha256, applied_us, actor FROM catalogue_square ORDER BY revision`,
		`SELECT id, version, document, activated_us FROM catalogue_permit ORDER BY id, version`,
		`SELECT id, version, step, state, at_us, actor, reason, unlawful, effective_us FROM catalogue_permit_step ORDER BY id, version, step`,
		`SELECT name, role, hash, created, changed, disabled FROM identity_account ORDER BY name`,
		`SELECT id, state, deadline_us, rule, end_us FROM catalogue_clip ORDER BY id`,
		`SELECT (SELECT COUNT(*) FROM audit_pending) + (SELECT COUNT(*) FROM audit_leaf)`,
	} {
		rows, err := db.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		names, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			row := make([]any, len(names))
			for i := range row {
				row[i] = new(any)
			}
			if err := rows.Scan(row...); err != nil {
				t.Fatal(err)
			}
			for _, v := range row {
				fmt.Fprintf(&text, "%v ", *v.(*any))
			}
			text.WriteByte('\n')
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}

// wanted is what must be said of a malformed description: "# want LINE:COLUMN text" at its top, or "# want nothing".
var wanted = regexp.MustCompile(`(?m)^# want (?:nothing|(\d+:\d+) (.+))$`)

// What is wrong with a description is said with file, line and column and how to mend it, and nothing is changed by it.
func TestMalformedDescriptions(t *testing.T) {
	files, err := filepath.Glob("testdata/malformed/*.yaml")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	l := installed(t)
	before := held(t, l)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		wants := wanted.FindAllStringSubmatch(string(text), -1)
		if len(wants) == 0 {
			t.Errorf("%s says not what is wrong with it", file)
		}
		if wants[0][1] == "" { // a description that is whole: the others differ from it by their faults alone
			if got := command(t, "apply", "-f", file, "--data", l.root, "--dry-run"); got.code != exitOK {
				t.Errorf("%s: %s", file, got)
			}
			continue
		}
		got := command(t, "apply", "-f", file, "--data", l.root)
		if got.code != exitUsage || got.out != "" {
			t.Errorf("%s: %s", file, got)
		}
		lines := strings.Split(strings.TrimPrefix(got.errs, "klarsyn: "), "\n")
		for _, want := range wants {
			if !containsLine(lines, file+":"+want[1]+": ", want[2]) {
				t.Errorf("%s:%s: %s: want this said, got:\n%s", file, want[1], want[2], got.errs)
			}
		}
		placed := 0
		for _, line := range lines {
			if strings.HasPrefix(line, file+":") {
				placed++
			}
		}
		if placed != countPlaces(wants) {
			t.Errorf("%s: %d faults are told, want %d:\n%s", file, placed, countPlaces(wants), got.errs)
		}
		if strings.Contains(got.errs, "s3cret") {
			t.Errorf("%s: a secret is shown:\n%s", file, got.errs)
		}
		if after := held(t, l); after != before {
			t.Fatalf("%s changed what holds, from\n%s\nto\n%s", file, before, after)
		}
	}
}

func containsLine(lines []string, prefix, text string) bool {
	for _, line := range lines {
		if strings.HasPrefix(line, prefix) && strings.Contains(line, text) {
			return true
		}
	}
	return false
}

// countPlaces is how many faults are wanted: a fault may have several texts.
func countPlaces(wants [][]string) int {
	places := map[string]bool{}
	for _, want := range wants {
		places[want[1]] = true
	}
	return len(places)
}
