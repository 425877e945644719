//go:build cgo

package decode

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"klarsyn/camera"
	"klarsyn/camera/decode/hostile"
)

// startCode cuts what a fuzzer gives into NAL units.
var startCode = []byte{0, 0, 0, 1}

// seeds gives the smaller members of both corpora, of each sort some.
func seeds(f *testing.F, add func(m hostile.Member, units []byte)) map[camera.Codec]hostile.Film {
	films := map[camera.Codec]hostile.Film{}
	for _, codec := range []camera.Codec{camera.H264, camera.H265} {
		film := hostile.Code(f, codec, "64x64")
		films[codec] = film
		sorts := map[string]int{}
		for _, m := range hostile.Corpus(f, film) {
			units := bytes.Join(m.NALUs, startCode)
			sort, _, _ := strings.Cut(strings.TrimPrefix(m.Name, "sets/"), "/")
			if sorts[sort]++; sorts[sort] <= 6 && len(units) < 8<<10 {
				add(m, units)
			}
		}
	}
	return films
}

func fuzzed(h265 bool, vps, sps, pps, units []byte) hostile.Member {
	m := hostile.Member{Format: camera.Format{Codec: camera.H264, SPS: sps, PPS: pps}, NALUs: bytes.Split(units, startCode)}
	if h265 {
		m.Format.Codec, m.Format.VPS = camera.H265, vps
	}
	return m
}

// FuzzKeyframe looks for what hurts the process or the next picture.
func FuzzKeyframe(f *testing.F) {
	films := seeds(f, func(m hostile.Member, units []byte) {
		f.Add(m.Format.Codec == camera.H265, m.Format.VPS, m.Format.SPS, m.Format.PPS, units)
	})
	decoders, want := map[camera.Codec]*Decoder{}, map[camera.Codec][]byte{}
	for codec, film := range films {
		decoders[codec] = newDecoder(f, film.Format)
		p, err := decoders[codec].Keyframe(film.Keys()[0])
		if err != nil {
			f.Fatal(err)
		}
		want[codec] = bytes.Clone(p.I420)
	}
	f.Fuzz(func(t *testing.T, h265 bool, vps, sps, pps, units []byte) {
		m := fuzzed(h265, vps, sps, pps, units)
		kept := bytes.Clone(units)
		own := newDecoder(t, m.Format)
		if p, err := own.Keyframe(m.NALUs); err == nil && (len(p.I420) != p.Width*p.Height*3/2 || p.CodedWidth*p.CodedHeight > 4096*2304) {
			t.Errorf("%d bytes for %dx%d of %dx%d", len(p.I420), p.Width, p.Height, p.CodedWidth, p.CodedHeight)
		}
		d := decoders[m.Format.Codec]
		_, _ = d.Keyframe(m.InBand())
		if p, err := d.Keyframe(films[m.Format.Codec].Keys()[0]); err != nil || !bytes.Equal(p.I420, want[m.Format.Codec]) {
			t.Errorf("the next picture is spoilt: %v", err)
		}
		if !bytes.Equal(units, kept) {
			t.Error("the input was changed")
		}
	})
}

// FuzzStream looks for what outlives a keyframe in a stream.
func FuzzStream(f *testing.F) {
	films := seeds(f, func(m hostile.Member, units []byte) {
		f.Add(m.Format.Codec == camera.H265, m.Format.VPS, m.Format.SPS, m.Format.PPS, units)
	})
	decoders, want := map[camera.Codec]*Decoder{}, map[camera.Codec]shown{}
	for codec, film := range films {
		decoders[codec] = newDecoder(f, film.Format)
		want[codec] = play(f, decoders[codec], film, func(shown, *Stream) {})
	}
	f.Fuzz(func(t *testing.T, h265 bool, vps, sps, pps, units []byte) {
		m := fuzzed(h265, vps, sps, pps, units)
		got := play(t, decoders[m.Format.Codec], films[m.Format.Codec], func(got shown, s *Stream) {
			got.send(t, s, 100, m.InBand())
			for n, unit := range m.NALUs { // and each as a picture of its own
				if n < 20 {
					got.send(t, s, int64(101+n), [][]byte{unit})
				}
			}
		})
		if !maps.Equal(got, want[m.Format.Codec]) {
			t.Errorf("%d pictures follow, want the same %d", len(got), len(want[m.Format.Codec]))
		}
	})
}
