package keys_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"klarsyn/retention/keys"
)

// vaulted is a key store with keys of several days and cases, and what was sealed to them.
type vaulted struct {
	t      *testing.T
	folder string
	path   string
	store  *keys.Store
	sealed map[string][]byte // by day or case
	logged []keys.Rotated
}

func filled(t *testing.T) *vaulted {
	folder, public, secret := master(t)
	v := &vaulted{t: t, folder: folder, path: filepath.Join(t.TempDir(), "keys.db"), sealed: map[string][]byte{}}
	v.store = &keys.Store{DB: file(t, v.path), Sealer: public, Opener: secret, Now: now}
	for day := range 5 {
		v.day(fmt.Sprintf("2026-11-%02d", 20+day))
	}
	for _, number := range []string{"K-1", "K-2"} {
		recipient, err := v.store.MintCase(t.Context(), number, newBoard().LogCaseKeyMinted)
		v.seal(number, recipient, err)
	}
	return v
}

func (v *vaulted) day(day string) {
	v.t.Helper()
	recipient, _, err := v.store.Mint(v.t.Context(), keys.Key{Permit: "plattan", Day: day})
	v.seal(day, recipient, err)
}

func (v *vaulted) seal(name, recipient string, err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	r, err := age.ParseHybridRecipient(recipient)
	if err != nil {
		v.t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, r)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		v.t.Fatal(err)
	}
	v.sealed[name] = b.Bytes()
}

// readable checks that all footage still opens, with what a process loaded at some time.
func (v *vaulted) readable(when string, opener keys.Opener) {
	v.t.Helper()
	s := &keys.Store{DB: v.store.DB, Opener: opener, Now: now}
	for name, sealed := range v.sealed {
		var identity age.Identity
		var err error
		if strings.HasPrefix(name, "K-") {
			identity, err = s.CaseIdentity(v.t.Context(), name)
		} else {
			identity, err = s.Identity(v.t.Context(), "plattan", name)
		}
		if err == nil {
			_, err = age.Decrypt(bytes.NewReader(sealed), identity)
		}
		if err != nil {
			v.t.Errorf("%s: the key %s does not open what was sealed to it: %v", when, name, err)
		}
	}
}

func (v *vaulted) rotation(to keys.Master) *keys.Rotation {
	return &keys.Rotation{
		Store: v.store, To: to, Scrub: func(context.Context) error { return nil },
		Log: func(_ context.Context, done keys.Rotated) error { v.logged = append(v.logged, done); return nil },
	}
}

func (v *vaulted) local() *keys.LocalMaster {
	v.t.Helper()
	l, err := keys.OpenLocalMaster(v.folder)
	if err != nil {
		v.t.Fatal(err)
	}
	return l
}

// rows are the sealed keys as a backup holds them.
func (v *vaulted) rows() map[string][]byte {
	v.t.Helper()
	all := map[string][]byte{}
	for _, query := range []string{`SELECT day, sealed FROM keys_day`, `SELECT case_number, sealed FROM keys_case`} {
		rows, err := v.store.DB.Query(query)
		if err != nil {
			v.t.Fatal(err)
		}
		for rows.Next() {
			var name string
			var sealed []byte
			if err := rows.Scan(&name, &sealed); err != nil {
				v.t.Fatal(err)
			}
			all[name] = sealed
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			v.t.Fatal(err)
		}
	}
	return all
}

// A rotation reseals every key; processes that loaded the old master key go on; the old one is gone, and with it what a backup of
// the key store could give back.
func TestRotationOfTheLocalMasterKey(t *testing.T) {
	v := filled(t)
	running, minting := v.store.Opener, v.store.Sealer // serve and retain, started before
	backup := v.rows()
	old, err := os.ReadFile(filepath.Join(v.folder, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	done, err := v.rotation(v.local()).Run(t.Context())
	if err != nil || done.Days != 5 || done.Cases != 2 {
		t.Fatalf("resealed %+v, %v", done, err)
	}
	if len(v.logged) != 1 || v.logged[0] != done {
		t.Errorf("logged %+v", v.logged)
	}
	for name, sealed := range v.rows() {
		if bytes.Equal(sealed, backup[name]) {
			t.Errorf("the key %s was not resealed", name)
		}
	}
	v.store.Sealer = minting
	v.day("2026-11-25") // minted by who was started before
	v.readable("who was started before", running)
	v.readable("who is started now", v.local())
	files, err := filepath.Glob(filepath.Join(v.folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil || bytes.Contains(b, bytes.TrimSpace(old)) {
			t.Errorf("the old master key lies in %s, %v", f, err)
		}
	}
	if len(files) != 2 {
		t.Errorf("the folder holds %v, want the two halves", files)
	}
	for name, sealed := range backup {
		if _, err := v.local().Open(t.Context(), sealed); !errors.Is(err, keys.ErrForeign) {
			t.Errorf("what a backup holds of %s opens still: %v", name, err)
		}
	}
}

// Clips stay readable at every moment of a rotation, for who was started before it.
func TestClipsAreReadableDuringARotation(t *testing.T) {
	v := filled(t)
	running := v.store.Opener
	watched := &watchedMaster{Master: v.local(), each: func() { v.readable("during", running) }}
	if _, err := v.rotation(watched).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if watched.looks < 8 {
		t.Errorf("looked %d times only", watched.looks)
	}
	v.readable("after", running)
}

// watchedMaster has somebody look before each value that is sealed.
type watchedMaster struct {
	keys.Master
	each  func()
	looks int
}

func (w *watchedMaster) Seal(ctx context.Context, plain []byte) ([]byte, keys.Mark, error) {
	w.looks++
	w.each()
	return w.Master.Seal(ctx, plain)
}

// A minter that sealed under the old master key and keeps the key when the rotation is over: it is sealed anew, or the key would
// be lost with the master key.
func TestMintingAcrossARotation(t *testing.T) {
	v := filled(t)
	v.store.Sealer = &slowSealer{Sealer: v.store.Sealer, meanwhile: func() {
		if _, err := v.rotation(v.local()).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}}
	v.day("2026-11-27")
	v.readable("after", v.local())
}

// slowSealer takes a while over the first value.
type slowSealer struct {
	keys.Sealer
	meanwhile func()
}

func (s *slowSealer) Seal(ctx context.Context, plain []byte) ([]byte, keys.Mark, error) {
	sealed, mark, err := s.Sealer.Seal(ctx, plain)
	if do := s.meanwhile; do != nil {
		s.meanwhile = nil
		do()
	}
	return sealed, mark, err
}

// A minter that knows only the master key that was left mints nothing: what it sealed nobody would open.
func TestWhoKnowsOnlyTheFormerMasterKeyMintsNothing(t *testing.T) {
	v := filled(t)
	_, former, _ := master(t)
	if _, err := v.rotation(v.local()).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.store.Sealer = former
	if _, _, err := v.store.Mint(t.Context(), keys.Key{Permit: "plattan", Day: "2026-12-01"}); err == nil || !strings.Contains(err.Error(), "master:") {
		t.Errorf("error %v, want one that says what to write", err)
	}
	if _, err := v.store.Recipient(t.Context(), keys.Key{Permit: "plattan", Day: "2026-12-01"}); !errors.Is(err, keys.ErrNoKey) {
		t.Errorf("it was kept: %v", err)
	}
}

// A key that is destroyed while it is resealed stays destroyed.
func TestDestroyedKeysStayDestroyed(t *testing.T) {
	v := filled(t)
	gone := keys.Key{Permit: "plattan", Day: "2026-11-22"}
	watched := &watchedMaster{Master: v.local()}
	watched.each = func() {
		if watched.looks == 2 {
			if _, err := v.store.Destroy(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := v.rotation(watched).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.store.Recipient(t.Context(), gone); !errors.Is(err, keys.ErrNoKey) {
		t.Errorf("the destroyed key came back: %v", err)
	}
}

// A key that neither master key opens ends the rotation before anything is destroyed.
func TestRotationStopsBeforeAKeyThatNobodyOpens(t *testing.T) {
	v := filled(t)
	running := v.store.Opener
	if _, err := v.store.DB.Exec(`UPDATE keys_case SET sealed = $1 WHERE case_number = 'K-2'`, []byte("noise")); err != nil {
		t.Fatal(err)
	}
	delete(v.sealed, "K-2")
	for range 2 {
		if _, err := v.rotation(v.local()).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "K-2") {
			t.Errorf("error %v, want one that names the case", err)
		}
		v.readable("after the stop", running)
	}
	if len(v.logged) != 0 {
		t.Errorf("logged %v", v.logged)
	}
	if _, err := v.store.DestroyCase(t.Context(), "K-2", noon.AddDate(0, 0, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := v.rotation(v.local()).Run(t.Context()); err != nil {
		t.Errorf("with the damaged key out of the way: %v", err)
	}
	v.readable("after the end", running)
}

// The audit log cannot be written: nothing is destroyed.
func TestRotationThatCannotBeLoggedDestroysNothing(t *testing.T) {
	v := filled(t)
	r := v.rotation(v.local())
	fault := errors.New("no log")
	log := r.Log
	r.Log = func(context.Context, keys.Rotated) error { return fault }
	if _, err := r.Run(t.Context()); !errors.Is(err, fault) {
		t.Fatalf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(v.folder, "master.former.key")); err != nil {
		t.Errorf("the old master key is gone without a word: %v", err)
	}
	r.Log = log
	if _, err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(v.folder, "master.former.key")); err == nil {
		t.Error("the old master key is still there")
	}
	v.readable("after", v.local())
}
