package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/oklog/ulid/v2"

	"klarsyn/retention"
	"klarsyn/retention/crashpoint"
)

// CutBook is where parts of clips are reserved and kept.
type CutBook interface {
	ReserveCut(ctx context.Context, p retention.PartHeld, cut retention.Clip, header []byte) error
	CommitCut(ctx context.Context, p retention.PartHeld, cut retention.Clip) error
	AbandonCut(ctx context.Context, p retention.PartHeld) error
}

// CutList is what there is to cut.
type CutList interface {
	// ToCut lists parts of stored clips that are held and were not cut out yet, in order of hold and clip, from the one after after.
	ToCut(ctx context.Context, after retention.PartHeld, limit int) ([]retention.PartHeld, error)
	// BegunCuts lists those whose cut was begun before a time and is not there, in the same order.
	BegunCuts(ctx context.Context, before time.Time, after retention.PartHeld, limit int) ([]retention.PartHeld, error)
	// KeepWhole says that a part is all of its clip, once whole fragments are kept.
	KeepWhole(ctx context.Context, p retention.PartHeld) error
}

// CaseRecipients has the public halves of the keys of cases.
type CaseRecipients interface {
	CaseRecipient(ctx context.Context, caseNumber string) (string, error)
}

// Cutter copies the held part of a clip into a clip of its own, sealed to the case, so that the rest of it expires when it is
// due. It reads footage for a hold and gives none to anybody: what leaves it is sealed. Fragments are copied as they were
// recorded, byte by byte.
type Cutter struct {
	Vault *Vault
	List  CutList
	Book  CutBook
	Keys  CaseRecipients
	Store Putter
	Now   func() time.Time
	Log   *slog.Logger
	// Every is the time between two looks (default 5 s).
	Every time.Duration
	// Timeout bounds one cut (default 2 min). A cut that was begun twice as long ago was left by a process that died.
	Timeout time.Duration

	// begun and tried are the last parts that were given up, and cut: the next pass goes on behind them, so that those that fail keep
	// no other waiting. Owned by Cut.
	begun, tried retention.PartHeld
}

const (
	cutBatch = 20
	// cutRetell is how long a fault lasts before it is logged again.
	cutRetell = 10 * time.Minute
)

func (cu *Cutter) timeout() time.Duration {
	if cu.Timeout == 0 {
		return 2 * time.Minute
	}
	return cu.Timeout
}

// Run cuts until ctx ends; faults are logged and tried again. What cannot be cut stays held as a whole.
func (cu *Cutter) Run(ctx context.Context) error {
	every := cu.Every
	if every == 0 {
		every = 5 * time.Second
	}
	var told time.Time
	for {
		if _, err := cu.Cut(ctx); err != nil && ctx.Err() == nil && time.Since(told) >= cutRetell {
			told = time.Now()
			cu.Log.Error("parts of clips could not be cut out: the whole of them stays held, and it is tried again", "err", err)
		}
		t := time.NewTimer(every)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

// Cut makes one pass and returns how many parts it cut out. It is called from one goroutine.
func (cu *Cutter) Cut(ctx context.Context) (int, error) {
	begun, err := cu.List.BegunCuts(ctx, cu.Now().Add(-2*cu.timeout()), cu.begun, cutBatch)
	if err != nil {
		return 0, err
	}
	cu.begun = lastOf(begun)
	var errs []error
	for _, p := range begun {
		if err := cu.Book.AbandonCut(ctx, p); err != nil && !passed(err) {
			errs = append(errs, err)
		}
	}
	parts, err := cu.List.ToCut(ctx, cu.tried, cutBatch)
	if err != nil {
		return 0, errors.Join(append(errs, err)...)
	}
	cu.tried = lastOf(parts)
	n := 0
	for _, p := range parts {
		one, cancel := context.WithTimeout(ctx, cu.timeout())
		switch err := cu.cut(one, p); {
		case err == nil:
			n++
		case !passed(err):
			errs = append(errs, fmt.Errorf("clip %s for case %s: %w", p.Clip, p.Case, err))
		}
		cancel()
	}
	return n, errors.Join(errs...)
}

// lastOf is where the next pass goes on: behind a whole batch, else from the start.
func lastOf(batch []retention.PartHeld) retention.PartHeld {
	if len(batch) < cutBatch {
		return retention.PartHeld{}
	}
	return batch[len(batch)-1]
}

// passed reports whether there is nothing to do any more: the hold was lifted, or somebody else did it.
func passed(err error) bool {
	return errors.Is(err, retention.ErrGone) || errors.Is(err, retention.ErrHoldLifted)
}

func (cu *Cutter) cut(ctx context.Context, p retention.PartHeld) error {
	parent, err := cu.Vault.Shelf.Clip(ctx, p.Clip)
	if err != nil {
		return err
	}
	footage, err := cu.Vault.open(ctx, parent, p.Case)
	if err != nil {
		return err
	}
	defer func() { _ = footage.Close() }() // it holds nothing that could fail to close
	to := p.To
	if to.IsZero() {
		to = parent.End
	}
	span, err := excerptOf(footage, p.From.Sub(parent.Start), to.Sub(parent.Start))
	if err != nil {
		return err
	}
	if span.whole {
		return cu.List.KeepWhole(ctx, p)
	}
	recipient, err := cu.Keys.CaseRecipient(ctx, p.Case)
	if err != nil { // another key is no help: what the hold keeps is sealed to this one
		return fmt.Errorf("sealing a part to its case (if the key is gone, restore the key store from its backup): %w", err)
	}
	var sealed bytes.Buffer
	header, stream, err := seal(recipient, &sealed)
	if err != nil {
		return err
	}
	// Named by when it is begun: whether it was given up is told by that.
	id, err := ulid.New(ulid.Timestamp(cu.Now()), rand.Reader)
	if err != nil {
		return fmt.Errorf("naming a cut: %w", err)
	}
	cut := retention.Clip{
		ID: id.String(), Camera: parent.Camera, Start: parent.Start.Add(span.from), End: parent.Start.Add(span.to), Frames: span.frames,
		Node: "cutter", PlainSize: span.size,
	}
	cut.ObjectKey = retention.ObjectKey(cut.Camera, cut.Start, cut.ID)
	if err := cu.Book.ReserveCut(ctx, p, cut, header); err != nil {
		return err
	}
	if err := errors.Join(span.copyTo(stream, footage), stream.Close()); err != nil {
		return err
	}
	cut.Size, cut.SHA256 = int64(sealed.Len()), sha256.Sum256(sealed.Bytes())
	if _, err := cu.Store.Put(ctx, cut.ObjectKey, bytes.NewReader(sealed.Bytes()), cut.Size, cut.SHA256); err != nil {
		return err
	}
	crashpoint.Here("cut.stored")
	info, err := cu.Store.Verify(ctx, cut.ObjectKey)
	if err != nil {
		return err
	}
	if info.Size != cut.Size || info.SHA256 != cut.SHA256 {
		return fmt.Errorf("the cut %s is not in the store as it was put there: %w", cut.ID, retention.ErrDamaged)
	}
	cut.Version = info.Version
	crashpoint.Here("cut.verified")
	return cu.Book.CommitCut(ctx, p, cut)
}
