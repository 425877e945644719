// Package vault seals footage on its way in and opens it, for a Grant, on its way out. The side that
// seals (Intake) holds public keys only; the side that opens (Vault) writes nothing.
package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/crashpoint"
)

// Reservations is where a clip's row begins and gets its end.
type Reservations interface {
	Reserve(ctx context.Context, c retention.Clip, header []byte) error
	End(ctx context.Context, id string, end time.Time, frames int) error
	Recipient(ctx context.Context, permit, day string) (string, error)
}

// Timeline accounts for time that is not recorded.
type Timeline interface {
	// Interrupt opens a gap; opened is false if it was open already.
	Interrupt(ctx context.Context, g camera.Gap) (opened bool, err error)
	Covered(ctx context.Context, id camera.ID) (time.Time, error)
}

// IntakeConfig is what an Intake needs.
type IntakeConfig struct {
	Reservations Reservations
	Timeline     Timeline
	Outcomes     Outcomes
	Store        Putter
	// Permit is the permit under which a camera may record at a time.
	Permit func(cam string, at time.Time) (policy.Permit, bool)
	// Spool is the folder for what is on its way to the store; nobody else may use it meanwhile.
	Spool string
	// MinFree is how many bytes of the spool's disk recording leaves free.
	MinFree uint64
	// Room says, beside that, why nothing may be recorded for want of room in the store; nil: there always is.
	Room func() error
	// Node names this recorder; it must be the same after a restart on the same spool.
	Node string
	Log  *slog.Logger
	// Now is the clock that deadlines go by (default time.Now).
	Now func() time.Time
	// ClockDoubted says that the clock by which footage is received may be wrong: its clips are flagged.
	ClockDoubted bool
	// Timeout bounds one try at storing one clip (default 2 min).
	Timeout time.Duration
	// Every is the time between two looks for clips to store (default 1 s).
	Every time.Duration
}

// Intake takes footage in: it reserves, seals into the spool, and moves what is closed to the store.
// It implements camera.Vault.
type Intake struct {
	cfg   IntakeConfig
	spool *spool
	wake  chan struct{}

	mu     sync.Mutex
	active map[string]bool // clips that are being written

	reserved, committed, bytes, lost, gaps atomic.Int64
}

// IntakeStats are an intake's counts since it was opened.
type IntakeStats struct {
	Reserved  int64 // clips begun
	Committed int64 // clips stored and verified, whole or partial
	Bytes     int64 // sealed bytes of those
	Lost      int64 // clips of which nothing could be kept
	Gaps      int64 // interruptions, each counted once however often it is reported
}

// Stats may be called at any time.
func (in *Intake) Stats() IntakeStats {
	return IntakeStats{in.reserved.Load(), in.committed.Load(), in.bytes.Load(), in.lost.Load(), in.gaps.Load()}
}

// OpenIntake takes the spool and accounts for what a crash left open in it. Nothing may be recorded
// before it returns.
func OpenIntake(ctx context.Context, cfg IntakeConfig) (*Intake, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 2 * time.Minute
	}
	if cfg.Every == 0 {
		cfg.Every = time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s, err := openSpool(cfg.Spool, cfg.Node, cfg.MinFree)
	if err != nil {
		return nil, err
	}
	in := &Intake{cfg: cfg, spool: s, wake: make(chan struct{}, 1), active: map[string]bool{}}
	if err := in.recover(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return in, nil
}

// Close gives the spool back. Call it when neither recordings nor Run are going on.
func (in *Intake) Close() error { return in.spool.close() }

// Covered is where the camera's accounted time ends.
func (in *Intake) Covered(ctx context.Context, id camera.ID) (time.Time, error) {
	return in.cfg.Timeline.Covered(ctx, id)
}

// Interrupt says why the camera's time is not recorded from here on.
func (in *Intake) Interrupt(ctx context.Context, g camera.Gap) error {
	opened, err := in.cfg.Timeline.Interrupt(ctx, g)
	if opened {
		in.gaps.Add(1)
	}
	return err
}

// room refuses to record where the last room is for deletion, in the spool or in the store.
func (in *Intake) room() error {
	if err := in.spool.room(); err != nil || in.cfg.Room == nil {
		return err
	}
	return in.cfg.Room()
}

// Begin reserves a clip: permit, key, room, sealed header, row, and only then a file.
func (in *Intake) Begin(ctx context.Context, o camera.Opening) (camera.Recording, error) {
	// Permit, key and deadline go by the time of receipt: a timeline that a wrong clock once pushed ahead
	// must not push them along.
	received := o.Received
	if received.IsZero() || o.Start.Before(received) {
		received = o.Start
	}
	permit, ok := in.cfg.Permit(string(o.Camera), received)
	if !ok {
		return nil, camera.ErrNotPermitted
	}
	if err := in.room(); err != nil {
		return nil, err
	}
	day := received.UTC().Format(time.DateOnly)
	recipient, err := in.cfg.Reservations.Recipient(ctx, permit.ID, day)
	if err != nil {
		return nil, err
	}
	id, err := ulid.New(ulid.Timestamp(o.Start), ulid.DefaultEntropy())
	if err != nil {
		return nil, fmt.Errorf("naming a clip: %w", err)
	}
	from, flagged := earlier(received, o.CameraTime)
	clip := retention.Clip{
		ID: id.String(), Camera: o.Camera, Permit: permit.ID, PermitVersion: permit.Version,
		Start: o.Start, CameraTime: o.CameraTime, ClockFlagged: flagged || in.cfg.ClockDoubted,
		Counted: from, Deadline: permit.Until(from), State: retention.Pending, KeyDay: day,
		ObjectKey: retention.ObjectKey(o.Camera, o.Start, id.String()),
		Codec:     o.Format.Codec, Node: in.cfg.Node,
	}
	rec := &recording{in: in, clip: clip}
	header, stream, err := seal(recipient, sealedTo{rec})
	if err != nil {
		return nil, err
	}
	rec.stream = stream
	in.setActive(clip.ID, true)
	if err := in.cfg.Reservations.Reserve(ctx, clip, header); err != nil {
		in.setActive(clip.ID, false)
		return nil, err
	}
	in.reserved.Add(1)
	crashpoint.Here("reserve.done")
	if err := rec.create(); err != nil {
		// The row stands without a byte: the mover finds it and gives it up.
		err = errors.Join(err, in.cfg.Reservations.End(ctx, clip.ID, clip.Start, 0))
		in.setActive(clip.ID, false)
		return nil, err
	}
	return rec, nil
}

// earlier is the time from which a clip's retention counts: camera and server agree, the earlier of
// them; they do not, the server's, and the clip is flagged.
func earlier(server, cam time.Time) (from time.Time, flagged bool) {
	switch d := server.Sub(cam); {
	case cam.IsZero():
		return server, false
	case d > retention.ClockTolerance || d < -retention.ClockTolerance:
		return server, true
	case d > 0:
		return cam, false
	}
	return server, false
}

func (in *Intake) setActive(id string, on bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if on {
		in.active[id] = true
	} else {
		delete(in.active, id)
	}
}

func (in *Intake) isActive(id string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.active[id]
}

// recording is one clip that is being written; it implements camera.Recording.
type recording struct {
	in     *Intake
	clip   retention.Clip
	stream io.WriteCloser
	file   *os.File
	idx    *os.File
	plain  int64
}

func (r *recording) create() error {
	var err error
	if r.file, err = r.in.spool.open(r.clip.ID+sealed, os.O_CREATE|os.O_EXCL|os.O_WRONLY); err != nil {
		return err
	}
	if r.idx, err = r.in.spool.open(r.clip.ID+index, os.O_CREATE|os.O_EXCL|os.O_WRONLY); err != nil {
		r.file.Close()
		return err
	}
	crashpoint.Here("record.created")
	return r.in.spool.sync()
}

// sealedTo is the file under a recording's seal, which exists only after the row was reserved.
type sealedTo struct{ r *recording }

func (s sealedTo) Write(p []byte) (int, error) { return s.r.file.Write(p) }

// Write seals a whole fragment and notes how far the clip reaches now.
func (r *recording) Write(_ context.Context, fragment []byte, c camera.Closing) error {
	if err := r.in.spool.room(); err != nil {
		return err
	}
	n, err := r.stream.Write(fragment)
	r.plain += int64(n)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	crashpoint.Here("record.sealed")
	if _, err := fmt.Fprintln(r.idx, mark{r.plain, c}); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if err := errors.Join(r.file.Sync(), r.idx.Sync()); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	crashpoint.Here("record.written")
	return nil
}

// Close ends stream and index, then the row. If the database is away the mover writes the row's end.
func (r *recording) Close(ctx context.Context, c camera.Closing) error {
	defer func() {
		r.in.setActive(r.clip.ID, false)
		select {
		case r.in.wake <- struct{}{}:
		default:
		}
	}()
	// The stream is on the disk before the line that says that it is whole.
	err := errors.Join(r.stream.Close(), r.file.Sync())
	crashpoint.Here("close.stream")
	if err == nil {
		_, err = fmt.Fprintf(r.idx, "%v\n%s\n", mark{r.plain, c}, lastLine)
	}
	err = errors.Join(err, r.idx.Sync(), r.file.Close(), r.idx.Close())
	if err != nil {
		// What could not be written is not part of the clip: it reaches as far as its whole chunks.
		_, reachErr := r.in.reach(ctx, r.clip)
		return errors.Join(fmt.Errorf("closing clip %s in the spool: %w", r.clip.ID, err), reachErr)
	}
	crashpoint.Here("close.index")
	err = r.in.cfg.Reservations.End(ctx, r.clip.ID, c.End, c.Frames)
	crashpoint.Here("close.ended")
	return err
}
