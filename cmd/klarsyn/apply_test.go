package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"klarsyn/api"
	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
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
	return heldIn(t, db)
}

func heldIn(t *testing.T, db *sql.DB) string {
	t.Helper()
	return rowsOf(t, db,
		`SELECT revision, document, sha256, applied_us, actor FROM catalogue_square ORDER BY revision`,
		`SELECT id, version, document, activated_us FROM catalogue_permit ORDER BY id, version`,
		`SELECT id, version, step, state, at_us, actor, reason, unlawful, effective_us FROM catalogue_permit_step ORDER BY id, version, step`,
		`SELECT name, role, hash, created, changed, disabled FROM identity_account ORDER BY name`,
		`SELECT id, state, deadline_us, rule, end_us FROM catalogue_clip ORDER BY id`,
		`SELECT (SELECT COUNT(*) FROM audit_pending) + (SELECT COUNT(*) FROM audit_leaf)`,
	)
}

// rowsOf is what questions to a database answer, row by row, as text.
func rowsOf(t *testing.T, db *sql.DB, queries ...string) string {
	t.Helper()
	var text strings.Builder
	for _, query := range queries {
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
	t.Parallel()
	files, err := filepath.Glob("testdata/malformed/*.yaml")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	l := installed(t)
	db, err := database.OpenSQLite(t.Context(), l.catalogue())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	before := heldIn(t, db)
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
		if after := heldIn(t, db); after != before {
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

// description writes a text to a file of its own.
func description(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "change.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// planOf runs a command that tells a plan, which must work.
func planOf(t *testing.T, args ...string) api.Plan {
	t.Helper()
	got := command(t, append(args, "--json")...)
	var p api.Plan
	if err := json.Unmarshal([]byte(got.out), &p); err != nil || got.code != exitOK {
		t.Fatalf("%v: %v: %s", args, err, got)
	}
	return p
}

// change applies a text, after a try of it that must foresee the same and change nothing.
func change(t *testing.T, l layout, text string) api.Plan {
	t.Helper()
	file, before := description(t, text), held(t, l)
	tried := planOf(t, "apply", "-f", file, "--data", l.root, "--dry-run")
	if after := held(t, l); after != before {
		t.Fatalf("a try changed what holds, from\n%s\nto\n%s", before, after)
	}
	made := planOf(t, "apply", "-f", file, "--data", l.root)
	if tried.Applied || tried.Revision != tried.Base || tried.Base != made.Base || foreseen(tried) != foreseen(made) {
		t.Errorf("the try says\n%+v\nand what was done is\n%+v", tried, made)
	}
	if !made.Applied || made.Revision != made.Base+1 {
		t.Errorf("applied: %+v", made)
	}
	after := held(t, l)
	if again := planOf(t, "apply", "-f", file, "--data", l.root); again.Applied || len(again.Changes) != 0 || again.Revision != made.Revision || held(t, l) != after {
		t.Errorf("applied again: %+v", again)
	}
	return made
}

// foreseen is what a plan says of the change itself.
func foreseen(p api.Plan) string { return fmt.Sprint(p.Changes, p.Effects, p.Moved, p.Sights, p.Next) }

// What holds is shown in each form, and what is shown can be applied again and changes nothing.
func TestGetAndApplyAgain(t *testing.T) {
	t.Parallel()
	l := installed(t)
	whole, err := os.ReadFile("testdata/malformed/none.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(whole), "    username: klarsyn\n", "    username: klarsyn\n    password_file: k1.password\n    view: first look\n", 1) +
		permitOf("utkast", 1, fields{"state": "draft", "schedule": "{}"}) + permitOf("tillfallig", 1, fields{"basis": "temporary", "assessment": "", "cameras": "[k2]"}) +
		permitOf("avslutad", 3, fields{"cameras": "[k2]"})
	change(t, l, text)
	text = strings.Replace(text, "id: avslutad\n", "id: avslutad\n    state: revoked\n    reason: \"never: allowed\"\n    unlawful: true\n    effective: 2026-02-03T04:05:06.789012345+01:00\n", 1)
	text = strings.Replace(text, "id: tillfallig\n", "id: tillfallig\n    state: suspended\n    reason: 'repairs, #2'\n", 1)
	change(t, l, text)

	before := held(t, l)
	all := command(t, "get", "all", "--data", l.root, "-o", "yaml")
	if all.code != exitOK || strings.Contains(all.out, "argon2") || !strings.Contains(all.out, "password_file: k1.password") {
		t.Fatalf("get all: %s", all)
	}
	file := description(t, all.out)
	if got := command(t, "apply", "-f", file, "--data", l.root); got.code != exitOK || got.out != "Nothing to change: revision 3 says the same.\n" || held(t, l) != before {
		t.Errorf("applied again: %s of\n%s", got, all.out)
	}
	if got := command(t, "diff", "-f", file, "--data", l.root); got.code != exitOK || got.out != "" {
		t.Errorf("diff of the same: %s", got)
	}
	if got := command(t, "diff", "-f", file, "--data", l.root, "--json"); got.code != exitOK || strings.TrimSpace(got.out) != "[]" {
		t.Errorf("diff of the same in JSON: %s", got)
	}
	other := description(t, strings.Replace(all.out, "view: first look", "view: second look", 1))
	if got := command(t, "diff", "-f", other, "--data", l.root); got.code != exitFailed || got.errs != "" || !strings.Contains(got.out, "camera   k1: changed\n           view: second look, before first look\n") {
		t.Errorf("diff of another: %s", got)
	}
	if got := command(t, "diff", "-f", description(t, "cameras: [\n"), "--data", l.root); got.code != exitUsage || !strings.Contains(got.errs, "change.yaml:") {
		t.Errorf("diff of what is no description: %s", got)
	}
	if held(t, l) != before {
		t.Error("to look changed what holds")
	}

	for kind, want := range map[string]struct {
		table  string
		fields []string
	}{
		"permits": {"plattan@3 active police assessment k1,k2", []string{"permits"}},
		"cameras": {"k1 Plattan rtsp://192.0.2.1/stream 2", []string{"cameras"}},
		"groups":  {"trappan k2 [investigator auditor]", []string{"groups"}},
		"users":   {"anna investigator false", []string{"users"}},
		"all":     {"anna investigator false", []string{"cameras", "groups", "permits", "users"}},
	} {
		if got := command(t, "get", kind, "--data", l.root); got.code != exitOK || !strings.Contains(strings.Join(strings.Fields(got.out), " "), want.table) {
			t.Errorf("get %s: %s\nwant a line %q", kind, got, want.table)
		}
		var fields map[string]any
		got := command(t, "get", kind, "--data", l.root, "--json")
		if err := json.Unmarshal([]byte(got.out), &fields); err != nil || !slices.Equal(slices.Sorted(maps.Keys(fields)), want.fields) {
			t.Errorf("get %s in JSON: %v, %s", kind, err, got)
		}
	}
	var permits map[string][]map[string]any
	got := command(t, "get", "permits", "--data", l.root, "-o", "yaml")
	if err := yaml.Unmarshal([]byte(got.out), &permits); err != nil || len(permits) != 1 || len(permits["permits"]) != 4 || permits["permits"][0]["id"] != "avslutad" {
		t.Errorf("get permits in YAML: %v, %s", err, got)
	}
	for _, args := range [][]string{{"get", "--data", l.root}, {"get", "everything", "--data", l.root}, {"get", "all", "--data", l.root, "-o", "xml"}, {"get", "all"},
		{"apply", "--data", l.root}, {"apply", "-f", file}, {"apply", "-f", "/nowhere.yaml", "--data", l.root}, {"apply", "-f", l.root, "--data", l.root},
		{"apply", "-f", file, "--data", l.root, "--server", "https://square.example"}} {
		if got := command(t, args...); got.code != exitUsage || !strings.Contains(got.errs, "want") && !strings.Contains(got.errs, "missing") && !strings.Contains(got.errs, "nowhere") && !strings.Contains(got.errs, "directory") {
			t.Errorf("%v: %s", args, got)
		}
	}
}

// deadlinesOf are the deadlines of clips now, with the rule that moved them.
func deadlinesOf(t *testing.T, l layout, clips []retention.Clip) (deadlines []time.Time, rules []string) {
	t.Helper()
	s := opened(t, l, nil)
	defer s.close()
	for _, c := range clips {
		now, err := s.catalogue("test").Clip(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		deadlines, rules = append(deadlines, now.Deadline), append(rules, now.Rule)
	}
	return deadlines, rules
}

// A permit's life by the commands, and what becomes of what was recorded under it.
func TestPermitLife(t *testing.T) {
	t.Parallel()
	l := installed(t)
	clips := recorded(t, l, 3)
	plattan := func(version int, f fields) string {
		return strings.Replace(good[:strings.Index(good, "permits:")], "    password_file: k1.password\n", "", 1) + "permits:\n" + permitOf("plattan", version, f)
	}
	cause := func() string {
		t.Helper()
		got := command(t, "permit", "explain", "--data", l.root, "--camera", "k1", "--at", time.Now().Format(time.RFC3339Nano), "--json")
		var a policy.Answer
		if err := json.Unmarshal([]byte(got.out), &a); err != nil || got.code != exitOK {
			t.Fatalf("%v: %s", err, got)
		}
		return strings.TrimSpace(a.Ref() + " " + a.Cause + " " + a.Clause)
	}
	expect := func(step string, p api.Plan, moved, due int, explained string, want func(c retention.Clip) time.Time, by ...string) {
		t.Helper()
		if p.Moved.Clips != moved || p.Moved.Due != due || (p.Moved.Bytes > 0) != (moved > 0) {
			t.Errorf("%s: moved %+v, want %d, of which %d are due", step, p.Moved, moved, due)
		}
		if got := cause(); got != explained {
			t.Errorf("%s: explained as %s, want %s", step, got, explained)
		}
		deadlines, rules := deadlinesOf(t, l, clips)
		for i, c := range clips {
			if w := want(c); !w.IsZero() && !deadlines[i].Equal(w) || !slices.Contains(by, rules[i]) {
				t.Errorf("%s: clip %d is kept until %s by %q, want %s by %q", step, i, deadlines[i], rules[i], w, by)
			}
		}
	}
	kept := func(d time.Duration) func(retention.Clip) time.Time {
		return func(c retention.Clip) time.Time { return c.Start.Add(d) }
	}
	expect("as it was", api.Plan{}, 0, 0, "plattan@2 recorded cameras", kept(72*time.Hour), "")
	expect("a shorter time", change(t, l, plattan(3, fields{"retention": "PT1H"})), 3, 0, "plattan@3 recorded cameras", kept(time.Hour), "plattan@3")
	expect("a longer time", change(t, l, plattan(4, fields{"retention": "PT72H"})), 0, 0, "plattan@4 recorded cameras", kept(time.Hour), "plattan@3")
	expect("suspended", change(t, l, plattan(4, fields{"state": "suspended", "reason": "repairs"})), 0, 0, "plattan@4 suspended state", kept(time.Hour), "plattan@3")
	expect("active again", change(t, l, plattan(4, nil)), 0, 0, "plattan@4 recorded cameras", kept(time.Hour), "plattan@3")
	expect("ended", change(t, l, plattan(4, fields{"state": "ended", "reason": "moved away"})), 0, 0, "plattan@4 not-permitted state", kept(time.Hour), "plattan@3")
	expect("revoked", change(t, l, plattan(4, fields{"state": "revoked", "reason": "not needed"})), 0, 0, "plattan@4 not-permitted state", kept(time.Hour), "plattan@3")
	since := clips[1].Start.Add(time.Second)
	before := time.Now()
	p := change(t, l, plattan(4, fields{"state": "revoked", "reason": "never allowed", "unlawful": "true", "effective": since.Format(time.RFC3339Nano)}))
	expect("unlawful", p, 2, 2, "plattan@4 not-permitted state", func(c retention.Clip) time.Time {
		if c.ID == clips[0].ID { // it ended before that
			return c.Start.Add(time.Hour)
		}
		return time.Time{}
	}, "plattan@3", "plattan@4 unlawful")
	deadlines, rules := deadlinesOf(t, l, clips)
	for i := 1; i < 3; i++ {
		if deadlines[i].Before(before.Add(-time.Second)) || deadlines[i].After(time.Now()) || rules[i] != "plattan@4 unlawful" {
			t.Errorf("clip %d is kept until %s by %q", i, deadlines[i], rules[i])
		}
	}

	for event, n := range map[policy.Event]int{policy.PermitActivated: 4, policy.PermitSuspended: 1, policy.PermitEnded: 1, policy.PermitRevoked: 2, policy.DeletionPlanned: 5, policy.SquareApplied: 8} {
		if got := events(t, l, event); len(got) != n {
			t.Errorf("%d entries of %s, want %d", len(got), event, n)
		}
	}
	revoked := events(t, l, policy.PermitRevoked)[1]
	if revoked.Actor != commandActor() || revoked.Reason != "never allowed" || revoked.Details["effective"] == "" || revoked.Object != "permit:plattan" {
		t.Errorf("the revocation is logged as %+v", revoked)
	}
	if code, results := runFsck(t, l); code != exitOK && len(results["I5"].Violations) > 0 {
		t.Errorf("fsck: %+v", results["I5"])
	}
}

// simulate tells what falls due, what starts and stops, and who could see what.
func TestSimulate(t *testing.T) {
	t.Parallel()
	l := installed(t)
	clips := recorded(t, l, 3)
	before := held(t, l)
	file := description(t, squareOf(permitOf("plattan", 3, fields{"retention": "PT11S", "cameras": "[k2]", "roles": "[investigator]", "purposes": "[crime-prevention]"}))+
		"groups:\n  - {id: trappan, cameras: [k2], roles: [investigator]}\n")
	time.Sleep(time.Until(clips[0].Start.Add(11 * time.Second)))
	p := planOf(t, "permit", "simulate", "-f", file, "--data", l.root)
	tried := planOf(t, "apply", "-f", file, "--data", l.root, "--dry-run")
	tried.Moved.Due = p.Moved.Due // it grows with time
	if foreseen(tried) != foreseen(p) || tried.Applied {
		t.Errorf("simulate says\n%+v\nand a dry run\n%+v", p, tried)
	}
	if p.Applied || p.Moved.Clips != 3 || p.Moved.Due < 1 || p.Moved.Bytes < 3*200<<10 {
		t.Errorf("clips: %+v", p.Moved)
	}
	if got := words(&planned{Plan: p}); got != "camera k1: changed; camera k2: added; group trappan: added; permit plattan@3: activated" {
		t.Errorf("changes: %s", got)
	}
	effects := map[string]bool{}
	for _, e := range p.Effects {
		effects[e.Camera+" "+e.What] = e.Starts
	}
	if want := map[string]bool{"k1 recording": false, "k1 counting": false, "k2 recording": true, "k2 counting": true}; !maps.Equal(effects, want) {
		t.Errorf("effects: %v, want %v", effects, want)
	}
	sights := map[string]string{}
	for _, s := range p.Sights {
		sights[s.Camera+" "+s.Role] = strings.Join(s.May, ", ")
	}
	if want := map[string]string{ // k1 lies in the square, and no permit lets anybody look at it
		"k1 investigator": "read-occupancy, search", "k1 dashboard-viewer": "read-occupancy", "k1 auditor": "read-occupancy, search", "k1 operator": "read-occupancy",
		"k1 compliance-officer": "read-occupancy, search", "k1 investigation-lead": "read-occupancy, search", "k2 investigator": "read-occupancy, search, view-original for crime-prevention",
	}; !maps.Equal(sights, want) {
		t.Errorf("sights: %v, want %v", sights, want)
	}
	got := command(t, "permit", "simulate", "-f", file, "--data", l.root)
	for _, want := range []string{"permit   plattan@3: activated\n", "camera   k1: recording stops (the version is superseded, permit plattan@2)\n", "camera   k2: recording starts (the permit names the camera, and is in force, permit plattan@3)\n",
		"clips    3 are deleted earlier, ", "Nothing was changed: this was a try over revision 1.\n", "Who could see what:\n", "  k2  investigator: read-occupancy, search, view-original for crime-prevention\n"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("it says\n%s\nwant %q", got, want)
		}
	}
	if held(t, l) != before {
		t.Error("it changed what holds")
	}
}

// An answer has the same fields wherever it is asked, and says what decides.
func TestExplain(t *testing.T) {
	t.Parallel()
	l := installed(t)
	always := []string{"cause", "clause", "counting", "detail", "permit", "recording", "since", "until", "version"}
	for _, c := range []struct {
		camera, at string
		fields     []string
		want       string
	}{
		{"k1", time.Now().Add(time.Minute).Format(time.RFC3339), append([]string{"deadline"}, always...), "true true recorded plattan 2 cameras"},
		{"k1", "2025-12-31T23:59:59+01:00", always, "false false not-permitted plattan 2 state"}, // nothing was in force then
		{"k9", time.Now().Format(time.RFC3339), always, "false false not-permitted  0 no-permit"},
	} {
		got := command(t, "permit", "explain", "--data", l.root, "--camera", c.camera, "--at", c.at, "--json")
		var raw map[string]any
		var a policy.Answer
		if err := errors.Join(json.Unmarshal([]byte(got.out), &raw), json.Unmarshal([]byte(got.out), &a)); err != nil || got.code != exitOK {
			t.Fatalf("%v: %s", err, got)
		}
		slices.Sort(c.fields)
		if names := slices.Sorted(maps.Keys(raw)); !slices.Equal(names, c.fields) {
			t.Errorf("%s at %s: fields %v, want %v", c.camera, c.at, names, c.fields)
		}
		if said := fmt.Sprint(a.Recording, a.Counting, " ", a.Cause, " ", a.Permit, " ", a.Version, " ", a.Clause); said != c.want {
			t.Errorf("%s at %s: %s, want %s", c.camera, c.at, said, c.want)
		}
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil || a.Detail == "" || a.Since.After(at) || !a.Until.After(at) || a.Recording && !a.Deadline.Equal(at.Add(72*time.Hour)) {
			t.Errorf("%s at %s: %+v, %v", c.camera, c.at, a, err)
		}
	}
	got := command(t, "permit", "explain", "--data", l.root, "--camera", "k1", "--at", time.Now().Add(time.Minute).Format(time.RFC3339))
	for _, want := range []string{"camera k1 would record, and people would be counted.", "plattan@2, clause cameras", "kept      until ", "the same  from "} {
		if !strings.Contains(got.out, want) {
			t.Errorf("it says\n%s\nwant %q", got, want)
		}
	}
	for _, at := range []string{"tomorrow", "2026-12-24", "9999-12-31T00:00:00Z", "0001-01-01T00:00:00Z"} {
		if got := command(t, "permit", "explain", "--data", l.root, "--camera", "k1", "--at", at); got.code != exitUsage || !strings.Contains(got.errs, "want an instant such as") {
			t.Errorf("at %s: %s", at, got)
		}
	}
}

// rich is a change of everything: a camera, a group, two accounts, a draft, an activation that takes the place of another and
// moves deadlines, a permit that ends.
func rich() string {
	return squareOf(permitOf("plattan", 3, fields{"retention": "PT1H"}), permitOf("trappan", 1, fields{"cameras": "[k2]", "state": "draft"})) +
		"groups:\n  - {id: north, cameras: [k2], roles: [auditor]}\nusers:\n  - {name: anna, role: investigator}\n  - {name: bo, role: operator, disabled: true}\n"
}

// Somebody else applied something since a change was planned: it is refused, and nothing of it is done.
func TestStaleBase(t *testing.T) {
	t.Parallel()
	l := installed(t)
	recorded(t, l, 1)
	s := opened(t, l, nil)
	defer s.close()
	var between string
	_, err := s.apply(t.Context(), "square.yaml", []byte(rich()), localActor(), false, func(*planned) error {
		change(t, l, squareOf(permitOf("plattan", 3, nil)))
		between = held(t, l)
		return nil
	})
	if !errors.Is(err, catalogue.ErrStale) || !strings.Contains(err.Error(), "klarsyn diff") || held(t, l) != between {
		t.Errorf("over a stale revision: %v", err)
	}
}

// Without the log nothing is applied, at whichever entry it fails; and nothing half.
func TestNothingIsAppliedWithoutTheLog(t *testing.T) {
	t.Parallel()
	l := installed(t)
	recorded(t, l, 2)
	s := opened(t, l, nil)
	defer s.close()
	apply := func() (api.Plan, error) {
		return s.apply(t.Context(), "square.yaml", []byte(rich()), localActor(), false, nil)
	}
	before := held(t, l)
	altered(t, l, `ALTER TABLE audit_pending RENAME TO hidden`)
	if p, err := apply(); err == nil || p.Applied {
		t.Errorf("without a table for the log: %+v, %v", p, err)
	}
	altered(t, l, `ALTER TABLE hidden RENAME TO audit_pending`)
	if after := held(t, l); after != before {
		t.Fatalf("without a table for the log something was changed, from\n%s\nto\n%s", before, after)
	}
	pending := audited(t, s)
	for entry := int64(0); ; entry++ {
		altered(t, l, fmt.Sprintf(`CREATE TRIGGER broken BEFORE INSERT ON audit_pending WHEN (SELECT COUNT(*) FROM audit_pending) >= %d
			BEGIN SELECT RAISE(ABORT, 'the log is full'); END`, pending+entry))
		p, err := apply()
		altered(t, l, `DROP TRIGGER broken`)
		if err == nil {
			// One for each: a draft, an activation, two clips that go earlier, two accounts, one of them disabled, the revision.
			if got := audited(t, s) - pending; !p.Applied || got != 8 || entry != got {
				t.Errorf("%d entries, and the one after the %d th may fail: %+v", got, entry, p)
			}
			return
		}
		if after := held(t, l); p.Applied || after != before || !strings.Contains(err.Error(), "the log is full") {
			t.Fatalf("where entry %d fails: %+v, %v, and what holds became\n%s", entry, p, err, after)
		}
		if entry > 20 {
			t.Fatal("it never succeeds")
		}
	}
}
