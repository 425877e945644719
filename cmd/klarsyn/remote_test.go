package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"klarsyn/api"
	"klarsyn/policy"
)

// loggedIn makes an account of a role, logs in with it by the command, and returns the file with its token.
func loggedIn(t *testing.T, l layout, base string, name string, role policy.Role) (tokenFile string) {
	t.Helper()
	s := opened(t, l, nil)
	password, err := s.addAccount(t.Context(), "service:test", name, role)
	if err := errors.Join(err, s.close()); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	passwordFile := filepath.Join(folder, "password")
	tokenFile = filepath.Join(folder, "token")
	// A token that everybody may read lies there already.
	err = errors.Join(os.WriteFile(passwordFile, []byte(password+"\r\nremark\n"), 0o600), os.WriteFile(tokenFile, []byte("old\n"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	got := command(t, "login", "--server", base, "--name", name, "--password-file", passwordFile, "--token-file", tokenFile)
	token, err := os.ReadFile(tokenFile)
	if err != nil || got.code != exitOK || len(token) < 32 || strings.Contains(got.String(), strings.TrimSpace(string(token))) || strings.Contains(got.String(), password) {
		t.Fatalf("login of %s: %s, %v", name, got, err)
	}
	if info, err := os.Stat(tokenFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token lies in a file of mode %v, %v", info.Mode(), err)
	}
	return tokenFile
}

// Each role changes by a server what it may, and sees what it may; who changed what stands in the log.
func TestRemote(t *testing.T) {
	t.Parallel()
	l := installed(t)
	base, errs, stop := serving(t, "--data", l.root)
	at := func(token string, args ...string) said {
		t.Helper()
		return command(t, append(args, "--server", base, "--token-file", token)...)
	}
	officer, operator := loggedIn(t, l, base, "eva", policy.ComplianceOfficer), loggedIn(t, l, base, "olle", policy.Operator)
	investigator := loggedIn(t, l, base, "anna", policy.Investigator)

	all := at(officer, "get", "all", "-o", "yaml")
	if local := command(t, "get", "all", "--data", l.root, "-o", "yaml"); all.code != exitOK || all.out != local.out || !strings.Contains(all.out, "id: plattan") {
		t.Fatalf("get: %s", all)
	}
	before := held(t, l)
	if got := at(officer, "apply", "-f", description(t, all.out)); got.code != exitOK || !strings.Contains(got.out, "Nothing to change") {
		t.Errorf("the same, applied again: %s", got)
	}
	shorter := strings.NewReplacer("version: 2", "version: 3", "retention: PT72H", "retention: PT71H").Replace(all.out)
	grouped := strings.Replace(all.out, "users:", "groups:\n- {id: north, cameras: [k1], roles: [investigator]}\nusers:", 1)
	moved := strings.Replace(all.out, "url: rtsp://192.0.2.1/stream", "url: rtsp://192.0.2.7/stream", 1)
	both := strings.Replace(shorter, "url: rtsp://192.0.2.1/stream", "url: rtsp://192.0.2.7/stream", 1)
	promoted := strings.Replace(all.out, "- name: olle\n  role: operator", "- name: olle\n  role: investigator", 1)
	for _, text := range []string{shorter, grouped, moved, both, promoted} {
		if text == all.out {
			t.Fatalf("the description is another than this test knows:\n%s", all.out)
		}
	}
	const no, local = "Not allowed", "Accounts are not changed from here"
	for name, c := range map[string]struct {
		token, text, want string
	}{
		"officer and cameras": {officer, moved, no}, "officer and both": {officer, both, no}, "officer and accounts": {officer, promoted, local},
		"operator and permits": {operator, shorter, no}, "operator and groups": {operator, grouped, no}, "operator and accounts": {operator, promoted, local},
		"investigator and permits": {investigator, shorter, no}, "investigator and nothing": {investigator, all.out, no}, "investigator and cameras": {investigator, moved, no},
	} {
		for _, args := range [][]string{{"apply"}, {"apply", "--dry-run"}, {"diff"}} {
			if got := at(c.token, append(args, "-f", description(t, c.text))...); got.code != exitUsage || got.out != "" || !strings.Contains(got.errs, c.want) {
				t.Errorf("%s: %v: %s", name, args, got)
			}
		}
	}
	for _, args := range [][]string{{"get", "all"}, {"permit", "explain", "--camera", "k1", "--at", time.Now().Format(time.RFC3339)}, {"permit", "simulate", "-f", description(t, all.out)}} {
		if got := at(investigator, args...); got.code != exitUsage || got.out != "" || !strings.Contains(got.errs, no) {
			t.Errorf("an investigator: %v: %s", args, got)
		}
	}
	// What is wrong is said as here: with the file's name.
	file := description(t, strings.Replace(shorter, "PT71H", "71 hours", 1))
	for _, args := range [][]string{{"apply"}, {"diff"}, {"permit", "simulate"}} {
		if got := at(officer, append(args, "-f", file)...); got.code != exitUsage || !strings.Contains(got.errs, "\n"+file+":") || !strings.Contains(got.errs, `period "71 hours": not an ISO 8601 duration`) {
			t.Errorf("%v of a period in words: %s", args, got)
		}
	}
	if after := withoutDenials(t, l); after != withoutLog(before) {
		t.Errorf("what was refused changed what holds, from\n%s\nto\n%s", before, after)
	}

	// What is allowed.
	for _, args := range [][]string{{"apply", "--dry-run"}, {"permit", "simulate"}} {
		p := remotePlan(t, at(officer, append(args, "-f", description(t, shorter), "--json")...))
		if p.Applied || words(&planned{Plan: p}) != "permit plattan@3: activated" {
			t.Errorf("%v: %+v", args, p)
		}
	}
	if got := at(officer, "diff", "-f", description(t, shorter)); got.code != exitFailed || !strings.Contains(got.out, "permit   plattan@3: activated") {
		t.Errorf("diff: %s", got)
	}
	if p := remotePlan(t, at(officer, "permit", "simulate", "-f", description(t, both), "--json")); len(p.Changes) != 2 || p.Applied {
		t.Errorf("an officer simulates all: %+v", p)
	}
	if p := remotePlan(t, at(officer, "apply", "-f", description(t, shorter), "--json")); !p.Applied || p.Revision != 2 {
		t.Errorf("an officer applies a permit: %+v", p)
	}
	if p := remotePlan(t, at(operator, "apply", "-f", description(t, both), "--json")); !p.Applied || p.Revision != 3 || words(&planned{Plan: p}) != "camera k1: changed" {
		t.Errorf("an operator applies a camera: %+v", p)
	}
	when := time.Now().Add(time.Minute).Format(time.RFC3339)
	explained, here := at(officer, "permit", "explain", "--camera", "k1", "--at", when, "--json"), command(t, "permit", "explain", "--camera", "k1", "--at", when, "--json", "--data", l.root)
	var there, local2 map[string]any
	if err := errors.Join(json.Unmarshal([]byte(explained.out), &there), json.Unmarshal([]byte(here.out), &local2)); err != nil || there["permit"] != "plattan" || fmt.Sprint(there) != fmt.Sprint(local2) {
		t.Errorf("explained as %s, here as %s", explained, here)
	}
	if names := slices.Sorted(maps.Keys(there)); !slices.Equal(names, []string{"cause", "clause", "counting", "deadline", "detail", "permit", "recording", "since", "until", "version"}) {
		t.Errorf("explained with the fields %v", names)
	}
	var who []string
	for _, e := range events(t, l, policy.SquareApplied) {
		who = append(who, e.Actor+" "+string(e.Role))
	}
	if want := []string{commandActor() + " local", "eva compliance-officer", "olle operator"}; !slices.Equal(who, want) {
		t.Errorf("the log says that it was applied by %q, want %q", who, want)
	}

	// A token that is none, that of a session that was ended, of an account that was disabled.
	wrong := description(t, "0123456789abcdef0123456789abcdef\n")
	token, err := os.ReadFile(operator)
	if err != nil {
		t.Fatal(err)
	}
	if res, _ := ask(t, http.DefaultClient, "POST", base+"/api/v1/logout", "", "Authorization", "Bearer "+strings.TrimSpace(string(token))); res.StatusCode >= 300 {
		t.Errorf("logout: %d", res.StatusCode)
	}
	if got := command(t, "account", "disable", "--data", l.root, "--name", "eva"); got.code != exitOK {
		t.Fatalf("disable: %s", got)
	}
	for name, token := range map[string]string{"wrong": wrong, "ended": operator, "disabled": officer, "empty": description(t, "")} {
		if got := at(token, "get", "all"); got.code != exitUsage || got.out != "" || !strings.Contains(got.errs, "the server does not know the token (any more): get a new one with klarsyn login") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if code := stop(); code != exitOK {
		t.Errorf("exit %d: %s", code, errs)
	}
	if got := at(investigator, "get", "all"); got.code != exitFailed || !strings.Contains(got.errs, "asking the server") {
		t.Errorf("a server that is down: %s", got)
	}
	if got := at(investigator, "diff", "-f", file); got.code != exitUsage || !strings.Contains(got.errs, "asking the server") {
		t.Errorf("diff with a server that is down must not say that there is a difference: %s", got)
	}
}

func remotePlan(t *testing.T, got said) (p api.Plan) {
	t.Helper()
	if err := json.Unmarshal([]byte(got.out), &p); err != nil || got.code != exitOK {
		t.Errorf("%v: %s", err, got)
	}
	return p
}

// withoutDenials is what holds, without the log: it grows by what is refused.
func withoutDenials(t *testing.T, l layout) string { return withoutLog(held(t, l)) }

func withoutLog(held string) string {
	lines := strings.Split(strings.TrimSpace(held), "\n")
	return strings.Join(lines[:len(lines)-1], "\n")
}

// A login that fails says why and leaves the token that was there; no password goes where it could be read.
func TestLoginIsRefused(t *testing.T) {
	t.Parallel()
	l := installed(t)
	base, _, _ := serving(t, "--data", l.root)
	token := loggedIn(t, l, base, "eva", policy.ComplianceOfficer)
	old, err := os.ReadFile(token)
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = append(asked, r.URL.Path) }))
	defer elsewhere.Close()
	redirecting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer redirecting.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }))
	defer page.Close()
	stale := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		fmt.Fprint(w, `{"title": "Somebody else applied a change", "detail": "Look.", "status": 409}`)
	}))
	defer stale.Close()
	const secret = "s3cret-s3cret-s3cret"
	password := description(t, secret+"\n")
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"a wrong password":                 {[]string{"--server", base, "--name", "eva", "--password-file", password}, exitUsage, "Wrong name or password"},
		"nobody":                           {[]string{"--server", base, "--name", "nobody", "--password-file", password}, exitUsage, "Wrong name or password"},
		"in the clear":                     {[]string{"--server", "http://square.example", "--name", "eva", "--password-file", password}, exitUsage, "want https://"},
		"in the clear, by IP":              {[]string{"--server", "http://192.0.2.1:8080", "--name", "eva", "--password-file", password}, exitUsage, "want https://"},
		"a name of this machine elsewhere": {[]string{"--server", "http://localhost.square.example", "--name", "eva", "--password-file", password}, exitUsage, "want https://"},
		"a login in it":                    {[]string{"--server", "https://eva:" + secret + "@square.example", "--name", "eva", "--password-file", password}, exitUsage, "without a login in it"},
		"another scheme":                   {[]string{"--server", "ftp://square.example", "--name", "eva", "--password-file", password}, exitUsage, "want https://HOST"},
		"no scheme":                        {[]string{"--server", "square.example", "--name", "eva", "--password-file", password}, exitUsage, "want https://HOST"},
		"no password file":                 {[]string{"--server", base, "--name", "eva", "--password-file", "/nowhere"}, exitUsage, "--password-file"},
		"no name":                          {[]string{"--server", base, "--password-file", password}, exitUsage, "--name is missing"},
		"a redirect":                       {[]string{"--server", redirecting.URL, "--name", "eva", "--password-file", password}, exitFailed, "the server answers 307"},
		"another server":                   {[]string{"--server", page.URL, "--name", "eva", "--password-file", password}, exitFailed, "is it klarsyn serve?"},
		"nothing there":                    {[]string{"--server", "http://" + freeAddress(t), "--name", "eva", "--password-file", password}, exitFailed, "logging in"},
	} {
		got := command(t, append([]string{"login", "--token-file", token}, c.args...)...)
		if got.code != c.code || got.out != "" || !strings.Contains(got.errs, c.want) || strings.Contains(got.errs, secret) {
			t.Errorf("%s: %s, want exit %d and %q", name, got, c.code, c.want)
		}
		if now, err := os.ReadFile(token); err != nil || string(now) != string(old) {
			t.Errorf("%s: the token that was there is another: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"in the clear":    {[]string{"--server", "http://square.example", "--token-file", token}, exitUsage, "want https://"},
		"no token":        {[]string{"--server", base}, exitUsage, "--token-file is missing: klarsyn login writes one"},
		"no token there":  {[]string{"--server", base, "--token-file", "/nowhere"}, exitUsage, "klarsyn login writes one"},
		"a redirect":      {[]string{"--server", redirecting.URL, "--token-file", token}, exitFailed, "the server answers 307"},
		"changed since":   {[]string{"--server", stale.URL, "--token-file", token}, exitFailed, "Somebody else applied a change: Look."},
		"two squares":     {[]string{"--server", base, "--token-file", token, "--data", l.root}, exitUsage, "want one of --data DIR"},
		"no square":       {nil, exitUsage, "want one of --data DIR"},
		"one that speaks": {[]string{"--server", base, "--token-file", token}, exitOK, ""},
	} {
		got := command(t, append([]string{"get", "permits"}, c.args...)...)
		if got.code != c.code || !strings.Contains(got.errs, c.want) || strings.Contains(got.String(), strings.TrimSpace(string(old))) {
			t.Errorf("get, %s: %s", name, got)
		}
	}
	if len(asked) != 0 {
		t.Errorf("a redirect was followed to %v", asked)
	}
}
