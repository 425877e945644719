//go:build cgo

package decode

import (
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"klarsyn/camera"
)

// padding is AV_INPUT_BUFFER_PADDING_SIZE: FFmpeg's bit readers read past the end.
const padding = 64

// annexB joins NAL units with start codes, with the parameter sets first when the picture brings none
// of its own (many cameras send them out of band only).
func annexB(dst []byte, codec camera.Codec, sets, nalus [][]byte) []byte {
	own := false
	for _, n := range nalus {
		own = own || isParameterSet(codec, n)
	}
	if !own {
		for _, n := range sets {
			dst = append(append(dst, 0, 0, 0, 1), n...)
		}
	}
	for _, n := range nalus {
		if len(n) > 0 {
			dst = append(append(dst, 0, 0, 0, 1), n...)
		}
	}
	return dst
}

// sequence is the sequence parameter set that a picture is decoded by: its own if it brings one.
func sequence(codec camera.Codec, sets, nalus [][]byte) []byte {
	var sps []byte
	for _, from := range [][][]byte{sets, nalus} {
		for _, n := range from {
			if isParameterSet(codec, n) {
				sps = n
			}
		}
	}
	return sps
}

// isParameterSet is true for the sequence parameter set, without which a decoder starts nowhere.
func isParameterSet(codec camera.Codec, nalu []byte) bool {
	if len(nalu) == 0 {
		return false
	}
	if codec == camera.H265 {
		return nalu[0]>>1&0x3f == 33
	}
	return nalu[0]&0x1f == 7
}

// disposable is true for a picture that no other leans on. H.265 says that of a layer only, and is not asked.
func disposable(codec camera.Codec, nalus [][]byte) bool {
	slices := 0
	for _, n := range nalus {
		if codec != camera.H264 || len(n) == 0 {
			return false
		}
		switch t := n[0] & 0x1f; {
		case t == 1 && n[0]>>5 == 0: // a slice with nal_ref_idc 0
			slices++
		case t <= 5 || t == 7 || t == 8: // another slice, a parameter set
			return false
		}
	}
	return slices > 0
}

// standsAlone is true for a picture that leans on no other.
func standsAlone(codec camera.Codec, nalus [][]byte) bool {
	if codec == camera.H265 {
		return h265.IsRandomAccess(nalus)
	}
	return h264.IsRandomAccess(nalus)
}

// padded is b with zeros behind it. The caller sets the packet's size back to len(b).
func padded(b []byte) []byte {
	n := len(b)
	b = append(b, make([]byte, padding)...)
	return b[:n+padding]
}
