package outbox

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// moveBatch is how many entries are moved in one transaction.
const moveBatch = 200

// Move carries all entries of a SQLite file over to a PostgreSQL database, with their states, keys, content and IDs, and returns how
// many. The file is left empty. No process may have it open; the database may be in use. An entry whose ID is
// taken there gets another one.
//
// It may be interrupted at any moment and called again: the database remembers the last entry that it has taken, in the
// transaction that took it, and SQLite doesn't use an ID twice.
func Move(ctx context.Context, file, dsn string, progress func(Progress)) (Progress, error) {
	var p Progress
	if _, err := os.Stat(file); err != nil {
		return p, fmt.Errorf("opening the outbox %s: %w", file, err)
	}
	from, err := openSQLite(file)
	if err != nil {
		return p, fmt.Errorf("opening the outbox %s: %w", file, err)
	}
	defer from.db.Close()
	if err := errors.Join(from.prepare(ctx), from.takeUp(ctx)); err != nil {
		return p, fmt.Errorf("opening the outbox %s: %w", file, err)
	}
	to, err := openPostgres(dsn)
	if err != nil {
		return p, err
	}
	defer to.db.Close()
	if err := to.prepare(ctx); err != nil {
		return p, fmt.Errorf("opening the outbox postgres: %w", err)
	}
	m := mover{from: from, to: to}
	digest := sha256.Sum256(append([]byte("outbox source "), from.hashKey...))
	m.source = hex.EncodeToString(digest[:8])
	if err := m.begin(ctx); err != nil {
		return p, err
	}
	if err := from.db.QueryRowContext(ctx, "SELECT count(*) FROM river_job").Scan(&p.Total); err != nil {
		return p, err
	}
	for {
		progress(p)
		n, err := m.move(ctx)
		p.Done += n
		if err != nil || n == 0 {
			return p, errors.Join(err, from.truncate(ctx))
		}
	}
}

type mover struct {
	from, to *store
	// source names the file by its key of hashes.
	source string
}

// begin brings over what isn't an entry, and drops from the file what an earlier call has moved.
func (m *mover) begin(ctx context.Context) error {
	if _, err := m.to.exec(ctx, "INSERT INTO outbox_setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
		"hash_key "+m.source, hex.EncodeToString(m.from.hashKey)); err != nil {
		return err
	}
	if _, err := m.to.exec(ctx, "INSERT INTO outbox_setting (name, value) VALUES ($1, '0') ON CONFLICT (name) DO NOTHING", m.marker()); err != nil {
		return err
	}
	var marked string
	if err := m.to.db.QueryRowContext(ctx, "SELECT value FROM outbox_setting WHERE name = $1", m.marker()).Scan(&marked); err != nil {
		return err
	}
	last, err := strconv.ParseInt(marked, 10, 64)
	if err != nil {
		return fmt.Errorf("reading how far the outbox was moved: %w", err)
	}
	if _, err := m.from.exec(ctx, "DELETE FROM river_job WHERE id <= $1", last); err != nil {
		return err
	}
	if err := m.pauses(ctx); err != nil {
		return err
	}
	// IDs that come with the entries are not given out there again.
	var highest int64
	if err := m.from.db.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM river_job").Scan(&highest); err != nil {
		return err
	}
	_, err = m.to.exec(ctx, "SELECT setval(pg_get_serial_sequence('river_job', 'id'), greatest($1, nextval(pg_get_serial_sequence('river_job', 'id'))))", highest)
	return err
}

func (m *mover) marker() string { return "moved " + m.source }

func (m *mover) pauses(ctx context.Context) error {
	rows, err := m.from.db.QueryContext(ctx, "SELECT name FROM outbox_setting WHERE name LIKE '"+pauseName+"%'")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		if _, err := m.to.exec(ctx, "INSERT INTO outbox_setting (name, value) VALUES ($1, 'true') ON CONFLICT (name) DO NOTHING", name); err != nil {
			return err
		}
	}
	return rows.Err()
}

// job is a row as it is.
type job struct {
	id                   int64
	args, metadata, tags string
	attempt, maxAttempts int
	created, scheduled   time.Time
	attempted, finalized *time.Time
	priority             int
	kind, queue, state   string
	uniqueKey            []byte
	uniqueStates         sql.NullInt64
}

// move moves a batch, and returns how many that were.
func (m *mover) move(ctx context.Context) (int, error) {
	jobs, err := m.read(ctx)
	if err != nil || len(jobs) == 0 {
		return 0, err
	}
	last := jobs[len(jobs)-1].id
	err = m.to.within(ctx, func(s *store) error {
		for _, j := range jobs {
			if err := s.write(ctx, j); err != nil {
				return fmt.Errorf("moving the entry %d: %w", j.id, err)
			}
		}
		_, err := s.exec(ctx, "UPDATE outbox_setting SET value = $2 WHERE name = $1", m.marker(), strconv.FormatInt(last, 10))
		return err
	})
	if err != nil {
		return 0, err
	}
	_, err = m.from.exec(ctx, "DELETE FROM river_job WHERE id <= $1", last)
	return len(jobs), err
}

func (m *mover) read(ctx context.Context) ([]*job, error) {
	rows, err := m.from.db.QueryContext(ctx, `SELECT id, json(args), json(metadata), json(tags), attempt, max_attempts, created_at, scheduled_at,
		attempted_at, finalized_at, priority, kind, queue, state, unique_key, unique_states FROM river_job ORDER BY id LIMIT ?`, moveBatch)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var jobs []*job
	for rows.Next() {
		j := new(job)
		if err := rows.Scan(&j.id, &j.args, &j.metadata, &j.tags, &j.attempt, &j.maxAttempts, &j.created, &j.scheduled,
			&j.attempted, &j.finalized, &j.priority, &j.kind, &j.queue, &j.state, &j.uniqueKey, &j.uniqueStates); err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, rows.Err()
}

// write inserts a row with its ID and its key, or without what is taken.
func (s *store) write(ctx context.Context, j *job) error {
	for _, keeps := range []struct{ id, key bool }{{true, true}, {true, false}, {false, true}, {false, false}} {
		var id, key any = j.id, j.uniqueKey
		if !keeps.id {
			id = nil
		}
		if !keeps.key || len(j.uniqueKey) == 0 {
			key = nil
		}
		n, err := s.exec(ctx, `INSERT INTO river_job (id, args, metadata, tags, attempt, max_attempts, created_at, scheduled_at, attempted_at, finalized_at,
			priority, kind, queue, state, unique_key, unique_states)
			VALUES (coalesce($1, nextval(pg_get_serial_sequence('river_job', 'id'))), json($2), json($3), ARRAY(SELECT jsonb_array_elements_text(json($4))),
			$5, $6, $7, $8, $9, $10, $11, $12, $13, state($14), $15, $16::int::bit(8)) ON CONFLICT DO NOTHING`,
			id, j.args, j.metadata, j.tags, j.attempt, j.maxAttempts, j.created, j.scheduled, j.attempted, j.finalized,
			j.priority, j.kind, j.queue, j.state, key, j.uniqueStates)
		if err != nil || n > 0 {
			return err
		}
	}
	return errors.New("the database takes it under no ID")
}
