package main

import (
	"strings"
	"sync"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
)

// permission answers a worker from what holds of the square.
type permission struct {
	current *current
	views   *views
}

func (p permission) Allowed(id camera.ID, at time.Time) camera.Allowance {
	h := p.current.now()
	if silent := p.current.silent(); silent > 0 {
		return camera.Allowance{Cause: camera.OurFault, Detail: "the permits cannot be read: the catalogue does not answer"}
	}
	a := h.permits.Decide(string(id), at)
	out := camera.Allowance{Record: a.Recording, Count: a.Counting, Permit: a.Ref(), From: a.Since, Until: a.Until}
	if !a.Recording {
		out.Cause, out.Detail, out.Clause = camera.Cause(a.Cause), a.Detail, a.Clause
		return out
	}
	permit, _ := h.permits.Get(a.Permit, a.Version)
	out.Limits = camera.Limits(permit.Limits)
	if cc, known := h.camera(id); known && !permit.PTZ && p.views.moved(id, cc.View) {
		out.Record, out.Cause, out.Clause, out.Limits = false, camera.MaskFailed, policy.ClauseView, camera.Limits{}
		out.Detail = movedDetail(cc.View)
	}
	return out
}

func movedDetail(view string) string {
	return "the camera does not show what it was put up to show (view " + viewName(view) + "): look at it, then apply another view"
}

func viewName(view string) string {
	if view == "" {
		return "first"
	}
	return view
}

// views remembers which cameras were seen to point elsewhere. What was decided for one view holds for no other: recording
// stops until somebody looked, and said so by applying another view.
type views struct {
	mu    sync.Mutex
	since map[camera.ID]string // the view under which a camera was seen to have moved
	sway  map[camera.ID]bool   // it may have been the wind
}

func newViews() *views { return &views{since: map[camera.ID]string{}, sway: map[camera.ID]bool{}} }

func (v *views) moved(id camera.ID, view string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	under, moved := v.since[id]
	if moved && under != view {
		delete(v.since, id)
		delete(v.sway, id)
		return false
	}
	return moved
}

// see takes what a counter says. A camera that sways and shows the same again is believed; one whose counter began to learn
// another picture is not.
func (v *views) see(id camera.ID, view string, q camera.Quality) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case q == camera.QualityCameraMoved:
		if _, known := v.since[id]; !known {
			v.since[id], v.sway[id] = view, true
		}
	case q == camera.QualityLearning:
		v.sway[id] = false
	case q == camera.QualityOK && v.sway[id]:
		delete(v.since, id)
		delete(v.sway, id)
	}
}

// remember takes up what a recorder before this one saw, from the gap that it left.
func (v *views) remember(id camera.ID, view string, open camera.Gap) {
	if open.Cause != camera.MaskFailed || open.Clause != policy.ClauseView || !strings.Contains(open.Detail, "(view "+viewName(view)+")") {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.since[id] = view
}
