package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/database/databasetest"
	"klarsyn/retention/keys"
	"klarsyn/retention/object"
	"klarsyn/retention/vault"
)

const thisCase = "0105-K12345-26" // the one that look looks for

var lead = policy.Subject{Name: "lena", Role: policy.InvestigationLead, Session: "s2"}

func (s *site) custody() *vault.Custody {
	return &vault.Custody{Vault: s.vault(), Book: s.books, Keys: s.keys, Minting: s.books.LogCaseKeyMinted, Now: s.Reading}
}

func (s *site) cutter() *vault.Cutter {
	return &vault.Cutter{Vault: s.vault(), List: s.books, Book: s.books, Keys: s.keys, Store: s.store, Now: s.Reading, Log: slog.New(slog.DiscardHandler)}
}

// hold places a hold for a case, on clips or on a stretch of a camera's time.
func (s *site) hold(number string, h retention.Hold) (retention.Hold, []retention.Refusal) {
	s.t.Helper()
	h.Kind, h.Case, h.Basis, h.Requester, h.Approver, h.Review = retention.Evidence, number, "robbery at the stairs", "anna", lead.Name, s.Reading().AddDate(0, 1, 0)
	placed, refused, err := s.custody().Place(s.t.Context(), lead, h)
	s.must(err)
	return placed, refused
}

func (s *site) holdClip(number string, c retention.Clip) retention.Hold {
	s.t.Helper()
	h, refused := s.hold(number, retention.Hold{Clips: []retention.HeldClip{{Clip: c.ID}}})
	if len(refused) != 0 || len(h.Clips) != 1 {
		s.t.Fatalf("held %v, refused %v", h.Clips, refused)
	}
	return h
}

// lift lifts a hold, as two people do.
func (s *site) lift(h retention.Hold) {
	s.t.Helper()
	s.must(s.books.AskLift(s.t.Context(), lead, h.ID, "case closed"))
	s.must(s.books.Lift(s.t.Context(), policy.Subject{Name: "leo", Role: policy.InvestigationLead, Session: "s3"}, h.ID))
}

func (s *site) claim() []retention.Clip {
	s.t.Helper()
	clips, err := s.books.Claim(s.t.Context(), s.Reading(), 100)
	s.must(err)
	return clips
}

func (s *site) stored(cam camera.ID, sizes ...int) (retention.Clip, []byte) {
	s.t.Helper()
	_, plain := s.record(cam, s.Reading(), sizes...)
	s.move()
	return s.last(cam), plain
}

func (s *site) wantGone(c retention.Clip) {
	s.t.Helper()
	if _, err := s.read(c); !errors.Is(err, retention.ErrGone) {
		s.t.Errorf("clip %s: %v, want %v", c.ID, err, retention.ErrGone)
	}
}

// Who watches for the case that holds the clip watches on when its deadline passes; who watches for another one does not.
func TestDeadlineEndsNoWatchingForTheCase(t *testing.T) {
	s := newSite(t)
	c, plain := s.stored("k0", 30_000, 70_000)
	h := s.holdClip(thisCase, c)
	f, err := s.vault().Open(t.Context(), s.look(c), c.ID)
	s.must(err)
	defer f.Close()
	head := make([]byte, 1000)
	_, err = io.ReadFull(f, head)
	s.must(err)
	s.set(c.Deadline)
	rest, err := io.ReadAll(f)
	if err != nil || !bytes.Equal(append(head, rest...), plain) {
		t.Errorf("over the deadline: %d bytes of %d, %v", len(head)+len(rest), len(plain), err)
	}
	s.lift(h)
	time.Sleep(1100 * time.Millisecond) // how long a hold is believed to be in force
	_, err = f.Seek(0, io.SeekStart)
	s.must(err)
	if n, err := f.Read(head); n != 0 || !errors.Is(err, retention.ErrGone) {
		t.Errorf("after the hold was lifted: %d bytes, %v", n, err)
	}

	other, _ := s.stored("k1", 30_000)
	s.holdClip("B 99-26", other)
	g, err := s.vault().Open(t.Context(), s.look(other), other.ID)
	s.must(err)
	defer g.Close()
	s.set(other.Deadline)
	if n, err := g.Read(head); n != 0 || !errors.Is(err, retention.ErrGone) {
		t.Errorf("for a case that holds nothing: %d bytes, %v", n, err)
	}
}

// A held clip outlives its deadline and its day key: then its case opens it, and no other.
func TestHeldClipOutlivesItsDayKey(t *testing.T) {
	s := newSite(t)
	c, plain := s.stored("k0", 30_000, 70_000)
	h := s.holdClip(thisCase, c)
	s.wantRead(c, plain)
	s.set(c.Deadline)
	s.wantRead(c, plain) // also before the sweeper comes
	if claimed := s.claim(); len(claimed) != 0 {
		t.Fatalf("claimed %v", claimed)
	}
	if _, err := s.books.Header(t.Context(), c.ID); !errors.Is(err, retention.ErrGone) {
		t.Errorf("the day key's header: %v", err)
	}
	if needed, err := s.books.KeyNeeded(t.Context(), c.Permit, c.KeyDay); err != nil || needed {
		t.Errorf("the day key is needed: %v, %v", needed, err)
	}
	s.wantRead(c, plain)
	if n := s.entries(policy.ClipHeldOver, c); n != 1 {
		t.Errorf("%d entries", n)
	}
	if claimed := s.claim(); len(claimed) != 0 || s.entries(policy.ClipHeldOver, c) != 1 {
		t.Errorf("a second pass: %v", claimed)
	}

	other := s.holdClip("B 99-26", c) // a second case is given the key by the first
	s.lift(h)
	if now, err := s.books.Clip(t.Context(), c.ID); err != nil || now.Holds != 1 || now.State != retention.Committed {
		t.Errorf("%+v, %v", now, err)
	}
	s.wantGone(c) // for the first case
	s.lift(other)
	now, err := s.books.Clip(t.Context(), c.ID)
	if err != nil || now.State != retention.Deleting || now.Held() {
		t.Errorf("after the last hold: %+v, %v", now, err)
	}
	for _, number := range []string{thisCase, "B 99-26"} {
		if key, err := s.books.CaseKey(t.Context(), c.ID, number); !errors.Is(err, retention.ErrGone) {
			t.Errorf("case %s still has %d bytes, %v", number, len(key.FileKey), err)
		}
	}
	if n := s.entries(policy.ClipShredded, c); n != 1 {
		t.Errorf("%d entries that say it is unreadable", n)
	}
}

// A hold that is lifted in time leaves no trace on the clip.
func TestHoldLiftedBeforeTheDeadline(t *testing.T) {
	s := newSite(t)
	c, plain := s.stored("k0", 1000)
	s.lift(s.holdClip(thisCase, c))
	s.wantRead(c, plain)
	if now, err := s.books.Clip(t.Context(), c.ID); err != nil || now != c {
		t.Errorf("%+v, %v, want %+v", now, err, c)
	}
	s.set(c.Deadline)
	if claimed := s.claim(); len(claimed) != 1 {
		t.Errorf("claimed %v", claimed)
	}
	s.wantGone(c)
}

// What nobody can open any more is never said to be held.
func TestHoldIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(*site, retention.Clip)
		reason string
	}{
		"at the deadline":    {func(s *site, c retention.Clip) { s.set(c.Deadline) }, "its deadline has passed"},
		"after the claim":    {func(s *site, c retention.Clip) { s.set(c.Deadline); s.claim() }, "claimed for deletion already"},
		"without its header": {func(s *site, c retention.Clip) { s.exec(`DELETE FROM catalogue_header`) }, "nothing opens its footage"},
		"when nothing is left": {func(s *site, c retention.Clip) {
			s.set(c.Deadline)
			s.claim()
			s.must(s.bury(c))
		}, "deleted already"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			c, _ := s.stored("k0", 1000)
			tt.before(s, c)
			h, refused := s.hold(thisCase, retention.Hold{Clips: []retention.HeldClip{{Clip: c.ID}}})
			if len(h.Clips) != 0 || len(refused) != 1 || !bytes.Contains([]byte(refused[0].Reason), []byte(tt.reason)) {
				t.Errorf("held %v, refused %v, want %q", h.Clips, refused, tt.reason)
			}
			if n := s.entries(policy.HoldRefused, c); n != 1 {
				t.Errorf("%d entries", n)
			}
			if all, err := s.books.Holds(t.Context(), "", false, 10, ""); err != nil || len(all) != 0 {
				t.Errorf("%v, %v", all, err)
			}
		})
	}
}

// Lifting takes two people.
func TestLiftTakesTwo(t *testing.T) {
	s := newSite(t)
	c, _ := s.stored("k0", 1000)
	h := s.holdClip(thisCase, c)
	leo := policy.Subject{Name: "leo", Role: policy.InvestigationLead, Session: "s3"}
	if err := s.books.Lift(t.Context(), leo, h.ID); !errors.Is(err, retention.ErrNobodyAsked) {
		t.Errorf("unasked: %v", err)
	}
	s.must(s.books.AskLift(t.Context(), lead, h.ID, "closed"))
	if err := s.books.Lift(t.Context(), lead, h.ID); !errors.Is(err, retention.ErrSamePerson) {
		t.Errorf("alone: %v", err)
	}
	s.must(s.books.Lift(t.Context(), leo, h.ID))
	if err := s.books.Lift(t.Context(), leo, h.ID); !errors.Is(err, retention.ErrHoldLifted) {
		t.Errorf("again: %v", err)
	}
	if err := s.books.Lift(t.Context(), leo, "01JD000000000000000000000A"); !errors.Is(err, retention.ErrNoHold) {
		t.Errorf("another: %v", err)
	}
}

// film is fragmented MP4 of one fragment a second, ten pictures each; a keyframe begins those that are named.
func film(t *testing.T, fragments int, keyframe func(n int) bool) [][]byte {
	t.Helper()
	sps := []byte{0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20}
	var head seekablebuffer.Buffer
	if err := (fmp4.Init{Tracks: []*fmp4.InitTrack{{ID: 1, TimeScale: 90000, Codec: &codecs.H264{SPS: sps, PPS: []byte{0x68, 0xce, 0x38, 0x80}}}}}).Marshal(&head); err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for n := range fragments {
		var samples []*fmp4.Sample
		for i := range 10 {
			samples = append(samples, &fmp4.Sample{Duration: 9000, IsNonSyncSample: i > 0 || !keyframe(n), Payload: noise(2000 + 100*n + i)})
		}
		var out seekablebuffer.Buffer
		part := fmp4.Part{SequenceNumber: uint32(n), Tracks: []*fmp4.PartTrack{{ID: 1, BaseTime: uint64(n) * 90000, Samples: samples}}}
		if err := part.Marshal(&out); err != nil {
			t.Fatal(err)
		}
		b := out.Bytes()
		if n == 0 {
			b = append(head.Bytes(), b...)
		}
		all = append(all, b)
	}
	return all
}

func (s *site) film(cam camera.ID, fragments [][]byte) retention.Clip {
	s.t.Helper()
	from := s.Reading()
	rec, err := s.in.Begin(s.t.Context(), camera.Opening{Camera: cam, Start: from, Format: camera.Format{Codec: camera.H264}})
	s.must(err)
	c := camera.Closing{End: from}
	for i, b := range fragments {
		c.End, c.Frames = from.Add(time.Duration(i+1)*time.Second), c.Frames+10
		s.must(rec.Write(s.t.Context(), b, c))
	}
	s.must(rec.Close(s.t.Context(), c))
	s.move()
	return s.last(cam)
}

// A hold on a part of a clip cuts that part into the case, from the keyframe before it on, and the rest expires.
func TestPartOfAClip(t *testing.T) {
	for name, tt := range map[string]struct {
		from, to    float64 // of the hold, in seconds of the clip
		first, last int     // the fragments that must be kept, the last one not
	}{
		"within":                         {4.2, 6.5, 4, 7},
		"from a picture that needs more": {5.5, 6, 4, 6},
		"the beginning":                  {-3, 1, 0, 1},
		"to the end":                     {8.5, 60, 8, 10},
		"everything but for a second":    {1, 10, 0, 10}, // the keyframe at 0 is needed: nothing is cut
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			fragments := film(t, 10, func(n int) bool { return n%2 == 0 })
			c := s.film("k0", fragments)
			s.set(noon.Add(2 * time.Minute))
			at := func(seconds float64) time.Time { return c.Start.Add(time.Duration(seconds * float64(time.Second))) }
			h, refused := s.hold(thisCase, retention.Hold{Camera: "k0", From: at(tt.from), To: at(tt.to)})
			if len(h.Clips) != 1 || len(refused) != 0 {
				t.Fatalf("held %v, refused %v", h.Clips, refused)
			}
			whole := tt.last-tt.first == len(fragments)
			n, err := s.cutter().Cut(t.Context())
			if err != nil || n != 1 {
				t.Fatalf("%d cuts, %v", n, err)
			}
			if n, err := s.cutter().Cut(t.Context()); err != nil || n != 0 {
				t.Errorf("a second pass: %d cuts, %v", n, err)
			}
			kept, err := s.books.Hold(t.Context(), h.ID)
			s.must(err)
			if whole {
				if now, err := s.books.Clip(t.Context(), c.ID); err != nil || len(kept.Clips) != 1 || now.Holds != 1 {
					t.Errorf("%+v, %+v, %v", kept.Clips, now, err)
				}
				return
			}
			var cut retention.Clip
			for _, k := range kept.Clips {
				if k.Over.IsZero() {
					cut, err = s.books.Clip(t.Context(), k.Clip)
					s.must(err)
				} else if k.Clip != c.ID || k.Cut == "" {
					t.Errorf("let go of %+v", k)
				}
			}
			if !cut.Start.Equal(at(float64(tt.first))) || !cut.End.Equal(at(float64(tt.last))) || cut.Frames != 10*(tt.last-tt.first) || cut.Parent != c.ID || cut.Deadline != c.Deadline {
				t.Errorf("the part is %+v", cut)
			}
			want := append([]byte{}, fragments[0]...)
			if tt.first > 0 {
				want = want[:bytes.Index(want, []byte("moof"))-4]
				want = append(want, fragments[tt.first]...)
			}
			for _, b := range fragments[tt.first+1 : tt.last] {
				want = append(want, b...)
			}
			s.wantRead(cut, want)
			if spans, err := s.books.Spans(t.Context(), "k0", c.Start, c.End); err != nil || len(spans) != 1 {
				t.Errorf("the timeline has %v, %v", spans, err)
			}

			s.set(c.Deadline) // the rest goes
			if claimed := s.claim(); len(claimed) != 1 || claimed[0].ID != c.ID {
				t.Errorf("claimed %v", claimed)
			}
			s.wantGone(c)
			s.wantRead(cut, want)
			s.lift(h)
			s.wantGone(cut)
			if now, err := s.books.Clip(t.Context(), cut.ID); err != nil || now.State != retention.Deleting {
				t.Errorf("the part after its hold: %+v, %v", now, err)
			}
		})
	}
}

// A cut that nobody finished is given up, and cut again; what may lie of it in the store is deleted.
func TestCutThatDied(t *testing.T) {
	s := newSite(t)
	c := s.film("k0", film(t, 6, func(int) bool { return true }))
	s.set(noon.Add(time.Minute))
	h, _ := s.hold(thisCase, retention.Hold{Camera: "k0", From: c.Start.Add(2 * time.Second), To: c.Start.Add(3 * time.Second)})
	dying := s.cutter()
	dying.Store = diesWhenPut{s.store}
	if _, err := dying.Cut(t.Context()); !errors.Is(err, errDies) {
		t.Fatalf("%v", err)
	}
	if n, err := s.cutter().Cut(t.Context()); err != nil || n != 0 {
		t.Errorf("while it may still be at work: %d, %v", n, err)
	}
	s.set(noon.Add(10 * time.Minute))
	if n, err := s.cutter().Cut(t.Context()); err != nil || n != 1 {
		t.Errorf("afterwards: %d, %v", n, err)
	}
	kept, err := s.books.Hold(t.Context(), h.ID)
	s.must(err)
	states := map[retention.State]int{}
	for _, k := range kept.Clips {
		clip, err := s.books.Clip(t.Context(), k.Clip)
		s.must(err)
		if clip.Parent != "" {
			states[clip.State]++
		}
	}
	if states[retention.Deleting] != 1 || states[retention.Committed] != 1 {
		t.Errorf("cuts are %v", states)
	}
}

var errDies = errors.New("the process dies")

// diesWhenPut stores, and then does as if the process had died.
type diesWhenPut struct{ vault.Putter }

func (d diesWhenPut) Put(ctx context.Context, key string, body io.Reader, size int64, sum [32]byte) (info object.Info, err error) {
	if _, err := d.Putter.Put(ctx, key, body, size, sum); err != nil {
		return info, err
	}
	return info, errDies
}

func (s *site) exec(query string) {
	s.t.Helper()
	_, err := s.db.Exec(query)
	s.must(err)
}

// A store that breaks off in the middle of a clip is no end of it: nothing is cut, and the whole of it stays held.
func TestCutOverAStoreThatBreaksOff(t *testing.T) {
	s := newSite(t)
	c := s.film("k0", film(t, 10, func(int) bool { return true }))
	s.set(noon.Add(time.Minute))
	h, _ := s.hold(thisCase, retention.Hold{Camera: "k0", From: c.Start.Add(2 * time.Second), To: c.Start.Add(9 * time.Second)})
	breaking := s.cutter()
	breaking.Vault = &vault.Vault{Shelf: s.books, Keyring: s.keys, Store: breaksOff{s.store, 100_000}, Clock: s}
	if n, err := breaking.Cut(t.Context()); n != 0 || !errors.Is(err, retention.ErrUnavailable) {
		t.Errorf("%d cuts, %v", n, err)
	}
	if now, err := s.books.Clip(t.Context(), c.ID); err != nil || now.Holds != 1 {
		t.Errorf("%+v, %v", now, err)
	}
	if n, err := s.cutter().Cut(t.Context()); err != nil || n != 1 {
		t.Fatalf("afterwards: %d, %v", n, err)
	}
	kept, err := s.books.Hold(t.Context(), h.ID)
	s.must(err)
	for _, k := range kept.Clips {
		if k.Over.IsZero() && (!k.From.Equal(c.Start.Add(2*time.Second)) || !k.To.Equal(c.Start.Add(9*time.Second))) {
			t.Errorf("kept %+v", k)
		}
	}
}

// breaksOff ends every answer after some bytes, as a connection that is lost does.
type breaksOff struct {
	vault.Reader
	after int64
}

func (b breaksOff) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	r, err := b.Reader.Open(ctx, key, offset, length)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, b.after), r}, nil
}

// What is held and still waits in the spool at its deadline is stored all the same.
func TestHeldInTheSpool(t *testing.T) {
	s := newSite(t)
	c, plain := s.record("k0", noon, 30_000)
	s.holdClip(thisCase, c)
	s.set(c.Deadline)
	s.claim()
	s.move()
	s.wantRead(s.last("k0"), plain)
}

// The key of a case is in the log before it is anywhere: who holds something after the log failed finds no key that nobody told of.
func TestCaseKeyIsLogged(t *testing.T) {
	s := newSite(t)
	c, _ := s.stored("k0", 1000)
	custody := s.custody()
	full := errors.New("the disk is full")
	custody.Minting = func(context.Context, string) error { return full }
	h := retention.Hold{Kind: retention.Evidence, Case: thisCase, Review: s.Reading().AddDate(0, 1, 0), Clips: []retention.HeldClip{{Clip: c.ID}}}
	if _, _, err := custody.Place(t.Context(), lead, h); !errors.Is(err, full) {
		t.Fatalf("held without a log: %v", err)
	}
	if cases, err := s.keys.Cases(t.Context()); err != nil || len(cases) != 0 || s.minted() != 0 {
		t.Fatalf("keys of %v, %d entries, %v", cases, s.minted(), err)
	}
	for range 2 {
		s.holdClip(thisCase, c)
	}
	if n := s.minted(); n != 1 {
		t.Errorf("%d entries", n)
	}
}

// What is cut out is sealed to the key that the hold has; where that is lost nobody makes another one in silence.
func TestCutWithoutItsKey(t *testing.T) {
	s := newSite(t)
	c := s.film("k0", film(t, 6, func(int) bool { return true }))
	s.set(noon.Add(time.Minute))
	s.hold(thisCase, retention.Hold{Camera: "k0", From: c.Start.Add(2 * time.Second), To: c.Start.Add(3 * time.Second)})
	if _, err := s.keys.DestroyCase(t.Context(), thisCase, s.Reading().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := s.cutter().Cut(t.Context()); n != 0 || !errors.Is(err, keys.ErrNoKey) {
			t.Errorf("%d cuts, %v", n, err)
		}
	}
	if cases, err := s.keys.Cases(t.Context()); err != nil || len(cases) != 0 || s.minted() != 1 {
		t.Errorf("keys of %v, %d entries, %v", cases, s.minted(), err)
	}
	if now, err := s.books.Clip(t.Context(), c.ID); err != nil || now.Holds != 1 {
		t.Errorf("%+v, %v", now, err)
	}
}

// minted counts what the log says of keys of cases that were made.
func (s *site) minted() int {
	s.t.Helper()
	n := 0
	for _, logged := range databasetest.Logged(s.t, s.db) {
		if logged.Event == policy.CaseKeyMinted {
			n++
		}
	}
	return n
}

// A whole batch of parts that cannot be cut keeps no other waiting, and is tried again.
func TestCutterGoesRound(t *testing.T) {
	s := newSite(t)
	const batch = 20 // of the cutter
	for n := range batch + 1 {
		from := s.Reading()
		c := s.film(camera.ID(fmt.Sprintf("k%d", n)), film(t, 3, func(int) bool { return true }))
		s.set(from.Add(5 * time.Second))
		s.hold(thisCase, retention.Hold{Camera: c.Camera, From: c.Start.Add(time.Second), To: c.Start.Add(2 * time.Second)})
	}
	parts, err := s.books.ToCut(t.Context(), retention.PartHeld{}, 100)
	s.must(err)
	if len(parts) != batch+1 {
		t.Fatalf("%d parts", len(parts))
	}
	last, err := s.books.Clip(t.Context(), parts[batch].Clip)
	s.must(err)
	cutter := s.cutter()
	cutter.Vault = &vault.Vault{Shelf: s.books, Keyring: s.keys, Store: hasOnly{s.store, last.ObjectKey}, Clock: s}
	if n, err := cutter.Cut(t.Context()); n != 0 || err == nil {
		t.Fatalf("the first pass: %d cuts, %v", n, err)
	}
	if n, err := cutter.Cut(t.Context()); n != 1 || err != nil {
		t.Errorf("the second: %d cuts, %v", n, err)
	}
	cutter.Vault = s.vault()
	if n, err := cutter.Cut(t.Context()); n != batch || err != nil {
		t.Errorf("when the store is back: %d cuts, %v", n, err)
	}
}

// hasOnly is a store that gives one object out.
type hasOnly struct {
	vault.Reader
	key string
}

func (h hasOnly) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if key != h.key {
		return nil, errFault
	}
	return h.Reader.Open(ctx, key, offset, length)
}

func (h hasOnly) Stat(ctx context.Context, key string) (object.Info, error) {
	if key != h.key {
		return object.Info{}, errFault
	}
	return h.Reader.Stat(ctx, key)
}
