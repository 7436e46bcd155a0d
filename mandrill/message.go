package mandrill

// The types in this file are the documented fields of messages/send, messages/send-template and
// messages/send-mc-template.
// A request is checked against them field by field, and sent as it came.

// sendBody is the body of messages/send.
type sendBody struct {
	Message Message `json:"message"`
	// Async makes Mandrill answer "queued" at once; it does so too for more than 10 recipients.
	Async bool `json:"async"`
	// IPPool is the name of a dedicated IP pool.
	IPPool string `json:"ip_pool"`
	// SendAt is UTC as YYYY-MM-DD HH:MM:SS, within a year. A paid feature.
	SendAt string `json:"send_at"`
	// Key is taken off: the client has its own.
	Key any `json:"key"`
	// Delivery is taken off: it is for the sender of the request.
	Delivery Delivery `json:"delivery"`
}

// templateBody is the body of messages/send-template.
type templateBody struct {
	// TemplateName is the immutable slug of a template in the account.
	TemplateName string `json:"template_name"`
	// TemplateContent fills the template's mc:edit regions. Mandrill wants it even if it is empty.
	TemplateContent []TemplateContent `json:"template_content"`
	sendBody
}

// mcTemplateBody is the body of messages/send-mc-template.
type mcTemplateBody struct {
	// MCTemplateID is the number of a template that was made with Mailchimp's editor.
	MCTemplateID int `json:"mc_template_id"`
	// MCTemplateVersion is "draft" or "published". Default: "published".
	MCTemplateVersion string `json:"mc_template_version"`
	sendBody
}

// TemplateContent is what goes into an editable region.
type TemplateContent struct {
	Name    string `json:"name"`
	Content string `json:"content"`
}

// Delivery steers how a message is delivered. It stands beside the message in what a template
// returns, and is not sent.
type Delivery struct {
	// IdempotencyKey names the message: another with the same key is the same message.
	IdempotencyKey string `json:"idempotency_key"`
	// ExpiresIn is a duration such as "15m", after which the message is of no use.
	ExpiresIn string `json:"expires_in"`
}

// Message is the mail.
type Message struct {
	HTML string `json:"html"`
	Text string `json:"text"`
	// Subject has at most 998 characters.
	Subject   string `json:"subject"`
	FromEmail string `json:"from_email"`
	FromName  string `json:"from_name"`
	To        []To   `json:"to"`
	// Headers are extra headers; their values are strings, numbers or booleans.
	Headers map[string]any `json:"headers"`
	// Important mail is delivered ahead of other mail.
	Important bool `json:"important"`
	// TrackOpens, TrackClicks, AutoText, AutoHTML, InlineCSS, URLStripQS, PreserveRecipients and
	// ViewContentLink default to the account's settings.
	TrackOpens  bool `json:"track_opens"`
	TrackClicks bool `json:"track_clicks"`
	AutoText    bool `json:"auto_text"`
	AutoHTML    bool `json:"auto_html"`
	// InlineCSS works for HTML of less than 256 KB.
	InlineCSS          bool `json:"inline_css"`
	URLStripQS         bool `json:"url_strip_qs"`
	PreserveRecipients bool `json:"preserve_recipients"`
	// ViewContentLink false keeps Mandrill from storing the content.
	ViewContentLink  bool   `json:"view_content_link"`
	BCCAddress       string `json:"bcc_address"`
	TrackingDomain   string `json:"tracking_domain"`
	SigningDomain    string `json:"signing_domain"`
	ReturnPathDomain string `json:"return_path_domain"`
	// Merge evaluates merge tags in the content. It is on wherever there are merge variables.
	Merge bool `json:"merge"`
	// MergeLanguage is "mailchimp" or "handlebars".
	MergeLanguage   string          `json:"merge_language"`
	GlobalMergeVars []MergeVar      `json:"global_merge_vars"`
	MergeVars       []RecipientVars `json:"merge_vars"`
	// Tags have at most 50 characters each and don't begin with an underscore.
	Tags                   []string `json:"tags"`
	Subaccount             string   `json:"subaccount"`
	GoogleAnalyticsDomains []string `json:"google_analytics_domains"`
	// GoogleAnalyticsCampaign is a string or an array of strings.
	GoogleAnalyticsCampaign any `json:"google_analytics_campaign"`
	// Metadata has at most 250 bytes as JSON; its values are scalars.
	Metadata          map[string]any      `json:"metadata"`
	RecipientMetadata []RecipientMetadata `json:"recipient_metadata"`
	Attachments       []Attachment        `json:"attachments"`
	Images            []Attachment        `json:"images"`
}

// To is a recipient.
type To struct {
	Email string `json:"email"`
	Name  string `json:"name"`
	// Type is "to", "cc" or "bcc". Default: "to".
	Type string `json:"type"`
}

// MergeVar is a merge variable. Names don't begin with an underscore, and case doesn't count.
type MergeVar struct {
	Name    string `json:"name"`
	Content any    `json:"content"`
}

// RecipientVars are the merge variables of one recipient.
type RecipientVars struct {
	Rcpt string     `json:"rcpt"`
	Vars []MergeVar `json:"vars"`
}

// RecipientMetadata is the metadata of one recipient.
type RecipientMetadata struct {
	Rcpt   string         `json:"rcpt"`
	Values map[string]any `json:"values"`
}

// Attachment is a file, or an image for <img src="cid:NAME">.
type Attachment struct {
	// Type is the MIME type.
	Type string `json:"type"`
	Name string `json:"name"`
	// Content is base64.
	Content string `json:"content"`
}
