package policy

import (
	"strconv"
	"time"
)

// ServiceStartedEntry says that a process begins its work.
func ServiceStartedEntry(actor string) Entry { return service(ServiceStarted, actor) }

// ServiceStoppedEntry says that a process ends its work, in good order.
func ServiceStoppedEntry(actor string) Entry { return service(ServiceStopped, actor) }

// ClockFaultEntry says that a clock is not what it was.
func ClockFaultEntry(actor string, state ClockState, what string) Entry {
	e := service(ClockFault, actor).withReason(what)
	e.Clock = state
	return e
}

// RepairedEntry says that a check found something wrong with a clip or a hold, and what was done about it.
func RepairedEntry(actor string, kind Kind, id, reason, result string) Entry {
	return service(Repaired, actor).of(kind, id).withReason(reason).withResult(result)
}

// BackupMadeEntry says that a backup was made.
func BackupMadeEntry(actor, id string, backup Hash) Entry {
	return service(BackupMade, actor).of(KindBackup, id).withHashes(backup)
}

// BackupRestoredEntry says that a backup was put back, and of when it is.
func BackupRestoredEntry(actor, id string, backup Hash, made time.Time) Entry {
	return service(BackupRestored, actor).of(KindBackup, id).withHashes(backup).with("made", stamp(made))
}

// DeletionsReplayedEntry says that what had been deleted after a backup was made was deleted again when it was
// put back, before anybody could look.
func DeletionsReplayedEntry(actor, backup string, clips int, result string) Entry {
	return service(DeletionsReplayed, actor).of(KindBackup, backup).withResult(result).with("clips", strconv.Itoa(clips))
}
