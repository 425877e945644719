package main

// restoreMarker is what stands in a data directory while a backup is being put back into it.
type restoreMarker struct {
	Backup string       `json:"backup"`
	Keys   string       `json:"keys,omitempty"` // the backup of the key store, if that is put back too
	Stage  restoreStage `json:"stage"`
}

// restoreStage is how far a restore has come. One that was interrupted begins again at the stage that its marker names.
type restoreStage string
