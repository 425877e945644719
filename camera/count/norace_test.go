//go:build cgo && !race

package count

const underRace = false
