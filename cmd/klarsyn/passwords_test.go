package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Only who connects to cameras needs their passwords: everybody else starts without being able to read them.
func TestPasswordsAreReadByWhoConnects(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "square.yaml")
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := loadAll(path)
	if err != nil {
		t.Fatalf("without the password file: %v", err)
	}
	if err := s.readFiles(); err == nil || !errors.As(err, new(usageError)) || !strings.Contains(err.Error(), "camera k1: password_file") {
		t.Errorf("who connects: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "k1.password"), []byte("hemligt\r\nremark\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.readFiles(); err != nil || string(s.cameras[0].Password) != "hemligt" {
		t.Errorf("the password is its first line: %v", err)
	}
}

// A demo over an installation that is no demo writes not a byte into it.
func TestDemoLeavesInstallationsAlone(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "square.yaml"), []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	err := runDemo(t.Context(), demoOptions{data: folder, listen: "127.0.0.1:0"}, stdio{out: io.Discard, err: io.Discard})
	if err == nil || !errors.As(err, new(usageError)) || !strings.Contains(err.Error(), "no demo") {
		t.Errorf("error %v", err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d entries in the folder, %v", len(entries), err)
	}
}
