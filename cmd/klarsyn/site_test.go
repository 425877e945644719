package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/retention"
	"klarsyn/retention/database"
	"klarsyn/retention/fsck"
	"klarsyn/retention/vault"
)

// quiet is a logger for tests that read the log themselves.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// installed is a data directory with one camera and a permit.
func installed(t *testing.T) layout {
	t.Helper()
	l := layout{filepath.Join(t.TempDir(), "square")}
	if err := initSite(t.Context(), l, addresses{}); err != nil {
		t.Fatal(err)
	}
	configured(t, l)
	return l
}

// configured describes the good square, with changes, for as long as these tests live.
func configured(t *testing.T, l layout, changes ...string) {
	t.Helper()
	describe(t, l, changes...)
	applied(t, l)
}

// describe writes it down, and puts nothing in force.
func describe(t *testing.T, l layout, changes ...string) {
	t.Helper()
	changes = append(changes, "    password_file: k1.password\n", "", "    valid_to: 2027-01-01T00:00:00+01:00\n", "")
	text := strings.NewReplacer(changes...).Replace(good)
	if strings.Contains(text, "valid_to") {
		t.Fatal("the permit ends: these tests would begin to fail on that day")
	}
	if err := os.WriteFile(l.config(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// applied puts what square.yaml declares in force, an hour ago: what tests record lies in the last minutes.
func applied(t *testing.T, l layout) {
	t.Helper()
	appliedAgo(t, l, time.Hour)
}

func appliedAgo(t *testing.T, l layout, ago time.Duration) {
	t.Helper()
	text, err := os.ReadFile(l.config())
	if err != nil {
		t.Fatal(err)
	}
	s := opened(t, l, func() time.Time { return time.Now().Add(-ago) })
	_, err = s.apply(t.Context(), l.config(), text, localActor(), false, nil)
	if err := errors.Join(err, s.close()); err != nil {
		t.Fatal(err)
	}
}

// altered runs one statement on the catalogue's database.
func altered(t *testing.T, l layout, statement string, args ...any) {
	t.Helper()
	db, err := database.OpenSQLite(t.Context(), l.catalogue())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

func opened(t *testing.T, l layout, wall func() time.Time) *site {
	t.Helper()
	s, err := openSite(t.Context(), siteOptions{data: l.root, wall: wall, signing: true, logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// recorded puts clips of camera k1 into a data directory the way a recorder does, looks at the newest, and
// returns them, oldest first. The log is numbered.
func recorded(t *testing.T, l layout, n int) []retention.Clip {
	t.Helper()
	return recordedOf(t, l, n, 200<<10)
}

// taking opens the spool of a data directory, as a recorder does.
func taking(t *testing.T, s *site) *vault.Intake {
	t.Helper()
	books := s.catalogue("service:ingest")
	in, err := vault.OpenIntake(t.Context(), vault.IntakeConfig{
		Reservations: books, Timeline: books, Outcomes: books, Store: s.store, Permit: s.current.now().permits.At,
		Spool: s.layout.spool(), MinFree: 1, Node: "prov", Log: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// recordedOf does so with clips of about that many bytes.
func recordedOf(t *testing.T, l layout, n, size int) []retention.Clip {
	t.Helper()
	ctx := t.Context()
	s := opened(t, l, nil)
	re := openRetain(ctx, s, reaping{})
	books := s.catalogue("service:ingest")
	in := taking(t, s)
	start := time.Now().UTC().Add(-time.Duration(n) * 5 * time.Second).Truncate(time.Microsecond)
	for i := range n {
		from, to := start.Add(time.Duration(i)*5*time.Second), start.Add(time.Duration(i+1)*5*time.Second)
		rec, err := in.Begin(ctx, camera.Opening{Camera: "k1", Start: from, Format: camera.Format{Codec: camera.H264}})
		if err != nil {
			t.Fatal(err)
		}
		end := camera.Closing{End: to, Frames: 50}
		err = errors.Join(rec.Write(ctx, bytes.Repeat([]byte(fsck.Canary+"footage "), size/24), end), rec.Close(ctx, end))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(in.Move(ctx), in.Interrupt(ctx, camera.Gap{Camera: "k1", From: time.Now(), Cause: camera.OurFault, Detail: "test ends"})); err != nil {
		t.Fatal(err)
	}
	clips, err := books.Search(ctx, "k1", start, time.Now(), 100, "")
	if err != nil || len(clips) != n {
		t.Fatalf("%d clips, %v", len(clips), err)
	}
	lookAtClip(t, s, clips[n-1]) // the one with the longest time to live
	if err := errors.Join(s.log.Sequence(ctx), in.Close(), re.close(), s.close()); err != nil {
		t.Fatal(err)
	}
	return clips
}

// lookAtClip reads a clip as an investigator, through the Gate.
func lookAtClip(t *testing.T, s *site, c retention.Clip) {
	t.Helper()
	ctx := t.Context()
	sv, err := openServe(ctx, s, newRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer sv.keyDB.Close()
	permit, _ := s.current.now().permits.At("k1", c.Start)
	who := policy.Subject{Name: "anna", Role: policy.Investigator, Session: "s1", Remote: "127.0.0.1"}
	grant, err := sv.gate.Look(ctx, who, policy.Request{
		Action: policy.ViewOriginal, Camera: "k1", Clip: c.ID, Permit: permit, Purpose: policy.CrimeInvestigation, Case: "0105-K1-26",
	})
	if err != nil {
		t.Fatal(err)
	}
	footage, err := sv.vault.Open(ctx, grant, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	done, err := sv.gate.Respond(ctx, grant)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, footage)
	if err != nil || n == 0 {
		t.Fatalf("read %d bytes: %v", n, err)
	}
	done(n, 5)
}

// runFsck is the command as an operator calls it.
func runFsck(t *testing.T, l layout) (int, map[string]fsck.Result) {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"fsck", "--data", l.root, "--json", "--stray", "0s"}, stdio{&out, &errs})
	var results []fsck.Result
	if err := json.Unmarshal(out.Bytes(), &results); err != nil {
		t.Fatalf("fsck exits with %d: %v: %s%s", code, err, out.String(), errs.String())
	}
	byID := map[string]fsck.Result{}
	for _, r := range results {
		byID[r.ID] = r
	}
	return code, byID
}

// Each invariant is broken once, and that one is reported.
func TestFsckFindsWhatIsBroken(t *testing.T) {
	t.Run("nothing", func(t *testing.T) {
		l := installed(t)
		recorded(t, l, 3)
		code, results := runFsck(t, l)
		if code != exitOK {
			t.Fatalf("exit %d: %+v", code, results)
		}
		for _, id := range []string{"I1", "I2", "I3", "I5", "I6", "I8", "I9", "I11", "I12"} {
			if results[id].Checked == 0 || results[id].Violations == nil {
				t.Errorf("%s checked nothing: %+v", id, results[id])
			}
		}
	})
	object := func(l layout, c retention.Clip) string {
		return filepath.Join(l.objects(), filepath.FromSlash(c.ObjectKey))
	}
	for name, c := range map[string]struct {
		id    string
		sql   string
		files func(t *testing.T, l layout, c retention.Clip)
	}{
		"an object without a row":      {"I1", "", func(t *testing.T, l layout, c retention.Clip) { write(t, object(l, c)+"X", "stray") }},
		"a missing object":             {"I2", "", func(t *testing.T, l layout, c retention.Clip) { remove(t, object(l, c)) }},
		"a changed object":             {"I2", "", func(t *testing.T, l layout, c retention.Clip) { flip(t, object(l, c)) }},
		"a header after the deadline":  {"I3", `UPDATE catalogue_clip SET deadline_us = 1000 WHERE id = $1`, nil},
		"a header of a deleted clip":   {"I3", `UPDATE catalogue_clip SET state = 'deleted' WHERE id = $1`, nil},
		"a deadline too late":          {"I5", `UPDATE catalogue_clip SET deadline_us = deadline_us + 86400000000 WHERE id = $1`, nil},
		"a response without a viewing": {"I6", `UPDATE audit_response SET viewing = 'none' WHERE $1 <> ''`, nil},
		"a changed log entry":          {"I8", `UPDATE audit_leaf SET actor = 'somebody' WHERE seq = 1 AND $1 <> ''`, nil},
		"a removed log entry":          {"I8", `DELETE FROM audit_leaf WHERE seq = 2 AND $1 <> ''`, nil},
		"one header for two clips":     {"I9", `UPDATE catalogue_header SET header = (SELECT header FROM catalogue_header WHERE clip = $1)`, nil},
		"plaintext in the spool": {"I11", "", func(t *testing.T, l layout, _ retention.Clip) {
			write(t, filepath.Join(l.spool(), "leak"), "xx"+fsck.Canary)
		}},
		"a hole in the timeline":        {"I12", `UPDATE catalogue_clip SET end_us = end_us - 1000000 WHERE id = $1`, nil},
		"an overlap in the timeline":    {"I12", `UPDATE catalogue_clip SET end_us = end_us + 1000000 WHERE id = $1`, nil},
		"time that nobody accounts for": {"I12", `UPDATE catalogue_gap SET from_us = from_us + 1000000 WHERE $1 <> ''`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := installed(t)
			broken := recorded(t, l, 2)[0]
			if c.sql != "" {
				altered(t, l, c.sql, broken.ID)
			}
			if c.files != nil {
				c.files(t, l, broken)
			}
			code, results := runFsck(t, l)
			if code != exitFailed || len(results[c.id].Violations) == 0 {
				t.Errorf("exit %d, %s says %v", code, c.id, results[c.id].Violations)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A system clock that was set back between two runs extends no deadline, is said aloud and logged, and
// does not make the camera's time run twice.
func TestClockSetBack(t *testing.T) {
	l := installed(t)
	clips := recorded(t, l, 2)
	back := func() time.Time { return time.Now().Add(-2 * time.Hour) }
	s := opened(t, l, back)
	defer s.close()
	if now := s.clock.Now(); now.Before(clips[1].End) {
		t.Errorf("time goes on from %s, before the last clip's end %s", now, clips[1].End)
	}
	if _, err := s.clock.Deleting(); err != nil {
		t.Errorf("a clock set back stops deletion: %v", err)
	}
	if err := s.log.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
	faults, err := s.log.Entries(t.Context(), audit.Query{Events: []policy.Event{policy.ClockFault}})
	if err != nil || len(faults) != 1 || !strings.Contains(faults[0].Reason, "behind") {
		t.Errorf("the log says %+v, %v", faults, err)
	}
}

// After a long stop the system clock stands far ahead of the log and is doubted: who has a right to look
// still looks.
func TestLookAfterALongStop(t *testing.T) {
	l := installed(t)
	clips := recorded(t, l, 1)
	s := opened(t, l, func() time.Time { return time.Now().Add(26 * time.Hour) })
	defer s.close()
	if _, err := s.clock.Deleting(); !errors.Is(err, retention.ErrClock) {
		t.Fatalf("the clock is not doubted: %v", err)
	}
	lookAtClip(t, s, clips[0])
}

// A clock that leapt a year ahead deletes nothing until the operator vouches for it, however often the
// process is started: its own log entries must not vouch for the leap.
func TestClockLeaptAhead(t *testing.T) {
	l := installed(t)
	recorded(t, l, 2)
	ahead := func() time.Time { return time.Now().AddDate(1, 0, 0) }
	for range 3 {
		s := opened(t, l, ahead)
		re := openRetain(t.Context(), s, reaping{})
		_, err := re.sweeper.Sweep(t.Context())
		if !errors.Is(err, retention.ErrClock) || !strings.Contains(err.Error(), "--trust-clock") {
			t.Errorf("sweeping by that clock: %v", err)
		}
		if n := re.sweeper.Stats().Deleted; n != 0 {
			t.Errorf("%d clips were deleted", n)
		}
		if err := errors.Join(re.close(), s.close()); err != nil {
			t.Fatal(err)
		}
	}
}

// Deletion is the last thing that may stop: it goes on without the log's signing key and without a key
// store, and the process says what is wrong when it ends.
func TestDeletionGoesOnWhateverElseIsBroken(t *testing.T) {
	for name, breakIt := range map[string]func(l layout) error{
		"no signing key":         func(l layout) error { return os.Remove(filepath.Join(l.audit(), "audit.key")) },
		"no master key":          func(l layout) error { return os.RemoveAll(l.master()) },
		"a key store of garbage": func(l layout) error { return os.WriteFile(l.keyStore(), bytes.Repeat([]byte("garbage"), 2000), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := installed(t)
			configured(t, l, "PT72H", "PT40S", "version: 2", "version: 3")
			due := recorded(t, l, 3)[0] // 15 seconds old by now; only the newest was looked at
			if err := breakIt(l); err != nil {
				t.Fatal(err)
			}
			s := opened(t, l, nil)
			re := openRetain(t.Context(), s, reaping{})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- re.run(ctx) }()
			for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
				c, err := s.catalogue("test").Clip(t.Context(), due.ID)
				if err != nil {
					t.Fatal(err)
				}
				if c.State == retention.Deleted {
					break
				}
				if time.Since(begun) > time.Minute {
					t.Fatalf("the clip is %s, its deadline was %s", c.State, c.Deadline)
				}
			}
			if n := re.faults.count(); n == 0 {
				t.Error("no fault is counted")
			}
			cancel()
			if err := <-ended; err == nil {
				t.Error("the process ends as if nothing were wrong")
			}
			if err := s.close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
