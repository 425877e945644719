package vision

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/vision/wire"
)

// lies are children that passed the handshake and the sandbox, and what the parent says of each.
var lies = map[string]string{
	"answers before it is asked": "gave picture 1 of",
	"answers another keyframe":   "answered picture 1 with picture 2",
	"counts another keyframe":    "counted picture 2, which is not due",
	"counts twice":               "counted picture 1, which is not due",
	"counts nothing":             "left 1 pictures without an answer",
	"answers another time":       "gave picture 1 of",
	"answers twice":              "answered picture 2 with picture 1",
	"invents a zone":             "instead of \"west\"",
	"swaps zones":                `counted zone "east" instead of "west"`,
	"forgets a zone":             "1 zones of 2",
	"counts no number":           "count NaN",
	"counts below nobody":        "count -1",
	"counts what it could not":   "although it could not",
	"says something else":        "wire.Progress",
	"gives up":                   "give up",
	"says nothing":               "no answer for 1s",
	"claims four gigabytes":      "larger than the protocol allows",
	"stops within a word":        "no answer for 1s",
	"makes noise":                "unknown type 0x65",
	"ends":                       "closed its output",
}

// A child that lies is ended and counted, its word is not passed on, and the keyframe is unknown.
func TestLyingChild(t *testing.T) {
	v := testClip(t, 2)
	for name, want := range lies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s, stop := run(t, Config{Path: program(name), Watchdog: time.Second, BackoffMin: 5 * time.Millisecond, BackoffMax: 5 * time.Millisecond, Queue: 64})
			within(t, 20*time.Second, "start", func() bool { return c.PID() != 0 })
			asked := 0
			ask := func() {
				when := offer(c, v, asked)
				asked++
				within(t, 20*time.Second, "samples", func() bool { return len(s.at(when)) == 2 })
			}
			ask()
			if name == "answers twice" { // the first answer is right, the second is none to the next
				ask()
			}
			within(t, 20*time.Second, "restart", func() bool { return c.Stats().Restarts > 0 })
			stop()
			for _, got := range s.samples() {
				if twice := name == "answers twice" || name == "counts twice"; got.Quality != camera.QualityDecoderLost && (!twice || !got.Time.Equal(epoch)) {
					t.Errorf("it was believed: %+v", got)
				}
			}
			st := c.Stats()
			if len(s.samples()) != 2*asked || st.Answered+st.Unknown != uint64(asked) {
				t.Errorf("%d keyframes, %d samples: %+v", asked, len(s.samples()), st)
			}
			if !strings.Contains(st.LastError, want) || strings.ContainsAny(st.LastError, "\x1b\n") {
				t.Errorf("error %q, want %q", st.LastError, want)
			}
		})
	}
}

// FuzzAnswer has a child say anything at all to the keyframes that it is asked: what the parent passes on is a count of
// each zone in its order, or nothing.
func FuzzAnswer(f *testing.F) {
	good := []wire.Sample{{Zone: "west", Present: 1, Moving: 1, High: 2, Quality: camera.QualityOK}, {Zone: "east", Quality: camera.QualityLearning}}
	lost := []wire.Sample{{Zone: "west", Quality: camera.QualityDecoderLost}, {Zone: "east", Quality: camera.QualityDecoderLost}}
	answer := func(s wire.Samples) wire.Answer { return wire.Answer{Seq: s.Seq, Pictures: []wire.Samples{s}} }
	for _, said := range [][]wire.Message{
		{answer(wire.Samples{Seq: 1, Time: epoch, Zones: good}), answer(wire.Samples{Seq: 2, Time: epoch, Zones: lost, Fault: "no picture"})},
		{answer(wire.Samples{Seq: 1, Time: epoch, Zones: good}), answer(wire.Samples{Seq: 1, Time: epoch, Zones: good})},
		{answer(wire.Samples{Seq: 1, Time: epoch, Zones: good[:1]})},
		{answer(wire.Samples{Seq: 1, Time: epoch, Zones: good, Fault: "no picture"})},
		{wire.Fault{Text: "no memory"}}, {wire.NewHello(wire.ModeCount)}, {wire.Progress{Done: 1, Total: 1}},
	} {
		var b bytes.Buffer
		for _, m := range said {
			if err := wire.NewWriter(&b).Write(m); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(b.Bytes())
		f.Add(b.Bytes()[:b.Len()-1])
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		var passed []camera.Sample
		c, err := New(Config{Path: program(binary), Camera: "k1", Profile: zones()}, func(_ context.Context, s []camera.Sample) { passed = append(passed, s...) })
		if err != nil {
			t.Fatal(err)
		}
		ch := spokenBy(t, said)
		for n := 0; ; n++ {
			passed = nil
			err := c.ask(t.Context(), ch, item{format: camera.Format{Codec: camera.H264}, time: epoch, keyframe: true, look: true, nalus: [][]byte{{0x65}}})
			if n > len(said)/100 {
				t.Fatalf("%d answers in %d bytes", n, len(said))
			}
			if err == nil && len(passed) != 2 || len(passed) > 2 {
				t.Fatalf("%v came with %v", err, passed)
			}
			for i, s := range passed {
				sane := s.Low >= 0 && s.Low <= s.Present && s.Present <= s.High && s.High <= 1e6 && s.Moving >= 0 && s.Moving <= s.Present
				if s.Zone != c.cfg.Profile.Zones[i].ID || s.Camera != "k1" || !s.Time.Equal(epoch) || !sane {
					t.Fatalf("passed on: %+v", s)
				}
			}
			if err != nil {
				return
			}
		}
	})
}

// spokenBy is a child without a process that says what it is told to and then ends.
func spokenBy(t *testing.T, said []byte) *child {
	t.Helper()
	var pipes [4]*os.File
	for i := 0; i < 4; i += 2 {
		var err error
		if pipes[i], pipes[i+1], err = os.Pipe(); err != nil {
			t.Fatal(err)
		}
	}
	theirIn, ourIn, ourOut, theirOut := pipes[0], pipes[1], pipes[2], pipes[3]
	done := make(chan struct{}, 2)
	go func() {
		_, _ = io.Copy(io.Discard, theirIn)
		done <- struct{}{}
	}()
	go func() {
		_, _ = theirOut.Write(said)
		_ = theirOut.Close()
		done <- struct{}{}
	}()
	t.Cleanup(func() {
		_, _ = ourIn.Close(), ourOut.Close() // ends both
		<-done
		<-done
		_ = theirIn.Close()
	})
	return &child{in: ourIn, out: ourOut, writer: wire.NewWriter(ourIn), reader: wire.NewReader(ourOut)}
}
