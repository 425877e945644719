package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"klarsyn/api"
	"klarsyn/policy"
)

func permitCommand(std stdio) *cobra.Command {
	return commandGroup("permit", "Ask what permits say", "  klarsyn permit explain --camera k1 --at 2026-10-25T02:30:00+01:00 --data /var/lib/klarsyn",
		explainCommand(std), simulateCommand(std))
}

func explainCommand(std stdio) *cobra.Command {
	var t target
	var cam, at string
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Would a camera record at a time, and why",
		Long: `explain says of a camera and an instant whether it would record and count, which clause of which version of a permit
decides, and until when footage of that instant would be kept. It goes by what holds now, and of the past by what held then.`,
		Example: "  klarsyn permit explain --camera k1 --at 2026-12-24T22:00:00+01:00 --data /var/lib/klarsyn\n" +
			"  klarsyn permit explain --camera k1 --at 2026-12-24T22:00:00+01:00 --json --server https://square.example --token-file token",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			instant, err := time.Parse(time.RFC3339, at)
			if err != nil || instant.Year() < 1970 || instant.Year() >= 9000 { // edges around it must be instants, too
				return usageError{fmt.Errorf("--at is %q: want an instant such as 2026-12-24T22:00:00+01:00", at)}
			}
			d, err := t.open(cmd.Context(), std)
			if err != nil {
				return err
			}
			a, err := d.Explain(cmd.Context(), cam, instant)
			if err = errors.Join(err, d.close()); err != nil {
				return err
			}
			if t.asJSON {
				return printJSON(std.out, a)
			}
			printAnswer(std, cam, instant, a)
			return nil
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&cam, "camera", "", "camera id (required)")
	cmd.Flags().StringVar(&at, "at", "", "instant, RFC 3339 (required)")
	require(cmd, "camera")
	require(cmd, "at")
	return cmd
}

func printAnswer(std stdio, cam string, at time.Time, a policy.Answer) {
	verb := "would not record"
	if a.Recording {
		verb = "would record"
	}
	count := "no people would be counted"
	if a.Counting {
		count = "people would be counted"
	}
	fmt.Fprintf(std.out, "At %s camera %s %s, and %s.\n", at.Format(time.RFC3339), cam, verb, count)
	fmt.Fprintf(std.out, "  why       %s\n", a.Detail)
	if ref := a.Ref(); ref != "" {
		fmt.Fprintf(std.out, "  permit    %s, clause %s\n", ref, a.Clause)
	}
	if !a.Deadline.IsZero() {
		fmt.Fprintf(std.out, "  kept      until %s\n", a.Deadline.Format(time.RFC3339))
	}
	fmt.Fprintf(std.out, "  the same  from %s to %s, or longer\n", a.Since.Format(time.RFC3339), a.Until.Format(time.RFC3339))
}

func simulateCommand(std stdio) *cobra.Command {
	var t target
	var file string
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "What a description of the square would change, and who could see what then",
		Long: `simulate does all that apply would do, and takes it back: which cameras would start and stop, how many stored clips would
be deleted earlier and how many at once, and who could see what.`,
		Example: "  klarsyn permit simulate -f new.yaml --data /var/lib/klarsyn",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, text, err := readFile(file)
			if err != nil {
				return err
			}
			d, err := t.open(cmd.Context(), std)
			if err != nil {
				return err
			}
			p, err := d.Simulate(cmd.Context(), name, text)
			if err = errors.Join(err, d.close()); err != nil {
				return err
			}
			if t.asJSON {
				return printJSON(std.out, p)
			}
			printPlan(std.out, p)
			printSights(std, p.Sights)
			return nil
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVarP(&file, "file", "f", "", "description of the square; - is standard input (required)")
	require(cmd, "file")
	return cmd
}

func printSights(std stdio, sights []api.PlannedSight) {
	fmt.Fprintln(std.out, "Who could see what:")
	for _, s := range sights {
		fmt.Fprintf(std.out, "  %s  %s:", s.Camera, s.Role)
		for i, may := range s.May {
			if i > 0 {
				fmt.Fprint(std.out, ",")
			}
			fmt.Fprint(std.out, " "+may)
		}
		fmt.Fprintln(std.out)
	}
}
