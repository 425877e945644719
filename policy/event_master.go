package policy

import "strconv"

// Rotation is what was done under which master key: how many keys lie under it now that lay under the one that is being left.
type Rotation struct {
	Master  string // its name: file:FINGERPRINT, transit:ENGINE/KEY
	Version int64
	Left    string
	Days    int
	Cases   int
}

// MasterRotatedEntry says that every key was sealed anew, and that the master key before is being destroyed: what a backup of the
// key store holds from before is closed for good.
func MasterRotatedEntry(actor string, r Rotation) Entry {
	return service(MasterRotated, actor).of(KindMasterKey, r.Master).with("version", strconv.FormatInt(r.Version, 10), "left", r.Left,
		"days", strconv.Itoa(r.Days), "cases", strconv.Itoa(r.Cases))
}
