//go:build cgo

// Command klarsyn-vision is where camera bitstreams meet C and C++: a child of klarsyn that gives up
// every right before it reads its first byte, takes coded video and gives numbers.
//
// The runtime must not look at cgroup files after the drop: opening and reading them kills.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"klarsyn/camera/vision/sandbox"
	"klarsyn/camera/vision/wire"
)

// The exit codes of klarsyn-vision.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

const help = `klarsyn-vision decodes and counts in a sandbox. klarsyn starts it; by hand it counts recorded files.

Usage:
  klarsyn-vision count     access units on stdin, samples on stdout (both pipes)
  klarsyn-vision scene     a scene's configuration on stdin, encoded frames on stdout (both pipes)
  klarsyn-vision count --in VIDEO [--learn VIDEO] [--profile FILE] [--every keyframe|N|all] [--zones FILE] [--json]
                           counts the people in a file
  klarsyn-vision score --in VIDEO --counts FILE [--from N] [--to N] [as count]
                           says how right these counts are
  klarsyn-vision calibrate --in VIDEO --labels BOXES [-o PROFILE] | --height M --tilt DEGREES --lens DEGREES [-o PROFILE]
                           makes a camera's profile from labelled pictures, or from how it hangs
  klarsyn-vision version   print the build that klarsyn must match

Example:
  klarsyn-vision count --in square.mp4 --json

Exit codes: 0 its input ended, 1 it failed (the reason is on stderr), 2 wrong use.
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	usage := func(text string) int {
		fmt.Fprintf(stderr, "klarsyn-vision: %s\n\n%s", text, help)
		return exitUsage
	}
	if len(args) == 0 {
		return usage("no mode given")
	}
	var err error
	switch mode := args[0]; {
	case mode == "--help" || mode == "-h" || mode == "help":
		_, err = io.WriteString(stdout, help)
	case mode == "selftest" && len(args) == 2:
		err = selftest(args[1])
	case mode == string(wire.ModeCount) && len(args) > 1:
		err = countFilm(args[1:], stdout)
	case mode == "score":
		err = scoreFilm(args[1:], stdout)
	case mode == "calibrate":
		err = calibrateFilm(args[1:], stdout)
	case len(args) > 1:
		return usage(fmt.Sprintf("%s takes no arguments, got %q: what it must know comes over stdin", mode, args[1]))
	case mode == "version" || mode == "--version":
		_, err = fmt.Fprintf(stdout, "klarsyn-vision %s\n", wire.ThisBuild())
	case mode == string(wire.ModeCount):
		err = child(wire.ModeCount, countLimits(), countPeople)
	case mode == string(wire.ModeScene):
		err = child(wire.ModeScene, sceneLimits(), drawScene)
	default:
		return usage(fmt.Sprintf("unknown mode %q", mode))
	}
	if errors.Is(err, errNotPipes) {
		return usage(err.Error())
	}
	if code := failedApart(0); errors.As(err, &code) {
		return int(code) // it has said why
	}
	if wrong := (usageError{}); errors.As(err, &wrong) {
		fmt.Fprintln(stderr, "klarsyn-vision:", wrong)
		return exitUsage
	}
	if err != nil {
		fmt.Fprintln(stderr, "klarsyn-vision:", wire.Sanitise(err.Error()))
		return exitFailed
	}
	return exitOK
}

// selftest drops as count does and tries one forbidden thing: SIGSYS is the right end. It is left out of
// the help because it can only end badly; the README says how to use it.
func selftest(name string) error {
	if err := prepare(); err != nil {
		return err
	}
	return sandbox.Attempt(name, countLimits())
}
