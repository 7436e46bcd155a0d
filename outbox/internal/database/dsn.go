package database

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// errDSN does not repeat what the parser says, which may have the DSN in it and so its password.
var errDSN = errors.New("the DSN cannot be parsed: it is a URL such as postgres://user:password@host/database, " +
	"or words such as host=… dbname=…")

// foreign are parameters of other programs' DSNs, which PostgreSQL itself refuses, with what to write here.
var foreign = map[string]string{
	"max_conns":                 "an option of Ory Kratos: write pool_max_conns",
	"max_idle_conns":            "an option of Ory Kratos: remove it",
	"max_conn_lifetime":         "an option of Ory Kratos: write pool_max_conn_lifetime",
	"max_conn_idle_time":        "an option of Ory Kratos: write pool_max_conn_idle_time",
	"pgbouncer":                 "an option of Prisma: remove it, since this works through PgBouncer as it is",
	"connection_limit":          "an option of Prisma: write pool_max_conns",
	"pool_timeout":              "an option of Prisma: remove it",
	"schema":                    "an option of Prisma: write search_path",
	"socket_timeout":            "an option of Prisma: remove it",
	"statement_cache_size":      "an option of Prisma: remove it",
	"gssencmode":                "an option of libpq: remove it",
	"keepalives":                "an option of libpq: remove it",
	"keepalives_idle":           "an option of libpq: remove it",
	"keepalives_interval":       "an option of libpq: remove it",
	"keepalives_count":          "an option of libpq: remove it",
	"tcp_user_timeout":          "an option of libpq: remove it",
	"fallback_application_name": "an option of libpq: write application_name",
	"binary_parameters":         "an option of lib/pq: remove it",
	"prepareThreshold":          "an option of JDBC: remove it",
	"currentSchema":             "an option of JDBC: write search_path",
	"ssl":                       "an option of JDBC: write sslmode",
	"reWriteBatchedInserts":     "an option of JDBC: remove it",
	"async_fallback":            "an option of SQLAlchemy: remove it",
}

// parseDSN parses a DSN and sets what works through poolers in transaction mode: no statement outlives its
// transaction.
func parseDSN(dsn string) (*pgxpool.Config, error) {
	scheme, _, isURL := strings.Cut(dsn, "://")
	isURL = isURL && !strings.ContainsAny(scheme, " =")
	if isURL && scheme != "postgres" && scheme != "postgresql" {
		return nil, fmt.Errorf("the DSN begins with %s: write postgres://user:password@host/database", scheme)
	}
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errDSN
	}
	for _, name := range slices.Sorted(maps.Keys(config.ConnConfig.RuntimeParams)) {
		if advice, is := foreign[name]; is {
			return nil, fmt.Errorf("the DSN has the parameter %s, %s", name, advice)
		}
	}
	if !strings.Contains(dsn, "default_query_exec_mode") {
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	if !strings.Contains(dsn, "pool_max_conns") {
		config.MaxConns = defaultConnections
	}
	return config, nil
}

// CheckDSN returns what is wrong with a DSN, without its password.
func CheckDSN(dsn string) error {
	_, err := parseDSN(dsn)
	return err
}

// Name identifies a database by a DSN, without credentials.
func Name(dsn string) (string, error) {
	config, err := parseDSN(dsn)
	if err != nil {
		return "", err
	}
	c := config.ConnConfig
	hosts := fmt.Sprintf("%s:%d", c.Host, c.Port)
	for _, other := range c.Fallbacks {
		if host := fmt.Sprintf("%s:%d", other.Host, other.Port); !strings.Contains(hosts, host) {
			hosts += "," + host
		}
	}
	return fmt.Sprintf("%s/%s %s", hosts, c.Database, c.RuntimeParams["search_path"]), nil
}

// explainPostgres says what the operator can do if an error is no outage but a mistake of theirs.
func explainPostgres(err error) error {
	var failure *pgconn.PgError
	if !errors.As(err, &failure) {
		return err
	}
	advice := ""
	switch {
	case failure.Code == "42501":
		advice = "grant the role SELECT, INSERT, UPDATE and DELETE on the outbox's tables, or let it create them " +
			"(GRANT CREATE ON SCHEMA …)"
	case strings.HasPrefix(failure.Code, "28"):
		advice = "check the user and the password of the DSN"
	case strings.HasPrefix(failure.Code, "3D"):
		advice = "create the database, or name another one"
	case strings.HasPrefix(failure.Code, "3F"):
		advice = "create the schema that search_path names, or name another one"
	case strings.HasPrefix(failure.Code, "42"):
		advice = "the outbox's tables are not as this version made them"
	case strings.Contains(failure.Message, "unsupported startup parameter"):
		advice = "remove the parameter from the DSN: PgBouncer does not pass it on. ALTER ROLE … SET gives it to a role"
	case failure.Code == "25006":
		advice = "the server is read-only: name the primary"
	default:
		return err
	}
	return &operatorError{failure.Code, failure.Message, advice, err}
}

// operatorError is a refusal that does not pass by itself.
type operatorError struct {
	code, message, advice string
	err                   error
}

func (e *operatorError) Error() string {
	return fmt.Sprintf("PostgreSQL refuses: %s (SQLSTATE %s): %s", e.message, e.code, e.advice)
}

func (e *operatorError) Unwrap() error { return e.err }
