// Package audience keeps the members of Mailchimp's audiences in step by its Marketing API: it checks what
// is to become of a person, makes the calls for it, and sorts the answers.
//
// Consent comes first. Nobody is subscribed but by status_if_new, which Mailchimp regards for addresses that
// are new in the audience alone; the status of a known person is never set, so that who unsubscribed stays so.
//
// The API is described at https://mailchimp.com/developer/marketing/api/list-members/.
package audience
