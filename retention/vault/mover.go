package vault

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"klarsyn/camera"
	"klarsyn/retention"
	"klarsyn/retention/crashpoint"
	"klarsyn/retention/object"
)

// Outcomes is how a reserved clip ends up.
type Outcomes interface {
	// Open lists the clips that a node reserved and did not finish.
	Open(ctx context.Context, node string) ([]retention.Clip, error)
	Commit(ctx context.Context, c retention.Clip) error
	Lose(ctx context.Context, c retention.Clip, reason string) error
}

// Putter is what the recording side may do with a store: no reading footage back, no deleting.
type Putter interface {
	Put(ctx context.Context, key string, body io.Reader, size int64, sum [sha256.Size]byte) (object.Info, error)
	Verify(ctx context.Context, key string) (object.Info, error)
}

// Run moves closed clips from the spool to the store until ctx ends. The pending rows
// and the spool are its queue, so that a crash loses none of it.
func (in *Intake) Run(ctx context.Context) error {
	var told time.Time
	for {
		err := in.Move(ctx)
		// A store that is away fails every clip at every pass: a line a minute says as much.
		if err != nil && ctx.Err() == nil && time.Since(told) >= time.Minute {
			in.cfg.Log.Error("clips stay in the spool and are tried again", "err", err)
			told = time.Now()
		}
		if err == nil {
			told = time.Time{}
		}
		t := time.NewTimer(in.cfg.Every)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-in.wake:
			t.Stop()
		case <-t.C:
		}
	}
}

// Move makes one pass over the clips that are not being written: each is stored or given up, and
// files whose clip has expired meanwhile are removed.
func (in *Intake) Move(ctx context.Context) error {
	// The files are listed before the rows: a file's row is older than the file, so that a file listed
	// here whose clip is not open afterwards has had its outcome.
	files, err := in.spool.ids()
	if err != nil {
		return err
	}
	open, err := in.cfg.Outcomes.Open(ctx, in.cfg.Node)
	if err != nil {
		return err
	}
	// Known before anything is done: a pass that ctx cuts short must not take a waiting clip for a stored one.
	waiting := map[string]bool{}
	for _, c := range open {
		waiting[c.ID] = true
	}
	var errs []error
	for _, c := range open {
		if in.isActive(c.ID) {
			continue
		}
		if err := in.settle(ctx, c); err != nil {
			errs = append(errs, fmt.Errorf("clip %s: %w", c.ID, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	for _, id := range files {
		if !waiting[id] && !in.isActive(id) { // stored, lost or expired
			if err := in.spool.remove(id); err != nil {
				errs = append(errs, err)
			}
		}
	}
	if len(errs) > 1 {
		return fmt.Errorf("%d of them, the first: %w", len(errs), errs[0])
	}
	return errors.Join(errs...)
}

// recover gives every clip that a crash left open its end, so that its camera's time can go on. One whose end
// cannot be found or written is left to the mover, which tries again: its camera waits for that, and the others
// do not.
func (in *Intake) recover(ctx context.Context) error {
	open, err := in.cfg.Outcomes.Open(ctx, in.cfg.Node)
	if err != nil {
		return err
	}
	for _, c := range open {
		_, err := in.reach(ctx, c)
		if ctx.Err() != nil {
			return fmt.Errorf("recovering clip %s: %w", c.ID, ctx.Err())
		}
		if err != nil {
			in.cfg.Log.Error("a clip in the spool cannot be recovered and is tried again; while it has no end its camera is not recorded: mend its files, or remove them to give it up",
				"camera", c.Camera, "clip", c.ID, "spool", in.cfg.Spool, "err", err)
		}
	}
	return nil
}

// extent is how much of a clip lies in the spool.
type extent struct {
	mark
	whole bool
}

// reach finds how far a clip's files go and writes the end to its row. A cut file is shortened to
// whole chunks.
func (in *Intake) reach(ctx context.Context, c retention.Clip) (extent, error) {
	marks, closed, err := in.spool.marks(c.ID)
	if err != nil {
		return extent{}, err
	}
	var e extent
	if closed {
		e.mark = marks[len(marks)-1]
		size, err := in.spool.size(c.ID)
		if err != nil {
			return extent{}, err
		}
		// A disk that lost what it had acknowledged may have kept the line and not the stream.
		e.whole = size == sealedSize(e.plain)
	}
	if !e.whole {
		e.mark = mark{Closing: camera.Closing{End: c.Start}}
		plain, err := in.spool.truncate(c.ID)
		if err != nil {
			return extent{}, err
		}
		for _, m := range marks {
			if m.plain <= plain {
				e.mark = m
			}
		}
	}
	if c.End.IsZero() {
		err = in.cfg.Reservations.End(ctx, c.ID, e.End, e.Frames)
		crashpoint.Here("recover.ended")
	}
	return e, err
}

// settle takes one closed clip to its outcome: put, verify, commit, drop the file.
func (in *Intake) settle(ctx context.Context, c retention.Clip) error {
	ctx, cancel := context.WithTimeout(ctx, in.cfg.Timeout)
	defer cancel()
	e, err := in.reach(ctx, c)
	if err != nil {
		return err
	}
	if c.State != retention.Pending { // expired before it was closed
		return in.spool.remove(c.ID)
	}
	if !c.Held() && !in.cfg.Now().Before(c.Deadline) {
		return nil // it waits for deletion: what is put now would come after the proof that it is gone
	}
	if e.plain == 0 || e.Frames == 0 {
		if err := in.cfg.Outcomes.Lose(ctx, c, "nothing of it was written before it was cut off"); err != nil {
			return err
		}
		in.lost.Add(1)
		crashpoint.Here("lose.done")
		return in.spool.remove(c.ID)
	}
	c.End, c.Frames, c.PlainSize, c.State = e.End, e.Frames, e.plain, retention.Committed
	if !e.whole {
		c.State = retention.Partial
	}
	if err := in.put(ctx, &c); err != nil {
		return err
	}
	err = in.cfg.Outcomes.Commit(ctx, c)
	crashpoint.Here("commit.done")
	switch {
	case errors.Is(err, retention.ErrGone): // its deadline was faster; the stray object is reaped
	case err != nil:
		return err
	default:
		in.committed.Add(1)
		in.bytes.Add(c.Size)
	}
	return in.spool.remove(c.ID)
}

// put stores the file and reads it back before anybody says that it is there.
func (in *Intake) put(ctx context.Context, c *retention.Clip) error {
	size, sum, err := in.spool.hash(c.ID)
	if err != nil {
		return err
	}
	f, err := os.Open(in.spool.path(c.ID, sealed))
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	defer f.Close()
	put, err := in.cfg.Store.Put(ctx, c.ObjectKey, f, size, sum)
	if err != nil {
		return err
	}
	crashpoint.Here("commit.stored")
	have, err := in.cfg.Store.Verify(ctx, c.ObjectKey)
	if errors.Is(err, object.ErrDenied) {
		// Who may put and not read has the store's word: it takes nothing but what hashes to the announced sum.
		have, err = put, nil
	}
	if err != nil {
		return err
	}
	if have.Size != size || have.SHA256 != sum {
		return fmt.Errorf("the store returned other bytes than it was given: %w", object.ErrMismatch)
	}
	crashpoint.Here("commit.verified")
	c.Size, c.SHA256, c.Version = size, sum, have.Version
	return nil
}
