package identity_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/identity"
)

// declare makes an account what is said, in a transaction of its own.
func (b *bench) declare(t *testing.T, d identity.Declared) error {
	t.Helper()
	all, err := b.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var before *identity.Declared
	for _, a := range all {
		if a.Name == d.Name {
			before = &a
		}
	}
	return b.within(t, func(tx *sql.Tx) error { return b.Declare(t.Context(), tx, d, before) })
}

func (b *bench) within(t *testing.T, f func(tx *sql.Tx) error) error {
	t.Helper()
	tx, err := b.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func (b *bench) list(t *testing.T) string {
	t.Helper()
	all, err := b.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(all)
}

// An account that is declared lets nobody in before it has a password; then it does.
func TestDeclaredAccountsHaveNoPassword(t *testing.T) {
	b := setUp(t)
	for _, d := range []identity.Declared{{Name: "anna", Role: policy.Investigator}, {Name: "bo", Role: policy.Operator}} {
		if err := b.declare(t, d); err != nil {
			t.Fatal(err)
		}
	}
	made := b.log.take()
	if len(made) != 2 || made[0].Event != policy.AccountCreated || made[0].Object != "account:anna" || made[1].Object != "account:bo" {
		t.Errorf("logged %+v", made)
	}
	for _, guess := range []string{"", "anna", password, "$argon2id$", "\x00"} {
		b.now = b.now.Add(time.Hour)
		if who, err := b.Authenticate(t.Context(), "anna", guess, "192.0.2.7"); !errors.Is(err, identity.ErrBadLogin) || who.Name != "" {
			t.Errorf("%q lets in %+v, %v", guess, who, err)
		}
	}
	var stored string
	if err := b.db.QueryRowContext(t.Context(), `SELECT hash FROM identity_account WHERE name = 'anna'`).Scan(&stored); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(time.Hour)
	if who, err := b.Authenticate(t.Context(), "anna", stored, "192.0.2.7"); !errors.Is(err, identity.ErrBadLogin) {
		t.Errorf("what is stored lets in %+v, %v", who, err)
	}
	if err := b.SetPassword(t.Context(), "anna", password); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(time.Hour)
	if who, err := b.Authenticate(t.Context(), "anna", password, "192.0.2.7"); err != nil || who.Role != policy.Investigator {
		t.Errorf("with a password: %+v, %v", who, err)
	}
	// A declaration of the same leaves the password alone, and says nothing.
	b.log.take()
	if err := b.declare(t, identity.Declared{Name: "anna", Role: policy.Investigator}); err != nil {
		t.Fatal(err)
	}
	if logged := b.log.take(); len(logged) != 0 {
		t.Errorf("the same, declared again, is logged: %+v", logged)
	}
	b.now = b.now.Add(time.Hour)
	if _, err := b.Authenticate(t.Context(), "anna", password, "192.0.2.7"); err != nil {
		t.Errorf("after the same was declared again: %v", err)
	}
}

// What is declared otherwise is changed and logged, each thing once, and ends the sessions from before.
func TestDeclaredAccountsChange(t *testing.T) {
	b := setUp(t)
	b.with(t, "anna", policy.Investigator)
	session := policy.Subject{Name: "anna", Role: policy.Investigator}
	for _, c := range []struct {
		d    identity.Declared
		want []string // what is logged
		in   bool     // she may log in
	}{
		{identity.Declared{Name: "anna", Role: policy.Investigator}, nil, true},
		{identity.Declared{Name: "anna", Role: policy.Auditor}, []string{"role auditor"}, true},
		{identity.Declared{Name: "anna", Role: policy.Auditor, Disabled: true}, []string{"disabled "}, false},
		{identity.Declared{Name: "anna", Role: policy.Auditor, Disabled: true}, nil, false},
		{identity.Declared{Name: "anna", Role: policy.Operator, Disabled: true}, []string{"role operator"}, false},
		{identity.Declared{Name: "anna", Role: policy.Operator}, []string{"enabled "}, true},
		{identity.Declared{Name: "anna", Role: policy.DashboardViewer, Disabled: true}, []string{"role dashboard-viewer", "disabled "}, false},
		{identity.Declared{Name: "anna", Role: policy.Investigator}, []string{"role investigator", "enabled "}, true},
	} {
		session.Role = roleOf(t, b)
		since := b.now
		b.now = b.now.Add(time.Hour)
		if err := b.declare(t, c.d); err != nil {
			t.Fatalf("%+v: %v", c.d, err)
		}
		var got []string
		for _, e := range b.log.take() {
			got = append(got, e.Details["changed"]+" "+e.Details["role"])
			if e.Event != policy.AccountChanged || e.Object != "account:anna" || e.Actor != "service:identity" {
				t.Errorf("%+v: logged %+v", c.d, e)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%+v: logged %q, want %q", c.d, got, c.want)
		}
		if list := b.list(t); list != fmt.Sprint([]identity.Declared{c.d}) {
			t.Errorf("%+v: it is %s", c.d, list)
		}
		if err := b.Current(t.Context(), session, since); errors.Is(err, identity.ErrRevoked) != (len(c.want) > 0 || c.d.Disabled) {
			t.Errorf("%+v: a session from before: %v", c.d, err)
		}
		b.now = b.now.Add(time.Hour)
		who, err := b.Authenticate(t.Context(), "anna", password, "192.0.2.7")
		if (err == nil) != c.in || c.in && who.Role != c.d.Role {
			t.Errorf("%+v: logs in as %+v, %v", c.d, who, err)
		}
		b.log.take()
	}
}

func roleOf(t *testing.T, b *bench) policy.Role {
	t.Helper()
	all, err := b.List(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	return all[0].Role
}

// An account that is declared disabled is made so, and lets nobody in with a password either.
func TestDeclaredDisabled(t *testing.T) {
	b := setUp(t)
	d := identity.Declared{Name: "bo", Role: policy.Operator, Disabled: true}
	if err := b.declare(t, d); err != nil {
		t.Fatal(err)
	}
	if logged := b.log.take(); len(logged) != 2 || logged[0].Event != policy.AccountCreated || logged[1].Details["changed"] != "disabled" {
		t.Errorf("logged %+v", logged)
	}
	if err := b.SetPassword(t.Context(), "bo", password); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Authenticate(t.Context(), "bo", password, "192.0.2.7"); !errors.Is(err, identity.ErrBadLogin) {
		t.Errorf("a disabled account lets in: %v", err)
	}
	if list := b.list(t); list != fmt.Sprint([]identity.Declared{d}) {
		t.Errorf("it is %s", list)
	}
}

// Nothing is changed without the log, nor where what it belongs to fails, nor by a declaration that is none.
func TestDeclareAllOrNothing(t *testing.T) {
	b := setUp(t)
	b.with(t, "anna", policy.Investigator)
	before := b.list(t)
	broken := errors.New("broken")
	b.log.fail = broken
	for _, d := range []identity.Declared{{Name: "bo", Role: policy.Operator}, {Name: "anna", Role: policy.Auditor}, {Name: "anna", Role: policy.Investigator, Disabled: true}} {
		if err := b.declare(t, d); !errors.Is(err, broken) || b.list(t) != before {
			t.Errorf("%+v without a log: %v, and there are %s", d, err, b.list(t))
		}
	}
	b.log.fail = nil
	err := b.within(t, func(tx *sql.Tx) error {
		return errors.Join(b.Declare(t.Context(), tx, identity.Declared{Name: "bo", Role: policy.Operator}, nil), broken)
	})
	if !errors.Is(err, broken) || b.list(t) != before {
		t.Errorf("with something that fails: %v, and there are %s", err, b.list(t))
	}
	b.log.take()
	for _, d := range []struct {
		identity.Declared
		want error
	}{
		{identity.Declared{Name: "Anna", Role: policy.Auditor}, identity.ErrBadName}, {identity.Declared{Role: policy.Auditor}, identity.ErrBadName},
		{identity.Declared{Name: "anna"}, identity.ErrBadRole}, {identity.Declared{Name: "anna", Role: "chief"}, identity.ErrBadRole},
		{identity.Declared{Name: "anna", Role: policy.LocalRole}, identity.ErrBadRole}, // nobody logs in as the machine itself
	} {
		if err := d.Check(); !errors.Is(err, d.want) {
			t.Errorf("%+v: %v, want %v", d.Declared, err, d.want)
		}
		if err := b.declare(t, d.Declared); !errors.Is(err, d.want) || b.list(t) != before {
			t.Errorf("%+v is declared: %v", d.Declared, err)
		}
	}
	if logged := b.log.take(); len(logged) != 0 {
		t.Errorf("logged %+v", logged)
	}
}

// Who planned before somebody else made the account is told to apply again, in words; nothing is logged of it.
func TestDeclaredMeanwhile(t *testing.T) {
	b := setUp(t)
	anna := identity.Declared{Name: "anna", Role: policy.Investigator}
	if err := b.declare(t, anna); err != nil {
		t.Fatal(err)
	}
	b.log.take()
	err := b.within(t, func(tx *sql.Tx) error { return b.Declare(t.Context(), tx, anna, nil) })
	if !errors.Is(err, identity.ErrExists) || !strings.Contains(err.Error(), "apply again") {
		t.Errorf("made twice: %v", err)
	}
	if said := b.log.take(); len(said) != 0 {
		t.Errorf("the log says %v", said)
	}
}
