package rtsp_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/auth"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
	"github.com/pion/rtp"

	"klarsyn/camera"
	"klarsyn/camera/coded"
	"klarsyn/camera/rtsp"
)

// heard stands for sound on the wire, seen for video.
const heard, seen = "SOUND-OF-THE-SQUARE", "PICTURE-OF-THE-SQUARE"

// full is a camera that offers more than video.
type full struct {
	stream *gortsplib.ServerStream
	medias []*description.Media
	taken  *description.Media
}

func (f *full) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if !ctx.Conn.VerifyCredentials(ctx.Request, "u", password) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	return &base.Response{StatusCode: base.StatusOK}, f.stream, nil
}

func (f *full) OnSetup(*gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return &base.Response{StatusCode: base.StatusOK}, f.stream, nil
}

func (f *full) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// serve sends sound, events and two videos until the test ends; the address is its own.
func (f *full) serve(t *testing.T) (addr string) {
	t.Helper()
	track, err := coded.LoadMP4("sim/testdata/plain.mp4")
	if err != nil {
		t.Fatal(err)
	}
	video := &format.H264{PayloadTyp: 96, SPS: track.Format.SPS, PPS: track.Format.PPS, PacketizationMode: 1}
	enc, err := video.CreateEncoder()
	if err != nil {
		t.Fatal(err)
	}
	sound := func() format.Format {
		return &format.G711{PayloadTyp: 0, MULaw: true, SampleRate: 8000, ChannelCount: 1}
	}
	events := &format.Generic{PayloadTyp: 107, RTPMa: "vnd.onvif.metadata/90000", ClockRat: 90000}
	small := &format.H264{PayloadTyp: 97, SPS: track.Format.SPS, PPS: track.Format.PPS, PacketizationMode: 1}
	f.taken = &description.Media{Type: description.MediaTypeVideo, Formats: []format.Format{video}}
	f.medias = []*description.Media{
		{Type: description.MediaTypeAudio, Formats: []format.Format{sound()}},
		f.taken,
		{Type: description.MediaTypeApplication, Formats: []format.Format{events}},
		{Type: description.MediaTypeAudio, Formats: []format.Format{sound()}},
		{Type: description.MediaTypeVideo, Formats: []format.Format{small}},
	}
	srv := &gortsplib.Server{RTSPAddress: "127.0.0.1:0", Handler: f, AuthMethods: []auth.VerifyMethod{auth.VerifyMethodDigestMD5}}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	f.stream = &gortsplib.ServerStream{Server: srv, Desc: &description.Session{Medias: f.medias}}
	if err := f.stream.Initialize(); err != nil {
		t.Fatal(err)
	}
	run(t, func(ctx context.Context) error {
		defer srv.Close()
		defer f.stream.Close()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			nalus := append([][]byte{append([]byte{0x06}, seen...)}, track.Frames[n%len(track.Frames)].NALUs...)
			pkts, err := enc.Encode(nalus)
			if err != nil {
				return err
			}
			for _, pkt := range pkts {
				pkt.Timestamp = uint32(n * 900)
				if err := f.stream.WritePacketRTP(f.taken, pkt); err != nil {
					return err
				}
			}
			for _, m := range f.medias {
				if m == f.taken {
					continue
				}
				pkt := &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: m.Formats[0].PayloadType(), SequenceNumber: uint16(n), Timestamp: uint32(n * 80)}, Payload: []byte(heard)}
				if err := f.stream.WritePacketRTP(m, pkt); err != nil {
					return err
				}
			}
		}
	})
	return srv.NetListener().Addr().String()
}

// tap is a wire on which all is written down.
type tap struct {
	asked, sent lockedBuffer
	mu          sync.Mutex
	conns       []net.Conn
}

func (w *tap) to(t *testing.T, addr string) string {
	t.Helper()
	return tcpServer(t, func(in net.Conn) {
		out, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer out.Close()
		w.mu.Lock()
		w.conns = append(w.conns, in)
		w.mu.Unlock()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(out, io.TeeReader(in, &w.asked))
			out.Close()
		}()
		_, _ = io.Copy(in, io.TeeReader(out, &w.sent))
		in.Close()
		<-done
	})
}

func (w *tap) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
}

// What a camera offers beside its video is told in every session, and neither set up nor received.
func TestOnlyVideoIsSetUp(t *testing.T) {
	t.Parallel()
	f, w := &full{}, &tap{}
	addr := w.to(t, f.serve(t))
	type told struct {
		offer rtsp.Offer
		asked string // until then
	}
	offers := make(chan told, 16)
	c, s := patient(t, camera.Camera{ID: "k1", URL: "rtsp://" + addr + "/k1", Username: "u", Password: password}, rtsp.Config{
		FrameTimeout: loaded, Offered: func(o rtsp.Offer) { offers <- told{o, string(w.asked.Bytes())} },
	})
	pictures := func(sessions int) {
		t.Helper()
		for range 30 {
			s.next("put")
		}
		if len(offers) != 1 {
			t.Fatalf("told %d times in one session", len(offers))
		}
		got := <-offers
		if got.offer != (rtsp.Offer{Audio: 2, Other: 2}) {
			t.Errorf("offered: %+v", got.offer)
		}
		if strings.Count(got.asked, "PLAY rtsp") != sessions-1 || strings.Count(got.asked, "SETUP rtsp") != sessions-1 || !strings.Contains(got.asked, "DESCRIBE rtsp") {
			t.Errorf("told in session %d after\n%s", sessions, got.asked)
		}
		if st := c.Stats(); st.AudioTracks != 2 || st.OtherTracks != 2 {
			t.Errorf("stats %+v", st)
		}
	}
	pictures(1)
	w.cut()
	s.again("down")
	s.again("up")
	pictures(2)

	setups := regexp.MustCompile(`(?m)^SETUP (\S+)`).FindAllStringSubmatch(string(w.asked.Bytes()), -1)
	video := setups[0][1]
	for _, u := range setups {
		if u[1] != video {
			t.Errorf("set up: %s and %s", video, u[1])
		}
	}
	if len(setups) != 2 {
		t.Errorf("%d tracks were set up in two sessions", len(setups))
	}
	sent := w.sent.Bytes()
	if !bytes.Contains(sent, []byte("m=audio")) || bytes.Count(sent, []byte(seen)) < 30 {
		t.Error("no sound was offered, or no video came: this proves nothing")
	}
	if n := bytes.Count(sent, []byte(heard)); n != 0 {
		t.Errorf("%d packets of what was not set up came", n)
	}
	for _, m := range f.medias {
		if n := f.stream.Stats().Medias[m].OutboundBytes; (n > 0) != (m == f.taken) {
			t.Errorf("the camera sent %d bytes of %s %s", n, m.Type, m.Formats[0].Codec())
		}
	}
}
