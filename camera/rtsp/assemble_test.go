package rtsp

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph264"
	"github.com/pion/rtp"
	"pgregory.net/rapid"

	"klarsyn/camera/coded"
)

// wire gives the packets of a track's frames; sets says whether keyframes carry their parameter sets.
func wire(t *testing.T, track *coded.Track, sets, marker bool) (pkts []*rtp.Packet) {
	t.Helper()
	enc := &rtph264.Encoder{PayloadType: 96, PacketizationMode: 1}
	if err := enc.Init(); err != nil {
		t.Fatal(err)
	}
	var at time.Duration
	for _, f := range track.Frames {
		nalus := f.NALUs
		if sets && f.Keyframe {
			nalus = append([][]byte{track.Format.SPS, track.Format.PPS}, nalus...)
		}
		ps, err := enc.Encode(nalus)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ps {
			p.Timestamp = uint32((at+f.PTSOffset).Seconds()*videoClock + 0.5)
			p.Marker = p.Marker && marker
		}
		pkts = append(pkts, ps...)
		at += f.Duration
	}
	return pkts
}

func load(t *testing.T) *coded.Track {
	t.Helper()
	track, err := coded.LoadMP4("sim/testdata/plain.mp4")
	if err != nil {
		t.Fatal(err)
	}
	return track
}

func assembling(t *testing.T, sps, pps []byte) *assembler {
	t.Helper()
	a, _, _, err := newAssembler(&description.Session{Medias: []*description.Media{{
		Type:    description.MediaTypeVideo,
		Formats: []format.Format{&format.H264{PayloadTyp: 96, PacketizationMode: 1, SPS: sps, PPS: pps}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func putAll(a *assembler, pkts []*rtp.Packet) (units []*unit, errs int) {
	for _, p := range pkts {
		u, err := a.put(p, packetTime{pts: int64(p.Timestamp)})
		if err != nil {
			errs++
		}
		if u != nil {
			units = append(units, u)
		}
	}
	return units, errs
}

func TestParameterSetsFromSDPOrInBand(t *testing.T) {
	track := load(t)
	f := track.Format
	for _, tc := range []struct {
		name      string
		a         *assembler
		sets      bool
		wantUnits int
	}{
		{"sdp only", assembling(t, f.SPS, f.PPS), false, len(track.Frames)},
		{"in-band only", assembling(t, nil, nil), true, len(track.Frames)},
		{"nowhere", assembling(t, nil, nil), false, 0},
		{"unreadable in the sdp", assembling(t, []byte{0x67, 0xff}, f.PPS), true, len(track.Frames)},
	} {
		units, errs := putAll(tc.a, wire(t, track, tc.sets, true))
		if len(units) != tc.wantUnits || errs != 0 {
			t.Errorf("%s: %d units, want %d; %d errors", tc.name, len(units), tc.wantUnits, errs)
			continue
		}
		for i, u := range units {
			if !bytes.Equal(u.format.SPS, f.SPS) || !bytes.Equal(u.format.PPS, f.PPS) || u.au.Keyframe != track.Frames[i].Keyframe {
				t.Errorf("%s: unit %d is wrong", tc.name, i)
			}
		}
	}
}

// A camera that is set to another size sends new parameter sets; units already handed on keep the old ones.
func TestParameterSetsChange(t *testing.T) {
	track := load(t)
	old, err := coded.LoadMP4("sim/testdata/bframes_audio.mp4")
	if err != nil {
		t.Fatal(err)
	}
	a := assembling(t, nil, nil)
	before, _ := putAll(a, wire(t, old, true, true))
	kept := before[0].format
	pkts := wire(t, track, true, true)
	for _, p := range pkts {
		p.Timestamp += 10 * videoClock
	}
	after, _ := putAll(a, pkts)
	if len(before) != len(old.Frames) || len(after) != len(track.Frames) {
		t.Fatalf("%d and %d units", len(before), len(after))
	}
	if !bytes.Equal(kept.SPS, old.Format.SPS) || !bytes.Equal(after[0].format.SPS, track.Format.SPS) {
		t.Error("formats are mixed up")
	}
	if after[0].au.DTS < before[len(before)-1].au.DTS {
		t.Error("DTS falls at the change")
	}
}

func TestUnreadableParameterSetInBandIsRefused(t *testing.T) {
	track := load(t)
	a := assembling(t, track.Format.SPS, track.Format.PPS)
	pkts := wire(t, track, false, true)
	bad := &rtp.Packet{Header: rtp.Header{Version: 2, Marker: true, Timestamp: 1}, Payload: []byte{0x67, 0xff, 0xff}}
	units, errs := putAll(a, append([]*rtp.Packet{bad}, pkts...))
	if errs != 1 || len(units) != len(track.Frames) || !bytes.Equal(units[0].format.SPS, track.Format.SPS) {
		t.Errorf("%d errors, %d units", errs, len(units))
	}
}

// Some cameras set no marker bit: the next timestamp ends a picture, and each keeps its own time.
func TestCameraWithoutMarkers(t *testing.T) {
	track := load(t)
	units, errs := putAll(assembling(t, track.Format.SPS, track.Format.PPS), wire(t, track, false, false))
	if errs != 0 || len(units) != len(track.Frames)-1 {
		t.Fatalf("%d units, %d errors", len(units), errs)
	}
	for i, u := range units {
		if want := time.Duration(i) * 100 * time.Millisecond; u.au.PTS != want {
			t.Fatalf("unit %d is at %v, want %v", i, u.au.PTS, want)
		}
	}
}

func TestAfterALossOnlyAKeyframeGoesOn(t *testing.T) {
	track := load(t)
	a := assembling(t, track.Format.SPS, track.Format.PPS)
	pkts := wire(t, track, false, true)
	half := len(pkts) / 4
	if units, _ := putAll(a, pkts[:half]); len(units) == 0 {
		t.Fatal("no unit before the loss")
	}
	a.lost()
	units, _ := putAll(a, pkts[half:])
	if len(units) == 0 || !units[0].au.Keyframe {
		t.Error("after a loss the first unit is no keyframe")
	}
}

// Whatever packets are lost: every picture that is handed on is whole, and so is all that it is drawn over.
func TestOnlyWholePicturesSurviveALoss(t *testing.T) {
	for _, file := range []string{"plain.mp4", "bframes_audio.mp4"} {
		track, err := coded.LoadMP4("sim/testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		number := map[string]int{} // of a picture, in the order of decoding, by what it is
		for i, f := range track.Frames {
			number[drawn(f.NALUs)] = i
		}
		for _, marker := range []bool{true, false} {
			pkts := wire(t, track, true, marker)
			rapid.Check(t, func(rt *rapid.T) {
				share := rapid.Float64Range(0, 0.3).Draw(rt, "share of packets lost")
				a := assembling(t, track.Format.SPS, track.Format.PPS)
				damaged := map[int]bool{} // pictures of which a packet is missing
				handed := 0
				picture, missing := -1, false
				for i, p := range pkts {
					if i == 0 || pkts[i-1].Timestamp != p.Timestamp {
						picture++
					}
					if rapid.Float64Range(0, 1).Draw(rt, "fate") < share {
						damaged[picture], missing = true, true
						continue
					}
					at := packetTime{pts: int64(p.Timestamp)}
					if missing {
						a.tear(at.pts)
					}
					missing = false
					u, err := a.put(p, at)
					if err != nil {
						rt.Fatalf("packet %d: %v", i, err)
					}
					if u == nil {
						continue
					}
					handed++
					n, known := number[drawn(u.au.NALUs)]
					if !known {
						rt.Fatalf("%s, marker %v: packet %d gave a picture that is not whole", file, marker, i)
					}
					for k := n; ; k-- {
						if damaged[k] {
							rt.Fatalf("%s, marker %v: picture %d is drawn over %d, which is not whole", file, marker, n, k)
						}
						if track.Frames[k].Keyframe {
							break
						}
					}
				}
				if len(damaged) == 0 && handed < len(track.Frames)-1 {
					rt.Fatalf("%s, marker %v: %d of %d pictures without a loss", file, marker, handed, len(track.Frames))
				}
			})
		}
	}
}

// drawn is what is drawn in a picture, without the parameter sets.
func drawn(nalus [][]byte) string {
	var out strings.Builder
	for _, n := range nalus {
		if kind := n[0] & 0x1f; kind >= 1 && kind <= 5 {
			out.Write(n)
		}
	}
	return out.String()
}
