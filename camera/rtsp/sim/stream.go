package sim

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/ntp"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"klarsyn/camera"
	"klarsyn/camera/coded"
)

const (
	clockRate = 90000
	// lateness is how far a feed may fall behind before the camera's schedule is moved: a picture that
	// was never taken in time leaves a gap, not a burst.
	lateness = time.Second
)

// packetizer cuts an access unit into RTP packets.
type packetizer interface {
	Encode(au [][]byte) ([]*rtp.Packet, error)
}

// stream is one camera's clock and wire. Its run method owns the schedule.
type stream struct {
	cam   Camera
	log   *slog.Logger
	sent  *history
	ready chan struct{} // closed when serving is set

	serving *gortsplib.ServerStream // read only after ready is closed

	// Until when the camera is at fault, as Unix nanoseconds.
	stalledUntil, refusedUntil atomic.Int64
}

func newStream(cam Camera, log *slog.Logger) *stream {
	return &stream{cam: cam, log: log, sent: newHistory(1 << 14), ready: make(chan struct{})}
}

func (st *stream) stall(d time.Duration)  { st.stalledUntil.Store(time.Now().Add(d).UnixNano()) }
func (st *stream) refuse(d time.Duration) { st.refusedUntil.Store(time.Now().Add(d).UnixNano()) }

func (st *stream) stalls(now time.Time) bool  { return now.UnixNano() < st.stalledUntil.Load() }
func (st *stream) refuses(now time.Time) bool { return now.UnixNano() < st.refusedUntil.Load() }

func (st *stream) run(ctx context.Context, server *gortsplib.Server) error {
	f, err := st.cam.Feed.Format(ctx)
	if err != nil {
		return fmt.Errorf("format: %w", err)
	}
	media, pack, err := wire(f)
	if err != nil {
		return err
	}
	first, err := st.cam.Feed.Frame(ctx, 0)
	if err != nil {
		return fmt.Errorf("frame 0: %w", err)
	}
	serving := &gortsplib.ServerStream{
		Server: server,
		Desc:   &description.Session{Title: st.cam.Path, Medias: []*description.Media{media}},
	}
	if err = serving.Initialize(); err != nil {
		return fmt.Errorf("rtsp stream: %w", err)
	}
	defer serving.Close()
	st.serving = serving
	close(st.ready)
	return st.pace(ctx, f, media, pack, first)
}

// pace sends frame n at the sum of the durations before it, counted from one start: sleeping late once
// does not make all later frames late.
func (st *stream) pace(ctx context.Context, f camera.Format, media *description.Media, pack packetizer, frame coded.Frame) error {
	var (
		start   = time.Now()
		due     time.Duration // of the next frame, since start
		epoch   = rand.Uint32()
		timer   = time.NewTimer(0)
		sending = true // false after a fault until the next keyframe
		err     error
	)
	defer timer.Stop()
	for n := 0; ; n++ {
		if n > 0 {
			if frame, err = st.cam.Feed.Frame(ctx, n); err != nil {
				return fmt.Errorf("frame %d: %w", n, err)
			}
		}
		if late := time.Since(start) - due; late > lateness {
			st.log.Warn("the feed of a simulated camera is late: its schedule moves", "by", late.Round(time.Millisecond))
			due += late
		}
		timer.Reset(time.Until(start.Add(due)))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		st.sent.add(start.Add(due), n)
		if st.stalls(time.Now()) {
			sending = false
		} else if sending || frame.Keyframe {
			sending = true
			taken := start.Add(due + frame.PTSOffset + st.cam.ClockOffset)
			ticks := epoch + uint32(int64((due+frame.PTSOffset)/time.Microsecond)*clockRate/1_000_000)
			if err = st.send(media, pack, dress(f, frame, canarySEI(f.Codec, taken)), frame.Keyframe, taken, ticks); err != nil {
				return fmt.Errorf("frame %d: %w", n, err)
			}
		}
		due += frame.Duration
	}
}

func (st *stream) send(media *description.Media, pack packetizer, au [][]byte, key bool, taken time.Time, ticks uint32) error {
	pkts, err := pack.Encode(au)
	if err != nil {
		return fmt.Errorf("packetize: %w", err)
	}
	for _, pkt := range pkts {
		pkt.Timestamp = ticks
	}
	if key {
		stats := st.serving.Stats().Medias[media].Formats[media.Formats[0]]
		if err = st.serving.WritePacketRTCP(media, &rtcp.SenderReport{
			SSRC:        stats.LocalSSRC,
			NTPTime:     ntp.Encode(taken),
			RTPTime:     ticks,
			PacketCount: uint32(stats.OutboundRTPPackets),
		}); err != nil {
			return fmt.Errorf("sender report: %w", err)
		}
	}
	for _, pkt := range pkts {
		if err = st.serving.WritePacketRTPWithNTP(media, pkt, taken); err != nil {
			return fmt.Errorf("rtp: %w", err)
		}
	}
	return nil
}

func wire(f camera.Format) (*description.Media, packetizer, error) {
	media := &description.Media{Type: description.MediaTypeVideo}
	switch f.Codec {
	case camera.H264:
		forma := &format.H264{PayloadTyp: 96, SPS: f.SPS, PPS: f.PPS, PacketizationMode: 1}
		media.Formats = []format.Format{forma}
		enc, err := forma.CreateEncoder()
		return media, enc, err
	case camera.H265:
		forma := &format.H265{PayloadTyp: 96, VPS: f.VPS, SPS: f.SPS, PPS: f.PPS}
		media.Formats = []format.Format{forma}
		enc, err := forma.CreateEncoder()
		return media, enc, err
	}
	return nil, nil, fmt.Errorf("codec %q cannot be served: want h264 or h265", f.Codec)
}
