package outbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

const (
	// moveBatch is how many entries are moved in one commit.
	moveBatch = 200
	// movedSetting is the ID of the last entry that was moved here from the outbox whose ID follows.
	movedSetting = "moved"
)

// Move moves all entries of one outbox to another, from SQLite to PostgreSQL or back, with their states, keys, content
// and IDs, and returns how many. The first one is left empty. No process may have it open; the other one may be in
// use, but for a SQLite file. Keys are the outbox_keys of both.
//
// It may be interrupted at any moment and called again: entries are moved in the order of their IDs, and the target
// remembers the last one in the commit that stores it.
func Move(ctx context.Context, from, to Config, keys []string, progress func(Progress)) (p Progress, err error) {
	if from.SQLite != "" {
		if _, err := os.Stat(from.SQLite); err != nil {
			return p, fmt.Errorf("opening the outbox: %w", err)
		}
	}
	m := new(mover)
	for _, side := range []struct {
		config Config
		to     **Outbox
	}{{from, &m.from}, {to, &m.to}} {
		o, err := Open(ctx, side.config, Settings{Keys: keys})
		if err != nil {
			return p, err
		}
		defer func() { err = errors.Join(err, o.Close()) }()
		if _, err := o.opened(); err != nil {
			return p, err
		}
		*side.to = o
	}
	m.source, m.target = m.from.store.Load(), m.to.store.Load()
	if err := m.begin(ctx); err != nil {
		return p, err
	}
	n, err := m.source.number(ctx, "SELECT count(*) FROM entry")
	if err != nil {
		return p, err
	}
	p.Total = int(n)
	for {
		progress(p)
		n, err := m.move(ctx)
		p.Done += n
		if err != nil {
			return p, err
		}
		if n == 0 {
			return p, errors.Join(m.end(ctx), m.from.reclaim(ctx, m.source))
		}
	}
}

// end forgets how far the move has come: entries may be moved back, and here again.
func (m *mover) end(ctx context.Context) error {
	_, err := m.target.exec(ctx, "DELETE FROM setting WHERE name = $1", m.marker())
	return err
}

type mover struct {
	from, to       *Outbox
	source, target *store
}

// begin moves what is not an entry, and deletes from the source what an earlier call has moved.
func (m *mover) begin(ctx context.Context) error {
	if err := m.from.takeOver(ctx, m.source); err != nil {
		return err
	}
	n, err := m.source.number(ctx, "SELECT count(*) FROM entry WHERE "+isSending)
	if err != nil {
		return err
	}
	if n > 0 {
		return fmt.Errorf("%d entries are being sent: stop every Caddy that has this outbox open, and wait a minute", n)
	}
	stored, err := m.source.settings(ctx)
	if err != nil {
		return err
	}
	write := new(database.Write)
	for _, name := range []string{hashKeySetting, dataKeySetting} {
		if value, has := stored[name]; has {
			write.Statements = append(write.Statements, m.target.insertSetting(name+" "+m.source.id, value))
		}
	}
	write.Statements = append(write.Statements, m.target.insertSetting(m.marker(), ""))
	// What comes back was not moved from here any more.
	if _, err := m.source.exec(ctx, "DELETE FROM setting WHERE name = $1", movedSetting+" "+m.target.id); err != nil {
		return err
	}
	const pauses = "SELECT scope, target, since FROM hold WHERE scope IN ('pause', 'pause_template')"
	err = m.source.Read(ctx, pauses, nil, func(scan func(...any) error) error {
		var h Hold
		var since int64
		err := scan(&h.Scope, &h.Target, &since)
		h.Since = toTime(since)
		write.Statements = append(write.Statements, insertHold(h))
		return err
	})
	if err != nil {
		return err
	}
	if err := m.target.Write(ctx, write); err != nil {
		return err
	}
	if stored, err = m.target.settings(ctx); err != nil {
		return err
	}
	return m.deleteMoved(ctx, stored[m.marker()])
}

func (m *mover) marker() string { return movedSetting + " " + m.source.id }

// deleteMoved deletes from the source what the target has.
func (m *mover) deleteMoved(ctx context.Context, last string) error {
	_, err := m.from.forget(ctx, m.source, "SELECT id FROM entry WHERE id <= $1 LIMIT $2", last, int64(forgetBatch))
	return err
}

// moved is an entry with all its columns, as they are stored.
type moved struct {
	values     []any
	recipients []string
	messages   []string
}

// more are the columns that are neither in columns nor the content.
const more = ", lane, ordered, last_event, key_taken, lease, owner"

// insertMoved leaves an entry without its key if another one has it.
var insertMoved = "INSERT INTO entry (" + columns + more + ", content) VALUES (" + places(32) +
	", CASE WHEN EXISTS (SELECT 1 FROM entry WHERE key = $13 AND key_taken = 1) THEN 0 ELSE $33 END, $34, $35, $36) " +
	"ON CONFLICT (id) DO NOTHING"

// move moves a batch, and returns how many entries that were.
func (m *mover) move(ctx context.Context) (int, error) {
	entries, err := m.read(ctx)
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	last := entries[len(entries)-1].values[0].(string)
	write := new(database.Write)
	for _, e := range entries {
		id := e.values[0]
		write.Statements = append(write.Statements, &database.Statement{SQL: insertMoved, Args: e.values})
		for _, hash := range e.recipients {
			write.Statements = append(write.Statements, &database.Statement{
				SQL: "INSERT INTO recipient (hash, entry) VALUES ($1, $2) ON CONFLICT DO NOTHING", Args: []any{hash, id},
			})
		}
		for _, message := range e.messages {
			write.Statements = append(write.Statements, &database.Statement{
				SQL: "INSERT INTO message (id, entry) VALUES ($1, $2) ON CONFLICT DO NOTHING", Args: []any{message, id},
			})
		}
	}
	write.Statements = append(write.Statements, &database.Statement{
		SQL: "UPDATE setting SET value = $2 WHERE name = $1", Args: []any{m.marker(), last},
	})
	if err := m.target.Write(ctx, write); err != nil {
		return 0, err
	}
	return len(entries), m.deleteMoved(ctx, last)
}

// read reads the next batch from the source.
func (m *mover) read(ctx context.Context) ([]*moved, error) {
	var entries []*moved
	byID := make(map[string]*moved)
	const query = "SELECT " + columns + more + ", content FROM entry ORDER BY id LIMIT $1"
	err := m.source.Read(ctx, query, []any{int64(moveBatch)}, func(scan func(...any) error) error {
		e := &moved{values: make([]any, 36)}
		to := make([]any, len(e.values))
		for i := range to {
			to[i] = &e.values[i]
		}
		if err := scan(to...); err != nil {
			return err
		}
		for i, value := range e.values {
			if n, is := value.(int32); is {
				e.values[i] = int64(n)
			}
		}
		id := e.values[0].(string)
		if content, has := e.values[35].([]byte); has && len(content) > 0 && content[0] == plainContent {
			e.values[35] = m.to.vault.Load().seal(id, content[1:])
		}
		entries = append(entries, e)
		byID[id] = e
		return nil
	})
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.values[0].(string)
	}
	addRecipient := func(id, hash string) { byID[id].recipients = append(byID[id].recipients, hash) }
	addMessage := func(id, message string) { byID[id].messages = append(byID[id].messages, message) }
	return entries, errors.Join(
		m.beside(ctx, "SELECT entry, hash FROM recipient", ids, addRecipient),
		m.beside(ctx, "SELECT entry, id FROM message", ids, addMessage),
	)
}

// beside reads what other tables have of entries.
func (m *mover) beside(ctx context.Context, query string, ids []string, add func(id, value string)) error {
	a := new(arguments)
	return m.source.Read(ctx, query+" WHERE entry IN ("+a.list(ids)+")", a.values, func(scan func(...any) error) error {
		var id, value string
		err := scan(&id, &value)
		if err == nil {
			add(id, value)
		}
		return err
	})
}

// Backup copies the outbox to a new file while it runs. Hooks are stored meanwhile. For PostgreSQL, use its own tools.
func (o *Outbox) Backup(ctx context.Context, file string) error {
	s, err := o.opened()
	if err != nil {
		return err
	}
	if s.dialect.Postgres {
		return errors.New("backing up the outbox: it is in PostgreSQL: use pg_dump")
	}
	// SQLite writes into an empty file, and leaves its mode as it is.
	created, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("backing up the outbox: %w", err)
	}
	if err := created.Close(); err != nil {
		return fmt.Errorf("backing up the outbox: %w", err)
	}
	if err := s.Maintain(ctx, "VACUUM INTO '"+strings.ReplaceAll(file, "'", "''")+"'"); err != nil {
		return errors.Join(fmt.Errorf("backing up the outbox to %s: %w", file, err), os.Remove(file))
	}
	return nil
}
