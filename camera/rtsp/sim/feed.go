package sim

import (
	"context"

	"klarsyn/camera"
	"klarsyn/camera/coded"
)

// Feed hands out the frames of an endless camera as they become available, so that serving can start
// before a whole loop is encoded. A camera calls it from one goroutine, with n counting up from 0 for
// ever; the feed loops by itself.
type Feed interface {
	// Format may wait until the parameter sets are known.
	Format(ctx context.Context) (camera.Format, error)
	Frame(ctx context.Context, n int) (coded.Frame, error)
}

// Loop is a camera that shows a track again and again. The track must be valid and must not change any more.
func Loop(t *coded.Track) Feed { return loop{t} }

type loop struct{ track *coded.Track }

func (l loop) Format(context.Context) (camera.Format, error) {
	return l.track.Format, l.track.Validate()
}

func (l loop) Frame(_ context.Context, n int) (coded.Frame, error) {
	return l.track.Frames[n%len(l.track.Frames)], nil
}
