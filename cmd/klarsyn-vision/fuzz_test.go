//go:build cgo

package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/decode/hostile"
	"klarsyn/camera/vision/wire"
)

// said is messages as they go through the pipe.
func said(t testing.TB, messages ...wire.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	w := wire.NewWriter(&b)
	for _, m := range messages {
		if err := w.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// answered is all that a counting child says to the messages of a stream, and which access units it was given before
// its end. It is child without the drop: the process is the test's.
func answered(stream []byte) (asked []wire.AccessUnit, out []byte, err error) {
	var b bytes.Buffer
	in := make(chan wire.Message)
	done := make(chan error, 1)
	var end error
	go func() {
		done <- countPeople(&session{in: in, out: wire.NewWriter(&b), end: func() error { return end }})
	}()
	r := wire.NewReader(bytes.NewReader(stream))
	for {
		m, readErr := r.Next()
		if readErr != nil {
			if !errors.Is(readErr, io.EOF) {
				end = readErr
			}
			close(in)
			err = <-done
			return asked, b.Bytes(), err
		}
		select {
		case in <- m:
			if au, ok := m.(wire.AccessUnit); ok {
				asked = append(asked, au)
			}
		case err = <-done:
			return asked, b.Bytes(), err
		}
	}
}

// checkAnswers wants one answer to every access unit, in order, that a parent takes: each picture that was to be counted at
// most once, with each zone, and a number only of what was a picture.
func checkAnswers(t *testing.T, profile camera.Profile, asked []wire.AccessUnit, out []byte) []wire.Samples {
	t.Helper()
	var all []wire.Samples
	type picture struct {
		seq  uint64
		time int64
	}
	due := map[picture]int{}
	r := wire.NewReader(bytes.NewReader(out))
	for n, au := range asked {
		m, err := r.Next()
		if errors.Is(err, io.EOF) && n == len(asked)-1 {
			break // the last one ended it
		}
		if err != nil {
			t.Fatalf("answer %d: %v: a parent would end this child", n, err)
		}
		got, ok := m.(wire.Answer)
		if !ok || got.Seq != au.Seq {
			t.Fatalf("asked %d, got %+v", au.Seq, m)
		}
		if au.Look {
			due[picture{au.Seq, au.Time.UnixMicro()}]++
		}
		for _, p := range got.Pictures {
			at := picture{p.Seq, p.Time.UnixMicro()}
			if due[at]--; due[at] < 0 || len(p.Zones) != len(profile.Zones) {
				t.Fatalf("answer %d: picture %d of %v is not due: %+v", n, p.Seq, p.Time, p)
			}
			for i, z := range p.Zones {
				if z.Zone != profile.Zones[i].ID || (z.Quality != camera.QualityOK && z.High != 0) || (p.Fault != "" && z.Quality != camera.QualityDecoderLost) {
					t.Fatalf("answer %d: zone %+v, fault %q", n, z, p.Fault)
				}
			}
			all = append(all, p)
		}
	}
	if m, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Fatalf("more than was asked for: %+v, %v", m, err)
	}
	return all
}

func oneZone() camera.Profile {
	return camera.Profile{Zones: []camera.Zone{{ID: "all", Polygon: []camera.Point{{X: 0, Y: 0}, {X: 1, Y: 0}, {X: 1, Y: 1}, {X: 0, Y: 1}}}}}
}

// A parent's stream that is cut, or not in order, ends the child with an error; what came before is answered.
func TestBrokenStreams(t *testing.T) {
	film := hostile.Code(t, camera.H264, "64x64")
	setup, format := wire.Setup{Profile: oneZone(), Learning: 3}, wire.Format{Format: film.Format}
	au := func(n uint64) wire.AccessUnit {
		return wire.AccessUnit{Seq: n, Time: time.UnixMicro(int64(n)).UTC(), Keyframe: true, Look: true, Alone: true, NALUs: film.Keys()[n%3]}
	}
	whole := said(t, setup, format, au(1), au(2))
	for name, c := range map[string]struct {
		stream  []byte
		want    string // of the error
		answers int
	}{
		"whole":               {whole, "", 2},
		"nothing":             {nil, "", 0},
		"cut":                 {whole[:len(whole)-1], "unexpected EOF", 1},
		"no profile":          {said(t, format, au(1)), "before the profile", 0},
		"no format":           {said(t, setup, au(1), format, au(2)), "", 2},
		"profile twice":       {said(t, setup, format, au(1), setup, au(2)), "wire.Setup among access units", 1},
		"hello again":         {said(t, setup, wire.NewHello(wire.ModeCount)), "wire.Hello among access units", 0},
		"learning from 1":     {said(t, wire.Setup{Profile: oneZone(), Learning: 1}, format, au(1)), "", 1},
		"noise":               {append(said(t, setup, format, au(1)), "noise of any kind"...), "unknown type", 1},
		"two formats in turn": {said(t, setup, format, au(1), wire.Format{Format: camera.Format{Codec: camera.H265}}, au(2), format, au(3)), "", 3},
	} {
		t.Run(name, func(t *testing.T) {
			asked, out, err := answered(c.stream)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("ended with %v, want %q", err, c.want)
			}
			if got := checkAnswers(t, oneZone(), asked, out); len(got) != c.answers {
				t.Errorf("%d answers, want %d", len(got), c.answers)
			}
		})
	}
}

// FuzzCountPeople feeds a counting child any stream at all.
func FuzzCountPeople(f *testing.F) {
	setup := wire.Setup{Profile: oneZone(), Learning: 3}
	for _, codec := range []camera.Codec{camera.H264, camera.H265} {
		film := hostile.Code(f, codec, "64x64")
		good := []wire.Message{setup, wire.Format{Format: film.Format}}
		for n := range uint64(5) {
			good = append(good, wire.AccessUnit{Seq: n, Time: time.UnixMicro(int64(n)).UTC(), Keyframe: true, Look: true, Alone: n%2 == 0, NALUs: film.Keys()[n%3]})
		}
		f.Add(said(f, good...))
		for i, m := range hostile.Corpus(f, film) {
			if i%7 != 0 || len(m.NALUs) > 100 || len(m.Format.SPS) > 1000 {
				continue
			}
			s := said(f, setup, wire.Format{Format: m.Format}, wire.AccessUnit{Seq: 9, Keyframe: true, Look: true, Alone: true, NALUs: m.NALUs})
			if len(s) < 4<<10 {
				f.Add(s)
			}
		}
	}
	f.Add(said(f, wire.Setup{Profile: camera.Profile{Zones: oneZone().Zones, Perspective: camera.Perspective{Slope: 0.3, Offset: 0.05}}}))
	f.Fuzz(func(t *testing.T, stream []byte) {
		profile := camera.Profile{}
		if m, err := wire.NewReader(bytes.NewReader(stream)).Next(); err == nil {
			if s, ok := m.(wire.Setup); ok {
				profile = s.Profile
			}
		}
		asked, out, _ := answered(stream)
		checkAnswers(t, profile, asked, out)
	})
}
