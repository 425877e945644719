package rtsp

import (
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/sdp"
	"github.com/pion/rtp"

	"klarsyn/camera"
)

// offered is a description as cameras send it.
const offered = `v=0
o=- 0 0 IN IP4 127.0.0.1
s=Stream
c=IN IP4 0.0.0.0
t=0 0
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0IAKeKQFAe2AtwEBAaQeJEV,aM48gA==; profile-level-id=420029
a=control:streamid=0
m=audio 0 RTP/AVP 97
a=rtpmap:97 MPEG4-GENERIC/44100/1
a=fmtp:97 streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1208
a=control:streamid=1
`

// Whatever a camera describes itself as: it is taken, or refused in a few words, and what it then sends breaks
// nothing.
func FuzzDescription(f *testing.F) {
	f.Add([]byte(offered))
	f.Add([]byte(strings.Replace(offered, "H264", "H265", 1)))
	f.Add([]byte(strings.Replace(offered, "sprop-parameter-sets=Z0IAKeKQFAe2AtwEBAaQeJEV,aM48gA==; ", "sprop-parameter-sets=////,;", 1)))
	f.Add([]byte("v=0\nm=video 0 RTP/AVP 26\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var text sdp.SessionDescription
		if text.Unmarshal(body) != nil {
			return
		}
		var desc description.Session
		if desc.Unmarshal(&text) != nil {
			return
		}
		a, _, _, err := newAssembler(&desc)
		if err != nil {
			c := &Client{cam: camera.Camera{ID: "k1"}}
			if said := c.noVideo(&desc).Error(); len(said) > 300+150*len(desc.Medias) {
				t.Errorf("the refusal has %d characters", len(said))
			}
			return
		}
		for _, payload := range [][]byte{{0x65, 1, 2, 3}, {0x26, 1, 2, 3}, {0x67, 0xff}, nil} {
			if u, err := a.put(&rtp.Packet{Header: rtp.Header{Marker: true}, Payload: payload}, packetTime{}); err == nil && u != nil && !a.complete() {
				t.Error("a picture was handed on without parameter sets")
			}
		}
	})
}

// packets reads a fuzzer's bytes as a stream: for each packet a byte of flags (marker, next picture, loss before it),
// one of length, and that much payload.
func packets(data []byte) (pkts []*rtp.Packet, lossBefore []bool) {
	var seq uint16
	var at uint32
	for len(data) >= 2 {
		flags, n := data[0], min(int(data[1]), len(data)-2)
		if flags&2 != 0 {
			at += 3600
		}
		if flags&4 != 0 {
			seq += 3
		}
		pkts = append(pkts, &rtp.Packet{
			Header:  rtp.Header{Version: 2, PayloadType: 96, Marker: flags&1 != 0, SequenceNumber: seq, Timestamp: at},
			Payload: append([]byte(nil), data[2:2+n]...),
		})
		lossBefore = append(lossBefore, flags&4 != 0)
		seq++
		data = data[2+n:]
	}
	return pkts, lossBefore
}

// Whatever packets come, in either coding, lost or not: what is handed on begins with a keyframe after every loss, has
// times that do not fall, is never empty, and is no larger than what came.
func FuzzPackets(f *testing.F) {
	f.Add([]byte{3, 4, 0x65, 1, 2, 3, 3, 4, 0x41, 1, 2, 3}, false)
	f.Add([]byte{3, 3, 0x67, 0xff, 0xff, 7, 2, 0x65, 1, 3, 3, 0x7c, 0x85, 1, 1, 3, 0x7c, 0x45, 2}, false)
	f.Add([]byte{2, 9, 0x78, 0, 2, 0x67, 1, 0, 1, 0x68, 0, 1, 2, 0x06, 0}, false)
	f.Add([]byte{3, 5, 0x26, 1, 2, 3, 4, 3, 5, 0x62, 1, 0x93, 2, 3, 1, 5, 0x62, 1, 0x53, 2, 3}, true)
	f.Fuzz(func(t *testing.T, data []byte, hevc bool) {
		var forma format.Format = &format.H264{PayloadTyp: 96, PacketizationMode: 1,
			SPS: []byte{0x67, 0x42, 0x00, 0x29, 0xe2, 0x90, 0x14, 0x07, 0xb6, 0x02, 0xdc, 0x04, 0x04, 0x06, 0x90, 0x78, 0x91, 0x15}, PPS: []byte{0x68, 0xce, 0x3c, 0x80}}
		if hevc {
			forma = &format.H265{PayloadTyp: 96, VPS: []byte{0x40, 1}, SPS: hevcSPS, PPS: []byte{0x44, 1}}
		}
		a, _, _, err := newAssembler(&description.Session{Medias: []*description.Media{{Type: description.MediaTypeVideo, Formats: []format.Format{forma}}}})
		if err != nil {
			t.Fatal(err)
		}
		pkts, lost := packets(data)
		came, handed := 0, 0
		last := time.Duration(-1)
		needsKey := true
		for i, p := range pkts {
			came += len(p.Payload)
			if lost[i] {
				a.tear(int64(p.Timestamp))
				needsKey = true
			}
			u, err := a.put(p, packetTime{pts: int64(p.Timestamp)})
			if err != nil {
				a.tear(int64(p.Timestamp))
				needsKey = true
			}
			if u == nil {
				continue
			}
			if needsKey && !u.au.Keyframe {
				t.Fatal("after a loss the first picture is no keyframe")
			}
			needsKey = false
			if u.au.DTS < last || u.au.PTS < u.au.DTS {
				t.Fatalf("DTS %v after %v, PTS %v", u.au.DTS, last, u.au.PTS)
			}
			last = u.au.DTS
			handed += u.au.Size()
			for _, n := range u.au.NALUs {
				if len(n) == 0 {
					t.Fatal("an empty NAL unit")
				}
			}
		}
		if handed > came {
			t.Fatalf("%d bytes were handed on of %d that came", handed, came)
		}
	})
}

// hevcSPS is the sequence parameter set of sim/testdata/hevc.mp4.
var hevcSPS = []byte{
	0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x3c, 0xa0, 0x0a, 0x08, 0x0f, 0x16, 0x59, 0x59, 0xa4, 0x93, 0x2b, 0xc0, 0x5a, 0x02, 0x00, 0x00, 0x03, 0x00, 0x02, 0x00, 0x00, 0x03, 0x00, 0x14, 0x10,
}
