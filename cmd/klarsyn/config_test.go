package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/deploy/testenv"
	"klarsyn/policy"
)

// good is a configuration that starts.
const good = `node: prov
clip: 5s
cameras:
  - id: k1
    url: rtsp://192.0.2.1/stream
    username: klarsyn
    password_file: k1.password
    zones: [{id: z, name: Z, polygon: [{x: 0, y: 0}, {x: 1, y: 0}, {x: 1, y: 1}]}]
    perspective: {slope: 0.3, offset: 0.1}
permits:
  - id: plattan
    version: 2
    regime: police
    basis: assessment
    assessment: {sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, date: 2025-12-01, decider: Trafiknämnden, diary: TN 2025-1}
    cameras: [k1]
    valid_from: 2026-01-01T00:00:00+01:00
    valid_to: 2027-01-01T00:00:00+01:00
    retention: PT72H
    purposes: [crime-investigation]
`

// loadedAll is a configuration with what it declares, as a process and klarsyn apply together read it.
type loadedAll struct {
	*square
	*described
	cameras []camera.Camera
	permits *policy.Permits
}

func loadAll(path string) (*loadedAll, error) {
	s, err := loadSquare(path)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all := &loadedAll{square: s}
	if all.described, err = readDeclaration(path, text); err != nil {
		return nil, err
	}
	for _, cc := range all.Cameras {
		cam, err := cc.camera()
		if err != nil {
			return nil, err
		}
		all.cameras = append(all.cameras, cam)
	}
	var permits []policy.Permit
	for _, pc := range all.Permits {
		permits = append(permits, pc.Permit)
	}
	all.permits, err = policy.NewPermits(permits)
	return all, err
}

// readFiles reads what only who connects needs.
func (a *loadedAll) readFiles() error {
	for i, cc := range a.Cameras {
		cam, err := cc.connected(a.folder)
		if err != nil {
			return err
		}
		a.cameras[i] = cam
	}
	return nil
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "k1.password"), []byte("s3cret\nsecond line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "square.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfig(t *testing.T) {
	s, err := loadAll(writeConfig(t, good))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.readFiles(); err != nil {
		t.Fatal(err)
	}
	if s.node != "prov" || s.clip != 5*time.Second || s.minFree != 64<<20 || len(s.cameras) != 1 {
		t.Errorf("read as %+v", s)
	}
	if cam := s.cameras[0]; string(cam.Password) != "s3cret" || cam.Name != "k1" || cam.Profile.Zones[0].ID != "z" {
		t.Errorf("camera read as %+v", cam)
	}
	from := time.Date(2025, 12, 31, 23, 0, 0, 0, time.UTC)
	if _, ok := s.permits.At("k1", from.Add(-time.Second)); ok {
		t.Error("the permit is valid before it begins")
	}
	p, ok := s.permits.At("k1", from)
	if !ok || p.Until(from) != from.Add(72*time.Hour) || p.MinCell != 5 {
		t.Errorf("permit read as %+v, %v", p, ok)
	}
}

// A profile that calibration wrote stands in for the perspective; zones stay those of the configuration.
func TestProfile(t *testing.T) {
	text := strings.Replace(good, "perspective: {slope: 0.3, offset: 0.1}", "profile: k1.yaml", 1)
	path := writeConfig(t, text)
	s, err := loadAll(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.readFiles(); err == nil || !strings.Contains(err.Error(), "camera k1: profile") {
		t.Errorf("without the file: %v", err)
	}
	for profile, want := range map[string]string{
		"zones: [{id: other, polygon: [{x: 0, y: 0}, {x: 1, y: 0}, {x: 1, y: 1}]}]\nmounting: {height: 6, tilt: 12, lens: 40}\n": "",
		"mounting: {heigth: 6}\n":       "heigth",
		"coefficients: {believed: 7}\n": "believed is 7",
	} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), "k1.yaml"), []byte(profile), 0o600); err != nil {
			t.Fatal(err)
		}
		err := s.readFiles()
		if want == "" && (err != nil || s.cameras[0].Profile.Zones[0].ID != "z" || s.cameras[0].Profile.Mounting == nil) {
			t.Errorf("%v: %+v", err, s.cameras[0].Profile)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", profile, err, want)
		}
	}
	if _, err := loadAll(writeConfig(t, text+"    profile: x\n")); err == nil {
		t.Error("a key in the wrong place is taken")
	}
	both := strings.Replace(good, "    perspective:", "    profile: k1.yaml\n    perspective:", 1)
	if _, err := loadAll(writeConfig(t, both)); err == nil || !strings.Contains(err.Error(), "want one of them") {
		t.Errorf("both: %v", err)
	}
}

func TestCountingConfig(t *testing.T) {
	for text, want := range map[string]string{
		"": "{0 false}", "counting: {every: keyframe}": "{0 false}", "counting: {every: all}": "{1 false}", "counting: {every: 5, gate: false}": "{5 true}",
		"counting: {every: 0}": "want keyframe, all, or a number", "counting: {every: often}": "want keyframe, all, or a number", "counting: {rate: 5}": "unknown field",
	} {
		s, err := loadAll(writeConfig(t, strings.Replace(good, "    perspective:", "    "+text+"\n    perspective:", 1)))
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprint(s.cameras[0].Counting)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// Zones are for counting: a camera without any is configured like every other.
func TestZonesMayBeLeftOut(t *testing.T) {
	from := strings.Index(good, "    zones:")
	to := strings.Index(good, "permits:")
	s, err := loadAll(writeConfig(t, good[:from]+good[to:]))
	if err != nil || len(s.cameras) != 1 || len(s.cameras[0].Profile.Zones) != 0 {
		t.Errorf("read as %+v, %v", s, err)
	}
}

// What init leaves behind starts, and shows a person every field.
func TestExampleIsValid(t *testing.T) {
	if _, err := loadAll(writeConfig(t, string(exampleConfig))); err != nil {
		t.Fatal(err)
	}
	var filled []string
	for line := range strings.SplitSeq(string(exampleConfig), "\n") {
		if line == "cameras: []" || line == "permits: []" {
			line = strings.TrimSuffix(line, " []")
		}
		filled = append(filled, strings.TrimPrefix(line, "#"))
	}
	// Lines of prose are comments in the example; those of YAML become a configuration without the "#".
	var yaml []string
	for _, line := range filled {
		if !strings.HasPrefix(line, " ") || strings.HasPrefix(line, "  ") {
			yaml = append(yaml, line)
		}
	}
	s, err := loadAll(writeConfig(t, strings.Join(yaml, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.cameras) != 1 || len(s.permits.All()) != 1 {
		t.Errorf("the filled-in example has %d cameras and %d permits", len(s.cameras), len(s.permits.All()))
	}
}

// Who may not read the configuration is not told to make another one.
func TestConfigThatMayNotBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "square.yaml")
	if err := os.WriteFile(path, []byte(good), 0); err != nil {
		t.Fatal(err)
	}
	testenv.AsNobody(t, func() {
		_, err := loadAll(path)
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "may read it") || strings.Contains(err.Error(), "init") {
			t.Errorf("%v", err)
		}
	})
}

func TestConfigErrorsNameTheThing(t *testing.T) {
	for what, c := range map[string]struct{ from, to, want string }{
		"misspelt key":               {"clip: 5s", "clips: 5s", "[2:1]"},
		"misspelt key of a camera":   {"    username:", "    user_name:", "user_name"},
		"misspelt key of a permit":   {"    retention:", "    retenshun:", "[19:5]"},
		"wrong type":                 {"version: 2", "version: two", "[12:"},
		"bad duration":               {"clip: 5s", "clip: 5 seconds", "want 1s to 10m"},
		"clip too short":             {"clip: 5s", "clip: 10ms", "want 1s to 10m"},
		"bad retention":              {"PT72H", "72 hours", "retention"},
		"credentials in the URL":     {"rtsp://192", "rtsp://a:s3cret@192", "username and password"},
		"login in the URL's query":   {"rtsp://192.0.2.1/stream", "rtsp://192.0.2.1/live?usr=admin&pwd=s3cret", "username and password_file"},
		"login in the URL's path":    {"rtsp://192.0.2.1/stream", "rtsp://192.0.2.1/user=admin&password=s3cret&channel=1.sdp", "username and password_file"},
		"fault beside a login":       {"192.0.2.1/stream\n    username", "admin:s3cret@192.0.2.1/stream\n    user_name", "user_name"},
		"fault beside one in a path": {"192.0.2.1/stream\n    username", "192.0.2.1/user=admin&password=s3cret\n    user_name", "user_name"},
		"the password itself":        {"password_file: k1.password", "password: s3cret", "unknown field \"password\""},
		"the same on one line":       {"    username: klarsyn\n    password_file: k1.password\n", "    login: {name: klarsyn, \"Password\": s3cret}\n", "login"},
		"not RTSP":                   {"rtsp://192.0.2.1/stream", "http://192.0.2.1/", "rtsp or rtsps"},
		"camera twice":               {"cameras:\n", "cameras:\n  - {id: k1, url: 'rtsp://192.0.2.2/'}\n", "twice"},
		"permit of unknown camera":   {"cameras: [k1]", "cameras: [k9]", "k9"},
		"zone with two corners":      {", {x: 1, y: 1}]", "]", "corners"},
		"zone outside the picture":   {"{x: 1, y: 1}", "{x: 1, y: 1.5}", "outside"},
		"basis unknown":              {"basis: assessment", "basis: because", "basis"},
		"validity ends before start": {"2027-01-01", "2025-01-01", "valid_to"},
		"bad node":                   {"node: prov", "node: Prov 1", "node"},
		"nothing free":               {"clip: 5s", "min_free_mib: 0", "min_free_mib"},
	} {
		t.Run(what, func(t *testing.T) {
			if !strings.Contains(good, c.from) {
				t.Fatalf("the good configuration lacks %q", c.from)
			}
			path := writeConfig(t, strings.Replace(good, c.from, c.to, 1))
			_, err := loadAll(path)
			if err == nil {
				t.Fatal("accepted")
			}
			var usage usageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("says: %v; want %q and the file's name", err, c.want)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("shows a password: %v", err)
			}
		})
	}
}
