package outbox

import "time"

const (
	// slowest is the least that an account sends in a second, however often it asks for fewer.
	slowest = 0.1
	// afterFirst and afterMore are what is left of a rate when an account asks for fewer: the first time, it is known what
	// it has answered just before.
	afterFirst, afterMore = 0.9, 0.7
	// paceEnds is the rate from which on an account is not paced any more.
	paceEnds = 1000
)

// faster is how much a rate grows with each answer, and so by which part of it in a second: the more, the longer ago
// the account asked for fewer. A limit is met again soon, and what was no limit is soon forgotten.
var faster = []struct {
	after  time.Duration
	growth float64
}{{10 * time.Second, 0.5}, {5 * time.Second, 0.1}, {0, 0.01}}

// pace bounds how many entries an account sends in a second, once it has asked for fewer calls: how many it has at work
// says little of that where calls take milliseconds.
type pace struct {
	// rate is how many a second. 0 is no bound.
	rate float64
	// room is how many may be sent at once, as of counted.
	room    float64
	counted time.Time
	// refusedAt is when the account asked last: it does so for all that was on its way.
	refusedAt time.Time
	// second is one of the clock's, with what was answered in it and in the one before.
	second      int64
	now, before float64
}

// answered counts an answer, and lets the account be a little faster.
func (p *pace) answered(at time.Time) {
	p.turn(at)
	p.now++
	if p.rate == 0 {
		return
	}
	for _, f := range faster {
		if at.Sub(p.refusedAt) >= f.after {
			p.rate += f.growth
			break
		}
	}
	if p.rate >= paceEnds {
		p.rate = 0
	}
}

func (p *pace) turn(at time.Time) {
	switch second := at.Unix(); second {
	case p.second:
	case p.second + 1:
		p.second, p.now, p.before = second, 0, p.now
	default:
		p.second, p.now, p.before = second, 0, 0
	}
}

// refused slows the account down.
func (p *pace) refused(at time.Time) {
	p.turn(at)
	if at.Sub(p.refusedAt) < time.Second {
		return
	}
	p.refusedAt = at
	if p.rate == 0 {
		p.rate = afterFirst * max(p.now, p.before, 1)
	} else {
		p.rate = max(afterMore*p.rate, slowest)
	}
	p.room, p.counted = 0, at
}

// allowed returns how many entries may be sent now, of most, and how long it takes until there is room for one more.
func (p *pace) allowed(at time.Time, most int) (n int, wait time.Duration) {
	if p.rate == 0 {
		return most, 0
	}
	burst := max(1, p.rate/4)
	p.room = min(burst, p.room+p.rate*max(0, at.Sub(p.counted).Seconds()))
	p.counted = at
	next := max(1-max(p.room, 0), 0) / p.rate
	return min(most, int(p.room)), max(time.Duration(next*float64(time.Second)), time.Millisecond)
}

// sent takes the room of an entry.
func (p *pace) sent() {
	if p.rate > 0 {
		p.room--
	}
}
