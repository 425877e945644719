//go:build cgo

package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"

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
	stream        *decode.Stream // nil between pictures that stand alone
	torn          bool           // what comes leans on a picture that is missing, until the next keyframe
	due           []due          // to be counted, and not shown yet; in decoding order
	counter       *count.Counter
	width, height int
	learnt        []byte // by another before, until the size of pictures is known
	starved       int    // pictures in a row for which there was no memory
}

// maxStarved is after how many pictures without memory the process ends: what hostile pictures have left of the heap
// would else keep a child alive that counts nothing any more. The next one begins with an empty heap.
const maxStarved = 3

// due is a picture that is to be counted.
type due struct {
	seq      uint64
	time     time.Time
	keyframe bool
}

// mostDue is how many pictures may be on their way through a decoder, which holds 16 back at most.
const mostDue = 32

// countPeople answers every access unit until the input ends.
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
			if c.starved >= maxStarved {
				return fmt.Errorf("no memory for %d pictures in a row: %w", c.starved, decode.ErrMemory)
			}
		case wire.Background:
			if len(m.Data) > 0 {
				c.learnt = m.Data
			} else if err := s.out.Write(wire.Background{Data: c.background()}); err != nil {
				return fmt.Errorf("tell klarsyn what was learnt: %w", err)
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
	c.cut()
	if c.decoder != nil {
		c.decoder.Close()
	}
	c.decoder, c.format = d, f
	return nil
}

// answer takes one access unit and says what has become ready. One that cannot be decoded is answered, too: without a
// number, with the reason.
func (c *counting) answer(au wire.AccessUnit) wire.Answer {
	out := wire.Answer{Seq: au.Seq}
	if au.Look {
		c.due = append(c.due, due{au.Seq, au.Time, au.Keyframe})
	}
	if au.Alone {
		c.drain(&out)
		c.lose(&out, errStopped, func(d due) bool { return d.seq != au.Seq })
		p, err := c.keyframe(au.NALUs)
		if au.Look {
			c.tell(&out, int64(au.Seq), p, err)
		}
		return out
	}
	if err := c.follow(au, &out); err != nil {
		c.torn = true
		c.lose(&out, err, func(due) bool { return true })
	}
	if len(c.due) > mostDue {
		c.lose(&out, errors.New("the decoder does not show it"), func(d due) bool { return d.seq+mostDue < au.Seq })
	}
	return out
}

var (
	errStopped  = errors.New("the pictures after it did not come")
	errNoFormat = errors.New("access unit before its format")
)

// keyframe decodes a picture that stands alone.
func (c *counting) keyframe(nalus [][]byte) (*decode.Picture, error) {
	if c.decoder == nil {
		return nil, errNoFormat
	}
	p, err := c.decoder.Keyframe(nalus)
	switch {
	case errors.Is(err, decode.ErrMemory):
		c.starved++
	case err == nil:
		c.starved = 0
	}
	return &p, err
}

// follow decodes a picture that others lean on, or that leans on others.
func (c *counting) follow(au wire.AccessUnit, out *wire.Answer) error {
	if c.decoder == nil {
		return errNoFormat
	}
	if au.Keyframe {
		c.torn = false
	} else if c.torn || c.stream == nil {
		return fmt.Errorf("it leans on a picture that is missing: %w", decode.ErrNoPicture)
	}
	if c.stream == nil {
		var err error
		if c.stream, err = c.decoder.Stream(); err != nil {
			return err
		}
	}
	return c.stream.Send(au.NALUs, int64(au.Seq), c.wanted, c.shower(out))
}

func (c *counting) wanted(n int64) bool {
	return slices.ContainsFunc(c.due, func(d due) bool { return d.seq == uint64(n) })
}

func (c *counting) shower(out *wire.Answer) func(int64, decode.Picture) error {
	return func(n int64, p decode.Picture) error {
		c.tell(out, n, &p, nil)
		return nil
	}
}

// drain counts what is on its way, and ends the stream.
func (c *counting) drain(out *wire.Answer) {
	if c.stream == nil {
		return
	}
	if err := c.stream.Send(nil, 0, c.wanted, c.shower(out)); err != nil {
		c.lose(out, err, func(d due) bool { return d.seq != out.Seq })
	}
	c.cut()
}

// cut ends the stream. What was on its way is still due.
func (c *counting) cut() {
	if c.stream != nil {
		c.stream.Close()
		c.stream = nil
	}
}

// tell adds what there is to say of a picture that was due.
func (c *counting) tell(out *wire.Answer, n int64, p *decode.Picture, err error) {
	i := slices.IndexFunc(c.due, func(d due) bool { return d.seq == uint64(n) })
	if i < 0 {
		return
	}
	d := c.due[i]
	c.due = slices.Delete(c.due, i, i+1)
	samples := wire.Samples{Seq: d.seq, Time: d.time, Method: count.Method}
	var counted []camera.Sample
	if err == nil {
		counted, err = c.look(c.setup.Profile, c.setup.Learning, p, d.keyframe)
	}
	if err != nil {
		samples.Fault, samples.Method = err.Error(), ""
		for _, z := range c.setup.Profile.Zones {
			samples.Zones = append(samples.Zones, wire.Sample{Zone: z.ID, Quality: camera.QualityDecoderLost})
		}
	}
	for _, s := range counted {
		samples.Zones = append(samples.Zones, wire.Sample{
			Zone: s.Zone, Present: s.Present, Moving: s.Moving, Low: s.Low, High: s.High, Quality: s.Quality,
		})
	}
	out.Pictures = append(out.Pictures, samples)
}

// lose says of pictures that were due that they will not be shown.
func (c *counting) lose(out *wire.Answer, why error, which func(due) bool) {
	for _, d := range slices.Clone(c.due) {
		if which(d) {
			c.tell(out, int64(d.seq), nil, why)
		}
	}
}

// look counts one small picture, with a counter for pictures of its size. It learns from keyframes alone.
func (c *counting) look(profile camera.Profile, learning int, p *decode.Picture, learns bool) ([]camera.Sample, error) {
	if c.counter == nil || p.Width != c.width || p.Height != c.height {
		n, err := count.New(profile, p.Width, p.Height, learning)
		if err != nil {
			return nil, err
		}
		if c.counter != nil {
			_ = c.counter.Close()
		}
		c.counter, c.width, c.height = n, p.Width, p.Height
		c.resume()
	}
	if learns {
		return c.counter.Count(p.I420)
	}
	return c.counter.Glance(p.I420)
}

// resume goes on with what was learnt before, by a counter of the first size that comes.
func (c *counting) resume() {
	if c.learnt == nil {
		return
	}
	if err := c.counter.Resume(c.learnt); err != nil {
		fmt.Fprintln(os.Stderr, "klarsyn-vision: the background is learnt anew, no number for a while:", err)
	}
	c.learnt = nil
}

// background is what there is to go on with; nil if nothing is to be trusted.
func (c *counting) background() []byte {
	if c.counter == nil {
		return nil
	}
	return c.counter.Learnt()
}

func (c *counting) close() {
	c.cut()
	if c.decoder != nil {
		c.decoder.Close()
	}
	if c.counter != nil {
		_ = c.counter.Close()
	}
}
