package render

import _ "embed"

//go:embed mail.libsonnet
var mailLibrary string

// library holds the files that can be imported everywhere. The operator's own files come first.
var library = map[string]string{"mail.libsonnet": mailLibrary}
