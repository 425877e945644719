//go:build cgo

package main

import (
	"fmt"
	"reflect"

	"klarsyn/camera"
	"klarsyn/camera/count"
	"klarsyn/camera/decode"
	"klarsyn/camera/vision/wire"
)

// counting is one camera: its decoder, and a counter for pictures of one size.
type counting struct {
	setup         wire.Setup
	format        camera.Format
	decoder       *decode.Decoder
	counter       *count.Counter
	width, height int
}

// countPeople answers every access unit with one sample per zone until the input ends.
func countPeople(s *session) error {
	m, ok := <-s.in
	if !ok {
		return s.end()
	}
	setup, ok := m.(wire.Setup)
	if !ok {
		return fmt.Errorf("%T before the profile", m)
	}
	if setup.Method != "" && setup.Method != count.Method {
		return fmt.Errorf("count by %q: this klarsyn-vision counts by %s", setup.Method, count.Method)
	}
	c := &counting{setup: setup}
	defer c.close()
	for m := range s.in {
		switch m := m.(type) {
		case wire.Format:
			if err := c.setFormat(m.Format); err != nil {
				return err
			}
		case wire.AccessUnit:
			if err := s.out.Write(c.answer(m)); err != nil {
				return fmt.Errorf("answer klarsyn: %w", err)
			}
		default:
			return fmt.Errorf("%T among access units", m)
		}
	}
	return s.end()
}

func (c *counting) setFormat(f camera.Format) error {
	if c.decoder != nil && reflect.DeepEqual(f, c.format) {
		return nil
	}
	d, err := decode.New(f, count.FitSize)
	if err != nil {
		return err
	}
	if c.decoder != nil {
		c.decoder.Close()
	}
	c.decoder, c.format = d, f
	return nil
}

// answer counts one picture. One that cannot be decoded is answered, too: unknown, with the reason.
func (c *counting) answer(au wire.AccessUnit) wire.Samples {
	out := wire.Samples{Seq: au.Seq, Time: au.Time}
	samples, err := c.count(au.NALUs)
	if err != nil {
		out.Fault = err.Error()
		for _, z := range c.setup.Profile.Zones {
			out.Zones = append(out.Zones, wire.Sample{Zone: z.ID, Quality: camera.QualityDecoderLost})
		}
		return out
	}
	out.Method = count.Method
	for _, s := range samples {
		out.Zones = append(out.Zones, wire.Sample{
			Zone: s.Zone, Present: s.Present, Moving: s.Moving, Low: s.Low, High: s.High, Quality: s.Quality,
		})
	}
	return out
}

func (c *counting) count(nalus [][]byte) ([]camera.Sample, error) {
	if c.decoder == nil {
		return nil, fmt.Errorf("access unit before its format")
	}
	p, err := c.decoder.Keyframe(nalus)
	if err != nil {
		return nil, err
	}
	return c.look(c.setup.Profile, c.setup.Learning, &p)
}

// look counts one small picture, with a counter for pictures of its size.
func (c *counting) look(profile camera.Profile, learning int, p *decode.Picture) ([]camera.Sample, error) {
	if c.counter == nil || p.Width != c.width || p.Height != c.height {
		n, err := count.New(profile, p.Width, p.Height, learning)
		if err != nil {
			return nil, err
		}
		if c.counter != nil {
			_ = c.counter.Close()
		}
		c.counter, c.width, c.height = n, p.Width, p.Height
	}
	return c.counter.Count(p.I420)
}

func (c *counting) close() {
	if c.decoder != nil {
		c.decoder.Close()
	}
	if c.counter != nil {
		_ = c.counter.Close()
	}
}
