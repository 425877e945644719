//go:build cgo

package decode

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/asticode/go-astiav"
)

// Stream decodes all pictures of a camera, not keyframes alone. It is not safe for two goroutines at once.
type Stream struct {
	d  *Decoder
	cc *astiav.CodecContext
	// sps is the sequence parameter set of the last unit.
	sps []byte
	// torn are the numbers of units that were refused: FFmpeg's H.265 decoder may still show what it made of one.
	torn map[int64]bool
	// shrinks says that pictures are made much smaller, and hasty that deblocking is left out.
	shrinks, hasty bool
}

// hasty leaves out deblocking: a tenth of the work. A picture that is made small shows no blocks; one that is not is counted
// clearly worse without (an office of 360x240: 0.34 instead of 0.01 off).
var hasty = [][2]string{{"skip_loop_filter", "all"}}

// shrunk is by how much a picture must shrink, each way, for nobody to see blocks.
const shrunk = 2.5

// Stream makes one, which lives as long as the decoder.
func (d *Decoder) Stream() (*Stream, error) {
	cc, err := d.open(nil)
	if err != nil {
		return nil, err
	}
	return &Stream{d: d, cc: cc, torn: map[int64]bool{}}, nil
}

// Close frees what FFmpeg holds, and leaves the decoder as it is.
func (s *Stream) Close() {
	if s.cc != nil {
		s.cc.Free()
		s.cc = nil
	}
}

type (
	// wanted says by its number whether a picture is worth making small.
	wanted = func(n int64) bool
	// shower takes one.
	shower = func(n int64, p Picture) error
)

// Send gives the next access unit in decoding order, with the number that its picture is to bear, and hands each
// picture that is ready to show. want says by its number whether a picture is worth making small. Without units it
// asks for those that are still on their way. What is not wanted, and no other picture leans on, is not decoded. With an error that is ErrNoPicture this unit's picture is not shown; those up to
// the next keyframe lean on it, and are the caller's to leave out. Unlike Decoder.Keyframe it does not notice slices that
// are missing from a picture: older pictures lie in the memory that it paints on.
func (s *Stream) Send(nalus [][]byte, n int64, want wanted, show shower) error {
	d := s.d
	if len(nalus) == 0 {
		return s.drain(want, show)
	}
	if !want(n) && disposable(d.codec, nalus) {
		return nil
	}
	d.coded = annexB(d.coded[:0], d.codec, d.sets, nalus)
	if err := inspect(d.codec, d.coded); err != nil {
		return err
	}
	sps := sequence(d.codec, d.sets, nalus)
	if s.sps != nil && !bytes.Equal(sps, s.sps) || s.shrinks != s.hasty && standsAlone(d.codec, nalus) {
		s.hasty = s.shrinks
		// FFmpeg would drop pictures when the reordering changes, and keep what a set that it refuses left behind.
		if err := s.renew(want, show); err != nil {
			return err
		}
	}
	s.sps = append(s.sps[:0], sps...)
	d.packet.Unref()
	if err := d.packet.FromData(padded(d.coded)); err != nil {
		return fmt.Errorf("FFmpeg packet: %w", err)
	}
	d.packet.SetSize(len(d.coded))
	d.packet.SetPts(n)
	err := s.cc.SendPacket(d.packet)
	d.packet.Unref()
	if err != nil {
		s.torn[n] = true
	}
	if got, err2 := s.receive(want, show); err2 != nil {
		return err2
	} else if err == nil && got != nil {
		err, s.torn[n] = got, true
	}
	if err == nil {
		return nil
	}
	// What FFmpeg's H.264 decoder had of the torn picture it would take for the beginning of the next.
	if err := s.renew(want, show); err != nil {
		return err
	}
	return fmt.Errorf("%w: FFmpeg: %w", ErrNoPicture, err)
}

// drain shows what is on its way; nothing can be sent after it.
func (s *Stream) drain(want wanted, show shower) error {
	refused := s.cc.SendPacket(nil)
	got, err := s.receive(want, show)
	if err != nil {
		return err
	}
	if refused == nil {
		refused = got
	}
	if refused != nil {
		return fmt.Errorf("%w: FFmpeg: %w", ErrNoPicture, refused)
	}
	return nil
}

// renew shows what is on its way and goes on with a codec that has seen nothing.
func (s *Stream) renew(want wanted, show shower) error {
	if err := s.drain(want, show); err != nil && !errors.Is(err, ErrNoPicture) {
		return err
	}
	var options [][2]string
	if s.hasty {
		options = hasty
	}
	cc, err := s.d.open(options)
	if err != nil {
		return err
	}
	s.Close()
	s.cc, s.torn = cc, map[int64]bool{}
	return nil
}

// receive shows all pictures that are ready. refused is FFmpeg's last word if it had another than that there are no more.
func (s *Stream) receive(want wanted, show shower) (refused, err error) {
	d := s.d
	for {
		err := s.cc.ReceiveFrame(d.frame)
		if errors.Is(err, astiav.ErrEagain) || errors.Is(err, astiav.ErrEof) {
			return nil, nil
		}
		if err != nil {
			return err, nil
		}
		at := d.frame.Pts()
		torn := s.torn[at]
		delete(s.torn, at)
		if !torn && want(at) {
			p, err := d.shrink()
			s.shrinks = err == nil && float64(p.CodedWidth) >= shrunk*float64(p.Width)
			if err == nil {
				err = show(at, p)
			}
			if err != nil {
				d.frame.Unref()
				return nil, err
			}
		}
		d.frame.Unref()
	}
}
