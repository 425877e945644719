package policy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"klarsyn/policy"
)

// What intrudes more needs a new assessment first, and names itself; the rest does not.
func TestRaises(t *testing.T) {
	none := func(*policy.Permit) {}
	nights := func(p *policy.Permit) {
		p.Schedule = &policy.Schedule{Weekly: []policy.Window{window(t, "every day", "21:00–06:00")}}
	}
	except := func(e ...policy.Exception) func(*policy.Permit) {
		return func(p *policy.Permit) {
			nights(p)
			p.Schedule.Exceptions = e
		}
	}
	christmas := closed(t, "Christmas", "2026-12-24", "FREQ=YEARLY", "00:00–24:00")
	for _, c := range []struct {
		what     string
		from, to func(*policy.Permit) // changes to the same permit
		want     string               // empty: nobody is watched more
	}{
		{"nothing", none, none, ""},

		{"another camera", none, func(p *policy.Permit) { p.Cameras[1] = "k3" }, "camera k3"},
		{"one camera more", func(p *policy.Permit) { p.MaxCameras = 0 }, func(p *policy.Permit) {
			p.MaxCameras, p.Cameras = 0, append(p.Cameras, "k3")
		}, "camera k3"},
		{"one camera less, and its mask", none, func(p *policy.Permit) { p.Cameras, p.Masks = []string{"k2"}, nil }, ""},
		{"more cameras allowed", none, func(p *policy.Permit) { p.MaxCameras = 3 }, "max_cameras"},
		{"any number of cameras allowed", none, func(p *policy.Permit) { p.MaxCameras = 0 }, "max_cameras"},
		{"fewer cameras allowed", func(p *policy.Permit) { p.MaxCameras = 9 }, none, ""},
		{"the number of cameras limited", func(p *policy.Permit) { p.MaxCameras = 0 }, none, ""},

		{"another place", none, func(p *policy.Permit) { p.Place = &policy.Place{Address: "Stortorget", Type: "torg"} }, "place"},
		{"another area of it", none, func(p *policy.Permit) { p.Place.Polygon[0].X = 18 }, "place"},
		{"no place said any more", none, func(p *policy.Permit) { p.Place = nil }, "place"},
		{"a place said for the first time", func(p *policy.Permit) { p.Place = nil }, none, ""},

		{"a mask gone", none, func(p *policy.Permit) { p.Masks = nil }, "mask homes of camera k1 is gone"},
		{"a mask on another camera only", none, func(p *policy.Permit) { p.Masks[0].Camera = "k2" }, "mask homes of camera k1 is gone"},
		{"a mask of another shape", none, func(p *policy.Permit) { p.Masks[0].Polygon[2].Y = 0.2 }, "mask homes"},
		{"a mask of another shape under a new version", none, func(p *policy.Permit) { p.Masks[0].Polygon[2].Y, p.Masks[0].Version = 0.2, 2 }, "mask homes"},
		{"blurred, no longer black", none, func(p *policy.Permit) { p.Masks[0].Kind = "blur" }, "mask homes"},
		{"black, no longer blurred", func(p *policy.Permit) { p.Masks[0].Kind = "blur" }, none, ""},
		{"blurred as before", func(p *policy.Permit) { p.Masks[0].Kind = "blur" }, func(p *policy.Permit) { p.Masks[0].Kind = "blur" }, ""},
		{"one mask more", func(p *policy.Permit) { p.Masks = nil }, none, ""},
		{"a mask of another version, and the same shape", none, func(p *policy.Permit) { p.Masks[0].Version, p.Masks[0].Calibration = 2, "k1-2026-06-01" }, ""},

		{"longer hours", nights, func(p *policy.Permit) {
			p.Schedule = &policy.Schedule{Weekly: []policy.Window{window(t, "every day", "21:00–06:01")}}
		}, "hours"},
		{"other hours, as many", nights, func(p *policy.Permit) {
			p.Schedule = &policy.Schedule{Weekly: []policy.Window{window(t, "every day", "20:00–05:00")}}
		}, "hours"},
		{"one more day of the week", func(p *policy.Permit) {
			p.Schedule = &policy.Schedule{Weekly: []policy.Window{window(t, "fri", "21:00–06:00")}}
		}, func(p *policy.Permit) {
			p.Schedule = &policy.Schedule{Weekly: []policy.Window{window(t, "fri sat", "21:00–06:00")}}
		}, "hours"},
		{"around the clock", nights, func(p *policy.Permit) { p.Schedule = nil }, "hours"},
		{"an exception gone", except(christmas), nights, "hours"},
		{"opened for a day", nights, except(open(t, "festival", "2026-08-15", "", "12:00–21:00")), "hours"},
		{"opened for a leap day, in two years' time", nights, except(open(t, "leap", "2026-01-01", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "12:00–12:30")), "hours"},
		{"opened for a day long from now, by a permit of then", func(p *policy.Permit) {
			nights(p)
			p.ValidFrom, p.ValidTo = at(t, "2035-01-01T00:00:00Z"), at(t, "2038-01-01T00:00:00Z")
		}, func(p *policy.Permit) {
			except(open(t, "festival", "2036-08-15", "", "12:00–21:00"))(p)
			p.ValidFrom, p.ValidTo = at(t, "2035-01-01T00:00:00Z"), at(t, "2038-01-01T00:00:00Z")
		}, "hours"},
		{"open only in the first pass of the doubled hour too", func(p *policy.Permit) {
			p.Schedule = &policy.Schedule{Weekly: []policy.Window{window(t, "every day", "02:30–06:00")}}
		}, func(p *policy.Permit) {
			p.Schedule = &policy.Schedule{Weekly: []policy.Window{window(t, "every day", "02:30–06:00"), window(t, "every day", "01:59–02:30")}}
		}, "hours"},
		{"hours for the first time", func(p *policy.Permit) { p.Schedule = nil }, nights, ""},
		{"shorter hours", nights, func(p *policy.Permit) {
			p.Schedule = &policy.Schedule{Weekly: []policy.Window{window(t, "mon tue", "21:00–05:59")}}
		}, ""},
		{"the same hours in two windows", nights, func(p *policy.Permit) {
			p.Schedule = &policy.Schedule{Weekly: []policy.Window{window(t, "every day", "21:00–24:00"), window(t, "every day", "00:00–06:00")}}
		}, ""},
		{"the whole week as windows", func(p *policy.Permit) { p.Schedule = nil }, func(p *policy.Permit) {
			p.Schedule = &policy.Schedule{Weekly: []policy.Window{window(t, "every day", "00:00–24:00")}}
		}, ""},
		{"and back", func(p *policy.Permit) {
			p.Schedule = &policy.Schedule{Weekly: []policy.Window{window(t, "every day", "00:00–24:00")}}
		}, func(p *policy.Permit) { p.Schedule = nil }, ""},
		{"closed for a day", nights, except(christmas), ""},
		{"opened when it is open", nights, except(open(t, "x", "2026-08-15", "", "22:00–23:00")), ""},
		{"opened when it is closed by exception", except(christmas), except(christmas, open(t, "x", "2026-12-24", "", "12:00–13:00")), ""},

		{"it begins earlier", none, func(p *policy.Permit) { p.ValidFrom = p.ValidFrom.Add(-time.Hour) }, "longer"},
		{"it ends later", none, func(p *policy.Permit) { p.ValidTo = p.ValidTo.Add(time.Second) }, "longer"},
		{"it has no end any more", none, func(p *policy.Permit) { p.ValidTo = time.Time{} }, "longer"},
		{"it begins later and ends earlier", none, func(p *policy.Permit) {
			p.ValidFrom, p.ValidTo = p.ValidFrom.Add(time.Hour), p.ValidTo.Add(-time.Hour)
		}, ""},
		{"it has an end now", func(p *policy.Permit) { p.ValidTo = time.Time{} }, none, ""},
		{"the end of the law written down", func(p *policy.Permit) { p.Basis, p.ValidTo = policy.Temporary, time.Time{} }, func(p *policy.Permit) {
			p.Basis, p.ValidTo = policy.Temporary, at(t, "2026-03-31T23:00:00Z")
		}, ""},

		{"recorded, not only counted", func(p *policy.Permit) { p.Mode = policy.CountOnly }, none, "recorded"},
		{"recorded, by leaving the mode out", func(p *policy.Permit) { p.Mode = policy.CountOnly }, func(p *policy.Permit) { p.Mode = "" }, "recorded"},
		{"counted only", none, func(p *policy.Permit) { p.Mode = policy.CountOnly }, ""},
		{"recording, said in other words", none, func(p *policy.Permit) { p.Mode = "" }, ""},
		{"counted, said in other words", none, func(p *policy.Permit) { p.Analytics = nil }, ""},
		{"people counted", func(p *policy.Permit) { p.Analytics = []string{"none"} }, none, "counted"},
		{"smaller counts published", none, func(p *policy.Permit) { p.MinCell = 4 }, "from 4 on"},
		{"only larger counts published", none, func(p *policy.Permit) { p.MinCell = 6 }, ""},
		{"sound", none, func(p *policy.Permit) { p.Audio = true }, "sound"},
		{"no sound", func(p *policy.Permit) { p.Audio = true }, none, ""},
		{"cameras turn", none, func(p *policy.Permit) { p.PTZ = true }, "turned"},
		{"cameras stand still", func(p *policy.Permit) { p.PTZ = true }, none, ""},

		{"wider pictures", none, func(p *policy.Permit) { p.Limits.Width = 3840 }, "width"},
		{"higher pictures", none, func(p *policy.Permit) { p.Limits.Height = 2160 }, "height"},
		{"more pictures", none, func(p *policy.Permit) { p.Limits.Rate = 12.6 }, "rate"},
		{"pictures without a limit", none, func(p *policy.Permit) { p.Limits = policy.Limits{} }, "width"},
		{"smaller and fewer pictures", none, func(p *policy.Permit) { p.Limits = policy.Limits{Width: 640, Height: 360, Rate: 1} }, ""},
		{"limits for the first time", func(p *policy.Permit) { p.Limits = policy.Limits{} }, none, ""},

		{"kept longer", none, func(p *policy.Permit) { p.Retention = period(t, "P3M") }, "P3M"},
		{"kept longer in some years only", func(p *policy.Permit) { p.Retention = period(t, "P1Y") }, func(p *policy.Permit) { p.Retention = period(t, "P366D") }, "P366D"},
		{"72 hours, not three days, are longer in spring", func(p *policy.Permit) { p.Retention = period(t, "P3D") }, func(p *policy.Permit) { p.Retention = period(t, "PT72H") }, "PT72H"},
		{"three days, not 72 hours, are longer in autumn", func(p *policy.Permit) { p.Retention = period(t, "PT72H") }, func(p *policy.Permit) { p.Retention = period(t, "P3D") }, "P3D"},
		{"kept shorter", none, func(p *policy.Permit) { p.Retention = period(t, "P3D") }, ""},
		{"as long in other words", none, func(p *policy.Permit) { p.Retention = period(t, "P2M") }, ""},
		{"28 days, not a month", func(p *policy.Permit) { p.Retention = period(t, "P1M") }, func(p *policy.Permit) { p.Retention = period(t, "P27D") }, ""},

		{"another purpose", none, func(p *policy.Permit) { p.Purposes = []string{policy.PublicOrder} }, policy.PublicOrder},
		{"one purpose more", none, func(p *policy.Permit) { p.Purposes = append(p.Purposes, policy.PublicOrder) }, policy.PublicOrder},
		{"one purpose less", func(p *policy.Permit) { p.Purposes = append(p.Purposes, policy.PublicOrder) }, none, ""},
		{"one role more", none, func(p *policy.Permit) { p.Roles = append(p.Roles, policy.Operator) }, "role operator"},
		{"any role", none, func(p *policy.Permit) { p.Roles = nil }, "every role"},
		{"some roles only", func(p *policy.Permit) { p.Roles = nil }, none, ""},
		{"one role less", func(p *policy.Permit) { p.Roles = []policy.Role{policy.Operator, policy.Investigator} }, none, ""},
		{"nobody approves", none, func(p *policy.Permit) { p.Approval = false }, "approves"},
		{"somebody approves", func(p *policy.Permit) { p.Approval = false }, none, ""},
		{"exported", none, func(p *policy.Permit) { p.Export = true }, "exported"},
		{"not exported", func(p *policy.Permit) { p.Export = true }, none, ""},

		{"another law", none, func(p *policy.Permit) { p.Regime = policy.Municipal }, "law or basis"},
		{"another basis", none, func(p *policy.Permit) { p.Basis = policy.Legacy }, "law or basis"},

		{"other papers and signs", none, func(p *policy.Permit) {
			p.Version, p.Review, p.Processor, p.Signs = 2, "2027-01-01", "", nil
			p.Assessment = nil
		}, ""},
	} {
		from, to := full(t), full(t)
		c.from(&from)
		c.to(&to)
		got := policy.Raises(from, to)
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%s: %q, and nobody is watched more", c.what, got)
		case c.want != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, c.want) }):
			t.Errorf("%s: %q, want one that says %q", c.what, got, c.want)
		}
	}
	// All at once, so that who decides sees all of it.
	to := full(t)
	to.Cameras, to.MaxCameras, to.Masks, to.Schedule, to.Retention, to.Approval = []string{"k1", "k3"}, 3, nil, nil, period(t, "P5M"), false
	if got := policy.Raises(full(t), to); len(got) != 6 {
		t.Errorf("%d raises, want 6: %q", len(got), got)
	}
}

func TestActivation(t *testing.T) {
	temporary := func(p *policy.Permit) {
		p.Basis, p.Assessment, p.ValidTo = policy.Temporary, nil, time.Time{}
	}
	longer := func(p *policy.Permit) { p.Version, p.Retention = 2, period(t, "P5M") }
	for _, c := range []struct {
		what     string
		from, to func(*policy.Permit) // from nil: none was in force before
		want     []string             // the fields of its faults
	}{
		{"the first version, assessed", nil, func(*policy.Permit) {}, nil},
		{"the first version, not assessed", nil, func(p *policy.Permit) { p.Assessment = nil }, []string{"assessment"}},
		{"an old permit, without the paper that is its assessment", nil, func(p *policy.Permit) { p.Basis, p.Assessment = policy.Legacy, nil }, []string{"assessment"}},
		{"a temporary one needs none", nil, temporary, nil},
		{"nor does an urgent one", nil, func(p *policy.Permit) {
			temporary(p)
			p.Basis = policy.Urgent
		}, nil},
		{"faults of the permit itself", nil, func(p *policy.Permit) { p.Retention, p.Assessment = policy.Period{}, nil }, []string{"retention", "assessment"}},
		{"the same version again", func(*policy.Permit) {}, func(*policy.Permit) {}, []string{"version"}},
		{"an earlier version", func(p *policy.Permit) { p.Version = 3 }, func(p *policy.Permit) { p.Version = 2 }, []string{"version"}},
		{"nobody is watched more: the old assessment will do", func(*policy.Permit) {}, func(p *policy.Permit) { p.Version, p.Retention = 2, period(t, "P3D") }, nil},
		{"intrudes more, on the old assessment", func(*policy.Permit) {}, longer, []string{"assessment"}},
		{"intrudes more, on the old decision with its document written anew", func(*policy.Permit) {}, func(p *policy.Permit) {
			longer(p)
			p.Assessment.SHA256 = strings.Repeat("0b", 32)
		}, []string{"assessment"}},
		{"intrudes more, on the old document with another number", func(*policy.Permit) {}, func(p *policy.Permit) {
			longer(p)
			p.Assessment.Diary, p.Assessment.Date = "A999.999/2026", "2026-05-01"
		}, []string{"assessment"}},
		{"intrudes more, on a new assessment", func(*policy.Permit) {}, func(p *policy.Permit) {
			longer(p)
			p.Assessment.SHA256, p.Assessment.Date = strings.Repeat("0b", 32), "2026-05-01"
		}, nil},
		{"intrudes more, on another assessment of the same day", func(*policy.Permit) {}, func(p *policy.Permit) {
			longer(p)
			p.Assessment.SHA256, p.Assessment.Diary = strings.Repeat("0b", 32), "A999.999/2026"
		}, nil},
		{"intrudes more, without any", func(*policy.Permit) {}, func(p *policy.Permit) {
			longer(p)
			p.Assessment = nil
		}, []string{"assessment"}},
		{"assessed after it was temporary", temporary, func(p *policy.Permit) { p.Version = 2 }, nil},
		{"temporary, changed within its months", temporary, func(p *policy.Permit) {
			temporary(p)
			p.Version, p.ValidTo = 2, p.ValidFrom.AddDate(0, 2, 0)
		}, nil},
		{"temporary, and its months begun anew", temporary, func(p *policy.Permit) {
			temporary(p)
			p.Version, p.ValidFrom = 2, p.ValidFrom.AddDate(0, 3, 0)
		}, []string{"valid_from"}},
		{"urgent first, then temporary: another basis, whose months are its own", func(p *policy.Permit) {
			temporary(p)
			p.Basis = policy.Urgent
		}, func(p *policy.Permit) {
			temporary(p)
			p.Version, p.ValidFrom = 2, p.ValidFrom.AddDate(0, 0, 14)
		}, nil},
		{"assessed, and begun anew", func(*policy.Permit) {}, func(p *policy.Permit) {
			p.Version, p.ValidFrom = 2, p.ValidFrom.AddDate(0, 3, 0)
		}, nil},
	} {
		p := full(t)
		c.to(&p)
		var before *policy.Permit
		if c.from != nil {
			b := full(t)
			c.from(&b)
			before = &b
		}
		var got []string
		for _, f := range p.Activation(before) {
			got = append(got, f.Field)
			if f.What == "" {
				t.Errorf("%s: %s says nothing", c.what, f.Field)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want faults of %v", c.what, p.Activation(before), c.want)
		}
	}
	// It says which law and which change.
	p := full(t)
	p.Version, p.PTZ = 2, true
	before := full(t)
	if f := p.Activation(&before); len(f) != 1 || !strings.Contains(f[0].What, "turned") || !strings.Contains(f[0].What, "version 1") {
		t.Errorf("%v", f)
	}
	p.Assessment = nil
	if f := p.Activation(nil); len(f) != 1 || !strings.Contains(f[0].What, "KBL 14 b §") {
		t.Errorf("%v", f)
	}
}
