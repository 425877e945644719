package camera

import (
	"context"
	"errors"
	"time"
)

// ErrNotPermitted says that no valid permit covers the camera at that time.
var ErrNotPermitted = errors.New("no valid permit covers the camera at this time")

// ErrStorageFull says that there is no room to record in: the last of it is for deletion.
var ErrStorageFull = errors.New("storage is full")

// Vault takes sealed recordings of a camera and the causes of what was not recorded. Both are logged
// in the transaction that records them.
type Vault interface {
	// Begin reserves a clip before its first byte exists. It fails with ErrNotPermitted when no permit
	// is valid at o.Start.
	Begin(ctx context.Context, o Opening) (Recording, error)
	// Interrupt says why the camera's time from g.From on is not recorded, until a clip begins.
	Interrupt(ctx context.Context, g Gap) error
	// Covered is the end of what the camera's timeline already accounts for; zero when it is empty.
	Covered(ctx context.Context, id ID) (time.Time, error)
}

// Recording is one open clip. Calls come from one goroutine.
type Recording interface {
	// Write seals one whole fragment that ends at c.End; c.Frames counts the clip's frames so far.
	// After an error the clip still holds the fragments before it and can be closed.
	Write(ctx context.Context, fragment []byte, c Closing) error
	// Close ends the clip and hands it over to be stored. It returns when the hand-over cannot be
	// lost any more, not when the store has it.
	Close(ctx context.Context, c Closing) error
}
