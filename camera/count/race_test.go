//go:build cgo && race

package count

// underRace says that everything takes five times as long.
const underRace = true
