package catalogue

// The queries whose plans are tested.
const (
	OpenClip      = openClip
	KeyNeeded     = keyNeeded
	DeletingClips = deletingClips
)
