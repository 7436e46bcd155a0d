package outbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/outbox/internal/database"
)

// store is the database once it has been reached, with what was read from it then.
type store struct {
	database.DB
	dialect database.Dialect
	// id is the ID of this outbox. took has it and the IDs of those whose entries were moved here.
	id   string
	took []string
	// hashKey keys the hashes of this outbox. hashKeys has it and those that came with moved entries.
	hashKey  []byte
	hashKeys [][]byte
}

// Names of settings. Those of an outbox whose entries were moved here have its ID behind a blank.
const (
	idSetting      = "id"
	hashKeySetting = "hash_key"
	dataKeySetting = "data_key"
)

// openStore opens the database and reads its keys.
func openStore(ctx context.Context, c Config, w *wrappingKeys) (*store, *vault, error) {
	var db database.DB
	var err error
	if c.Postgres != "" {
		db, err = database.OpenPostgres(ctx, c.Postgres)
	} else {
		db, err = database.OpenSQLite(ctx, c.SQLite)
	}
	if err != nil {
		return nil, nil, err
	}
	s := &store{DB: db, dialect: db.Dialect()}
	v, err := s.readKeys(ctx, w)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return s, v, nil
}

// readKeys makes the outbox's own keys if there are none, and wraps them again if another outbox_key is first.
func (s *store) readKeys(ctx context.Context, w *wrappingKeys) (*vault, error) {
	made := []*database.Statement{
		s.insertSetting(idSetting, hex.EncodeToString(randomBytes(OutboxIDLength/2))),
		s.insertSetting(hashKeySetting, w.wrap(wrapName(hashKeySetting), randomBytes(KeySize))),
	}
	if len(w.keys) > 0 {
		made = append(made, s.insertSetting(dataKeySetting, w.wrap(wrapName(dataKeySetting), randomBytes(KeySize))))
	}
	stored, err := s.settings(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	if stored[hashKeySetting] == "" || len(w.keys) > 0 && stored[dataKeySetting] == "" {
		if err := s.Write(ctx, &database.Write{Statements: made}); err != nil {
			return nil, err
		}
		if stored, err = s.settings(ctx); err != nil {
			return nil, unavailable(err)
		}
	}
	if _, sealed := stored[dataKeySetting]; sealed && len(w.keys) == 0 {
		return nil, errWrapped
	}
	return s.useKeys(ctx, w, stored)
}

func (s *store) useKeys(ctx context.Context, w *wrappingKeys, stored map[string]string) (*vault, error) {
	v := &vault{plain: w.plain}
	var rewrapped []*database.Statement
	s.id, s.took, s.hashKeys = stored[idSetting], []string{stored[idSetting]}, nil
	for name, value := range stored {
		kind, moved, isMoved := strings.Cut(name, " ")
		if kind != hashKeySetting && kind != dataKeySetting {
			continue
		}
		key, current, err := w.unwrap(wrapName(kind), value)
		if err != nil && isMoved {
			continue // the entries of the outbox with this ID wait for its key
		}
		if err != nil {
			return nil, fmt.Errorf("opening the outbox's own keys: %w", err)
		}
		if !current {
			rewrapped = append(rewrapped, &database.Statement{
				SQL: "UPDATE setting SET value = $2 WHERE name = $1", Args: []any{name, w.wrap(wrapName(kind), key)},
			})
		}
		if kind == hashKeySetting {
			s.hashKeys = append(s.hashKeys, key)
			if isMoved {
				s.took = append(s.took, moved)
			} else {
				s.hashKey = key
			}
			continue
		}
		aead, err := newAEAD(key)
		if err != nil {
			return nil, fmt.Errorf("reading the data key of %q: %w", moved, err)
		}
		digest := sha256.Sum256(key)
		data := dataKey{[4]byte(digest[:4]), aead}
		v.keys = append(v.keys, data)
		if !isMoved {
			v.own = &data
		}
	}
	if len(rewrapped) > 0 {
		return v, s.Write(ctx, &database.Write{Statements: rewrapped})
	}
	return v, nil
}

// wrapName binds a wrapped key to its kind. A moved one keeps it.
func wrapName(kind string) string { return "outbox " + kind }

func (s *store) insertSetting(name, value string) *database.Statement {
	return &database.Statement{
		SQL: "INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", Args: []any{name, value},
	}
}

func (s *store) settings(ctx context.Context) (map[string]string, error) {
	found := make(map[string]string)
	err := s.Read(ctx, "SELECT name, value FROM setting", nil, func(scan func(...any) error) error {
		var name, value string
		err := scan(&name, &value)
		found[name] = value
		return err
	})
	return found, err
}

// hash returns a recipient as it is stored.
func (s *store) hash(address string) string { return hashRecipient(s.hashKey, address) }

// hashes returns what a recipient may be stored as: moved entries bring the key of their hashes. What is a hash
// already stays as it is.
func (s *store) hashes(recipient string) []string {
	if IsHash(recipient) {
		return []string{recipient}
	}
	hashes := make([]string, len(s.hashKeys))
	for i, key := range s.hashKeys {
		hashes[i] = hashRecipient(key, recipient)
	}
	return hashes
}

// whole reads an entry with its content.
func (s *store) whole(ctx context.Context, id string) ([]*row, error) {
	return s.query(ctx, "SELECT "+columns+", content FROM entry WHERE id = $1", []any{id})
}

// listed reads entries without content: the query is what follows FROM.
func (s *store) listed(ctx context.Context, from string, args ...any) ([]*row, error) {
	return s.query(ctx, "SELECT "+columns+", NULL FROM "+from, args)
}

// marked is listed with the first byte of the content, which shows that there is one.
func (s *store) marked(ctx context.Context, from string, args ...any) ([]*row, error) {
	return s.query(ctx, "SELECT "+columns+", substr(content, 1, 1) FROM "+from, args)
}

func (s *store) query(ctx context.Context, query string, args []any) (found []*row, err error) {
	err = s.Read(ctx, query, args, func(scan func(...any) error) error {
		r, err := read(scan)
		found = append(found, r)
		return err
	})
	return found, err
}

// number reads the one value of a query.
func (s *store) number(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = s.Read(ctx, query, args, func(scan func(...any) error) error { return scan(&n) })
	return n, err
}

// exec commits one statement.
func (s *store) exec(ctx context.Context, query string, args ...any) (changed int64, err error) {
	statement := &database.Statement{SQL: query, Args: args}
	if err = s.Write(ctx, &database.Write{Statements: []*database.Statement{statement}}); err != nil {
		return 0, err
	}
	return statement.Changed, nil
}
