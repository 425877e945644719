package hostile

import "errors"

// high is true for the profiles of H.264 whose parameter sets tell the chroma format.
func high(profile uint64) bool {
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		return true
	}
	return false
}

func is(want uint64) func(uint64) bool { return func(v uint64) bool { return v == want } }

// SPS264 is a sequence parameter set of H.264 with other values for some of its fields, which are named as in the
// standard (7.3.2.1.1).
func SPS264(sps []byte, set map[string]uint64) ([]byte, error) {
	r := newRewrite(sps[1:], set)
	profile := r.u("profile_idc", 8)
	r.u("constraint_flags", 8)
	r.u("level_idc", 8)
	r.ue("seq_parameter_set_id")
	was, now := profile.both(high)
	lists := value{}
	r.when(was, now, func() {
		chroma := r.ue("chroma_format_idc")
		was, now := chroma.both(is(3))
		r.when(was, now, func() { r.u("separate_colour_plane_flag", 1) })
		r.ue("bit_depth_luma_minus8")
		r.ue("bit_depth_chroma_minus8")
		r.u("qpprime_y_zero_transform_bypass_flag", 1)
		lists = r.u("seq_scaling_matrix_present_flag", 1)
	})
	if lists.was != 0 || lists.is != 0 {
		return nil, errors.New("scaling lists are not rewritten")
	}
	r.ue("log2_max_frame_num_minus4")
	order := r.ue("pic_order_cnt_type")
	was, now = order.both(is(0))
	r.when(was, now, func() { r.ue("log2_max_pic_order_cnt_lsb_minus4") })
	was, now = order.both(is(1))
	r.when(was, now, func() {
		r.u("delta_pic_order_always_zero_flag", 1)
		r.ue("offset_for_non_ref_pic")
		r.ue("offset_for_top_to_bottom_field")
		r.ue("num_ref_frames_in_pic_order_cnt_cycle") // with a number here the list itself is what follows
	})
	r.ue("max_num_ref_frames")
	r.u("gaps_in_frame_num_value_allowed_flag", 1)
	r.ue("pic_width_in_mbs_minus1")
	r.ue("pic_height_in_map_units_minus1")
	was, now = r.u("frame_mbs_only_flag", 1).both(is(0))
	r.when(was, now, func() { r.u("mb_adaptive_frame_field_flag", 1) })
	r.u("direct_8x8_inference_flag", 1)
	was, now = r.u("frame_cropping_flag", 1).both(flag)
	r.when(was, now, func() {
		for _, name := range []string{"left", "right", "top", "bottom"} {
			r.ue("frame_crop_" + name + "_offset")
		}
	})
	was, now = r.u("vui_parameters_present_flag", 1).both(flag)
	r.when(was, now, r.vui264)
	return r.finish(sps[:1])
}

func (r *rewrite) vui264() {
	r.picture()
	was, now := r.u("timing_info_present_flag", 1).both(flag)
	r.when(was, now, func() {
		r.u("num_units_in_tick", 32)
		r.u("time_scale", 32)
		r.u("fixed_frame_rate_flag", 1)
	})
	r.u("nal_hrd_parameters_present_flag", 1) // x264 writes none unless asked to
	r.u("vcl_hrd_parameters_present_flag", 1)
	r.u("pic_struct_present_flag", 1)
	was, now = r.u("bitstream_restriction_flag", 1).both(flag)
	r.when(was, now, func() {
		r.u("motion_vectors_over_pic_boundaries_flag", 1)
		for _, name := range []string{"max_bytes_per_pic_denom", "max_bits_per_mb_denom", "log2_max_mv_length_horizontal",
			"log2_max_mv_length_vertical", "max_num_reorder_frames", "max_dec_frame_buffering"} {
			r.ue(name)
		}
	})
}

// picture is the part of the usability information that both codecs begin with.
func (r *rewrite) picture() {
	was, now := r.u("aspect_ratio_info_present_flag", 1).both(flag)
	r.when(was, now, func() {
		was, now := r.u("aspect_ratio_idc", 8).both(is(255))
		r.when(was, now, func() { r.u("sar_width", 16); r.u("sar_height", 16) })
	})
	was, now = r.u("overscan_info_present_flag", 1).both(flag)
	r.when(was, now, func() { r.u("overscan_appropriate_flag", 1) })
	was, now = r.u("video_signal_type_present_flag", 1).both(flag)
	r.when(was, now, func() {
		r.u("video_format", 3)
		r.u("video_full_range_flag", 1)
		was, now := r.u("colour_description_present_flag", 1).both(flag)
		r.when(was, now, func() { r.u("colours", 24) })
	})
	was, now = r.u("chroma_loc_info_present_flag", 1).both(flag)
	r.when(was, now, func() {
		r.ue("chroma_sample_loc_type_top_field")
		r.ue("chroma_sample_loc_type_bottom_field")
	})
}

// SPS265 is the same for H.265 (7.3.2.2.1), as far as the values that it can change: what follows them is copied.
func SPS265(sps []byte, set map[string]uint64) ([]byte, error) {
	r := newRewrite(sps[2:], set)
	r.u("sps_video_parameter_set_id", 4)
	layers := r.u("sps_max_sub_layers_minus1", 3)
	if layers.was != 0 {
		return nil, errors.New("sub-layers are not taken away")
	}
	r.u("sps_temporal_id_nesting_flag", 1)
	r.u("general_profile_space_tier_and_idc", 8)
	r.u("general_profile_compatibility_flags", 32)
	r.u("general_constraint_flags", 48)
	r.u("general_level_idc", 8)
	r.when(false, layers.is != 0, func() {
		told := r.u("sub_layers_told", 16).is // of each layer: its profile, its level
		for ; layers.is > 0; layers.is-- {
			if told>>15&1 != 0 {
				r.u("sub_layer_profile_space_tier_and_idc", 8)
				r.u("sub_layer_profile_compatibility_flags", 32)
				r.u("sub_layer_constraint_flags", 48)
			}
			if told>>14&1 != 0 {
				r.u("sub_layer_level_idc", 8)
			}
			told <<= 2
		}
	})
	r.ue("sps_seq_parameter_set_id")
	was, now := r.ue("chroma_format_idc").both(is(3))
	r.when(was, now, func() { r.u("separate_colour_plane_flag", 1) })
	r.ue("pic_width_in_luma_samples")
	r.ue("pic_height_in_luma_samples")
	was, now = r.u("conformance_window_flag", 1).both(flag)
	r.when(was, now, func() {
		for _, name := range []string{"left", "right", "top", "bottom"} {
			r.ue("conf_win_" + name + "_offset")
		}
	})
	r.ue("bit_depth_luma_minus8")
	r.ue("bit_depth_chroma_minus8")
	r.ue("log2_max_pic_order_cnt_lsb_minus4")
	r.u("sps_sub_layer_ordering_info_present_flag", 1)
	r.ue("sps_max_dec_pic_buffering_minus1")
	r.ue("sps_max_num_reorder_pics")
	r.ue("sps_max_latency_increase_plus1")
	for _, name := range []string{"log2_min_luma_coding_block_size_minus3", "log2_diff_max_min_luma_coding_block_size",
		"log2_min_luma_transform_block_size_minus2", "log2_diff_max_min_luma_transform_block_size",
		"max_transform_hierarchy_depth_inter", "max_transform_hierarchy_depth_intra"} {
		r.ue(name)
	}
	was, now = r.u("scaling_list_enabled_flag", 1).both(flag)
	r.when(was, now, func() { r.u("sps_scaling_list_data_present_flag", 1) })
	r.u("amp_enabled_flag", 1)
	r.u("sample_adaptive_offset_enabled_flag", 1)
	was, now = r.u("pcm_enabled_flag", 1).both(flag)
	r.when(was, now, func() {
		r.u("pcm_sample_bit_depths_minus1", 8)
		r.ue("log2_min_pcm_luma_coding_block_size_minus3")
		r.ue("log2_diff_max_min_pcm_luma_coding_block_size")
		r.u("pcm_loop_filter_disabled_flag", 1)
	})
	r.ue("num_short_term_ref_pic_sets")
	return r.finish(sps[:2])
}
