package segment_test

import (
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/segment"
)

// Whatever pictures come, with whatever parameter sets and times, and whatever the vault refuses: clips and gaps never
// lie over one another, a clip is closed once with what was written of it, and no fragment is larger than it may be.
// (The vault of these tests polices that.)
func FuzzRecorder(f *testing.F) {
	f.Add([]byte{1, 40, 4, 0x65, 1, 2, 3, 0, 40, 2, 0x41, 1, 1, 200, 3, 0x65, 2, 3}, byte(0), false)
	f.Add([]byte{5, 40, 4, 0x65, 1, 2, 3, 16, 255, 1, 0x41, 8, 1, 1, 0x65, 33, 9, 1, 0x65}, byte(2), false)
	f.Add([]byte{3, 1, 2, 0x67, 0xff, 1, 90, 2, 0x26, 1, 0, 90, 2, 0x02, 1}, byte(0), true)
	f.Fuzz(func(t *testing.T, data []byte, refusal byte, hevc bool) {
		name := "bframes.mp4"
		if hevc {
			name = "hevc.mp4"
		}
		format, _ := stream(t, name)
		v := newVault(t)
		v.writeErr, v.writeFault = int(refusal%8), errDisk
		const most = 300
		r := segment.NewRecorder(segment.Config{Camera: "k1", Vault: v, Clip: time.Second, Fragment: 300 * time.Millisecond, MaxFragment: most})
		// Their errors say what a vault that refuses causes: what it keeps is what matters here.
		stop := func(at time.Time) {
			_ = r.Interrupt(t.Context(), camera.Gap{Camera: "k1", From: at, Cause: camera.CameraDown, Detail: "gone"})
		}
		at, media := began, time.Duration(0)
		largest := 0
		for len(data) >= 3 {
			flags, step, n := data[0], time.Duration(data[1])*time.Millisecond, min(int(data[2]), len(data)-3)
			nalu := append([]byte{}, data[3:3+n]...)
			data = data[3+n:]
			if flags&2 != 0 { // parameter sets that nobody chose
				format.SPS = append([]byte{}, nalu...)
			}
			at, media = at.Add(step), media+step
			if flags&(16|32) != 0 {
				stop(at)
				media = 0
			}
			if flags&16 != 0 { // the clock was set back, which ends a session
				at = at.Add(-time.Second)
			}
			v.permitted = flags&8 == 0
			largest = max(largest, len(nalu))
			pts := media
			if flags&4 != 0 {
				pts += 80 * time.Millisecond
			}
			_ = r.Record(t.Context(), format, camera.AccessUnit{Time: at, PTS: pts, DTS: media, Keyframe: flags&1 != 0, NALUs: [][]byte{nalu}})
		}
		stop(at)
		for _, c := range v.clips {
			if c.end.IsZero() {
				t.Fatal("a clip was left open")
			}
			if len(c.data) > 0 {
				c.parts()
			}
			if c.largest > most+largest+4096 {
				t.Fatalf("a fragment of %d bytes, at most %d and a picture of %d are allowed", c.largest, most, largest)
			}
		}
	})
}
