package policy

// AccountChange is what of an account was changed.
type AccountChange struct {
	What string // "password", "role", "enabled", "disabled"
	Role Role   // the new one, if it is the role
}

// LoggedInEntry says that a session begins.
func LoggedInEntry(who Subject) Entry { return person(LoggedIn, who).ruled(allow, Verdict{}) }

// LoginFailedEntry says that somebody could not log in. The subject has no role and no session yet; what is
// no account's name is UnknownActor.
func LoginFailedEntry(who Subject, reason string) Entry {
	return person(LoginFailed, who).ruled(deny, Verdict{}).withReason(reason)
}

// LoggedOutEntry says that a session ends.
func LoggedOutEntry(who Subject) Entry { return person(LoggedOut, who) }

// AccountCreatedEntry says that there is a new account.
func AccountCreatedEntry(actor, name string, role Role) Entry {
	return service(AccountCreated, actor).of(KindAccount, name).with("role", string(role))
}

// AccountChangedEntry says that an account is not what it was.
func AccountChangedEntry(actor, name string, c AccountChange) Entry {
	e := service(AccountChanged, actor).of(KindAccount, name).with("changed", c.What)
	if c.Role == "" {
		return e
	}
	return e.with("role", string(c.Role))
}
