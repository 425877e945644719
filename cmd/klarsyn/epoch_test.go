package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"klarsyn/retention/database"
	"klarsyn/retention/object/s3"
)

// started opens a data directory as a process with these rights does.
func started(t *testing.T, l layout, rights s3.Right) error {
	t.Helper()
	s, err := openSite(t.Context(), siteOptions{data: l.root, rights: rights, logger: quiet()})
	if err != nil {
		return err
	}
	return s.close()
}

// Rows and objects tell each other of what installation and time they are, and rows that are older than the objects beside them
// are refused by everybody who touches an object.
func TestEpoch(t *testing.T) {
	l := installed(t)
	old := filepath.Join(t.TempDir(), "older.db")
	db, err := database.OpenSQLite(t.Context(), l.catalogue())
	if err != nil {
		t.Fatal(err)
	}
	if err := database.CopySQLite(t.Context(), db, old); err != nil {
		t.Fatal(err)
	}
	if err := started(t, l, s3.Put); err != nil { // tells the store
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `UPDATE catalogue_epoch SET epoch = epoch + 1, stored_us = 0, keyed_us = 0`); err != nil {
		t.Fatal(err)
	}
	for _, rights := range []s3.Right{s3.Get, s3.Erase, s3.Put, s3.Get, s3.Erase} { // before the store was told, and after
		if err := started(t, l, rights); err != nil {
			t.Errorf("rights %v: %v", rights, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	put := func(file string) {
		t.Helper()
		for _, beside := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(l.catalogue() + beside)
		}
		b, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(l.catalogue(), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	refused := func(what string) {
		t.Helper()
		for _, rights := range []s3.Right{s3.Put, s3.Get, s3.Erase} {
			err := started(t, l, rights)
			var usage usageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), "restore --reconcile") {
				t.Errorf("rights %v: %v, want something of %q and its mend", rights, err, what)
			}
		}
	}
	put(old)
	refused("later epoch")

	other := installed(t)
	if err := started(t, other, 0); err != nil {
		t.Fatal(err)
	}
	db, err = database.OpenSQLite(t.Context(), other.catalogue())
	if err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(t.TempDir(), "foreign.db")
	if err := errors.Join(database.CopySQLite(t.Context(), db, foreign), db.Close()); err != nil {
		t.Fatal(err)
	}
	put(foreign)
	refused("another installation")

	// An object store that was told, and does not remember: another one, or one that was emptied.
	if err := os.RemoveAll(filepath.Join(other.objects(), "installation")); err != nil {
		t.Fatal(err)
	}
	if err := started(t, other, s3.Put); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(other.objects(), "installation")); err != nil {
		t.Fatal(err)
	}
	l = other
	refused("does not say that it belongs")
}

// A data directory into which a backup is being put back is closed to everybody.
func TestClosedWhileRestoring(t *testing.T) {
	l := installed(t)
	if err := os.WriteFile(l.restoring(), []byte(`{"backup": "01JTEST"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, rights := range []s3.Right{0, s3.Put, s3.Get, s3.Erase} {
		if err := started(t, l, rights); err == nil || !strings.Contains(err.Error(), "backup 01JTEST is being put back") {
			t.Errorf("rights %v: %v", rights, err)
		}
	}
	if err := initSite(t.Context(), l, addresses{}); err == nil || !strings.Contains(err.Error(), "is closed") {
		t.Errorf("init: %v", err)
	}
}
