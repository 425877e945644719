//go:build cgo

package decode

import (
	"errors"
	"fmt"

	"github.com/asticode/go-astiav"
)

// Stream decodes all pictures of a camera, not keyframes alone. It is not safe for two goroutines at once.
type Stream struct {
	d  *Decoder
	cc *astiav.CodecContext
	// torn are the numbers of units that were refused: FFmpeg's H.265 decoder may still show what it made of one.
	torn map[int64]bool
}

// Stream makes one, which lives as long as the decoder.
func (d *Decoder) Stream() (*Stream, error) {
	cc, err := d.open()
	if err != nil {
		return nil, err
	}
	return &Stream{d: d, cc: cc, torn: map[int64]bool{}}, nil
}

// Close frees what FFmpeg holds, and leaves the decoder as it is.
func (s *Stream) Close() { s.cc.Free() }

// Send gives the next access unit in decoding order, with the number that its picture is to bear, and hands each
// picture that is ready to show. want says by its number whether a picture is worth making small. Without units it
// asks for those that are still on their way. With an error that is ErrNoPicture this unit's picture is not shown; those up to
// the next keyframe lean on it, and are the caller's to leave out.
func (s *Stream) Send(nalus [][]byte, n int64, want func(n int64) bool, show func(n int64, p Picture) error) error {
	d := s.d
	var refused error
	if len(nalus) == 0 {
		refused = s.cc.SendPacket(nil)
	} else {
		d.coded = annexB(d.coded[:0], d.codec, d.sets, nalus)
		d.packet.Unref()
		if err := d.packet.FromData(padded(d.coded)); err != nil {
			return fmt.Errorf("FFmpeg packet: %w", err)
		}
		d.packet.SetSize(len(d.coded))
		d.packet.SetPts(n)
		if refused = s.cc.SendPacket(d.packet); refused != nil {
			s.torn[n] = true
		}
		d.packet.Unref()
	}
	for {
		err := s.cc.ReceiveFrame(d.frame)
		if errors.Is(err, astiav.ErrEagain) || errors.Is(err, astiav.ErrEof) {
			break
		}
		if err != nil {
			refused = err
			s.torn[n] = len(nalus) > 0
			break
		}
		at := d.frame.Pts()
		torn := s.torn[at]
		delete(s.torn, at)
		if !torn && want(at) {
			p, err := d.shrink()
			if err == nil {
				err = show(at, p)
			}
			if err != nil {
				d.frame.Unref()
				return err
			}
		}
		d.frame.Unref()
	}
	if refused != nil {
		return fmt.Errorf("%w: FFmpeg: %w", ErrNoPicture, refused)
	}
	return nil
}
