package fsck_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/policy/audit/replay"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
	"klarsyn/retention/fsck"
	"klarsyn/retention/keys"
)

// held is what a site has of holds: camera k2 has one clip of each kind, kept by a hold of its own.
type held struct {
	keys   *keys.Store
	whole  string // held, before its deadline
	over   string // held, past its deadline
	cut    string // what was cut out of parent, which went
	parent string
	let    string // was held, and is not any more
	holds  map[string]string
}

var (
	anna = policy.Subject{Name: "anna", Role: policy.InvestigationLead}
	bo   = policy.Subject{Name: "bo", Role: policy.InvestigationLead}
)

// newHeldSite is a site with holds and keys, whose log is replayed.
func newHeldSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	s.keyStore()
	s.cam = "k2"
	s.held.holds = map[string]string{}

	s.clock = noon.Add(-80 * time.Minute)
	over := s.record("over", noon.Add(-90*time.Minute), 5*time.Second)
	s.hold(over, over.Start, over.End)
	s.held.over = over.ID
	parent := s.record("parent", over.End, 6*time.Second)
	s.hold(parent, parent.Start.Add(2*time.Second), parent.End)
	s.cutOut(parent)
	let := s.record("let", parent.End, 5*time.Second)
	s.hold(let, let.Start, let.End)
	s.held.let, s.held.parent = let.ID, parent.ID

	s.clock = noon.Add(-29 * time.Minute) // their deadlines have passed
	due, err := s.books.Claim(t.Context(), s.clock, 10)
	s.must(err)
	s.must(s.books.AskLift(t.Context(), anna, s.held.holds[let.ID], "the case is closed"))
	s.must(s.books.Lift(t.Context(), bo, s.held.holds[let.ID]))
	_, err = s.held.keys.DestroyCase(t.Context(), "K-"+let.ID, s.clock)
	s.must(err)
	for _, c := range append(due, let) {
		_, err := s.store.Delete(t.Context(), c.ObjectKey)
		s.must(err)
		s.bury(c, s.clock)
	}

	s.clock = noon
	whole := s.record("whole", noon.Add(-20*time.Minute), 5*time.Second)
	s.hold(whole, whole.Start, whole.End)
	s.held.whole = whole.ID
	s.interrupt(whole.End)
	return s
}

// keyStore gives the site a day key, and a place for those of cases.
func (s *site) keyStore() {
	s.t.Helper()
	ctx, folder := s.t.Context(), s.t.TempDir()
	s.must(keys.CreateMaster(folder))
	public, err := keys.LoadPublic(folder)
	s.must(err)
	db, err := database.OpenSQLite(ctx, filepath.Join(folder, "keys.db"))
	s.must(err)
	s.t.Cleanup(func() { db.Close() })
	s.must(database.Migrate(ctx, db, database.SQLite, database.Owner{Name: "keys", Files: keys.Migrations()}))
	s.held.keys = &keys.Store{DB: db, Sealer: public, Now: func() time.Time { return s.clock }}
	s.mint("2026-11-20")
}

// mint mints a day key and publishes its recipient, as retain does.
func (s *site) mint(day string) {
	s.t.Helper()
	recipient, _, err := s.held.keys.Mint(s.t.Context(), keys.Key{Permit: "plattan", Day: day})
	s.must(err)
	s.must(s.books.PublishRecipient(s.t.Context(), "plattan", day, recipient))
}

// hold places a hold on a part of a clip, in a case of its own.
func (s *site) hold(c retention.Clip, from, to time.Time) {
	s.t.Helper()
	number, id := "K-"+c.ID, "H"+c.ID[1:]
	_, err := s.held.keys.MintCase(s.t.Context(), number, s.books.LogCaseKeyMinted)
	s.must(err)
	h := retention.Hold{
		ID: id, Kind: retention.Evidence, Case: number, Basis: "robbery", Requester: "cilla", Approver: "anna", Review: noon.AddDate(0, 1, 0), Placed: s.clock,
		Clips: []retention.HeldClip{{Clip: c.ID, From: from, To: to}},
	}
	sealed := retention.SealedKey{Header: []byte("header of " + c.ID), FileKey: []byte("file key of " + c.ID)}
	_, refused, err := s.books.PlaceHold(s.t.Context(), anna, h, map[string]retention.SealedKey{c.ID: sealed})
	s.must(err)
	if len(refused) > 0 {
		s.t.Fatalf("not held: %v", refused)
	}
	s.held.holds[c.ID] = id
}

// cutOut cuts the held part of a clip out into its case.
func (s *site) cutOut(parent retention.Clip) {
	s.t.Helper()
	ctx := s.t.Context()
	parts, err := s.books.ToCut(ctx, retention.PartHeld{}, 10)
	s.must(err)
	if len(parts) != 1 || parts[0].Clip != parent.ID {
		s.t.Fatalf("to cut: %+v", parts)
	}
	id := fmt.Sprintf("%026d", 99)
	cut := retention.Clip{
		ID: id, Camera: parent.Camera, Start: parts[0].From, End: parts[0].To, Frames: 5, ObjectKey: retention.ObjectKey(parent.Camera, parts[0].From, id),
		Node: "n1", KeyCase: parts[0].Case, Parent: parent.ID,
	}
	s.must(s.books.ReserveCut(ctx, parts[0], cut, []byte("header of "+id)))
	body := "sealed bytes of " + id
	cut.Size, cut.PlainSize, cut.SHA256 = int64(len(body)), 5, sha256.Sum256([]byte(body))
	_, err = s.store.Put(ctx, cut.ObjectKey, strings.NewReader(body), cut.Size, cut.SHA256)
	s.must(err)
	s.must(s.books.CommitCut(ctx, parts[0], cut))
	s.held.cut = id
}

func (s *site) clip(id string) retention.Clip {
	s.t.Helper()
	c, err := s.books.Clip(s.t.Context(), id)
	s.must(err)
	return c
}

// full is a check of everything: with keys, log, and whether cases open what they hold.
func (s *site) full() fsck.Check {
	c := s.check()
	books := catalogue.Checked{Catalogue: s.books}
	c.Keys, c.Recipients = s.held.keys, books.Recipients
	c.Opens = func(context.Context, string, string) error { return nil }
	c.Replay = func(ctx context.Context) (fsck.Story, error) {
		clips, err := audit.Replay(ctx, s.db, s.books.Dialect)
		return story{clips, time.Time{}}, err
	}
	return c
}

// story is a replayed log, as cmd hands it over.
type story struct {
	clips  *replay.Clips
	begins time.Time
}

func (s story) Begins() time.Time { return s.begins }

func (s story) All() iter.Seq[fsck.Told] {
	return func(yield func(fsck.Told) bool) {
		for c := range s.clips.All() {
			if !yield(told(c)) {
				return
			}
		}
	}
}

func (s story) Clip(id string) (fsck.Told, bool) {
	c, ok := s.clips.Clip(id)
	return told(c), ok
}

func told(c replay.Clip) fsck.Told {
	t := fsck.Told{ID: c.ID, State: retention.State(c.State), Deadline: c.Deadline, HeldOver: c.HeldOver, Lost: c.Lost, Shredded: c.Shredded}
	for _, h := range c.Holds {
		t.Holds = append(t.Holds, h.ID)
	}
	if b, err := hex.DecodeString(c.SHA256); err == nil {
		copy(t.SHA256[:], b)
	}
	return t
}

// A square with holds, keys and a log breaks nothing, and everything was looked into but what there is none of.
func TestCleanSquare(t *testing.T) {
	s := newHeldSite(t)
	results, err := fsck.Run(t.Context(), s.full())
	s.must(err)
	for _, r := range results {
		if len(r.Violations) > 0 || len(r.Warnings) > 0 {
			t.Errorf("%s: %q, warned of %q", r.ID, r.Violations, r.Warnings)
		}
		want := fsck.Holds
		if r.ID == "I13" {
			want = fsck.Nothing
		}
		if r.Verdict != want {
			t.Errorf("%s: %s, want %s: %+v", r.ID, r.Verdict, want, r)
		}
	}
}

// Each of what is said of holds, keys and the log is broken once: exactly that is reported, once, and it names row and mend.
func TestBrokenHoldsKeysAndLog(t *testing.T) {
	for name, c := range map[string]struct {
		id     string
		wrong  func(s *site) (row string)
		repair fsck.Repair
	}{
		"a held object is missing": {"I4", func(s *site) string {
			_, err := s.store.Delete(s.t.Context(), s.clip(s.held.over).ObjectKey)
			s.must(err)
			return "clip:" + s.held.over
		}, ""},
		"a hold that lost the header": {"I4", func(s *site) string {
			s.exec(`UPDATE catalogue_held SET header = NULL WHERE clip = $1`, s.held.whole)
			return "clip:" + s.held.whole
		}, ""},
		"a hold that lost the file key": {"I4", func(s *site) string {
			s.exec(`UPDATE catalogue_held SET file_key = NULL WHERE clip = $1`, s.held.over)
			return "clip:" + s.held.over
		}, ""},
		"a hold that keeps another header": {"I4", func(s *site) string {
			s.exec(`UPDATE catalogue_held SET header = 'x' WHERE clip = $1`, s.held.whole)
			return "clip:" + s.held.whole
		}, ""},
		"a part that lost its header": {"I4", func(s *site) string {
			s.exec(`DELETE FROM catalogue_header WHERE clip = $1`, s.held.cut)
			return "clip:" + s.held.cut
		}, ""},
		"a part of another case": {"I4", func(s *site) string {
			s.exec(`UPDATE catalogue_clip SET key_case = $1 WHERE id = $2`, "K-"+s.held.whole, s.held.cut)
			return "clip:" + s.held.cut
		}, ""},
		"a hold that is not counted": {"I4", func(s *site) string {
			s.exec(`UPDATE catalogue_clip SET holds = 0 WHERE id = $1`, s.held.whole)
			return "clip:" + s.held.whole
		}, fsck.RepairCount},
		"a hold that is counted twice": {"I4", func(s *site) string {
			s.exec(`UPDATE catalogue_clip SET holds = 2 WHERE id = $1`, s.held.whole)
			return "clip:" + s.held.whole
		}, fsck.RepairCount},
		"a hold that let go while it is in force": {"I4", func(s *site) string {
			s.exec(`INSERT INTO catalogue_held (hold, clip, from_us, to_us, over_us) VALUES ($1, $2, 1, 0, 2)`, s.held.holds[s.held.whole], s.clips[retention.Lost].ID)
			return "hold:" + s.held.holds[s.held.whole]
		}, ""},
		"a hold on a clip that never was": {"I4", func(s *site) string {
			s.exec(`INSERT INTO catalogue_held (hold, clip, from_us, to_us) VALUES ($1, 'none', 1, 0)`, s.held.holds[s.held.whole])
			return "hold:" + s.held.holds[s.held.whole]
		}, ""},
		"a key of a case that opens nothing": {"I4", func(s *site) string { return "clip:" + s.held.over }, ""},
		"a deletion while it was held": {"I4", func(s *site) string {
			// The row of the hold says that it was lifted a minute after its clip was shredded.
			s.exec(`UPDATE catalogue_held SET over_us = over_us + 60000000 WHERE clip = $1`, s.held.let)
			return "clip:" + s.held.let
		}, ""},

		"a held clip that its day key still opens": {"I3", func(s *site) string {
			s.exec(`INSERT INTO catalogue_header (clip, header) VALUES ($1, $2)`, s.held.over, []byte("header of "+s.held.over))
			return "clip:" + s.held.over
		}, fsck.RepairHeader},
		"what a lifted hold kept is still there": {"I3", func(s *site) string {
			s.exec(`UPDATE catalogue_held SET file_key = 'x' WHERE clip = $1`, s.held.let)
			return "hold:" + s.held.holds[s.held.let]
		}, fsck.RepairLetGo},
		"a header that two held clips share": {"I9", func(s *site) string {
			s.exec(`UPDATE catalogue_held SET header = $1 WHERE clip = $2`, []byte("header of "+s.held.cut), s.held.over)
			return "clip:" + s.held.cut
		}, ""},

		"a day key is gone": {"I10", func(s *site) string {
			_, err := s.held.keys.Destroy(s.t.Context(), keys.Key{Permit: "plattan", Day: "2026-11-20"})
			s.must(err)
			s.exec(`DELETE FROM catalogue_recipient`)
			return "day-key:plattan/2026-11-20"
		}, ""},
		"a day key that nobody needs": {"I10", func(s *site) string {
			s.mint("2026-11-18")
			return "day-key:plattan/2026-11-18"
		}, fsck.RepairKeys},
		"a recipient without its key": {"I10", func(s *site) string {
			s.must(s.books.PublishRecipient(s.t.Context(), "plattan", "2026-11-21", "x"))
			return "day-key:plattan/2026-11-21"
		}, fsck.RepairRecipient},
		"the key of a case is gone": {"I10", func(s *site) string {
			_, err := s.held.keys.DestroyCase(s.t.Context(), "K-"+s.held.over, s.now)
			s.must(err)
			return "hold:" + s.held.holds[s.held.over]
		}, ""},
		"the key of a case that nothing needs": {"I10", func(s *site) string {
			s.clock = noon.Add(-2 * time.Hour)
			_, err := s.held.keys.MintCase(s.t.Context(), "K-none", s.books.LogCaseKeyMinted)
			s.must(err)
			return "case-key:asked for at 2026-11-20T10:00:00Z"
		}, fsck.RepairKeys},

		"a state that nobody logged": {"I7", func(s *site) string {
			s.exec(`UPDATE catalogue_clip SET state = 'partial' WHERE id = $1`, s.clips["second"].ID)
			return "clip:" + s.clips["second"].ID
		}, ""},
		"a clip that nobody logged": {"I7", func(s *site) string {
			s.exec(`UPDATE catalogue_clip SET id = 'unheard-of' WHERE id = $1`, s.clips[retention.Lost].ID)
			s.log(policy.ClipDeletedEntry("service:test", ref(s.clips[retention.Lost]), policy.Deletion{Deadline: s.clips[retention.Lost].Deadline, Deleted: noon}))
			s.exec(`INSERT INTO catalogue_clip SELECT $1, camera, permit, permit_version, start_us, end_us, camera_us, clock_flagged, deadline_us, 'deleted', key_day,
				object_key || 'x', object_version, size, plain_size, sha256, frames, codec, node, shredded_us, 1, removed, listed, counted_us, rule, holds, cased_us, parent, key_case,
				barrier, sweeper, fence, lease_us FROM catalogue_clip WHERE id = 'unheard-of'`, s.clips[retention.Lost].ID)
			return "clip:unheard-of"
		}, ""},
		"a held clip that went over without a word": {"I7", func(s *site) string {
			s.exec(`UPDATE catalogue_clip SET cased_us = $1 WHERE id = $2`, s.now.UnixMicro(), s.held.whole)
			s.exec(`DELETE FROM catalogue_header WHERE clip = $1`, s.held.whole)
			return "clip:" + s.held.whole
		}, ""},
		"a row that was set back": {"I14", func(s *site) string {
			s.log(policy.ClipShreddedEntry("service:test", ref(s.clips["second"]), s.clips["second"].Deadline, "committed"))
			return "clip:" + s.clips["second"].ID
		}, ""},
		"a deadline that was moved past the log": {"I14", func(s *site) string {
			s.exec(`UPDATE catalogue_clip SET deadline_us = deadline_us - 1 WHERE id = $1`, s.clips[retention.Partial].ID)
			return "clip:" + s.clips[retention.Partial].ID
		}, ""},
		"an object and its hash that were replaced": {"I14", func(s *site) string {
			c := s.clips["second"]
			other := strings.Repeat("x", int(c.Size))
			sum := sha256.Sum256([]byte(other))
			_, err := s.store.Delete(s.t.Context(), c.ObjectKey)
			s.must(err)
			_, err = s.store.Put(s.t.Context(), c.ObjectKey, strings.NewReader(other), c.Size, sum)
			s.must(err)
			s.exec(`UPDATE catalogue_clip SET sha256 = $1 WHERE id = $2`, sum[:], c.ID)
			return "clip:" + c.ID
		}, ""},
		"a row that was removed": {"I14", func(s *site) string {
			s.exec(`DELETE FROM catalogue_clip WHERE id = $1`, s.clips[retention.Lost].ID)
			return "clip:" + s.clips[retention.Lost].ID
		}, ""},
		"a hold whose rows are gone": {"I14", func(s *site) string {
			s.exec(`DELETE FROM catalogue_held WHERE clip = $1`, s.held.whole)
			s.exec(`UPDATE catalogue_clip SET holds = 0 WHERE id = $1`, s.held.whole)
			return "clip:" + s.held.whole
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newHeldSite(t)
			check := s.full()
			row := c.wrong(s)
			if name == "a key of a case that opens nothing" {
				check.Opens = func(_ context.Context, clip, _ string) error {
					if clip == s.held.over {
						return errors.New("not with this key")
					}
					return nil
				}
			}
			results, err := fsck.Run(t.Context(), check)
			s.must(err)
			s.only(results, c.id, row, c.repair)
		})
	}
}

// only wants one finding, of one rule, about one row.
func (s *site) only(results []fsck.Result, id, row string, repair fsck.Repair) {
	s.t.Helper()
	for _, r := range results {
		switch {
		case r.ID != id && len(r.Violations) > 0:
			s.t.Errorf("%s was reported too: %q", r.ID, r.Violations)
		case r.ID == id && len(r.Findings) != 1:
			s.t.Errorf("%s: %q, want one violation", r.ID, r.Violations)
		case r.ID == id:
			f := r.Findings[0]
			if f.Row != row || f.Rule != id || f.Mend == "" || f.Repair != repair || f.What != r.Violations[0] {
				s.t.Errorf("%s found %+v, want one about %s that is repaired by %q", id, f, row, repair)
			}
		}
	}
}

func (s *site) log(e policy.Entry) {
	s.t.Helper()
	s.must(s.books.Log.Record(s.t.Context(), e))
}

func ref(c retention.Clip) policy.ClipRef {
	return policy.ClipRef{ID: c.ID, Camera: string(c.Camera), Permit: policy.PermitRef{ID: c.Permit, Version: c.PermitVersion}}
}

// A hold that waits for somebody is no violation, and is not kept silent.
func TestReviewThatIsPast(t *testing.T) {
	s := newHeldSite(t)
	s.exec(`UPDATE catalogue_hold SET review_us = $1 WHERE id = $2`, s.now.Add(-time.Second).UnixMicro(), s.held.holds[s.held.whole])
	results, err := fsck.Run(t.Context(), s.full())
	s.must(err)
	for _, r := range results {
		if len(r.Violations) > 0 {
			t.Errorf("%s: %q", r.ID, r.Violations)
		}
		if (r.ID == "I4") != (len(r.Warnings) == 1 && strings.Contains(r.Warnings[0], s.held.holds[s.held.whole])) {
			t.Errorf("%s warns of %q", r.ID, r.Warnings)
		}
	}
}

// What nobody let the checker look into is skipped, with a reason, and is not said to hold.
func TestWhatMayNotBeLookedInto(t *testing.T) {
	s := newHeldSite(t)
	c := s.check()
	c.NoKeys, c.NoLog, c.NotOpened = "the key store is closed", "the log is closed", "the master key is away"
	results, err := fsck.Run(t.Context(), c)
	s.must(err)
	for _, r := range results {
		want, reason := fsck.Holds, ""
		switch r.ID {
		case "I4":
			reason = c.NotOpened
		case "I10":
			want, reason = fsck.Skipped, c.NoKeys
		case "I7", "I14":
			want, reason = fsck.Skipped, c.NoLog
		case "I13":
			want, reason = fsck.Nothing, "makes none"
		}
		if r.Verdict != want || (reason == "") != (len(r.Skipped) == 0) || reason != "" && !strings.Contains(r.Skipped[0], reason) {
			t.Errorf("%s: %s, skipped %q, want %s for %q", r.ID, r.Verdict, r.Skipped, want, reason)
		}
	}
}

// A log that holds what nobody can have logged is I8's to report; here nothing is said by it.
func TestLogThatCannotBeReplayed(t *testing.T) {
	s := newHeldSite(t)
	c := s.full()
	c.Replay = func(context.Context) (fsck.Story, error) { return nil, fmt.Errorf("%w: entry 7", fsck.ErrStory) }
	results, err := fsck.Run(t.Context(), c)
	s.must(err)
	for _, r := range results {
		if (r.ID == "I7" || r.ID == "I14") != (r.Verdict == fsck.Skipped) {
			t.Errorf("%s: %s", r.ID, r.Verdict)
		}
	}
	c.Replay = func(context.Context) (fsck.Story, error) { return nil, errors.New("the database is away") }
	if _, err := fsck.Run(t.Context(), c); err == nil {
		t.Error("a log that could not be read")
	}
}

// Of clips that are older than the log is kept nothing is said, but how many they are.
func TestPrunedLog(t *testing.T) {
	s := newHeldSite(t)
	c := s.full()
	old := s.clips[retention.Deleted].ID
	c.Replay = func(ctx context.Context) (fsck.Story, error) {
		clips, err := audit.Replay(ctx, s.db, s.books.Dialect)
		return without{story{clips, noon.Add(-100 * time.Minute)}, old}, err
	}
	results, err := fsck.Run(t.Context(), c)
	s.must(err)
	i := slices.IndexFunc(results, func(r fsck.Result) bool { return r.ID == "I7" })
	if r := results[i]; len(r.Violations) > 0 || len(r.Skipped) != 1 || !strings.HasPrefix(r.Skipped[0], "1 clips") {
		t.Errorf("%+v", r)
	}
}

// without is a story that tells nothing of a clip.
type without struct {
	story
	id string
}

func (w without) All() iter.Seq[fsck.Told] {
	return func(yield func(fsck.Told) bool) {
		for c := range w.story.All() {
			if c.ID != w.id && !yield(c) {
				return
			}
		}
	}
}
