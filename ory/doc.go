// Package ory knows what Ory's web hooks send and what they expect to hear: it authenticates a
// call, bounds and reads its body, and writes errors in the form that Ory shows to people.
//
// A hook is a POST with a JSON object, called ctx as in Ory's own Jsonnet templates. Ory signs
// nothing; a call proves itself by a header, a cookie or basic authentication, which are the
// three that Ory can be configured with.
package ory
