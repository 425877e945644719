package rtsp

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/pion/rtp"

	"klarsyn/camera"
)

// packetTime is what is known of a packet's time.
type packetTime struct {
	pts     int64         // in ticks of videoClock
	arrival time.Duration // since the session began
	taken   time.Time     // by the camera's clock; zero if it does not say
}

// videoClock is the RTP clock rate of H.264 and H.265 (RFC 6184, RFC 7798).
const videoClock = 90000

func mediaTime(ticks int64) time.Duration {
	// Split, because ticks times a second overflows after 28 hours.
	return time.Duration(ticks/videoClock)*time.Second + time.Duration(ticks%videoClock)*time.Second/videoClock
}

// coding hides the difference between H.264 and H.265.
type coding interface {
	// decode takes one packet and gives a picture's NAL units when they are complete. pending is an
	// error that only says that more packets are needed.
	decode(*rtp.Packet) (nalus [][]byte, pending bool, err error)
	isParameterSet(nalu []byte) (kind int, ok bool)
	isPicture(nalu []byte) bool
	isKeyframe(nalus [][]byte) bool
	forget() // what it holds of a picture that will never be whole
	dts(nalus [][]byte, pts int64) (int64, error)
	resetDTS()
}

// assembler makes access units out of RTP packets. Owned by the goroutine that reads the connection.
type assembler struct {
	coding coding
	format camera.Format
	synced bool // a keyframe with its parameter sets has been seen, and nothing was lost since

	held     packetTime // of the packet that the decoder keeps for the next picture
	haveHeld bool
	// torn is the media time of the picture in which packets are missing, or may be.
	torn     int64
	haveTorn bool
	lastDTS  int64
	haveDTS  bool
	// zero is the first decoding time, which may lie before the first presentation time. Media time is
	// counted from it, because a file cannot begin at a negative time.
	zero int64
}

// newAssembler picks the first video track that we record.
func newAssembler(desc *description.Session) (*assembler, *description.Media, format.Format, error) {
	var f264 *format.H264
	if medi := desc.FindFormat(&f264); medi != nil {
		dec, err := f264.CreateDecoder()
		if err != nil {
			return nil, nil, nil, err
		}
		a := &assembler{coding: &coding264{dec: dec, from: f264}, format: camera.Format{Codec: camera.H264}}
		a.coding.resetDTS()
		// What the description lacks the stream must bring: nothing is lost yet.
		_ = a.learn([][]byte{f264.SPS, f264.PPS})
		return a, medi, f264, nil
	}
	var f265 *format.H265
	if medi := desc.FindFormat(&f265); medi != nil {
		dec, err := f265.CreateDecoder()
		if err != nil {
			return nil, nil, nil, err
		}
		a := &assembler{coding: &coding265{dec: dec, from: f265}, format: camera.Format{Codec: camera.H265}}
		a.coding.resetDTS()
		_ = a.learn([][]byte{f265.VPS, f265.SPS, f265.PPS})
		return a, medi, f265, nil
	}
	return nil, nil, nil, ErrNoVideo
}

// unit is an access unit that waits for its stamp.
type unit struct {
	format  camera.Format
	au      camera.AccessUnit
	arrival time.Duration
	// hole, if set, says that there is no picture here, and why.
	hole *hole
}

// hole is why pictures did not come, or not whole, although the session goes on.
type hole struct {
	cause camera.Cause
	err   error
}

// put takes one packet. It gives a unit, nothing yet, or says what was wrong with the packet.
func (a *assembler) put(pkt *rtp.Packet, t packetTime) (*unit, error) {
	nalus, pending, err := a.coding.decode(pkt)
	if pending {
		if !a.haveHeld {
			a.held, a.haveHeld = t, true
		}
		return nil, nil
	}
	if err != nil {
		a.haveHeld = false
		return nil, err
	}
	at := t
	if pkt.Marker {
		a.haveHeld = false
	} else {
		// Some cameras set no marker: a new timestamp ended the picture before, and this packet
		// belongs to the next one.
		if a.haveHeld {
			at = a.held
		}
		a.held, a.haveHeld = t, true
	}
	return a.picture(nalus, at)
}

func (a *assembler) picture(nalus [][]byte, at packetTime) (*unit, error) {
	if a.haveTorn && at.pts == a.torn {
		return nil, nil
	}
	a.haveTorn = false
	nalus = slices.DeleteFunc(nalus, func(n []byte) bool { return len(n) == 0 })
	if err := a.learn(nalus); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(nalus, a.coding.isPicture) {
		// Parameter sets alone: they are in the format now.
		return nil, nil
	}
	key := a.coding.isKeyframe(nalus)
	if !a.synced && (!key || !a.complete()) {
		return nil, nil
	}
	a.synced = true
	dts, err := a.decodeTime(nalus, at.pts, key)
	if err != nil {
		a.synced = false
		return nil, err
	}
	return &unit{
		format:  a.format,
		arrival: at.arrival,
		au: camera.AccessUnit{
			PTS:        mediaTime(max(at.pts, dts) - a.zero),
			DTS:        mediaTime(dts - a.zero),
			CameraTime: at.taken,
			Keyframe:   key,
			NALUs:      nalus,
		},
	}, nil
}

// decodeTime finds the decoding time, which RTP does not carry. It never falls within a session.
func (a *assembler) decodeTime(nalus [][]byte, pts int64, key bool) (int64, error) {
	known := nalus
	if key {
		// The extractor reads parameter sets in-band only; many cameras send them in the SDP alone.
		known = append(a.sets(), nalus...)
	}
	dts, err := a.coding.dts(known, pts)
	if err != nil {
		// A gap in the stream, or a way of counting that the extractor does not know. A keyframe
		// begins anew; without reordering its decoding time is its presentation time.
		a.coding.resetDTS()
		if !key {
			return 0, fmt.Errorf("decoding time: %w", err)
		}
		if dts, err = a.coding.dts(known, pts); err != nil {
			dts = pts
		}
	}
	if !a.haveDTS {
		a.zero = dts
	}
	if a.haveDTS && dts < a.lastDTS {
		dts = a.lastDTS
	}
	a.lastDTS, a.haveDTS = dts, true
	return dts, nil
}

// tear says that packets before the one of this media time are missing. The picture that was being put together
// is not whole, and that of this packet may have lost its beginning; those that follow are drawn over them.
// Nothing is handed on until the next whole keyframe.
func (a *assembler) tear(pts int64) {
	a.coding.forget()
	a.synced, a.haveHeld = false, false
	a.torn, a.haveTorn = pts, true
}

// lost says that units were thrown away behind the assembler: the next one must be a keyframe.
func (a *assembler) lost() { a.synced = false }

// learn keeps parameter sets. A set that no decoder could read is refused: it would become the head of
// a clip that nobody can play.
func (a *assembler) learn(nalus [][]byte) error {
	for _, n := range nalus {
		if len(n) == 0 {
			continue
		}
		kind, ok := a.coding.isParameterSet(n)
		if !ok {
			continue
		}
		slot := [...]*[]byte{&a.format.VPS, &a.format.SPS, &a.format.PPS}[kind]
		if bytes.Equal(*slot, n) {
			continue
		}
		if kind == spsKind && !readable(a.format.Codec, n) {
			a.synced = false
			return errors.New("unreadable sequence parameter set")
		}
		// A copy: NALUs alias the packet, and units already handed on share the old format.
		*slot = bytes.Clone(n)
	}
	return nil
}

func (a *assembler) complete() bool {
	f := a.format
	return len(f.SPS) > 0 && len(f.PPS) > 0 && (f.Codec != camera.H265 || len(f.VPS) > 0)
}

func (a *assembler) sets() [][]byte {
	if a.format.Codec == camera.H265 {
		return [][]byte{a.format.VPS, a.format.SPS, a.format.PPS}
	}
	return [][]byte{a.format.SPS, a.format.PPS}
}

// The kinds of parameter sets, in the order in which a decoder wants them.
const (
	vpsKind = iota
	spsKind
	ppsKind
)

func readable(c camera.Codec, sps []byte) bool {
	_, _, err := camera.Format{Codec: c, SPS: sps}.Size()
	return err == nil
}

type coding264 struct {
	from *format.H264
	dec  *rtph264.Decoder
	ext  h264.DTSExtractor
}

func (c *coding264) forget() {
	if dec, err := c.from.CreateDecoder(); err == nil { // as it did before
		c.dec = dec
	}
}

func (c *coding264) decode(pkt *rtp.Packet) ([][]byte, bool, error) {
	nalus, err := c.dec.Decode(pkt)
	pending := errors.Is(err, rtph264.ErrMorePacketsNeeded) || errors.Is(err, rtph264.ErrNonStartingPacketAndNoPrevious)
	return nalus, pending, err
}

func (c *coding264) isParameterSet(n []byte) (int, bool) {
	switch h264.NALUType(n[0] & 0x1f) {
	case h264.NALUTypeSPS:
		return spsKind, true
	case h264.NALUTypePPS:
		return ppsKind, true
	}
	return 0, false
}

func (c *coding264) isPicture(n []byte) bool {
	t := h264.NALUType(n[0] & 0x1f)
	return t >= h264.NALUTypeNonIDR && t <= h264.NALUTypeIDR
}

func (c *coding264) isKeyframe(nalus [][]byte) bool { return h264.IsRandomAccess(nalus) }

func (c *coding264) dts(nalus [][]byte, pts int64) (int64, error) { return c.ext.Extract(nalus, pts) }

func (c *coding264) resetDTS() {
	c.ext = h264.DTSExtractor{}
	c.ext.Initialize()
}

type coding265 struct {
	from *format.H265
	dec  *rtph265.Decoder
	ext  h265.DTSExtractor
}

func (c *coding265) forget() {
	if dec, err := c.from.CreateDecoder(); err == nil { // as it did before
		c.dec = dec
	}
}

func (c *coding265) decode(pkt *rtp.Packet) ([][]byte, bool, error) {
	nalus, err := c.dec.Decode(pkt)
	pending := errors.Is(err, rtph265.ErrMorePacketsNeeded) || errors.Is(err, rtph265.ErrNonStartingPacketAndNoPrevious)
	return nalus, pending, err
}

func (c *coding265) isParameterSet(n []byte) (int, bool) {
	switch h265Type(n) {
	case h265.NALUType_VPS_NUT:
		return vpsKind, true
	case h265.NALUType_SPS_NUT:
		return spsKind, true
	case h265.NALUType_PPS_NUT:
		return ppsKind, true
	}
	return 0, false
}

// isPicture: the first 32 types are slices (H.265, table 7-1).
func (c *coding265) isPicture(n []byte) bool { return h265Type(n) < 32 }

func (c *coding265) isKeyframe(nalus [][]byte) bool { return h265.IsRandomAccess(nalus) }

func (c *coding265) dts(nalus [][]byte, pts int64) (int64, error) { return c.ext.Extract(nalus, pts) }

func (c *coding265) resetDTS() {
	c.ext = h265.DTSExtractor{}
	c.ext.Initialize()
}

func h265Type(n []byte) h265.NALUType { return h265.NALUType((n[0] >> 1) & 0x3f) }
