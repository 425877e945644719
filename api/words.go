package api

import (
	"encoding/json"
	"strconv"
	"strings"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
)

// words is everything that the page says in one language. A test checks that no language lacks a word.
type words struct {
	Lang, OtherLang, OtherName                                                 string
	Product, Tagline, SkipToContent                                            string
	LogIn, LogOut, User, Password, LoggedInAs                                  string
	WrongCredentials, TooManyTries, LogUnavailable                             string
	Counts, CountsHelp, Camera, Zone, People, Moving, Counted, State, Recorder string
	// Qualities says why there is no number.
	Qualities                                                                                 map[camera.Quality]string
	FewerThan, StaleSince, NoContact                                                          string
	Recording, NotPermitted, CameraDown, OurFault, NotTold, Since                             string
	Clips, ClipsHelp, NoClips, From, To, Show, Length, Deadline, Size, Look, In, Passed, More string
	BadTime, AllCameras                                                                       string
	Pending, Committed, Partial, Lost, Deleting, Deleted                                      string
	Clip, Permit, Codec, Frames, CameraTime, ClockFlagged, Back, LookHelp, Purpose, CaseNumber, Choose, OpenFootage,
	MissingPurpose, MissingCase, Denied, Gone, NotReady, NoFootage, Damaged, TryLater,
	Player, PlayerHelp, LoggedLook, NoFootageForRole string
	CrimeInvestigation, CrimePrevention, PublicOrder, AccidentInquiry, MissingPerson           string
	Deletions, DeletionsHelp, NoDeletions, Unreadable, DeletedAt, Lag, Left                    string
	Proof, SaveProof                                                                           string
	Audit, AuditHelp, Number, Time, Event, Actor, Object, Decision                             string
	Investigator, DashboardViewer, Auditor, Operator                                           string
	TimesAre, Error, ToStart, NotFound                                                         string
	Search, Any, LegalAction, LogHelp, More2, Older, NothingAsked, NothingLogged               string
	BadObject, BadEvent, BadAction, BadInstant, BadEnd, BadAfter, TooLong, WholeLog, OlderThan string
	LogState, LogStateHelp, LogName, LogEntries, LogRoot, LogSigned, LogWitness                string
	LogSeen, NeverSeen, NoWitness                                                              string
	// Actions says what an event is in law, Events what happened.
	Actions                   map[policy.LegalAction]string
	Events                    map[policy.Event]string
	Day, Hour, Minute, Second string
	permitWords
	holdWords
}

func swedish() words {
	return words{
		Lang: "sv", OtherLang: "en", OtherName: "English",
		Product: "Klarsyn", Tagline: "Torget, under bevakningsbeslut", SkipToContent: "Till innehållet",
		LogIn: "Logga in", LogOut: "Logga ut", User: "Användarnamn", Password: "Lösenord", LoggedInAs: "Inloggad som",
		WrongCredentials: "Användarnamn och lösenord hör inte ihop. Försök igen.",
		TooManyTries:     "För många försök. Vänta en stund och försök igen.",
		LogUnavailable:   "Inloggningen kunde inte loggas, och därför släpps ingen in. Försök igen senare.",
		Counts:           "Antal personer just nu", CountsHelp: "Antalet är en uppskattning; ± anger felet i ungefär nio fall av tio.",
		Camera: "Kamera", Zone: "Zon", People: "Personer", Moving: "Varav rör sig", Counted: "Räknat", State: "Läge", Recorder: "Inspelning",
		Qualities: map[camera.Quality]string{
			camera.QualityUnknown: "okänt", camera.QualityLearning: "okänt (lär in bakgrunden)", camera.QualityLightsJumped: "okänt (ljuset ändrades tvärt)",
			camera.QualityCameraMoved: "okänt (kameran har flyttats)", camera.QualityObscured: "okänt (sikten är skymd)",
			camera.QualityTooDark: "okänt (för mörkt)", camera.QualityDecoderLost: "okänt (bilden gick inte att läsa)",
		},
		FewerThan: "färre än", StaleSince: "Inaktuell sedan",
		NoContact: "Ingen kontakt med servern. Antalen är inte aktuella.",
		Recording: "spelar in", NotPermitted: "inget beslut gäller", CameraDown: "kameran nere", OurFault: "vårt fel", NotTold: "okänt", Since: "sedan",
		Clips: "Inspelningar", ClipsHelp: "Utan urval visas de senaste tio minuterna.", NoClips: "Inget inspelat under den här tiden. Välj en annan tid.",
		From: "Från", To: "Till", Show: "Visa", Length: "Längd", Deadline: "Gallras", Size: "Storlek", Look: "Öppna", In: "om", Passed: "tiden är ute",
		More:    "Fler finns: välj en kortare tid.",
		BadTime: "Tiden går inte att läsa, eller slutet ligger före början. Ändra och försök igen.", AllCameras: "Alla kameror",
		Pending: "spelas in", Committed: "inspelat", Partial: "avbrutet", Lost: "förlorat", Deleting: "gallras", Deleted: "gallrat",
		Clip: "Inspelning", Permit: "Bevakningsbeslut", Codec: "Kodning", Frames: "bilder", CameraTime: "Kamerans egen tid",
		ClockFlagged: "Tiden är osäker: kamerans och serverns klockor skilde sig åt", Back: "Till torget",
		LookHelp: "Ange ändamål och diarienummer. Varje visning loggas innan första bilden visas.",
		Purpose:  "Ändamål", CaseNumber: "Diarienummer", Choose: "Välj ändamål", OpenFootage: "Visa inspelningen",
		MissingPurpose: "Välj ett ändamål som beslutet tillåter.", MissingCase: "Ange ett diarienummer, högst 64 tecken.",
		Denied: "Reglerna tillåter inte den här visningen.", Gone: "Inspelningen är gallrad och kan inte visas.",
		NotReady: "Inspelningen pågår. Försök igen om en stund.", NoFootage: "Inget av inspelningen kunde sparas.",
		Damaged: "Inspelningen är skadad. Anmäl dess nummer till driften.", TryLater: "Loggen, nycklarna eller lagret kan inte nås. Ingenting visas. Försök igen senare.",
		Player: "Inspelning", PlayerHelp: "Video utan ljud.", LoggedLook: "Visningen loggas för", NoFootageForRole: "Din roll får inte se bilder.",
		CrimeInvestigation: "Utreda brott", CrimePrevention: "Förebygga brott", PublicOrder: "Allmän ordning",
		AccidentInquiry: "Utreda olycka", MissingPerson: "Försvunnen person",
		Deletions: "Gallring", DeletionsHelp: "Det som gallrats de senaste 24 timmarna, det nyaste först.", NoDeletions: "Inget har gallrats de senaste 24 timmarna.",
		Unreadable: "Oläsbar efter", DeletedAt: "Borttagen", Lag: "Borta efter", Left: "Kvar", Proof: "Bevis", SaveProof: "Spara beviset",
		Audit: "Åtkomstlogg", AuditHelp: "De nyaste posterna. Att läsa loggen loggas också.", Number: "Nr", Time: "Tid", Event: "Händelse", Actor: "Vem",
		Object: "Vad", Decision: "Beslut",
		Investigator: "utredare", DashboardViewer: "antal", Auditor: "granskare", Operator: "drift",
		TimesAre: "Alla tider: Europe/Stockholm.", Error: "Fel", ToStart: "Till startsidan", NotFound: "Det finns inget här som du får se.",
		Search: "Sök i loggen", Any: "Alla", LegalAction: "I lagens mening", LogHelp: "De nyaste posterna först. Att läsa loggen loggas också, med frågan.",
		More2: "Mer", Older: "Äldre poster", NothingAsked: "Ingen post svarar mot urvalet. Ta bort något av det och sök igen:", NothingLogged: "Loggen har inga poster än.",
		BadObject: "Ange slag och nummer, till exempel camera:k1 eller clip:01J….", BadEvent: "Händelsen finns inte. Välj en i listan.",
		BadAction:  "Välj en i listan. Om den valda händelsen är något annat i lagens mening, välj bara en av de två.",
		BadInstant: "Tiden går inte att läsa. Ange datum och klockslag.", BadEnd: "Slutet ligger inte efter början. Ändra ett av dem.",
		BadAfter: "Adressen pekar inte ut någon sida av loggen. Sök igen.",
		TooLong:  "För långt. Korta av det.", OlderThan: "Äldre än post", WholeLog: "Sök i hela loggen",
		LogState: "Loggens läge", LogStateHelp: "Jämför roten med den som vittnena och en exporterad logg visar. Kontrollera en export med klarsyn verify log.",
		LogName: "Logg", LogEntries: "Poster", LogRoot: "Rot", LogSigned: "Signerad", LogWitness: "Vittne", LogSeen: "har sett till och med post",
		NeverSeen: "har aldrig hörts av", NoWitness: "Inget vittne är inlagt: bara den som driver loggen kan säga om den skrivits om.",
		Actions: map[policy.LegalAction]string{
			policy.Collection: "insamling", policy.Alteration: "ändring", policy.Consultation: "läsning", policy.Disclosure: "utlämning",
			policy.Combination: "sammanföring", policy.Erasure: "radering",
		},
		Events: swedishEvents(), permitWords: swedishPermits(), holdWords: swedishHolds(),
		Day: "d", Hour: "h", Minute: "min", Second: "s",
	}
}

func english() words {
	return words{
		Lang: "en", OtherLang: "sv", OtherName: "Svenska",
		Product: "Klarsyn", Tagline: "The square, under a permit", SkipToContent: "Skip to content",
		LogIn: "Log in", LogOut: "Log out", User: "User name", Password: "Password", LoggedInAs: "Logged in as",
		WrongCredentials: "User name and password do not belong together. Try again.",
		TooManyTries:     "Too many tries. Wait a while and try again.",
		LogUnavailable:   "The login could not be logged, so nobody is let in. Try again later.",
		Counts:           "People right now", CountsHelp: "The number is an estimate; ± gives its error in about nine cases of ten.",
		Camera: "Camera", Zone: "Zone", People: "People", Moving: "Of whom move", Counted: "Counted", State: "State", Recorder: "Recording",
		Qualities: map[camera.Quality]string{
			camera.QualityUnknown: "unknown", camera.QualityLearning: "unknown (learning the background)", camera.QualityLightsJumped: "unknown (the light changed at once)",
			camera.QualityCameraMoved: "unknown (the camera was moved)", camera.QualityObscured: "unknown (the view is obscured)",
			camera.QualityTooDark: "unknown (too dark)", camera.QualityDecoderLost: "unknown (the picture could not be read)",
		},
		FewerThan: "fewer than", StaleSince: "Out of date since",
		NoContact: "No contact with the server. The numbers are not current.",
		Recording: "recording", NotPermitted: "no permit holds", CameraDown: "camera down", OurFault: "our fault", NotTold: "unknown", Since: "since",
		Clips: "Recordings", ClipsHelp: "Without a choice the last ten minutes are shown.", NoClips: "Nothing was recorded in this time. Choose another.",
		From: "From", To: "To", Show: "Show", Length: "Length", Deadline: "Deadline", Size: "Size", Look: "Open", In: "in", Passed: "time is up",
		More:    "There are more: choose a shorter time.",
		BadTime: "The time cannot be read, or its end lies before its beginning. Change it and try again.", AllCameras: "All cameras",
		Pending: "being recorded", Committed: "recorded", Partial: "cut off", Lost: "lost", Deleting: "being deleted", Deleted: "deleted",
		Clip: "Recording", Permit: "Permit", Codec: "Coding", Frames: "frames", CameraTime: "The camera's own time",
		ClockFlagged: "The time is uncertain: the clocks of camera and server differed", Back: "To the square",
		LookHelp: "State purpose and case number. Every viewing is logged before its first picture is shown.",
		Purpose:  "Purpose", CaseNumber: "Case number", Choose: "Choose a purpose", OpenFootage: "Show the recording",
		MissingPurpose: "Choose a purpose that the permit allows.", MissingCase: "State a case number, at most 64 characters.",
		Denied: "The rules do not allow this viewing.", Gone: "The recording was deleted and cannot be shown.",
		NotReady: "It is still being recorded. Try again in a while.", NoFootage: "Nothing of the recording could be kept.",
		Damaged: "The recording is damaged. Tell the operator its number.", TryLater: "The log, the keys or the store cannot be reached. Nothing is shown. Try again later.",
		Player: "Recording", PlayerHelp: "Video without sound.", LoggedLook: "The viewing is logged for", NoFootageForRole: "Your role may not see pictures.",
		CrimeInvestigation: "Investigate a crime", CrimePrevention: "Prevent crime", PublicOrder: "Public order",
		AccidentInquiry: "Inquire into an accident", MissingPerson: "Missing person",
		Deletions: "Deletions", DeletionsHelp: "What was deleted in the last 24 hours, newest first.", NoDeletions: "Nothing was deleted in the last 24 hours.",
		Unreadable: "Unreadable after", DeletedAt: "Removed", Lag: "Gone after", Left: "Left", Proof: "Proof", SaveProof: "Save the proof",
		Audit: "Access log", AuditHelp: "The newest entries. Reading the log is logged too.", Number: "No.", Time: "Time", Event: "Event", Actor: "Who",
		Object: "What", Decision: "Decision",
		Investigator: "investigator", DashboardViewer: "counts", Auditor: "auditor", Operator: "operator",
		TimesAre: "All times: Europe/Stockholm.", Error: "Error", ToStart: "To the start page", NotFound: "There is nothing here that you may see.",
		Search: "Search the log", Any: "All", LegalAction: "In law", LogHelp: "Newest entries first. Reading the log is logged too, with the question.",
		More2: "More", Older: "Older entries", NothingAsked: "No entry matches the choice. Take something away from it and search again:", NothingLogged: "The log has no entries yet.",
		BadObject: "State kind and number, for example camera:k1 or clip:01J….", BadEvent: "There is no such event. Choose one of the list.",
		BadAction:  "Choose one of the list. If the chosen event is something else in law, choose only one of the two.",
		BadInstant: "The time cannot be read. State date and time of day.", BadEnd: "The end does not lie after the beginning. Change one of them.",
		BadAfter: "The address names no page of the log. Search again.",
		TooLong:  "Too long. Shorten it.", OlderThan: "Older than entry", WholeLog: "Search the whole log",
		LogState: "State of the log", LogStateHelp: "Compare the root with what the witnesses and an exported log show. Check an export with klarsyn verify log.",
		LogName: "Log", LogEntries: "Entries", LogRoot: "Root", LogSigned: "Signed", LogWitness: "Witness", LogSeen: "has seen up to entry",
		NeverSeen: "was never heard of", NoWitness: "No witness is configured: only who runs the log can say whether it was rewritten.",
		Actions: map[policy.LegalAction]string{
			policy.Collection: "collection", policy.Alteration: "alteration", policy.Consultation: "consultation", policy.Disclosure: "disclosure",
			policy.Combination: "combination", policy.Erasure: "erasure",
		},
		Events: englishEvents(), permitWords: englishPermits(), holdWords: englishHolds(),
		Day: "d", Hour: "h", Minute: "min", Second: "s",
	}
}

func wordsFor(lang string) words {
	if lang == "sv" {
		return swedish()
	}
	return english()
}

// preferred picks Swedish or English by an Accept-Language header; English if it names neither.
func preferred(header string) string {
	best, bestQ := "en", 0.0
	for item := range strings.SplitSeq(header, ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(item), ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(v, 64); err != nil || q < 0 || q > 1 {
				continue
			}
		}
		lang, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if (lang == "sv" || lang == "en") && q > bestQ {
			best, bestQ = lang, q
		}
	}
	return best
}

func (w words) state(s retention.State) string {
	switch s {
	case retention.Pending:
		return w.Pending
	case retention.Committed:
		return w.Committed
	case retention.Partial:
		return w.Partial
	case retention.Lost:
		return w.Lost
	case retention.Deleting:
		return w.Deleting
	case retention.Deleted:
		return w.Deleted
	}
	return string(s)
}

func (w words) role(r policy.Role) string {
	switch r {
	case policy.Investigator:
		return w.Investigator
	case policy.DashboardViewer:
		return w.DashboardViewer
	case policy.Auditor:
		return w.Auditor
	case policy.Operator:
		return w.Operator
	case policy.ComplianceOfficer:
		return w.ComplianceOfficer
	case policy.InvestigationLead:
		return w.InvestigationLead
	}
	return string(r)
}

func (w words) purpose(p string) string {
	switch p {
	case policy.CrimeInvestigation:
		return w.CrimeInvestigation
	case policy.CrimePrevention:
		return w.CrimePrevention
	case policy.PublicOrder:
		return w.PublicOrder
	case policy.AccidentInquiry:
		return w.AccidentInquiry
	case policy.MissingPerson:
		return w.MissingPerson
	}
	return p
}

func (w words) cause(c camera.Cause) string {
	switch c {
	case camera.NotPermitted:
		return w.NotPermitted
	case camera.CameraDown:
		return w.CameraDown
	case camera.Suspended:
		return w.Suspended
	case camera.MaskFailed:
		return w.MaskFailed
	case camera.OurFault:
		return w.OurFault
	case camera.StorageFull:
		return w.StorageFull
	}
	return w.NotTold
}

// quality says why there is no number, as a reader may know it.
func (w words) quality(q camera.Quality) string {
	if said := w.Qualities[q]; said != "" {
		return said
	}
	return w.Qualities[camera.QualityUnknown]
}

// QualityWords is Qualities for script.js.
func (w words) QualityWords() (string, error) {
	b, err := json.Marshal(w.Qualities)
	return string(b), err
}
