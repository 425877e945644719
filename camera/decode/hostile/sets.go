package hostile

import (
	"bytes"
	"fmt"

	"klarsyn/camera"
)

// fields are values for fields of a parameter set.
type fields map[string]uint64

// rewritten is a name for a parameter set with other values.
type rewritten struct {
	name string
	want Want
	set  fields
}

// crop is the fields of a frame cropping or, in H.265, of a conformance window.
func crop(codec camera.Codec, left, right, top, bottom uint64) fields {
	if codec == camera.H265 {
		return fields{"conformance_window_flag": 1, "conf_win_left_offset": left, "conf_win_right_offset": right,
			"conf_win_top_offset": top, "conf_win_bottom_offset": bottom}
	}
	return fields{"frame_cropping_flag": 1, "frame_crop_left_offset": left, "frame_crop_right_offset": right,
		"frame_crop_top_offset": top, "frame_crop_bottom_offset": bottom}
}

// crops are cut from a picture of 320x240; an offset is two pixels.
func crops(codec camera.Codec) []rewritten {
	return []rewritten{
		{"crop/odd", Whole, crop(codec, 1, 2, 3, 1)},
		{"crop/to 2x2", Any, crop(codec, 159, 0, 119, 0)},
		{"crop/to nothing", Any, crop(codec, 80, 80, 60, 60)},
		{"crop/larger than the picture", Any, crop(codec, 100, 100, 0, 0)},
		{"crop/negative", Any, crop(codec, 0, 1<<32-2, 0, 1<<32-2)},
		{"crop/overflowing", Any, crop(codec, 1<<31, 1<<31, 1<<31, 1<<31)},
	}
}

// sps264 are the sequence parameter sets of H.264.
func sps264() []rewritten {
	mbs := func(w, h uint64) fields {
		return fields{"pic_width_in_mbs_minus1": w - 1, "pic_height_in_map_units_minus1": h - 1}
	}
	format := func(chroma, luma, depth uint64) fields {
		return fields{"profile_idc": 244, "chroma_format_idc": chroma, "bit_depth_luma_minus8": luma, "bit_depth_chroma_minus8": depth}
	}
	vui := func(set fields) fields { set["vui_parameters_present_flag"] = 1; return set }
	return append(crops(camera.H264), []rewritten{
		{"size/7680x4320", Refused, mbs(480, 270)},
		{"size/16384x16384", Refused, mbs(1024, 1024)},
		{"size/one row above 4096x2304", Refused, mbs(256, 145)},
		{"size/4096x2304", Refused, mbs(256, 144)}, // the slices fill a corner of it
		{"size/589824x16", Refused, mbs(36864, 1)},
		{"size/16x589824", Refused, mbs(1, 36864)},
		{"size/2^31 wide", Refused, mbs(1<<27, 1)},
		{"size/2^32 wide and high", Refused, mbs(1<<32-1, 1<<32-1)},
		{"size/16x16", Any, mbs(1, 1)},
		{"size/twice as wide", Refused, mbs(40, 15)},
		{"size/one row more", Refused, mbs(20, 16)},
		{"size/one row less", Any, mbs(20, 14)},
		{"format/monochrome", Any, format(0, 0, 0)},
		{"format/4:2:2", Any, format(2, 0, 0)},
		{"format/4:4:4", Any, format(3, 0, 0)},
		{"format/4:4:4 in separate planes", Refused, fields{"profile_idc": 244, "chroma_format_idc": 3, "separate_colour_plane_flag": 1}},
		{"format/chroma 4", Refused, format(4, 0, 0)},
		{"format/10 bit", Any, format(1, 2, 2)},
		{"format/14 bit", Any, format(1, 6, 6)},
		{"format/8 and 10 bit", Refused, format(1, 0, 2)},
		{"format/24 bit", Refused, format(1, 16, 16)},
		{"format/lossless", Any, fields{"profile_idc": 244, "chroma_format_idc": 1, "qpprime_y_zero_transform_bypass_flag": 1}},
		{"format/profile 255", Any, fields{"profile_idc": 255}},
		{"interlaced/fields", Any, fields{"frame_mbs_only_flag": 0, "pic_height_in_map_units_minus1": 7}},
		{"interlaced/MBAFF", Any, fields{"frame_mbs_only_flag": 0, "mb_adaptive_frame_field_flag": 1, "pic_height_in_map_units_minus1": 7}},
		{"references/16", Any, fields{"max_num_ref_frames": 16}},
		{"references/17", Any, fields{"max_num_ref_frames": 17}},
		{"references/2^32", Any, fields{"max_num_ref_frames": 1<<32 - 2}},
		{"references/gaps", Any, fields{"gaps_in_frame_num_value_allowed_flag": 1, "max_num_ref_frames": 16}},
		{"order/frame numbers of 17 bits", Any, fields{"log2_max_frame_num_minus4": 13}},
		{"order/type 1", Any, fields{"pic_order_cnt_type": 1}},
		{"order/type 0", Any, fields{"pic_order_cnt_type": 0}},
		{"order/type 3", Refused, fields{"pic_order_cnt_type": 3}},
		{"id/31", Refused, fields{"seq_parameter_set_id": 31}}, // the PPS names another
		{"id/32", Refused, fields{"seq_parameter_set_id": 32}},
		{"usability/no time", Whole, vui(fields{"timing_info_present_flag": 1, "num_units_in_tick": 0, "time_scale": 0})},
		{"usability/all time", Whole, vui(fields{"timing_info_present_flag": 1, "num_units_in_tick": 1<<32 - 1, "time_scale": 1<<32 - 1})},
		{"usability/16 to reorder", Whole, vui(fields{"bitstream_restriction_flag": 1, "max_num_reorder_frames": 16, "max_dec_frame_buffering": 16})},
		{"usability/2^31 to reorder", Any, vui(fields{"bitstream_restriction_flag": 1, "max_num_reorder_frames": 1 << 31, "max_dec_frame_buffering": 0})},
		{"usability/no aspect", Any, vui(fields{"aspect_ratio_info_present_flag": 1, "aspect_ratio_idc": 255, "sar_width": 0, "sar_height": 65535})},
		{"usability/colours unheard of", Any, vui(fields{"video_signal_type_present_flag": 1, "video_format": 7, "colour_description_present_flag": 1, "colours": 0xffffff})},
		{"usability/HRD of what follows", Any, vui(fields{"nal_hrd_parameters_present_flag": 1})},
	}...)
}

// sps265 are those of H.265.
func sps265() []rewritten {
	px := func(w, h uint64) fields {
		return fields{"pic_width_in_luma_samples": w, "pic_height_in_luma_samples": h}
	}
	format := func(chroma, luma, depth uint64) fields {
		return fields{"chroma_format_idc": chroma, "bit_depth_luma_minus8": luma, "bit_depth_chroma_minus8": depth}
	}
	return append(crops(camera.H265), []rewritten{
		{"size/7680x4320", Refused, px(7680, 4320)},
		{"size/16384x16384", Refused, px(16384, 16384)},
		{"size/one row above 4096x2304", Refused, px(4096, 2320)},
		{"size/4096x2304", Refused, px(4096, 2304)},
		{"size/589824x16", Refused, px(589824, 16)},
		{"size/16x589824", Refused, px(16, 589824)},
		{"size/0x0", Refused, px(0, 0)},
		{"size/0x240", Refused, px(0, 240)},
		{"size/15984x15984", Refused, px(15984, 15984)}, // the largest that FFmpeg makes tables for
		{"size/odd", Refused, px(321, 241)},             // no whole number of coding blocks
		{"size/2^31 wide", Refused, px(1<<31, 16)},
		{"size/2^32 wide and high", Refused, px(1<<32-2, 1<<32-2)},
		{"size/16x16", Any, px(16, 16)},
		{"size/twice as wide", Refused, px(640, 240)},
		{"size/one row more", Refused, px(320, 256)},
		{"size/one row less", Any, px(320, 224)},
		{"format/monochrome", Any, format(0, 0, 0)},
		{"format/4:2:2", Any, format(2, 0, 0)},
		{"format/4:4:4", Any, format(3, 0, 0)},
		{"format/4:4:4 in separate planes", Any, fields{"chroma_format_idc": 3, "separate_colour_plane_flag": 1}},
		{"format/chroma 4", Refused, format(4, 0, 0)},
		{"format/10 bit", Any, format(1, 2, 2)},
		{"format/16 bit", Refused, format(1, 8, 8)},
		{"format/8 and 10 bit", Refused, format(1, 0, 2)},
		{"format/profile 31", Any, fields{"general_profile_space_tier_and_idc": 255}},
		{"references/16", Any, fields{"sps_max_dec_pic_buffering_minus1": 15, "sps_max_num_reorder_pics": 15}},
		{"references/17", Any, fields{"sps_max_dec_pic_buffering_minus1": 16, "sps_max_num_reorder_pics": 16}},
		{"references/2^32", Any, fields{"sps_max_dec_pic_buffering_minus1": 1<<32 - 2}},
		{"references/65 sets", Refused, fields{"num_short_term_ref_pic_sets": 65}},
		{"order/16 bits", Any, fields{"log2_max_pic_order_cnt_lsb_minus4": 12}},
		{"order/17 bits", Refused, fields{"log2_max_pic_order_cnt_lsb_minus4": 13}},
		{"blocks/of 128", Refused, fields{"log2_diff_max_min_luma_coding_block_size": 4}},
		{"blocks/of 2^40", Refused, fields{"log2_min_luma_coding_block_size_minus3": 37}},
		{"blocks/transformed by 2^33", Refused, fields{"log2_min_luma_transform_block_size_minus2": 31}},
		{"blocks/raw", Any, fields{"pcm_enabled_flag": 1, "pcm_sample_bit_depths_minus1": 0xff}},
		{"layers/7", Any, fields{"sps_max_sub_layers_minus1": 6}},
		{"layers/8 that are told of", Any, fields{"sps_max_sub_layers_minus1": 7, "sub_layers_told": 0xffff}},
		{"id/15", Refused, fields{"sps_seq_parameter_set_id": 15}},
		{"id/16", Refused, fields{"sps_seq_parameter_set_id": 16}},
		{"id/no VPS", Any, fields{"sps_video_parameter_set_id": 15}},
	}...)
}

// PPS264 is a picture parameter set of H.264 (7.3.2.2) with other values for the fields that come before slice groups.
func PPS264(pps []byte, set map[string]uint64) ([]byte, error) {
	r := newRewrite(pps[1:], set)
	r.ue("pic_parameter_set_id")
	r.ue("seq_parameter_set_id")
	r.u("entropy_coding_mode_flag", 1)
	r.u("bottom_field_pic_order_in_frame_present_flag", 1)
	r.ue("num_slice_groups_minus1")
	r.ue("num_ref_idx_l0_default_active_minus1")
	r.ue("num_ref_idx_l1_default_active_minus1")
	return r.finish(pps[:1])
}

func pps264() []rewritten {
	return []rewritten{
		{"pps/slice groups", Refused, fields{"num_slice_groups_minus1": 1}},
		{"pps/2^32 slice groups", Any, fields{"num_slice_groups_minus1": 1<<32 - 2}},
		{"pps/other entropy coding", Refused, fields{"entropy_coding_mode_flag": 1}},
		{"pps/id 255", Refused, fields{"pic_parameter_set_id": 255}},
		{"pps/id 256", Refused, fields{"pic_parameter_set_id": 256}},
		{"pps/of a set that is not there", Refused, fields{"seq_parameter_set_id": 7}},
		{"pps/of set 32", Refused, fields{"seq_parameter_set_id": 32}},
		{"pps/32 references", Any, fields{"num_ref_idx_l0_default_active_minus1": 31, "num_ref_idx_l1_default_active_minus1": 31}},
		{"pps/2^32 references", Any, fields{"num_ref_idx_l0_default_active_minus1": 1<<32 - 2}},
	}
}

// sets are the members whose parameter sets are not the film's.
func (c *corpus) sets() error {
	f := c.film.Format
	odd := func(name string, want Want, change func(*camera.Format)) {
		other := f
		change(&other)
		c.members = append(c.members, Member{"sets/" + name, want, other, c.key})
	}
	list, rewrite := sps264(), SPS264
	if f.Codec == camera.H265 {
		list, rewrite = sps265(), SPS265
	}
	for _, r := range list {
		sps, err := rewrite(f.SPS, r.set)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		odd(r.name, r.want, func(o *camera.Format) { o.SPS = sps })
	}
	if f.Codec == camera.H264 {
		for _, r := range pps264() {
			pps, err := PPS264(f.PPS, r.set)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			odd(r.name, r.want, func(o *camera.Format) { o.PPS = pps })
		}
	}
	head := 1 + len(f.VPS)/max(1, len(f.VPS)) // two bytes in H.265
	odd("none", Refused, func(o *camera.Format) { o.VPS, o.SPS, o.PPS = nil, nil, nil })
	odd("empty", Refused, func(o *camera.Format) { o.SPS, o.PPS = f.SPS[:head], f.PPS[:head] })
	odd("zeros", Refused, func(o *camera.Format) { o.SPS = append(bytes.Clone(f.SPS[:head]), make([]byte, 4000)...) })
	odd("ones", Any, func(o *camera.Format) { o.SPS = append(bytes.Clone(f.SPS[:head]), bytes.Repeat([]byte{0xff}, 4000)...) })
	odd("swapped", Refused, func(o *camera.Format) { o.SPS, o.PPS = f.PPS, f.SPS })
	for n := head; n < len(f.SPS)-1; n += 3 {
		odd(fmt.Sprintf("sps cut after %d bytes", n), Any, func(o *camera.Format) { o.SPS = f.SPS[:n] })
	}
	for n := head; n < len(f.PPS); n++ {
		odd(fmt.Sprintf("pps cut after %d bytes", n), Any, func(o *camera.Format) { o.PPS = f.PPS[:n] })
	}
	for seed := range uint64(16) {
		odd(fmt.Sprintf("flipped %d", seed), Any, func(o *camera.Format) {
			flipped := Flip([][]byte{f.SPS, f.PPS}, 100, seed)
			o.SPS, o.PPS = flipped[0], flipped[1]
		})
	}
	// Sets in the picture itself: after its slices, and of two sizes in turn.
	large, err := rewrite(f.SPS, map[camera.Codec]fields{
		camera.H264: {"pic_width_in_mbs_minus1": 39}, camera.H265: {"pic_width_in_luma_samples": 640},
	}[f.Codec])
	if err != nil {
		return err
	}
	c.add(Any, append(c.before(), f.SPS, f.PPS), "sets/after the slices")
	c.add(Any, [][]byte{f.VPS, large, f.PPS, c.key[0], f.SPS, f.PPS, c.key[1], large, f.PPS, c.key[2], f.SPS, f.PPS, c.key[3]}, "sets/another size within the picture")
	return nil
}
