package world

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/segment"
	"klarsyn/retention/fsck"
)

// The stream of every camera: H.264, two pictures a second, a fragment each second.
const (
	sps   = "6764000aacd942847e5c0440000003004000000503c4896580"
	pps   = "68eae084b22c"
	frame = 500 * time.Millisecond
)

// Take is what a camera shows from a time on: so many seconds, with so many bytes in each. What it shows follows from camera,
// time and size alone, so that whoever reads a clip can tell whether each byte is the one that was recorded.
type Take struct {
	Camera  camera.ID
	Start   time.Time
	Seconds int
	Bytes   int // of each second, about
	// Cut leaves the clip open after its last whole fragment, as a recorder does that dies.
	Cut bool
}

// record takes footage into a vault. onFrame is told the time of each picture before it comes.
func (t Take) record(ctx context.Context, v camera.Vault, onFrame func(time.Time) error) error {
	format, err := streamFormat()
	if err != nil {
		return err
	}
	seed := sha256.Sum256(fmt.Appendf(nil, "%s %d", t.Camera, t.Start.UnixMicro()))
	noise := rand.NewChaCha8(seed)
	r := segment.NewRecorder(segment.Config{Camera: t.Camera, Vault: v, Clip: time.Hour})
	pictures := t.Seconds * int(time.Second/frame)
	for n := range pictures + 1 {
		at := t.Start.Add(time.Duration(n) * frame)
		if err := onFrame(at); err != nil {
			return err
		}
		if n == pictures {
			break
		}
		payload := make([]byte, max(8, t.Bytes/int(time.Second/frame)))
		_, _ = noise.Read(payload) // it cannot fail
		slice := append([]byte{0x41}, payload...)
		if n == 0 {
			slice[0] = 0x65
		}
		// A supplemental message with the canary, as simulated cameras have it in every picture.
		sei := append([]byte{0x06, 0x05, byte(16 + len(fsck.Canary))}, append(bytes.Repeat([]byte{0x4b}, 16), fsck.Canary...)...)
		au := camera.AccessUnit{
			DTS: time.Duration(n) * frame, PTS: time.Duration(n) * frame, Time: at, Keyframe: n == 0, NALUs: [][]byte{sei, slice},
		}
		if err := r.Record(ctx, format, au); err != nil {
			return err
		}
	}
	if t.Cut {
		return nil
	}
	return r.Interrupt(ctx, camera.Gap{Camera: t.Camera, From: t.End(), Cause: camera.CameraDown, Detail: "the take is over"})
}

// End is when the take is over.
func (t Take) End() time.Time { return t.Start.Add(time.Duration(t.Seconds) * time.Second) }

func streamFormat() (camera.Format, error) {
	f := camera.Format{Codec: camera.H264}
	var err error
	if f.SPS, err = hex.DecodeString(sps); err == nil {
		f.PPS, err = hex.DecodeString(pps)
	}
	return f, err
}

// Plain is what the take is in the clear, fragment by fragment: the file's header belongs to the first.
func (t Take) Plain() ([][]byte, error) {
	t.Cut = false
	var v plainVault
	err := t.record(context.Background(), &v, func(time.Time) error { return nil })
	return v.fragments, err
}

// plainVault keeps what others seal.
type plainVault struct{ fragments [][]byte }

func (v *plainVault) Begin(context.Context, camera.Opening) (camera.Recording, error) { return v, nil }
func (v *plainVault) Interrupt(context.Context, camera.Gap) error                     { return nil }
func (v *plainVault) Covered(context.Context, camera.ID) (time.Time, error)           { return time.Time{}, nil }
func (v *plainVault) Close(context.Context, camera.Closing) error                     { return nil }

func (v *plainVault) Write(_ context.Context, fragment []byte, _ camera.Closing) error {
	v.fragments = append(v.fragments, bytes.Clone(fragment))
	return nil
}
