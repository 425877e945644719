package main

import (
	"bytes"
	"strings"
	"testing"

	"klarsyn/policy"
	"klarsyn/policy/identity"
)

// Each command does the one thing that it says and logs it; none changes an account by the way.
func TestAccountCommands(t *testing.T) {
	l := installed(t)
	account := func(what string, more ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"account", what, "--data", l.root, "--name", "anna"}, more...), stdio{&out, &errs})
		return code, strings.TrimSpace(out.String()), errs.String()
	}
	login := func(password string) (policy.Role, error) {
		s := opened(t, l, nil)
		defer s.close()
		accounts, err := s.accounts("test")
		if err != nil {
			t.Fatal(err)
		}
		who, err := accounts.Authenticate(t.Context(), "anna", password, "192.0.2.7")
		return who.Role, err
	}
	mustBe := func(step, password string, role policy.Role) {
		t.Helper()
		got, err := login(password)
		if got != role || (err == nil) != (role != "") {
			t.Errorf("%s: logged in as %q, error %v, want %q", step, got, err, role)
		}
	}
	for _, what := range []string{"password", "disable", "enable"} {
		if code, _, said := account(what); code != exitUsage || !strings.Contains(said, identity.ErrNoAccount.Error()) {
			t.Errorf("%s of nobody: exit %d, says %q", what, code, said)
		}
	}
	code, password, said := account("add", "--role", "investigator")
	if code != exitOK || password == "" {
		t.Fatalf("add: exit %d: %s", code, said)
	}
	mustBe("added", password, policy.Investigator)
	code, out, said := account("add", "--role", "auditor")
	if code != exitUsage || out != "" || !strings.Contains(said, "account password") || !strings.Contains(said, "account set-role") || !strings.Contains(said, "account enable") {
		t.Errorf("added again: exit %d, prints %q, says %q", code, out, said)
	}
	mustBe("added again", password, policy.Investigator)
	if code, _, said := account("set-role", "--role", "boss"); code != exitUsage || !strings.Contains(said, "dashboard-viewer") {
		t.Errorf("no role: exit %d, says %q", code, said)
	}
	if code, _, said := account("set-role", "--role", "auditor"); code != exitOK {
		t.Errorf("set-role: exit %d: %s", code, said)
	}
	mustBe("another role", password, policy.Auditor)
	if code, _, said := account("disable"); code != exitOK {
		t.Errorf("disable: exit %d: %s", code, said)
	}
	mustBe("disabled", password, "")
	if code, _, _ := account("add", "--role", "investigator"); code != exitUsage {
		t.Errorf("adding a disabled account: exit %d", code)
	}
	mustBe("disabled and added", password, "")
	if code, _, said := account("enable"); code != exitOK {
		t.Errorf("enable: exit %d: %s", code, said)
	}
	mustBe("enabled", password, policy.Auditor)
	code, fresh, said := account("password")
	if code != exitOK || fresh == password {
		t.Errorf("password: exit %d: %s", code, said)
	}
	mustBe("old password", password, "")
	mustBe("new password", fresh, policy.Auditor)

	var changes []string
	for _, e := range events(t, l, policy.AccountChanged) {
		changes = append(changes, e.Details["changed"])
		if e.Object != "account:anna" || e.Actor != "service:account" || strings.Contains(e.Details["changed"], password) {
			t.Errorf("logged %+v", e)
		}
	}
	if got := strings.Join(changes, " "); got != "role disabled enabled password" {
		t.Errorf("logged %s", got)
	}
}

// A demo over an old directory makes its accounts what it prints, whatever they had become.
func TestDemoAccountsAreWhatItPrints(t *testing.T) {
	l := installed(t)
	s := opened(t, l, nil)
	defer s.close()
	accounts, err := s.accounts("test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.addAccount(t.Context(), "service:demo", "tavla", policy.Auditor); err != nil {
		t.Fatal(err)
	}
	if err := accounts.Disable(t.Context(), "tavla"); err != nil {
		t.Fatal(err)
	}
	password, err := s.addAccount(t.Context(), "service:demo", "tavla", policy.DashboardViewer)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := accounts.Authenticate(t.Context(), "tavla", password, "192.0.2.7"); err != nil || who.Role != policy.DashboardViewer {
		t.Errorf("%+v, error %v", who, err)
	}
}
