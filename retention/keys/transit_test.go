package keys_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
	"klarsyn/retention/keys"
)

// policy is one of those that the documentation tells people to use.
func policy(t *testing.T, names ...string) string {
	t.Helper()
	var all []string
	for _, name := range names {
		b, err := os.ReadFile("../../deploy/roles/transit-" + name + ".hcl")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b))
	}
	return strings.Join(all, "\n")
}

func transit(t *testing.T, address string) *keys.Transit {
	t.Helper()
	cfg, err := keys.ParseTransit(address)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := keys.OpenTransit(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

// Each process works with its policy, and whoever takes one over can do no more than that.
func TestPoliciesOfTheKeyServer(t *testing.T) {
	server := testenv.StartTransit(t)
	server.Key(t, "square")
	as := func(names ...string) *keys.Transit {
		return transit(t, server.Master("square", server.Token(t, policy(t, names...), "square")))
	}
	retain, serve, rotate, leave := as("retain"), as("serve"), as("rotate"), as("rotate", "leave")
	ctx := t.Context()
	sealed, mark, err := retain.Seal(ctx, []byte("a day key"))
	if err != nil || mark.Name != retain.Name() || mark.Version != 1 || strings.Contains(string(sealed), "a day key") {
		t.Fatalf("retain seals %q under %v, %v", sealed, mark, err)
	}
	if plain, err := serve.Open(ctx, sealed); err != nil || string(plain) != "a day key" {
		t.Errorf("serve opens %q, %v", plain, err)
	}
	if _, _, err := serve.Seal(ctx, []byte("a case key")); err != nil {
		t.Errorf("serve seals the key of a case: %v", err)
	}
	for what, do := range map[string]func() error{
		"retain opens":     func() error { _, err := retain.Open(ctx, sealed); return err },
		"retain rotates":   func() error { return retain.Renew(ctx) },
		"serve rotates":    func() error { return serve.Renew(ctx) },
		"serve forgets":    func() error { return serve.Forget(ctx) },
		"retain destroys":  func() error { return retain.Destroy(ctx) },
		"rotation removes": func() error { return rotate.Destroy(ctx) },
	} {
		if err := do(); !errors.Is(err, keys.ErrDenied) {
			t.Errorf("%s: %v, want it refused", what, err)
		}
	}
	if err := rotate.Renew(ctx); err != nil {
		t.Error(err)
	}
	if err := rotate.Forget(ctx); err != nil {
		t.Error(err)
	}
	if _, err := serve.Open(ctx, sealed); !errors.Is(err, keys.ErrForeign) {
		t.Errorf("what an old version sealed: %v, want it closed for good", err)
	}
	if err := leave.Destroy(ctx); err != nil {
		t.Error(err)
	}
	if err := leave.Destroy(ctx); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// What is wrong is said with what mends it, and what may be over soon is told from what needs somebody.
func TestFaultsOfTheKeyServer(t *testing.T) {
	server := testenv.StartTransit(t)
	server.Key(t, "square")
	root := server.Root(t)
	good := transit(t, server.Master("square", root))
	sealed, _, err := good.Seal(t.Context(), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(wrong, []byte("hvs.wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(what string, err, kind error, words ...string) {
		t.Helper()
		if !errors.Is(err, kind) {
			t.Errorf("%s: %v, want it to be %q", what, err, kind)
			return
		}
		for _, w := range append(words, "square", server.Server) {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want it to tell of %q", what, err, w)
			}
		}
		if strings.Contains(err.Error(), "hvs.") {
			t.Errorf("%s: the error holds a token: %v", what, err)
		}
	}
	_, _, err = transit(t, server.Master("square", wrong)).Seal(t.Context(), []byte("x"))
	check("a wrong token", err, keys.ErrDenied, "token")
	_, err = transit(t, server.Master("nosquare", root)).Open(t.Context(), sealed)
	check("no such key", err, keys.ErrDenied, "bao write -f")
	_, _, err = transit(t, strings.ReplaceAll(server.Master("square", root), server.Engine, "nowhere")).Seal(t.Context(), []byte("x"))
	check("no such engine", err, keys.ErrDenied, "bao secrets enable")
	_, err = good.Open(t.Context(), []byte("vault:v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))
	check("noise", err, keys.ErrForeign)
	_, err = good.Open(t.Context(), []byte("age-encryption.org/v1"))
	check("what a file sealed", err, keys.ErrForeign)
	server.Seal(t)
	_, err = good.Open(t.Context(), sealed)
	check("a sealed server", err, keys.ErrAway, "unseal")
	server.Unseal(t)
	if plain, err := good.Open(t.Context(), sealed); err != nil || string(plain) != "x" {
		t.Errorf("after it was unsealed: %q, %v", plain, err)
	}
	if !server.Ours() {
		return
	}
	resume := server.Hang()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = good.Open(ctx, sealed)
	check("a server that hangs", err, keys.ErrAway)
	resume()
	server.Stop()
	_, err = good.Open(t.Context(), sealed)
	check("a server that is down", err, keys.ErrAway)
	server.Start(t)
	if _, err := good.Open(t.Context(), sealed); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

// A rotation on the key server reseals every key, and what lay under the version before is closed for good.
func TestRotationOfAKeyServersMasterKey(t *testing.T) {
	server := testenv.StartTransit(t)
	server.Key(t, "square")
	v := filled(t)
	tr := transit(t, server.Master("square", server.Token(t, policy(t, "rotate"), "square")))
	v.moveTo(tr)
	backup := v.rows()
	done, err := v.rotation(tr).Run(t.Context())
	if err != nil || done.Days != 5 || done.Cases != 2 || done.Version != 2 {
		t.Fatalf("%+v, %v", done, err)
	}
	serve := transit(t, server.Master("square", server.Token(t, policy(t, "serve"), "square")))
	v.readable("after", serve)
	for name, sealed := range backup {
		if _, err := serve.Open(t.Context(), sealed); !errors.Is(err, keys.ErrForeign) {
			t.Errorf("what a backup holds of %s: %v, want it closed for good", name, err)
		}
	}
}

func (v *vaulted) leave(r *keys.Rotation, from keys.Former, name string) {
	v.t.Helper()
	if err := r.Leave(v.t.Context(), from, name); err != nil {
		v.t.Fatal(err)
	}
}

// moveTo moves the keys from the local master key to a key server.
func (v *vaulted) moveTo(tr *keys.Transit) {
	v.t.Helper()
	r := v.rotation(tr)
	v.leave(r, keys.LocalFormer{Folder: v.folder}, "file")
	if done, err := r.Run(v.t.Context()); err != nil || done.Days != 5 || done.Cases != 2 {
		v.t.Fatalf("moving: %+v, %v", done, err)
	}
}

// Keys move from the file to a key server and back: footage is readable at every moment, and what was left is gone.
func TestMovingBetweenProviders(t *testing.T) {
	server := testenv.StartTransit(t)
	server.Key(t, "square")
	v := filled(t)
	tr := transit(t, server.Master("square", server.Token(t, policy(t, "rotate", "leave"), "square")))
	before := v.store.Opener
	ring := &keys.Ring{Load: func() (keys.Sealer, []keys.Opener, error) { return tr, []keys.Opener{tr, before}, nil }}
	watched := &watchedMaster{Master: tr, each: func() { v.readable("on the way", ring) }}
	r := v.rotation(watched)
	v.leave(r, keys.LocalFormer{Folder: v.folder}, "file")
	if _, err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.readable("on the key server", ring)
	for name, sealed := range v.rows() {
		if !strings.HasPrefix(string(sealed), "vault:v1:") {
			t.Errorf("the key %s is not sealed by the key server", name)
		}
	}
	if files, err := filepath.Glob(filepath.Join(v.folder, "*")); err != nil || len(files) != 0 {
		t.Errorf("of the local master key there is left: %v, %v", files, err)
	}
	// And back.
	if err := keys.CreateMaster(v.folder); err != nil {
		t.Fatal(err)
	}
	back := v.rotation(v.local())
	v.leave(back, tr, tr.Name())
	if _, err := back.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.readable("back in the file", v.local())
	if _, _, err := transit(t, server.Master("square", server.Token(t, policy(t, "serve"), "square"))).Seal(t.Context(), nil); !errors.Is(err, keys.ErrDenied) {
		t.Errorf("the key is still on the server: %v", err)
	}
}

// A process that was started before a move finds the other master key when it needs it.
func TestRingLoadsWhatItDoesNotKnow(t *testing.T) {
	server := testenv.StartTransit(t)
	server.Key(t, "square")
	v := filled(t)
	tr := transit(t, server.Master("square", server.Root(t)))
	loads := 0
	known := []keys.Opener{v.store.Opener}
	sealer := v.store.Sealer
	ring := &keys.Ring{Load: func() (keys.Sealer, []keys.Opener, error) { loads++; return sealer, known, nil }}
	v.readable("before", ring)
	if loads != 1 {
		t.Errorf("loaded %d times", loads)
	}
	v.moveTo(tr)
	sealer, known = tr, []keys.Opener{tr} // as somebody wrote it into the configuration
	v.readable("after", ring)
	if loads != 2 {
		t.Errorf("loaded %d times, want once more", loads)
	}
	v.store.Sealer = ring
	v.day("2026-11-26")
	v.readable("a key minted since", ring)
}

// A minter that is started before a move, and never reads, finds the other master key too.
func TestRingSealsUnderWhatHolds(t *testing.T) {
	server := testenv.StartTransit(t)
	server.Key(t, "square")
	v := filled(t)
	tr := transit(t, server.Master("square", server.Root(t)))
	_, public, _ := master(t)
	var sealer keys.Sealer = public // a master key that is left below
	ring := &keys.Ring{Load: func() (keys.Sealer, []keys.Opener, error) { return sealer, nil, nil }}
	if _, _, err := ring.Seal(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	v.moveTo(tr)
	sealer = tr
	v.store.Sealer = ring
	v.day("2026-11-26")
	v.readable("minted since", tr)
}

func TestParseTransit(t *testing.T) {
	for address, want := range map[string]keys.TransitConfig{
		"hashivault://square?server=https://kms.example:8200&token=kms.token":             {Server: "https://kms.example:8200", Engine: "transit", Key: "square", TokenFile: "kms.token"},
		"hashivault://square?server=https://kms.example/&engine=klarsyn-transit&ca=a.crt": {Server: "https://kms.example", Engine: "klarsyn-transit", Key: "square", CA: "a.crt"},
		"hashivault://square?server=http://127.0.0.1:8200":                                {Server: "http://127.0.0.1:8200", Engine: "transit", Key: "square"},
	} {
		if got, err := keys.ParseTransit(address); err != nil || got != want {
			t.Errorf("%s: %+v, %v", address, got, err)
		}
	}
	for address, want := range map[string]string{
		"vault://square?server=https://kms.example":                        "want hashivault://",
		"hashivault://square":                                              "server",
		"hashivault://square?server=http://kms.example":                    "in the clear",
		"hashivault://square?server=https://kms.example/v1":                "server",
		"hashivault://square?server=https://me:secret@kms.example":         "server",
		"hashivault://me:secret@square?server=https://kms.example":         "token=FILE",
		"hashivault://square?server=https://kms.example&token=hvs.secret":  "token=FILE",
		"hashivault://square?server=https://kms.example&tokn=FILE":         `unknown option "tokn"`,
		"hashivault://a.b/../c?server=https://kms.example":                 "letters",
		"hashivault://square?server=https://kms.example&engine=sys/policy": "letters",
		"hashivault://%zz": "hashivault://",
	} {
		_, err := keys.ParseTransit(address)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q and no secret", address, err, want)
		}
	}
}

func TestTokenThatOthersMayReadIsRefused(t *testing.T) {
	t.Setenv("VAULT_TOKEN", "")
	t.Setenv("BAO_TOKEN", "")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("hvs.secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(token string) error {
		tr, err := keys.OpenTransit(keys.TransitConfig{Server: "https://127.0.0.1:1", Engine: "transit", Key: "square", TokenFile: token})
		if err == nil {
			tr.Close()
		}
		return err
	}
	if err := open(file); err != nil {
		t.Error(err)
	}
	for what, c := range map[string]struct {
		do   func() string
		want string
	}{
		"read by others": {func() string { return file }, "chmod 600"},
		"missing":        {func() string { return file + ".none" }, "token"},
		"none":           {func() string { return "" }, "BAO_TOKEN"},
	} {
		if err := os.Chmod(file, 0o640); err != nil {
			t.Fatal(err)
		}
		if err := open(c.do()); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hvs.") {
			t.Errorf("%s: %v, want %q and no token", what, err, c.want)
		}
	}
	t.Setenv("BAO_TOKEN", "hvs.fromtheenvironment")
	if err := open(""); err != nil {
		t.Error(err)
	}
}
