package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// RegisterRow is one line of the register (förteckning, KBL 10 §): its five items, and when the surveillance began and ended.
type RegisterRow struct {
	Permit  string `json:"permit"`
	Version int    `json:"version"`
	// The five items of 10 §.
	Address    string `json:"address"`
	PlaceType  string `json:"place_type"`
	Purposes   string `json:"purposes"`
	Technology string `json:"audio_or_special_technology"` // "none", or what
	Assessed   string `json:"assessment"`                  // day and diary number of the latest assessment; "none"

	Controller string           `json:"controller"`
	Regime     Regime           `json:"regime"`
	Duty       string           `json:"register"` // mandatory or voluntary
	State      PermitState      `json:"state"`
	Start      time.Time        `json:"start,omitzero"`
	End        time.Time        `json:"end,omitzero"`
	History    []RegisterChange `json:"history"`
}

// RegisterChange is a version that came before, or a change of state.
type RegisterChange struct {
	Version int         `json:"version"`
	State   PermitState `json:"state"`
	At      time.Time   `json:"at"`
	By      string      `json:"by"`
	Reason  string      `json:"reason,omitempty"`
}

// RegisterKeeps is how long the register tells of a surveillance that is over: at least five years (KBL 10 § second paragraph).
const RegisterKeeps = "P5Y"

// Register is the register at a time: a line for each permit that was ever in force, by its newest version, with its history.
// What ended more than five years before is not told any more.
func (s *Permits) Register(now time.Time) []RegisterRow {
	keeps, err := ParsePeriod(RegisterKeeps)
	if err != nil {
		panic(err) // it is written above
	}
	var rows []RegisterRow
	done := map[string]bool{}
	for _, v := range s.versions() {
		if len(v.Steps) == 0 || done[v.Permit.ID] {
			continue
		}
		done[v.Permit.ID] = true
		row := s.registerRow(v, now)
		if row.End.IsZero() || now.Before(keeps.After(row.End)) {
			rows = append(rows, row)
		}
	}
	return rows
}

func (s *Permits) registerRow(newest Version, now time.Time) RegisterRow {
	p := newest.Permit
	row := RegisterRow{
		Permit: p.ID, Version: p.Version, Purposes: strings.Join(p.Purposes, ", "), Technology: "none", Assessed: "none",
		Controller: p.Controller, Regime: p.Regime, State: newest.StateAt(now),
	}
	if p.Place != nil {
		row.Address, row.PlaceType = p.Place.Address, p.Place.Type
	}
	if p.Audio {
		row.Technology = "audio"
	}
	if a := p.Assessment; a != nil {
		row.Assessed = a.Date + ", " + a.Diary
	}
	if rules, ok := RulesOf(p.Regime); ok {
		row.Duty = rules.Register
	}
	for _, v := range s.versions() {
		if v.Permit.ID != p.ID {
			continue
		}
		for _, step := range v.Steps {
			row.History = append(row.History, RegisterChange{v.Permit.Version, step.State, step.At, step.Actor, step.Reason})
		}
		for _, i := range v.inForce() {
			if row.Start.IsZero() || i.From.Before(row.Start) {
				row.Start = i.From
			}
		}
	}
	slices.SortStableFunc(row.History, func(a, b RegisterChange) int { return cmp.Or(a.At.Compare(b.At), a.Version-b.Version) })
	switch row.State {
	case Expired:
		row.End = p.Ends()
	case Revoked, Ended:
		row.End = newest.Steps[len(newest.Steps)-1].At
	}
	return row
}
