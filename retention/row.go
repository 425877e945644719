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

// HeldRow is what a hold keeps of a clip, as a checker sees it: with what is left of its key, but not the key.
type HeldRow struct {
	HeldClip
	Hold        string
	HasHeader   bool
	HeaderHash  [sha256.Size]byte
	FileKeySize int // of the file key, sealed to the case; 0: there is none
}

// Unaccounted is the detail of time for which no recorder gave a cause.
const Unaccounted = "the recorder was not running, or could not write why it stopped"

// Gap is a stretch of unrecorded time with its cause; To is zero while it lasts.
type Gap struct {
	camera.Gap
	To time.Time
}
