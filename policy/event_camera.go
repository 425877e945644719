package policy

import (
	"strconv"
	"time"
)

// Stop is why and since when a camera does not record. Cause is one word, Detail free text.
type Stop struct {
	Cause  string
	Detail string
	From   time.Time
	Permit string // the version that forbids it, such as "plattan@2", and which clause of it
	Clause string
}

// CameraStartedEntry says that a camera records again, or for the first time.
func CameraStartedEntry(actor, camera string, p PermitRef) Entry {
	return service(CameraStarted, actor).at(camera).under(p)
}

// CameraStoppedEntry says that a camera records no longer.
func CameraStoppedEntry(actor, camera string, s Stop) Entry {
	return stopped(CameraStopped, actor, camera, s)
}

// CameraRefusedEntry says that a camera may not record.
func CameraRefusedEntry(actor, camera string, s Stop) Entry {
	return stopped(CameraRefused, actor, camera, s)
}

func stopped(event Event, actor, camera string, s Stop) Entry {
	e := service(event, actor).at(camera).withReason(s.Detail).with("cause", s.Cause, "from", stamp(s.From))
	if s.Clause != "" {
		e = e.with("clause", s.Clause)
	}
	if s.Permit != "" {
		e = e.with("permit", s.Permit)
	}
	return e
}

// ScheduleStoppedEntry says that a camera stopped because the permit's hours were over at that time.
func ScheduleStoppedEntry(actor, camera string, p PermitRef, from time.Time) Entry {
	return service(ScheduleStopped, actor).at(camera).under(p).with("from", stamp(from))
}

// MaskCheckedEntry says whether a camera's mask still lies on what it must hide: result is "ok" or says what not.
func MaskCheckedEntry(actor, camera string, p PermitRef, mask int, result string) Entry {
	e := service(MaskChecked, actor).at(camera).under(p).withResult(result)
	e.ObjectVersion = strconv.Itoa(mask)
	return e
}

// AudioCheckedEntry says how many sound tracks a camera sent, and what became of them.
func AudioCheckedEntry(actor, camera string, p PermitRef, tracks int, result string) Entry {
	return service(AudioChecked, actor).at(camera).under(p).withResult(result).with("tracks", strconv.Itoa(tracks))
}
