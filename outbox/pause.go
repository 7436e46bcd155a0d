package outbox

import (
	"context"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

// Pause keeps a sender's entries back until Resume, over restarts and in all processes that share the database: at
// once in this one, within seconds in others.
func (o *Outbox) Pause(ctx context.Context, sender string) error {
	return o.pause(ctx, ScopePause, sender)
}

// Resume ends a pause.
func (o *Outbox) Resume(ctx context.Context, sender string) error {
	return o.resume(ctx, ScopePause, sender)
}

// PauseTemplate is Pause for the entries of a template, named as an entry names it.
func (o *Outbox) PauseTemplate(ctx context.Context, template string) error {
	return o.pause(ctx, ScopePauseTemplate, template)
}

// ResumeTemplate ends the pause of a template.
func (o *Outbox) ResumeTemplate(ctx context.Context, template string) error {
	return o.resume(ctx, ScopePauseTemplate, template)
}

func (o *Outbox) pause(ctx context.Context, scope Scope, target string) error {
	return o.changeHolds(ctx, insertHold(Hold{Scope: scope, Target: target, Since: o.now()}))
}

func (o *Outbox) resume(ctx context.Context, scope Scope, target string) error {
	return o.changeHolds(ctx, &database.Statement{
		SQL: "DELETE FROM hold WHERE scope = $1 AND target = $2", Args: []any{string(scope), target},
	})
}

func (o *Outbox) changeHolds(ctx context.Context, statement *database.Statement) error {
	s, err := o.opened()
	if err != nil {
		return err
	}
	if err := s.Write(ctx, &database.Write{Statements: []*database.Statement{statement}}); err != nil {
		return err
	}
	if err := o.readHolds(ctx, s); err != nil {
		return err
	}
	o.wake()
	return nil
}
