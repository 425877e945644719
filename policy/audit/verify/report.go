package verify

import (
	"fmt"
	"time"
)

// Problem is one thing that is not as it must be, and where.
type Problem struct {
	Place string `json:"place"` // "entry 17", "checkpoint 3", "tile/0/000"
	What  string `json:"what"`
}

// Report is what checking a log came to. The first of its problems is the first bad place.
type Report struct {
	Log         string    `json:"log"`         // its origin
	Entries     int64     `json:"entries"`     // how many it ever had
	FirstEntry  int64     `json:"first_entry"` // older ones were pruned when their time was over
	Checkpoints int64     `json:"checkpoints"`
	Root        string    `json:"root"`
	Newest      time.Time `json:"newest"` // when the newest checkpoint was signed
	Keys        []string  `json:"keys"`   // that signed it, oldest first
	// Cosigned are the newest cosignatures, one of each witness.
	Cosigned []Cosigned `json:"cosigned"`
	Problems []Problem  `json:"problems"`

	stop bool // at the first problem
}

// maxProblems is where a report stops: a log with that many is not repaired line by line.
const maxProblems = 100

func (r *Report) add(place, format string, args ...any) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, Problem{Place: place, What: fmt.Sprintf(format, args...)})
	}
}

// enough says that going on would only repeat what is known.
func (r *Report) enough() bool {
	return len(r.Problems) >= maxProblems || (r.stop && len(r.Problems) > 0)
}
