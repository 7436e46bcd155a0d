package caddymodule
import (
 _ "go.uber.org/goleak"
 _ "github.com/google/go-jsonnet"
 _ "go.uber.org/zap"
 _ "github.com/santhosh-tekuri/jsonschema/v6"
 _ "golang.org/x/net/idna"
 _ "github.com/prometheus/client_golang/prometheus"
)
