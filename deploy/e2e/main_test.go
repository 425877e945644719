// Package e2e runs the built commands as their users do: real processes, real cameras on the wire, real
// HTTP. Nothing of the project is linked into these tests.
package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"klarsyn/deploy/testenv"
)

// binaries is the folder of klarsyn and klarsyn-vision: KLARSYN_BIN, or built once for this run.
var binaries string

func TestMain(m *testing.M) { os.Exit(build(m)) }

func build(m *testing.M) int {
	syscall.Umask(0o022) // what everybody has: what several users share must not depend on a better one
	if binaries = os.Getenv("KLARSYN_BIN"); binaries == "" {
		folder, err := os.MkdirTemp("", "klarsyn-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(folder)
		// A test may run the commands as another user.
		if err := os.Chmod(folder, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if err := testenv.Build(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		binaries = folder
	}
	return m.Run()
}

func klarsyn() string { return filepath.Join(binaries, "klarsyn") }
