package camera_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"klarsyn/camera"
)

func TestParseID(t *testing.T) {
	for s, good := range map[string]bool{
		"k1": true, "plattan-vast": true, "0": true, "a-": true, strings.Repeat("a", 63): true,
		"": false, "-k1": false, "K1": false, "k 1": false, "k1\n": false, "k/1": false, "..": false, "k.1": false,
		"kåk": false, "k_1": false, "k1\x00": false, strings.Repeat("a", 64): false,
	} {
		id, err := camera.ParseID(s)
		if (err == nil) != good || good && string(id) != s || !good && (id != "" || !errors.Is(err, camera.ErrBadID)) {
			t.Errorf("ParseID(%q) = %q, %v", s, id, err)
		}
	}
}

// What is taken for a camera id is safe in a path, a URL, a log line and an object key.
func FuzzParseID(f *testing.F) {
	for _, s := range []string{"k1", "a/../b", "k1\n", "-", "å", strings.Repeat("x", 64)} {
		f.Add(s)
	}
	safe := regexp.MustCompile(`\A[a-z0-9-]+\z`)
	f.Fuzz(func(t *testing.T, s string) {
		id, err := camera.ParseID(s)
		if err != nil {
			if id != "" {
				t.Errorf("%q was refused, yet gave %q", s, id)
			}
			return
		}
		if string(id) != s || len(s) > 63 || !safe.MatchString(s) || s[0] == '-' {
			t.Errorf("%q was taken", s)
		}
	})
}

func TestSecretIsNeverPrinted(t *testing.T) {
	const password = "hunter2"
	cam := camera.Camera{ID: "k1", URL: "rtsp://h/s", Username: "u", Password: password}
	var printed []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%08.3f", "%T %v"} {
		if verb == "%T %v" {
			printed = append(printed, fmt.Sprintf(verb, cam, cam))
			continue
		}
		printed = append(printed, fmt.Sprintf(verb, cam.Password), fmt.Sprintf(verb, cam), fmt.Sprintf(verb, &cam), fmt.Sprintf(verb, []camera.Camera{cam}))
	}
	printed = append(printed, fmt.Sprint(cam), fmt.Sprintln(cam.Password), fmt.Errorf("bad: %v", cam).Error())
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).With("with", cam.Password).Info("camera", "camera", cam, "password", cam.Password, slog.Group("g", "p", cam.Password))
	}
	asJSON, err := json.Marshal(cam)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(cam)
	if err != nil {
		t.Fatal(err)
	}
	printed = append(printed, log.String(), string(asJSON), string(asYAML))
	for _, p := range printed {
		if strings.Contains(p, password) || strings.Contains(strings.ToLower(p), fmt.Sprintf("%x", password)) {
			t.Errorf("printed: %s", p)
		}
	}
	if s := cam.Password.String(); s != "[redacted]" {
		t.Errorf("a secret that exists is shown as %q", s)
	}
	if s := fmt.Sprint(camera.Secret("")); s != "" {
		t.Errorf("no secret is shown as %q", s)
	}
}

func TestSecretIsReadFromConfiguration(t *testing.T) {
	var fromJSON, fromYAML struct {
		Password camera.Secret `json:"password" yaml:"password"`
	}
	if err := json.Unmarshal([]byte(`{"password":"hunter2"}`), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte("password: hunter2\n"), &fromYAML); err != nil {
		t.Fatal(err)
	}
	if string(fromJSON.Password) != "hunter2" || string(fromYAML.Password) != "hunter2" {
		t.Errorf("read %q and %q", string(fromJSON.Password), string(fromYAML.Password))
	}
}

func TestValidate(t *testing.T) {
	square := []camera.Point{{X: 0, Y: 0}, {X: 1, Y: 0}, {X: 1, Y: 1}}
	good := func() camera.Camera {
		return camera.Camera{ID: "k1", URL: "rtsp://192.0.2.1:554/stream", Profile: camera.Profile{
			Zones: []camera.Zone{{ID: "stairs", Polygon: square}}, Perspective: camera.Perspective{Slope: 0.3, Offset: 0.02},
		}}
	}
	digits := strings.Repeat("0f", 32)
	for _, c := range []camera.Camera{good(), {ID: "k1", URL: "rtsp://h/s", Transport: camera.UDP}, {ID: "k1", URL: "rtsps://h/s", Transport: camera.TCP, CertificateSHA256: digits}} {
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		change func(*camera.Camera)
		says   string
	}{
		"id":                      {func(c *camera.Camera) { c.ID = "K1" }, "K1"},
		"no url":                  {func(c *camera.Camera) { c.URL = "" }, "scheme"},
		"not a url":               {func(c *camera.Camera) { c.URL = "rtsp://u:hunter2@%zz" }, "not a URL"},
		"credentials":             {func(c *camera.Camera) { c.URL = "rtsp://u:hunter2@h/s" }, "username and password"},
		"a user alone":            {func(c *camera.Camera) { c.URL = "rtsp://hunter2@h/s" }, "username and password"},
		"a file":                  {func(c *camera.Camera) { c.URL = "file:///etc/passwd" }, "file"},
		"a command":               {func(c *camera.Camera) { c.URL = "exec:rm" }, "exec"},
		"http":                    {func(c *camera.Camera) { c.URL = "http://h/s" }, "http"},
		"no host":                 {func(c *camera.Camera) { c.URL = "rtsp:///s" }, "host"},
		"a port alone":            {func(c *camera.Camera) { c.URL = "rtsp://:554/s" }, "host"},
		"transport":               {func(c *camera.Camera) { c.Transport = "http" }, "tcp or udp"},
		"udp with TLS":            {func(c *camera.Camera) { c.URL, c.Transport = "RTSPS://h/s", camera.UDP }, "only tcp"},
		"an authority, no TLS":    {func(c *camera.Camera) { c.CA = []byte("-") }, "rtsps://"},
		"a certificate, no TLS":   {func(c *camera.Camera) { c.CertificateSHA256 = digits }, "rtsps://"},
		"authority and print":     {func(c *camera.Camera) { c.URL, c.CA, c.CertificateSHA256 = "rtsps://h/s", []byte("-"), digits }, "contradict"},
		"a print with colons":     {func(c *camera.Camera) { c.URL, c.CertificateSHA256 = "rtsps://h/s", "AB:CD" }, "without colons"},
		"an authority, no PEM":    {func(c *camera.Camera) { c.URL, c.CA = "rtsps://h/s", []byte("-") }, "PEM"},
		"zone id":                 {func(c *camera.Camera) { c.Profile.Zones[0].ID = "The Stairs" }, "The Stairs"},
		"zone twice":              {func(c *camera.Camera) { c.Profile.Zones = append(c.Profile.Zones, c.Profile.Zones[0]) }, "twice"},
		"two corners":             {func(c *camera.Camera) { c.Profile.Zones[0].Polygon = square[:2] }, "2 corners"},
		"corner outside":          {func(c *camera.Camera) { c.Profile.Zones[0].Polygon = []camera.Point{{}, {X: 1.01}, {}} }, "outside"},
		"corner before the edge":  {func(c *camera.Camera) { c.Profile.Zones[0].Polygon = []camera.Point{{}, {Y: -0.01}, {}} }, "outside"},
		"corner that is nowhere":  {func(c *camera.Camera) { c.Profile.Zones[0].Polygon = []camera.Point{{}, {X: math.NaN()}, {}} }, "outside"},
		"slope that is no number": {func(c *camera.Camera) { c.Profile.Perspective.Slope = math.NaN() }, "perspective"},
		"infinite offset":         {func(c *camera.Camera) { c.Profile.Perspective.Offset = math.Inf(1) }, "perspective"},
	} {
		t.Run(name, func(t *testing.T) {
			cam := good()
			c.change(&cam)
			err := cam.Validate()
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one about %q", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error holds a credential: %v", err)
			}
		})
	}
}

func TestPersonHeight(t *testing.T) {
	p := camera.Perspective{Slope: 0.4, Offset: -0.1}
	for y, want := range map[float64]float64{0: 0.01, 0.25: 0.01, 0.5: 0.1, 1: 0.3} {
		if got := p.PersonHeight(y); math.Abs(got-want) > 1e-9 {
			t.Errorf("at row %g: %g, want %g", y, got, want)
		}
	}
}

func TestSizeOfAnAccessUnit(t *testing.T) {
	au := camera.AccessUnit{NALUs: [][]byte{make([]byte, 3), nil, make([]byte, 7)}}
	if au.Size() != 10 || (camera.AccessUnit{}).Size() != 0 {
		t.Errorf("sizes %d and %d", au.Size(), camera.AccessUnit{}.Size())
	}
}
