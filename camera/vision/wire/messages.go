package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"klarsyn/camera"
)

// Setup is what the child must know before the first picture. It goes over the pipe and not by
// arguments or environment, so that it arrives after the drop. The profile's masks are drawn over every picture
// before the child looks at it.
type Setup struct {
	Profile camera.Profile `json:"profile"`
	// Learning is how many pictures the counter looks at before it trusts its background; 0 leaves
	// the choice to the counter.
	Learning int `json:"learning,omitempty"`
	// Method is how people are to be counted; empty leaves the choice to the counter. A child that does not know
	// the method refuses the setup.
	Method camera.Method `json:"method,omitempty"`
}

func (Setup) kind() byte { return 'P' }
func (Setup) limit() int { return MaxSetup }

func (m Setup) append(b []byte) ([]byte, error) { return appendJSON(b, m) }

func (Setup) parse(c *cursor) (Message, error) {
	var m Setup
	if err := json.Unmarshal(c.take(len(c.b)), &m); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrMalformed)
	}
	if len(m.Profile.Zones) > MaxZones {
		return nil, fmt.Errorf("%d zones, at most %d: %w", len(m.Profile.Zones), MaxZones, ErrTooLarge)
	}
	if err := m.Profile.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrMalformed)
	}
	return m, nil
}

// Scene asks the child to draw and encode a synthetic square; JSON is a scene.Config.
type Scene struct{ JSON []byte }

func (Scene) kind() byte { return 'S' }
func (Scene) limit() int { return MaxSetup }

func (m Scene) append(b []byte) ([]byte, error) { return append(b, m.JSON...), nil }

func (Scene) parse(c *cursor) (Message, error) { return Scene{JSON: c.take(len(c.b))}, nil }

// Format carries parameter sets: from parent to child before an access unit that needs them, from
// child to parent before the first encoded frame.
type Format struct{ Format camera.Format }

func (Format) kind() byte { return 'F' }
func (Format) limit() int { return 3*MaxParameter + 64 }

func (m Format) append(b []byte) ([]byte, error) {
	switch m.Format.Codec {
	case camera.H264:
		b = append(b, 4)
	case camera.H265:
		b = append(b, 5)
	default:
		return nil, fmt.Errorf("codec %q, want h264 or h265: %w", m.Format.Codec, ErrMalformed)
	}
	for _, set := range [][]byte{m.Format.VPS, m.Format.SPS, m.Format.PPS} {
		if len(set) > MaxParameter {
			return nil, fmt.Errorf("parameter set of %d bytes, at most %d: %w", len(set), MaxParameter, ErrTooLarge)
		}
		b = appendBytes(b, set)
	}
	return b, nil
}

func (Format) parse(c *cursor) (Message, error) {
	var m Format
	switch codec := c.u8(); codec {
	case 4:
		m.Format.Codec = camera.H264
	case 5:
		m.Format.Codec = camera.H265
	default:
		return nil, fmt.Errorf("codec %d: %w", codec, ErrMalformed)
	}
	for _, set := range []*[]byte{&m.Format.VPS, &m.Format.SPS, &m.Format.PPS} {
		n := c.u32()
		if n > MaxParameter {
			return nil, fmt.Errorf("parameter set of %d bytes, at most %d: %w", n, MaxParameter, ErrTooLarge)
		}
		if n > 0 {
			*set = c.take(int(n))
		}
	}
	return m, nil
}

// AccessUnit is one coded picture, in decoding order. Seq and Time come back in its Samples.
type AccessUnit struct {
	Seq      uint64
	Time     time.Time // UTC, to the microsecond
	Keyframe bool      // it leans on no other
	Look     bool      // it is to be counted; else it is there for those that lean on it
	Alone    bool      // nothing that leans on it will come: only for keyframes
	NALUs    [][]byte
}

func (AccessUnit) kind() byte { return 'A' }
func (AccessUnit) limit() int { return maxBody }

func (m AccessUnit) append(b []byte) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(b, m.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Time.UnixMicro()))
	return appendNALUs(append(b, flag(m.Keyframe), flag(m.Look), flag(m.Alone)), m.NALUs)
}

func (AccessUnit) parse(c *cursor) (Message, error) {
	m := AccessUnit{Seq: c.u64(), Time: time.UnixMicro(int64(c.u64())).UTC()}
	var err error
	for _, f := range []*bool{&m.Keyframe, &m.Look, &m.Alone} {
		if *f, err = c.flag(); err != nil {
			return nil, err
		}
	}
	m.NALUs, err = c.nalus()
	return m, err
}

// Background is what a counter has learnt of its camera, which its writer alone can read: a picture of the empty square. With data
// the parent sends it after the setup, for the counter to go on with; without, it asks for it, between two answers,
// and the child tells it, without data if there is nothing to be trusted.
type Background struct{ Data []byte }

func (Background) kind() byte { return 'B' }
func (Background) limit() int { return MaxBackground }

func (m Background) append(b []byte) ([]byte, error) { return append(b, m.Data...), nil }

func (Background) parse(c *cursor) (Message, error) { return Background{Data: c.take(len(c.b))}, nil }

// Encoded is one frame of a scene; N counts from 0.
type Encoded struct {
	N        uint32
	Keyframe bool
	NALUs    [][]byte
}

func (Encoded) kind() byte { return 'E' }
func (Encoded) limit() int { return maxBody }

func (m Encoded) append(b []byte) ([]byte, error) {
	b = binary.BigEndian.AppendUint32(b, m.N)
	return appendNALUs(append(b, flag(m.Keyframe)), m.NALUs)
}

func (Encoded) parse(c *cursor) (Message, error) {
	m := Encoded{N: c.u32()}
	var err error
	if m.Keyframe, err = c.flag(); err != nil {
		return nil, err
	}
	m.NALUs, err = c.nalus()
	return m, err
}

// Progress says how much of a scene is done; Done = Total ends it.
type Progress struct{ Done, Total uint32 }

func (Progress) kind() byte { return 'G' }
func (Progress) limit() int { return 8 }

func (m Progress) append(b []byte) ([]byte, error) {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, m.Done), m.Total), nil
}

func (Progress) parse(c *cursor) (Message, error) {
	return Progress{Done: c.u32(), Total: c.u32()}, nil
}

// Fault is the child's last word before it ends.
type Fault struct{ Text string }

func (Fault) kind() byte { return 'X' }
func (Fault) limit() int { return MaxText }

func (m Fault) append(b []byte) ([]byte, error) { return append(b, Sanitise(m.Text)...), nil }

func (Fault) parse(c *cursor) (Message, error) {
	return Fault{Text: Sanitise(string(c.take(len(c.b))))}, nil
}

// Sanitise makes a text from the other side fit for one line of a log: printable, valid UTF-8, and no
// longer than MaxText.
func Sanitise(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) > MaxText {
		s = s[:MaxText]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	return strings.TrimSpace(s)
}

func appendJSON(b []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(b, text...), nil
}

func appendBytes(b, s []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

func appendNALUs(b []byte, nalus [][]byte) ([]byte, error) {
	if len(nalus) > MaxNALUs {
		return nil, fmt.Errorf("picture of %d NAL units, at most %d: %w", len(nalus), MaxNALUs, ErrTooLarge)
	}
	size := 0
	for _, n := range nalus {
		size += len(n)
	}
	if size > MaxAccessUnit {
		return nil, fmt.Errorf("picture of %d bytes, at most %d: %w", size, MaxAccessUnit, ErrTooLarge)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(nalus)))
	for _, n := range nalus {
		b = appendBytes(b, n)
	}
	return b, nil
}

func (c *cursor) nalus() ([][]byte, error) {
	n := c.u32()
	if n > MaxNALUs {
		return nil, fmt.Errorf("picture of %d NAL units, at most %d: %w", n, MaxNALUs, ErrTooLarge)
	}
	var out [][]byte
	for range n {
		nalu := c.take(int(c.u32()))
		if c.short {
			break // end reports it
		}
		out = append(out, nalu)
	}
	return out, nil
}

func flag(v bool) byte {
	if v {
		return 1
	}
	return 0
}

func (c *cursor) flag() (bool, error) {
	v := c.u8()
	if v > 1 {
		return false, fmt.Errorf("flag %d: %w", v, ErrMalformed)
	}
	return v == 1, nil
}
