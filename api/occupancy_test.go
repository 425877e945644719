package api

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"klarsyn/camera"
	"klarsyn/policy"
)

func TestPublish(t *testing.T) {
	t.Parallel()
	ok := func(present, moving, low, high float64) camera.Sample {
		return camera.Sample{Camera: "k1", Zone: "z", Time: testNow, Present: present, Moving: moving, Low: low, High: high, Quality: camera.QualityOK}
	}
	learning := ok(0, 0, 0, 0)
	learning.Quality = camera.QualityLearning
	for _, tt := range []struct {
		name   string
		sample camera.Sample
		role   policy.Role
		want   string
	}{
		{"exact for an operator", ok(3.2, 1, 2, 5.5), policy.Operator, `"present":3.2,"moving":1,"low":2,"high":5.5,"quality":"ok"}`},
		{"zero is zero for an operator", ok(0, 0, 0, 1), policy.Operator, `"present":0,"moving":0,"low":0,"high":1,"quality":"ok"}`},
		{"few are suppressed", ok(3.2, 1, 2, 5.5), policy.DashboardViewer, `"present":null,"moving":null,"low":null,"high":null,"quality":"ok","suppressed":true,"below":5}`},
		{"none are suppressed alike", ok(0, 0, 0, 1), policy.DashboardViewer, `"present":null,"moving":null,"low":null,"high":null,"quality":"ok","suppressed":true,"below":5}`},
		{"almost five is fewer than five", ok(4.9, 0, 4, 6), policy.DashboardViewer, `"present":null,"moving":null,"low":null,"high":null,"quality":"ok","suppressed":true,"below":5}`},
		{"many are whole", ok(118.4, 40.2, 104.4, 131.2), policy.DashboardViewer, `"present":118,"moving":40,"low":104,"high":131,"quality":"ok"}`},
		{"few among many who move", ok(20, 2, 17, 23), policy.DashboardViewer, `"present":20,"moving":null,"low":17,"high":23,"quality":"ok"}`},
		{"few among many who stand", ok(20, 18, 17, 23), policy.DashboardViewer, `"present":20,"moving":null,"low":17,"high":23,"quality":"ok"}`},
		{"a low end that is small", ok(6, 0, 3, 9), policy.DashboardViewer, `"present":6,"moving":null,"low":null,"high":9,"quality":"ok"}`},
		{"unknown is never zero", learning, policy.Operator, `"present":null,"moving":null,"low":null,"high":null,"quality":"learning"}`},
		{"not a number is unknown", ok(math.NaN(), 0, 0, 0), policy.Operator, `"present":null,"moving":null,"low":null,"high":null,"quality":"unknown"}`},
	} {
		b, err := json.Marshal(publish(tt.sample, tt.role, 5))
		if err != nil || !strings.HasSuffix(string(b), tt.want) {
			t.Errorf("%s: %s %v; want …%s", tt.name, b, err, tt.want)
		}
	}
}

// Whatever is counted, a dashboard viewer gets no number from 0 to 4, and none to work one out from.
func TestDashboardViewerSeesNoSmallCount(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		number := rapid.Float64Range(0, 30)
		s := camera.Sample{Present: number.Draw(r, "present"), Moving: number.Draw(r, "moving"), Low: number.Draw(r, "low"),
			High: number.Draw(r, "high"), Quality: camera.QualityOK}
		s.High = max(s.High, s.Present)
		b := publish(s, policy.DashboardViewer, 5)
		for name, n := range map[string]*float64{"present": b.Present, "moving": b.Moving, "low": b.Low, "high": b.High} {
			if n != nil && *n < 5 {
				r.Fatalf("%s is %v", name, *n)
			}
		}
		if b.Present != nil && b.Moving != nil && s.Present-s.Moving < 5 {
			r.Fatalf("%v who stand still can be worked out", s.Present-s.Moving)
		}
	})
}

func TestLatest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.samples = append(w.samples, camera.Sample{Camera: "k1", Zone: "plattan", Time: testNow.Add(-time.Hour), Present: 1, Quality: camera.QualityOK},
		camera.Sample{Camera: "k9", Zone: "z", Time: testNow, Present: 50, Quality: camera.QualityOK})
	res := w.as(policy.Operator).get(pollRoute)
	var got struct{ Samples []sampleBody }
	if err := json.Unmarshal(res.body, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Samples) != 3 || got.Samples[0].Zone != "trappan" {
		t.Fatalf("samples %s; want the three zones of k1 in order", res.body)
	}
	if p := got.Samples[1].Present; p == nil || *p != 118.4 || got.Samples[1].Stale {
		t.Errorf("plattan: %+v; want the newest", got.Samples[1])
	}
	if s := got.Samples[2]; s.Present != nil || s.Quality != camera.QualityUnknown || !s.Stale {
		t.Errorf("entren: %+v; want unknown and stale", s)
	}
	w.samples = nil
	res = w.as(policy.DashboardViewer).get(pollRoute)
	if n := strings.Count(string(res.body), `"quality":"unknown"`); n != 3 || strings.Contains(string(res.body), `"suppressed"`) {
		t.Errorf("nothing counted yet: %s", res.body)
	}
}
