// Package histories lets random histories happen to whole installations, and looks at them after each step.
package histories

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"klarsyn/camera"
	"klarsyn/deploy/world"
	"klarsyn/deploy/world/worldtest"
	"klarsyn/retention"
	"klarsyn/retention/database"
	"klarsyn/retention/object"
)

// seed is of the histories that make test lets happen: they come to every step.
const seed = "8"

func TestMain(m *testing.M) {
	// What make test does: the same few each time, up to what clocks and goroutines make of them. With -rapid.seed=0
	// -rapid.checks=N they are others, and as many as one likes.
	for name, value := range map[string]string{"rapid.checks": "9", "rapid.seed": seed} {
		if err := flag.Set(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

// patience is how long one thing that somebody does may take, while the store hangs.
const patience = 700 * time.Millisecond

// Whatever people, cameras, sweepers, clocks and stores do, and in whichever order: after each step what is due opens for nobody,
// what is held opens for its case, and what is neither opens; and once it has come to rest all invariants hold.
func TestHistories(t *testing.T) {
	worldtest.QuickDisk(t)
	command := build(t)
	for name, open := range map[string]func(*testing.T, time.Time) worldtest.Pair{"sqlite+directory": worldtest.Embedded, "postgresql+minio": worldtest.Servers} {
		t.Run(name, func(t *testing.T) {
			pair := open(t, time.Now()) // commands go by the machine's clock
			sky, done := over(t, pair), map[string]int{}
			rapid.Check(t, func(rt *rapid.T) {
				h := begin(rt, t, pair, sky, command)
				h.done = done
				defer h.end()
				actions := map[string]func(*rapid.T){
					"":        h.glance,
					"record":  h.record,
					"record ": h.record, // what is not recorded cannot be held or swept: it comes more often
					"store":   h.move,
					"hold":    h.hold,
					"hold ":   h.hold,
					"lift":    h.lift,
					"sweep":   h.sweep,
					"cut":     h.cut,
					"bar":     h.bar,
					"tend":    h.tend,
					"pass":    h.pass,
					"pass ":   h.pass,
					"setback": h.setBack,
					"leap":    h.leap,
					"restart": h.restart,
					"decide":  h.decide,
					"revoke":  h.revoke,
					"weather": h.change,
					"at once": h.together,
					"rest":    h.rest,
					"backup":  h.backUp,
					"restore": h.restore,
				}
				for name, act := range actions {
					actions[name] = func(rt *rapid.T) { // what has nothing to act upon ends before it is counted
						act(rt)
						done[strings.TrimSpace(name)]++
					}
				}
				rt.Repeat(actions)
				h.rest(rt)
			})
			t.Logf("taken: %v", done)
			if flag.Lookup("rapid.seed").Value.String() != seed {
				return
			}
			for _, name := range []string{"record", "store", "hold", "lift", "sweep", "restart", "decide", "revoke", "weather", "at once", "backup", "restore"} {
				if done[name] == 0 {
					t.Errorf("no history came to %q: make them more, or choose another seed", name)
				}
			}
		})
	}
}

// history is what happens to one world.
type history struct {
	ctx     context.Context
	t       *testing.T
	pair    worldtest.Pair
	sky     weather
	mood    mood
	address world.Addresses // as the world reaches its store
	made    world.Addresses // as it was made
	world   *world.World
	checker *world.Checker
	command string
	folder  string // of backups
	backups []string
	done    map[string]int // how often each step was taken, in all histories
	holds   []string       // that were accepted, and are in force as far as anybody was told
}

func begin(rt *rapid.T, t *testing.T, pair worldtest.Pair, sky weather, command string) *history {
	ctx := t.Context()
	h := &history{ctx: ctx, t: t, pair: pair, sky: sky, command: command, folder: t.TempDir()}
	var err error
	if h.made, err = pair.Fresh(ctx); err != nil {
		rt.Fatal(err)
	}
	h.address = sky.reached(h.made)
	sky.set(t, up)
	h.mood = up
	if h.checker, err = world.NewChecker(); err != nil {
		rt.Fatal(err)
	}
	if err := h.open(); err != nil {
		rt.Fatal(err)
	}
	return h
}

// open starts a process over the world.
func (h *history) open() error {
	w, err := world.Open(h.ctx, h.address, h.sky.around)
	if err != nil {
		return err
	}
	h.world = w
	if err := w.Outlive(h.ctx); err != nil { // of who was there before
		return err
	}
	if err := w.Recover(h.ctx); err != nil {
		return err
	}
	return w.Tender.Tend(h.ctx)
}

func (h *history) end() {
	if h.world != nil {
		if err := h.world.Close(); err != nil {
			h.t.Error(err)
		}
	}
	if err := h.pair.Drop(context.WithoutCancel(h.ctx), h.made); err != nil {
		h.t.Error(err)
	}
}

// do lets somebody do something, which may fail while the store does. A step ends in time whatever the store does.
func (h *history) do(rt *rapid.T, what string, f func(context.Context) error) bool {
	limit := patience
	if h.mood != hanging {
		limit = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(h.ctx, limit)
	defer cancel()
	err := f(ctx)
	if err != nil && h.mood == up {
		rt.Fatalf("%s: %v", what, err)
	}
	return err == nil
}

// away reports whether reading may fail.
func (h *history) away() bool { return h.mood != up && h.mood != slow }

func (h *history) glance(rt *rapid.T) {
	if h.mood == hanging { // nobody would wait
		return
	}
	h.wrong(rt, func() ([]string, error) { return h.checker.Glance(h.ctx, h.world, h.away()) })
}

func (h *history) wrong(rt *rapid.T, look func() ([]string, error)) {
	problems, err := look()
	if err != nil {
		rt.Fatal(err)
	}
	if len(problems) > 0 {
		rt.Fatal(strings.Join(problems, "\n"))
	}
}

// rest is good weather for long enough.
func (h *history) rest(rt *rapid.T) {
	h.sky.set(h.t, up)
	h.mood = up
	// A new process knows the time by the log: in the old one nobody can say whether the clock was wrong before it was set back, or
	// is since; what is past its deadline by either is not shown, and deleted once both say so.
	h.restart(rt)
	for again := true; again; {
		if err := h.world.Rest(h.ctx); err != nil {
			rt.Fatal(err)
		}
		again = false
		for row, err := range h.world.Books.All(h.ctx) { // none falls due while somebody looks
			if err != nil {
				rt.Fatal(err)
			}
			left := row.Deadline.Sub(h.world.Clock.Reading())
			if row.State != retention.Deleted && left > -time.Second && left < world.Patience {
				again = true
			}
		}
	}
	h.wrong(rt, func() ([]string, error) { return h.checker.Check(h.ctx, h.world) })
	// The search for plaintext opened the files of the databases and closed them, which ended this process's locks on them.
	h.restart(rt)
}

func (h *history) change(rt *rapid.T) {
	h.mood = rapid.SampledFrom(moods).Draw(rt, "mood")
	h.sky.set(h.t, h.mood)
}

func (h *history) record(rt *rapid.T) {
	take := world.Take{
		Camera: rapid.SampledFrom(world.Cameras[:4]).Draw(rt, "camera"), Seconds: rapid.IntRange(1, 5).Draw(rt, "seconds"),
		Bytes: rapid.SampledFrom([]int{60, 900, 30_000, 70_000}).Draw(rt, "bytes"), Cut: rapid.IntRange(0, 4).Draw(rt, "cut") == 0,
	}
	if permitted, err := h.world.Permitted(h.ctx, take.Camera); err != nil || !permitted {
		if err != nil {
			rt.Fatal(err)
		}
		rt.Skip("no permit is in force")
	}
	h.do(rt, "recording", func(ctx context.Context) error {
		_, err := h.world.Show(ctx, take)
		if errors.Is(err, camera.ErrNotPermitted) { // by a clock that was set back behind the newest decision
			return nil
		}
		if err == nil && take.Cut { // its recorder died
			err = h.world.Recover(ctx)
		}
		return err
	})
}

func (h *history) move(rt *rapid.T) { h.do(rt, "storing", h.world.Move) }
func (h *history) cut(rt *rapid.T)  { h.do(rt, "cutting", h.world.Cut) }
func (h *history) bar(rt *rapid.T)  { h.do(rt, "legal holds", h.world.Barrier.Step) }
func (h *history) tend(rt *rapid.T) { h.do(rt, "tending keys", h.world.Tender.Tend) }

// sweep lets three sweepers go over the world at once.
func (h *history) sweep(rt *rapid.T) {
	h.do(rt, "three sweepers", func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		for _, s := range []*retention.Sweeper{h.world.Sweeper, h.world.Another(), h.world.Another()} {
			g.Go(func() error {
				for again := true; again; {
					var err error
					if again, err = s.Sweep(ctx); swept(err) != nil {
						return err
					}
				}
				return nil
			})
		}
		return g.Wait()
	})
}

// swept is what a sweeper's error means: that others read the database keeps it from being emptied until the next pass, and that the
// store's own legal hold is still set, until the barrier's next step, keeps bytes that nobody can read.
func swept(err error) error {
	if errors.Is(err, database.ErrScrubBusy) || errors.Is(err, object.ErrDenied) {
		return nil
	}
	return err
}

// pass lets time pass.
func (h *history) pass(rt *rapid.T) {
	h.turn(rt, time.Duration(rapid.IntRange(1, 400).Draw(rt, "seconds"))*time.Second)
}

// setBack sets the clock back, which extends nothing.
func (h *history) setBack(rt *rapid.T) {
	h.turn(rt, -time.Duration(rapid.IntRange(1, 1800).Draw(rt, "seconds back"))*time.Second)
}

func (h *history) turn(rt *rapid.T, by time.Duration) {
	if err := h.world.Wall.Set(h.world.Wall.Now().Add(by)); err != nil {
		rt.Fatal(err)
	}
}

// leap sets the clock a year ahead, by which nothing is deleted, and puts it right again.
func (h *history) leap(rt *rapid.T) {
	before, at := h.states(rt), h.world.Wall.Now()
	if err := h.world.Wall.Set(at.AddDate(1, 0, 0)); err != nil {
		rt.Fatal(err)
	}
	if h.mood != hanging {
		if _, err := h.world.Sweeper.Sweep(h.ctx); err == nil {
			rt.Error("a sweep took a leap of a year for the time")
		}
	}
	for id, state := range h.states(rt) {
		if before[id] != state && before[id] != retention.Deleting { // what is claimed may go
			rt.Errorf("clip %s was %s, and is %s by a leap of the clock", id, before[id], state)
		}
	}
	if err := h.world.Wall.Set(at); err != nil {
		rt.Fatal(err)
	}
	h.restart(rt) // reading stops by the latest clock until then
}

func (h *history) states(rt *rapid.T) map[string]retention.State {
	all := map[string]retention.State{}
	for row, err := range h.world.Books.All(h.ctx) {
		if err != nil {
			rt.Fatal(err)
		}
		all[row.ID] = row.State
	}
	return all
}

func (h *history) restart(rt *rapid.T) {
	w := h.world
	h.world = nil
	if err := errors.Join(w.Close(), h.open()); err != nil {
		rt.Fatal(err)
	}
}

// decide puts another version of the permit in force.
func (h *history) decide(rt *rapid.T) {
	period := rapid.SampledFrom([]string{"PT5M", "PT10M", "PT20M"}).Draw(rt, "retention")
	h.do(rt, "another version of the permit", func(ctx context.Context) error {
		if err := h.world.Decide(ctx, period); err != nil {
			return err
		}
		return h.world.Tender.Tend(ctx)
	})
}

// revoke ends the permit, and in every other history what was collected in the last minutes has to go at once.
func (h *history) revoke(rt *rapid.T) {
	var since time.Time
	if rapid.Bool().Draw(rt, "unlawful") {
		since = h.world.Clock.Logging().Add(-time.Duration(rapid.IntRange(1, 10).Draw(rt, "minutes")) * time.Minute)
	}
	h.do(rt, "revoking the permit", func(ctx context.Context) error {
		was, err := h.world.Revoke(ctx, since)
		if err == nil && !was {
			rt.Skip("no permit is in force")
		}
		return err
	})
}
