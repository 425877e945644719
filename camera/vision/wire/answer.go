package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"klarsyn/camera"
)

// Sample is the count of one zone.
type Sample struct {
	Zone                       string
	Present, Moving, Low, High float64
	Quality                    camera.Quality
}

// Answer answers one access unit, once, with the pictures that have become ready, in the order in which they are shown:
// none as long as a later one is shown first.
type Answer struct {
	Seq      uint64 // of the access unit
	Pictures []Samples
}

// MaxPictures bounds those of one answer. A decoder holds 16 back at most.
const MaxPictures = 64

func (Answer) kind() byte { return 'R' }
func (Answer) limit() int { return 16 + MaxPictures*Samples{}.limit() }

func (m Answer) append(b []byte) ([]byte, error) {
	if len(m.Pictures) > MaxPictures {
		return nil, fmt.Errorf("%d pictures in one answer, at most %d: %w", len(m.Pictures), MaxPictures, ErrTooLarge)
	}
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(b, m.Seq), uint32(len(m.Pictures)))
	for _, p := range m.Pictures {
		var err error
		if b, err = p.append(b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (Answer) parse(c *cursor) (Message, error) {
	m := Answer{Seq: c.u64()}
	n := c.u32()
	if n > MaxPictures {
		return nil, fmt.Errorf("%d pictures in one answer, at most %d: %w", n, MaxPictures, ErrTooLarge)
	}
	for range n {
		p, err := parseSamples(c)
		if err != nil {
			return nil, err
		}
		if c.short {
			break // end reports it
		}
		m.Pictures = append(m.Pictures, p)
	}
	return m, nil
}

// Samples is what there is to say of one picture that was to be counted, with every zone.
type Samples struct {
	Seq   uint64
	Time  time.Time
	Zones []Sample
	// Method is how they were counted; empty if nobody looked.
	Method camera.Method
	// Fault says why nothing could be made of the picture; empty otherwise.
	Fault string
}

// limit bounds it within an answer.
func (Samples) limit() int { return 64 + MaxText + maxMethod + MaxZones*(64+2+4*8+1) }

// maxMethod bounds the name of a method.
const maxMethod = 63

func (m Samples) append(b []byte) ([]byte, error) {
	if len(m.Zones) > MaxZones {
		return nil, fmt.Errorf("%d zones, at most %d: %w", len(m.Zones), MaxZones, ErrTooLarge)
	}
	b = binary.BigEndian.AppendUint64(b, m.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Time.UnixMicro()))
	b = appendBytes(b, []byte(Sanitise(m.Fault)))
	if len(m.Method) > maxMethod {
		return nil, fmt.Errorf("method %q is longer than %d bytes: %w", m.Method, maxMethod, ErrTooLarge)
	}
	b = append(append(b, byte(len(m.Method))), m.Method...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.Zones)))
	for _, s := range m.Zones {
		if len(s.Zone) > 63 {
			return nil, fmt.Errorf("zone %q is longer than 63 bytes: %w", s.Zone, ErrTooLarge)
		}
		b = append(append(b, byte(len(s.Zone))), s.Zone...)
		for _, v := range []float64{s.Present, s.Moving, s.Low, s.High} {
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(v))
		}
		q := slices.Index(camera.Qualities(), s.Quality)
		if q < 0 {
			return nil, fmt.Errorf("zone %s: quality %q is none: %w", s.Zone, s.Quality, ErrMalformed)
		}
		b = append(b, byte(q))
	}
	return b, nil
}

func parseSamples(c *cursor) (Samples, error) {
	m := Samples{Seq: c.u64(), Time: time.UnixMicro(int64(c.u64())).UTC()}
	n := c.u32()
	if n > MaxText {
		return m, fmt.Errorf("fault of %d bytes, at most %d: %w", n, MaxText, ErrTooLarge)
	}
	m.Fault = Sanitise(string(c.take(int(n))))
	if m.Method = camera.Method(c.take(int(c.u8()))); len(m.Method) > maxMethod || Sanitise(string(m.Method)) != string(m.Method) {
		return m, fmt.Errorf("method of %d bytes: want up to %d that print: %w", len(m.Method), maxMethod, ErrMalformed)
	}
	n = c.u32()
	if n > MaxZones {
		return m, fmt.Errorf("%d zones, at most %d: %w", n, MaxZones, ErrTooLarge)
	}
	for range n {
		var s Sample
		s.Zone = string(c.take(int(c.u8())))
		if len(s.Zone) > 63 {
			return m, fmt.Errorf("zone name of %d bytes: %w", len(s.Zone), ErrMalformed)
		}
		for _, v := range []*float64{&s.Present, &s.Moving, &s.Low, &s.High} {
			*v = math.Float64frombits(c.u64())
			// The numbers go to a catalogue and a dashboard: a broken child must not poison their sums.
			if !(*v >= 0 && *v <= 1e6) {
				return m, fmt.Errorf("zone %q: count %g: %w", s.Zone, *v, ErrMalformed)
			}
		}
		qualities := camera.Qualities()
		q := int(c.u8())
		if q >= len(qualities) {
			return m, fmt.Errorf("zone %q: quality %d: %w", s.Zone, q, ErrMalformed)
		}
		s.Quality = qualities[q]
		if s.Moving > s.Present || s.Low > s.Present || s.High < s.Present {
			return m, fmt.Errorf("zone %q: want moving and low ≤ present ≤ high: %w", s.Zone, ErrMalformed)
		}
		m.Zones = append(m.Zones, s)
	}
	return m, nil
}
