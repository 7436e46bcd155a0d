package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Start begins to deliver. It may be called again after Stop.
func (o *Outbox) Start(context.Context) error {
	o.life.Lock()
	defer o.life.Unlock()
	if o.stop != nil {
		return nil
	}
	running, stop := context.WithCancel(o.closed)
	working, cut := context.WithCancel(context.Background())
	o.stop, o.cut = stop, cut
	o.dispatching.Go(func() { o.dispatch(running, working) })
	return nil
}

// Stop ends the delivery: what is being sent may end until ctx does, and its outcome is unknown after that. Put goes
// on to store. Stop may be called twice, or before Start.
func (o *Outbox) Stop(ctx context.Context) error {
	o.life.Lock()
	defer o.life.Unlock()
	if o.stop == nil {
		return nil
	}
	o.stop()
	o.stop = nil
	o.dispatching.Wait()
	ended := make(chan struct{})
	go func() {
		o.working.Wait()
		close(ended)
	}()
	defer o.cut()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	o.cut()
	select {
	case <-ended:
		return nil
	case <-time.After(openTimeout):
		return fmt.Errorf("stopping the outbox: deliveries do not end: %w", ctx.Err())
	}
}

// Close stops and gives up the database. What is being sent gets 10 s to end.
func (o *Outbox) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := o.Stop(ctx)
	if s := o.store.Load(); s != nil && o.closed.Err() == nil {
		o.flushTally(ctx, s)
	}
	o.closing()
	o.done.Wait()
	if s := o.store.Swap(nil); s != nil {
		err = errors.Join(err, s.Close())
	}
	return err
}
