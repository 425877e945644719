package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/keys"
)

// What went in comes out, whatever its size: chunks of age are 64 KiB, a window of the store is 1 MiB.
func TestFootageComesBack(t *testing.T) {
	s := newSite(t)
	for n, size := range []int{1, 15, 65535, 65536, 65537, 131072, 1<<20 - 1, 1 << 20, 3<<20 + 7} {
		c, plain := s.record(camera.ID(fmt.Sprintf("k%d", n)), noon, size)
		s.move()
		c = s.last(c.Camera)
		if c.State != retention.Committed || c.PlainSize != int64(size) || c.Frames != 10 || c.Duration() != time.Second {
			t.Errorf("%d bytes: %+v", size, c)
		}
		s.wantRead(c, plain)
	}
	empty, _ := s.record("k100", noon)
	s.move()
	if c := s.last("k100"); c.State != retention.Lost {
		t.Errorf("a clip without footage is %s", c.State)
	}
	if _, err := s.read(empty); !errors.Is(err, retention.ErrNoFootage) {
		t.Errorf("reading it: %v", err)
	}
}

// A clip that was cut off by a crash reads like any other, as far as it goes.
func readable(t *testing.T, s *site, sizes ...int) map[string]retention.Clip {
	whole, _ := s.record("k0", noon, sizes...)
	s.begin("k1", noon, sizes...)
	s.restart()
	s.move()
	cut := s.last("k1")
	if cut.State != retention.Partial || cut.PlainSize == 0 {
		t.Fatalf("the cut clip is %+v", cut)
	}
	return map[string]retention.Clip{"whole": s.last(whole.Camera), "cut": cut}
}

func TestReadersContract(t *testing.T) {
	s := newSite(t)
	for name, c := range readable(t, s, 30_000, 50_000, 10_000) {
		t.Run(name, func(t *testing.T) {
			plain, err := s.read(c)
			if err != nil || int64(len(plain)) != c.PlainSize {
				t.Fatalf("%d bytes, %v", len(plain), err)
			}
			f, err := s.vault().Open(t.Context(), s.look(c), c.ID)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := iotest.TestReader(f, plain); err != nil {
				t.Error(err)
			}
			if f.Clip() != c {
				t.Errorf("footage of %+v", f.Clip())
			}
		})
	}
}

func TestRandomAccess(t *testing.T) {
	s := newSite(t)
	for name, c := range readable(t, s, 200_000, 950_000, 70_000) {
		t.Run(name, func(t *testing.T) {
			plain, err := s.read(c)
			if err != nil {
				t.Fatal(err)
			}
			grant := s.look(c)
			rapid.Check(t, func(rt *rapid.T) {
				f, err := s.vault().Open(t.Context(), grant, c.ID)
				if err != nil {
					rt.Fatal(err)
				}
				defer f.Close()
				for range rapid.IntRange(1, 6).Draw(rt, "reads") {
					at := rapid.Int64Range(0, c.PlainSize+10).Draw(rt, "at")
					n := rapid.SampledFrom([]int{1, 100, 65536, 200_000}).Draw(rt, "bytes")
					if got, err := f.Seek(at-c.PlainSize, io.SeekEnd); err != nil || got != at {
						rt.Fatalf("seek to %d: %d, %v", at, got, err)
					}
					buf := make([]byte, n)
					got, err := io.ReadFull(f, buf)
					want := plain[min(at, c.PlainSize):min(at+int64(n), c.PlainSize)]
					if !bytes.Equal(buf[:got], want) || (err == nil) != (len(want) == n) {
						rt.Fatalf("%d bytes at %d: %d, %v", n, at, got, err)
					}
				}
			})
		})
	}
}

func TestNothingOpensWithoutItsGrant(t *testing.T) {
	s := newSite(t)
	a, _ := s.record("k0", noon, 1000)
	b, _ := s.record("k1", noon, 1000)
	s.move()
	open := func(g policy.Grant, c retention.Clip) error {
		f, err := s.vault().Open(t.Context(), g, c.ID)
		if f != nil {
			f.Close()
		}
		return err
	}
	granted := s.look(a)
	if err := open(granted, a); err != nil {
		t.Errorf("with its grant: %v", err)
	}
	if err := open(policy.Grant{}, a); !errors.Is(err, retention.ErrNoGrant) {
		t.Errorf("the zero grant: %v", err)
	}
	if err := open(granted, b); !errors.Is(err, retention.ErrNoGrant) {
		t.Errorf("another clip's grant: %v", err)
	}
	if err := open(policy.Grant{}, retention.Clip{ID: "none"}); !errors.Is(err, retention.ErrNotFound) {
		t.Errorf("no such clip: %v", err)
	}
	s.set(noon.Add(25 * time.Hour))
	if err := open(granted, a); !errors.Is(err, retention.ErrNoGrant) {
		t.Errorf("a grant that has expired: %v", err)
	}
}

// Logging is the clock that grants are minted by; the site's clocks agree unless a test says otherwise.
func (s *site) Logging() time.Time { return s.Reading() }

// doubted is a site whose system clock is far ahead of its log, as after a long stop: nobody vouched for it.
type doubted struct {
	*site
	ahead time.Duration
}

func (d doubted) Reading() time.Time { return d.site.Reading().Add(d.ahead) }

// A grant lives by the clock that minted it, so that a doubted system clock shuts nobody out; a deadline
// passes by whichever clock is later.
func TestGrantsGoByTheLogsClock(t *testing.T) {
	s := newSite(t)
	c, plain := s.record("k0", noon, 1000)
	s.move()
	month, err := policy.ParsePeriod("P1M")
	s.must(err)
	s.permit.Retention = month
	long, _ := s.record("k1", noon, 1000)
	s.move()
	v := s.vault()
	v.Clock = doubted{s, 26 * time.Hour}
	f, err := v.Open(t.Context(), s.look(long), long.ID)
	if err != nil {
		t.Fatalf("a grant of this minute: %v", err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || len(got) != len(plain) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := v.Open(t.Context(), s.look(c), c.ID); !errors.Is(err, retention.ErrGone) {
		t.Errorf("past its deadline by the later clock: %v", err)
	}
	grant := s.look(long)
	s.set(noon.Add(25 * time.Hour))
	if _, err := v.Open(t.Context(), grant, long.ID); !errors.Is(err, retention.ErrNoGrant) {
		t.Errorf("a grant that has expired by the log's clock: %v", err)
	}
}

// From the deadline on nothing is shown, also to whom is watching, and whether or not anybody deleted.
func TestDeadlineEndsReading(t *testing.T) {
	s := newSite(t)
	c, _ := s.record("k0", noon, 300_000)
	s.move()
	grant := s.look(c)
	f, err := s.vault().Open(t.Context(), grant, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 100)
	s.set(c.Deadline.Add(-time.Microsecond))
	if _, err := io.ReadFull(f, buf); err != nil {
		t.Errorf("before the deadline: %v", err)
	}
	s.set(c.Deadline)
	if n, err := f.Read(buf); n != 0 || !errors.Is(err, retention.ErrGone) {
		t.Errorf("at the deadline: %d bytes, %v", n, err)
	}
	if _, err := s.vault().Open(t.Context(), grant, c.ID); !errors.Is(err, retention.ErrGone) {
		t.Errorf("opening at the deadline: %v", err)
	}
	s.set(c.Deadline.Add(-time.Minute)) // a clock set back brings nothing back that was claimed
	if _, err := s.books.Claim(t.Context(), c.Deadline, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := s.vault().Open(t.Context(), grant, c.ID); !errors.Is(err, retention.ErrGone) {
		t.Errorf("opening after the claim: %v", err)
	}
	if _, err := f.Read(buf); err == nil {
		t.Log("a reader from before the claim keeps its key in memory until the deadline by its own clock")
	}
}

func TestClipThatIsBeingRecorded(t *testing.T) {
	s := newSite(t)
	rec, _, end := s.begin("k0", noon, 1000)
	if _, err := s.read(s.last("k0")); !errors.Is(err, retention.ErrNotReady) {
		t.Errorf("while it is written: %v", err)
	}
	s.must(rec.Close(t.Context(), end))
	if _, err := s.read(s.last("k0")); !errors.Is(err, retention.ErrNotReady) {
		t.Errorf("in the spool: %v", err)
	}
}

// Whatever is done to the stored bytes: a reader gets what was sealed, or an error, never anything else.
func TestDamageIsSeen(t *testing.T) {
	s := newSite(t)
	path := func(c retention.Clip) string { return filepath.Join(s.folder, "objects", c.ObjectKey) }
	n := 0
	for name, damage := range map[string]func(c, other retention.Clip) error{
		"a flipped bit in the nonce":      func(c, _ retention.Clip) error { return flip(path(c), 3) },
		"a flipped bit in the first part": func(c, _ retention.Clip) error { return flip(path(c), 1000) },
		"a flipped bit in the last part":  func(c, _ retention.Clip) error { return flip(path(c), c.Size-1) },
		"truncated by a byte":             func(c, _ retention.Clip) error { return os.Truncate(path(c), c.Size-1) },
		"truncated to nothing":            func(c, _ retention.Clip) error { return os.Truncate(path(c), 0) },
		"missing":                         func(c, _ retention.Clip) error { return os.Remove(path(c)) },
		"swapped with another clip's": func(c, other retention.Clip) error {
			b, err := os.ReadFile(path(other))
			return errors.Join(err, os.WriteFile(path(c), b, 0o600))
		},
		"its header is another clip's": func(c, other retention.Clip) error {
			_, err := s.db.Exec(`UPDATE catalogue_header SET header = (SELECT header FROM catalogue_header WHERE clip = $1) WHERE clip = $2`, other.ID, c.ID)
			return err
		},
		"its header is damaged": func(c, _ retention.Clip) error {
			_, err := s.db.Exec(`UPDATE catalogue_header SET header = substr(header, 1, 700) WHERE clip = $1`, c.ID)
			return err
		},
		"its row says more than there is": func(c, _ retention.Clip) error {
			_, err := s.db.Exec(`UPDATE catalogue_clip SET plain_size = plain_size + 1 WHERE id = $1`, c.ID)
			return err
		},
	} {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, cut %v", name, cut), func(t *testing.T) {
				n += 2
				cam, other := camera.ID(fmt.Sprintf("k%d", n)), camera.ID(fmt.Sprintf("k%d", n+1))
				rec, plain, end := s.begin(cam, noon, 65536, 65536, 65536)
				s.record(other, noon, 65536, 65536, 65536)
				if cut {
					s.restart()
				} else {
					s.must(rec.Close(t.Context(), end))
				}
				s.move()
				c := s.last(cam)
				s.must(damage(c, s.last(other)))
				got, err := s.read(c)
				if cut && name == "its row says more than there is" && err == nil {
					t.Fatal("the end of the clip was taken for its end")
				}
				if !errors.Is(err, retention.ErrDamaged) {
					t.Errorf("error %v, want that the clip is damaged", err)
				}
				if !bytes.HasPrefix(plain, got) {
					t.Error("something else was read than was recorded")
				}
			})
		}
	}
}

func flip(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		return err
	}
	b[0] ^= 1
	_, err = f.WriteAt(b, at)
	return err
}

// A store or a key store that is away is not damage, and it may come back.
func TestStoreThatIsAway(t *testing.T) {
	s := newSite(t)
	for name, c := range readable(t, s, 200_000, 950_000, 70_000) {
		for _, step := range []string{"stat", "open", "open and break off"} {
			t.Run(name+" "+step, func(t *testing.T) {
				plain, err := s.read(c)
				if err != nil {
					t.Fatal(err)
				}
				s.faulty.fault = failing(step, false)
				if step == "open and break off" {
					s.faulty.fault = failing("open", true)
				}
				_, err = s.read(c)
				s.faulty.fault = nil
				if !errors.Is(err, retention.ErrUnavailable) || !errors.Is(err, errFault) || errors.Is(err, retention.ErrDamaged) {
					t.Errorf("error %v", err)
				}
				// While it is watched: away for one request, then back.
				f, err := s.vault().Open(t.Context(), s.look(c), c.ID)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if _, err := io.ReadFull(f, make([]byte, 100)); err != nil {
					t.Fatal(err)
				}
				if _, err := f.Seek(1_100_000, io.SeekStart); err != nil {
					t.Fatal(err)
				}
				s.faulty.fault = failing("open", false)
				_, err = io.ReadAll(f)
				s.faulty.fault = nil
				if !errors.Is(err, retention.ErrUnavailable) {
					t.Errorf("while watching: %v", err)
				}
				rest, err := io.ReadAll(f)
				if err != nil || !bytes.HasSuffix(plain, rest) || len(rest) == 0 {
					t.Errorf("after it came back: %d bytes, %v", len(rest), err)
				}
			})
		}
	}
}

func TestKeyStoreThatIsAway(t *testing.T) {
	s := newSite(t)
	c, _ := s.record("k0", noon, 1000)
	s.move()
	ctx, cancel := context.WithCancel(t.Context())
	grant := s.look(c)
	cancel()
	if _, err := s.vault().Open(ctx, grant, c.ID); !errors.Is(err, retention.ErrUnavailable) {
		t.Errorf("a database that does not answer: %v", err)
	}
	if _, err := s.keys.Destroy(t.Context(), keys.Key{Permit: "plattan", Day: c.KeyDay}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.read(c); !errors.Is(err, retention.ErrUnavailable) {
		t.Errorf("without its key: %v, want that it cannot be reached, never an empty clip", err)
	}
}
