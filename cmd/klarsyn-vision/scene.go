//go:build cgo

package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"klarsyn/camera/encode"
	"klarsyn/camera/scene"
	"klarsyn/camera/vision/wire"
)

// progressEvery is the number of frames between two reports.
const progressEvery = 50

// drawScene draws and encodes one loop of a synthetic square.
func drawScene(s *session) error {
	m, ok := <-s.in
	if !ok {
		return s.end()
	}
	request, ok := m.(wire.Scene)
	if !ok {
		return fmt.Errorf("%T instead of a scene", m)
	}
	var cfg scene.Config
	d := json.NewDecoder(bytes.NewReader(request.JSON))
	d.DisallowUnknownFields()
	if err := d.Decode(&cfg); err != nil {
		return fmt.Errorf("scene: %w", err)
	}
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("scene: %w", err)
	}
	sc, err := scene.New(cfg)
	if err != nil {
		return fmt.Errorf("scene: %w", err)
	}
	enc, err := encode.New(cfg.Width, cfg.Height, cfg.FPS)
	if err != nil {
		return err
	}
	defer enc.Close()
	picture := make([]byte, cfg.Width*cfg.Height*3/2)
	for n := range cfg.Frames {
		sc.Render(n, picture)
		f, err := enc.Encode(picture)
		if err != nil {
			return err
		}
		if n == 0 {
			if err := s.out.Write(wire.Format{Format: enc.Format()}); err != nil {
				return fmt.Errorf("give klarsyn the format: %w", err)
			}
		}
		if err := s.out.Write(wire.Encoded{N: uint32(f.N), Keyframe: f.Keyframe, NALUs: f.NALUs}); err != nil {
			return fmt.Errorf("give klarsyn frame %d: %w", n, err)
		}
		if done := n + 1; done%progressEvery == 0 || done == cfg.Frames {
			if err := s.out.Write(wire.Progress{Done: uint32(done), Total: uint32(cfg.Frames)}); err != nil {
				return fmt.Errorf("report to klarsyn: %w", err)
			}
		}
	}
	return nil
}
