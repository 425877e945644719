package world_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"klarsyn/deploy/world"
	"klarsyn/deploy/world/worldtest"
	"klarsyn/retention"
	"klarsyn/retention/vault"
)

// lived is a world with a clip of every kind, come to rest.
type lived struct {
	*world.World
	whole, held, parted, part, partial, lost, deleted, cased, lifted string // clips
	holds                                                            map[string]string
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// live makes it.
func live(ctx context.Context, t *testing.T, w *world.World) *lived {
	t.Helper()
	l := &lived{World: w, holds: map[string]string{}}
	must(t, w.Recover(ctx))
	must(t, w.Tender.Tend(ctx))
	show := func(take world.Take) string {
		t.Helper()
		take, err := w.Show(ctx, take)
		must(t, err)
		if take.Cut {
			must(t, w.Recover(ctx))
		}
		for row, err := range w.Books.All(ctx) {
			must(t, err)
			if row.Camera == take.Camera && row.Start.Equal(take.Start) {
				return row.ID
			}
		}
		t.Fatalf("camera %s was not recorded", take.Camera)
		return ""
	}
	hold := func(name, number string, h retention.Hold) {
		t.Helper()
		placed, refused, err := w.Place(ctx, number, h)
		must(t, err)
		if len(refused) > 0 {
			t.Fatalf("refused: %+v", refused)
		}
		l.holds[name] = placed.ID
	}
	whole := func(id string) retention.Hold { return retention.Hold{Clips: []retention.HeldClip{{Clip: id}}} }
	l.deleted = show(world.Take{Camera: "k6", Seconds: 2, Bytes: 3000})
	l.cased = show(world.Take{Camera: "k7", Seconds: 2, Bytes: 3000})
	must(t, w.Move(ctx))
	hold("cased", world.CaseB, whole(l.cased))
	must(t, w.Wall.Set(w.Wall.Now().Add(world.Retention+time.Minute)))
	must(t, w.Sweep(ctx))
	l.whole = show(world.Take{Camera: "k1", Seconds: 3, Bytes: 40_000})
	l.held = show(world.Take{Camera: "k2", Seconds: 2, Bytes: 900})
	l.parted = show(world.Take{Camera: "k3", Seconds: 5, Bytes: 700})
	l.partial = show(world.Take{Camera: "k4", Seconds: 5, Bytes: 70_000, Cut: true})
	l.lost = show(world.Take{Camera: "k5", Seconds: 2, Bytes: 200, Cut: true})
	l.lifted = show(world.Take{Camera: "k8", Seconds: 2, Bytes: 200})
	must(t, w.Move(ctx))
	hold("held", world.CaseA, whole(l.held))
	hold("lifted", world.CaseA, whole(l.lifted))
	clip, err := w.Books.Clip(ctx, l.parted)
	must(t, err)
	hold("parted", world.CaseA, retention.Hold{Camera: "k3", From: clip.Start.Add(1500 * time.Millisecond), To: clip.Start.Add(2500 * time.Millisecond)})
	must(t, w.Lift(ctx, l.holds["lifted"]))
	must(t, w.Rest(ctx))
	cuts, err := w.Books.Cuts(ctx, "k3", clip.Start, clip.End)
	must(t, err)
	l.part = cuts[0].ID
	return l
}

// mutation is something that went wrong, and what the checker says of it.
type mutation struct {
	name, want string
	do         func(ctx context.Context, l *lived) error
}

// sql changes rows behind the back of everybody.
func sql(statement string, args ...func(*lived) any) func(context.Context, *lived) error {
	return func(ctx context.Context, l *lived) error {
		var values []any
		for _, a := range args {
			values = append(values, a(l))
		}
		res, err := l.DB.ExecContext(ctx, statement, values...)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); n == 0 || err != nil {
			return fmt.Errorf("%s changed nothing: %w", statement, err)
		}
		return nil
	}
}

// journal changes what cameras are said to have shown.
func journal(change func(l *lived, t *world.Take) (keep bool)) func(context.Context, *lived) error {
	return func(_ context.Context, l *lived) error {
		words, err := l.Journal()
		if err != nil {
			return err
		}
		var out bytes.Buffer
		for _, w := range words {
			if w.Take != nil && !change(l, w.Take) {
				continue
			}
			line, err := json.Marshal(w)
			if err != nil {
				return err
			}
			out.Write(append(line, '\n'))
		}
		return os.WriteFile(filepath.Join(l.Folder, "journal"), out.Bytes(), 0o600)
	}
}

// stopped is a clock that nobody winds.
type stopped struct{ at time.Time }

func (s stopped) Reading() time.Time { return s.at }
func (s stopped) Logging() time.Time { return s.at }

// deaf is a catalogue that answers no question about keys of cases.
type deaf struct{ vault.Shelf }

func (deaf) CaseKey(context.Context, string, string) (retention.SealedKey, error) {
	return retention.SealedKey{}, errors.New("the line is dead")
}

func id(of func(*lived) string) func(*lived) any { return func(l *lived) any { return of(l) } }
func hold(name string) func(*lived) any          { return func(l *lived) any { return l.holds[name] } }

var (
	whole   = id(func(l *lived) string { return l.whole })
	held    = id(func(l *lived) string { return l.held })
	part    = id(func(l *lived) string { return l.part })
	deleted = id(func(l *lived) string { return l.deleted })
	parted  = id(func(l *lived) string { return l.parted })
)

var mutations = []mutation{
	{"a step is missing in the log", "tells 0 times of clip-committed", sql(`DELETE FROM audit_leaf WHERE event = 'clip-committed' AND object = 'clip:' || $1`, whole)},
	{"a step is logged of a clip that never took it", "tells 1 times of clip-deleted", sql(`UPDATE audit_leaf SET event = 'clip-deleted' WHERE event = 'clip-committed' AND object = 'clip:' || $1`, whole)},
	{"a clip is deleted without a word of when it was unreadable", "tells 0 times of clip-shredded", sql(`DELETE FROM audit_leaf WHERE event = 'clip-shredded' AND object = 'clip:' || $1`, deleted)},
	{"a clip is lost and was stored, too", "tells 1 times of clip-committed", sql(`UPDATE catalogue_clip SET state = 'lost' WHERE id = $1`, whole)},
	{"an entry of the log is gone", "log: ", sql(`DELETE FROM audit_leaf WHERE seq = 5`)},
	{"the log holds what nobody logged", "I14 was not looked into", sql(`UPDATE audit_leaf SET entry = CAST(replace(CAST(entry AS TEXT), '"deadline":"2', '"deadline":"x') AS BLOB) WHERE event = 'clip-reserved' AND object = 'clip:' || $1`, whole)},
	{"an object is gone", "I2: ", func(ctx context.Context, l *lived) error {
		clip, err := l.Books.Clip(ctx, l.whole)
		if err == nil {
			_, err = l.Store.Delete(ctx, clip.ObjectKey)
		}
		return err
	}},
	{"bytes of a deleted clip lie in the store", "I3: ", func(_ context.Context, l *lived) error {
		clip, err := l.Books.Clip(context.Background(), l.deleted)
		if err != nil {
			return err
		}
		path := filepath.Join(l.Folder, "objects", clip.ObjectKey)
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o770), os.WriteFile(path, []byte("sealed"), 0o600))
	}},
	{"plaintext lies about", "holds plaintext footage", func(_ context.Context, l *lived) error {
		plain, err := world.Take{Camera: "k1", Start: world.Start, Seconds: 1, Bytes: 500}.Plain()
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(l.Folder, "left.mp4"), bytes.Join(plain, nil), 0o600)
	}},
	{"a clip was never moved from the spool", "still lies in the spool", func(_ context.Context, l *lived) error {
		return os.WriteFile(filepath.Join(l.Spool(), l.whole+".seal"), []byte("sealed"), 0o600)
	}},
	{"a clip has no end", "is still pending although nobody records", sql(`UPDATE catalogue_clip SET state = 'pending' WHERE id = $1`, whole)},
	{"a deletion has no end", "is still being deleted although nothing is left to do", sql(`UPDATE catalogue_clip SET state = 'deleting' WHERE id = $1`, deleted)},
	{"a clip outlives its deadline", "although its deadline was", sql(`UPDATE catalogue_clip SET deadline_us = start_us WHERE id = $1`, whole)},
	{"a header is gone before its time", "does not open for case", sql(`DELETE FROM catalogue_header WHERE clip = $1`, whole)},
	{"the vault does not know how late it is", "can be read for case", func(_ context.Context, l *lived) error {
		l.Vault.Clock = stopped{l.Clock.Reading()}
		return l.Wall.Set(l.Wall.Now().Add(time.Hour))
	}},
	{"the vault says of what is not to be seen that it cannot say", "the vault says", func(_ context.Context, l *lived) error {
		l.Vault.Shelf = deaf{l.Vault.Shelf}
		return nil
	}},
	{"a clip shows what no camera did", "although camera k1 showed nothing", journal(func(_ *lived, t *world.Take) bool { return t.Camera != "k1" })},
	{"a clip shows something else than its camera did", "bytes were read that are not the", journal(func(_ *lived, t *world.Take) bool {
		if t.Camera == "k1" {
			t.Bytes += 2
		}
		return true
	})},
	{"a clip that was cut off shows something else", "bytes were read that are not the", journal(func(_ *lived, t *world.Take) bool {
		if t.Camera == "k4" {
			t.Bytes += 2
		}
		return true
	})},
	{"a part lies outside of its clip", "reaches from second", sql(`UPDATE catalogue_clip SET start_us = start_us + 60000000, end_us = end_us + 60000000 WHERE id = $1`, part)},
	{"a part is of another time", "bytes that are not the", sql(`UPDATE catalogue_clip SET start_us = start_us + 1000000, end_us = end_us + 1000000 WHERE id = $1`, part)},
	{"a day key outlives what needs it", "is still there although no clip needs it", func(ctx context.Context, l *lived) error {
		_, err := l.KeyDB.ExecContext(ctx, `INSERT INTO keys_day SELECT 'plattan', '2026-01-01', recipient, sealed, minted_us FROM keys_day LIMIT 1`)
		return err
	}},
	{"holds are counted wrong", "and by the cases", sql(`UPDATE catalogue_clip SET holds = 0 WHERE id = $1`, held)},
	{"holds are counted that nobody placed", "and by the cases", sql(`UPDATE catalogue_clip SET holds = 1 WHERE id = $1`, whole)},
	{"a hold is forgotten", "was accepted, and is not there", sql(`DELETE FROM catalogue_hold WHERE id = $1`, hold("held"))},
	{"a lifted hold goes on", "was said to be lifted, and is in force", sql(`UPDATE catalogue_hold SET lifted_us = 0 WHERE id = $1`, hold("lifted"))},
	{"a hold ends by itself", "is lifted, and nobody lifted it", sql(`UPDATE catalogue_hold SET lifted_us = placed_us WHERE id = $1`, hold("held"))},
	{"a hold forgets a clip", "was said to keep clip", sql(`DELETE FROM catalogue_held WHERE hold = $1`, hold("held"))},
	{"a hold lets go of a clip", "let go of clip", sql(`UPDATE catalogue_held SET over_us = from_us WHERE hold = $1`, hold("held"))},
	{"a held clip is deleted", "which is deleted and held", sql(`UPDATE catalogue_clip SET state = 'deleted' WHERE id = $1`, held)},
	{"what opens a held clip is gone", "does not open for case " + world.CaseB, sql(`UPDATE catalogue_held SET file_key = NULL, header = NULL WHERE hold = $1`, hold("cased"))},
	{"a part is kept for another case", "for case \"0105-K9-26\"", sql(`UPDATE catalogue_clip SET key_case = '0105-K9-26' WHERE id = $1`, part)},
	{"a part is shorter than what was asked for", "keeps " /* …of clip…: want … */, sql(`UPDATE catalogue_held SET to_us = to_us + 2000000 WHERE hold = $1 AND clip = $2`, hold("parted"), parted)},
}

// A checker that says nothing proves nothing: each thing that can go wrong in a world is done to one, and the checker names it. What
// it has words for, and no mutation makes it say, is an error, too.
func TestCheckerSees(t *testing.T) {
	worldtest.QuickDisk(t)
	pair, ctx := worldtest.Embedded(t, world.Start), t.Context()
	model, err := pair.Fresh(ctx)
	must(t, err)
	w, err := world.Open(ctx, model)
	must(t, err)
	first := live(ctx, t, w)
	checker, err := world.NewChecker()
	must(t, err)
	problems, err := checker.Check(ctx, w)
	must(t, err)
	if len(problems) > 0 {
		t.Fatalf("the world is not as it should be before anything went wrong: %s", strings.Join(problems, "\n"))
	}
	must(t, w.Close())
	var said []string
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			a := world.Addresses{Folder: filepath.Join(t.TempDir(), "w")}
			must(t, worldtest.Copy(a.Folder, model.Folder))
			w, err := world.Open(ctx, a)
			must(t, err)
			defer w.Close()
			l := *first
			l.World = w
			must(t, m.do(ctx, &l))
			checker, err := world.NewChecker()
			must(t, err)
			problems, err := checker.Check(ctx, w)
			must(t, err)
			said = append(said, problems...)
			if !strings.Contains(strings.Join(problems, "\n"), m.want) {
				t.Errorf("the checker says %q, want %q", problems, m.want)
			}
		})
	}
	for _, f := range formats(t) {
		var seen bool
		for _, s := range said {
			seen = seen || f.MatchString(s)
		}
		if !seen {
			t.Errorf("no mutation makes the checker say %s", f)
		}
	}
}

var (
	called = regexp.MustCompile(`c\.broken\("((?:[^"\\]|\\.)*)"`)
	verb   = regexp.MustCompile(`%[a-z]`)
)

// formats are all that the checker has words for.
func formats(t *testing.T) []*regexp.Regexp {
	t.Helper()
	files, err := filepath.Glob("*.go")
	must(t, err)
	var all []*regexp.Regexp
	for _, f := range files {
		source, err := os.ReadFile(f)
		must(t, err)
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, m := range called.FindAllSubmatch(source, -1) {
			pattern := verb.ReplaceAllString(regexp.QuoteMeta(string(m[1])), `(?s:.*)`)
			all = append(all, regexp.MustCompile("^"+pattern+"$"))
		}
	}
	if len(all) < 20 {
		t.Fatalf("only %d ways to say that something is wrong were found", len(all))
	}
	return all
}
