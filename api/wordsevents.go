package api

import "klarsyn/policy"

// event is what happened, in words. The log keeps the name that is never changed; a reader of the page should not have to know it.
func (w words) event(e policy.Event) string {
	if said := w.Events[e]; said != "" {
		return said
	}
	return string(e)
}

func swedishEvents() map[policy.Event]string {
	return map[policy.Event]string{
		policy.CameraStarted: "kamera började spela in", policy.CameraStopped: "kamera slutade spela in", policy.CameraRefused: "kamera fick inte spela in",
		policy.ScheduleStopped: "beslutets tider tog slut", policy.MaskChecked: "mask kontrollerad", policy.AudioChecked: "ljudspår kontrollerat",
		policy.ClipReserved: "inspelning påbörjad", policy.ClipCommitted: "inspelning sparad", policy.ClipPartial: "avbruten inspelning sparad", policy.ClipLost: "inspelning förlorad",

		policy.DeletionPlanned: "gallring bestämd", policy.ClipShredded: "inspelning gjord oläsbar", policy.ClipDeleted: "inspelning gallrad", policy.DeletionFailed: "gallring misslyckades",
		policy.OrphanDeleted: "överbliven fil raderad", policy.RedactionMade: "maskad version gjord", policy.RestrictionSet: "behandling begränsad",
		policy.DayKeyMinted: "dagsnyckel skapad", policy.DayKeyUsed: "dagsnyckel använd", policy.DayKeyDestroyed: "dagsnyckel förstörd", policy.MasterRotated: "huvudnyckel utbytt",
		policy.BackupMade: "säkerhetskopia gjord", policy.BackupRestored: "säkerhetskopia återläst", policy.DeletionsReplayed: "gallring gjord om efter återläsning",

		policy.Searched: "sökning", policy.Listed: "lista visad", policy.ThumbnailViewed: "miniatyr visad", policy.StillViewed: "stillbild visad",
		policy.LiveStarted: "direktbild öppnad", policy.LiveStopped: "direktbild stängd", policy.ViewingOpened: "visning öppnad", policy.ViewingClosed: "visning avslutad", policy.Denied: "åtkomst nekad",

		policy.RequestMade: "tillgång begärd", policy.RequestApproved: "begäran godkänd", policy.RequestRejected: "begäran avslagen", policy.RequestExpired: "begäran förfallen",
		policy.BreakGlassOpened: "nödåtkomst öppnad", policy.BreakGlassReviewed: "nödåtkomst granskad",

		policy.ExportBuilt: "export sammanställd", policy.ExportDownloaded: "export hämtad", policy.ExportDelivered: "export utlämnad", policy.ExportDestroyed: "export förstörd",
		policy.ClipShared: "inspelning delad", policy.RecipientNotified: "mottagare underrättad",

		policy.HoldPlaced: "bevarande placerat", policy.HoldRefused: "bevarande avslaget", policy.HoldExtended: "bevarande förlängt", policy.HoldLifted: "bevarande hävt",
		policy.HoldLiftAsked: "hävning begärd", policy.ClipHeldOver: "klipp bevarat efter gallringsfrist", policy.ClipCut: "del av klipp bevarad",
		policy.CaseKeyMinted: "ärendenyckel skapad", policy.CaseKeyDestroyed: "ärendenyckel förstörd",

		policy.PermitDrafted: "bevakningsbeslut upprättat", policy.PermitActivated: "bevakningsbeslut gäller", policy.PermitSuspended: "bevakningsbeslut vilar",
		policy.PermitExpired: "bevakningsbeslut löpt ut", policy.PermitRevoked: "bevakningsbeslut återkallat", policy.PermitEnded: "bevakningsbeslut avslutat", policy.SquareApplied: "torgets beskrivning ändrad", policy.RulesActivated: "regler gäller",

		policy.LoggedIn: "inloggning", policy.LoginFailed: "misslyckad inloggning", policy.LoggedOut: "utloggning", policy.AccountCreated: "konto skapat", policy.AccountChanged: "konto ändrat",

		policy.LogRead: "loggen läst", policy.LogExported: "loggen exporterad", policy.LogPruned: "gamla loggposter raderade", policy.LogKeyRotated: "loggens nyckel bytt",
		policy.LogGrowth: "loggen växer för fort", policy.CheckpointCosigned: "vittne har signerat loggen", policy.ReportGenerated: "rapport framställd",

		policy.ServiceStarted: "tjänst startad", policy.ServiceStopped: "tjänst stoppad", policy.ClockFault: "fel på klockan", policy.Repaired: "fel rättat vid kontroll",
	}
}

func englishEvents() map[policy.Event]string {
	return map[policy.Event]string{
		policy.CameraStarted: "camera began to record", policy.CameraStopped: "camera stopped recording", policy.CameraRefused: "camera might not record",
		policy.ScheduleStopped: "the permit's hours ended", policy.MaskChecked: "mask checked", policy.AudioChecked: "sound tracks checked",
		policy.ClipReserved: "recording begun", policy.ClipCommitted: "recording kept", policy.ClipPartial: "cut-off recording kept", policy.ClipLost: "recording lost",

		policy.DeletionPlanned: "deletion planned", policy.ClipShredded: "recording made unreadable", policy.ClipDeleted: "recording deleted", policy.DeletionFailed: "deletion failed",
		policy.OrphanDeleted: "left-over file deleted", policy.RedactionMade: "masked version made", policy.RestrictionSet: "processing restricted",
		policy.DayKeyMinted: "day key made", policy.DayKeyUsed: "day key used", policy.DayKeyDestroyed: "day key destroyed", policy.MasterRotated: "master key rotated",
		policy.BackupMade: "backup made", policy.BackupRestored: "backup restored", policy.DeletionsReplayed: "deletions done again after a restore",

		policy.Searched: "search", policy.Listed: "list shown", policy.ThumbnailViewed: "thumbnail shown", policy.StillViewed: "still shown",
		policy.LiveStarted: "live picture opened", policy.LiveStopped: "live picture closed", policy.ViewingOpened: "viewing opened", policy.ViewingClosed: "viewing closed", policy.Denied: "access denied",

		policy.RequestMade: "access requested", policy.RequestApproved: "request approved", policy.RequestRejected: "request rejected", policy.RequestExpired: "request expired",
		policy.BreakGlassOpened: "emergency access opened", policy.BreakGlassReviewed: "emergency access reviewed",

		policy.ExportBuilt: "export built", policy.ExportDownloaded: "export downloaded", policy.ExportDelivered: "export handed over", policy.ExportDestroyed: "export destroyed",
		policy.ClipShared: "recording shared", policy.RecipientNotified: "recipient notified",

		policy.HoldPlaced: "hold placed", policy.HoldRefused: "hold refused", policy.HoldExtended: "hold extended", policy.HoldLifted: "hold lifted",
		policy.HoldLiftAsked: "lifting asked for", policy.ClipHeldOver: "clip held past its deadline", policy.ClipCut: "part of a clip kept",
		policy.CaseKeyMinted: "case key minted", policy.CaseKeyDestroyed: "case key destroyed",

		policy.PermitDrafted: "permit drafted", policy.PermitActivated: "permit in force", policy.PermitSuspended: "permit suspended",
		policy.PermitExpired: "permit expired", policy.PermitRevoked: "permit revoked", policy.PermitEnded: "permit ended", policy.SquareApplied: "description of the square changed", policy.RulesActivated: "rules in force",

		policy.LoggedIn: "login", policy.LoginFailed: "failed login", policy.LoggedOut: "logout", policy.AccountCreated: "account created", policy.AccountChanged: "account changed",

		policy.LogRead: "log read", policy.LogExported: "log exported", policy.LogPruned: "old log entries removed", policy.LogKeyRotated: "the log's key changed",
		policy.LogGrowth: "the log grows too fast", policy.CheckpointCosigned: "witness cosigned the log", policy.ReportGenerated: "report made",

		policy.ServiceStarted: "service started", policy.ServiceStopped: "service stopped", policy.ClockFault: "clock fault", policy.Repaired: "put right by a check",
	}
}
