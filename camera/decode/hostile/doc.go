// Package hostile makes coded video that no camera should send, for tests: named access units that are cut, flipped,
// swapped, or that come with absurd parameter sets.
package hostile
