package vault_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
)

const (
	chunk       = 65536
	sealedChunk = chunk + 16
)

// check verifies what the crash left of a clip: at most the open fragment and 64 KiB of what had reached
// the disk are lost, the rest is read back, and nothing stays in the spool.
func (s *site) check(t rapid.TB, cam camera.ID, plain []byte, marks []int, reached int64) {
	t.Helper()
	c := s.last(cam)
	whole := max(0, reached-16) / sealedChunk * chunk
	want := 0
	for _, m := range marks {
		if int64(m) <= whole {
			want = m
		}
	}
	if len(s.spooled()) != 0 {
		t.Errorf("the spool holds %v", s.spooled())
	}
	if want == 0 {
		if c.State != retention.Lost || s.traces(c) != 0 || s.entries(policy.ClipLost, c) != 1 {
			t.Errorf("cut at %d: the clip is %s with %d traces, want it lost", reached, c.State, s.traces(c))
		}
		return
	}
	if c.State != retention.Partial || c.PlainSize != int64(want) || s.entries(policy.ClipPartial, c) != 1 || s.traces(c) != 1 {
		t.Errorf("cut at %d: %s with %d bytes, want partial with %d", reached, c.State, c.PlainSize, want)
		return
	}
	got, err := s.read(c)
	if err != nil || !bytes.Equal(got, plain[:want]) {
		t.Errorf("cut at %d: read %d bytes, %v", reached, len(got), err)
	}
}

// cut shortens a clip's spool file as a crash may leave it.
func (s *site) cut(id, ending string, to int64) {
	s.t.Helper()
	s.must(os.Truncate(filepath.Join(s.spool(), id+ending), to))
}

func sum(sizes []int) (marks []int) {
	total := 0
	for _, n := range sizes {
		total += n
		marks = append(marks, total)
	}
	return marks
}

// The stream is cut at every kind of place, with all lines of the index, and with a torn last one.
func TestCrashCutsTheStream(t *testing.T) {
	s := newSite(t)
	sizes := []int{40_000, 100_000, 65_536, 30_000, 120_000}
	n := 0
	for name, to := range map[string]int64{
		"before the first byte": 0, "within the nonce": 7, "after the nonce": 16, "within the first chunk": 5000,
		"a byte before a border": 16 + sealedChunk - 1, "at a border": 16 + sealedChunk, "a byte after a border": 16 + sealedChunk + 1,
		"within a tag": 16 + 3*sealedChunk - 8, "within a late chunk": 16 + 3*sealedChunk + 100, "not at all": -1,
	} {
		t.Run(name, func(t *testing.T) {
			n++
			cam := camera.ID(fmt.Sprintf("k%d", n))
			_, plain, _ := s.begin(cam, noon, sizes...)
			id := s.last(cam).ID
			st, err := os.Stat(filepath.Join(s.spool(), id+".seal"))
			s.must(err)
			reached := st.Size()
			if to >= 0 {
				reached = to
				s.cut(id, ".seal", to)
			}
			s.restart()
			if end := s.last(cam).End; end.IsZero() {
				t.Error("the clip has no end after the start: its camera's time cannot go on")
			}
			s.move()
			s.check(t, cam, plain, sum(sizes), reached)
		})
	}
}

// Wherever stream and index are cut, apart from each other.
func TestCrashCutsAnywhere(t *testing.T) {
	s := newSite(t)
	n := 100
	rapid.Check(t, func(rt *rapid.T) {
		n++
		cam := camera.ID(fmt.Sprintf("k%d", n))
		sizes := rapid.SliceOfN(rapid.IntRange(1, 100_000), 1, 5).Draw(rt, "fragments")
		_, plain, _ := s.begin(cam, noon, sizes...)
		id := s.last(cam).ID
		st, err := os.Stat(filepath.Join(s.spool(), id+".seal"))
		s.must(err)
		reached := rapid.Int64Range(0, st.Size()).Draw(rt, "stream")
		s.cut(id, ".seal", reached)
		idx, err := os.ReadFile(filepath.Join(s.spool(), id+".idx"))
		s.must(err)
		kept := rapid.IntRange(0, len(idx)).Draw(rt, "index")
		s.cut(id, ".idx", int64(kept))
		lines := strings.Count(string(idx[:kept]), "\n")
		s.restart()
		s.move()
		s.check(rt, cam, plain, sum(sizes)[:lines], reached)
		if rt.Failed() {
			rt.FailNow()
		}
	})
}

// The stream was closed, and the crash came before the index said so; or a power cut kept the index and not
// all of the stream.
func TestCrashWhileClosing(t *testing.T) {
	for name, c := range map[string]struct {
		sizes  []int
		damage func(s *site, id string)
		plain  int64
		state  retention.State
	}{
		"not at all": {[]int{100_000, 50_000}, func(*site, string) {}, 150_000, retention.Committed},
		"no end line": {[]int{100_000, 50_000}, func(s *site, id string) {
			idx, err := os.ReadFile(filepath.Join(s.spool(), id+".idx"))
			s.must(err)
			s.cut(id, ".idx", int64(len(idx)-len("end\n")))
		}, 100_000, retention.Partial},
		"half an end line": {[]int{100_000, 50_000}, func(s *site, id string) {
			idx, err := os.ReadFile(filepath.Join(s.spool(), id+".idx"))
			s.must(err)
			s.cut(id, ".idx", int64(len(idx)-1))
		}, 100_000, retention.Partial},
		"no end line, and the last chunk is full": {[]int{2 * chunk}, func(s *site, id string) {
			idx, err := os.ReadFile(filepath.Join(s.spool(), id+".idx"))
			s.must(err)
			s.cut(id, ".idx", int64(len(idx)-len("end\n")))
		}, 2 * chunk, retention.Partial},
		"an end line, and no last chunk": {[]int{100_000, 50_000}, func(s *site, id string) {
			s.cut(id, ".seal", 16+2*sealedChunk)
		}, 100_000, retention.Partial},
		"a damaged line before the end": {[]int{100_000, 50_000}, func(s *site, id string) {
			idx, err := os.ReadFile(filepath.Join(s.spool(), id+".idx"))
			s.must(err)
			lines := strings.SplitAfter(string(idx), "\n")
			lines[1] = "\x00\x00 what\n"
			s.must(os.WriteFile(filepath.Join(s.spool(), id+".idx"), []byte(strings.Join(lines, "")), 0o600))
		}, 100_000, retention.Partial},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			clip, plain := s.record("k0", noon, c.sizes...)
			c.damage(s, clip.ID)
			s.restart()
			s.move()
			have := s.last("k0")
			if have.State != c.state || have.PlainSize != c.plain {
				t.Fatalf("%s with %d bytes, want %s with %d", have.State, have.PlainSize, c.state, c.plain)
			}
			s.wantRead(have, plain[:c.plain])
		})
	}
}

// Files of one clip that cannot be read keep its own camera waiting, and no other; the mover goes on trying, and
// when they are mended or given up the camera's time goes on.
func TestUnreadableSpoolFile(t *testing.T) {
	for name, c := range map[string]struct {
		ending string
		mend   bool
		state  retention.State
	}{
		"the index, mended":    {".idx", true, retention.Partial},
		"the index, given up":  {".idx", false, retention.Lost},
		"the stream, mended":   {".seal", true, retention.Partial},
		"the stream, given up": {".seal", false, retention.Lost},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			_, plain, _ := s.begin("k0", noon, 100_000, 100_000)
			s.begin("k1", noon, 100_000, 100_000)
			file := filepath.Join(s.spool(), s.last("k0").ID+c.ending)
			s.must(os.Rename(file, file+"-aside"))
			s.must(os.MkdirAll(filepath.Join(file, "in the way"), 0o700))

			s.restart()
			if first := s.last("k1"); first.End.IsZero() {
				t.Fatal("the other camera's clip has no end")
			}
			second, _, end := s.begin("k1", noon.Add(time.Minute), 1000)
			s.must(second.Close(t.Context(), end))
			if _, err := s.in.Begin(t.Context(), camera.Opening{Camera: "k0", Start: noon.Add(time.Minute)}); !errors.Is(err, catalogue.ErrOpenClip) {
				t.Errorf("recording over a clip that may reach further: %v", err)
			}
			id := s.last("k0").ID
			if err := s.in.Move(t.Context()); err == nil || !strings.Contains(err.Error(), id) {
				t.Errorf("the mover says %v", err)
			}
			if c := s.last("k1"); c.State != retention.Committed {
				t.Errorf("the other camera's clip is %s", c.State)
			}

			s.must(os.RemoveAll(file))
			if c.mend {
				s.must(os.Rename(file+"-aside", file))
			}
			s.move()
			have := s.last("k0")
			if have.State != c.state || have.End.IsZero() {
				t.Errorf("%s, end %s, want %s", have.State, have.End, c.state)
			}
			if c.mend {
				s.wantRead(have, plain[:100_000])
			}
			next, _, end := s.begin("k0", noon.Add(2*time.Minute), 1000)
			s.must(next.Close(t.Context(), end))
		})
	}
}

// A crash, or a fault, at every step between the spool and the commit: the clip is committed once, stored
// once, and the spool is empty.
func TestEveryStepOfTheMoveMayFail(t *testing.T) {
	s := newSite(t)
	n := 0
	for _, step := range []string{"list", "put", "verify", "commit"} {
		for _, applied := range []bool{false, true} {
			for _, crash := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, applied %v, crash %v", step, applied, crash), func(t *testing.T) {
					n++
					cam := camera.ID(fmt.Sprintf("k%d", n))
					c, plain := s.record(cam, noon, 100_000)
					s.faulty.fault, s.done.fault = failing(step, applied), failing(step, applied)
					if err := s.in.Move(t.Context()); err == nil && (step != "list" || !applied) {
						t.Error("the fault was swallowed")
					}
					s.faulty.fault, s.done.fault = nil, nil
					if crash {
						s.restart()
					}
					s.move()
					s.move()
					c = s.last(cam)
					if c.State != retention.Committed || s.entries(policy.ClipCommitted, c) != 1 || s.traces(c) != 1 || len(s.spooled()) != 0 {
						t.Errorf("%s, %d entries, %d traces, spool %v", c.State, s.entries(policy.ClipCommitted, c), s.traces(c), s.spooled())
					}
					s.wantRead(c, plain)
				})
			}
		}
	}
}

// A clip that begins and ends while a slow store takes another is not swept from the spool.
func TestSlowStoreLosesNoClip(t *testing.T) {
	s := newSite(t)
	s.record("k0", noon, 1000)
	var plain []byte
	s.faulty.onPut = func() {
		s.faulty.onPut = nil
		var c retention.Clip
		c, plain = s.record("k1", noon, 1000)
		long := time.Now().Add(-time.Hour) // the put took that long
		for _, ending := range []string{".seal", ".idx"} {
			s.must(os.Chtimes(filepath.Join(s.spool(), c.ID+ending), long, long))
		}
	}
	s.move()
	s.move()
	c := s.last("k1")
	if c.State != retention.Committed {
		t.Fatalf("the other clip is %s", c.State)
	}
	s.wantRead(c, plain)
}

// The deadline applies to the spool too, whether the clip is closed or still being written.
func TestClipExpiresInTheSpool(t *testing.T) {
	s := newSite(t)
	closed, _ := s.record("k0", noon, 1000)
	rec, _, end := s.begin("k1", noon, 1000)
	cut, _, _ := s.begin("k2", noon, 100_000)
	_ = cut
	if n, err := s.books.Claim(t.Context(), closed.Deadline, 10); err != nil || len(n) != 3 {
		t.Fatalf("%d claimed, %v", len(n), err)
	}
	s.must(rec.Close(t.Context(), end))
	s.move()
	if got := s.spooled(); slices.Contains(got, closed.ID) || slices.Contains(got, s.last("k1").ID) {
		t.Errorf("the spool still holds %v", got)
	}
	s.restart()
	s.move()
	if got := s.spooled(); len(got) != 0 {
		t.Errorf("after a crash the spool holds %v", got)
	}
	for _, cam := range []camera.ID{"k0", "k1", "k2"} {
		if c := s.last(cam); c.State != retention.Deleting || c.End.IsZero() || s.traces(c) != 0 {
			t.Errorf("%s: %s, end %s, %d traces", cam, c.State, c.End, s.traces(c))
		}
	}
}

// Its deadline was faster than the store: the clip is not brought back, and the spool is empty.
func TestClipExpiresDuringThePut(t *testing.T) {
	s := newSite(t)
	c, _ := s.record("k0", noon, 1000)
	s.faulty.onPut = func() {
		s.faulty.onPut = nil
		if _, err := s.books.Claim(t.Context(), c.Deadline, 10); err != nil {
			t.Error(err)
		}
	}
	s.move()
	if have := s.last("k0"); have.State != retention.Deleting || len(s.spooled()) != 0 {
		t.Errorf("%s, spool %v", have.State, s.spooled())
	}
}
