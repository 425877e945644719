package segment_test

import (
	"errors"
	"testing"
	"time"

	"klarsyn/camera"
)

// The vault refuses a fragment: the clip keeps the whole fragments before it, the reason is ours, and
// recording goes on with the next keyframe.
func TestRefusedFragment(t *testing.T) {
	f, units := synthetic(t, 60, 20, 100*time.Millisecond)
	v := newVault(t)
	v.writeErr, v.writeFault = 2, errDisk
	r := newRecorder(v, time.Hour)
	failures := 0
	for _, au := range units {
		if err := r.Record(t.Context(), f, au); err != nil {
			if !errors.Is(err, errDisk) {
				t.Errorf("error %v", err)
			}
			failures++
			v.writeErr = 0
		}
	}
	interrupt(t, r, units[59].Time)
	if failures != 1 || len(v.clips) != 2 {
		t.Fatalf("%d failures, %d clips", failures, len(v.clips))
	}
	first := v.clips[0]
	if first.frames != 10 || !first.end.Equal(units[10].Time) {
		t.Errorf("the first clip has %d frames to %s, want its one whole fragment", first.frames, first.end)
	}
	if g := v.gaps[0]; g.Cause != camera.OurFault || !g.From.Equal(first.end) {
		t.Errorf("gap %+v, want our fault from %s on", g, first.end)
	}
	if second := v.clips[1]; !second.Start.Equal(units[40].Time) {
		t.Errorf("the next clip begins at %s, want the next keyframe", second.Start)
	}
}

// The last fragment of a clip is refused: the next clip does not pretend that it follows without a hole.
func TestRefusedLastFragment(t *testing.T) {
	f, units := synthetic(t, 60, 15, 100*time.Millisecond)
	v := newVault(t)
	v.writeErr, v.writeFault = 2, errDisk
	r := newRecorder(v, 1500*time.Millisecond)
	for _, au := range units {
		if err := r.Record(t.Context(), f, au); err != nil {
			v.writeErr = 0
		}
	}
	if first := v.clips[0]; first.frames != 10 || !first.end.Equal(units[10].Time) {
		t.Errorf("the first clip has %d frames to %s", first.frames, first.end)
	}
	if len(v.gaps) != 1 || v.gaps[0].Cause != camera.OurFault {
		t.Errorf("gaps %+v", v.gaps)
	}
}

func TestRefusedClip(t *testing.T) {
	for name, c := range map[string]struct {
		refuse func(*vault)
		err    error
		cause  camera.Cause
	}{
		"without a permit":     {func(v *vault) { v.permitted = false }, camera.ErrNotPermitted, camera.NotPermitted},
		"by a vault in need":   {func(v *vault) { v.beginErr = errDisk }, errDisk, camera.OurFault},
		"for want of anything": {func(*vault) {}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, units := synthetic(t, 1, 1, time.Second)
			v := newVault(t)
			c.refuse(v)
			r := newRecorder(v, time.Hour)
			if err := r.Record(t.Context(), f, units[0]); !errors.Is(err, c.err) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			if c.err == nil {
				if len(v.clips) != 1 || len(v.gaps) != 0 {
					t.Errorf("%d clips, gaps %+v", len(v.clips), v.gaps)
				}
				return
			}
			if len(v.clips) != 0 || len(v.gaps) != 1 || v.gaps[0].Cause != c.cause {
				t.Errorf("%d clips, gaps %+v", len(v.clips), v.gaps)
			}
		})
	}
}

func TestFormatThatCannotBeRecorded(t *testing.T) {
	f, units := synthetic(t, 1, 1, time.Second)
	for name, bad := range map[string]camera.Format{
		"another codec":         {Codec: "mjpeg"},
		"no parameter sets":     {Codec: camera.H264},
		"damaged parameter set": {Codec: camera.H264, SPS: []byte{0x67, 1}, PPS: f.PPS},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			if err := newRecorder(v, time.Hour).Record(t.Context(), bad, units[0]); err == nil || len(v.clips) != 0 {
				t.Errorf("error %v, %d clips: a row was reserved for nothing", err, len(v.clips))
			}
			if len(v.gaps) != 1 || v.gaps[0].Cause != camera.OurFault {
				t.Errorf("gaps %+v", v.gaps)
			}
		})
	}
}
