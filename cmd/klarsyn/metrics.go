package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"klarsyn/camera/vision"
)

// scrapeTime bounds the questions that a scrape puts to the database.
const scrapeTime = 5 * time.Second

// newRegistry begins a process's metrics with those of the Go runtime.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

func metricsHandler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, Registry: r})
}

// meter registers numbers that are read when somebody asks.
type meter struct{ registry *prometheus.Registry }

func (m meter) counter(name, help string, read func() int64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
		func() float64 { return float64(read()) }))
}

func (m meter) gauge(name, help string, read func() int64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
		func() float64 { return float64(read()) }))
}

// question registers a gauge that asks the database. A question that fails is no number: the metric is
// left out of that scrape rather than told as zero.
func (m meter) question(name, help string, ask func(context.Context) (float64, error)) {
	m.registry.MustRegister(&question{prometheus.NewDesc(name, help, nil, nil), ask})
}

type question struct {
	desc *prometheus.Desc
	ask  func(context.Context) (float64, error)
}

func (q *question) Describe(ch chan<- *prometheus.Desc) { ch <- q.desc }

func (q *question) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	v, err := q.ask(ctx)
	if errors.Is(err, errNotYet) || errors.Is(err, errNoCapacity) {
		return
	}
	if err != nil {
		ch <- prometheus.NewInvalidMetric(q.desc, err)
		return
	}
	ch <- prometheus.MustNewConstMetric(q.desc, prometheus.GaugeValue, v)
}

// perCamera is what an ingest counts of each camera.
type perCamera struct {
	name, help string
	kind       prometheus.ValueType
	value      func(ch *channel) int64
}

func perCameraMetrics() []perCamera {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return []perCamera{
		{"klarsyn_frames_total", "Access units received from a camera.", counter, func(ch *channel) int64 { return ch.worker.Stats().Frames }},
		{"klarsyn_frames_dropped_total", "Access units turned away because the recorder could not keep up.", counter, func(ch *channel) int64 { return ch.worker.Stats().Dropped }},
		{"klarsyn_sessions_ended_total", "Camera sessions that ended or could not begin.", counter, func(ch *channel) int64 { return ch.worker.Stats().Downs }},
		{"klarsyn_losses_total", "Holes within a camera's sessions: pictures that did not come, or not whole.", counter, func(ch *channel) int64 { return ch.worker.Stats().Losses }},
		{"klarsyn_audio_tracks", "Audio tracks that a camera offered in its newest session; none is taken.", gauge, func(ch *channel) int64 { return int64(ch.client.Stats().AudioTracks) }},
		{"klarsyn_packets_lost_total", "Gaps in a camera's RTP sequence.", counter, func(ch *channel) int64 { return int64(ch.client.Stats().PacketsLost) }},
		{"klarsyn_decode_errors_total", "Packets or access units of a camera that made no sense.", counter, func(ch *channel) int64 { return int64(ch.client.Stats().DecodeErrors) }},
		{"klarsyn_vision_restarts_total", "Restarts of the counting child.", counter, func(ch *channel) int64 { return int64(ch.counter.Stats().Restarts) }},
		{"klarsyn_vision_passed_total", "Pictures that were not looked at, as nothing had moved: they have the count of the one before.", counter, func(ch *channel) int64 { return int64(ch.counter.Stats().Passed) }},
		{"klarsyn_vision_refused_total", "Pictures that were too large, or of too many units, for the counting child.", counter, func(ch *channel) int64 { return int64(ch.counter.Stats().Refused) }},
		{"klarsyn_vision_dropped_total", "Pictures that the counting child was too slow for.", counter, func(ch *channel) int64 { return int64(ch.counter.Stats().Dropped) }},
		{"klarsyn_frames_refused_total", "Access units of a camera that came and that its permit did not let be recorded.", counter, func(ch *channel) int64 { return ch.worker.Stats().Refused }},
		{"klarsyn_vision_gate_open", "1 while pictures may be passed over when their sizes tell that nothing moves; 0 while that is learnt, and where sizes do not tell.", gauge, func(ch *channel) int64 {
			if ch.counter.Stats().Gate == vision.GateOpen {
				return 1
			}
			return 0
		}},
	}
}

// cameraMetrics tells them of the cameras that there are: what is applied adds some and removes others.
type cameraMetrics struct {
	in    *ingest
	descs []*prometheus.Desc
}

func newCameraMetrics(in *ingest) *cameraMetrics {
	c := &cameraMetrics{in: in}
	for _, m := range perCameraMetrics() {
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, []string{"camera"}, nil))
	}
	return c
}

func (c *cameraMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

func (c *cameraMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, cam := range c.in.running() {
		for i, m := range perCameraMetrics() {
			ch <- prometheus.MustNewConstMetric(c.descs[i], m.kind, float64(m.value(cam)), string(cam.camera.ID))
		}
	}
}

// meter adds what an ingest counts.
func (in *ingest) meter(m meter) {
	m.registry.MustRegister(newCameraMetrics(in))
	m.counter("klarsyn_clips_reserved_total", "Clips begun.", func() int64 { return in.intake.Stats().Reserved })
	m.counter("klarsyn_clips_committed_total", "Clips stored and verified.", func() int64 { return in.intake.Stats().Committed })
	m.counter("klarsyn_clips_lost_total", "Clips of which nothing could be kept.", func() int64 { return in.intake.Stats().Lost })
	m.counter("klarsyn_clip_bytes_total", "Sealed bytes stored.", func() int64 { return in.intake.Stats().Bytes })
	m.counter("klarsyn_gaps_total", "Interruptions of recording, whatever their cause.", func() int64 { return in.intake.Stats().Gaps })
	m.counter("klarsyn_samples_total", "Counts kept, one per zone and keyframe.", in.samples.kept.Load)
	m.counter("klarsyn_samples_unknown_total", "Of those: counts that are unknown.", in.samples.unknown.Load)
	in.storage.meter(m)
	m.counter("klarsyn_samples_dropped_total", "Counts that could not be kept.", in.samples.dropped.Load)
}

// meter adds what a retain counts.
func (re *retain) meter(m meter) {
	re.sweeperMeter(m)
	m.counter("klarsyn_clips_deleted_total", "Clips deleted, with a listing that proves it.", func() int64 { return re.sweeper.Stats().Deleted })
	m.gauge("klarsyn_audit_growth", "Entries that the audit log got in the last hour.", re.growth.lately.Load)
	m.gauge("klarsyn_audit_growth_alarm", "1 while that is more than log_alarm in square.yaml.", re.growth.alarm)
	m.counter("klarsyn_key_faults_total", "Rounds in which a key could not be minted or destroyed, as while the key store or the key server is away: alert if it grows.", func() int64 {
		if re.tender == nil {
			return 0
		}
		return re.tender.Faults()
	})
	m.counter("klarsyn_retain_faults_total", "Parts of retain that do not work while deletion goes on: alert above 0.", re.faults.count)
	m.counter("klarsyn_deletion_failures_total", "Passes in which something could not be deleted; it is tried again.", func() int64 { return re.sweeper.Stats().Failures })
}

// meter adds what every process can tell from the database.
func (s *site) meter(m meter) {
	m.gauge("klarsyn_log_reserve", "1 while room is kept for deletion and its log, 0 when the disk is full and it is spent; always 1 with a database server, whose disk has its own watch.", func() int64 {
		if s.reserve.kept() != nil {
			return 0
		}
		return 1
	})
	s.retentionMeter(m)
	m.question("klarsyn_audit_entries", "Numbered entries of the audit log.", func(ctx context.Context) (float64, error) {
		n, err := s.log.Size(ctx)
		return float64(n), err
	})
	m.question("klarsyn_audit_pending", "Committed entries of the audit log that wait for their number: above 0 for seconds, nobody numbers.", func(ctx context.Context) (float64, error) {
		n, _, err := s.log.Pending(ctx)
		return float64(n), err
	})
	m.question("klarsyn_clock_behind_seconds", "How far the system clock is behind the clock that deadlines go by.", func(context.Context) (float64, error) {
		return s.clock.Behind().Seconds(), nil
	})
}

// meter adds what a serve can tell beside what every process can.
func (sv *serve) meter(m meter) {
	m.registry.MustRegister(&cosignatures{sv.site, prometheus.NewDesc("klarsyn_audit_cosignature_age_seconds",
		"How long ago a witness last said that it saw the log grow, and only grow; +Inf if it never did.", []string{"witness"}, nil)})
}

// cosignatures asks how old the newest word of each witness is.
type cosignatures struct {
	site *site
	desc *prometheus.Desc
}

func (c *cosignatures) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

func (c *cosignatures) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	newest, err := c.site.log.Cosigned(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.desc, err)
		return
	}
	now := c.site.clock.Logging()
	for _, w := range c.site.square.witnesses {
		age := math.Inf(1)
		for _, said := range newest {
			if said.Witness == w.Name() {
				age = max(0, now.Sub(said.Time).Seconds())
			}
		}
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, age, w.Name())
	}
}

// serveMetrics serves a process's metrics on an address of their own, until ctx ends.
func serveMetrics(ctx context.Context, addr string, r *prometheus.Registry) error {
	l, err := listen(ctx, addr)
	if err != nil {
		return err
	}
	srv := metricsServer(r)
	stop := context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if srv.Shutdown(end) != nil {
			srv.Close()
		}
	})
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

func metricsServer(r *prometheus.Registry) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metricsHandler(r))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 90 * time.Second, MaxHeaderBytes: 16 << 10,
	}
}

// listen binds an address and says plainly when it is taken.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, usageError{fmt.Errorf("cannot listen on %s: %w; choose another address or port 0, or stop what uses it", addr, err)}
	}
	return l, nil
}
