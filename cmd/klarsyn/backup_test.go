package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/fsck"
	"klarsyn/retention/keys"
	"klarsyn/retention/object/s3"
)

// commanded runs a command that prints JSON, and reads it.
func commanded[T any](t *testing.T, args ...string) (out T) {
	t.Helper()
	got := command(t, append(args, "--json")...)
	if got.code != exitOK {
		t.Fatalf("%s: %s", strings.Join(args, " "), got)
	}
	if err := json.Unmarshal([]byte(got.out), &out); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, got)
	}
	return out
}

// refusedWith runs a command that must fail, and wants something in what it says.
func refusedWith(t *testing.T, code int, what string, args ...string) {
	t.Helper()
	if got := command(t, args...); got.code != code || !strings.Contains(got.errs+got.out, what) {
		t.Errorf("%s: want exit %d and %q: %s", strings.Join(args, " "), code, what, got)
	}
}

// copied is a backup of rows and keys of a data directory.
func copied(t *testing.T, l layout) (rowsIn, keysIn string) {
	t.Helper()
	folder := t.TempDir()
	rowsIn, keysIn = filepath.Join(folder, "rows"), filepath.Join(folder, "keys", "1")
	made := commanded[backedUp](t, "backup", "--data", l.root, "-o", rowsIn, "--keys-to", keysIn)
	if made.ID == "" || made.Entries == 0 || made.Bytes == 0 || len(made.Needs) == 0 {
		t.Errorf("it says %+v", made)
	}
	return rowsIn, keysIn
}

// sweptAt lets retain sweep at a time, and number the log: what is due then is deleted to its end.
func sweptAt(t *testing.T, l layout, at time.Time) {
	t.Helper()
	s := opened(t, l, func() time.Time { return at })
	re := openRetain(t.Context(), s, reaping{})
	_, err := re.sweeper.Sweep(t.Context())
	if err := errors.Join(err, s.deletionLog.Sequence(t.Context()), re.close(), s.close()); err != nil {
		t.Fatal(err)
	}
}

func exported(t *testing.T, l layout) string {
	t.Helper()
	numbered(t, l)
	out := filepath.Join(t.TempDir(), "log")
	if got := command(t, "log", "export", "--data", l.root, "-o", out); got.code != exitOK {
		t.Fatal(got)
	}
	return out
}

// numbered gives every entry of the log its number.
func numbered(t *testing.T, l layout) {
	t.Helper()
	s := opened(t, l, nil)
	if err := errors.Join(s.log.Sequence(t.Context()), s.close()); err != nil {
		t.Fatal(err)
	}
}

// more records another clip of camera k1 that is a few pictures long, and numbers the log.
func more(t *testing.T, l layout) retention.Clip {
	t.Helper()
	ctx := t.Context()
	s := opened(t, l, nil)
	re := openRetain(ctx, s, reaping{})
	books := s.catalogue("service:ingest")
	in := taking(t, s)
	from := time.Now().UTC().Truncate(time.Microsecond)
	rec, err := in.Begin(ctx, camera.Opening{Camera: "k1", Start: from, Format: camera.Format{Codec: camera.H264}})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond)
	end := camera.Closing{End: time.Now().UTC().Truncate(time.Microsecond), Frames: 2}
	err = errors.Join(rec.Write(ctx, []byte(fsck.Canary+"footage"), end), rec.Close(ctx, end), in.Move(ctx),
		in.Interrupt(ctx, camera.Gap{Camera: "k1", From: time.Now(), Cause: camera.OurFault, Detail: "test ends"}))
	if err != nil {
		t.Fatal(err)
	}
	clips, err := books.Search(ctx, "k1", from, time.Now(), 100, "")
	if err != nil || len(clips) != 1 {
		t.Fatalf("%d clips, %v", len(clips), err)
	}
	lookAtClip(t, s, clips[0])
	if err := errors.Join(s.log.Sequence(ctx), in.Close(), re.close(), s.close()); err != nil {
		t.Fatal(err)
	}
	return clips[0]
}

// logged is how many entries of the log have their numbers.
func logged(t *testing.T, l layout) int64 {
	t.Helper()
	s := opened(t, l, nil)
	n, err := s.log.Size(t.Context())
	if err := errors.Join(err, s.close()); err != nil {
		t.Fatal(err)
	}
	return n
}

// clipsOf is what the catalogue says of clips.
func clipsOf(t *testing.T, l layout, clips []retention.Clip) []retention.Clip {
	t.Helper()
	s := opened(t, l, nil)
	defer s.close()
	var now []retention.Clip
	for _, c := range clips {
		got, err := s.catalogue("test").Clip(t.Context(), c.ID)
		if err != nil {
			t.Fatalf("clip %s: %v", c.ID, err)
		}
		now = append(now, got)
	}
	return now
}

// headerOf reports whether anything still opens a clip.
func headerOf(t *testing.T, l layout, id string) bool {
	t.Helper()
	s := opened(t, l, nil)
	defer s.close()
	_, err := s.catalogue("test").Header(t.Context(), id)
	if err != nil && !errors.Is(err, retention.ErrGone) {
		t.Fatal(err)
	}
	return err == nil
}

// due moves a clip's deadline, as a permit that was shortened does.
func due(t *testing.T, l layout, id string) {
	t.Helper()
	altered(t, l, `UPDATE catalogue_clip SET deadline_us = $1 WHERE id = $2`, time.Now().Add(-time.Second).UnixMicro(), id)
}

// A backup is whole, private and logged; its copy of the keys says when it must be gone, and is removed then.
func TestBackup(t *testing.T) {
	l := installed(t)
	recorded(t, l, 2)
	rowsIn, keysIn := copied(t, l)
	for _, folder := range []string{rowsIn, keysIn} {
		inside, err := os.ReadDir(folder)
		if err != nil || len(inside) != 2 {
			t.Errorf("%s holds %v, %v", folder, inside, err)
		}
		for _, entry := range inside {
			if st, err := entry.Info(); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", entry.Name(), st.Mode(), err)
			}
		}
		if st, err := os.Stat(folder); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", folder, st.Mode(), err)
		}
		got := commanded[checkedBackup](t, "backup", "verify", "-o", folder, "--key", filepath.Join(l.audit(), "audit.pub"))
		if len(got.Problems) != 0 || got.ID == "" {
			t.Errorf("%s: %+v", folder, got)
		}
	}
	if made := events(t, l, policy.BackupMade); len(made) != 1 || len(made[0].Hashes) != 1 {
		t.Errorf("the log says %+v", made)
	}
	refusedWith(t, exitUsage, "not empty", "backup", "--data", l.root, "-o", rowsIn)

	m, _, err := readManifest(keysIn, backupOfKeys)
	if err != nil {
		t.Fatal(err)
	}
	shortest := 72 * time.Hour // the permit's P3D may be an hour off
	if life := m.Expires.Sub(m.Made); life <= 0 || life >= shortest {
		t.Errorf("keys live %s beside a promise of %s", life, shortest)
	}
	left := filepath.Join(filepath.Dir(keysIn), "2.new-01AAAAAAAAAAAAAAAAAAAAAAAA") // begun long ago: its rows took a while
	if err := errors.Join(os.Mkdir(left, 0o700), os.WriteFile(filepath.Join(left, "keys.db"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := os.Chtimes(left, now, now.Add(-3*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		written time.Duration // ago
		over    bool
	}{{0, false}, {59 * time.Minute, false}, {time.Hour, true}} {
		if err := os.Chtimes(filepath.Join(left, "keys.db"), now, now.Add(-c.written)); err != nil {
			t.Fatal(err)
		}
		all, err := keyBackups(filepath.Dir(keysIn))
		at := slices.IndexFunc(all, func(b keyBackup) bool { return b.folder == left })
		if err != nil || at < 0 || now.Before(all[at].expires) == c.over {
			t.Errorf("written %s ago: %v, %v", c.written, all, err)
		}
	}
	if removed, err := expireKeyBackups(filepath.Dir(keysIn), now.Add(-time.Minute)); err != nil || len(removed) != 0 {
		t.Errorf("while somebody writes it: removed %v, %v", removed, err)
	}
	if removed, err := expireKeyBackups(filepath.Dir(keysIn), m.Expires.Add(-time.Second)); err != nil || len(removed) != 1 || removed[0] != left {
		t.Errorf("before its time: removed %v, %v", removed, err)
	}
	if problems, err := m.check(t.Context(), keysIn, "", m.Expires); err != nil || len(problems) != 1 || !strings.Contains(problems[0], "expired") {
		t.Errorf("at its time: %v, %v", problems, err)
	}
	if removed, err := expireKeyBackups(filepath.Dir(keysIn), m.Expires); err != nil || len(removed) != 1 {
		t.Errorf("at its time: removed %v, %v", removed, err)
	}
	if _, err := os.Stat(keysIn); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// What was changed in a backup is found, and not put back.
func TestTamperedBackup(t *testing.T) {
	l := installed(t)
	recorded(t, l, 1)
	rowsIn, keysIn := copied(t, l)
	flip(t, filepath.Join(rowsIn, "catalogue.db"))
	refusedWith(t, exitFailed, "not what was written", "backup", "verify", "-o", rowsIn)
	refusedWith(t, exitFailed, "is not put back", "restore", "--data", l.root, "--from", rowsIn, "--keys-from", keysIn, "--replace")
	if err := started(t, l, s3.Get); err != nil {
		t.Errorf("the square was touched: %v", err)
	}
}

// Nobody trusts fsck to a square whose copies of keys outlive its footage.
func TestBackupWarnings(t *testing.T) {
	l := installed(t)
	recorded(t, l, 1)
	_, keysIn := copied(t, l)
	s := opened(t, l, nil)
	defer s.close()
	versions, err := s.catalogue("test").Versions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		keep string
		in   time.Duration
		want string
	}{
		"in time":       {"PT12H", time.Minute, ""},
		"too old":       {"PT12H", 100 * time.Hour, "should be gone since"},
		"kept too long": {"P30D", time.Minute, "shorter"},
	} {
		if c.in == time.Minute && c.want != "" { // and fsck says so
			describe(t, l, "node: ", "backup: {keys_keep: "+c.keep+"}\nnode: ")
			if _, results := runFsck(t, l); !strings.Contains(strings.Join(results["I10"].Warnings, "\n"), c.want) {
				t.Errorf("%s: fsck warns of %v", name, results["I10"].Warnings)
			}
		}
		set, err := backupConfig{KeysKeep: c.keep, Folder: filepath.Dir(keysIn)}.check("/")
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(backupWarnings(set, versions, time.Now().Add(c.in)), "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// movedOn is a square of which a backup was made when it had n clips: the first was deleted since, and a later one recorded.
func movedOn(t *testing.T, n int) (l layout, clips []retention.Clip, rowsIn, keysIn string, later retention.Clip) {
	t.Helper()
	l = installed(t)
	clips = recorded(t, l, n)
	if err := started(t, l, s3.Put); err != nil {
		t.Fatal(err)
	}
	rowsIn, keysIn = copied(t, l)
	due(t, l, clips[0].ID)
	sweptAt(t, l, time.Now())
	return l, clips, rowsIn, keysIn, more(t, l)
}

// A restored backup of before serves no clip that was deleted since: not by its row, nor by a key that was put back. What was
// recorded since has a row again and is known to be lost, and everything is accounted for.
func TestRestoreReplaysDeletions(t *testing.T) {
	for name, source := range map[string]string{"an exported log": "log", "the old catalogue": "old"} {
		t.Run(name, func(t *testing.T) {
			l, clips, rowsIn, keysIn, later := movedOn(t, 3)
			args := []string{"restore", "--data", l.root, "--from", rowsIn, "--keys-from", keysIn, "--replace"}
			if source == "log" {
				args = append(args, "--log", exported(t, l))
			}
			size := logged(t, l)
			refusedWith(t, exitUsage, "not empty", "restore", "--data", l.root, "--from", rowsIn)
			said := commanded[restored](t, args...)
			if said.Replayed.Shredded != 1 || said.Replayed.Rebuilt != 1 || len(said.Replayed.Lost) != 1 || said.Unknown != "" || said.Epoch < 2 {
				t.Errorf("it says %+v", said)
			}
			if len(said.Strays) != 1 || said.Reaped != 0 || len(said.Missing) != 0 {
				t.Errorf("it says of objects %+v", said)
			}
			now := clipsOf(t, l, append(clips, later))
			for i, want := range []retention.State{retention.Deleting, retention.Committed, retention.Committed, retention.Lost} {
				if now[i].State != want || headerOf(t, l, now[i].ID) != (want == retention.Committed) {
					t.Errorf("clip %d is %s, want %s", i, now[i].State, want)
				}
			}
			s := opened(t, l, nil)
			lookAtClip(t, s, clips[2])
			if err := errors.Join(s.log.Sequence(t.Context()), s.close()); err != nil {
				t.Fatal(err)
			}
			if after := logged(t, l); after < size {
				t.Errorf("the log had %d entries and has %d", size, after)
			}
			sweptAt(t, l, time.Now())
			if got := clipsOf(t, l, clips[:1])[0]; got.State != retention.Deleted {
				t.Errorf("the clip that was deleted before is %s", got.State)
			}
			// What no row explains waits for somebody's word.
			s = opened(t, l, nil)
			re := openRetain(t.Context(), s, reaping{age: time.Nanosecond})
			n, err := re.reaper.Reap(t.Context())
			if err := errors.Join(err, re.close(), s.close()); err != nil || n != 0 {
				t.Errorf("%d strays were removed before anybody answered for them, %v", n, err)
			}
			if said := commanded[restored](t, "restore", "--data", l.root, "--reconcile", "--reap"); said.Reaped != 1 {
				t.Errorf("reaped: %+v", said)
			}
			if code, results := runFsck(t, l); code != exitOK {
				t.Errorf("fsck: %+v", results)
			}
			for _, event := range []policy.Event{policy.BackupRestored, policy.DeletionsReplayed} {
				if len(events(t, l, event)) != 1 {
					t.Errorf("the log has %d entries of %s", len(events(t, l, event)), event)
				}
			}
		})
	}
}

// Without a newer log restore says what it cannot know, and what is past its deadline by now is shut.
func TestRestoreWithoutNewerLog(t *testing.T) {
	l := installed(t)
	clips := recorded(t, l, 2)
	due(t, l, clips[0].ID)
	rowsIn, keysIn := copied(t, l)
	for _, gone := range []string{l.catalogue(), l.keyStore()} {
		for _, beside := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(gone + beside)
		}
	}
	said := commanded[restored](t, "restore", "--data", l.root, "--from", rowsIn, "--keys-from", keysIn)
	if said.Unknown == "" || said.Due != 1 || !said.Known.IsZero() {
		t.Errorf("it says %+v", said)
	}
	if now := clipsOf(t, l, clips); now[0].State != retention.Deleting || now[1].State != retention.Committed || headerOf(t, l, clips[0].ID) {
		t.Errorf("clips are %s and %s", now[0].State, now[1].State)
	}
}

// A newer log that does not grow from the one in the backup is refused before anything is touched.
func TestRestoreRefusesAFork(t *testing.T) {
	l := installed(t)
	recorded(t, l, 1)
	side := layout{filepath.Join(t.TempDir(), "side")}
	if err := os.CopyFS(side.root, os.DirFS(l.root)); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{filepath.Join(side.audit(), "audit.key"), filepath.Join(side.master(), "master.key")} {
		if err := os.Chmod(secret, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	more(t, l)
	rowsIn, _ := copied(t, l)
	for range 3 {
		more(t, side) // grows another way
	}
	refusedWith(t, exitFailed, "are not one", "restore", "--data", l.root, "--from", rowsIn, "--log", exported(t, side), "--replace")
	if err := started(t, l, s3.Get); err != nil {
		t.Errorf("the square was touched: %v", err)
	}
}

// heldFor places a hold on a clip as serve does, and gives its id.
func heldFor(t *testing.T, l layout, id string) string {
	t.Helper()
	s := opened(t, l, nil)
	defer s.close()
	sv, err := openServe(t.Context(), s, newRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer sv.keyDB.Close()
	h := retention.Hold{Kind: retention.Evidence, Case: "0105-K1-26", Basis: "27 kap. 1 § RB", Requester: "anna", Approver: "bo",
		Review: time.Now().Add(24 * time.Hour), Clips: []retention.HeldClip{{Clip: id}}}
	sealer, err := keys.LoadPublic(l.master())
	if err != nil {
		t.Fatal(err)
	}
	opener, err := keys.LoadSecret(l.master())
	if err != nil {
		t.Fatal(err)
	}
	ring := &keys.Store{DB: sv.keyDB.DB, Sealer: sealer, Opener: opener, Now: time.Now}
	h, refused, err := sv.custody(s.catalogue("service:serve"), ring).Place(t.Context(), policy.Subject{Name: "bo", Role: policy.InvestigationLead}, h)
	if err != nil || len(refused) > 0 {
		t.Fatalf("%v, %v", refused, err)
	}
	return h.ID
}

// A hold that was placed after the backup holds again, and one that was lifted does not.
func TestRestoreHoldsAgain(t *testing.T) {
	l := installed(t)
	clips := recorded(t, l, 2)
	lifted := heldFor(t, l, clips[0].ID)
	rowsIn, keysIn := copied(t, l)
	since := heldFor(t, l, clips[1].ID)
	s := opened(t, l, nil)
	books := s.catalogue("test")
	err := errors.Join(books.AskLift(t.Context(), policy.Subject{Name: "anna", Role: policy.InvestigationLead}, lifted, "solved"), books.Lift(t.Context(), policy.Subject{Name: "bo", Role: policy.InvestigationLead}, lifted), s.close())
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"restore", "--data", l.root, "--from", rowsIn, "--keys-from", keysIn, "--log", exported(t, l), "--replace"}
	// Who has not the master key cannot hold again, and so nothing opens.
	secret := filepath.Join(l.master(), "master.key")
	if err := os.Rename(secret, secret+".away"); err != nil {
		t.Fatal(err)
	}
	refusedWith(t, exitFailed, "everything stays closed", args...)
	if err := started(t, l, s3.Get); err == nil || !strings.Contains(err.Error(), "is closed") {
		t.Errorf("a square whose hold is lost: %v", err)
	}
	if err := os.Rename(secret+".away", secret); err != nil {
		t.Fatal(err)
	}
	said := commanded[restored](t, args...)
	if len(said.Replayed.HeldAgain) != 1 || said.Replayed.HeldAgain[0] != since || len(said.Replayed.Lifted) != 1 {
		t.Errorf("it says %+v", said.Replayed)
	}
	for _, c := range clips {
		due(t, l, c.ID)
	}
	sweptAt(t, l, time.Now())
	now := clipsOf(t, l, clips)
	if now[0].State != retention.Deleted || now[1].State != retention.Committed || now[1].Cased.IsZero() {
		t.Errorf("clips are %s and %s", now[0].State, now[1].State)
	}
	s = opened(t, l, nil)
	defer s.close()
	if key, err := s.catalogue("test").CaseKey(context.Background(), clips[1].ID, "0105-K1-26"); err != nil || len(key.FileKey) == 0 {
		t.Errorf("what opens it for the case: %d bytes, %v", len(key.FileKey), err)
	}
}

// What was logged and not numbered yet when the old catalogue was moved aside is known all the same: who looked, and what is held. A
// hold whose clip nothing opens any more is still there, says so, and is lifted like any other.
func TestRestoreKnowsWhatWaits(t *testing.T) {
	l := installed(t)
	clips := recorded(t, l, 2)
	rowsIn, keysIn := copied(t, l)
	later := more(t, l)
	lost, kept := heldFor(t, l, later.ID), heldFor(t, l, clips[0].ID)
	s := opened(t, l, nil)
	lookAtClip(t, s, clips[1])
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	said := commanded[restored](t, "restore", "--data", l.root, "--from", rowsIn, "--keys-from", keysIn, "--replace", "--reap")
	if len(said.Replayed.HeldAgain) != 2 || len(said.Replayed.HeldLost) != 1 || said.Replayed.HeldLost[0] != later.ID {
		t.Errorf("it says %+v", said.Replayed)
	}
	numbered(t, l)
	if code, results := runFsck(t, l); code != exitOK {
		t.Errorf("fsck: %+v", results)
	}
	s = opened(t, l, nil)
	books := s.catalogue("test")
	for id, clip := range map[string]string{lost: later.ID, kept: clips[0].ID} {
		h, err := books.Hold(t.Context(), id)
		if err != nil || len(h.Clips) != 1 || h.Clips[0].Clip != clip || !h.InForce() {
			t.Errorf("hold %s: %+v, %v", id, h, err)
		}
	}
	err := errors.Join(books.AskLift(t.Context(), policy.Subject{Name: "anna", Role: policy.InvestigationLead}, lost, "its clip is lost"),
		books.Lift(t.Context(), policy.Subject{Name: "bo", Role: policy.InvestigationLead}, lost), s.close())
	if err != nil {
		t.Error(err)
	}
	numbered(t, l)
	if code, results := runFsck(t, l); code != exitOK {
		t.Errorf("fsck after it was lifted: %+v", results)
	}
}

// A restore without keys that somebody needs says so and stays closed; given the keys when it is repeated it comes to its end, and the
// key store that was there lies aside.
func TestRestoreIsGivenKeysAfterAll(t *testing.T) {
	l := installed(t)
	clips := recorded(t, l, 2)
	rowsIn, keysIn := copied(t, l)
	since := heldFor(t, l, clips[0].ID)
	for _, beside := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(l.keyStore() + beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	rowsOnly := []string{"restore", "--data", l.root, "--from", rowsIn, "--replace"}
	refusedWith(t, exitFailed, "--keys-from", rowsOnly...)
	refusedWith(t, exitFailed, "--keys-from", rowsOnly...) // nothing was forgiven by the first try
	said := commanded[restored](t, append(rowsOnly, "--keys-from", keysIn)...)
	if len(said.Replayed.HeldAgain) != 1 || said.Replayed.HeldAgain[0] != since || len(said.Replayed.HeldLost) != 0 || said.Unknown != "" {
		t.Errorf("it says %+v", said)
	}
	aside, err := filepath.Glob(filepath.Join(filepath.Dir(l.keyStore()), "replaced-*", filepath.Base(l.keyStore())))
	if err != nil || len(aside) != 1 {
		t.Errorf("aside lie %v, %v", aside, err)
	}
	s := opened(t, l, nil)
	lookAtClip(t, s, clips[1])
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}
