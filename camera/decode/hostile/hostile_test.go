package hostile

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"pgregory.net/rapid"

	"klarsyn/camera"
)

// A parameter set rewritten without change is the same bytes: every field of it was understood.
func TestRewriteOfNothing(t *testing.T) {
	for name, c := range map[string]struct {
		codec   camera.Codec
		options []string
	}{
		"h264":            {camera.H264, nil},
		"h264 high":       {camera.H264, []string{"-preset", "medium", "-pix_fmt", "yuv422p10le"}},
		"h264 interlaced": {camera.H264, []string{"-flags", "+ildct+ilme", "-colorspace", "bt709", "-aspect", "3:1"}},
		"h265":            {camera.H265, nil},
		"h265 4:4:4":      {camera.H265, []string{"-pix_fmt", "yuv444p"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := Code(t, c.codec, "328x244", c.options...).Format
			again := SPS264
			if c.codec == camera.H265 {
				again = SPS265
			} else if got, err := PPS264(f.PPS, nil); err != nil || !bytes.Equal(got, f.PPS) {
				t.Errorf("PPS %x became %x, %v", f.PPS, got, err)
			}
			if got, err := again(f.SPS, nil); err != nil || !bytes.Equal(got, f.SPS) {
				t.Errorf("SPS %x became %x, %v", f.SPS, got, err)
			}
			if _, err := again(f.SPS, map[string]uint64{"no_such_field": 1}); err == nil {
				t.Error("a field that is not there was taken")
			}
			if _, err := again(f.SPS[:9], nil); err == nil {
				t.Error("half a set was taken")
			}
		})
	}
}

// What was put in is what another parser than ours reads, and nothing else changes.
func TestRewrittenSPS(t *testing.T) {
	f264, f265 := Code(t, camera.H264, "320x240").Format, Code(t, camera.H265, "320x240").Format
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.Uint32Range(0, 1<<20).Draw(t, "width"), rapid.Uint32Range(0, 1<<20).Draw(t, "height")
		crop := rapid.Uint32().Filter(func(v uint32) bool { return v < 1<<32-1 }).Draw(t, "crop")
		var was4, is4 h264.SPS
		set := map[string]uint64{"pic_width_in_mbs_minus1": uint64(w), "pic_height_in_map_units_minus1": uint64(h),
			"frame_cropping_flag": 1, "frame_crop_right_offset": uint64(crop)}
		sps, err := SPS264(f264.SPS, set)
		if err != nil {
			t.Fatal(err)
		}
		if err := was4.Unmarshal(f264.SPS); err != nil {
			t.Fatal(err)
		}
		was4.PicWidthInMbsMinus1, was4.PicHeightInMapUnitsMinus1 = w, h
		was4.FrameCropping = &h264.SPS_FrameCropping{RightOffset: crop}
		if err := is4.Unmarshal(sps); err != nil || !reflect.DeepEqual(is4, was4) {
			t.Fatalf("H.264: got %+v, %v; want %+v", is4, err, was4)
		}
		var was5, is5 h265.SPS
		set = map[string]uint64{"pic_width_in_luma_samples": uint64(w), "pic_height_in_luma_samples": uint64(h),
			"conformance_window_flag": 1, "conf_win_top_offset": uint64(crop)}
		if sps, err = SPS265(f265.SPS, set); err != nil {
			t.Fatal(err)
		}
		if err := was5.Unmarshal(f265.SPS); err != nil {
			t.Fatal(err)
		}
		was5.PicWidthInLumaSamples, was5.PicHeightInLumaSamples = w, h
		was5.ConformanceWindow = &h265.SPS_Window{TopOffset: crop}
		if err := is5.Unmarshal(sps); err != nil || !reflect.DeepEqual(is5, was5) {
			t.Fatalf("H.265: got %+v, %v; want %+v", is5, err, was5)
		}
	})
}

// The corpus is the same every time, each name is of one member, and the film that it is made of stays as it is.
func TestCorpus(t *testing.T) {
	for _, codec := range []camera.Codec{camera.H264, camera.H265} {
		film := Code(t, codec, "320x240")
		kept := size(film.Keys()[0])
		corpus, again := Corpus(t, film), Corpus(t, film)
		names := map[string]bool{}
		for i, m := range corpus {
			if names[m.Name] {
				t.Errorf("%s: two members of this name", m.Name)
			}
			names[m.Name] = true
			if !reflect.DeepEqual(m, again[i]) {
				t.Errorf("%s: differs the second time", m.Name)
			}
			if m.Want != Whole && reflect.DeepEqual(m.Format, film.Format) && reflect.DeepEqual(m.NALUs, film.Keys()[0]) {
				t.Errorf("%s: is the film's own keyframe", m.Name)
			}
		}
		if size(film.Keys()[0]) != kept || len(corpus) < 200 {
			t.Errorf("%s: %d members", codec, len(corpus))
		}
	}
}
