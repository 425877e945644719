package keys_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"go.uber.org/goleak"

	"klarsyn/retention/database"
	"klarsyn/retention/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func now() time.Time { return noon }

// file opens a key store's file; the same path twice is two processes.
func file(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := database.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := database.Migrate(t.Context(), db, database.SQLite, database.Owner{Name: "keys", Files: keys.Migrations()}); err != nil {
		t.Fatal(err)
	}
	return db
}

// store mints and opens.
func store(t *testing.T) *keys.Store {
	t.Helper()
	_, public, secret := master(t)
	return &keys.Store{DB: file(t, filepath.Join(t.TempDir(), "keys.db")), Sealer: public, Opener: secret, Now: now}
}

var today = keys.Key{Permit: "plattan", Day: "2026-11-20"}

func TestDayKey(t *testing.T) {
	s := store(t)
	if _, err := s.Recipient(t.Context(), today); !errors.Is(err, keys.ErrNoKey) {
		t.Errorf("recipient before minting: %v", err)
	}
	if _, err := s.Identity(t.Context(), today.Permit, today.Day); !errors.Is(err, keys.ErrNoKey) {
		t.Errorf("identity before minting: %v", err)
	}
	recipient, minted, err := s.Mint(t.Context(), today)
	if err != nil || !minted {
		t.Fatalf("minted %v, %v", minted, err)
	}
	again, minted, err := s.Mint(t.Context(), today)
	if err != nil || minted || again != recipient {
		t.Errorf("minted again: %v, another key %v, %v", minted, again != recipient, err)
	}
	identity, err := s.Identity(t.Context(), today.Permit, today.Day)
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.ParseHybridRecipient(recipient)
	if err != nil {
		t.Fatal(err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := age.Decrypt(&sealed, identity); err != nil {
		t.Errorf("the identity does not open what its recipient sealed: %v", err)
	}
	for _, other := range []keys.Key{{"plattan", "2026-11-21"}, {"other", today.Day}} {
		if got, _, err := s.Mint(t.Context(), other); err != nil || got == recipient {
			t.Errorf("%v has the same key, or none: %v", other, err)
		}
	}
}

// Who mints cannot open: the minting side has the public half of the master key only.
func TestMinterCannotOpen(t *testing.T) {
	s := store(t)
	if _, _, err := s.Mint(t.Context(), today); err != nil {
		t.Fatal(err)
	}
	var stored []byte
	if err := s.DB.QueryRow(`SELECT sealed FROM keys_day`).Scan(&stored); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(stored, []byte("AGE-SECRET-KEY")) {
		t.Error("the day key lies open in the key store")
	}
	if _, canOpen := s.Sealer.(keys.Opener); canOpen {
		t.Error("the sealing half opens")
	}
}

func TestMintersRace(t *testing.T) {
	_, public, _ := master(t)
	path := filepath.Join(t.TempDir(), "keys.db")
	const n = 8
	var wg sync.WaitGroup
	recipients, mints := make([]string, n), make([]bool, n)
	for i := range n {
		s := &keys.Store{DB: file(t, path), Sealer: public, Now: now}
		wg.Go(func() {
			var err error
			if recipients[i], mints[i], err = s.Mint(t.Context(), today); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	minted := 0
	for i := range n {
		if mints[i] {
			minted++
		}
		if recipients[i] != recipients[0] || recipients[i] == "" {
			t.Errorf("minter %d was told another recipient", i)
		}
	}
	if minted != 1 {
		t.Errorf("%d keys were minted", minted)
	}
}

func TestDestroy(t *testing.T) {
	s := store(t)
	if _, _, err := s.Mint(t.Context(), today); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if destroyed, err := s.Destroy(t.Context(), today); destroyed != want || err != nil {
			t.Errorf("destroyed %v, %v, want %v", destroyed, err, want)
		}
	}
	if _, err := s.Identity(t.Context(), today.Permit, today.Day); !errors.Is(err, keys.ErrNoKey) {
		t.Errorf("identity after its destruction: %v", err)
	}
}

// A destroyed key is in no file of the key store any more once the store was scrubbed.
func TestDestroyedKeyLeavesNoBytes(t *testing.T) {
	_, public, _ := master(t)
	folder := t.TempDir()
	db := file(t, filepath.Join(folder, "keys.db"))
	s := &keys.Store{DB: db, Sealer: public, Now: now}
	var sealed [][]byte
	for _, day := range []string{"2026-11-18", "2026-11-19", "2026-11-20"} {
		if _, _, err := s.Mint(t.Context(), keys.Key{Permit: "plattan", Day: day}); err != nil {
			t.Fatal(err)
		}
		var b []byte
		if err := db.QueryRow(`SELECT sealed FROM keys_day WHERE day = $1`, day).Scan(&b); err != nil {
			t.Fatal(err)
		}
		sealed = append(sealed, b[len(b)-64:])
	}
	tender := &keys.Tender{
		Store: s, Board: newBoard(), Permits: func(time.Time) []string { return nil }, Now: now,
		Scrub: func(ctx context.Context) error { return database.Scrub(ctx, db, database.SQLite) },
	}
	if !inFiles(t, folder, sealed[0]) {
		t.Fatal("the test looks for the wrong bytes")
	}
	if err := tender.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if inFiles(t, folder, sealed[0]) || inFiles(t, folder, sealed[1]) {
		t.Error("a destroyed key is still in a file of the key store")
	}
	if !inFiles(t, folder, sealed[2]) {
		t.Error("today's key is gone")
	}
}

func inFiles(t *testing.T, folder string, needle []byte) bool {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, needle) {
			return true
		}
	}
	return false
}

func TestDamagedDayKey(t *testing.T) {
	s := store(t)
	if _, _, err := s.Mint(t.Context(), today); err != nil {
		t.Fatal(err)
	}
	noKey, _, err := s.Sealer.Seal(t.Context(), []byte("no key at all"))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"noise": []byte("noise"), "empty": {}, "sealed noise": noKey} {
		if _, err := s.DB.Exec(`UPDATE keys_day SET sealed = $1`, b); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Identity(t.Context(), today.Permit, today.Day); err == nil || errors.Is(err, keys.ErrNoKey) {
			t.Errorf("%s: error %v, want one that is not about a missing key", name, err)
		}
	}
}
