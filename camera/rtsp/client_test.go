package rtsp_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/coded"
	"klarsyn/camera/rtsp"
	"klarsyn/camera/rtsp/sim"
)

// loaded is how late a machine that compiles beside the tests may make a picture. How exact stamps are is
// tested without a network, in stamp_test.go.
const loaded = 5 * time.Second

func TestFramesArriveAsTheyWereSent(t *testing.T) {
	for _, tc := range []struct {
		file  string
		codec camera.Codec
	}{
		{"plain.mp4", camera.H264},
		{"fragmented.mp4", camera.H264},
		{"bframes_audio.mp4", camera.H264},
		{"hevc.mp4", camera.H265},
	} {
		t.Run(tc.file, func(t *testing.T) {
			t.Parallel()
			srv, track, cam := square(t, tc.file)
			c, s := client(t, cam)
			up := s.next("up")
			if up.format.Codec != tc.codec || !bytes.Equal(up.format.SPS, track.Format.SPS) || !bytes.Equal(up.format.PPS, track.Format.PPS) {
				t.Fatalf("format %+v is not the track's", up.format)
			}
			first, matched, reordered := -1, 0, false
			var base, elapsed time.Duration
			for i := range 2 * len(track.Frames) {
				e := s.next("put")
				if first < 0 {
					first = sentFrame(t, track, e.au)
					base = e.au.DTS
				}
				want := track.Frames[(first+i)%len(track.Frames)]
				if e.au.Keyframe != want.Keyframe || !bytes.Equal(lastNALU(e.au.NALUs), lastNALU(want.NALUs)) {
					t.Fatalf("unit %d is not frame %d", i, (first+i)%len(track.Frames))
				}
				if n := bytes.Count(bytes.Join(e.au.NALUs, nil), []byte(sim.Canary)); n != 1 {
					t.Fatalf("unit %d holds %d canaries", i, n)
				}
				if e.au.CameraTime.IsZero() {
					t.Fatalf("unit %d has no camera time", i)
				}
				if off := e.au.Time.Sub(e.at).Abs(); off > loaded {
					t.Fatalf("stamp is %v away from the clock", off)
				}
				if off := e.au.CameraTime.Sub(e.at).Abs(); off > loaded {
					t.Fatalf("camera time is %v away from the clock", off)
				}
				reordered = reordered || e.au.PTS != e.au.DTS
				if i > 0 {
					elapsed = e.au.DTS - base
				}
				if n, ok := srv.FrameAt("k1", e.au.Time.Add(20*time.Millisecond)); ok && (n-(first+i))%len(track.Frames) <= 1 {
					matched++
				}
			}
			if matched == 0 {
				t.Error("no stamp leads back to the frame that was sent then")
			}
			if off := (elapsed - 2*track.Duration()).Abs(); off > time.Second {
				t.Errorf("two loops of %v took %v of media time", track.Duration(), elapsed)
			}
			if wantB := strings.HasPrefix(tc.file, "bf") || tc.codec == camera.H265; reordered != wantB {
				t.Errorf("reordered = %v, want %v", reordered, wantB)
			}
			if st := c.Stats(); st.DecodeErrors != 0 || st.PacketsLost != 0 || st.Dropped != 0 || st.Sessions != 1 || st.Units == 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

func sentFrame(t *testing.T, track *coded.Track, au camera.AccessUnit) int {
	t.Helper()
	for i, f := range track.Frames {
		if bytes.Equal(lastNALU(f.NALUs), lastNALU(au.NALUs)) {
			return i
		}
	}
	t.Fatal("a unit that no frame of the track is")
	return 0
}

func lastNALU(n [][]byte) []byte { return n[len(n)-1] }

func TestClockOffsetOfTheCameraStaysBeside(t *testing.T) {
	t.Parallel()
	track, err := coded.LoadMP4("sim/testdata/plain.mp4")
	if err != nil {
		t.Fatal(err)
	}
	srv, err := sim.New(sim.Config{Listen: "127.0.0.1:0", Cameras: []sim.Camera{{
		Path: "k1", Feed: sim.Loop(track), Username: "u", Password: password, ClockOffset: -time.Hour,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	run(t, srv.Run)
	_, s := client(t, camera.Camera{ID: "k1", URL: srv.URL("k1"), Username: "u", Password: password})
	au := s.next("put").au
	if off := au.Time.Sub(au.CameraTime); off < 59*time.Minute || off > 61*time.Minute {
		t.Errorf("camera time is %v behind, want an hour", off)
	}
	if off := time.Since(au.Time).Abs(); off > loaded {
		t.Errorf("the camera's wrong clock moved the stamp by %v", off)
	}
}

func TestDisturbances(t *testing.T) {
	for _, tc := range []struct {
		name     string
		what     sim.Disturbance
		d        time.Duration
		patience time.Duration
		want     error
	}{
		{"cut", sim.Drop, 0, loaded, rtsp.ErrClosed},
		{"stall", sim.Stall, 3 * time.Second, 2 * time.Second, rtsp.ErrStalled},
		{"refuse", sim.Refuse, 300 * time.Millisecond, loaded, rtsp.ErrClosed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv, _, cam := square(t, "plain.mp4")
			c, s := patient(t, cam, rtsp.Config{FrameTimeout: tc.patience})
			s.next("up")
			// Wait for the middle of a group of pictures.
			for s.next("put").au.Keyframe {
			}
			if err := srv.Disturb("k1", tc.what, tc.d); err != nil {
				t.Fatal(err)
			}
			if down := s.next("down"); !isError(down.err, tc.want) {
				t.Fatalf("down: %v, want %v", down.err, tc.want)
			}
			s.again("up")
			s.again("put")
			if st := c.Stats(); st.Sessions < 2 || st.Failures == 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
	if err := (&sim.Server{}).Disturb("k9", sim.Drop, 0); err == nil {
		t.Error("a camera that does not exist was disturbed")
	}
}

func TestRunEndsWithDown(t *testing.T) {
	t.Parallel()
	_, _, cam := square(t, "plain.mp4")
	var s *sink
	t.Run("run", func(t *testing.T) {
		_, s = client(t, cam)
		s.next("put")
	})
	// The inner test's cleanup has ended the client.
	for {
		select {
		case e := <-s.events:
			if e.kind == "down" {
				return
			}
		default:
			t.Fatal("Run returned while the session was up")
		}
	}
}
