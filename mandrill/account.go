package mandrill

import "context"

// Domain is the state of a sender domain.
type Domain struct {
	Domain string `json:"domain"`
	// SPF is what Mandrill says of the SPF record, which it no longer asks for.
	SPF Record `json:"spf"`
	// DKIM and DKIM2 are the CNAME records mte1._domainkey and mte2._domainkey.
	DKIM Record `json:"dkim"`
	// DKIM2 and DMARC are nil where Mandrill does not say, as before 2024.
	DKIM2 *Record `json:"dkim2"`
	// DMARC is the TXT record _dmarc.
	DMARC *Record `json:"dmarc"`
	// VerifiedAt is empty where the ownership of the domain isn't verified.
	VerifiedAt string `json:"verified_at"`
	// ValidSigning reports whether Mandrill sends for the domain. It is the verdict, whatever the records are.
	ValidSigning bool `json:"valid_signing"`
	// VerifyTXTKey is the value of a TXT record that verifies the ownership.
	VerifyTXTKey string `json:"verify_txt_key"`
}

// Record is the state of a DNS record.
type Record struct {
	Valid bool `json:"valid"`
	// ValidAfter is when a record that was just set will count, or empty.
	ValidAfter string `json:"valid_after"`
	// Error says what is wrong with the record, in Mandrill's words.
	Error string `json:"error"`
}

// Domains returns the sender domains of the account.
func (c *Client) Domains(ctx context.Context) ([]Domain, error) {
	var domains []Domain
	return domains, c.call(ctx, "senders/domains", struct{}{}, &domains)
}

// FindDomain returns the sender domain with a name, in whatever form it is written, and whether it is among those of an
// account.
func FindDomain(domains []Domain, name string) (Domain, bool) {
	for _, domain := range domains {
		if SameDomain(domain.Domain, name) {
			return domain, true
		}
	}
	return Domain{}, false
}

// CheckDomain returns the state of a sender domain. It adds the domain to the account if it isn't there.
func (c *Client) CheckDomain(ctx context.Context, domain string) (Domain, error) {
	var checked Domain
	return checked, c.call(ctx, "senders/check-domain", map[string]string{"domain": domain}, &checked)
}

// MetadataField is a field of the metadata that the account has made searchable.
type MetadataField struct {
	Name string `json:"name"`
	// State is active, index (Mandrill is about to index it), delete (it is being deleted) or failed.
	State string `json:"state"`
}

// MetadataFields returns the fields of the metadata that the account has made searchable.
func (c *Client) MetadataFields(ctx context.Context) ([]MetadataField, error) {
	var fields []MetadataField
	return fields, c.call(ctx, "metadata/list", struct{}{}, &fields)
}

// IsIndexed reports whether Mandrill's search finds messages by a field of the metadata, or soon will.
func IsIndexed(fields []MetadataField, name string) bool {
	for _, field := range fields {
		if field.Name == name {
			return field.State != "delete" && field.State != "failed"
		}
	}
	return false
}

// AddMetadataField makes a field of the metadata searchable. An account has at most 10 of them.
func (c *Client) AddMetadataField(ctx context.Context, name string) (MetadataField, error) {
	var field MetadataField
	return field, c.call(ctx, "metadata/add", map[string]string{"name": name}, &field)
}

// Webhook is a URL that Mandrill posts events to.
type Webhook struct {
	ID  int    `json:"id"`
	URL string `json:"url"`
	// AuthKey signs the events. It is a secret.
	AuthKey     string `json:"auth_key"`
	Description string `json:"description"`
	// Events are those that the webhook receives: MessageEvents, and others.
	Events []string `json:"events"`
	// LastError is why the last call failed, in Mandrill's words, or empty.
	LastError string `json:"last_error"`
}

// Webhooks returns the webhooks of the account.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	var webhooks []Webhook
	return webhooks, c.call(ctx, "webhooks/list", struct{}{}, &webhooks)
}

// AddWebhook makes a webhook for these events. Mandrill calls the URL first, and answers ValidationError if that fails.
func (c *Client) AddWebhook(ctx context.Context, url, description string, events []string) (Webhook, error) {
	var added Webhook
	return added, c.call(ctx, "webhooks/add",
		map[string]any{"url": url, "description": description, "events": events}, &added)
}

// UpdateWebhook replaces the URL, the description and the events of a webhook, which it finds by its ID.
func (c *Client) UpdateWebhook(ctx context.Context, w Webhook) (Webhook, error) {
	var updated Webhook
	return updated, c.call(ctx, "webhooks/update",
		map[string]any{"id": w.ID, "url": w.URL, "description": w.Description, "events": w.Events}, &updated)
}

// Subaccount is a part of the account with a reputation and quota of its own.
type Subaccount struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Status is active or paused.
	Status string `json:"status"`
}

// Subaccounts returns the sub-accounts of the account whose ID or name begins with the prefix, 1,000 of them at most.
func (c *Client) Subaccounts(ctx context.Context, prefix string) ([]Subaccount, error) {
	var subaccounts []Subaccount
	arguments := map[string]string{}
	if prefix != "" {
		arguments["q"] = prefix
	}
	return subaccounts, c.call(ctx, "subaccounts/list", arguments, &subaccounts)
}

// AddSubaccount makes a sub-account.
func (c *Client) AddSubaccount(ctx context.Context, id string) (Subaccount, error) {
	var added Subaccount
	return added, c.call(ctx, "subaccounts/add", map[string]string{"id": id}, &added)
}
