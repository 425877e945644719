package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/policy/rules"
	"klarsyn/retention"
	"klarsyn/retention/vault"
)

// Checker looks at a world from outside, each time that it has come to rest: nothing records, and nothing that is due is left to
// do. It remembers which clips it has seen to be gone, so that a world that grows old costs no more to look at.
type Checker struct {
	rules   policy.Rules
	deleted map[string]bool

	world *World
	gate  *policy.Gate
	now   time.Time
	// takes are what cameras showed, by camera and time.
	takes    map[takeKey]Take
	told     map[string]*Told // of holds, by id
	lifting  map[string]bool  // holds that somebody was about to lift
	atRest   bool             // nothing is under way
	restored bool             // a backup was put back: what was recorded since is lost, what was deleted since is deleted twice
	seen     map[string]int   // log entries, by event and object
	problems []string
}

type takeKey struct {
	camera camera.ID
	start  int64
}

// NewChecker looks at one world, with the rules that every world's gate asks.
func NewChecker() (*Checker, error) {
	r, err := rules.New()
	return &Checker{rules: r, deleted: map[string]bool{}}, err
}

// Check says all that is wrong with a world that has come to rest.
func (c *Checker) Check(ctx context.Context, w *World) ([]string, error) {
	c.atRest = true
	return c.look(ctx, w, c.count, c.invariants, c.log, c.clips, c.holds, c.keys)
}

// look takes checks one after the other.
func (c *Checker) look(ctx context.Context, w *World, checks ...func(context.Context) error) ([]string, error) {
	gate, err := policy.NewGate(policy.GateConfig{
		Rules: c.rules, Log: w.Log, Viewings: w.Log, Now: w.Clock.Logging, GrantLife: time.Hour, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	c.world, c.gate, c.problems = w, gate, nil
	if err := c.read(); err != nil {
		return nil, err
	}
	c.now = w.Clock.Reading()
	for _, check := range checks {
		if err := check(ctx); err != nil {
			return nil, err
		}
	}
	return c.problems, nil
}

// read reads the world's journal.
func (c *Checker) read() error {
	words, err := c.world.Journal()
	c.takes, c.told, c.lifting, c.restored = map[takeKey]Take{}, map[string]*Told{}, map[string]bool{}, false
	for _, w := range words {
		switch {
		case w.Take != nil:
			c.takes[takeKey{w.Take.Camera, w.Take.Start.UnixMicro()}] = *w.Take
		case w.Told != nil && c.told[w.Told.Hold] != nil:
			c.told[w.Told.Hold].Lifted = w.Told.Lifted
		case w.Told != nil:
			c.told[w.Told.Hold] = w.Told
		case w.Lifting != "":
			c.lifting[w.Lifting] = true
		case w.Restored:
			c.restored = true
		}
	}
	return err
}

func (c *Checker) broken(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// count counts what the log says of each thing.
func (c *Checker) count(ctx context.Context) error {
	c.seen = map[string]int{}
	rows, err := c.world.DB.QueryContext(ctx, `SELECT event, object, COUNT(*) FROM audit_leaf GROUP BY event, object`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var event, object string
		var n int
		if err := rows.Scan(&event, &object, &n); err != nil {
			return err
		}
		c.seen[event+" "+object] = n
	}
	return rows.Err()
}

// times wants the log to tell an event of a clip so many times.
func (c *Checker) times(e policy.Event, clip retention.Clip, want int) {
	have := c.seen[string(e)+" clip:"+clip.ID]
	if c.restored && (have > want && want > 0 || clip.State == retention.Lost) {
		return
	}
	if have != want {
		c.broken("clip %s (%s): the log tells %d times of %s, want %d", clip.ID, clip.State, have, e, want)
	}
}

// invariants are fsck's, and that nothing waits any more.
func (c *Checker) invariants(ctx context.Context) error {
	results, err := c.fsck(ctx)
	if err != nil {
		return err
	}
	for _, r := range results {
		for _, v := range r.Violations {
			c.broken("%s: %s", r.ID, v)
		}
		for _, v := range r.Skipped {
			if strings.HasPrefix(v, "exports:") { // there are none to look into
				continue
			}
			c.broken("%s was not looked into: %s", r.ID, v)
		}
	}
	spooled, err := vault.Spooled(c.world.Spool())
	if err != nil {
		return err
	}
	for _, id := range spooled {
		c.broken("clip %s still lies in the spool although all is stored", id)
	}
	return nil
}

// log is the log's own check.
func (c *Checker) log(ctx context.Context) error {
	w := c.world
	public, err := audit.LoadVerifier(w.path("audit"))
	if err != nil {
		return err
	}
	report, err := audit.Verify(ctx, audit.Verification{DB: w.DB, Dialect: w.dialect(w.Catalogue), Verifier: public, Now: c.now, Stopped: true})
	if err != nil {
		return err
	}
	viewings, err := audit.VerifyViewings(ctx, w.DB, w.dialect(w.Catalogue))
	if err != nil {
		return err
	}
	for _, v := range append(report.Violations, viewings.Violations...) {
		c.broken("log: %s: %s", v.Place, v.What)
	}
	return nil
}

// clips holds every row against what was recorded, what the log says, and what can be read.
func (c *Checker) clips(ctx context.Context) error { return c.each(ctx, c.clip) }

// each looks at the rows that there are now.
func (c *Checker) each(ctx context.Context, look func(context.Context, retention.Row) error) error {
	var rows []retention.Row
	for row, err := range c.world.Books.All(ctx) {
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	for _, row := range rows {
		if err := look(ctx, row); err != nil {
			return fmt.Errorf("clip %s: %w", row.ID, err)
		}
	}
	return nil
}

func (c *Checker) clip(ctx context.Context, row retention.Row) error {
	clip := row.Clip
	due := !c.now.Before(clip.Deadline)
	c.times(policy.ClipReserved, clip, 1)
	switch clip.State {
	case retention.Pending:
		c.broken("clip %s is still pending although nobody records", clip.ID)
	case retention.Deleting:
		c.broken("clip %s is still being deleted although nothing is left to do", clip.ID)
	case retention.Lost:
		c.times(policy.ClipLost, clip, 1)
		c.times(policy.ClipCommitted, clip, 0)
		c.times(policy.ClipPartial, clip, 0)
		c.times(policy.ClipDeleted, clip, 0)
	case retention.Committed:
		c.times(policy.ClipCommitted, clip, 1)
	case retention.Partial:
		c.times(policy.ClipPartial, clip, 1)
	case retention.Deleted: // fsck wants no trace of it
		c.times(policy.ClipShredded, clip, 1)
		c.times(policy.ClipDeleted, clip, 1)
	}
	if clip.State != retention.Deleted {
		c.times(policy.ClipDeleted, clip, 0)
	}
	if due && !clip.Held() && clip.State != retention.Deleted {
		c.broken("clip %s is %s although its deadline was %s and nothing holds it", clip.ID, clip.State, clip.Deadline.Format(time.TimeOnly))
	}
	if clip.State == retention.Deleted && c.deleted[clip.ID] {
		return nil
	}
	c.deleted[clip.ID] = clip.State == retention.Deleted
	if err := c.cases(ctx, clip, due); err != nil {
		return err
	}
	if clip.KeyCase == "" && clip.Readable() && !due { // else it opens for its case alone, or for nobody
		return c.opens(ctx, clip, "0105-K1-26")
	}
	return c.closed(ctx, clip, "another-case")
}

// view opens the clip through the vault as an investigator of the case would, and reads all of it.
func (c *Checker) view(ctx context.Context, clip retention.Clip, number string) ([]byte, error) {
	permit, _, err := c.world.Books.Permit(ctx, clip.Permit, clip.PermitVersion)
	if err != nil {
		return nil, err
	}
	who := policy.Subject{Name: "anna", Role: policy.Investigator, Session: "s1"}
	grant, err := c.gate.Look(ctx, who, policy.Request{
		Action: policy.ViewOriginal, Camera: string(clip.Camera), Clip: clip.ID, Permit: permit, Purpose: policy.CrimeInvestigation, Case: number,
	})
	if err != nil {
		return nil, err
	}
	f, err := c.world.Vault.Open(ctx, grant, clip.ID)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	done, err := c.gate.Respond(ctx, grant)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	done(int64(len(b)), clip.Duration().Seconds())
	return b, err
}

// opens wants the clip to be read for a case, and to be what was recorded.
func (c *Checker) opens(ctx context.Context, clip retention.Clip, number string) error {
	have, err := c.view(ctx, clip, number)
	if err != nil {
		c.broken("clip %s (%s, held %d times) does not open for case %s: %v", clip.ID, clip.State, clip.Holds, number, err)
		return nil
	}
	return c.recorded(ctx, clip, have)
}

// closed wants nobody to read the clip for a case that does not hold it.
func (c *Checker) closed(ctx context.Context, clip retention.Clip, number string) error {
	have, err := c.view(ctx, clip, number)
	if err == nil {
		c.broken("clip %s (%s, deadline %s) can be read for case %s: %d bytes", clip.ID, clip.State, clip.Deadline.Format(time.TimeOnly), number, len(have))
		return nil
	}
	if clip.State == retention.Lost && errors.Is(err, retention.ErrNoFootage) || errors.Is(err, retention.ErrGone) || clip.State == retention.Pending {
		return nil
	}
	c.broken("clip %s (%s): the vault says %v, want %v", clip.ID, clip.State, err, retention.ErrGone)
	return nil
}

// recorded holds what was read against what the camera showed.
func (c *Checker) recorded(ctx context.Context, clip retention.Clip, have []byte) error {
	whole := clip
	if clip.Parent != "" {
		var err error
		if whole, err = c.world.Books.Clip(ctx, clip.Parent); err != nil {
			return err
		}
	}
	take, ok := c.takes[takeKey{whole.Camera, whole.Start.UnixMicro()}]
	if !ok {
		c.broken("clip %s was recorded although camera %s showed nothing at %s", clip.ID, clip.Camera, whole.Start.Format(time.RFC3339Nano))
		return nil
	}
	fragments, err := take.Plain()
	if err != nil {
		return err
	}
	want := bytes.Join(fragments, nil)
	switch {
	case clip.Parent != "":
		return c.part(clip, take, fragments, have)
	case clip.State == retention.Partial && !bytes.HasPrefix(want, have), clip.State == retention.Committed && !bytes.Equal(want, have):
		c.broken("clip %s: %d bytes were read that are not the %d recorded", clip.ID, len(have), len(want))
	}
	return nil
}

// part wants a cut to hold the fragments of its time, byte for byte, behind the header of its file.
func (c *Checker) part(clip retention.Clip, take Take, fragments [][]byte, have []byte) error {
	header := bytes.Index(fragments[0], []byte("moof")) - 4
	from := int(clip.Start.Sub(take.Start) / time.Second)
	to := int(clip.End.Sub(take.Start) / time.Second)
	if header < 0 || from < 0 || to > len(fragments) || from >= to {
		c.broken("part %s reaches from second %d to %d of a take of %d", clip.ID, from, to, len(fragments))
		return nil
	}
	want := bytes.Clone(fragments[0][:header])
	for n := from; n < to; n++ {
		f := fragments[n]
		if n == 0 {
			f = f[header:]
		}
		want = append(want, f...)
	}
	if !bytes.Equal(want, have) {
		c.broken("part %s holds %d bytes that are not the %d recorded from second %d to %d", clip.ID, len(have), len(want), from, to)
	}
	return nil
}

// keys wants every key that a clip needs, and none of days past that no clip needs.
func (c *Checker) keys(ctx context.Context) error {
	w := c.world
	old, err := w.Keys.Before(ctx, c.now.Add(-11*time.Minute).Format(time.DateOnly))
	if err != nil {
		return err
	}
	for _, k := range old {
		needed, err := w.Books.KeyNeeded(ctx, k.Permit, k.Day)
		if err != nil {
			return err
		}
		if !needed {
			c.broken("day key %s %s is still there although no clip needs it", k.Permit, k.Day)
		}
	}
	return nil
}
