package rtsp

import "github.com/bluenviron/gortsplib/v5/pkg/description"

// Offer is what a camera offers in a session beside the one video track that is taken. None of it is set up, so a camera has
// no leave to send it.
type Offer struct {
	Audio int // tracks of sound, also one that the camera would play
	Other int // further video, and what is neither: events, subtitles
}

// besides counts the tracks of a description but for the one that is taken.
func besides(desc *description.Session, taken *description.Media) (o Offer) {
	for _, m := range desc.Medias {
		switch {
		case m == taken:
		case m.Type == description.MediaTypeAudio:
			o.Audio++
		default:
			o.Other++
		}
	}
	return o
}

func (c *Client) offered(o Offer) {
	c.n.offer.Store(&o)
	if c.cfg.Offered != nil {
		c.cfg.Offered(o)
	}
}
