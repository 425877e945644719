// Package witness follows a log from another machine: it remembers the newest checkpoint that it has seen, lets
// nothing pass that does not extend it, and cosigns what does. It reads hashes and signatures and no entry.
package witness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/verify"
)

// Config is what a Witness needs.
type Config struct {
	Log   string   // where the log is served: https://HOST/log
	Keys  []string // the log's verifier keys, as in audit.pub
	State string   // directory that the witness remembers in; made if it is not there
	Name  string   // of the witness, when its state is made; "": witness/ and a random number
	// Every is how often it looks; 0: 10 s.
	Every  time.Duration
	Client *http.Client     // nil: one with time limits that follows no redirect to another host
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: slog.Default
}

const (
	defaultEvery = 10 * time.Second
	// again is how soon a checkpoint is cosigned anew when the log does not grow: the word of a witness is worth
	// as much as it is young.
	again = time.Minute
	// still is how old the newest checkpoint may be. The log makes one every hour at least.
	still      = 2 * time.Hour
	maxBackoff = 5 * time.Minute
)

// Witness follows one log.
type Witness struct {
	cfg    Config
	state  *state
	remote *remote

	cosigned int64     // number of the checkpoint that was cosigned last
	at       time.Time // and when
	stats    struct{ rounds, failures, alarm, seen, size, signed atomic.Int64 }
}

// Stats is what a witness counts.
type Stats struct {
	Rounds, Failures int64
	Alarm            bool
	Seen             time.Time // when the log last was what it must be; zero: never
	Signed           time.Time // when the checkpoint that was seen then was made
	Size             int64     // entries in the log then
}

// Open opens the state, or makes it. It is the only witness over that state until Close.
func Open(cfg Config) (*Witness, error) {
	if cfg.Every == 0 {
		cfg.Every = defaultEvery
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	remote, err := newRemote(cfg.Log, cfg.Client)
	if err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	if len(cfg.Keys) == 0 {
		return nil, fmt.Errorf("witness: %w", verify.ErrUntrusted)
	}
	s, err := openState(cfg.State, cfg.Name, cfg.Keys)
	if err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	return &Witness{cfg: cfg, state: s, remote: remote}, nil
}

// Close gives the state back.
func (w *Witness) Close() error { return w.state.close() }

// Public is the witness's verifier key, which the log's server must know to take its word.
func (w *Witness) Public() string { return w.state.public }

// Stats is what was counted so far.
func (w *Witness) Stats() Stats {
	s := Stats{Rounds: w.stats.rounds.Load(), Failures: w.stats.failures.Load(), Alarm: w.stats.alarm.Load() == 1, Size: w.stats.size.Load()}
	if us := w.stats.seen.Load(); us != 0 {
		s.Seen, s.Signed = time.UnixMicro(us), time.UnixMicro(w.stats.signed.Load())
	}
	return s
}

// Run looks at the log until ctx ends. It ends by itself only with an *Alarm: a log that forked or was set back is
// for people to look at. Everything else passes, and is tried again, ever more seldom.
func (w *Witness) Run(ctx context.Context) error {
	wait := w.cfg.Every
	for {
		err := w.Round(ctx)
		var alarm *Alarm
		switch {
		case errors.As(err, &alarm):
			return err
		case ctx.Err() != nil:
			return nil
		case err != nil:
			w.cfg.Logger.Error("the log could not be witnessed; trying again", "after", wait, "err", err)
			wait = min(2*wait, maxBackoff)
		default:
			wait = w.cfg.Every
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// Round looks at the log once: fetch, check, remember, and only then cosign.
func (w *Witness) Round(ctx context.Context) error {
	w.stats.rounds.Add(1)
	err := w.round(ctx)
	var alarm *Alarm
	switch {
	case errors.As(err, &alarm):
		w.stats.alarm.Store(1)
		w.cfg.Logger.Error("ALARM: the log is not what it was", "what", alarm.What, "evidence", alarm.Evidence)
	case err != nil:
		w.stats.failures.Add(1)
	}
	return err
}

func (w *Witness) round(ctx context.Context) error {
	checkpoint, err := w.fetch(ctx)
	if err != nil {
		return err
	}
	if err := w.check(ctx, checkpoint); err != nil {
		return err
	}
	if checkpoint.Note != w.state.latest.Note {
		first := w.state.latest.Note == ""
		// Before anything is signed: a crash must never let an older or another state be cosigned afterwards.
		if err := w.state.remember(checkpoint); err != nil {
			return err
		}
		if first {
			w.cfg.Logger.Warn("first contact: this state of the log is taken on its signature alone; compare it with what others see",
				"log", checkpoint.Origin, "entries", checkpoint.Size, "root", checkpoint.Root.String())
		}
	}
	now := w.cfg.Now()
	if age := now.Sub(checkpoint.Time); age > still {
		w.cfg.Logger.Warn("the log stands still: it makes a checkpoint every hour at least", "newest", checkpoint.Time, "age", age.Round(time.Second))
	}
	w.stats.seen.Store(now.UnixMicro())
	w.stats.signed.Store(checkpoint.Time.UnixMicro())
	w.stats.size.Store(checkpoint.Size)
	if w.cosigned == checkpoint.Number && now.Sub(w.at) < again {
		return nil
	}
	if err := w.cosign(ctx, checkpoint); err != nil {
		return err
	}
	w.cosigned, w.at = checkpoint.Number, now
	return nil
}

// fetch gets the newest checkpoint, signed by a key of the log. A key that is not known must have followed one
// that is.
func (w *Witness) fetch(ctx context.Context) (verify.Checkpoint, error) {
	signed, err := w.remote.get(ctx, leaf.Newest, maxCheckpoint)
	if err != nil {
		return verify.Checkpoint{}, err
	}
	checkpoint, err := w.state.chain.Open(w.state.chain.Own(string(signed)))
	if err == nil {
		return checkpoint, nil
	}
	bundle, rotationErr := w.remote.get(ctx, leaf.Rotations, maxRotations)
	if rotationErr != nil {
		return verify.Checkpoint{}, fmt.Errorf("%w; and no rotation of its key explains it: %w", err, rotationErr)
	}
	chain, rotationErr := w.state.follow(bundle)
	if rotationErr != nil {
		return verify.Checkpoint{}, fmt.Errorf("%w; and the rotations of its key do not explain it: %w", err, rotationErr)
	}
	checkpoint, err = chain.Open(chain.Own(string(signed)))
	if err != nil {
		return verify.Checkpoint{}, err
	}
	if err := w.state.rememberRotations(bundle, chain); err != nil {
		return verify.Checkpoint{}, err
	}
	w.cfg.Logger.Info("the log has a new signing key, which an older one vouches for", "keys", chain.Keys())
	return checkpoint, nil
}

// check holds a checkpoint against the one that is remembered.
func (w *Witness) check(ctx context.Context, c verify.Checkpoint) error {
	before := w.state.latest
	switch {
	case before.Note == "":
		_, err := w.root(ctx, c, c.Size)
		return err
	case c.Origin != before.Origin:
		return w.alarm(ctx, c, "fork: it calls itself %s, and was %s", c.Origin, before.Origin)
	case c.Size < before.Size || c.Number < before.Number:
		return w.alarm(ctx, c, "set back: checkpoint %d of %d entries is shown, checkpoint %d of %d was", c.Number, c.Size, before.Number, before.Size)
	case c.Number == before.Number && c.Body() != before.Body():
		return w.alarm(ctx, c, "fork: there are two checkpoints of number %d", c.Number)
	case c.Size == before.Size && c.Root != before.Root:
		return w.alarm(ctx, c, "fork: %d entries have root %s, and had %s", c.Size, c.Root, before.Root)
	case c.Time.Before(before.Time):
		return w.alarm(ctx, c, "checkpoint %d is of an earlier time than checkpoint %d", c.Number, before.Number)
	case c.Size == before.Size || before.Size == 0:
		return nil
	}
	root, err := w.root(ctx, c, before.Size)
	if err != nil {
		return err
	}
	if root != before.Root {
		return w.alarm(ctx, c, "fork: of the %d entries of checkpoint %d the first %d have root %s, and had %s", c.Size, c.Number, before.Size, root, before.Root)
	}
	return nil
}

// root is the root of the first size entries, from tiles that the checkpoint's own root vouches for.
func (w *Witness) root(ctx context.Context, c verify.Checkpoint, size int64) (tlog.Hash, error) {
	if size == 0 {
		return tlog.Hash{}, nil
	}
	reader := tlog.TileHashReader(tlog.Tree{N: c.Size, Hash: c.Root}, &tiles{ctx, w.remote})
	root, err := tlog.TreeHash(size, reader)
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("the tiles of checkpoint %d do not make its root, or cannot be had: %w", c.Number, err)
	}
	return root, nil
}

// cosign signs the checkpoint, which is remembered by now, and tells the server.
func (w *Witness) cosign(ctx context.Context, c verify.Checkpoint) error {
	signed, err := note.Sign(&note.Note{Text: c.Body()}, w.state.signer)
	if err != nil {
		return fmt.Errorf("cosign checkpoint %d: %w", c.Number, err)
	}
	return w.remote.cosign(ctx, signed)
}
