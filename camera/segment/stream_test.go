package segment_test

import (
	"bytes"
	"embed"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"klarsyn/camera"
)

// 10 pictures a second and a keyframe every two seconds, made with FFmpeg's testsrc2: bframes.mp4 is H.264
// with two B-frames (13 s), hevc.mp4 is H.265 (5 s).
//
//go:embed testdata/*.mp4
var files embed.FS

var began = time.Date(2026, 11, 20, 12, 0, 0, 123456789, time.UTC)

// stream reads a file of testdata into access units as a camera delivers them.
func stream(t testing.TB, name string) (camera.Format, []camera.AccessUnit) {
	t.Helper()
	b, err := files.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var header fmp4.Init
	if err := header.Unmarshal(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	var parts fmp4.Parts
	if err := parts.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	var f camera.Format
	switch codec := header.Tracks[0].Codec.(type) {
	case *codecs.H264:
		f = camera.Format{Codec: camera.H264, SPS: codec.SPS, PPS: codec.PPS}
	case *codecs.H265:
		f = camera.Format{Codec: camera.H265, VPS: codec.VPS, SPS: codec.SPS, PPS: codec.PPS}
	default:
		t.Fatalf("%s holds %T", name, codec)
	}
	scale := time.Duration(header.Tracks[0].TimeScale)
	duration := func(ticks int64) time.Duration { return time.Duration(ticks) * time.Second / scale }
	var units []camera.AccessUnit
	for _, p := range parts {
		at := int64(p.Tracks[0].BaseTime)
		for _, s := range p.Tracks[0].Samples {
			nalus, err := s.GetH264()
			if err != nil {
				t.Fatal(err)
			}
			units = append(units, camera.AccessUnit{
				DTS: duration(at), PTS: duration(at + int64(s.PTSOffset)), Time: began.Add(duration(at)),
				Keyframe: keyframe(f.Codec, nalus), NALUs: nalus,
			})
			at += int64(s.Duration)
		}
	}
	return f, units
}

// keyframe looks into the stream: FFmpeg marks the first sample of a fragment where the parser does not look.
func keyframe(codec camera.Codec, nalus [][]byte) bool {
	for _, n := range nalus {
		if codec == camera.H264 && n[0]&0x1f == 5 || codec == camera.H265 && n[0]>>1&0x3f >= 16 && n[0]>>1&0x3f <= 21 {
			return true
		}
	}
	return false
}

// synthetic is a stream of pictures that no decoder would take, under a format that a muxer takes.
func synthetic(t testing.TB, n, gop int, every time.Duration) (camera.Format, []camera.AccessUnit) {
	f, _ := stream(t, "bframes.mp4")
	var units []camera.AccessUnit
	for i := range n {
		at := time.Duration(i) * every
		units = append(units, camera.AccessUnit{DTS: at, PTS: at, Time: began.Add(at), Keyframe: i%gop == 0, NALUs: [][]byte{{0x65, byte(i)}}})
	}
	return f, units
}
