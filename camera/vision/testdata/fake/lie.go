package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"klarsyn/camera"
	"klarsyn/camera/vision/sandbox"
	"klarsyn/camera/vision/wire"
)

// lie is a child that hostile video has taken over: all that it may still do is to say something.
func lie(how string, out *wire.Writer, hello wire.Hello) error {
	if err := sandbox.Drop(sandbox.Limits{Data: 1 << 30}); err != nil {
		return err
	}
	if err := out.Write(hello); err != nil {
		return err
	}
	in := wire.NewReader(os.Stdin)
	var zones []wire.Sample
	for {
		m, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case wire.Setup:
			for _, z := range m.Profile.Zones {
				zones = append(zones, wire.Sample{Zone: z.ID, Present: 1, High: 2, Quality: camera.QualityOK})
			}
			if how == "answers before it is asked" {
				err = out.Write(answer(wire.Samples{Seq: 1, Time: time.Now(), Zones: zones}))
			}
		case wire.AccessUnit:
			err = say(how, out, wire.Samples{Seq: m.Seq, Time: m.Time, Zones: append([]wire.Sample(nil), zones...)})
		}
		if err != nil {
			return err
		}
	}
}

// say makes something else of the right answer.
func say(how string, out *wire.Writer, right wire.Samples) error {
	first := &right.Zones[0]
	switch how {
	case "answers before it is asked":
		return nil
	case "answers another keyframe":
		return out.Write(wire.Answer{Seq: right.Seq + 1, Pictures: []wire.Samples{right}})
	case "counts another keyframe":
		seq := right.Seq
		right.Seq++
		return out.Write(wire.Answer{Seq: seq, Pictures: []wire.Samples{right}})
	case "counts twice":
		return out.Write(wire.Answer{Seq: right.Seq, Pictures: []wire.Samples{right, right}})
	case "counts nothing":
		return out.Write(wire.Answer{Seq: right.Seq})
	case "answers another time":
		right.Time = right.Time.Add(-time.Hour)
	case "answers twice":
		if err := out.Write(answer(right)); err != nil {
			return err
		}
	case "invents a zone":
		first.Zone = "\x1b[31mnorth"
	case "swaps zones":
		right.Zones[0], right.Zones[1] = right.Zones[1], right.Zones[0]
	case "forgets a zone":
		right.Zones = right.Zones[:1]
	case "counts no number":
		first.Present = math.NaN()
	case "counts below nobody":
		first.Low = -1
	case "counts what it could not":
		right.Fault = "no picture came out"
	case "says something else":
		return out.Write(wire.Progress{Done: 1, Total: 1})
	case "gives up":
		return out.Write(wire.Fault{Text: "I\n\x1b[2Jgive up"})
	case "says nothing":
		return nil
	case "claims four gigabytes":
		_, err := os.Stdout.Write([]byte{0xff, 0xff, 0xff, 0xff, 'R'})
		return err
	case "stops within a word":
		_, err := os.Stdout.Write([]byte{0, 0, 0, 99, 'R', 1, 2, 3})
		return err
	case "makes noise":
		_, err := os.Stdout.Write(bytes.Repeat([]byte("noise "), 10_000))
		return err
	case "ends":
		os.Exit(0)
	default:
		return fmt.Errorf("no lie is called %q", how)
	}
	return out.Write(answer(right))
}

func answer(s wire.Samples) wire.Answer { return wire.Answer{Seq: s.Seq, Pictures: []wire.Samples{s}} }
