package outbox

import "context"

const insertPause = "INSERT INTO hold " +
	"(scope, target, sender, reason, since, entry, probe, delay, generation, prober) " +
	"VALUES ($1, $2, '', '', $3, '', 0, 0, 1, '') ON CONFLICT (scope, target) DO NOTHING"

const deleteHold = "DELETE FROM hold WHERE scope = $1 AND target = $2"

// Pause keeps a sender's entries back until Resume, over restarts and in all processes that share the database: at
// once in this one, within seconds in others.
func (o *Outbox) Pause(ctx context.Context, sender string) error {
	return o.pause(ctx, insertPause, ScopePause, sender, o.now().UnixMilli())
}

// Resume ends a pause.
func (o *Outbox) Resume(ctx context.Context, sender string) error {
	return o.pause(ctx, deleteHold, ScopePause, sender)
}

// PauseTemplate is Pause for the entries of a template, named as an entry names it.
func (o *Outbox) PauseTemplate(ctx context.Context, template string) error {
	return o.pause(ctx, insertPause, ScopePauseTemplate, template, o.now().UnixMilli())
}

// ResumeTemplate ends the pause of a template.
func (o *Outbox) ResumeTemplate(ctx context.Context, template string) error {
	return o.pause(ctx, deleteHold, ScopePauseTemplate, template)
}

func (o *Outbox) pause(ctx context.Context, statement string, scope Scope, target string, more ...any) error {
	s, err := o.opened()
	if err != nil {
		return err
	}
	if _, err := s.exec(ctx, statement, append([]any{string(scope), target}, more...)...); err != nil {
		return err
	}
	if err := o.readHolds(ctx, s); err != nil {
		return err
	}
	o.wake()
	return nil
}
