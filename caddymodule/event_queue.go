package caddymodule

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"
)

// maxQueuedEvents is how many events wait for handlers that are slow.
const maxQueuedEvents = 1000

// eventPatience is how long a stop waits for the handlers of the events that are left. Tests shorten it.
var eventPatience = time.Second

// eventQueue hands events to Caddy's events app one after the other: its handlers may take their time, and no hook and
// no delivery waits for them.
type eventQueue struct {
	app    *App
	events *caddyevents.App
	queued chan queuedEvent
	// started is set once all apps have started: before, the events app must not be asked.
	started         atomic.Bool
	stopping, ended chan struct{}
}

type queuedEvent struct {
	name string
	data map[string]any
}

func newEventQueue(ctx caddy.Context, a *App) (*eventQueue, error) {
	events, err := ctx.App("events")
	if err != nil {
		return nil, err
	}
	q := &eventQueue{
		app: a, events: events.(*caddyevents.App), queued: make(chan queuedEvent, maxQueuedEvents),
		stopping: make(chan struct{}), ended: make(chan struct{}),
	}
	return q, q.events.On("started", q)
}

// Handle begins to emit what is queued. It implements caddyevents.Handler, for Caddy's event "started".
func (q *eventQueue) Handle(context.Context, caddy.Event) error {
	if q.started.CompareAndSwap(false, true) {
		go q.run()
	}
	return nil
}

// wants reports whether anybody may handle an event.
func (q *eventQueue) wants(name string) bool { return !q.started.Load() || q.events.ShouldEmit(name) }

// emit queues an event.
func (q *eventQueue) emit(name string, data map[string]any) {
	if !q.wants(name) {
		return
	}
	select {
	case <-q.stopping:
		q.drop(name)
		return
	default:
	}
	select {
	case q.queued <- queuedEvent{name, data}:
	default:
		q.drop(name)
	}
}

func (q *eventQueue) drop(name string) {
	q.app.metrics.eventsDropped.Inc()
	q.app.logger.Warn("event is dropped: the handlers of events are too slow", zap.String("event", name))
}

func (q *eventQueue) run() {
	defer close(q.ended)
	for {
		select {
		case e := <-q.queued:
			q.handle(e)
		case <-q.stopping:
			q.runUntil(time.Now().Add(eventPatience))
			return
		}
	}
}

// runUntil emits what is left, until a time.
func (q *eventQueue) runUntil(end time.Time) {
	for time.Now().Before(end) {
		select {
		case e := <-q.queued:
			q.handle(e)
		default:
			return
		}
	}
}

func (q *eventQueue) handle(e queuedEvent) {
	defer func() {
		if failure := recover(); failure != nil {
			q.app.logger.Error("a handler of events crashed", zap.String("event", e.name),
				zap.String("panic", fmt.Sprint(failure)), zap.String("stack", string(debug.Stack())))
		}
	}()
	q.events.Emit(q.app.ctx, e.name, e.data)
}

// stop waits a second at most for the handlers of what is queued, and drops the rest.
func (q *eventQueue) stop() {
	close(q.stopping)
	if q.started.Load() {
		select {
		case <-q.ended:
		case <-time.After(eventPatience):
		}
	}
	for {
		select {
		case e := <-q.queued:
			q.drop(e.name)
		default:
			return
		}
	}
}
