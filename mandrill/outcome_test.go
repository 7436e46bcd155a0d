package mandrill_test

import (
	"strings"
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

func TestRemedies(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{(&mandrill.Error{Kind: mandrill.Account, Name: "Invalid_Key"}).Remedy(), "api_key"},
		{(&mandrill.Error{Kind: mandrill.Account, Name: "PaymentRequired"}).Remedy(), "payment"},
		{(&mandrill.Error{Kind: mandrill.Refused, Name: "PaymentRequired"}).Remedy(), "send_at"},
		{(&mandrill.Error{Kind: mandrill.Refused, Name: "Unknown_Template"}).Remedy(), "template_name"},
		{(&mandrill.Error{Kind: mandrill.Refused, Name: "Unknown_Subaccount"}).Remedy(), "subaccount"},
		{(&mandrill.Error{Kind: mandrill.Retry, Status: 404}).Remedy(), "api_base"},
		{mandrill.Recipient{Status: "rejected", RejectReason: "unsigned"}.Remedy(), "DKIM CNAME records and a DMARC"},
		{mandrill.Recipient{Status: "rejected", RejectReason: "invalid-sender"}.Remedy(), "from_email"},
		{mandrill.Recipient{Status: "rejected", RejectReason: "hard-bounce"}.Remedy(), "denylist"},
		{mandrill.Recipient{Status: "rejected", RejectReason: "test-mode-limit"}.Remedy(), "test key"},
		{mandrill.Recipient{Status: "rejected", RejectReason: "rule"}.Remedy(), "rule"},
	} {
		if !strings.Contains(test.got, test.want) {
			t.Errorf("%q doesn't speak of %s", test.got, test.want)
		}
	}
	if remedy := (mandrill.Recipient{Status: "sent"}).Remedy() +
		(&mandrill.Error{Kind: mandrill.Retry, Status: 500}).Remedy(); remedy != "" {
		t.Errorf("a remedy for nothing: %s", remedy)
	}
}
