package main

import (
	"context"

	"golang.org/x/sync/errgroup"

	"klarsyn/camera"
	"klarsyn/camera/rtsp"
	"klarsyn/camera/segment"
	"klarsyn/camera/vision"
)

// channel is one camera on its way: connection, recorder, counter.
type channel struct {
	configured cameraConfig
	masks      []camera.Mask // that permits demanded when it was made ready
	camera     camera.Camera
	client     *rtsp.Client
	worker     *camera.Worker
	counter    counter
	stop       context.CancelFunc
	stopped    chan struct{}
}

// counter counts a camera's people. A camera for which nobody drew zones has none, and its numbers stay 0.
type counter struct{ *vision.Counter }

func (c counter) Stats() vision.Stats {
	if c.Counter == nil {
		return vision.Stats{}
	}
	return c.Counter.Stats()
}

// channel makes a camera ready; nothing is pulled before it is started.
func (in *ingest) channel(held *holding, cc cameraConfig) (*channel, error) {
	s := in.site
	cam, err := cc.connected(s.square.folder)
	if err != nil {
		return nil, err
	}
	masks := held.masks(cam.ID, s.clock.Receiving())
	cam.Profile.Masks = append(cam.Profile.Masks, masks...)
	client, err := rtsp.New(cam, rtsp.Config{Now: s.clock.Receiving, Log: s.logger, Offered: (&sound{site: s, camera: cam.ID}).offered})
	if err != nil {
		return nil, err
	}
	cfg := camera.WorkerConfig{
		Camera: cam.ID, Source: client,
		Recorder:   segment.NewRecorder(segment.Config{Camera: cam.ID, Vault: in.intake, Clip: s.square.clip}),
		Permission: permission{s.current, in.views}, Now: s.clock.Receiving, Log: s.logger,
	}
	var counts counter
	if len(cam.Profile.Zones) > 0 {
		counts.Counter, err = vision.New(vision.Config{Path: in.visionPath, Camera: cam.ID, Profile: cam.Profile, Log: s.logger,
			Every: cam.Counting.Every, Gate: !cam.Counting.Ungated, Backgrounds: in.backgrounds, Starting: in.starting}, in.samples.take)
		if err != nil {
			return nil, err
		}
		cfg.Counter = counts
	}
	return &channel{configured: cc, masks: masks, camera: cam, client: client, worker: camera.NewWorker(cfg), counter: counts}, nil
}

// start runs the camera until it is stopped or ctx ends.
func (ch *channel) start(ctx context.Context, g *errgroup.Group) {
	ctx, ch.stop = context.WithCancel(ctx)
	ch.stopped = make(chan struct{})
	g.Go(func() error {
		defer close(ch.stopped)
		defer ch.stop()
		parts, cctx := errgroup.WithContext(ctx)
		parts.Go(func() error { return ch.worker.Run(cctx) })
		if ch.counter.Counter != nil {
			parts.Go(func() error { return ch.counter.Run(cctx) })
		}
		return parts.Wait()
	})
}
