package camera

import "time"

// Codec is a video coding that cameras deliver.
type Codec string

// The codings that Klarsyn records.
const (
	H264 Codec = "h264"
	H265 Codec = "h265"
)

// Format is what a decoder or an MP4 header must know before the first access unit.
type Format struct {
	Codec Codec
	VPS   []byte // H.265 only
	SPS   []byte
	PPS   []byte
}

// AccessUnit is one coded picture as it came from the camera, with the clocks that saw it.
type AccessUnit struct {
	// PTS and DTS are media time since the session began, from the RTP timestamps; DTS never decreases.
	PTS, DTS time.Duration
	// Time is when the picture was received: UTC from the server's clock, disciplined so that it
	// advances with media time and never steps backwards.
	Time time.Time
	// CameraTime is when the camera says that it took the picture (RTCP sender report); zero if it does not say.
	CameraTime time.Time
	Keyframe   bool
	// NALUs are without start codes or length prefixes. The receiver must not change them.
	NALUs [][]byte
}

// Size is the coded size in bytes.
func (au AccessUnit) Size() int {
	n := 0
	for _, nalu := range au.NALUs {
		n += len(nalu)
	}
	return n
}

// Cause says why a second of a camera's time is not recorded.
type Cause string

// The causes of a gap, as an auditor reads them.
const (
	NotPermitted Cause = "not-permitted" // no valid permit covers camera and time
	Suspended    Cause = "suspended"     // the permit is suspended
	MaskFailed   Cause = "mask-failed"   // what must be hidden cannot be
	CameraDown   Cause = "camera-down"   // the camera or the way to it failed
	OurFault     Cause = "our-fault"     // the recorder was down or overloaded
	StorageFull  Cause = "storage-full"  // there is no room: nothing is deleted early to make some
)

// Refusal reports whether recording was forbidden then, not impossible.
func (c Cause) Refusal() bool { return c == NotPermitted || c == Suspended || c == MaskFailed }

// Gap is a stretch of a camera's time that is not recorded, with its cause. Detail is for people: it
// never holds a credential.
type Gap struct {
	Camera ID
	From   time.Time
	Cause  Cause
	Detail string
	// Permit and Clause name what forbids recording, such as "plattan@2" and "schedule"; empty if no permit does.
	Permit, Clause string
}

// Opening is what is known of a clip at its first keyframe.
type Opening struct {
	Camera     ID
	Start      time.Time // of the first frame, in the camera's timeline, which never runs backwards
	Received   time.Time // when the first frame was received; earlier than Start after a clock was set back
	CameraTime time.Time // camera's own time of the first frame; zero if it does not say
	Format     Format
}

// Closing is what is known of a clip at its end. The clip covers [Opening.Start, End).
type Closing struct {
	End    time.Time
	Frames int
}
