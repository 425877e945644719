package vault_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/segment"
	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/fsck"
	"klarsyn/retention/vault"
)

func TestRowComesBeforeTheFirstByte(t *testing.T) {
	s := newSite(t)
	rec, _, _ := s.begin("k0", noon)
	c := s.last("k0")
	want := retention.Clip{
		ID: c.ID, Camera: "k0", Permit: "plattan", PermitVersion: 1, Start: noon, Counted: noon, Deadline: noon.Add(time.Hour), State: retention.Pending,
		KeyDay: "2026-11-20", ObjectKey: "clips/k0/2026-11-20/" + c.ID, Codec: camera.H264, Node: "n1",
	}
	if c != want {
		t.Errorf("reserved %+v\n    want %+v", c, want)
	}
	if h, err := s.books.Header(t.Context(), c.ID); err != nil || !strings.HasPrefix(string(h), "age-encryption.org/v1") {
		t.Errorf("header %.40q, %v", h, err)
	}
	if st, err := os.Stat(filepath.Join(s.spool(), c.ID+".seal")); err != nil || st.Size() != 0 {
		t.Errorf("the spool holds bytes before the first fragment: %v, %v", st, err)
	}
	s.must(rec.Close(t.Context(), camera.Closing{End: noon}))
}

// Retention counts from the earlier clock while the clocks agree, else from the server's.
func TestDeadlineCountsFrom(t *testing.T) {
	s := newSite(t)
	for n, c := range []struct {
		cam      time.Duration
		silent   bool
		deadline time.Duration
		flagged  bool
	}{
		{0, true, 0, false}, {0, false, 0, false},
		{-10 * time.Second, false, -10 * time.Second, false}, {10 * time.Second, false, 0, false},
		{-10*time.Second - 1, false, 0, true}, {10*time.Second + 1, false, 0, true},
		{-8760 * time.Hour, false, 0, true}, {8760 * time.Hour, false, 0, true},
	} {
		o := camera.Opening{Camera: camera.ID("k" + string(rune('0'+n))), Start: noon, CameraTime: noon.Add(c.cam), Format: camera.Format{Codec: camera.H264}}
		if c.silent {
			o.CameraTime = time.Time{}
		}
		rec, err := s.in.Begin(t.Context(), o)
		s.must(err)
		if have := s.last(o.Camera); !have.Deadline.Equal(noon.Add(time.Hour+c.deadline)) || have.ClockFlagged != c.flagged {
			t.Errorf("camera %s from the server: deadline %s, flagged %v", c.cam, have.Deadline, have.ClockFlagged)
		}
		s.must(rec.Close(t.Context(), camera.Closing{End: noon}))
	}
}

// By a clock that was doubted at start every clip is flagged, however well its camera agrees.
func TestDoubtedClockFlagsEveryClip(t *testing.T) {
	s := newSite(t)
	for _, doubted := range []bool{false, true} {
		s.must(s.in.Close())
		cfg := s.config()
		cfg.ClockDoubted = doubted
		in, err := vault.OpenIntake(t.Context(), cfg)
		s.must(err)
		s.in = in
		for cam, says := range map[camera.ID]time.Time{"k0": noon, "k1": {}} {
			from := noon
			if doubted {
				from = noon.Add(time.Second)
			}
			rec, err := s.in.Begin(t.Context(), camera.Opening{Camera: cam, Start: from, CameraTime: says, Format: camera.Format{Codec: camera.H264}})
			s.must(err)
			c := s.last(cam)
			if c.ClockFlagged != doubted || c.Deadline.Before(noon.Add(time.Hour)) {
				t.Errorf("a doubted clock: %v; camera %s: flagged %v, deadline %s", doubted, cam, c.ClockFlagged, c.Deadline)
			}
			s.must(rec.Close(t.Context(), camera.Closing{End: from.Add(time.Second)}))
		}
	}
}

// Interruptions are counted, not how often somebody reports them or fails to.
func TestGapsAreCountedOnce(t *testing.T) {
	s := newSite(t)
	say := func(cam camera.ID, cause camera.Cause) error {
		return s.in.Interrupt(t.Context(), camera.Gap{Camera: cam, From: noon, Cause: cause})
	}
	for range 3 {
		s.must(say("k0", camera.CameraDown))
	}
	s.must(say("k1", camera.CameraDown))
	s.must(say("k1", camera.NotPermitted))
	s.begin("k2", noon)
	if err := say("k2", camera.CameraDown); err == nil {
		t.Error("a gap began within an open clip")
	}
	s.books.Log = noLog{errFault}
	if err := say("k3", camera.CameraDown); !errors.Is(err, errFault) {
		t.Errorf("without a log: %v", err)
	}
	if n := s.in.Stats().Gaps; n != 3 {
		t.Errorf("%d gaps are counted, want one of k0 and two of k1", n)
	}
}

func TestBeginIsRefused(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		change func(s *site, cfg *vault.IntakeConfig)
		want   error
	}{
		"without a permit": {func(s *site, cfg *vault.IntakeConfig) {
			cfg.Permit = func(string, time.Time) (policy.Permit, bool) { return policy.Permit{}, false }
		}, camera.ErrNotPermitted},
		"on a full disk": {func(_ *site, cfg *vault.IntakeConfig) { cfg.MinFree = 1 << 62 }, vault.ErrDiskFull},
		"without a day key": {func(s *site, _ *vault.IntakeConfig) {
			s.must(s.books.WithdrawRecipient(t.Context(), "plattan", "2026-11-20"))
		}, nil},
		"without a log": {func(s *site, _ *vault.IntakeConfig) { s.books.Log = noLog{broken} }, broken},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.must(s.in.Close())
			cfg := s.config()
			c.change(s, &cfg)
			in, err := vault.OpenIntake(t.Context(), cfg)
			s.must(err)
			s.in = in
			_, err = in.Begin(t.Context(), camera.Opening{Camera: "k0", Start: noon})
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			for row := range s.books.All(t.Context()) {
				t.Errorf("a row was left: %+v", row)
			}
			if got := s.spooled(); len(got) != 0 {
				t.Errorf("files were left: %v", got)
			}
		})
	}
}

// noLog refuses every entry.
type noLog struct{ err error }

// On a full disk the recorder says that storage is full, once, and not again at every keyframe.
func TestFullDiskStopsRecording(t *testing.T) {
	s := newSite(t)
	s.must(s.in.Close())
	cfg := s.config()
	cfg.MinFree = 1 << 62
	in, err := vault.OpenIntake(t.Context(), cfg)
	s.must(err)
	s.in = in
	r := segment.NewRecorder(segment.Config{Camera: "k0", Vault: in})
	sps := []byte{0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20}
	f := camera.Format{Codec: camera.H264, SPS: sps, PPS: []byte{0x68, 0xcb, 0x8c, 0xb2}}
	for n := range 5 {
		at := time.Duration(n) * time.Second
		au := camera.AccessUnit{DTS: at, PTS: at, Time: noon.Add(at), Keyframe: true, NALUs: [][]byte{{0x65, 1}}}
		if err := r.Record(t.Context(), f, au); !errors.Is(err, vault.ErrDiskFull) {
			t.Errorf("picture %d: %v", n, err)
		}
	}
	gaps, err := s.books.Gaps(t.Context(), "k0", noon.Add(-time.Hour), noon.Add(time.Hour))
	if err != nil || len(gaps) != 1 || gaps[0].Cause != camera.StorageFull || !strings.Contains(gaps[0].Detail, "disk") {
		t.Errorf("gaps %+v, %v, want one because storage is full", gaps, err)
	}
}

func TestSpoolHasOneRecorder(t *testing.T) {
	s := newSite(t)
	if in, err := vault.OpenIntake(t.Context(), s.config()); !errors.Is(err, vault.ErrSpoolTaken) {
		t.Errorf("a second recorder: %v, %v", in, err)
	}
	s.restart() // the first has given it back
}

// The file cannot be made: the clip is given up, and the camera's time goes on.
func TestSpoolThatCannotBeWritten(t *testing.T) {
	s := newSite(t)
	s.must(os.Rename(s.spool(), s.spool()+"-gone"))
	_, err := s.in.Begin(t.Context(), camera.Opening{Camera: "k0", Start: noon})
	s.must(os.Rename(s.spool()+"-gone", s.spool()))
	if err == nil {
		t.Fatal("no error")
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// The recording side has nothing that opens a clip: no key lies in anything that it reads or writes.
func TestRecordingSideCannotOpen(t *testing.T) {
	s := newSite(t)
	s.record("k0", noon, 100_000)
	s.move()
	s.record("k1", noon, 100_000)
	holds := func(folder string) (n int) {
		s.must(filepath.WalkDir(filepath.Join(s.folder, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			n += strings.Count(string(b), "AGE-SECRET-KEY")
			return err
		}))
		return n
	}
	if holds("keys") == 0 {
		t.Fatal("the test looks for the wrong bytes")
	}
	for _, folder := range []string{"catalogue", "spool", "objects"} {
		if n := holds(folder); n != 0 {
			t.Errorf("%s holds %d secret keys", folder, n)
		}
	}
	s.keys.Opener = noOpener{}
	if _, err := s.read(s.last("k0")); !errors.Is(err, retention.ErrUnavailable) {
		t.Errorf("without the master key's secret half: %v", err)
	}
}

type noOpener struct{}

func (noOpener) Open(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("no secret half")
}

// Plaintext never touches a disk: not while it is written, not in the spool, not in the store.
func TestNoPlaintextOnDisk(t *testing.T) {
	s := newSite(t)
	canaries := []byte(strings.Repeat(fsck.Canary+" ", 10_000))
	clean := func(when string) {
		t.Helper()
		r, err := fsck.NoPlaintext(t.Context(), s.folder)
		if err != nil || len(r.Violations) != 0 || r.Checked == 0 {
			t.Errorf("%s: %+v, %v", when, r, err)
		}
	}
	rec, err := s.in.Begin(t.Context(), camera.Opening{Camera: "k0", Start: noon})
	s.must(err)
	end := camera.Closing{End: noon.Add(time.Second), Frames: 10}
	s.must(rec.Write(t.Context(), canaries, end))
	clean("while it is written")
	s.must(rec.Close(t.Context(), end))
	clean("in the spool")
	s.move()
	clean("in the store")
	s.wantRead(s.last("k0"), canaries)
	clean("after it was read")
}

// Run moves what is closed, at once and not at its next look, and ends with its context.
func TestRunMovesAtOnce(t *testing.T) {
	s := newSite(t)
	s.must(s.in.Close())
	cfg := s.config()
	cfg.Every = time.Hour
	in, err := vault.OpenIntake(t.Context(), cfg)
	s.must(err)
	s.in = in
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	moved := make(chan struct{}, 10)
	s.done.fault = func(step string) (before, after error) {
		if step == "commit" {
			moved <- struct{}{}
		}
		return nil, nil
	}
	go func() { done <- s.in.Run(ctx) }()
	s.record("k0", noon, 1000)
	<-moved
	cancel()
	s.must(<-done)
	s.move()
	if st := s.in.Stats(); st.Reserved != 1 || st.Committed != 1 || st.Bytes != 16+1000+16 || st.Lost != 0 {
		t.Errorf("stats %+v", st)
	}
}

// The database was away when the clip was closed: the mover writes its end.
func TestEndIsWrittenLater(t *testing.T) {
	s := newSite(t)
	rec, plain, end := s.begin("k0", noon, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := rec.Close(ctx, end); err == nil {
		t.Fatal("the end was written without a database")
	}
	s.move()
	if c := s.last("k0"); c.State != retention.Committed || !c.End.Equal(end.End) {
		t.Errorf("%+v", c)
	}
	s.wantRead(s.last("k0"), plain)
}
