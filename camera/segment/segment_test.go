package segment_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"klarsyn/camera"
	"klarsyn/camera/segment"
	"klarsyn/deploy/testenv"
)

func newRecorder(v *vault, clip time.Duration) *segment.Recorder {
	return segment.NewRecorder(segment.Config{Camera: "k1", Vault: v, Clip: clip})
}

func record(t testing.TB, r *segment.Recorder, f camera.Format, units []camera.AccessUnit) {
	t.Helper()
	for i, au := range units {
		if err := r.Record(t.Context(), f, au); err != nil {
			t.Fatalf("access unit %d: %v", i, err)
		}
	}
}

func interrupt(t testing.TB, r *segment.Recorder, at time.Time) {
	t.Helper()
	if err := r.Interrupt(t.Context(), camera.Gap{Camera: "k1", From: at, Cause: camera.CameraDown, Detail: "gone"}); err != nil {
		t.Fatal(err)
	}
}

// Clips begin with keyframes, the end of one is the beginning of the next to the nanosecond, and the last
// one ends after its last frame.
func TestClipsTileTheStream(t *testing.T) {
	f, units := stream(t, "bframes.mp4")
	v := newVault(t)
	r := newRecorder(v, 4*time.Second)
	record(t, r, f, units)
	interrupt(t, r, units[len(units)-1].Time)
	if len(v.clips) != 4 {
		t.Fatalf("%d clips of 13 s, want 3 of 4 s and one of 1 s", len(v.clips))
	}
	end, frames := began, 0
	for i, c := range v.clips {
		if !c.Start.Equal(end) || c.Camera != "k1" || c.Format.Codec != camera.H264 {
			t.Errorf("clip %d begins at %s, want %s", i, c.Start, end)
		}
		if want := time.Duration(4) * time.Second; i < 3 && c.length() != want {
			t.Errorf("clip %d lasts %s", i, c.length())
		}
		end, frames = c.end, frames+c.frames
		if first := c.parts()[0].Tracks[0]; first.Samples[0].IsNonSyncSample || first.BaseTime != 0 {
			t.Errorf("clip %d does not begin with a keyframe at 0", i)
		}
	}
	if last := units[len(units)-1].Time.Add(100 * time.Millisecond); !end.Equal(last) {
		t.Errorf("the last clip ends at %s, its last frame at %s", end, last)
	}
	if frames != len(units) {
		t.Errorf("%d frames in the clips, %d came", frames, len(units))
	}
	if g := v.gaps; len(g) != 1 || !g[0].From.Equal(end) || g[0].Cause != camera.CameraDown {
		t.Errorf("gaps %+v, want one from the end on", g)
	}
}

// Whatever the stream: no time between clips is lost or doubled, and every picture is in one clip.
func TestClipsTileAnyStream(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f, _ := synthetic(t, 1, 1, time.Second)
		v := newVault(t)
		r := segment.NewRecorder(segment.Config{
			Camera: "k1", Vault: v,
			Clip:        time.Duration(rapid.IntRange(1, 8000).Draw(rt, "clip ms")) * time.Millisecond,
			MaxFragment: rapid.SampledFrom([]int{0, 10}).Draw(rt, "max fragment"),
		})
		gop := rapid.IntRange(1, 30).Draw(rt, "gop")
		dts, last, n := time.Duration(0), began, rapid.IntRange(1, 200).Draw(rt, "pictures")
		jitter := rapid.SliceOfN(rapid.IntRange(1, 90), n, n).Draw(rt, "milliseconds between pictures")
		for i := range n {
			last = began.Add(dts)
			au := camera.AccessUnit{DTS: dts, PTS: dts, Time: last, Keyframe: i%gop == 0, NALUs: [][]byte{{0x65, 1, 2, 3}}}
			if err := r.Record(t.Context(), f, au); err != nil {
				rt.Fatal(err)
			}
			dts += time.Duration(jitter[i]) * time.Millisecond
		}
		interrupt(t, r, last)
		end, frames := began, 0
		for i, c := range v.clips {
			if !c.Start.Equal(end) || !c.end.After(c.Start) {
				rt.Fatalf("clip %d is [%s, %s), the one before ended at %s", i, c.Start, c.end, end)
			}
			inParts := 0
			for _, p := range c.parts() {
				inParts += len(p.Tracks[0].Samples)
			}
			if inParts != c.frames {
				rt.Fatalf("clip %d holds %d pictures, its row says %d", i, inParts, c.frames)
			}
			end, frames = c.end, frames+c.frames
		}
		if frames != n || end.Before(last) || end.After(last.Add(time.Second)) {
			rt.Fatalf("%d of %d pictures, end %s, last picture %s", frames, n, end, last)
		}
	})
}

func TestFragmentsAreAboutASecond(t *testing.T) {
	f, units := stream(t, "bframes.mp4")
	v := newVault(t)
	r := newRecorder(v, time.Minute)
	record(t, r, f, units)
	interrupt(t, r, units[len(units)-1].Time)
	parts := v.clips[0].parts()
	if len(parts) != 13 || len(v.clips[0].writes) != len(parts) {
		t.Fatalf("%d fragments in %d writes for 13 s", len(parts), len(v.clips[0].writes))
	}
	base := uint64(0)
	for i, p := range parts {
		track := p.Tracks[0]
		if p.SequenceNumber != uint32(i+1) || track.BaseTime != base {
			t.Errorf("fragment %d: number %d, base %d, want %d", i, p.SequenceNumber, track.BaseTime, base)
		}
		for _, s := range track.Samples {
			base += uint64(s.Duration)
		}
		if want := began.Add(time.Duration(i+1) * time.Second); !v.clips[0].writes[i].End.Equal(want) {
			t.Errorf("fragment %d ends at %s, want %s", i, v.clips[0].writes[i].End, want)
		}
	}
	if base != 13*90000 {
		t.Errorf("media time adds up to %d ticks, want %d", base, 13*90000)
	}
}

// Pictures that are shown in another order than they are decoded in keep both times.
func TestBFramesKeepTheirTimes(t *testing.T) {
	f, units := stream(t, "bframes.mp4")
	v := newVault(t)
	r := newRecorder(v, 4*time.Second)
	record(t, r, f, units)
	interrupt(t, r, units[len(units)-1].Time)
	i, reordered := 0, 0
	for _, c := range v.clips {
		base := units[i].DTS
		at := uint64(0)
		for _, p := range c.parts() {
			for _, s := range p.Tracks[0].Samples {
				au := units[i]
				if at != ticks(au.DTS-base) || int64(s.PTSOffset) != int64(ticks(au.PTS))-int64(ticks(au.DTS)) || s.IsNonSyncSample == au.Keyframe {
					t.Fatalf("picture %d: at %d offset %d, came with DTS %s PTS %s", i, at, s.PTSOffset, au.DTS-base, au.PTS-base)
				}
				got, err := s.GetH264()
				if err != nil || !slices.EqualFunc(got, au.NALUs, bytes.Equal) {
					t.Fatalf("picture %d was changed: %v", i, err)
				}
				if s.PTSOffset != s0(units) {
					reordered++
				}
				at += uint64(s.Duration)
				i++
			}
		}
	}
	if reordered == 0 {
		t.Error("the fixture has no B-frames")
	}
}

func ticks(d time.Duration) uint64 { return uint64(d * 90000 / time.Second) }

func s0(units []camera.AccessUnit) int32 { return int32(ticks(units[0].PTS) - ticks(units[0].DTS)) }

func TestNewParametersBeginANewClip(t *testing.T) {
	f, units := synthetic(t, 60, 10, 100*time.Millisecond)
	other := f
	other.PPS = append(slices.Clone(f.PPS), 0x80)
	v := newVault(t)
	r := newRecorder(v, time.Hour)
	record(t, r, f, units[:30])
	record(t, r, other, units[30:])
	interrupt(t, r, units[59].Time)
	if len(v.clips) != 2 || v.clips[0].frames != 30 || !v.clips[0].end.Equal(v.clips[1].Start) || !bytes.Equal(v.clips[1].Format.PPS, other.PPS) {
		t.Errorf("%d clips: want two that meet at the change", len(v.clips))
	}
}

// A group of pictures that is too large is written early: memory and loss stay bounded.
func TestLargeGroupIsWrittenEarly(t *testing.T) {
	f, units := synthetic(t, 40, 1000, 10*time.Millisecond)
	for i := range units {
		units[i].NALUs = [][]byte{make([]byte, 1000)}
	}
	v := newVault(t)
	r := segment.NewRecorder(segment.Config{Camera: "k1", Vault: v, MaxFragment: 10_000})
	record(t, r, f, units)
	if n := len(v.clips[0].writes); n < 3 || n > 4 {
		t.Errorf("%d fragments of at most 10 kB for 40 kB", n)
	}
}

// Neither a time that stands still nor one that leaps stretches a picture or moves a fragment back.
func TestStalledTime(t *testing.T) {
	for name, c := range map[string]struct{ dts, want time.Duration }{
		"a pause":           {3 * time.Second, 3 * time.Second},
		"a very long pause": {time.Minute, 100 * time.Millisecond},
		"no time at all":    {0, 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			f, units := synthetic(t, 3, 1000, 100*time.Millisecond)
			units[2].DTS = units[1].DTS + c.dts
			units[2].PTS = units[2].DTS
			v := newVault(t)
			r := newRecorder(v, time.Hour)
			record(t, r, f, units)
			interrupt(t, r, units[2].Time)
			var samples []uint32
			for _, p := range v.clips[0].parts() {
				for _, s := range p.Tracks[0].Samples {
					samples = append(samples, s.Duration)
				}
			}
			if len(samples) != 3 || uint64(samples[1]) != ticks(c.want) {
				t.Errorf("durations %d, want the second to be %d", samples, ticks(c.want))
			}
		})
	}
}

// Where a clip ends that is interrupted: after its last frame, but not in what comes after.
func TestInterruptedClip(t *testing.T) {
	for name, c := range map[string]struct {
		between   time.Duration // the last two pictures
		from, end time.Duration // the gap and the clip's end, after the last picture
	}{
		"the gap is said to begin at the last picture": {100 * time.Millisecond, 0, 100 * time.Millisecond},
		"the gap begins later":                         {100 * time.Millisecond, 5 * time.Second, 100 * time.Millisecond},
		"the gap begins within the last picture":       {100 * time.Millisecond, 40 * time.Millisecond, 40 * time.Millisecond},
		"the camera had stalled before":                {8 * time.Second, 0, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			f, units := synthetic(t, 2, 10, c.between)
			v := newVault(t)
			r := newRecorder(v, time.Hour)
			record(t, r, f, units)
			interrupt(t, r, units[1].Time.Add(c.from))
			if want := units[1].Time.Add(c.end); !v.clips[0].end.Equal(want) || !v.gaps[0].From.Equal(want) || v.clips[0].frames != 2 {
				t.Errorf("the clip ends at %s with %d frames and the gap begins at %s, want %s", v.clips[0].end, v.clips[0].frames, v.gaps[0].From, want)
			}
		})
	}
}

func TestRecordingWaitsForAKeyframe(t *testing.T) {
	f, units := synthetic(t, 25, 10, 100*time.Millisecond)
	v := newVault(t)
	r := newRecorder(v, time.Hour)
	record(t, r, f, units[3:])
	interrupt(t, r, units[24].Time)
	if len(v.clips) != 1 || !v.clips[0].Start.Equal(units[10].Time) || v.clips[0].frames != 15 {
		t.Errorf("clips %+v", v.clips)
	}
}

// The server's clock was set back, before the run or during it: clips go on where the timeline ends, and
// as soon as time that is not recorded lets the clock catch up, they bear its time again.
func TestClockSetBack(t *testing.T) {
	f, units := synthetic(t, 20, 10, 100*time.Millisecond)
	v := newVault(t)
	v.covered = micro(began.Add(time.Hour))
	r := newRecorder(v, time.Hour)
	record(t, r, f, units)
	interrupt(t, r, units[19].Time)
	if c := v.clips[0]; !c.Start.Equal(v.covered) || c.length() != 2*time.Second {
		t.Errorf("the clip is [%s, %s), want two seconds from %s on", c.Start, c.end, v.covered)
	}
	again := func(by time.Duration) []camera.AccessUnit {
		moved := slices.Clone(units)
		for i := range moved {
			moved[i].Time = moved[i].Time.Add(by)
		}
		return moved
	}
	record(t, r, f, again(-time.Hour)) // set back once more, during the run
	interrupt(t, r, units[19].Time.Add(-time.Hour))
	if c := v.clips[1]; c.Start.Before(micro(v.clips[0].end)) || c.length() != 2*time.Second {
		t.Errorf("the clip is [%s, %s), the one before ended at %s", c.Start, c.end, v.clips[0].end)
	}
	record(t, r, f, again(3*time.Hour))
	interrupt(t, r, units[19].Time.Add(3*time.Hour))
	if c := v.clips[2]; !c.Start.Equal(units[0].Time.Add(3 * time.Hour)) {
		t.Errorf("the clip begins at %s although the clock has caught up", c.Start)
	}
}

// A foreign player decodes every clip, to the last picture.
func TestForeignPlayerDecodesEveryClip(t *testing.T) {
	probe := testenv.Tool(t, "ffprobe")
	for _, name := range []string{"bframes.mp4", "hevc.mp4"} {
		t.Run(name, func(t *testing.T) {
			f, units := stream(t, name)
			v := newVault(t)
			r := newRecorder(v, 4*time.Second)
			record(t, r, f, units)
			interrupt(t, r, units[len(units)-1].Time)
			for i, c := range v.clips {
				cmd := exec.CommandContext(t.Context(), probe, "-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames,codec_name", "-of", "json", "-")
				cmd.Stdin = bytes.NewReader(c.data)
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				if err != nil || stderr.Len() > 0 {
					t.Fatalf("clip %d: %v: %s", i, err, &stderr)
				}
				var seen struct {
					Streams []struct {
						Codec  string `json:"codec_name"`
						Frames string `json:"nb_read_frames"`
					}
				}
				if err := json.Unmarshal(out, &seen); err != nil {
					t.Fatal(err)
				}
				if len(seen.Streams) != 1 || seen.Streams[0].Frames != strconv.Itoa(c.frames) {
					t.Errorf("clip %d: %+v, want %d frames", i, seen.Streams, c.frames)
				}
			}
		})
	}
}
