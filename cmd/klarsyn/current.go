package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/goccy/go-yaml"

	"golang.org/x/sync/errgroup"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention/catalogue"
)

const (
	// pollEvery is how soon every process hears of what was applied.
	pollEvery = time.Second
	// pollTime bounds one look at the catalogue.
	pollTime = 5 * time.Second
	// believedFor is how long the permits that were read last are believed while the catalogue does not answer: long enough
	// for a database to change over, and not for a withdrawn permit to go on.
	believedFor = 15 * time.Second
)

// holding is what holds of the square: one revision of what was applied. Nobody changes it.
type holding struct {
	revision int64
	Declaration
	permits *policy.Permits
}

// camera finds a camera by its id.
func (h *holding) camera(id camera.ID) (cameraConfig, bool) {
	for _, cc := range h.Cameras {
		if cc.ID == string(id) {
			return cc, true
		}
	}
	return cameraConfig{}, false
}

// group is the group of a camera.
func (h *holding) group(cam string) string {
	for _, g := range h.Groups {
		for _, id := range g.Cameras {
			if id == cam {
				return g.ID
			}
		}
	}
	return policy.DefaultGroup
}

// minCell is the smallest count that may be shown of a camera: the largest that a permit in force demands; where none is, that
// any permit of the camera ever demanded.
func (h *holding) minCell(id camera.ID, now time.Time) int {
	active, ever := 0, 0
	for _, v := range h.permits.Versions() {
		if !slices.Contains(v.Permit.Cameras, string(id)) {
			continue
		}
		ever = max(ever, v.Permit.MinCell)
		if v.StateAt(now) == policy.Active {
			active = max(active, v.Permit.MinCell)
		}
	}
	if active > 0 {
		return active
	}
	return ever
}

// masks are those that permits in force demand of a camera.
func (h *holding) masks(id camera.ID, now time.Time) []camera.Mask {
	var masks []camera.Mask
	for _, v := range h.permits.Versions() {
		if v.StateAt(now) != policy.Active {
			continue
		}
		for _, m := range v.Permit.MasksOf(string(id)) {
			mask := camera.Mask{ID: v.Permit.ID + "-" + m.ID, Version: m.Version, Kind: m.Kind, Calibration: m.Calibration}
			for _, corner := range m.Polygon {
				mask.Polygon = append(mask.Polygon, camera.Point(corner))
			}
			masks = append(masks, mask)
		}
	}
	return masks
}

// holdingOf reads a revision.
func holdingOf(d catalogue.Declared) (*holding, error) {
	h := &holding{revision: d.Revision}
	if len(d.Document) > 0 {
		if err := yaml.UnmarshalWithOptions(d.Document, &h.Declaration, yaml.Strict()); err != nil {
			return nil, fmt.Errorf("revision %d of the square cannot be read: %w", d.Revision, err)
		}
	}
	var err error
	h.permits, err = policy.PermitsOf(d.Versions)
	return h, err
}

// current is what holds now, as far as this process heard.
type current struct {
	books *catalogue.Catalogue
	held  atomic.Pointer[holding]
	heard atomic.Int64 // when the catalogue last answered, in nanoseconds of the running process's clock
	began time.Time
	// changed has something in it since another revision was read, until somebody takes it.
	changed chan struct{}
}

func newCurrent(ctx context.Context, books *catalogue.Catalogue) (*current, error) {
	c := &current{books: books, began: time.Now(), changed: make(chan struct{}, 1)}
	return c, c.poll(ctx)
}

// poll asks whether something was applied, and reads it.
func (c *current) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	asked := time.Since(c.began)
	revision, err := c.books.Revision(ctx)
	if err != nil {
		return err
	}
	if h := c.held.Load(); h == nil || h.revision != revision {
		d, err := c.books.Square(ctx)
		if err != nil {
			return err
		}
		if h, err = holdingOf(d); err != nil {
			return err
		}
		c.held.Store(h)
		select {
		case c.changed <- struct{}{}:
		default:
		}
	}
	c.heard.Store(int64(asked))
	return nil
}

// now is what holds.
func (c *current) now() *holding { return c.held.Load() }

// silent is for how long the catalogue has not answered, beyond what is believed; 0: it did.
func (c *current) silent() time.Duration {
	silence := time.Since(c.began) - time.Duration(c.heard.Load())
	if silence <= believedFor {
		return 0
	}
	return silence
}

// watchSquare hears of what is applied, and whether rows and objects still belong together, until ctx ends.
func (s *site) watchSquare(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.watchEpoch(ctx) })
	g.Go(func() error { return s.watchRevisions(ctx) })
	return g.Wait()
}

// watchEpoch asks apart from what is applied: a store that hangs must not make anybody believe that the catalogue is silent. Only
// a verdict ends the process: these rows are being put back, or do not belong to these objects. A database that is away is none.
func (s *site) watchEpoch(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var verdict usageError
		if err := s.followEpoch(ctx); errors.As(err, &verdict) && ctx.Err() == nil {
			return err
		}
	}
}

func (s *site) watchRevisions(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		before := s.current.now().revision
		err := s.current.poll(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failing:
			s.logger.Error("what holds of the square cannot be read: no new recording begins until it can", "err", err)
		case err == nil && failing:
			s.logger.Info("what holds of the square can be read again")
		case s.current.now().revision != before:
			s.logger.Info("another revision of the square holds", "revision", s.current.now().revision)
		}
		failing = err != nil
	}
}
