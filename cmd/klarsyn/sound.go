package main

import (
	"context"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/rtsp"
	"klarsyn/policy"
)

// soundTime bounds how long a session waits for the log to hear of its sound.
const soundTime = 5 * time.Second

// sound tells the log what a camera offers beside its picture: when that is heard first, and whenever it changes. Nothing of it
// is taken, whatever the log says.
type sound struct {
	site   *site
	camera camera.ID
	known  bool
	tracks int
}

// offered is called by the camera's session alone, before anything is sent.
func (s *sound) offered(o rtsp.Offer) {
	if s.known && s.tracks == o.Audio {
		return
	}
	a := s.site.current.now().permits.Decide(string(s.camera), s.site.clock.Receiving())
	if a.Permit == "" {
		return
	}
	result := "no sound"
	if o.Audio > 0 {
		result = "not taken"
	}
	ctx, cancel := context.WithTimeout(context.Background(), soundTime)
	defer cancel()
	entry := policy.AudioCheckedEntry("service:ingest", string(s.camera), policy.PermitRef{ID: a.Permit, Version: a.Version}, o.Audio, result)
	if err := s.site.log.Record(ctx, entry); err != nil {
		s.site.logger.Error("what sound a camera offers could not be logged", "camera", string(s.camera), "err", err)
		return
	}
	s.known, s.tracks = true, o.Audio
}
