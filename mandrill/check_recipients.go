package mandrill

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
)

func (r *Request) checkRecipients() error {
	recipients := objects(r.message, "to")
	if len(recipients) == 0 {
		return mailchimp.Invalid("message.to", "has no recipient")
	}
	for i, to := range recipients {
		path := fmt.Sprintf("message.to[%d]", i)
		trimField(to, "email")
		address, _ := to["email"].(string)
		if address == "" {
			return mailchimp.Invalid(path+".email", "is missing")
		}
		if err := checkAddress(address); err != nil {
			return mailchimp.Invalid(path+".email", "%v", withHint(err, "the name is the field name beside it"))
		}
		if kind, _ := to["type"].(string); kind != "" && !slices.Contains([]string{"to", "cc", "bcc"}, kind) {
			return mailchimp.Invalid(path+".type", "must be to, cc or bcc")
		}
		cleanField(to, "name")
	}
	trimField(r.message, "bcc_address")
	if address, _ := r.message["bcc_address"].(string); address != "" {
		if err := checkAddress(address); err != nil {
			return mailchimp.Invalid("message.bcc_address", "%v", withHint(err, "it has none"))
		}
	}
	// What is for one recipient names it as to does.
	for _, field := range []string{"merge_vars", "recipient_metadata"} {
		for _, of := range objects(r.message, field) {
			trimField(of, "rcpt")
		}
	}
	return nil
}

// trimField takes blanks off the ends of an address.
func trimField(object map[string]any, field string) {
	if address, is := object[field].(string); is {
		object[field] = strings.TrimSpace(address)
	}
}

// withHint says where a name belongs, if that is what is wrong with an address.
func withHint(err error, hint string) error {
	if errors.Is(err, errHasName) {
		return fmt.Errorf("%w%s", err, hint)
	}
	return err
}
