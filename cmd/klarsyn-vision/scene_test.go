//go:build cgo

package main

import (
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
		var sum camera.Sample
		want, below, above := 0, 0.0, 0.0 // squares: zones err independently
		for _, s := range samples {
			z := truth.Zones[s.Zone]
			want += z.Present
			zones.add(s, float64(z.Present))
			moving.add(camera.Sample{Present: s.Moving}, float64(z.Moving))
			sum.Present += s.Present
			below += (s.Present - s.Low) * (s.Present - s.Low)
			above += (s.High - s.Present) * (s.High - s.Present)
		}
		sum.Low, sum.High = sum.Present-math.Sqrt(below), sum.Present+math.Sqrt(above)
		total.add(sum, float64(want))
	}
	n := time.Duration(pictures)
	t.Logf("%dx%d: %v to decode, %v to count a picture", cfg.Width, cfg.Height, decoding/n, counting/n)
	return total, zones, moving
}

func (s *score) join(o score) {
	s.truth, s.got, s.inside = append(s.truth, o.truth...), append(s.got, o.got...), s.inside+o.inside
}
