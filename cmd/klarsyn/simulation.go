package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"klarsyn/camera"
	"klarsyn/camera/coded"
	"klarsyn/camera/rtsp/sim"
	"klarsyn/camera/scene"
)

const (
	// simUser is the login that simulated cameras demand; the password is random or given.
	simUser = "klarsyn"
	// simFPS and simLoop make one loop of a simulated camera: a minute at 10 frames per second.
	simFPS  = 10
	simLoop = 60 * simFPS
	// simPeople is how many people a drawn camera's loop has: enough that dashboards may show some zones.
	simPeople = 22
)

// wholePicture counts people where nobody drew zones: a video from a file has no profile.
func wholePicture() camera.Profile {
	return camera.Profile{
		Zones: []camera.Zone{{ID: "hela-bilden", Name: "Hela bilden", Polygon: []camera.Point{{X: 0, Y: 0}, {X: 1, Y: 0}, {X: 1, Y: 1}, {X: 0, Y: 1}}}},
	}
}

// simulation is a square of simulated cameras: drawn scenes, or recorded files.
type simulation struct {
	server  *sim.Server
	cameras []camera.Camera
	scenes  map[camera.ID]*scene.Scene
	feeds   []*sceneFeed
	encode  []func(ctx context.Context) error
}

// simOptions say what to simulate.
type simOptions struct {
	cameras  int
	videos   []string // files served as cameras after the drawn ones
	listen   string
	password string
	seed     uint64
	vision   string
	logger   *slog.Logger
}

// openSimulation binds the port; nothing is drawn or served before run.
func openSimulation(o simOptions) (*simulation, error) {
	s := &simulation{scenes: map[camera.ID]*scene.Scene{}}
	var served []sim.Camera
	names := []string{"Kulturhuset", "Sveavägen", "Klarabergsgatan", "Hötorgsskraporna", "Drottninggatan"}
	for i := range o.cameras {
		id := camera.ID(fmt.Sprintf("k%d", i+1))
		cfg := scene.Config{Seed: o.seed + uint64(i), FPS: simFPS, Frames: simLoop, People: simPeople}.WithDefaults()
		sc, err := scene.New(cfg)
		if err != nil {
			return nil, usageError{err}
		}
		feed := newSceneFeed(cfg.FPS)
		s.feeds = append(s.feeds, feed)
		s.encode = append(s.encode, func(ctx context.Context) error { return feed.encode(ctx, o.vision, cfg) })
		s.scenes[id] = sc
		served = append(served, sim.Camera{Path: string(id), Feed: feed, Username: simUser, Password: o.password})
		s.cameras = append(s.cameras, camera.Camera{ID: id, Name: fmt.Sprintf("K%d %s", i+1, names[i%len(names)]), Profile: sc.Profile()})
	}
	for i, path := range o.videos {
		track, err := coded.LoadMP4(path)
		if err != nil {
			return nil, usageError{err}
		}
		id := camera.ID(fmt.Sprintf("v%d", i+1))
		served = append(served, sim.Camera{Path: string(id), Feed: sim.Loop(track), Username: simUser, Password: o.password})
		s.cameras = append(s.cameras, camera.Camera{ID: id, Name: "Video " + string(id), Profile: wholePicture()})
	}
	var err error
	if s.server, err = sim.New(sim.Config{Listen: o.listen, Cameras: served, Log: o.logger}); err != nil {
		return nil, usageError{err}
	}
	for i := range s.cameras {
		s.cameras[i].URL = s.server.URL(string(s.cameras[i].ID))
		s.cameras[i].Username, s.cameras[i].Password = simUser, camera.Secret(o.password)
	}
	return s, nil
}

// run serves the cameras until ctx ends.
func (s *simulation) run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.server.Run(gctx) })
	for _, encode := range s.encode {
		g.Go(func() error { return encode(gctx) })
	}
	return g.Wait()
}

// ready waits until every drawn camera has its first picture, so that a recorder need not find them
// unable to answer.
func (s *simulation) ready(ctx context.Context) error {
	for _, f := range s.feeds {
		if _, err := f.Frame(ctx, 0); err != nil {
			return err
		}
	}
	return nil
}

// truth is how many people really stood in a zone of a drawn camera at a time.
func (s *simulation) truth(id camera.ID, zone string, at time.Time) (present int, known bool) {
	sc, ok := s.scenes[id]
	if !ok {
		return 0, false
	}
	n, ok := s.server.FrameAt(string(id), at)
	if !ok {
		return 0, false
	}
	count, ok := sc.Truth(n).Zones[zone]
	return count.Present, ok
}
