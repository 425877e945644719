package retention

import (
	"crypto/sha256"
	"time"

	"klarsyn/camera"
)

// Row is a clip as a checker sees it: with what is left of its sealed header, but not the header.
type Row struct {
	Clip
	HasHeader  bool
	HeaderHash [sha256.Size]byte
}

// Gap is a stretch of unrecorded time with its cause; To is zero while it lasts.
type Gap struct {
	camera.Gap
	To time.Time
}
