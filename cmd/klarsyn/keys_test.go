package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/keys"
)

// look reads a clip through a serve that runs.
func look(t *testing.T, sv *serve, c retention.Clip) error {
	t.Helper()
	ctx := t.Context()
	permit, _ := sv.site.current.now().permits.At("k1", c.Start)
	who := policy.Subject{Name: "anna", Role: policy.Investigator, Session: "s1", Remote: "127.0.0.1"}
	grant, err := sv.gate.Look(ctx, who, policy.Request{
		Action: policy.ViewOriginal, Camera: "k1", Clip: c.ID, Permit: permit, Purpose: policy.CrimeInvestigation, Case: "0105-K1-26",
	})
	if err != nil {
		t.Fatal(err)
	}
	done, err := sv.gate.Respond(ctx, grant)
	if err != nil {
		t.Fatal(err)
	}
	footage, err := sv.vault.Open(ctx, grant, c.ID)
	if err != nil {
		done(0, 0)
		return err
	}
	n, err := io.Copy(io.Discard, footage)
	done(n, 5)
	return err
}

// rotate is the command as an operator calls it.
func rotate(t *testing.T, l layout, args ...string) (int, keys.Rotated, string) {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), append([]string{"keys", "rotate-master", "--data", l.root, "--json"}, args...), stdio{&out, &errs})
	var done keys.Rotated
	if code == exitOK {
		if err := json.Unmarshal(out.Bytes(), &done); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
	}
	return code, done, errs.String()
}

// startedBefore is a serve and a retain that were started before something happens to their master key.
func startedBefore(t *testing.T, l layout) (*serve, *retain) {
	t.Helper()
	s := opened(t, l, nil)
	sv, err := openServe(t.Context(), s, newRegistry())
	if err != nil {
		t.Fatal(err)
	}
	re := openRetain(t.Context(), s, reaping{})
	t.Cleanup(func() {
		if err := errors.Join(sv.closeKeys(), re.close(), s.close()); err != nil {
			t.Error(err)
		}
	})
	return sv, re
}

// minted has a retain mint keys that are not there yet, some months ahead.
func minted(t *testing.T, re *retain, months int) {
	t.Helper()
	ahead := re.tender.Now
	re.tender.Now = func() time.Time { return ahead().AddDate(0, months, 0) }
	defer func() { re.tender.Now = ahead }()
	if err := re.tender.Tend(t.Context()); err != nil {
		t.Errorf("minting: %v", err)
	}
}

// The master key is rotated under a square that runs: clips stay readable, keys are minted, the old key is gone, the log tells.
func TestRotateMasterOfARunningSquare(t *testing.T) {
	t.Parallel()
	l := installed(t)
	clips := recorded(t, l, 2)
	sv, re := startedBefore(t, l)
	old, err := os.ReadFile(filepath.Join(l.master(), "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	for round := 1; round <= 2; round++ {
		code, done, errs := rotate(t, l)
		if code != exitOK || done.Days < 3 || !strings.HasPrefix(done.Master, "file:") {
			t.Fatalf("exit code %d, %+v: %s", code, done, errs)
		}
		for _, c := range clips {
			if err := look(t, sv, c); err != nil {
				t.Errorf("round %d: clip %s: %v", round, c.ID, err)
			}
		}
		minted(t, re, round)
		now, err := os.ReadFile(filepath.Join(l.master(), "master.key"))
		if err != nil || bytes.Equal(now, old) {
			t.Errorf("round %d: the master key is the old one, %v", round, err)
		}
		old = now
	}
	if got := events(t, l, policy.MasterRotated); len(got) != 2 || got[0].Details["days"] == "0" {
		t.Errorf("the log tells of %+v", got)
	}
}

// withMaster writes the master keys into the configuration.
func withMaster(t *testing.T, l layout, master, before string) {
	t.Helper()
	b, err := os.ReadFile(l.config())
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "master") {
			kept = append(kept, line)
		}
	}
	text := strings.Join(kept, "") + "master: '" + master + "'\n"
	if before != "" {
		text += "master_before: '" + before + "'\n"
	}
	write(t, l.config(), text)
}

// Keys move to a key server and back under processes that were started before, each with what its policy allows.
func TestMasterKeyMovesToAKeyServerAndBack(t *testing.T) {
	t.Parallel()
	server := testenv.StartTransit(t)
	server.Key(t, "square")
	l := installed(t)
	clips := recorded(t, l, 2)
	sv, re := startedBefore(t, l)
	kms := server.Master("square", server.Root(t))
	if code, _, errs := rotate(t, l, "--to", kms); code != exitUsage || !strings.Contains(errs, "master:") || strings.Contains(errs, "hvs.") {
		t.Errorf("a move that the others would not find: exit code %d, %s", code, errs)
	}
	months := 0
	readable := func(when string) {
		t.Helper()
		months++
		for _, c := range clips {
			if err := look(t, sv, c); err != nil {
				t.Errorf("%s: %v", when, err)
			}
		}
		minted(t, re, months)
	}
	readable("before")
	withMaster(t, l, kms, "")
	readable("configured and not moved")
	code, done, errs := rotate(t, l, "--to", kms)
	if code != exitOK || done.Days < 3 || done.Left != "file" {
		t.Fatalf("moving: exit code %d, %+v: %s", code, done, errs)
	}
	readable("on the key server")
	if _, err := os.Stat(filepath.Join(l.master(), "master.key")); err == nil {
		t.Error("the local master key is still there")
	}
	if code, done, errs := rotate(t, l); code != exitOK || done.Version != 2 {
		t.Errorf("rotating there: exit code %d, %+v: %s", code, done, errs)
	}
	readable("rotated there")
	withMaster(t, l, "file", kms)
	if code, done, errs := rotate(t, l, "--to", "file"); code != exitOK || !strings.HasPrefix(done.Master, "file:") {
		t.Fatalf("moving back: exit code %d, %+v: %s", code, done, errs)
	}
	withMaster(t, l, "file", "")
	readable("back in the file")
	if got := events(t, l, policy.MasterRotated); len(got) != 3 {
		t.Errorf("the log tells of %d rotations, want 3", len(got))
	}
}

// While the key server is away nothing is opened, and that may be over soon; what is due is deleted; when it is back all is well.
func TestKeyServerAway(t *testing.T) {
	t.Parallel()
	server := testenv.StartTransit(t)
	if !server.Ours() {
		t.Skip("somebody else's key server is not stopped")
	}
	server.Key(t, "square")
	l := layout{filepath.Join(t.TempDir(), "square")}
	kms := server.Master("square", server.Root(t))
	if err := initSite(t.Context(), l, addresses{master: kms}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(l.master(), "master.key")); err == nil {
		t.Error("a local master key was made beside the key server")
	}
	configured(t, l, "PT72H", "PT40S")
	withMaster(t, l, kms, "")
	clips := recorded(t, l, 3)
	sv, _ := startedBefore(t, l)
	server.Stop()
	if err := look(t, sv, clips[2]); !errors.Is(err, retention.ErrUnavailable) || !errors.Is(err, keys.ErrAway) {
		t.Errorf("a look: %v, want that it may be over soon", err)
	}
	// Started while it is away, retain deletes what is due and counts that it mints nothing.
	s := opened(t, l, nil)
	re := openRetain(t.Context(), s, reaping{})
	if re.tender == nil {
		t.Fatal("no keys will ever be minted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- re.run(ctx) }()
	testenv.Eventually(t, time.Minute, "the clip is deleted", func() bool {
		c, err := s.catalogue("test").Clip(t.Context(), clips[0].ID)
		return err == nil && c.State == retention.Deleted
	})
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("retain ends with %v", err)
	}
	re = openRetain(t.Context(), s, reaping{})
	re.tender.Now = func() time.Time { return time.Now().AddDate(0, 2, 0) }
	if err := re.tender.Tend(t.Context()); !errors.Is(err, keys.ErrAway) || re.tender.Faults() == 0 {
		t.Errorf("minting: %v, %d faults counted", err, re.tender.Faults())
	}
	if serveAgain, err := openServe(t.Context(), s, newRegistry()); err != nil {
		t.Errorf("serve does not start while the key server is away: %v", err)
	} else if err := serveAgain.closeKeys(); err != nil {
		t.Error(err)
	}
	server.Start(t)
	if err := re.tender.Tend(t.Context()); err != nil {
		t.Errorf("minting when it is back: %v", err)
	}
	if err := errors.Join(re.close(), s.close()); err != nil {
		t.Error(err)
	}
}

// What somebody must mend keeps serve from starting, and says how.
func TestServeRefusesAMasterKeyThatDoesNotWork(t *testing.T) {
	t.Parallel()
	server := testenv.StartTransit(t)
	server.Key(t, "square")
	encryptOnly, err := os.ReadFile("../../deploy/roles/transit-retain.hcl")
	if err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "token")
	write(t, wrong, "hvs.wrong")
	l := installed(t)
	for what, c := range map[string]struct{ master, want string }{
		"a wrong token":           {server.Master("square", wrong), "token"},
		"the token of retain":     {server.Master("square", server.Token(t, string(encryptOnly), "square")), "policy"},
		"no token's file":         {server.Master("square", "none"), filepath.Join(l.root, "none")},
		"no such engine":          {strings.ReplaceAll(server.Master("square", server.Root(t)), server.Engine, "nowhere"), "bao secrets enable"},
		"an address that is none": {"hashivault://square", "server"},
		"a token in the address":  {"hashivault://square?server=https://127.0.0.1:1&token=hvs.secret", "token=FILE"},
		"a provider that is none": {"awskms://square", "hashivault://"},
	} {
		var errs bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		code := run(ctx, []string{"serve", "--data", l.root, "--listen", "127.0.0.1:0", "--master", c.master}, stdio{io.Discard, &errs})
		cancel()
		if code == exitOK || !strings.Contains(errs.String(), c.want) || strings.Contains(errs.String(), "hvs.") {
			t.Errorf("%s: exit code %d, %s, want %q and no token", what, code, errs.String(), c.want)
		}
	}
}
