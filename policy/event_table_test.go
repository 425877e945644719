package policy_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"klarsyn/policy"
)

// parsed are the package's own files.
func parsed(t *testing.T) []*ast.File {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// eventConstants are the constants of type Event in the source, with their values.
func eventConstants(t *testing.T) map[string]policy.Event {
	t.Helper()
	found := map[string]policy.Event{}
	for _, f := range parsed(t) {
		for _, d := range f.Decls {
			group, ok := d.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST {
				continue
			}
			for _, s := range group.Specs {
				spec := s.(*ast.ValueSpec)
				if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Event" {
					continue
				}
				for i, name := range spec.Names {
					value, err := strconv.Unquote(spec.Values[i].(*ast.BasicLit).Value)
					if err != nil {
						t.Fatal(err)
					}
					found[name.Name] = policy.Event(value)
				}
			}
		}
	}
	return found
}

func TestEveryEventIsInTheTableOnce(t *testing.T) {
	constants := eventConstants(t)
	rows, values := map[policy.Event]int{}, map[policy.Event]string{}
	for _, e := range policy.Events() {
		rows[e]++
	}
	for name, e := range constants {
		if rows[e] != 1 {
			t.Errorf("%s (%s) is in the table %d times, want once", name, e, rows[e])
		}
		if other := values[e]; other != "" {
			t.Errorf("%s and %s are both %q", name, other, e)
		}
		values[e] = name
	}
	if len(rows) != len(constants) || len(constants) < 70 {
		t.Errorf("%d events in the table, %d constants", len(rows), len(constants))
	}
	actions := []policy.LegalAction{policy.Collection, policy.Alteration, policy.Consultation, policy.Disclosure,
		policy.Combination, policy.Erasure, policy.NoAction}
	seen := map[policy.LegalAction]bool{}
	for e := range rows {
		if !slices.Contains(actions, e.LegalAction()) {
			t.Errorf("%s is %q in law", e, e.LegalAction())
		}
		seen[e.LegalAction()] = true
	}
	if len(seen) != len(actions) {
		t.Errorf("the table uses %v, want all of %v", seen, actions)
	}
	if got := policy.Event("made-up"); got.LegalAction() != "" || got.Kinds() != nil || got.Required() != nil {
		t.Error("the table knows an event that is none")
	}
}

// Each event has one constructor, named after it, and nothing else that is public makes entries but Stamped.
func TestEveryEventHasItsConstructor(t *testing.T) {
	constructors := map[string]bool{}
	for _, f := range parsed(t) {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !fn.Name.IsExported() || fn.Type.Results == nil || len(fn.Type.Results.List) != 1 {
				continue
			}
			if result, ok := fn.Type.Results.List[0].Type.(*ast.Ident); ok && result.Name == "Entry" && fn.Name.Name != "Stamped" {
				constructors[fn.Name.Name] = true
			}
		}
	}
	made := samples(t)
	for name, e := range eventConstants(t) {
		if !constructors[name+"Entry"] {
			t.Errorf("%s has no constructor %sEntry", name, name)
		}
		delete(constructors, name+"Entry")
		if _, ok := made[e]; !ok {
			t.Errorf("no sample is made with %sEntry: add it to samples", name)
		}
	}
	for name := range constructors {
		t.Errorf("%s is named after no event", name)
	}
}

func TestEntriesSayWhatTheyMust(t *testing.T) {
	for event, e := range samples(t) {
		if e.Event != event {
			t.Errorf("the constructor of %s makes entries of %s", event, e.Event)
		}
		if err := e.Validate(); err != nil {
			t.Errorf("%s: %v", event, err)
			continue
		}
		for _, field := range append([]string{"event", "actor"}, event.Required()...) {
			err := without(t, e, field).Validate()
			if err == nil || !strings.Contains(err.Error(), field) || field != "event" && !strings.Contains(err.Error(), string(event)) {
				t.Errorf("%s without %s: error %v", event, field, err)
			}
		}
		for kind, object := range map[string]string{"": "", "unheard-of": "unheard-of:1", "clip": "clip:", "camera": "camera:k1", "backup": "backup:b1"} {
			e.Object = object
			fits := slices.Contains(event.Kinds(), policy.Kind(kind)) || object == "" && len(event.Kinds()) == 0
			err := e.Validate()
			if want := fits && object != "clip:"; want != (err == nil) {
				t.Errorf("%s about %q: error %v, want one: %v", event, object, err, !want)
			} else if err != nil && (!strings.Contains(err.Error(), "object") || !strings.Contains(err.Error(), string(event))) {
				t.Errorf("%s about %q: error %q names not both", event, object, err)
			}
		}
	}
}

// without takes a field out of an entry by its JSON name.
func without(t *testing.T, e policy.Entry, field string) policy.Entry {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(encoded(t, e), &all); err != nil {
		t.Fatal(err)
	}
	if name, isDetail := strings.CutPrefix(field, "details."); isDetail {
		delete(all["details"].(map[string]any), name)
	} else {
		delete(all, field)
	}
	var less policy.Entry
	if err := json.Unmarshal(encoded(t, all), &less); err != nil {
		t.Fatal(err)
	}
	return less
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The table may want any field that an entry has, and names it as the log does.
func TestRequiredFieldsExist(t *testing.T) {
	names := map[string]bool{}
	for i := range reflect.TypeFor[policy.Entry]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[policy.Entry]().Field(i).Tag.Get("json"), ",")
		names[name] = true
	}
	for _, e := range policy.Events() {
		for i, field := range e.Required() {
			if !names[field] && !strings.HasPrefix(field, "details.") || slices.Contains(e.Required()[:i], field) {
				t.Errorf("%s wants %s, which is no field or wanted twice", e, field)
			}
		}
	}
}

func TestFormOfFields(t *testing.T) {
	noon := at(t, "2026-11-20T12:00:00Z")
	for name, c := range map[string]struct {
		change func(*policy.Entry)
		field  string // that the error names; empty: none is wrong
	}{
		"as it is":       {func(*policy.Entry) {}, ""},
		"winter":         {func(e *policy.Entry) { *e = e.Stamped(noon) }, ""},
		"summer time":    {func(e *policy.Entry) { e.Time, e.Offset = noon, "+02:00" }, "offset"},
		"not an offset":  {func(e *policy.Entry) { e.Time, e.Offset = noon, "CET" }, "offset"},
		"not a hash":     {func(e *policy.Entry) { e.Hashes = []string{"abc"} }, "hashes"},
		"long client":    {func(e *policy.Entry) { e.Client = strings.Repeat("x", 201) }, "client"},
		"control letter": {func(e *policy.Entry) { e.Recipient = "a\nb" }, "recipient"},
		"long result":    {func(e *policy.Entry) { e.Result = strings.Repeat("å", 501) }, "result"},
		"long before":    {func(e *policy.Entry) { e.Before = strings.Repeat("å", 501) }, "before"},
		"long after":     {func(e *policy.Entry) { e.After = strings.Repeat("å", 501) }, "after"},
		"long approver":  {func(e *policy.Entry) { e.Approver = strings.Repeat("a", 65) }, "approver"},
		"long factor":    {func(e *policy.Entry) { e.MFA = strings.Repeat("a", 65) }, "mfa"},
		"long clock":     {func(e *policy.Entry) { e.Clock = policy.ClockState(strings.Repeat("a", 65)) }, "clock"},
		"long version":   {func(e *policy.Entry) { e.ObjectVersion = strings.Repeat("a", 201) }, "object_version"},
	} {
		e := policy.ServiceStartedEntry("service:test")
		c.change(&e)
		err := e.Validate()
		if (err == nil) != (c.field == "") || err != nil && !strings.Contains(err.Error(), "field "+c.field+" ") {
			t.Errorf("%s: error %v, want one of %q", name, err, c.field)
		}
	}
	summer := at(t, "2026-07-01T12:00:00Z")
	e := policy.Entry{Time: summer}.Stamped(noon)
	if e.Offset != "+02:00" || !e.Time.Equal(summer) {
		t.Errorf("stamped %s %s, want its own time and +02:00", e.Time, e.Offset)
	}
}

// Whatever is put into the free text of an entry, it fits the log: cut, and written with escapes.
func TestFreeTextIsBounded(t *testing.T) {
	for _, hostile := range []string{strings.Repeat("å", 100_000), "a\x00\n\xff", strings.Repeat("\n", 3000), strings.Repeat("\U0001F600\u202e", 4000)} {
		who := anna
		who.MFA, who.Client = hostile, hostile
		for _, e := range []policy.Entry{
			policy.ExportDeliveredEntry(who, policy.ExportRef{ID: "x1", Purpose: hostile, Case: hostile},
				policy.Recipient{Name: hostile, Country: hostile}, hostile, policy.Hash{}, policy.Approval{ID: "r1", By: hostile}),
			policy.BreakGlassReviewedEntry(who, "b1", hostile, hostile),
			policy.DeniedEntry(who, policy.Denial{Purpose: hostile, Case: hostile, Reason: hostile}),
			policy.LogReadEntry(who, policy.LogQuestion{Event: policy.Event(hostile), Actor: hostile, Case: hostile}),
			policy.ClockFaultEntry("service:test", policy.ClockBehind, hostile),
			policy.HoldRefusedEntry(who, policy.ClipRef{ID: "A", Permit: policy.PermitRef{ID: "p", Version: 1}}, hostile, hostile),
		} {
			b := encoded(t, e)
			if err := e.Validate(); err != nil || len(b) > 6000 {
				t.Errorf("%s of %d bytes: error %v", e.Event, len(b), err)
			}
		}
	}
}

// The README's table says of every event what the code's table does.
func TestReadmeTellsTheEvents(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, e := range policy.Events() {
		var kinds []string
		for _, k := range e.Kinds() {
			if k == policy.KindNone {
				k = "–"
			}
			kinds = append(kinds, string(k))
		}
		switch {
		case kinds == nil:
			kinds = []string{"–"}
		case len(kinds) > 5:
			kinds = []string{"any"}
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |", e, e.LegalAction(), strings.Join(kinds, ", ")))
	}
	got := regexp.MustCompile("(?m)^\\| `[a-z-]+` \\| [a-z]+ \\| .* \\|$").FindAllString(string(b), -1)
	if !slices.Equal(got, want) {
		t.Errorf("the README's table of events is not the code's, which is:\n%s", strings.Join(want, "\n"))
	}
}

// samples are one entry of each event.
func samples(t *testing.T) map[policy.Event]policy.Entry {
	t.Helper()
	noon := at(t, "2026-11-20T12:00:00Z")
	later := noon.Add(time.Hour)
	const s = "service:test"
	permit := policy.PermitRef{ID: "plattan", Version: 1}
	clip := policy.ClipRef{ID: "A", Camera: "k1", Permit: permit}
	stop := policy.Stop{Cause: "camera", Detail: "connection lost", From: noon}
	seal := policy.Seal{SHA256: policy.Hash{1}, Size: 5, To: later, Frames: 250}
	key := policy.DayKey{Permit: "plattan", Day: "2026-11-20"}
	why := policy.Why{Purpose: policy.CrimeInvestigation, Case: "K-1", Reason: "robbery at the stairs"}
	approval := policy.Approval{ID: "r1", By: "bo"}
	access := policy.Access{Why: why, Verdict: policy.Verdict{Allowed: true, Rule: "rule-1", Revision: "rev-1"}, Approval: approval}
	request := policy.RequestRef{ID: "r1", Requester: "anna", Purpose: policy.CrimeInvestigation, Case: "K-1"}
	export := policy.ExportRef{ID: "x1", Purpose: policy.CrimeInvestigation, Case: "K-1"}
	to := policy.Recipient{Name: "Åklagarmyndigheten"}
	hold := policy.Hold{ID: "h1", Case: "K-1", Clips: []string{"A", "B"}, Basis: "evidence", Review: later}
	viewing := policy.Viewing{
		ID: "V", Clip: "A", Camera: "k1", Permit: "plattan", PermitVersion: 1, Subject: anna,
		Purpose: policy.CrimeInvestigation, Case: "K-1", Opened: noon, Active: noon,
	}
	span := policy.Span{From: noon, To: later}
	made := map[policy.Event]policy.Entry{}
	for _, e := range []policy.Entry{
		policy.CameraStartedEntry(s, "k1", permit), policy.CameraStoppedEntry(s, "k1", stop), policy.CameraRefusedEntry(s, "k1", stop),
		policy.ScheduleStoppedEntry(s, "k1", permit, noon), policy.MaskCheckedEntry(s, "k1", permit, 2, "ok"),
		policy.AudioCheckedEntry(s, "k1", permit, 0, "ok"), policy.ClipReservedEntry(s, clip, noon, later),
		policy.ClipCommittedEntry(s, clip, seal), policy.ClipPartialEntry(s, clip, seal), policy.ClipLostEntry(s, clip, "nothing was written"),
		policy.DeletionPlannedEntry(s, clip, later, noon, "permit shortened"), policy.ClipShreddedEntry(s, clip, noon, "committed"),
		policy.ClipDeletedEntry(s, clip, policy.Deletion{Deadline: noon, Deleted: later, Removed: 1, Listed: 2}),
		policy.DeletionFailedEntry(s, policy.KindClip, "A", "store unreachable", "trying again"), policy.OrphanDeletedEntry(s, "k1/x", 0),
		policy.RedactionMadeEntry(anna, clip, why, policy.Redaction{ID: "d1", Method: "blur", Original: policy.Hash{1}, Redacted: policy.Hash{2}}),
		policy.RestrictionSetEntry(anna, clip, why, approval), policy.DayKeyMintedEntry(s, key), policy.DayKeyUsedEntry(s, key, "A"),
		policy.DayKeyDestroyedEntry(s, key), policy.MasterRotatedEntry(s, policy.Rotation{Master: "file:0123", Version: 1, Left: "file:4567", Days: 3, Cases: 1}), policy.BackupMadeEntry(s, "b1", policy.Hash{1}),
		policy.BackupRestoredEntry(s, "b1", policy.Hash{1}, noon), policy.DeletionsReplayedEntry(s, "b1", 0, "ok"),
		policy.SearchedEntry(anna, policy.Search{Camera: "k1", Span: span, Found: 3, Why: why}, access.Verdict),
		policy.ListedEntry(anna, "deletions", "", 3, access.Verdict), policy.ThumbnailViewedEntry(anna, clip, access),
		policy.StillViewedEntry(anna, clip, noon, access), policy.LiveStartedEntry(anna, "k1", permit, access),
		policy.LiveStoppedEntry(anna, "k1", permit, why, "closed", 12.5), policy.ViewingOpenedEntry(viewing, access),
		policy.ViewingClosedEntry(viewing, later, "idle", policy.Totals{Responses: 2, Bytes: 10, Seconds: 1.5}),
		policy.DeniedEntry(anna, policy.Denial{
			Object: policy.KindClip.Of("A"), Action: policy.ViewOriginal, Camera: "k1", Permit: permit,
			Purpose: policy.CrimeInvestigation, Case: "K-1", Verdict: policy.Verdict{Revision: "rev-1"}, Reason: policy.ReasonRole,
		}),
		policy.RequestMadeEntry(anna, request, policy.Wanted{Action: policy.ViewOriginal, Camera: "k1", Span: span}, "robbery"),
		policy.RequestApprovedEntry(anna, request, later), policy.RequestRejectedEntry(anna, request, "too wide"),
		policy.RequestExpiredEntry(s, request), policy.BreakGlassOpenedEntry(anna, policy.BreakGlass{ID: "g1", Until: later}, why),
		policy.BreakGlassReviewedEntry(anna, "g1", "justified", "a life was at stake"),
		policy.ExportBuiltEntry(anna, export, policy.Package{Clips: []string{"A"}, Manifest: policy.Hash{1}, Archive: policy.Hash{2}}, approval),
		policy.ExportDownloadedEntry(anna, export, 10), policy.ExportDeliveredEntry(anna, export, to, "BDL 2:1", policy.Hash{2}, approval),
		policy.ExportDestroyedEntry(anna, export, to, "receipt"), policy.ClipSharedEntry(anna, clip, to, access, later),
		policy.RecipientNotifiedEntry(anna, policy.KindExport, "x1", to, "unlawful"),
		policy.HoldPlacedEntry(anna, hold, approval), policy.HoldRefusedEntry(anna, clip, "K-1", "claimed"),
		policy.HoldExtendedEntry(anna, hold, noon, approval), policy.HoldLiftedEntry(anna, hold, "case closed", approval),
		policy.HoldLiftAskedEntry(anna, hold, "case closed"), policy.ClipHeldOverEntry(s, clip, noon),
		policy.ClipCutEntry(s, clip, policy.Cut{Parent: "B", Hold: "h1", Case: "K-1", From: noon, To: later, Size: 5, Frames: 25, SHA256: policy.Hash{3}}),
		policy.CaseKeyMintedEntry(s, "K-1"), policy.CaseKeyDestroyedEntry(s, "K-1"),
		policy.PermitDraftedEntry(anna, permit, policy.Hash{1}), policy.PermitActivatedEntry(s, permit, "{}"),
		policy.PermitSuspendedEntry(anna, permit, "sign missing"), policy.PermitExpiredEntry(s, permit),
		policy.PermitRevokedEntry(anna, permit, "unlawful", noon), policy.PermitEndedEntry(anna, permit, "no longer needed"),
		policy.SquareAppliedEntry(anna, 7, policy.Hash{2}),
		policy.RulesActivatedEntry(s, "rev-2", "rev-1"), policy.LoggedInEntry(anna),
		policy.LoginFailedEntry(policy.Subject{Name: "anna", Remote: "192.0.2.7"}, "wrong password"), policy.LoggedOutEntry(anna),
		policy.AccountCreatedEntry(s, "bo", policy.Auditor), policy.AccountChangedEntry(s, "bo", policy.AccountChange{What: "role", Role: policy.Operator}),
		policy.LogReadEntry(anna, policy.LogQuestion{Limit: 50}), policy.LogExportedEntry(anna, "klarsyn", 0, 10, to),
		policy.LogPrunedEntry(s, "klarsyn", policy.Pruning{FirstEntry: 512, FirstCheckpoint: 3, Keep: "P5Y"}),
		policy.LogKeyRotatedEntry(s, "klarsyn", "old", "new"), policy.LogGrowthEntry(s, "twice what was planned", policy.Growth{Entries: 2, Limit: 1}),
		policy.CheckpointCosignedEntry("w1", 4), policy.ReportGeneratedEntry(anna, "viewing", span, policy.Hash{1}),
		policy.ServiceStartedEntry(s), policy.ServiceStoppedEntry(s), policy.ClockFaultEntry(s, policy.ClockBehind, "set back"),
		policy.RepairedEntry(s, policy.KindClip, "A", "it counted 2 holds", "1 keeps it"),
	} {
		made[e.Event] = e
	}
	return made
}
