package sim

import (
	"slices"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/coded"
)

// Canary stands in every access unit that a simulated camera sends. Wherever it is found outside a
// decoder — spool, objects, databases, core files — plaintext has leaked.
const Canary = "KLARSYN-CANARY-1"

// canaryUUID names the message (SEI user_data_unregistered). It holds no zero byte, so the message
// needs no emulation prevention, which would split what the tests search for.
const canaryUUID = "\x6b\x6c\x61\x72\x73\x79\x6e\x4d\xa1\x7e\xc4\x19\x5b\x83\xd2\x3f"

// ClockLayout is how a simulated camera prints its own clock into each coded picture, behind the canary and a space.
const ClockLayout = "20060102T150405.000000Z"

// canarySEI is a whole NAL unit: header, payload type 5, size, payload, stop bit. taken is the camera's own time.
func canarySEI(c camera.Codec, taken time.Time) []byte {
	header := []byte{0x06}
	if c == camera.H265 {
		header = []byte{39 << 1, 0x01} // PREFIX_SEI_NUT, temporal id 0
	}
	payload := canaryUUID + Canary + " " + taken.UTC().Format(ClockLayout)
	return slices.Concat(header, []byte{5, byte(len(payload))}, []byte(payload), []byte{0x80})
}

// dress puts the parameter sets before a keyframe that lacks them and the canary before the first
// slice, which is where the standard wants both. The frame's own slice is not changed: it is shared.
func dress(f camera.Format, frame coded.Frame, canary []byte) [][]byte {
	first := slices.IndexFunc(frame.NALUs, func(n []byte) bool { return isSlice(f.Codec, n) })
	if first < 0 {
		first = len(frame.NALUs)
	}
	out := make([][]byte, 0, len(frame.NALUs)+4)
	out = append(out, frame.NALUs[:first]...)
	if frame.Keyframe && !slices.ContainsFunc(out, func(n []byte) bool { return isSPS(f.Codec, n) }) {
		at := 0
		if len(out) > 0 && isDelimiter(f.Codec, out[0]) {
			at = 1
		}
		sets := [][]byte{f.SPS, f.PPS}
		if f.Codec == camera.H265 {
			sets = [][]byte{f.VPS, f.SPS, f.PPS}
		}
		out = slices.Insert(out, at, sets...)
	}
	out = append(out, canary)
	return append(out, frame.NALUs[first:]...)
}

func naluType(c camera.Codec, n []byte) byte {
	if len(n) == 0 {
		return 0xff
	}
	if c == camera.H265 {
		return n[0] >> 1 & 0x3f
	}
	return n[0] & 0x1f
}

func isSlice(c camera.Codec, n []byte) bool {
	t := naluType(c, n)
	if c == camera.H265 {
		return t < 32
	}
	return t >= 1 && t <= 5
}

func isSPS(c camera.Codec, n []byte) bool {
	if c == camera.H265 {
		return naluType(c, n) == 33
	}
	return naluType(c, n) == 7
}

func isDelimiter(c camera.Codec, n []byte) bool {
	if c == camera.H265 {
		return naluType(c, n) == 35
	}
	return naluType(c, n) == 9
}
