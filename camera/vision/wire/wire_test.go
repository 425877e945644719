package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"klarsyn/camera"
)

func square() camera.Profile {
	return camera.Profile{
		Zones:       []camera.Zone{{ID: "all", Name: "Alla", Polygon: []camera.Point{{X: 0, Y: 0}, {X: 1, Y: 0}, {X: 1, Y: 1}}}},
		Perspective: camera.Perspective{Slope: 0.3, Offset: 0.05},
		Masks: []camera.Mask{{ID: "windows", Version: 2, Kind: camera.MaskBlur, Polygon: []camera.Point{{X: 0, Y: 0}, {X: 0.5, Y: 0}, {X: 0.5, Y: 1}},
			Calibration: "2026-03"}},
	}
}

func messages() []Message {
	at := time.Date(2026, 3, 29, 1, 59, 59, 123456000, time.UTC)
	return []Message{
		Hello{Version: Version, Mode: ModeCount, Build: Build{Protocol: "0011", Revision: "abc"}},
		Setup{Profile: square(), Learning: 5},
		Scene{JSON: []byte(`{"seed":1}`)},
		Background{Data: []byte{1, 2, 3}},
		Background{Data: []byte{}},
		Format{Format: camera.Format{Codec: camera.H264, SPS: []byte{0x67, 1}, PPS: []byte{0x68}}},
		Format{Format: camera.Format{Codec: camera.H265, VPS: []byte{0x40}, SPS: []byte{0x42}, PPS: []byte{0x44}}},
		AccessUnit{Seq: 7, Time: at, Keyframe: true, Look: true, Alone: true, NALUs: [][]byte{{0x65, 1, 2}, {0x65, 3}}},
		AccessUnit{Seq: 8, Time: at, Look: true, NALUs: [][]byte{{0x41, 1, 2}}},
		Answer{Seq: 6},
		Answer{Seq: 8, Pictures: []Samples{{Seq: 7, Time: at, Zones: []Sample{
			{Zone: "all", Present: 3.5, Moving: 1, Low: 2, High: 5, Quality: camera.QualityOK},
			{Zone: "b", Quality: camera.QualityLearning}, {Zone: "c", Quality: camera.QualityUnknown},
			{Zone: "d", Quality: camera.QualityTooDark}, {Zone: "e", Quality: camera.QualityDecoderLost},
		}, Method: "silhouette-cover/3"}, {Seq: 8, Time: at, Fault: "no picture came out"}}},
		Encoded{N: 3, Keyframe: true, NALUs: [][]byte{{0x65}}},
		Progress{Done: 50, Total: 600},
		Fault{Text: "scene: width 3"},
	}
}

func frame(t testing.TB, m Message) []byte {
	var b bytes.Buffer
	if err := NewWriter(&b).Write(m); err != nil {
		t.Fatalf("write %T: %v", m, err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	var stream bytes.Buffer
	w := NewWriter(&stream)
	for _, m := range messages() {
		if err := w.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	r := NewReader(&stream)
	for _, want := range messages() {
		got, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %#v, want %#v", got, want)
		}
	}
	if _, err := r.Next(); err != io.EOF { //nolint:errorlint // the very value is promised
		t.Errorf("after the last message: %v, want io.EOF itself", err)
	}
}

// A parent and a child of the same protocol number must agree on every byte.
func TestGolden(t *testing.T) {
	at := time.UnixMicro(0x0102030405).UTC()
	for _, c := range []struct {
		m    Message
		want string
	}{
		{AccessUnit{Seq: 1, Time: at, Keyframe: true, Alone: true, NALUs: [][]byte{{0x65, 0xff}}},
			"0000001e" + "41" + "0000000000000001" + "0000000102030405" + "010001" + "00000001" + "00000002" + "65ff"},
		{Format{Format: camera.Format{Codec: camera.H264, SPS: []byte{0x67}, PPS: []byte{0x68}}},
			"00000010" + "46" + "04" + "00000000" + "00000001" + "67" + "00000001" + "68"},
		{Answer{Seq: 2, Pictures: []Samples{{Seq: 1, Time: at, Zones: []Sample{{Zone: "a", Present: 1, Low: 0.5, High: 2, Quality: camera.QualityOK}}}}},
			"00000049" + "52" + "0000000000000002" + "00000001" + "0000000000000001" + "0000000102030405" + "00000000" + "00" + "00000001" + "0161" +
				"3ff0000000000000" + "0000000000000000" + "3fe0000000000000" + "4000000000000000" + "00"},
		{Encoded{N: 2, NALUs: [][]byte{{0x41}}}, "0000000f" + "45" + "00000002" + "00" + "00000001" + "00000001" + "41"},
		{Progress{Done: 1, Total: 2}, "00000009" + "47" + "00000001" + "00000002"},
		{Fault{Text: "no"}, "00000003" + "58" + "6e6f"},
		{Scene{JSON: []byte("{}")}, "00000003" + "53" + "7b7d"},
		{Background{Data: []byte("{}")}, "00000003" + "42" + "7b7d"},
		{Background{}, "00000001" + "42"},
		{Setup{Profile: camera.Profile{Masks: []camera.Mask{{ID: "a", Version: 1, Polygon: []camera.Point{{X: 0, Y: 0}, {X: 1, Y: 0}, {X: 1, Y: 0.5}}}}}},
			"000000b5" + "50" + hex.EncodeToString([]byte(`{"profile":{"zones":null,"perspective":{"slope":0,"offset":0},"masks":[{"id":"a","version":1,"kind":"","polygon":[`+
				`{"x":0,"y":0},{"x":1,"y":0},{"x":1,"y":0.5}]}],"coefficients":{}}}`))},
	} {
		if got := hex.EncodeToString(frame(t, c.m)); got != c.want {
			t.Errorf("%T\n got %s\nwant %s", c.m, got, c.want)
		}
	}
}

func TestRoundTripOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nalu := rapid.SliceOfN(rapid.Byte(), 0, 200)
		count := rapid.Float64Range(0, 1e5)
		var m Message
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			m = AccessUnit{
				Seq: rapid.Uint64().Draw(t, "seq"), Time: time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(t, "time")).UTC(),
				NALUs: rapid.SliceOfN(nalu, 1, 20).Draw(t, "nalus"),
			}
		case 1:
			m = Encoded{N: rapid.Uint32().Draw(t, "n"), Keyframe: rapid.Bool().Draw(t, "key"), NALUs: rapid.SliceOfN(nalu, 1, 20).Draw(t, "nalus")}
		case 2:
			s := Samples{Seq: rapid.Uint64().Draw(t, "seq"), Time: time.UnixMicro(0).UTC()}
			for range rapid.IntRange(1, 9).Draw(t, "zones") {
				p := count.Draw(t, "present")
				s.Zones = append(s.Zones, Sample{
					Zone: rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,62}`).Draw(t, "zone"), Present: p,
					Moving: p / 2, Low: p / 3, High: p * 1.5, Quality: camera.QualityOK,
				})
			}
			m = Answer{Seq: s.Seq, Pictures: []Samples{s}}
		}
		var b bytes.Buffer
		if err := NewWriter(&b).Write(m); err != nil {
			t.Fatal(err)
		}
		got, err := NewReader(&b).Next()
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, m) {
			t.Fatalf("got %#v, want %#v", got, m)
		}
	})
}

func TestRefusals(t *testing.T) {
	sample := func(change func(*Sample)) []byte {
		s := Sample{Zone: "a", Present: 2, Moving: 1, Low: 1, High: 3, Quality: camera.QualityOK}
		change(&s)
		return frame(t, Answer{Pictures: []Samples{{Zones: []Sample{s}}}})
	}
	for name, c := range map[string]struct {
		bytes []byte
		want  error
	}{
		"no type":           {[]byte{0, 0, 0, 0, 'H'}, ErrMalformed},
		"unknown type":      {[]byte{0, 0, 0, 1, 'q'}, ErrMalformed},
		"four gigabytes":    {[]byte{0xff, 0xff, 0xff, 0xff, 'A'}, ErrTooLarge},
		"long hello":        {[]byte{0, 1, 0, 0, 'H'}, ErrTooLarge},
		"long progress":     {[]byte{0, 0, 0, 10, 'G'}, ErrTooLarge},
		"short progress":    {[]byte{0, 0, 0, 2, 'G', 1}, ErrMalformed},
		"cut in the head":   {[]byte{0, 0}, io.ErrUnexpectedEOF},
		"cut in the body":   {[]byte{0, 0, 0, 9, 'G', 1}, io.ErrUnexpectedEOF},
		"bytes left over":   {[]byte{0, 0, 0, 10, 'F', 4, 0, 0, 0, 0, 0, 0, 0, 0}, ErrMalformed},
		"codec":             {[]byte{0, 0, 0, 2, 'F', 9}, ErrMalformed},
		"many NAL units":    {append([]byte{0, 0, 0, 10, 'E', 0, 0, 0, 1, 0}, 0xff, 0xff, 0xff, 0xff), ErrTooLarge},
		"lying NAL length":  {append([]byte{0, 0, 0, 14, 'E', 0, 0, 0, 1, 0}, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff), ErrMalformed},
		"many pictures":     {append([]byte{0, 0, 0, 13, 'R', 0, 0, 0, 0, 0, 0, 0, 1}, 0, 0, 0, 65), ErrTooLarge},
		"flag":              {append([]byte{0, 0, 0, 10, 'E', 0, 0, 0, 1, 2}, 0, 0, 0, 0), ErrMalformed},
		"setup not JSON":    {[]byte{0, 0, 0, 2, 'P', '{'}, ErrMalformed},
		"not a number":      {sample(func(s *Sample) { s.Present = math.NaN() }), ErrMalformed},
		"infinite":          {sample(func(s *Sample) { s.High = math.Inf(1) }), ErrMalformed},
		"negative":          {sample(func(s *Sample) { s.Low = -1 }), ErrMalformed},
		"moving > present":  {sample(func(s *Sample) { s.Moving = 2.5 }), ErrMalformed},
		"present > high":    {sample(func(s *Sample) { s.High = 1.5 }), ErrMalformed},
		"setup, no polygon": {frame(t, Setup{Profile: camera.Profile{Zones: []camera.Zone{{ID: "all"}}}}), ErrMalformed},
		"setup, grey mask":  {frame(t, Setup{Profile: camera.Profile{Masks: []camera.Mask{{ID: "a", Version: 1, Kind: "grey"}}}}), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := NewReader(bytes.NewReader(c.bytes)).Next(); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestWriterRefusesWhatNobodyWouldRead(t *testing.T) {
	for name, m := range map[string]Message{
		"picture":    AccessUnit{NALUs: [][]byte{make([]byte, MaxAccessUnit+1)}},
		"NAL units":  AccessUnit{NALUs: make([][]byte, MaxNALUs+1)},
		"parameter":  Format{Format: camera.Format{Codec: camera.H264, SPS: make([]byte, MaxParameter+1)}},
		"zones":      Answer{Pictures: []Samples{{Zones: make([]Sample, MaxZones+1)}}},
		"pictures":   Answer{Pictures: make([]Samples, MaxPictures+1)},
		"scene":      Scene{JSON: make([]byte, MaxSetup+1)},
		"background": Background{Data: make([]byte, MaxBackground+1)},
	} {
		var b bytes.Buffer
		if err := NewWriter(&b).Write(m); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: got %v, want ErrTooLarge", name, err)
		}
		if b.Len() != 0 {
			t.Errorf("%s: %d bytes were sent", name, b.Len())
		}
	}
	// The largest picture allowed goes through.
	big := AccessUnit{NALUs: [][]byte{make([]byte, MaxAccessUnit)}}
	if _, err := NewReader(bytes.NewReader(frame(t, big))).Next(); err != nil {
		t.Error(err)
	}
}

func TestHelloNamesBothBuilds(t *testing.T) {
	a, b := NewHello(ModeCount), NewHello(ModeCount)
	if err := a.Check(b); err != nil {
		t.Errorf("the same build: %v", err)
	}
	a.Build.Revision, b.Build.Revision = "aaaa", ""
	if err := a.Check(b); err != nil {
		t.Errorf("one commit unknown: %v", err)
	}
	b.Build.Revision = "bbbb"
	err := a.Check(b)
	if !errors.Is(err, ErrBuild) || !strings.Contains(err.Error(), "aaaa") || !strings.Contains(err.Error(), "bbbb") {
		t.Errorf("two commits: %v", err)
	}
	b.Version++
	if err := a.Check(b); !errors.Is(err, ErrBuild) {
		t.Errorf("two versions: %v", err)
	}
}

func TestSanitise(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                              "plain",
		"two\nlines\r\x1b[31m":               "two lines  [31m",
		"\xff\xfe":                           "",
		strings.Repeat("å", MaxText):         strings.Repeat("å", MaxText/2),
		"a\u202eb":                           "a b",
		strings.Repeat("x", MaxText-1) + "å": strings.Repeat("x", MaxText-1),
	} {
		if got := Sanitise(in); got != want {
			t.Errorf("%.20q: got %.40q (%d), want %.40q (%d)", in, got, len(got), want, len(want))
		}
	}
}

// FuzzReader feeds the parser of both sides: it must end with a message or an error, and what it
// accepts must survive being written again.
func FuzzReader(f *testing.F) {
	for _, m := range messages() {
		f.Add(frame(f, m))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 'A'})
	f.Fuzz(func(t *testing.T, in []byte) {
		kept := bytes.Clone(in)
		r := NewReader(bytes.NewReader(in))
		for {
			m, err := r.Next()
			if err != nil {
				break
			}
			var b bytes.Buffer
			if err := NewWriter(&b).Write(m); err != nil {
				t.Fatalf("%T was read but cannot be written: %v", m, err)
			}
			again, err := NewReader(&b).Next()
			if err != nil || !reflect.DeepEqual(again, m) {
				t.Fatalf("%#v became %#v, %v", m, again, err)
			}
		}
		if !bytes.Equal(in, kept) {
			t.Fatal("the input was changed")
		}
	})
}
