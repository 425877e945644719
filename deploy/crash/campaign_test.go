package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"klarsyn/deploy/world"
	"klarsyn/deploy/world/worldtest"
)

var (
	kills  = flag.Int("kills", 0, "how many kills the campaign makes at least, each point 20 times; 0: its short form, each point twice, and over each pair at least once")
	result = flag.String("result", "", "file for the campaign's figures as JSON")
	only   = flag.String("pair", "", "the only pair of stores to use: sqlite+directory or postgresql+minio")
	seed   = flag.Uint64("seed", 0, "seed of the only world to make")
	deaths = flag.String("deaths", "", "where the workers of that world die, as a violation tells it")
)

// rounds is how many days a world lives, if nothing is wrong with it.
const rounds = 8

// Workers die between any two steps of recording, holding, cutting, lifting, deleting and of the keys, and while they bring to
// rest what others left: over each pair of stores all invariants hold afterwards.
func TestCampaign(t *testing.T) {
	worldtest.QuickDisk(t)
	worker := filepath.Join(t.TempDir(), "worker")
	if out, err := exec.Command("go", "build", "-tags", "crashpoints", "-o", worker, "klarsyn/deploy/crash").CombinedOutput(); err != nil {
		t.Fatalf("building the worker: %v\n%s", err, out)
	}
	figures := newTally(0, 2, 1)
	if *kills > 0 {
		figures = newTally(*kills, 20, 10)
	}
	began, stop := time.Now(), make(chan struct{})
	go figures.tell(began, stop)
	t.Run("over", func(t *testing.T) {
		for name, open := range map[string]func(*testing.T, time.Time) worldtest.Pair{"sqlite+directory": worldtest.Embedded, "postgresql+minio": worldtest.Servers} {
			if *only != "" && *only != name {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := &lane{t: t, pair: open(t, world.Start), name: name, worker: worker, tally: figures}
				if *deaths != "" {
					l.again(t.Context())
					return
				}
				l.run(t.Context())
			})
		}
	})
	close(stop)
	figures.report(t, began)
}

// death is where a worker dies: at a passing of a point. Without a point it lives.
type death struct {
	Point   string
	Passing int
}

func (d death) String() string {
	if d.Point == "" {
		return "-"
	}
	return fmt.Sprintf("%s:%d", d.Point, d.Passing)
}

// lane makes worlds over one pair of stores, one after the other.
type lane struct {
	t      *testing.T
	pair   worldtest.Pair
	name   string
	worker string
	tally  *tally
}

// run makes worlds until the pair has done its share.
func (l *lane) run(ctx context.Context) {
	for n := 0; !l.tally.done(l.name) || n == 0; n++ {
		h := &history{lane: l, seed: rand.Uint64(), chance: rand.New(rand.NewPCG(rand.Uint64(), 0))}
		l.live(ctx, h, func(round int) bool { return round < rounds && !l.tally.done(l.name) || round == 0 })
		if l.t.Failed() {
			return
		}
	}
}

// again makes the one world that a violation named.
func (l *lane) again(ctx context.Context) {
	h := &history{lane: l, seed: *seed, chance: rand.New(rand.NewPCG(0, 0))}
	for round := range strings.SplitSeq(*deaths, ";") {
		var planned []death
		for text := range strings.SplitSeq(round, ",") {
			var d death
			if text != "-" {
				name, times, _ := strings.Cut(text, ":")
				d.Point = name
				if _, err := fmt.Sscan(times, &d.Passing); err != nil {
					l.t.Fatalf("-deaths: %q: want POINT:PASSING", text)
				}
			}
			planned = append(planned, d)
		}
		h.planned = append(h.planned, planned)
	}
	l.live(ctx, h, func(round int) bool { return round < len(h.planned) })
}

// live lets a world live round by round, while it is wanted and in order.
func (l *lane) live(ctx context.Context, h *history, wanted func(round int) bool) {
	a, err := l.pair.Fresh(ctx)
	if err != nil {
		l.t.Error(err)
		return
	}
	h.world = a
	if h.checker, err = world.NewChecker(); err != nil {
		l.t.Error(err)
		return
	}
	for round := 0; wanted(round); round++ {
		problems, err := h.round(ctx, round)
		if err != nil {
			problems = append(problems, err.Error())
		}
		if len(problems) > 0 {
			l.tally.violated(len(problems))
			l.t.Errorf("%s:\n%s\nagain: %s", l.name, strings.Join(problems, "\n"), h.command())
			return
		}
	}
	if err := l.pair.Drop(ctx, a); err != nil {
		l.t.Error(err)
	}
}

// history is what became of one world so far.
type history struct {
	*lane
	world   world.Addresses
	checker *world.Checker
	seed    uint64
	chance  *rand.Rand
	planned [][]death // where workers die; nil: the tally says
	made    []string
}

// command repeats the history.
func (h *history) command() string {
	return fmt.Sprintf("go test ./deploy/crash -run TestCampaign -count=1 -args -pair %s -seed %d -deaths '%s'", h.name, h.seed, strings.Join(h.made, ";"))
}

// at is where the worker number n of a round dies. One in four of those that clean up dies as well, and at most three in a row.
func (h *history) at(round, n int, after *death) death {
	switch {
	case h.planned != nil && n < len(h.planned[round]):
		return h.planned[round][n]
	case h.planned != nil, n > 3, n > 0 && h.chance.IntN(4) > 0:
		return death{}
	}
	return h.tally.next(h.name, after, h.chance)
}

// round lets one worker go through a day until it dies, others clean up after it, and then looks at the world.
func (h *history) round(ctx context.Context, round int) ([]string, error) {
	h.made = append(h.made, "")
	var after *death
	for n, died := 0, true; died; n++ {
		d := h.at(round, n, after)
		if h.made[round] != "" {
			h.made[round] += ","
		}
		h.made[round] += d.String()
		var err error
		if died, err = h.start(ctx, errand{World: h.world, Rest: n > 0, Seed: h.seed, Round: round}, d, after); err != nil {
			return nil, err
		}
		after = &d
	}
	w, err := world.Open(ctx, h.world)
	if err != nil {
		return nil, err
	}
	problems, err := h.checker.Check(ctx, w)
	return problems, errors.Join(err, w.Close())
}

// start runs a worker to its end. An error is what a worker must not do: fail, hang, or die elsewhere.
func (h *history) start(ctx context.Context, e errand, d death, after *death) (died bool, err error) {
	input, err := json.Marshal(e)
	if err != nil {
		return false, err
	}
	cmd := exec.CommandContext(ctx, h.worker)
	passed := filepath.Join(h.world.Folder, "passed")
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &out
	cmd.Env = append(os.Environ(), "KLARSYN_CRASH_PASSED="+passed, "GOMAXPROCS=2", "GOGC=400")
	if d.Point != "" {
		cmd.Env = append(cmd.Env, "KLARSYN_CRASH="+d.String())
	}
	err = cmd.Run()
	names, readErr := os.ReadFile(passed)
	if readErr == nil {
		h.tally.passed(h.name, strings.Fields(string(names)), after)
		readErr = os.Remove(passed)
	}
	if readErr != nil && !errors.Is(readErr, os.ErrNotExist) {
		return false, readErr
	}
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case err == nil && d.Point == "":
		return false, nil
	case err == nil:
		h.tally.missed(h.name, d, after)
		return false, nil
	case status.Signaled() && status.Signal() == syscall.SIGKILL && d.Point != "":
		h.tally.hit(h.name, d)
		return true, nil
	}
	return false, fmt.Errorf("a worker that was to die at %s: %w: %s", d, err, out.Bytes())
}
