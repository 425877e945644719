//go:build cgo

package main

import (
	"fmt"
	"math"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/count"
	"klarsyn/camera/decode"
	"klarsyn/camera/encode"
	"klarsyn/camera/scene"
)

// TestScene draws, encodes, decodes and counts three loops of synthetic squares, as the demonstration
// does, and holds the counts against the exact truth.
func TestScene(t *testing.T) {
	seeds := []uint64{1, 2, 3}
	if testing.Short() {
		seeds = seeds[:1]
	}
	var all score
	for _, seed := range seeds {
		total, zones, moving := countScene(t, scene.Config{Seed: seed}, 3)
		t.Logf("seed %d, all zones: %s", seed, total)
		t.Logf("seed %d, each zone: %s", seed, zones)
		t.Logf("seed %d, moving:    %s", seed, moving)
		all.join(total)
	}
	t.Logf("together: %s", all)
	// Without its background right a counter is worse than a constant; 0.55 of it was measured.
	if all.mae() > 0.75*all.constant() {
		t.Errorf("mean absolute error %.2f, a constant has %.2f: want at most three quarters of it", all.mae(), all.constant())
	}
	if inside := float64(all.inside) / float64(len(all.got)); inside < 0.8 {
		t.Errorf("the interval holds %.0f %% of the truth: want at least 80 %%", 100*inside)
	}
}

// countScene is what encoder, decoder and counter make of a scene's keyframes.
func countScene(t *testing.T, cfg scene.Config, loops int) (total, zones, moving score) {
	t.Helper()
	cfg = cfg.WithDefaults()
	sc, err := scene.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	// At one frame per second every second frame is a keyframe: those are the counted ones.
	enc, err := encode.New(cfg.Width, cfg.Height, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	var dec *decode.Decoder
	var counter *count.Counter
	defer func() {
		dec.Close()
		_ = counter.Close()
	}()
	picture := make([]byte, cfg.Width*cfg.Height*3/2)
	var decoding, counting time.Duration
	pictures := 0
	for n := 0; n < loops*cfg.Frames; n += cfg.FPS {
		sc.Render(n, picture)
		f, err := enc.Encode(picture)
		if err != nil {
			t.Fatal(err)
		}
		if !f.Keyframe {
			continue
		}
		if dec == nil {
			if dec, err = decode.New(enc.Format(), count.FitSize); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		small, err := dec.Keyframe(f.NALUs)
		if err != nil {
			t.Fatal(err)
		}
		decoding += time.Since(began)
		if counter == nil {
			if counter, err = count.New(sc.Profile(), small.Width, small.Height, 0); err != nil {
				t.Fatal(err)
			}
		}
		began = time.Now()
		samples, err := counter.Count(small.I420)
		if err != nil {
			t.Fatal(err)
		}
		counting += time.Since(began)
		pictures++
		if samples[0].Quality != camera.QualityOK {
			if pictures > 15 {
				t.Errorf("frame %d: still %s", n, samples[0].Quality)
			}
			continue
		}
		truth := sc.Truth(n)
		want := 0
		for _, s := range samples {
			z := truth.Zones[s.Zone]
			want += z.Present
			zones.add(s, float64(z.Present))
			moving.add(camera.Sample{Present: s.Moving}, float64(z.Moving))
		}
		total.add(camera.Total(samples), float64(want))
	}
	n := time.Duration(pictures)
	t.Logf("%dx%d: %v to decode, %v to count a picture", cfg.Width, cfg.Height, decoding/n, counting/n)
	return total, zones, moving
}

func (s *score) join(o score) {
	s.truth, s.got, s.inside = append(s.truth, o.truth...), append(s.got, o.got...), s.inside+o.inside
}

// score collects errors.
type score struct {
	truth, got []float64
	inside     int
}

func (s *score) add(got camera.Sample, truth float64) {
	s.truth, s.got = append(s.truth, truth), append(s.got, got.Present)
	if got.Low <= truth && truth <= got.High {
		s.inside++
	}
}

func (s *score) mae() float64 {
	sum := 0.0
	for i := range s.got {
		sum += math.Abs(s.got[i] - s.truth[i])
	}
	return sum / float64(len(s.got))
}

// constant is the error of the best constant: the mean truth.
func (s *score) constant() float64 {
	mean, sum := 0.0, 0.0
	for _, v := range s.truth {
		mean += v / float64(len(s.truth))
	}
	for _, v := range s.truth {
		sum += math.Abs(v - mean)
	}
	return sum / float64(len(s.truth))
}

func (s score) String() string {
	bias, mean := 0.0, 0.0
	for i := range s.got {
		bias += (s.got[i] - s.truth[i]) / float64(len(s.got))
		mean += s.truth[i] / float64(len(s.got))
	}
	return fmt.Sprintf("%d pictures, mean truth %.2f: MAE %.2f (constant %.2f), bias %+.2f, interval holds %.0f %%",
		len(s.got), mean, s.mae(), s.constant(), bias, 100*float64(s.inside)/float64(len(s.got)))
}
