// Command klarsyn runs the fixed cameras of a public square under a surveillance permit: it records,
// counts, seals, serves and deletes. It is pure Go and never links a video decoder; decoding is the
// work of klarsyn-vision, which it starts without rights.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // permits count days in Europe/Stockholm, also where no zone files are installed

	"github.com/spf13/cobra"
)

// Exit codes of every command.
const (
	exitOK     = 0
	exitFailed = 1 // a check failed, or something broke
	exitUsage  = 2 // the command was called wrongly
)

// stdio is where a command writes.
type stdio struct{ out, err io.Writer }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], stdio{os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// run is the whole program as a value: tests call it.
func run(ctx context.Context, args []string, std stdio) int {
	root := rootCommand(std)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errViolations):
		return exitFailed // already printed
	}
	fmt.Fprintf(std.err, "klarsyn: %v\n", err)
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

func rootCommand(std stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "klarsyn",
		Short: "The cameras of a public square, under a permit that software keeps",
		Long: `Klarsyn records the fixed cameras of a public square under a surveillance permit, counts people
without identifying anyone, seals footage so that only an approved and logged request can open it, and
proves that everything else was deleted on time.

Try it:  klarsyn demo`,
		SilenceErrors: true, SilenceUsage: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("there is no command %q; see klarsyn --help", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(demoCommand(std), initCommand(std), serveCommand(std), ingestCommand(std), retainCommand(std),
		applyCommand(std), diffCommand(std), getCommand(std), permitCommand(std), loginCommand(std), accountCommand(std), fsckCommand(std), keysCommand(std), backupCommand(std), restoreCommand(std), logCommand(std), proofCommand(std), verifyCommand(std), witnessCommand(std), simCommand(std), versionCommand(std))
	return root
}

// logger writes what operators read: plain lines on standard error.
func (s stdio) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: level}))
}

// commandGroup is a command that only leads to others: alone it shows its help.
func commandGroup(use, short, example string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use: use, Short: short, Example: example, Args: noArguments, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(commands...)
	return group
}

// noArguments refuses what stands after the flags.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%q is not expected here; see %s --help", args[0], cmd.CommandPath())}
	}
	return nil
}

// require makes a command refuse to run without a flag, as wrong use.
func require(cmd *cobra.Command, flag string) {
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if !cmd.Flags().Changed(flag) {
			return usageError{fmt.Errorf("--%s is missing; see %s --help", flag, cmd.CommandPath())}
		}
		if before != nil {
			return before(cmd, args)
		}
		return nil
	}
}
