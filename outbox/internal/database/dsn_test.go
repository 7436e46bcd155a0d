package database

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const secret = "s3cret-w0rd"

// TestForeignParameters names each parameter that other programs' DSNs bring.
func TestForeignParameters(t *testing.T) {
	for name, advice := range foreign {
		for form, dsn := range map[string]string{
			"URL":   "postgres://u:" + secret + "@127.0.0.1/d?sslmode=disable&" + name + "=1",
			"words": "host=127.0.0.1 user=u password=" + secret + " dbname=d " + name + "=1",
		} {
			err := CheckDSN(dsn)
			if err == nil || !strings.Contains(err.Error(), " "+name+",") || !strings.Contains(err.Error(), advice) {
				t.Errorf("%s in a %s: %v", name, form, err)
				continue
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s in a %s: the error has the password", name, form)
			}
		}
	}
}

func TestDSN(t *testing.T) {
	for name, test := range map[string]struct {
		dsn string
		// want is a part of the error, or nothing.
		want string
	}{
		"URL":                {dsn: "postgres://u:" + secret + "@h/d?sslmode=require&connect_timeout=3"},
		"another scheme":     {dsn: "postgresql://u:" + secret + "@h:6432/d"},
		"words":              {dsn: "host=h dbname=d user=u password='" + secret + "://x' sslmode=verify-full"},
		"two hosts":          {dsn: "postgres://u:" + secret + "@a,b:5433/d?target_session_attrs=read-write"},
		"a pool":             {dsn: "postgres://u@h/d?pool_max_conns=3&pool_max_conn_lifetime=1h"},
		"another mode":       {dsn: "postgres://u@h/d?default_query_exec_mode=simple_protocol"},
		"a server's setting": {dsn: "postgres://u@h/d?search_path=x&application_name=y&statement_timeout=1000"},
		"a socket":           {dsn: "host=/run/postgresql dbname=d"},
		"JDBC":               {"jdbc:postgresql://h/d?user=u&password=" + secret, "begins with jdbc:postgresql"},
		"MySQL":              {"mysql://u:" + secret + "@h/d", "begins with mysql"},
		"CockroachDB":        {"cockroach://u:" + secret + "@h/d", "begins with cockroach"},
		"nonsense":           {"u:" + secret + "@h", "cannot be parsed"},
		"a bad port":         {"postgres://u:" + secret + "@h:port/d", "cannot be parsed"},
		"a bad escape":       {"postgres://u:" + secret + "%zz@h/d", "cannot be parsed"},
		"a bad pool":         {"postgres://u:" + secret + "@h/d?pool_max_conns=many", "cannot be parsed"},
		"a bad mode":         {"postgres://u:" + secret + "@h/d?default_query_exec_mode=some", "cannot be parsed"},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckDSN(test.dsn)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error has the password: %v", err)
			}
		})
	}
}

// TestDefaults works through a pooler, with few connections, unless the operator says otherwise.
func TestDefaults(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://u@h/d":                                         fmt.Sprint(pgx.QueryExecModeExec, 8),
		"postgres://u@h/d?pool_max_conns=1":                        fmt.Sprint(pgx.QueryExecModeExec, 1),
		"postgres://u@h/d?default_query_exec_mode=simple_protocol": fmt.Sprint(pgx.QueryExecModeSimpleProtocol, 8),
	} {
		config, err := parseDSN(dsn)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(config.ConnConfig.DefaultQueryExecMode, config.MaxConns); got != want {
			t.Errorf("%s: %s, want %s", dsn, got, want)
		}
	}
}

// TestName identifies a database by what it is, not by how one logs in.
func TestName(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://u:" + secret + "@h/d":                       "h:5432/d ",
		"postgres://other@h/d?sslmode=disable&pool_max_conns=3": "h:5432/d ",
		"host=h dbname=d user=u":                                "h:5432/d ",
		"postgres://u@h:6432/d?search_path=x":                   "h:6432/d x",
		"postgres://u@a,b:5433/d":                               "a:5432,b:5433/d ",
	} {
		if got, err := Name(dsn); err != nil || got != want {
			t.Errorf("%s: %q, %v", dsn, got, err)
		}
	}
	if _, err := Name("mysql://x"); err == nil {
		t.Error("no error")
	}
}

// TestExplain says what the operator can do.
func TestExplain(t *testing.T) {
	for code, want := range map[string]string{
		"42501": "grant the role SELECT, INSERT, UPDATE and DELETE",
		"28P01": "check the user and the password",
		"28000": "check the user and the password",
		"3D000": "create the database",
		"3F000": "create the schema",
		"42P01": "tables are not as this version made them",
		"25006": "name the primary",
		"08P01": "it has no advice",
		"57P01": "it has no advice",
		"53300": "it has no advice",
	} {
		failure := &pgconn.PgError{Code: code, Message: "the server's words"}
		err := explainPostgres(fmt.Errorf("connecting: %w", failure))
		if want == "it has no advice" {
			if errors.As(err, new(*operatorError)) {
				t.Errorf("%s: %v", code, err)
			}
			continue
		}
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), code) ||
			!strings.Contains(err.Error(), "the server's words") {
			t.Errorf("%s: %v", code, err)
		}
		if !errors.Is(err, failure) {
			t.Errorf("%s hides the server's error", code)
		}
	}
	err := explainPostgres(&pgconn.PgError{Code: "08P01", Message: "unsupported startup parameter: search_path"})
	if !strings.Contains(err.Error(), "remove the parameter from the DSN") {
		t.Error(err)
	}
}
