package api

import (
	"strings"

	"klarsyn/policy"
)

// permitWords are what the pages say of permits.
type permitWords struct {
	Register, RegisterHelp, RegisterLogged, ShowRegister, NoRegister, AsCSV string
	Address, PlaceType, Technology, None, Assessment, Controller            string
	Duty, Mandatory, Voluntary, Start, End, History, Version                string
	Suspended, MaskFailed, ComplianceOfficer                                string
	PermitStates                                                            map[policy.PermitState]string
}

func swedishPermits() permitWords {
	return permitWords{
		Register: "Förteckning över kamerabevakning", RegisterHelp: "De fem uppgifter som kamerabevakningslagen 10 § kräver, och vad som hänt. Det som upphört finns kvar i fem år.",
		RegisterLogged: "Att förteckningen tas fram loggas.", ShowRegister: "Visa förteckningen",
		NoRegister: "Inget beslut har gällt.", Address: "Adress", //nolint:misspell // it is Swedish
		PlaceType: "Slag av plats", Technology: "Ljud eller annan särskild teknik", None: "ingen",
		Assessment: "Bedömning, senast", Controller: "Personuppgiftsansvarig", Duty: "Förteckningen är", Mandatory: "obligatorisk", Voluntary: "frivillig",
		Start: "Började", End: "Upphörde", History: "Historik", Version: "version", AsCSV: "Hämta som kalkylblad (CSV)",
		Suspended: "beslutet vilar", MaskFailed: "maskning saknas", ComplianceOfficer: "regelansvarig",
		PermitStates: map[policy.PermitState]string{
			policy.Draft: "utkast", policy.Active: "gäller", policy.Suspended: "vilar", policy.Superseded: "ersatt", policy.Expired: "löpt ut",
			policy.Revoked: "återkallat", policy.Ended: "avslutat",
		},
	}
}

func englishPermits() permitWords {
	return permitWords{
		Register: "Register of camera surveillance", RegisterHelp: "The five items that 10 § of the camera surveillance act demands, and what happened. What is over stays for five years.",
		RegisterLogged: "That the register is made is logged.", ShowRegister: "Show the register",
		NoRegister: "No permit was ever in force.", Address: "Address", PlaceType: "Type of place", Technology: "Sound or other special technology", None: "none",
		Assessment: "Assessed, latest", Controller: "Controller", Duty: "The register is", Mandatory: "mandatory", Voluntary: "voluntary",
		Start: "Began", End: "Ended", History: "History", Version: "version", AsCSV: "Download as a spreadsheet (CSV)",
		Suspended: "permit suspended", MaskFailed: "masking is missing", ComplianceOfficer: "compliance officer",
		PermitStates: map[policy.PermitState]string{
			policy.Draft: "draft", policy.Active: "in force", policy.Suspended: "suspended", policy.Superseded: "superseded", policy.Expired: "expired",
			policy.Revoked: "revoked", policy.Ended: "ended",
		},
	}
}

func (w words) permitState(s policy.PermitState) string {
	if said := w.PermitStates[s]; said != "" {
		return said
	}
	return string(s)
}

func (w words) duty(d string) string {
	switch d {
	case "mandatory":
		return w.Mandatory
	case "voluntary":
		return w.Voluntary
	}
	return "–"
}

// purposes are purposes as a list joins them, in words.
func (w words) purposes(list string) string {
	var said []string
	for p := range strings.SplitSeq(list, ", ") {
		said = append(said, w.purpose(p))
	}
	return strings.Join(said, ", ")
}

func (w words) orNone(s string) string {
	if s == "none" {
		return w.None
	}
	return s
}
