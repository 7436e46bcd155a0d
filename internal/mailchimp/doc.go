// Package mailchimp holds what the clients of Mailchimp's two APIs, Transactional (Mandrill) and Marketing, have in
// common: a single HTTP call and the ways in which it fails, the check of what a template returned, and the failures
// that the sandboxes of both APIs play. It knows neither API.
package mailchimp
