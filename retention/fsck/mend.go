package fsck

// mend is what to do about a violation, in words for whoever reads it.
type mend string

// What a repair can do, or a person.
const (
	mendStray     mend = "klarsyn retain removes it, since nothing without a clip has a deadline; klarsyn fsck --repair does it now"
	mendTraces    mend = "klarsyn retain removes what is left of a clip that is gone; klarsyn fsck --repair does it now"
	mendSweep     mend = "start klarsyn retain, or find out from its log why it cannot delete; klarsyn fsck --repair makes one pass of it now"
	mendSpooled   mend = "remove it from the spool: klarsyn fsck --repair does, and logs it"
	mendHeader    mend = "destroy the header: klarsyn fsck --repair does, and logs it; then find out who wrote it, since no process does"
	mendDayHeader mend = "destroy the header that the day key opens, since the hold keeps its own: klarsyn fsck --repair does, and logs it"
	mendLetGo     mend = "destroy what the hold kept, since it was lifted: klarsyn fsck --repair does, and logs it"
	mendRaise     mend = "count the holds again: klarsyn fsck --repair does, and logs it; a hold that is not counted does not keep the clip"
	mendLower     mend = "compare the holds with the log: if it knows of no other one, klarsyn fsck --repair counts them again, and logs it; else restore the rows of holds from a backup of the catalogue"
	mendEnd       mend = "give it the end that a deletion gives: klarsyn fsck --repair does, and logs it; until then its camera cannot record"
	mendRecipient mend = "withdraw the recipient: klarsyn fsck --repair does, or mints the key where the day is still open; what was sealed to it meanwhile nobody can open"
	mendKey       mend = "start klarsyn retain, which destroys it within seconds; klarsyn fsck --repair makes one pass of it now"

	mendVersions   mend = "find out who put over it, compare the versions' hashes with the clip's row, and remove the others by their version ids; keys are written once, and fsck removes none of them"
	mendBeside     mend = "abort the upload, or remove the marker, with the store's own tools, by its id: the object beside it must stay, so fsck removes nothing"
	mendObject     mend = "bring the object back from a replica or an older version in the store: nobody can make it again, and fsck changes nothing"
	mendHash       mend = "bring the object back from a replica of the store, or keep it as it is for an inquiry: what was changed is never shown, and fsck changes nothing"
	mendPermit     mend = "find out in the log (klarsyn log) who changed the clip or the permit; shorten or revoke the permit to have the clip deleted; fsck moves no deadline"
	mendPermitRow  mend = "restore the permit's row from a backup of the catalogue: without it nobody can say how long the clip may be kept"
	mendTwoHeaders mend = "take the recorder out of service and look for two of them under one name: fsck cannot tell which clip the header belongs to"
	mendTile       mend = "look in the log at what its recorder said around that time; a hole must stay visible, and fsck closes none"
	mendHeldObject mend = "bring the object back from a replica, or switch the store's legal hold off and restore the version that was removed; footage that somebody needs is lost otherwise; fsck changes nothing"
	mendHeldKey    mend = "restore the row from a backup of the catalogue before the clip's deadline passes: after it nothing else opens the clip"
	mendHeldRow    mend = "restore the rows of holds from a backup of the catalogue: fsck neither places nor lifts a hold"
	mendCaseKey    mend = "restore the key store from its backup: without the key of the case nobody can open what is held for it"
	mendDayKey     mend = "restore the key store from its backup: without the day key nobody can open what it sealed"
	mendBarrier    mend = "start klarsyn retain, which sets the store's legal hold, with an access key that may; until then only the catalogue keeps the clip"
	mendUnlogged   mend = "find out who wrote the row past Klarsyn: the log never names what it was not told, and fsck writes no history"
	mendReplay     mend = "compare with a backup of the catalogue: the log says what happened, and a row that says something else was changed past Klarsyn or restored without its log; fsck changes neither"
	mendHeldDelete mend = "tell whoever needs the footage: it was deleted although it was held, and nothing brings it back"
	mendPlaintext  mend = "remove the file once you know how it came there: what it holds anybody can watch who reads it"
	mendUnlet      mend = "lift the hold again through the API, or restore the rows of holds from a backup of the catalogue: fsck neither places nor lifts a hold"
	mendBackground mend = "start klarsyn retain, which ends it; klarsyn fsck --repair makes one pass of it now"
)

// Repair names what is safe to do by itself.
type Repair string

// The repairs. Each may be done twice, and beside the processes of a square that runs: all but the last four are what klarsyn
// retain does anyway.
const (
	RepairReap      Repair = "remove stray objects"
	RepairSweep     Repair = "finish deletions"
	RepairKeys      Repair = "put the keys in order"
	RepairHeader    Repair = "destroy the header"
	RepairLetGo     Repair = "destroy what the hold kept"
	RepairCount     Repair = "count the holds again"
	RepairEnd       Repair = "give the clip an end"
	RepairRecipient Repair = "withdraw the recipient"
)

func (m mend) repair() Repair {
	switch m {
	case mendStray, mendTraces, mendSpooled:
		return RepairReap
	case mendSweep, mendBackground:
		return RepairSweep
	case mendKey:
		return RepairKeys
	case mendHeader, mendDayHeader:
		return RepairHeader
	case mendLetGo:
		return RepairLetGo
	case mendRaise, mendLower:
		return RepairCount
	case mendEnd:
		return RepairEnd
	case mendRecipient:
		return RepairRecipient
	default:
		return ""
	}
}
