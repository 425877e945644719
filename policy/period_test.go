package policy_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"klarsyn/policy"
)

func TestParsePeriod(t *testing.T) {
	for text, want := range map[string]string{
		"P2M":                "P2M",
		"P3D":                "P3D",
		"PT72H":              "PT72H",
		"P2W":                "P14D",
		"P1Y2M3DT4H5M6S":     "P1Y2M3DT4H5M6S",
		"PT90M":              "PT1H30M",
		"PT1.5S":             "PT1.5S",
		"PT0.000001S":        "PT0.000001S",
		"PT0S":               "PT0S",
		"P0D":                "PT0S",
		"P12M":               "P12M",
		"PT60S":              "PT1M",
		"":                   "",
		"P":                  "",
		"PT":                 "",
		"P1DT":               "",
		"3D":                 "",
		"p3d":                "",
		"P-3D":               "",
		"P+3D":               "",
		"-P3D":               "",
		"P3":                 "",
		"P 3D":               "",
		"P3D ":               "",
		"P1.5D":              "",
		"P1,5D":              "",
		"PT1.S":              "",
		"PT.5S":              "",
		"PT1.0000001S":       "",
		"P1D1M":              "",
		"P1D2D":              "",
		"P1W1D":              "",
		"PT1S1H":             "",
		"P3H":                "",
		"PT3D":               "",
		"P٣D":                "",
		"P101Y":              "",
		"P9999999999999999D": "",
		"PT878401H":          "",
	} {
		p, err := policy.ParsePeriod(text)
		if want == "" {
			if !errors.Is(err, policy.ErrBadPeriod) {
				t.Errorf("%q: %s, error %v, want ErrBadPeriod", text, p, err)
			}
			continue
		}
		if err != nil || p.String() != want {
			t.Errorf("%q: %s, error %v, want %s", text, p, err, want)
		}
	}
}

func TestThreeDaysAreNotSeventyTwoHours(t *testing.T) {
	if period(t, "P3D") == period(t, "PT72H") || period(t, "P2M") == period(t, "P60D") || period(t, "P1Y") == period(t, "P12M") {
		t.Error("different promises compare equal")
	}
}

func TestPeriodInJSON(t *testing.T) {
	var p policy.Permit
	if err := json.Unmarshal([]byte(`{"retention":"PT72H"}`), &p); err != nil || p.Retention != period(t, "PT72H") {
		t.Errorf("retention %s, error %v", p.Retention, err)
	}
	if err := json.Unmarshal([]byte(`{"retention":"72h"}`), &p); !errors.Is(err, policy.ErrBadPeriod) {
		t.Errorf("error %v, want ErrBadPeriod", err)
	}
	text, err := json.Marshal(policy.Permit{Retention: period(t, "P2M")})
	if err != nil || !strings.Contains(string(text), `"retention":"P2M"`) || strings.Contains(string(text), "valid_to") {
		t.Errorf("permit %s, error %v", text, err)
	}
}

func TestPeriodRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPeriod(t)
		again, err := policy.ParsePeriod(p.String())
		if err != nil || again != p {
			t.Fatalf("%s became %s, error %v", p, again, err)
		}
	})
}

func FuzzParsePeriod(f *testing.F) {
	for _, seed := range []string{"P2M", "P1Y2M3DT4H5M6.5S", "P2W", "PT", "P1W1D"} {
		f.Add(seed)
	}
	start := time.Date(2028, 2, 29, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		p, err := policy.ParsePeriod(s)
		if err != nil {
			return
		}
		again, err := policy.ParsePeriod(p.String())
		if err != nil || again != p {
			t.Errorf("%q: %s became %s, error %v", s, p, again, err)
		}
		if p.After(start).Before(start) {
			t.Errorf("%q ends before it begins", s)
		}
	})
}

func period(t testing.TB, s string) policy.Period {
	t.Helper()
	p, err := policy.ParsePeriod(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var periods = []string{"PT1S", "PT72H", "P1D", "P3D", "P1W", "P1M", "P2M", "P6M", "P1Y", "P1M1D", "P1MT1H", "P1DT30M", "P1Y1M1DT1H1M1.5S"}

func anyPeriod(t *rapid.T) policy.Period {
	p, err := policy.ParsePeriod(rapid.SampledFrom(periods).Draw(t, "period"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}
