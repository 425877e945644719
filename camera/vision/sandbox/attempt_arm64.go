//go:build linux

package sandbox

// machineAttempts is empty: a 64-bit process on arm64 has one gate into the kernel.
func machineAttempts() []attempt { return nil }
