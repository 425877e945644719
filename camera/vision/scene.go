package vision

import (
	"context"
	"fmt"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/vision/wire"
)

// frameTimeout is how long the child may take to draw and encode one frame.
const frameTimeout = 30 * time.Second

// Encoded is one frame of a synthetic scene, without parameter sets.
type Encoded struct {
	NALUs    [][]byte
	Keyframe bool
}

// EncodeScene has klarsyn-vision draw and encode one loop of a scene and returns at its end. sceneJSON
// is a scene.Config. onFormat comes once, before the first onFrame; frames come in order, from 0, as
// they are ready. Both are called from this goroutine, and while they run the child waits.
func EncodeScene(ctx context.Context, path string, sceneJSON []byte, onFormat func(camera.Format), onFrame func(n int, e Encoded)) error {
	err := encodeScene(ctx, path, sceneJSON, onFormat, onFrame)
	if err != nil && ctx.Err() != nil {
		return ctx.Err() // the kill, not what it looked like
	}
	return err
}

func encodeScene(ctx context.Context, path string, sceneJSON []byte, onFormat func(camera.Format), onFrame func(n int, e Encoded)) error {
	path, err := FindBinary(path)
	if err != nil {
		return err
	}
	ch, err := start(path, wire.ModeScene, nil)
	if err != nil {
		return err
	}
	defer ch.stop()
	stop := context.AfterFunc(ctx, ch.kill)
	defer stop()
	if err := ch.greet(startTimeout); err != nil {
		return err
	}
	if err := ch.send(wire.Scene{JSON: sceneJSON}, frameTimeout); err != nil {
		return ch.because(err)
	}
	haveFormat := false
	for n := 0; ; {
		m, err := ch.receive(frameTimeout)
		if err != nil {
			return ch.because(err)
		}
		switch m := m.(type) {
		case wire.Format:
			if haveFormat {
				return ch.because(fmt.Errorf("a second format: %w", wire.ErrMalformed))
			}
			haveFormat = true
			onFormat(m.Format)
		case wire.Encoded:
			if !haveFormat || int(m.N) != n {
				return ch.because(fmt.Errorf("frame %d where %d is due: %w", m.N, n, wire.ErrMalformed))
			}
			onFrame(n, Encoded{NALUs: m.NALUs, Keyframe: m.Keyframe})
			n++
		case wire.Progress:
			if m.Done == m.Total {
				if int(m.Total) != n {
					return ch.because(fmt.Errorf("%d frames of %d: %w", n, m.Total, wire.ErrMalformed))
				}
				return nil
			}
		default:
			return ch.because(fmt.Errorf("%T among frames: %w", m, wire.ErrMalformed))
		}
	}
}
