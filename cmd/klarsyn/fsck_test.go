package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/retention"
	"klarsyn/retention/database"
	"klarsyn/retention/fsck"
)

// checked is the command with some flags: what it printed, and told beside that.
func checked(t *testing.T, l layout, args ...string) (code int, results map[string]fsck.Result, told string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"fsck", "--data", l.root, "--json", "--stray", "0s"}, args...), stdio{&out, &errs})
	var list []fsck.Result
	if err := json.Unmarshal(out.Bytes(), &list); err != nil {
		t.Fatalf("fsck exits with %d: %v: %s%s", code, err, out.String(), errs.String())
	}
	results = map[string]fsck.Result{}
	for _, r := range list {
		results[r.ID] = r
	}
	return code, results, errs.String()
}

// What is safe is repaired, told and logged, and is clean then; a second repair finds nothing to do.
func TestFsckRepairs(t *testing.T) {
	day := time.Now().UTC().AddDate(0, 0, -3).Format(time.DateOnly)
	for name, c := range map[string]struct {
		id     string
		broken func(t *testing.T, l layout, clips []retention.Clip)
		logged policy.Event
	}{
		"a stray object": {"I1", func(t *testing.T, l layout, clips []retention.Clip) {
			write(t, objectFile(l, clips[0])+"X", "stray")
		}, policy.OrphanDeleted},
		"an object of a deleted clip": {"I3", func(t *testing.T, l layout, clips []retention.Clip) {
			gone(t, l, clips[0])
			write(t, objectFile(l, clips[0]), "left")
			altered(t, l, `UPDATE catalogue_clip SET deadline_us = $1 WHERE id = $2`, time.Now().UnixMicro(), clips[0].ID)
		}, policy.OrphanDeleted},
		"a file of a deleted clip in the spool": {"I3", func(t *testing.T, l layout, clips []retention.Clip) {
			gone(t, l, clips[0])
			altered(t, l, `UPDATE catalogue_clip SET deadline_us = $1 WHERE id = $2`, time.Now().Add(-2*time.Minute).UnixMicro(), clips[0].ID)
			write(t, filepath.Join(l.spool(), clips[0].ID+".seal"), "left")
		}, policy.OrphanDeleted},
		"a header of a deleted clip": {"I3", func(t *testing.T, l layout, clips []retention.Clip) {
			gone(t, l, clips[0])
			altered(t, l, `INSERT INTO catalogue_header (clip, header) VALUES ($1, 'x')`, clips[0].ID)
		}, policy.Repaired},
		"a clip that is past its deadline": {"I3", func(t *testing.T, l layout, clips []retention.Clip) {
			altered(t, l, `UPDATE catalogue_clip SET deadline_us = $1 WHERE id = $2`, time.Now().Add(-2*time.Minute).UnixMicro(), clips[0].ID)
		}, policy.ClipDeleted},
		"a deletion that was not finished": {"I3", func(t *testing.T, l layout, clips []retention.Clip) {
			altered(t, l, `UPDATE catalogue_clip SET deadline_us = $1, state = 'deleting' WHERE id = $2`, time.Now().Add(-2*time.Minute).UnixMicro(), clips[0].ID)
			altered(t, l, `DELETE FROM catalogue_header WHERE clip = $1`, clips[0].ID)
		}, policy.ClipDeleted},
		"a deleted clip without an end": {"I12", func(t *testing.T, l layout, clips []retention.Clip) {
			gone(t, l, clips[1])
			altered(t, l, `DELETE FROM catalogue_gap`)
			altered(t, l, `UPDATE catalogue_clip SET end_us = 0 WHERE id = $1`, clips[1].ID)
		}, policy.Repaired},
		"a day key that nobody needs": {"I10", func(t *testing.T, l layout, _ []retention.Clip) {
			alteredKeys(t, l, `INSERT INTO keys_day (permit, day, recipient, sealed, minted_us) VALUES ('plattan', $1, 'x', 'x', 1)`, day)
			altered(t, l, `INSERT INTO catalogue_recipient (permit, day, recipient) VALUES ('plattan', $1, 'x')`, day)
		}, policy.DayKeyDestroyed},
		"a recipient without its key": {"I10", func(t *testing.T, l layout, _ []retention.Clip) {
			altered(t, l, `INSERT INTO catalogue_recipient (permit, day, recipient) VALUES ('plattan', $1, 'x')`, day)
		}, policy.DayKeyDestroyed},
		"a count of holds that is too high": {"I4", func(t *testing.T, l layout, clips []retention.Clip) {
			altered(t, l, `UPDATE catalogue_clip SET holds = 1 WHERE id = $1`, clips[0].ID)
		}, policy.Repaired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := installed(t)
			clips := recorded(t, l, 2)
			c.broken(t, l, clips)
			_, before, _ := checked(t, l)
			if len(before[c.id].Findings) == 0 || before[c.id].Findings[0].Repair == "" {
				t.Fatalf("%s found %+v", c.id, before[c.id].Findings)
			}
			n := entriesOf(t, l, c.logged)
			_, after, told := checked(t, l, "--repair")
			if r := after[c.id]; len(r.Violations) > 0 || len(r.Repaired) == 0 || r.Repaired[0].Did == "" {
				t.Errorf("%s after the repair: %q, repaired %+v", c.id, r.Violations, r.Repaired)
			}
			if !strings.Contains(told, "repair: "+c.id) {
				t.Errorf("told was %q", told)
			}
			if now := entriesOf(t, l, c.logged); now <= n {
				t.Errorf("%d entries of %s, %d before the repair", now, c.logged, n)
			}
			if _, again, told := checked(t, l, "--repair"); len(again[c.id].Violations) > 0 || len(again[c.id].Repaired) > 0 || strings.Contains(told, "repair: "+c.id) {
				t.Errorf("a second repair: %+v, %q", again[c.id], told)
			}
		})
	}
}

// What is not safe is never touched: row, object and log are as they were, and what to do is said.
func TestFsckDoesNotRepairWhatIsNotSafe(t *testing.T) {
	for name, c := range map[string]struct {
		id     string
		broken func(t *testing.T, l layout, clips []retention.Clip)
	}{
		"a missing object": {"I2", func(t *testing.T, l layout, clips []retention.Clip) { remove(t, objectFile(l, clips[0])) }},
		"a changed object": {"I2", func(t *testing.T, l layout, clips []retention.Clip) { flip(t, objectFile(l, clips[0])) }},
		"a hole": {"I12", func(t *testing.T, l layout, clips []retention.Clip) {
			altered(t, l, `UPDATE catalogue_clip SET end_us = end_us - 1000000 WHERE id = $1`, clips[0].ID)
		}},
		"a damaged log": {"I8", func(t *testing.T, l layout, _ []retention.Clip) {
			altered(t, l, `DELETE FROM audit_leaf WHERE seq = 2`)
		}},
		"a later deadline": {"I5", func(t *testing.T, l layout, clips []retention.Clip) {
			altered(t, l, `UPDATE catalogue_clip SET deadline_us = deadline_us + 86400000000 WHERE id = $1`, clips[0].ID)
		}},
		"one header for two": {"I9", func(t *testing.T, l layout, clips []retention.Clip) {
			altered(t, l, `UPDATE catalogue_header SET header = (SELECT header FROM catalogue_header WHERE clip = $1)`, clips[0].ID)
		}},
		"a row gone": {"I14", func(t *testing.T, l layout, clips []retention.Clip) {
			altered(t, l, `UPDATE catalogue_clip SET id = 'X' WHERE id = $1`, clips[0].ID)
		}},
		"a missing day key": {"I10", func(t *testing.T, l layout, _ []retention.Clip) {
			alteredKeys(t, l, `DELETE FROM keys_day`)
			altered(t, l, `DELETE FROM catalogue_recipient`)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := installed(t)
			clips := recorded(t, l, 2)
			c.broken(t, l, clips)
			rows, files := dumped(t, l), listedFiles(t, l.objects())
			code, results, told := checked(t, l, "--repair")
			r := results[c.id]
			if code != exitFailed || len(r.Findings) == 0 || len(r.Repaired) > 0 || told != "" {
				t.Fatalf("exit %d, %s: %+v, told %q", code, c.id, r, told)
			}
			for _, f := range r.Findings {
				if f.Repair != "" || len(f.Mend) < 20 || f.Rule != c.id {
					t.Errorf("%+v", f)
				}
			}
			if now := dumped(t, l); now != rows {
				t.Errorf("rows changed from\n%s to\n%s", rows, now)
			}
			if now := listedFiles(t, l.objects()); now != files {
				t.Errorf("objects changed from\n%s to\n%s", files, now)
			}
		})
	}
}

var update = flag.Bool("update", false, "write the golden files anew")

// The output is an interface: other programs read it.
func TestFsckOutputIsTheGoldenOne(t *testing.T) {
	l := installed(t)
	clips := recorded(t, l, 2)
	remove(t, objectFile(l, clips[0]))
	altered(t, l, `UPDATE catalogue_clip SET holds = 1 WHERE id = $1`, clips[1].ID)
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"fsck", "--data", l.root, "--json", "--level", "presence"}, stdio{&out, &errs}); code != exitFailed {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	got := strings.NewReplacer(clips[0].ID, "CLIP-1", clips[1].ID, "CLIP-2", clips[0].Start.UTC().Format(time.DateOnly), "DAY", l.root, "DATA").Replace(out.String())
	got = regexp.MustCompile(`"checked": [1-9][0-9]*`).ReplaceAllString(got, `"checked": N`)
	golden := filepath.Join("testdata", "fsck.json")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the output is\n%s\nwant\n%s", got, want)
	}
}

// Presence and size look less deep, and say so; what they cannot see they do not call whole.
func TestFsckLevels(t *testing.T) {
	l := installed(t)
	clips := recorded(t, l, 3)
	flip(t, objectFile(l, clips[0]))
	if err := os.Truncate(objectFile(l, clips[1]), 7); err != nil {
		t.Fatal(err)
	}
	remove(t, objectFile(l, clips[2]))
	for level, want := range map[string]int{"presence": 1, "size": 2, "hash": 3} {
		code, results, _ := checked(t, l, "--level", level)
		if n := len(results["I2"].Violations); code != exitFailed || n != want {
			t.Errorf("%s: exit %d, %q, want %d violations", level, code, results["I2"].Violations, want)
		}
		if said := len(results["I11"].Skipped) > 0; said == (level == "hash") {
			t.Errorf("%s: I11 skipped %q", level, results["I11"].Skipped)
		}
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"fsck", "--data", l.root, "--level", "deep"}, stdio{&out, &errs}); code != exitUsage || !strings.Contains(errs.String(), "presence, size or hash") {
		t.Errorf("an unknown level: exit %d, %s", code, errs.String())
	}
}

func objectFile(l layout, c retention.Clip) string {
	return filepath.Join(l.objects(), filepath.FromSlash(c.ObjectKey))
}

// gone deletes a clip as retain does.
func gone(t *testing.T, l layout, c retention.Clip) {
	t.Helper()
	altered(t, l, `UPDATE catalogue_clip SET deadline_us = $1 WHERE id = $2`, time.Now().Add(-time.Second).UnixMicro(), c.ID)
	s := opened(t, l, nil)
	re := openRetain(t.Context(), s, reaping{})
	if _, err := re.sweeper.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := re.close(); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}

// alteredKeys runs one statement on the key store.
func alteredKeys(t *testing.T, l layout, statement string, args ...any) {
	t.Helper()
	db, err := database.OpenSQLite(t.Context(), l.keyStore())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

// entriesOf counts the entries of an event, also those that wait for their number.
func entriesOf(t *testing.T, l layout, event policy.Event) int {
	t.Helper()
	s := opened(t, l, nil)
	defer s.close()
	if err := s.log.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, err := s.log.Entries(t.Context(), audit.Query{Events: []policy.Event{event}, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

// dumped is everything that the tables of catalogue and log hold.
func dumped(t *testing.T, l layout) string {
	t.Helper()
	db, err := database.OpenSQLite(t.Context(), l.catalogue())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var queries []string
	for _, table := range []string{"catalogue_clip", "catalogue_header", "catalogue_gap", "catalogue_recipient", "catalogue_held", "audit_leaf", "audit_pending", "audit_checkpoint"} {
		queries = append(queries, `SELECT '`+table+`', * FROM `+table+` ORDER BY 2, 3`)
	}
	return rowsOf(t, db, queries...)
}

// listedFiles is what lies in a folder, with sizes and times.
func listedFiles(t *testing.T, folder string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintln(&out, path, info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}
