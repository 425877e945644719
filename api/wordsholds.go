package api

// holdWords are what the pages say of what is kept beyond its deadline, and of what could not be recorded for want of room.
type holdWords struct {
	HeldForCase, InvestigationLead, StorageFull string
}

func swedishHolds() holdWords {
	return holdWords{HeldForCase: "bevaras för ett ärende", InvestigationLead: "förundersökningsledare", StorageFull: "lagringen är full"}
}

func englishHolds() holdWords {
	return holdWords{HeldForCase: "held for a case", InvestigationLead: "investigation lead", StorageFull: "storage is full"}
}
