package camera_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"klarsyn/camera"
	"klarsyn/camera/coded"
	"klarsyn/camera/decode/hostile"
)

// formats are those of two cameras, which send 160x120.
func formats(t testing.TB) (h264, h265 camera.Format) {
	t.Helper()
	for name, f := range map[string]*camera.Format{"plain.mp4": &h264, "hevc.mp4": &h265} {
		track, err := coded.LoadMP4("rtsp/sim/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		*f = track.Format
	}
	return h264, h265
}

// with is a format with other values in its sequence parameter set.
func with(t testing.TB, f camera.Format, set map[string]uint64) camera.Format {
	t.Helper()
	change := hostile.SPS264
	if f.Codec == camera.H265 {
		change = hostile.SPS265
	}
	sps, err := change(f.SPS, set)
	if err != nil {
		t.Fatal(err)
	}
	f.SPS = sps
	return f
}

// set264 and set265 are fields of a camera of this size in coding units, with what is cut off.
func set264(w, h, left, right, top, bottom uint64, more map[string]uint64) map[string]uint64 {
	set := map[string]uint64{"pic_width_in_mbs_minus1": w/16 - 1, "pic_height_in_map_units_minus1": h/16 - 1, "frame_cropping_flag": 1,
		"frame_crop_left_offset": left, "frame_crop_right_offset": right, "frame_crop_top_offset": top, "frame_crop_bottom_offset": bottom}
	for k, v := range more {
		set[k] = v
	}
	return set
}

func set265(w, h, left, right, top, bottom uint64, more map[string]uint64) map[string]uint64 {
	set := map[string]uint64{"pic_width_in_luma_samples": w, "pic_height_in_luma_samples": h, "conformance_window_flag": 1,
		"conf_win_left_offset": left, "conf_win_right_offset": right, "conf_win_top_offset": top, "conf_win_bottom_offset": bottom}
	for k, v := range more {
		set[k] = v
	}
	return set
}

func TestFormatSize(t *testing.T) {
	a, b := formats(t)
	high := func(chroma uint64, more ...uint64) map[string]uint64 {
		set := map[string]uint64{"profile_idc": 244, "chroma_format_idc": chroma}
		for _, apart := range more {
			set["separate_colour_plane_flag"] = apart
		}
		return set
	}
	for name, tt := range map[string]struct {
		f    camera.Format
		w, h int
	}{
		"as it came, H.264":           {a, 160, 120},
		"as it came, H.265":           {b, 160, 120},
		"1080 of 1088 rows":           {with(t, a, set264(1920, 1088, 0, 0, 0, 4, nil)), 1920, 1080},
		"cut on all sides":            {with(t, a, set264(640, 480, 1, 2, 3, 4, nil)), 634, 466},
		"4:2:2":                       {with(t, a, set264(640, 480, 1, 2, 3, 4, high(2))), 634, 473},
		"4:4:4":                       {with(t, a, set264(640, 480, 1, 2, 3, 4, high(3, 0))), 637, 473},
		"4:4:4, planes apart":         {with(t, a, set264(640, 480, 1, 2, 3, 4, high(3, 1))), 637, 473},
		"without colour":              {with(t, a, set264(640, 480, 1, 2, 3, 4, high(0))), 637, 473},
		"fields":                      {with(t, a, set264(1920, 544, 0, 0, 0, 2, map[string]uint64{"frame_mbs_only_flag": 0})), 1920, 1080},
		"H.265, 1080 of 1088 rows":    {with(t, b, set265(1920, 1088, 0, 0, 0, 4, nil)), 1920, 1080},
		"H.265, cut on all sides":     {with(t, b, set265(640, 480, 1, 2, 3, 4, nil)), 634, 466},
		"H.265, 4:2:2":                {with(t, b, set265(640, 480, 1, 2, 3, 4, map[string]uint64{"chroma_format_idc": 2})), 634, 473},
		"H.265, 4:4:4, planes apart":  {with(t, b, set265(640, 480, 1, 2, 3, 4, map[string]uint64{"chroma_format_idc": 3, "separate_colour_plane_flag": 1})), 637, 473},
		"H.265, without colour":       {with(t, b, set265(640, 480, 1, 2, 3, 4, map[string]uint64{"chroma_format_idc": 0})), 637, 473},
		"the largest that there is":   {with(t, b, set265(16888, 16888, 0, 0, 0, 0, nil)), 16888, 16888},
		"H.264, one column is left":   {with(t, a, set264(16, 16, 0, 7, 0, 7, nil)), 2, 2},
		"H.264, nothing is cut away":  {with(t, a, set264(16, 16, 0, 0, 0, 0, nil)), 16, 16},
		"H.265, not of whole eights":  {with(t, b, set265(638, 478, 0, 0, 0, 0, nil)), 638, 478},
		"H.265, as large as a camera": {with(t, b, set265(4096, 2304, 0, 0, 0, 72, nil)), 4096, 2160},
	} {
		if w, h, err := tt.f.Size(); err != nil || w != tt.w || h != tt.h {
			t.Errorf("%s: %dx%d, %v; want %dx%d", name, w, h, err, tt.w, tt.h)
		}
	}
}

func TestFormatSizeRefuses(t *testing.T) {
	a, b := formats(t)
	cut := func(f camera.Format, n int) camera.Format {
		f.SPS = f.SPS[:n]
		return f
	}
	for name, tt := range map[string]struct {
		f    camera.Format
		want string
	}{
		"no codec":                 {camera.Format{SPS: a.SPS}, `codec "": want h264 or h265`},
		"none yet":                 {camera.Format{Codec: camera.H265}, "no sequence parameter set yet"},
		"of the other codec":       {camera.Format{Codec: camera.H265, SPS: a.SPS}, "h265 sequence parameter set cannot be read"},
		"another set":              {camera.Format{Codec: camera.H264, SPS: a.PPS}, "cannot be read"},
		"cut off":                  {cut(a, 4), "cannot be read"},
		"H.265, cut off":           {cut(b, 9), "cannot be read"},
		"all is cut away":          {with(t, a, set264(640, 480, 160, 160, 0, 0, nil)), "says 0x480 of 640x480"},
		"more than there is":       {with(t, a, set264(640, 480, 0, 0, 0, 300, nil)), "says 640x-120"},
		"more than a number holds": {with(t, a, set264(640, 480, 1<<31, 1<<31, 0, 0, nil)), "of 640x480"},
		"a chroma format":          {with(t, a, set264(640, 480, 0, 0, 0, 0, map[string]uint64{"profile_idc": 244, "chroma_format_idc": 4})), "chroma format 4"},
		"too wide":                 {with(t, a, set264(1<<20, 480, 0, 0, 0, 0, nil)), "at most 16888 a side"},
		"cut to a size":            {with(t, a, set264(1<<20, 480, 0, 1<<19-320, 0, 0, nil)), "at most 16888 a side"},
		"wraps":                    {with(t, a, set264(1<<32, 480, 0, 0, 0, 0, nil)), "at most 16888 a side"},
		"H.265, nothing":           {with(t, b, set265(0, 0, 0, 0, 0, 0, nil)), "says 0x0"},
		"H.265, a chroma format":   {with(t, b, set265(640, 480, 0, 0, 0, 0, map[string]uint64{"chroma_format_idc": 4})), "cannot be read"},
		"H.265, wraps":             {with(t, b, set265(640, 480, 1<<31, 1<<31, 0, 0, nil)), "of 640x480"},
	} {
		w, h, err := tt.f.Size()
		if !errors.Is(err, camera.ErrNoSize) || !strings.Contains(err.Error(), tt.want) || w != 0 || h != 0 {
			t.Errorf("%s: %dx%d, %v; want %q", name, w, h, err, tt.want)
		}
	}
}

// Whatever a camera sends, there is a size that makes sense or an error, and the set is as it was.
func FuzzFormatSize(f *testing.F) {
	a, b := formats(f)
	for _, s := range []camera.Format{a, with(f, a, set264(1920, 1088, 1, 2, 3, 4, nil)), with(f, a, set264(1<<32, 1<<32, 1<<32-2, 1<<32-2, 0, 0, nil))} {
		f.Add(true, s.SPS)
	}
	for _, s := range []camera.Format{b, with(f, b, set265(1920, 1088, 1, 2, 3, 4, nil)), with(f, b, map[string]uint64{"num_short_term_ref_pic_sets": 64}),
		with(f, b, map[string]uint64{"sps_max_sub_layers_minus1": 6})} {
		f.Add(false, s.SPS)
	}
	f.Add(true, []byte{})
	f.Fuzz(func(t *testing.T, old bool, sps []byte) {
		set := camera.Format{Codec: camera.H265, SPS: sps}
		if old {
			set.Codec = camera.H264
		}
		was := slices.Clone(sps)
		w, h, err := set.Size()
		if err == nil && (w < 1 || h < 1 || w > 16888 || h > 16888) || err != nil && !errors.Is(err, camera.ErrNoSize) {
			t.Fatalf("%dx%d, %v", w, h, err)
		}
		if !slices.Equal(was, sps) {
			t.Fatal("the set was changed")
		}
	})
}
