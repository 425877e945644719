//go:build cgo

package decode

import (
	"testing"

	"pgregory.net/rapid"

	"klarsyn/camera"
	"klarsyn/camera/decode/hostile"
)

// The size is found in every parameter set of H.265, whatever comes before it, emulation prevention included.
func TestSizeOfH265(t *testing.T) {
	sps := hostile.Code(t, camera.H265, "320x240").Format.SPS
	if w, h, ok := size265(sps); w != 320 || h != 240 || !ok {
		t.Errorf("x265 made %dx%d, %v", w, h, ok)
	}
	rapid.Check(t, func(t *rapid.T) {
		want := [2]uint64{rapid.Uint64Range(0, 1<<32-2).Draw(t, "width"), rapid.Uint64Range(0, 1<<32-2).Draw(t, "height")}
		set := map[string]uint64{
			"pic_width_in_luma_samples": want[0], "pic_height_in_luma_samples": want[1],
			"sps_max_sub_layers_minus1": rapid.Uint64Range(1, 7).Draw(t, "layers"),
			// Zeros bring emulation prevention into what is read.
			"general_constraint_flags": rapid.SampledFrom([]uint64{0, 1, 1<<48 - 1}).Draw(t, "constraints"),
			"sps_seq_parameter_set_id": rapid.Uint64Range(0, 15).Draw(t, "id"),
			"chroma_format_idc":        rapid.Uint64Range(0, 3).Draw(t, "chroma"),
		}
		set["sub_layers_told"] = rapid.Uint64Range(0, 1<<16-1).Draw(t, "told")
		sps, err := hostile.SPS265(sps, set)
		if err != nil {
			t.Fatal(err)
		}
		if w, h, ok := size265(sps); w != want[0] || h != want[1] || !ok {
			t.Fatalf("got %dx%d, %v; want %dx%d", w, h, ok, want[0], want[1])
		}
		for n := range 18 { // the shortest takes 140 bits
			if w, h, ok := size265(sps[:n]); ok {
				t.Fatalf("%d bytes are enough for %dx%d", n, w, h)
			}
		}
	})
}
