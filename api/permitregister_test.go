package api

import (
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"klarsyn/policy"
)

// withOddTexts gives the square what somebody may have written to harm who reads the register.
func (w *world) withOddTexts() {
	odd := w.square.versions[1]
	odd.Permit.ID, odd.Permit.Version = "entren", 1
	odd.Permit.Controller = "=1+1"
	odd.Permit.Place = &policy.Place{Address: `<script>alert(1)</script>`, Type: "@SUM(A1)"}
	odd.Permit.Assessment = &policy.Document{Date: "2026-01-01", Diary: `KS;"=cmd|' /C calc'!A0`}
	odd.Steps = []policy.Step{
		{State: policy.Active, At: odd.Permit.ValidFrom, Actor: "vera"},
		{State: policy.Revoked, At: testNow.AddDate(0, -1, 0), Actor: "<img src=x>", Reason: "överklagat; +49 <i>säger</i> \"nej\""},
	}
	w.square.versions = append(w.square.versions, odd)
}

func (w *world) reports() []policy.Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []policy.Entry
	for _, e := range w.entries {
		if e.Event == policy.ReportGenerated {
			found = append(found, e)
		}
	}
	return found
}

func TestRegister(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withOddTexts()
	res := w.as(policy.Auditor).get("/api/v1/register")
	var told struct {
		At       string
		Register json.RawMessage
	}
	var rows []policy.RegisterRow
	if err := json.Unmarshal(res.body, &told); err != nil || res.status != 200 || told.At != "2026-11-23T13:03:20Z" {
		t.Fatalf("%d %s %v", res.status, res.body, err)
	}
	if err := json.Unmarshal(told.Register, &rows); err != nil || len(rows) != 2 {
		t.Fatalf("%s %v", told.Register, err)
	}
	row := rows[slices.IndexFunc(rows, func(r policy.RegisterRow) bool { return r.Permit == "plattan" })]
	if row.Address != "Sergels torg 1" || row.PlaceType != "torg" || row.Purposes != "crime-investigation, accident-inquiry" || row.Technology != "none" ||
		row.Assessed != "2025-12-01, KS 2025/17" {
		t.Errorf("the five items: %+v", row)
	}
	if len(row.History) != 3 || row.History[0].Version != 1 || row.History[0].By != "vera" || row.State != policy.Active {
		t.Errorf("the history: %+v", row)
	}
	// The entry names who had it made and what it said: whoever has the rows can prove that they are those.
	written, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	want := policy.ReportGeneratedEntry(policy.Subject{Name: "auditor", Role: policy.Auditor}, "register", policy.Span{From: testNow, To: testNow}, sha256.Sum256(written))
	logged := w.reports()
	if len(logged) != 1 || logged[0].Actor != "auditor" || logged[0].Object != want.Object || !slices.Equal(logged[0].Hashes, want.Hashes) {
		t.Errorf("logged %+v, want %+v", logged, want)
	}
	w.square.versions = nil
	if res := w.as(policy.Auditor).get("/api/v1/register"); !strings.Contains(string(res.body), `"register":[]`) {
		t.Errorf("an empty register: %s", res.body)
	}
}

// Making the register is logged before anybody sees it, in each form; without a log nobody does.
func TestRegisterIsLoggedFirst(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/api/v1/register", "/register.csv", "/register"} {
		for _, accept := range []string{"text/html", "*/*"} {
			w := newWorld(t)
			b := w.as(policy.ComplianceOfficer)
			if res := b.get(path, "Accept", accept); res.status != 200 || !strings.Contains(string(res.body), "Sergels torg 1") || len(w.reports()) != 1 {
				t.Errorf("%s: %d %s, %d reports in the log", path, res.status, res.body, len(w.reports()))
			}
			w.logDown = true
			res := b.get(path, "Accept", accept)
			if res.status != 503 || strings.Contains(string(res.body), "Sergels") || res.header.Get("Content-Disposition") != "" || res.header.Get("Retry-After") == "" {
				t.Errorf("%s without a log: %d %v %s", path, res.status, res.header, res.body)
			}
			words := accept == "text/html" && !strings.HasPrefix(path, "/api/")
			if page := strings.Contains(string(res.body), english().TryLater); page != words {
				t.Errorf("%s, %s without a log: %s", path, accept, res.body)
			}
			w.logDown = false
			w.square.failure = errDown
			if res := b.get(path, "Accept", accept); res.status != 503 || len(w.reports()) != 1 {
				t.Errorf("%s without a catalogue: %d, %d reports in the log", path, res.status, len(w.reports()))
			}
			if res := w.as(policy.Investigator).get(path, "Accept", accept); res.status != 403 || len(w.reports()) != 1 {
				t.Errorf("%s, investigator: %d, %d reports in the log", path, res.status, len(w.reports()))
			}
		}
	}
}

func TestRegisterAsSpreadsheet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withOddTexts()
	res := w.as(policy.Auditor).get("/register.csv")
	if res.header.Get("Content-Type") != "text/csv; charset=utf-8" || !strings.HasPrefix(res.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%v", res.header)
	}
	lines, err := csv.NewReader(strings.NewReader(string(res.body))).ReadAll()
	if err != nil || len(lines) != 3 {
		t.Fatalf("%v %s", err, res.body)
	}
	cell := func(permit, column string) string {
		for _, line := range lines[1:] {
			if line[0] == permit {
				return line[slices.Index(lines[0], column)]
			}
		}
		return ""
	}
	for column, want := range map[string]string{
		"address": "Sergels torg 1", "place_type": "torg", "purposes": "crime-investigation, accident-inquiry", "audio_or_special_technology": "none",
		"assessment": "2025-12-01, KS 2025/17", "version": "2", "state": "active", "controller": "Exempelstads kommun", "regime": "municipal", "start": "2026-01-01T00:00:00Z",
		"end": "",
	} {
		if got := cell("plattan", column); got != want {
			t.Errorf("%s: %q, want %q", column, got, want)
		}
	}
	history := strings.Split(cell("plattan", "history"), "; ")
	for _, step := range []string{"1 active 2026-01-01T00:00:00Z vera", "1 superseded 2026-07-01T00:00:00Z vera", "2 active 2026-07-01T00:00:00Z vera"} {
		if !slices.Contains(history, step) || len(history) != 3 {
			t.Errorf("history %q lacks %q", history, step)
		}
	}
	for column, want := range map[string]string{
		"controller": "'=1+1", "place_type": "'@SUM(A1)", "assessment": `2026-01-01, KS;"'=cmd|' /C calc'!A0`, "state": "revoked", "end": "2026-10-23T13:03:20Z",
		"history": `1 active 2026-01-01T00:00:00Z vera; 1 revoked 2026-10-23T13:03:20Z <img src=x> överklagat; '+49 <i>säger</i> "nej"`,
	} {
		if got := cell("entren", column); got != want {
			t.Errorf("%s: %q, want %q", column, got, want)
		}
	}
}

// However a spreadsheet cuts a text into cells, none of them begins as a formula does.
func FuzzInert(f *testing.F) {
	cells := regexp.MustCompile(`[;,\t\r\n]`)
	for _, s := range []string{"", "=1", "-1", "a;=1", `a;""=1`, "a\n +1", "＝1", "a; \t=1", "Sergels torg, -1 tr", "'=1", "\xff=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := inert(s)
		for _, cell := range cells.Split(got, -1) {
			if cell = strings.TrimLeft(cell, " \"\u00a0\v\f\x00"); cell != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(cell)[0]) {
				t.Errorf("inert(%q) = %q: %q is a formula", s, got, cell)
			}
		}
		if strings.ToValidUTF8(strings.ReplaceAll(got, "'", ""), "\ufffd") != strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "'", "") && !strings.Contains(got, "\ufffd") {
			t.Errorf("inert(%q) = %q: it says something else", s, got)
		}
	})
}

func TestRegisterPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.withOddTexts()
	ids := regexp.MustCompile(` id="([^"]*)"`)
	for lang, has := range map[string][]string{
		"sv": {`<html lang="sv">`, "Förteckning över kamerabevakning", swedish().Address, "Slag av plats", "Ändamål", "Ljud eller annan särskild teknik", "ingen", "Bedömning, senast",
			"version 2, gäller", "återkallat", "2026-01-01 01:00:00 &#43;01:00", "Att förteckningen tas fram loggas", swedish().CrimeInvestigation},
		"en": {`<html lang="en">`, "Register of camera surveillance", english().Address, "Type of place", "Sound or other special technology", "none", "Assessed, latest",
			"version 2, in force", "revoked", "2026-01-01 01:00:00 &#43;01:00", "That the register is made is logged", english().CrimeInvestigation},
	} {
		for _, role := range []policy.Role{policy.Auditor, policy.Operator, policy.ComplianceOfficer} {
			res := w.as(role).get("/register?lang="+lang, "Accept", "text/html")
			body := string(res.body)
			if res.status != 200 || strings.Contains(body, "{{") || strings.Contains(body, "ZgotmplZ") {
				t.Fatalf("%s, %s: %d %s", lang, role, res.status, body)
			}
			for _, want := range append(has, "Sergels torg 1", "torg", "2025-12-01, KS 2025/17", "Exempelstads kommun", "vera", `href="/register.csv"`,
				"&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;img src=x&gt;", "&lt;i&gt;säger&lt;/i&gt;") {
				if !strings.Contains(body, want) {
					t.Errorf("%s, %s: the page lacks %q", lang, role, want)
				}
			}
			for _, never := range []string{"<script>alert", "<img src=x", "<i>", "style=", "onclick", cameraAddress} {
				if strings.Contains(body, never) {
					t.Errorf("%s, %s: the page has %q", lang, role, never)
				}
			}
			seen := map[string]bool{}
			for _, m := range ids.FindAllStringSubmatch(body, -1) {
				if seen[m[1]] {
					t.Errorf("%s: the id %q is there twice", lang, m[1])
				}
				seen[m[1]] = true
			}
			if !seen["permit-plattan"] || !seen["permit-entren"] {
				t.Errorf("%s: ids %v", lang, seen)
			}
		}
	}
	w.square.versions = nil
	if body := string(w.as(policy.Auditor).get("/register?lang=sv", "Accept", "text/html").body); !strings.Contains(body, swedish().NoRegister) {
		t.Error("an empty register does not say so")
	}
	if res := w.as("").get("/register", "Accept", "text/html"); res.status != 303 || res.header.Get("Location") != "/" {
		t.Errorf("a stranger's browser: %d; want the login form", res.status)
	}
	if res := w.as(policy.Investigator).get("/register", "Accept", "text/html", "Accept-Language", "sv"); res.status != 403 || !strings.Contains(string(res.body), swedish().Denied) {
		t.Errorf("an investigator's browser: %d", res.status)
	}
}

// The start page leads to the register whom it is open to, in both languages, and makes none.
func TestStartPageLeadsToTheRegister(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for role, leads := range map[policy.Role]bool{
		policy.Investigator: false, policy.DashboardViewer: false, policy.Auditor: true, policy.Operator: true, policy.ComplianceOfficer: true,
	} {
		for lang, words := range map[string]words{"sv": swedish(), "en": english()} {
			body := string(w.as(role).get("/?lang="+lang, "Accept", "text/html").body)
			if strings.Contains(body, `<a href="/register">`+words.ShowRegister+`</a>`) != leads || strings.Contains(body, words.Register) != leads {
				t.Errorf("%s, %s: a link to the register: %v, want %v", role, lang, !leads, leads)
			}
		}
	}
	if n := len(w.reports()) + len(w.denied()); n != 0 {
		t.Errorf("%d entries in the log for looking at the start page", n)
	}
}
