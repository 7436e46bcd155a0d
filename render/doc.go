// Package render evaluates Jsonnet templates over the ctx of Ory's hooks.
//
// A template is read and parsed once, with all that it imports, and evaluated for each hook. The
// ctx is handed over as data and never as code: as Jsonnet source it could import files and
// overflow the stack. Files are read from the template's folder and below, and from folders that
// the operator names, and nowhere else.
//
// A template that changes on disk takes effect while Watch runs. One that is broken leaves the
// last good one in force, over restarts too.
package render
