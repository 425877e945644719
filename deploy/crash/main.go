// Crash is the worker of the crash campaign: one process of a whole installation, built with the tag crashpoints, that takes a
// fixed series of steps over a world and dies where its environment tells it to. The campaign that starts it is this package's
// test.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"klarsyn/deploy/world"
)

// errand is what a worker is started for.
type errand struct {
	World world.Addresses `json:"world"`
	// Rest only brings to rest what is there, as the start after a crash does; else the plan is taken first.
	Rest bool `json:"rest,omitempty"`
	// Seed and Round vary what the plan records and which of its holds it lifts.
	Seed  uint64 `json:"seed"`
	Round int    `json:"round"`
}

// workFor is the longest that a worker may take: it hangs if it takes longer.
const workFor = 2 * time.Minute

func main() {
	if err := work(); err != nil {
		fmt.Fprintln(os.Stderr, "crash worker:", err)
		os.Exit(1)
	}
}

func work() error {
	var e errand
	if err := json.NewDecoder(os.Stdin).Decode(&e); err != nil {
		return fmt.Errorf("reading what to do: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), workFor)
	defer cancel()
	w, err := world.Open(ctx, e.World)
	if err != nil {
		return err
	}
	d := &day{World: w, seed: e.Seed, round: e.Round}
	if !e.Rest {
		if err := d.plan(ctx); err != nil {
			return err
		}
	}
	if err := d.Rest(ctx); err != nil {
		return err
	}
	return w.Close()
}
