package camera

import "time"

// Sink takes what a source delivers. Its methods are called from one goroutine and must not block.
type Sink interface {
	// Up says that a session delivers from now on. The first access unit after it is a keyframe.
	Up(Format)
	// Put delivers one access unit with the format that it is coded in.
	Put(Format, AccessUnit)
	// Lost says that pictures after the last one did not come, or not whole, though the session goes on. The
	// next Put is a keyframe; at is in the same clock as AccessUnit.Time.
	Lost(at time.Time, cause Cause, err error)
	// Down says that the session ended or could not begin; at is in the same clock as AccessUnit.Time.
	Down(at time.Time, err error)
}
