// Package crashpoint names the places between two steps at which a crash campaign kills the process. In an ordinary build
// a point costs nothing and does nothing: only the build tag crashpoints arms them.
package crashpoint
