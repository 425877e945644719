package keys_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"klarsyn/deploy/testenv"
	"klarsyn/retention/keys"
)

func master(t *testing.T) (folder string, public *keys.Public, secret *keys.Secret) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "keys")
	if err := keys.CreateMaster(folder); err != nil {
		t.Fatal(err)
	}
	public, err := keys.LoadPublic(folder)
	if err != nil {
		t.Fatal(err)
	}
	if secret, err = keys.LoadSecret(folder); err != nil {
		t.Fatal(err)
	}
	return folder, public, secret
}

func TestMasterKeyOpensWhatItsPublicHalfClosed(t *testing.T) {
	_, public, secret := master(t)
	sealed, _, err := public.Seal(t.Context(), []byte("a day key"))
	if err != nil || strings.Contains(string(sealed), "a day key") {
		t.Fatalf("sealed %q, %v", sealed, err)
	}
	if plain, err := secret.Open(t.Context(), sealed); err != nil || string(plain) != "a day key" {
		t.Errorf("opened %q, %v", plain, err)
	}
	_, _, other := master(t)
	if _, err := other.Open(t.Context(), sealed); err == nil {
		t.Error("another master key opened it")
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := secret.Open(t.Context(), sealed); err == nil {
		t.Error("a flipped bit was not noticed")
	}
}

func TestMasterKeyIsMadeOnce(t *testing.T) {
	folder, public, _ := master(t)
	before, err := os.ReadFile(filepath.Join(folder, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.CreateMaster(folder); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(filepath.Join(folder, "master.key"))
	if err != nil || string(before) != string(after) {
		t.Errorf("the master key was replaced: everything sealed under it is lost (%v)", err)
	}
	for name, mode := range map[string]os.FileMode{"master.key": 0o600, "master.pub": 0o644} {
		st, err := os.Stat(filepath.Join(folder, name))
		if err != nil || st.Mode().Perm()&^mode != 0 {
			t.Errorf("%s has mode %04o", name, st.Mode().Perm())
		}
	}
	lost, _, err := public.Seal(t.Context(), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	// A crash after the public half: both are made anew, and they fit.
	if err := os.Remove(filepath.Join(folder, "master.key")); err != nil {
		t.Fatal(err)
	}
	if err := keys.CreateMaster(folder); err != nil {
		t.Fatal(err)
	}
	renewed, err := keys.LoadPublic(folder)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := keys.LoadSecret(folder)
	if err != nil {
		t.Fatal(err)
	}
	sealed, _, err := renewed.Seal(t.Context(), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secret.Open(t.Context(), sealed); err != nil {
		t.Errorf("the halves do not fit: %v", err)
	}
	if _, err := secret.Open(t.Context(), lost); err == nil {
		t.Error("the lost key still opens")
	}
}

func TestMasterKeyThatOthersMayReadIsRefused(t *testing.T) {
	for mode, good := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o620: false, 0o601: false, 0o777: false} {
		folder, _, _ := master(t)
		path := filepath.Join(folder, "master.key")
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := keys.LoadSecret(folder)
		if good && err != nil {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if !good && (err == nil || !strings.Contains(err.Error(), "chmod 600 "+path)) {
			t.Errorf("mode %04o: error %v, want one that says how to mend it", mode, err)
		}
	}
}

func TestDamagedMasterFiles(t *testing.T) {
	folder, _, _ := master(t)
	secret, err := os.ReadFile(filepath.Join(folder, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"empty": "", "noise": "\x00\xff", "cut": string(secret[:40]), "public half": "age1pq1qqqq"} {
		if err := os.WriteFile(filepath.Join(folder, "master.key"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := keys.LoadSecret(folder)
		if err == nil || !strings.Contains(err.Error(), "backup") {
			t.Errorf("%s: error %v, want one that says what to do", name, err)
		}
		if err != nil && len(text) > 20 && strings.Contains(err.Error(), text[20:]) {
			t.Errorf("%s: the error holds key material: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "master.pub"), secret, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.LoadPublic(folder); err == nil || strings.Contains(err.Error(), string(secret[20:60])) {
		t.Errorf("a secret was taken for a public half, or is in the error: %v", err)
	}
}

// A half that cannot be read is named, with what mends it.
func TestMasterFilesThatCannotBeRead(t *testing.T) {
	for name, load := range map[string]func(folder string) error{
		"master.key": func(folder string) error { _, err := keys.LoadSecret(folder); return err },
		"master.pub": func(folder string) error { _, err := keys.LoadPublic(folder); return err },
	} {
		for what, c := range map[string]struct {
			spoil func(path string) error
			as    func(t testing.TB, do func())
			want  string
		}{
			"it is missing":        {os.Remove, asOneself, "restore it from your backup"},
			"it is another user's": {func(path string) error { return os.Chmod(path, 0) }, testenv.AsNobody, "start as the user that owns it"},
			"its folder is a file": {func(path string) error {
				folder := filepath.Dir(path)
				return errors.Join(os.RemoveAll(folder), os.WriteFile(folder, nil, 0o600))
			}, asOneself, "look after the disk"},
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				folder, _, _ := master(t)
				path := filepath.Join(folder, name)
				if err := c.spoil(path); err != nil {
					t.Fatal(err)
				}
				var err error
				c.as(t, func() { err = load(folder) })
				if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want the file and %q", err, c.want)
				}
			})
		}
	}
}

func asOneself(_ testing.TB, do func()) { do() }
