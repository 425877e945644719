package retention

import "time"

// Lease is how long a sweeper has clips in its charge. It ends by the clock of the database that they are taken from, which
// all sweepers share: their own clocks may differ.
type Lease struct {
	Sweeper string // a name that no other sweeper has
	For     time.Duration
}

// Charge is a clip that is being deleted, in the charge of one sweeper. Each time that it is taken its fence grows: what ends
// its deletion names the fence, so that a sweeper whose lease was taken over meanwhile ends nothing.
type Charge struct {
	Clip
	Sweeper string
	Fence   int64
}

// Tombstone says that a clip is gone: what was removed of it, and that a listing afterwards found nothing.
type Tombstone struct {
	Charge
	At      time.Time
	Removed int // versions, markers, unfinished uploads, files
	Listed  int // what the listing found: 0
}

// Erasure is what became of one key.
type Erasure struct {
	Removed int
	// Left is what a listing that began after the last removal still found; it says nothing where Err is set.
	Left int
	Err  error
}

// Backlog is what deletion is behind with.
type Backlog struct {
	Due     int // past their deadline, not held, and not made unreadable yet
	Removal int // unreadable, and not proved to be gone
}
