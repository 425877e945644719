package camera

import (
	"bytes"
	"fmt"
	"time"
)

// Allowance is what a camera may do in a stretch of time, and what forbids the rest.
type Allowance struct {
	Record bool // keep pictures
	Count  bool // count people
	// Cause, Detail, Permit and Clause say why pictures are not kept; Permit, where they are, says under what.
	Cause          Cause
	Detail         string
	Permit, Clause string
	Limits         Limits
	// From and Until bound the stretch; zero: no edge is known. Until is not part of it.
	From, Until time.Time
}

// Limits bound what pictures may show. Zero: no bound.
type Limits struct {
	Width, Height int     // pixels
	Rate          float64 // pictures per second
}

// same reports whether two stretches allow the same on the same ground.
func (a Allowance) same(b Allowance) bool {
	a.From, a.Until, b.From, b.Until = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	return a == b
}

// ClockTolerance is how far camera time and server time may differ before camera time is not believed.
const ClockTolerance = 10 * time.Second

// holds reports whether the picture was taken in the stretch: by the time of receipt and, where that is believed, by the
// camera's own time, which is earlier by the time that the picture was on its way.
func (a Allowance) holds(au AccessUnit) bool {
	if !a.spans(au.Time) {
		return false
	}
	off := au.Time.Sub(au.CameraTime).Abs()
	return au.CameraTime.IsZero() || off > ClockTolerance || a.spans(au.CameraTime)
}

func (a Allowance) spans(t time.Time) bool {
	return (a.From.IsZero() || !t.Before(a.From)) && (a.Until.IsZero() || t.Before(a.Until))
}

// late notes a picture that was not taken in the stretch. Who watches the permit ends the session with it; but by a clock that
// was set back he may come later than pictures do, whose time never runs backwards.
func (w *Worker) late(may Allowance, au AccessUnit) {
	was := w.outside
	w.outside = true
	if was || !may.Record || may.Until.IsZero() || au.Time.Before(may.Until) {
		return
	}
	w.tell(&Gap{Camera: w.cfg.Camera, From: may.Until, Cause: NotPermitted, Detail: "by their own time the pictures are outside what is permitted", Permit: may.Permit, Clause: "schedule"})
}

// rateSpan is over how much media time pictures are counted.
const rateSpan = time.Second

// rate tells how many pictures come in a second.
type rate struct {
	recent []time.Duration // DTS of the pictures of the last second
	known  bool
}

func (r *rate) add(dts time.Duration) {
	r.recent = append(r.recent, dts)
	for len(r.recent) > 1 && dts-r.recent[0] >= rateSpan {
		r.recent = r.recent[1:]
		r.known = true
	}
}

// slack is by how much a count of whole pictures may pass a limit: clocks of cameras are not exact.
const slack = 1.05

// barred reports whether the limits of the permit keep the picture from being recorded, and says so when that changes. The rate is not
// known before a second of pictures was seen: until then nothing is recorded.
func (w *Worker) barred(may Allowance, f Format, au AccessUnit) bool {
	why := w.beyond(may.Limits, f, au)
	told := w.bar
	w.bar = why
	w.outside = why != "" || w.outside && !au.Keyframe
	if why != "" && why != told {
		if why != measuring {
			w.cfg.Log.Error("not recording: the camera sends more than the permit allows", "detail", why)
		}
		w.tell(&Gap{Camera: w.cfg.Camera, From: au.Time, Cause: NotPermitted, Detail: why, Permit: may.Permit, Clause: "limits"})
	}
	return w.outside
}

const measuring = "the rate of pictures is being measured"

// beyond says which limit the picture passes; empty: none.
func (w *Worker) beyond(l Limits, f Format, au AccessUnit) string {
	if l.Width > 0 || l.Height > 0 {
		width, height, err := w.size.of(f)
		switch {
		case err != nil:
			return "the size of the pictures is not known: " + err.Error()
		case l.Width > 0 && width > l.Width || l.Height > 0 && height > l.Height:
			return fmt.Sprintf("the camera sends %dx%d, the permit allows %dx%d: set the camera down", width, height, l.Width, l.Height)
		}
	}
	if l.Rate <= 0 {
		return ""
	}
	w.rate.add(au.DTS)
	switch {
	case float64(len(w.rate.recent)) > l.Rate*slack+1:
		return fmt.Sprintf("the camera sends more than the %g pictures a second that the permit allows: set the camera down", l.Rate)
	case !w.rate.known:
		return measuring
	}
	return ""
}

// sizes remembers the size of the newest format: it is asked for every picture.
type sizes struct {
	sps           []byte
	width, height int
	err           error
}

func (s *sizes) of(f Format) (width, height int, err error) {
	if s.sps == nil || !bytes.Equal(s.sps, f.SPS) {
		s.sps = bytes.Clone(f.SPS)
		s.width, s.height, s.err = f.Size()
	}
	return s.width, s.height, s.err
}
