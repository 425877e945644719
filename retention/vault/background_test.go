package vault_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/retention"
	"klarsyn/retention/vault"
)

func (s *site) backgrounds() *vault.Backgrounds {
	return &vault.Backgrounds{Keys: s.books, Spool: s.spool(), Permit: s.config().Permit, Now: s.Reading}
}

func (s *site) reaper() *vault.BackgroundReaper {
	return &vault.BackgroundReaper{Rows: s.books, Spool: s.spool(), Now: s.Reading, Log: slog.New(slog.DiscardHandler)}
}

func (s *site) keptBackgrounds() []camera.ID {
	ids, err := vault.KeptBackgrounds(s.spool())
	s.must(err)
	return ids
}

// A background comes back as it was, until its deadline, and the newest of a camera only. No byte of it touches the disk.
func TestBackgroundComesBack(t *testing.T) {
	s := newSite(t)
	b := s.backgrounds()
	if got, err := b.Recall(t.Context(), "k0"); got != nil || err != nil {
		t.Errorf("before anything is kept: %d bytes, %v", len(got), err)
	}
	old, learnt := bytes.Repeat([]byte("an empty square "), 20000), bytes.Repeat([]byte("the square in rain "), 20000)
	s.must(b.Keep(t.Context(), "k0", old))
	before, err := os.ReadFile(filepath.Join(s.spool(), "k0.background"))
	s.must(err)
	s.must(b.Keep(t.Context(), "k0", learnt))
	if got, err := b.Recall(t.Context(), "k0"); !bytes.Equal(got, learnt) || err != nil {
		t.Errorf("%d bytes of %d, %v", len(got), len(learnt), err)
	}
	if got, err := b.Recall(t.Context(), "k1"); got != nil || err != nil {
		t.Errorf("another camera's: %d bytes, %v", len(got), err)
	}
	onDisk, err := os.ReadFile(filepath.Join(s.spool(), "k0.background"))
	s.must(err)
	if bytes.Contains(onDisk, []byte("square")) || bytes.Contains(before, []byte("square")) {
		t.Error("it lies in the spool in the clear")
	}
	// Whoever kept a copy of the older one cannot open it: its key is gone.
	s.must(os.WriteFile(filepath.Join(s.spool(), "k0.background"), before, 0o600))
	if got, err := b.Recall(t.Context(), "k0"); got != nil || !errors.Is(err, retention.ErrDamaged) {
		t.Errorf("the one before it: %d bytes, %v", len(got), err)
	}
}

// The deadline is the permit's, here an hour, and never later than a day. At it the key goes, then the bytes, whether or not
// the recorder runs.
func TestBackgroundExpires(t *testing.T) {
	for name, tt := range map[string]struct {
		period string
		life   time.Duration
	}{"the permit's hour": {"PT1H", time.Hour}, "a day of a permit's month": {"P1M", vault.BackgroundLife}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.must(s.permit.Retention.UnmarshalText([]byte(tt.period)))
			b, r := s.backgrounds(), s.reaper()
			s.must(b.Keep(t.Context(), "k0", []byte("an empty square")))
			s.set(noon.Add(tt.life - time.Second))
			s.must(r.Reap(t.Context()))
			if got, err := b.Recall(t.Context(), "k0"); got == nil || err != nil {
				t.Errorf("a second before its deadline: %d bytes, %v", len(got), err)
			}
			s.set(noon.Add(tt.life))
			if got, err := b.Recall(t.Context(), "k0"); got != nil || err != nil {
				t.Errorf("at its deadline, before anybody deletes: %d bytes, %v", len(got), err)
			}
			s.must(r.Reap(t.Context()))
			rows, err := s.books.Backgrounds(t.Context())
			s.must(err)
			if left := s.keptBackgrounds(); len(left) != 0 || len(rows) != 0 {
				t.Errorf("left: files of %v, rows of %v", left, rows)
			}
		})
	}
}

// Without a permit nothing is kept, and what was kept under one that has ended is not opened.
func TestBackgroundNeedsAPermit(t *testing.T) {
	s := newSite(t)
	b := s.backgrounds()
	s.must(b.Keep(t.Context(), "k0", []byte("an empty square")))
	s.permit.ValidTo = noon.Add(time.Minute)
	s.set(noon.Add(2 * time.Minute))
	if got, err := b.Recall(t.Context(), "k0"); got != nil || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := b.Keep(t.Context(), "k0", []byte("an empty square")); !errors.Is(err, camera.ErrNotPermitted) {
		t.Errorf("kept without a permit: %v", err)
	}
}

// The last room of a disk is for deletion.
func TestBackgroundLeavesRoom(t *testing.T) {
	s := newSite(t)
	b := s.backgrounds()
	b.MinFree = 1 << 60
	if err := b.Keep(t.Context(), "k0", []byte("an empty square")); !errors.Is(err, vault.ErrDiskFull) || !strings.Contains(err.Error(), "k0") {
		t.Errorf("kept on a full disk: %v", err)
	}
	if rows, err := s.books.Backgrounds(t.Context()); len(rows) != 0 || err != nil {
		t.Errorf("rows: %v, %v", rows, err)
	}
}

// Files that no row knows go, also what a crash left half written; clips stay.
func TestBackgroundWithoutAKey(t *testing.T) {
	s := newSite(t)
	clip, _ := s.record("k0", noon, 1000)
	s.must(s.backgrounds().Keep(t.Context(), "k0", []byte("an empty square")))
	for _, stray := range []string{"k1.background", "k2.background.new"} {
		s.must(os.WriteFile(filepath.Join(s.spool(), stray), []byte("sealed"), 0o600))
	}
	scrubs, r := 0, s.reaper()
	r.Scrub = func(context.Context) error { scrubs++; return nil }
	s.must(r.Reap(t.Context()))
	if got := s.keptBackgrounds(); !slices.Equal(got, []camera.ID{"k0"}) {
		t.Errorf("kept: %v", got)
	}
	if got := s.spooled(); !slices.Equal(got, []string{clip.ID}) {
		t.Errorf("clips: %v", got)
	}
	if scrubs != 0 {
		t.Error("scrubbed for nothing")
	}
}

// A damaged or foreign file is an error that names the camera, and never the key.
func TestBackgroundThatIsDamaged(t *testing.T) {
	s := newSite(t)
	b := s.backgrounds()
	s.must(b.Keep(t.Context(), "k0", bytes.Repeat([]byte("an empty square"), 9000)))
	name := filepath.Join(s.spool(), "k0.background")
	whole, err := os.ReadFile(name)
	s.must(err)
	for what, data := range map[string][]byte{
		"cut off": whole[:len(whole)/2], "empty": {}, "another byte": append(bytes.Clone(whole[:len(whole)-1]), whole[len(whole)-1]^1),
		"too long": append(bytes.Clone(whole), make([]byte, 4<<20)...),
	} {
		s.must(os.WriteFile(name, data, 0o600))
		got, err := b.Recall(t.Context(), "k0")
		if got != nil || !errors.Is(err, retention.ErrDamaged) || !strings.Contains(err.Error(), "k0") || strings.Contains(err.Error(), "AGE-SECRET") {
			t.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
	}
}

// The reaper works by itself, and scrubs the database of the key it destroyed until that succeeds.
func TestReaperRuns(t *testing.T) {
	s := newSite(t)
	s.must(s.backgrounds().Keep(t.Context(), "k0", []byte("an empty square")))
	r := s.reaper()
	tries := 0
	r.Scrub = func(ctx context.Context) error {
		if tries++; tries < 3 {
			return errors.New("somebody reads")
		}
		return nil
	}
	s.set(noon.Add(time.Hour))
	for range 5 {
		_ = r.Reap(t.Context())
	}
	if tries != 3 {
		t.Errorf("scrubbed %d times, want until it succeeds", tries)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	r.Every = time.Millisecond
	s.must(s.backgrounds().Keep(t.Context(), "k0", []byte("an empty square")))
	go func() { done <- r.Run(ctx) }()
	s.set(noon.Add(3 * time.Hour))
	for deadline := time.Now().Add(10 * time.Second); len(s.keptBackgrounds()) > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if left := s.keptBackgrounds(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	stop()
	s.must(<-done)
}
