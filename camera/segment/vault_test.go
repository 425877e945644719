package segment_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"

	"klarsyn/camera"
)

// vault is camera.Vault in memory. It polices its caller: one open clip at a time, no clip or gap over
// time that is accounted for, no write after a close or an error, and each Closing later than the last.
type vault struct {
	t         testing.TB
	clips     []*clip
	gaps      []camera.Gap
	permitted bool
	beginErr  error
	covered   time.Time // what an earlier run accounted for

	// writeErr fails the nth write of a clip, counted from 1; 0 fails none.
	writeErr   int
	writeFault error
}

type clip struct {
	v *vault
	camera.Opening
	end    time.Time // zero while open
	frames int
	data   []byte
	writes []camera.Closing
	calls  int
	failed bool
	// largest is the size of the largest fragment.
	largest int
}

func newVault(t testing.TB) *vault { return &vault{t: t, permitted: true} }

func (v *vault) Begin(_ context.Context, o camera.Opening) (camera.Recording, error) {
	if !v.permitted {
		return nil, fmt.Errorf("k1: %w", camera.ErrNotPermitted)
	}
	if v.beginErr != nil {
		return nil, v.beginErr
	}
	if end, _ := v.Covered(context.Background(), o.Camera); micro(o.Start).Before(end) {
		v.t.Errorf("a clip begins at %s, over time accounted for to %s", o.Start, end)
	}
	if n := len(v.clips); n > 0 && v.clips[n-1].end.IsZero() {
		v.t.Error("a clip began while another was open")
	}
	c := &clip{v: v, Opening: o}
	v.clips = append(v.clips, c)
	return c, nil
}

func (v *vault) Interrupt(_ context.Context, g camera.Gap) error {
	if n := len(v.clips); n > 0 && v.clips[n-1].end.IsZero() {
		v.t.Error("a gap began while a clip was open")
	}
	v.gaps = append(v.gaps, g)
	return nil
}

func (v *vault) Covered(context.Context, camera.ID) (time.Time, error) {
	end := v.covered
	for _, g := range v.gaps {
		end = slices.MaxFunc([]time.Time{end, micro(g.From)}, time.Time.Compare)
	}
	for _, c := range v.clips {
		end = slices.MaxFunc([]time.Time{end, micro(c.Start), micro(c.end)}, time.Time.Compare)
	}
	return end, nil
}

func (c *clip) Write(_ context.Context, fragment []byte, to camera.Closing) error {
	c.calls++
	if c.failed || !c.end.IsZero() {
		c.v.t.Error("a write came after an error or a close")
	}
	if c.calls == c.v.writeErr {
		c.failed = true
		return c.v.writeFault
	}
	if n := len(c.writes); n > 0 && to.Frames <= c.writes[n-1].Frames || to.End.Before(c.Start) {
		c.v.t.Errorf("a fragment ends at %+v after %+v", to, c.writes)
	}
	c.largest = max(c.largest, len(fragment))
	c.data = append(c.data, fragment...)
	c.writes = append(c.writes, to)
	return nil
}

func (c *clip) Close(_ context.Context, to camera.Closing) error {
	if !c.end.IsZero() {
		c.v.t.Error("a clip was closed twice")
	}
	written := camera.Closing{End: c.Start}
	if n := len(c.writes); n > 0 {
		written = c.writes[n-1]
	}
	if to.Frames != written.Frames {
		c.v.t.Errorf("closed with %d frames, %d were written", to.Frames, written.Frames)
	}
	c.end, c.frames = to.End, to.Frames
	return nil
}

func (c *clip) length() time.Duration { return c.end.Sub(c.Start) }

// parts parses what was written: an MP4 header, then fragments.
func (c *clip) parts() fmp4.Parts {
	c.v.t.Helper()
	var header fmp4.Init
	if err := header.Unmarshal(bytes.NewReader(c.data)); err != nil {
		c.v.t.Fatalf("header: %v", err)
	}
	if len(header.Tracks) != 1 || header.Tracks[0].TimeScale != 90000 {
		c.v.t.Fatalf("header: %+v", header)
	}
	var parts fmp4.Parts
	if err := parts.Unmarshal(c.data); err != nil {
		c.v.t.Fatalf("fragments: %v", err)
	}
	return parts
}

// micro is a time as precisely as a catalogue keeps it.
func micro(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return time.UnixMicro(t.UnixMicro()).UTC()
}

var errDisk = errors.New("disk full")
