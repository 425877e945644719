package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"klarsyn/policy"
	"klarsyn/policy/identity"
)

func (s *site) accounts(actor string) (*identity.Accounts, error) {
	return identity.NewAccounts(identity.Config{DB: s.db.DB, Log: s.log, Actor: actor, Now: s.clock.Logging, Logger: s.logger})
}

// addAccount makes an account with a fresh random password and returns it. An account of that name that
// exists becomes that one: another demo over this directory printed its old password.
func (s *site) addAccount(ctx context.Context, actor, name string, role policy.Role) (password string, err error) {
	accounts, err := s.accounts(actor)
	if err != nil {
		return "", err
	}
	password = identity.NewPassword()
	err = accounts.Create(ctx, name, role, password)
	if errors.Is(err, identity.ErrExists) {
		err = errors.Join(accounts.SetPassword(ctx, name, password), accounts.SetRole(ctx, name, role), accounts.Enable(ctx, name))
	}
	if err != nil {
		return "", fmt.Errorf("account %s: %w", name, err)
	}
	return password, nil
}

// accountChange is a command that does one thing to one account.
type accountChange struct {
	use, short, long string
	role             bool // it takes one
	do               func(ctx context.Context, a *identity.Accounts, name string, role policy.Role, std stdio) error
}

func accountCommand(std stdio) *cobra.Command {
	var changes []*cobra.Command
	for _, change := range accountChanges() {
		changes = append(changes, change.command(std))
	}
	return commandGroup("account", "Local accounts", "  klarsyn account add --data /var/lib/klarsyn --name anna --role investigator", changes...)
}

func accountChanges() []accountChange {
	return []accountChange{
		{
			use: "add", short: "Make an account", role: true,
			long: "add makes an account with a fresh random password, which it prints once. It changes no account that exists.",
			do: func(ctx context.Context, a *identity.Accounts, name string, role policy.Role, std stdio) error {
				password := identity.NewPassword()
				err := a.Create(ctx, name, role, password)
				if errors.Is(err, identity.ErrExists) {
					return fmt.Errorf("%w, and add changes none: klarsyn account password gives it a new password, "+
						"account set-role another role, and account enable lets it in again", err)
				}
				return show(std, password, err)
			},
		},
		{
			use: "password", short: "Give an account a new password",
			long: "password gives an account a fresh random password, which it prints once, and ends its sessions.",
			do: func(ctx context.Context, a *identity.Accounts, name string, _ policy.Role, std stdio) error {
				password := identity.NewPassword()
				return show(std, password, a.SetPassword(ctx, name, password))
			},
		},
		{
			use: "set-role", short: "Give an account another role", role: true,
			long: "set-role gives an account another role and ends its sessions.",
			do: func(ctx context.Context, a *identity.Accounts, name string, role policy.Role, _ stdio) error {
				return a.SetRole(ctx, name, role)
			},
		},
		{
			use: "disable", short: "End an account and its sessions",
			long: "disable ends an account and its sessions. Its name stays taken, so that the log names one person by it.",
			do: func(ctx context.Context, a *identity.Accounts, name string, _ policy.Role, _ stdio) error {
				return a.Disable(ctx, name)
			},
		},
		{
			use: "enable", short: "Let a disabled account in again",
			long: "enable lets an account that was disabled log in again, with the password and role that it had.",
			do: func(ctx context.Context, a *identity.Accounts, name string, _ policy.Role, _ stdio) error {
				return a.Enable(ctx, name)
			},
		},
	}
}

func show(std stdio, password string, err error) error {
	if err == nil {
		fmt.Fprintln(std.out, password)
	}
	return err
}

func (ch accountChange) command(std stdio) *cobra.Command {
	var c common
	var name, role string
	example := "  klarsyn account " + ch.use + " --data /var/lib/klarsyn --name anna"
	if ch.role {
		ch.long += "\n\nRoles: " + strings.Join(roleNames(), ", ") + "."
		example += " --role investigator"
	}
	cmd := &cobra.Command{
		Use: ch.use, Short: ch.short, Long: ch.long, Example: example, Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.open(cmd.Context(), std, 0, false)
			if err != nil {
				return err
			}
			accounts, err := s.accounts("service:account")
			if err == nil {
				err = ch.do(cmd.Context(), accounts, name, policy.Role(role), std)
			}
			err = errors.Join(err, s.close())
			switch {
			case errors.Is(err, identity.ErrBadRole):
				return usageError{fmt.Errorf("%w; roles are %s", err, strings.Join(roleNames(), ", "))}
			case errors.Is(err, identity.ErrBadName), errors.Is(err, identity.ErrExists), errors.Is(err, identity.ErrNoAccount):
				return usageError{err}
			}
			return err
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&name, "name", "", "account name (required)")
	require(cmd, "name")
	if ch.role {
		cmd.Flags().StringVar(&role, "role", "", strings.Join(roleNames(), ", ")+" (required)")
		require(cmd, "role")
	}
	return cmd
}

func roleNames() []string {
	var names []string
	for _, r := range policy.Roles() {
		names = append(names, string(r))
	}
	return names
}
