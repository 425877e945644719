package api

import (
	"context"
	"math"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
)

// staleAfter is how old the newest sample may be before it no longer counts as now.
const staleAfter = 2 * time.Minute

type occupancyInput struct {
	Camera string    `query:"camera" required:"true" minLength:"1" maxLength:"63" doc:"camera id"`
	Zone   string    `query:"zone" maxLength:"63" doc:"zone id; default all zones of the camera"`
	From   time.Time `query:"from" doc:"RFC 3339; default an hour before to"`
	To     time.Time `query:"to" doc:"RFC 3339; default now"`
	Limit  int       `query:"limit" minimum:"1" maximum:"10000" default:"1000"`
}

type occupancyOutput struct {
	Body struct {
		Samples   []sampleBody `json:"samples"`
		Truncated bool         `json:"truncated,omitempty" doc:"there are more: ask again from the last time on"`
	}
}

type latestOutput struct {
	Body struct {
		Now     time.Time    `json:"now" doc:"the server's clock"`
		Samples []sampleBody `json:"samples"`
	}
}

// sampleBody is one count as its reader may see it. Numbers that are not known, or not for the reader,
// are null and never zero.
type sampleBody struct {
	Camera     camera.ID      `json:"camera"`
	Zone       string         `json:"zone"`
	Time       time.Time      `json:"time"`
	Present    *float64       `json:"present" doc:"people in the zone"`
	Moving     *float64       `json:"moving" doc:"of whom move"`
	Low        *float64       `json:"low" doc:"low..high holds the true number in about nine samples of ten"`
	High       *float64       `json:"high"`
	Quality    camera.Quality `json:"quality" enum:"ok,learning,lights-jumped,camera-moved,obscured,too-dark,decoder-lost,unknown" doc:"numbers are null unless it is ok"`
	Method     camera.Method  `json:"method,omitempty" doc:"how it was counted, and the version of it"`
	Suppressed bool           `json:"suppressed,omitempty" doc:"fewer people than below: the number is not published"`
	Below      int            `json:"below,omitempty"`
	Stale      bool           `json:"stale,omitempty" doc:"older than two minutes: not the present"`
}

func (s *Server) occupancy(ctx context.Context, in *occupancyInput) (*occupancyOutput, error) {
	to, err := s.interval(in.From, in.To)
	if err != nil {
		return nil, err
	}
	if in.From.IsZero() {
		in.From = to.Add(-time.Hour)
	}
	cam, err := s.findCamera(ctx, in.Camera, policy.ReadOccupancy)
	if err != nil {
		return nil, err
	}
	if in.Zone != "" && !cam.hasZone(in.Zone) {
		p := newProblem(404, "no-such-zone", "No such zone", "GET /api/v1/cameras lists the zones of each camera.")
		return nil, p
	}
	samples, err := s.cfg.Occupancy.Samples(ctx, cam.ID, in.Zone, in.From.UTC(), to, in.Limit+1)
	if err != nil {
		return nil, unavailable("catalogue", err)
	}
	out := &occupancyOutput{}
	if len(samples) > in.Limit {
		samples, out.Body.Truncated = samples[:in.Limit], true
	}
	who, _ := subjectOf(ctx)
	out.Body.Samples = make([]sampleBody, 0, len(samples))
	for _, sample := range samples {
		if sample.Camera == cam.ID {
			out.Body.Samples = append(out.Body.Samples, publish(sample, who.Role, cam.minCell(sample.Time)))
		}
	}
	return out, nil
}

func (s *Server) latest(ctx context.Context, _ *struct{}) (*latestOutput, error) {
	samples, err := s.latestSamples(ctx)
	if err != nil {
		return nil, err
	}
	out := &latestOutput{}
	out.Body.Now, out.Body.Samples = s.cfg.Now().UTC(), samples
	return out, nil
}

// latestSamples is one sample per camera and zone that the subject may count, in configured order. A
// zone that nobody has counted yet is unknown as of now.
func (s *Server) latestSamples(ctx context.Context) ([]sampleBody, error) {
	visible, err := s.visibleCameras(ctx, policy.ReadOccupancy)
	if err != nil {
		return nil, err
	}
	samples, err := s.cfg.Occupancy.Latest(ctx)
	if err != nil {
		return nil, unavailable("catalogue", err)
	}
	type place struct {
		camera camera.ID
		zone   string
	}
	newest := map[place]camera.Sample{}
	for _, sample := range samples {
		at := place{sample.Camera, sample.Zone}
		if old, ok := newest[at]; !ok || sample.Time.After(old.Time) {
			newest[at] = sample
		}
	}
	who, _ := subjectOf(ctx)
	now := s.cfg.Now()
	bodies := []sampleBody{}
	for _, cam := range visible {
		for _, zone := range cam.Zones {
			sample, ok := newest[place{cam.ID, zone.ID}]
			if !ok {
				sample = camera.Sample{Camera: cam.ID, Zone: zone.ID, Time: now, Quality: camera.QualityUnknown}
			}
			b := publish(sample, who.Role, cam.minCell(sample.Time))
			b.Stale = now.Sub(sample.Time) > staleAfter
			bodies = append(bodies, b)
		}
	}
	return bodies, nil
}

// publish decides which numbers of a sample a role sees. For a dashboard viewer every count below the
// smallest cell is withheld, zero among them: told apart, zero and "few" would give away the last
// person to leave. So is every number from which one could be worked out — those who move, those who
// stand still — and the counts are whole.
func publish(sample camera.Sample, role policy.Role, minCell int) sampleBody {
	b := sampleBody{Camera: sample.Camera, Zone: sample.Zone, Time: sample.Time.UTC(), Quality: sample.Quality, Method: sample.Method}
	if sample.Quality != camera.QualityOK {
		return b
	}
	numbers := []float64{sample.Present, sample.Moving, sample.Low, sample.High}
	for _, n := range numbers {
		if math.IsNaN(n) || math.IsInf(n, 0) {
			b.Quality = camera.QualityUnknown
			return b
		}
	}
	if role != policy.DashboardViewer {
		b.Present, b.Moving, b.Low, b.High = &numbers[0], &numbers[1], &numbers[2], &numbers[3]
		return b
	}
	cell := float64(minCell)
	if sample.Present < cell {
		b.Suppressed, b.Below = true, minCell
		return b
	}
	whole := func(n float64) *float64 { n = math.Round(n); return &n }
	b.Present, b.High = whole(sample.Present), whole(sample.High)
	if sample.Moving >= cell && sample.Present-sample.Moving >= cell {
		b.Moving = whole(sample.Moving)
	}
	if sample.Low >= cell {
		b.Low = whole(sample.Low)
	}
	return b
}

func (c CameraInfo) hasZone(id string) bool {
	for _, z := range c.Zones {
		if z.ID == id {
			return true
		}
	}
	return false
}
