//go:build cgo

package decode

import (
	"fmt"
	"strconv"

	"github.com/asticode/go-astiav"
)

// source is what a filter graph is built for.
type source struct {
	width, height int
	format        astiav.PixelFormat
}

// scaler is a filter graph: buffer, scale, format, sink.
type scaler struct {
	source
	width, height int // of the small picture
	graph         *astiav.FilterGraph
	in, out       *astiav.FilterContext
}

func newScaler(src source, w, h int) (*scaler, error) {
	if w <= 0 || h <= 0 || w%2 != 0 || h%2 != 0 {
		return nil, fmt.Errorf("small picture of %dx%d: want even sizes", w, h)
	}
	s := &scaler{source: src, width: w, height: h, graph: astiav.AllocFilterGraph()}
	if s.graph == nil {
		return nil, fmt.Errorf("FFmpeg: out of memory")
	}
	if err := s.build(); err != nil {
		s.free()
		return nil, fmt.Errorf("scale %dx%d %s to %dx%d: %w", src.width, src.height, src.format, w, h, err)
	}
	return s, nil
}

func (s *scaler) build() error {
	var err error
	s.in, err = s.graph.NewFilterContext(astiav.FindFilterByName("buffer"), "in", astiav.FilterArgs{
		"video_size": fmt.Sprintf("%dx%d", s.source.width, s.source.height),
		"pix_fmt":    strconv.Itoa(int(s.format)),
		"time_base":  "1/1000",
	})
	if err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	if s.out, err = s.graph.NewFilterContext(astiav.FindFilterByName("buffersink"), "out", nil); err != nil {
		return fmt.Errorf("buffersink: %w", err)
	}
	outputs, inputs := astiav.AllocFilterInOut(), astiav.AllocFilterInOut()
	defer func() { outputs.Free(); inputs.Free() }()
	outputs.SetName("in")
	outputs.SetFilterContext(s.in)
	outputs.SetPadIdx(0)
	outputs.SetNext(nil)
	inputs.SetName("out")
	inputs.SetFilterContext(s.out)
	inputs.SetPadIdx(0)
	inputs.SetNext(nil)
	// Area averaging: every pixel of the camera counts, noise goes down with the size; and it is the
	// scaler without run-time generated code, for which the drop leaves no right.
	content := fmt.Sprintf("[in]scale=%d:%d:flags=area,format=yuv420p[out]", s.width, s.height)
	if err := s.graph.Parse(content, inputs, outputs); err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	if err := s.graph.Configure(); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	return nil
}

// scale sends one frame through the graph. in keeps its reference.
func (s *scaler) scale(in, out *astiav.Frame) error {
	if err := s.in.BuffersrcAddFrame(in, astiav.NewBuffersrcFlags(astiav.BuffersrcFlagKeepRef)); err != nil {
		return fmt.Errorf("feed the scaler: %w", err)
	}
	out.Unref()
	if err := s.out.BuffersinkGetFrame(out, astiav.NewBuffersinkFlags()); err != nil {
		return fmt.Errorf("scale: %w", err)
	}
	if out.Width() != s.width || out.Height() != s.height || out.PixelFormat() != astiav.PixelFormatYuv420P {
		got := fmt.Sprintf("%dx%d %s", out.Width(), out.Height(), out.PixelFormat())
		out.Unref()
		return fmt.Errorf("the scaler gave %s instead of %dx%d yuv420p", got, s.width, s.height)
	}
	return nil
}

// free frees the graph and with it its filters.
func (s *scaler) free() { s.graph.Free() }
