package main

import (
	"encoding/json"
	"strings"
)

type ctx struct {
	Flow struct {
		ID               string `json:"id"`
		TransientPayload struct {
			Locale string `json:"locale"`
			Items  []item `json:"items"`
		} `json:"transient_payload"`
	} `json:"flow"`
	Identity struct {
		ID             string `json:"id"`
		SchemaID       string `json:"schema_id"`
		State          string `json:"state"`
		StateChangedAt string `json:"state_changed_at"`
		Traits         struct {
			Email string `json:"email"`
			Plan  string `json:"plan"`
			Name  struct {
				First string `json:"first"`
				Last  string `json:"last"`
			} `json:"name"`
		} `json:"traits"`
		Addresses []struct {
			Value    string `json:"value"`
			Verified bool   `json:"verified"`
		} `json:"verifiable_addresses"`
	} `json:"identity"`
	RequestMethod string `json:"request_method"`
}

type item struct {
	Name  string  `json:"name"`
	Qty   int     `json:"qty"`
	Price float64 `json:"price"`
}

var escaper = strings.NewReplacer("<", "&lt;", ">", "&gt;", "&", "&amp;", `"`, "&quot;", "'", "&apos;")

// minimal is the template minimal, in Go.
func minimal(body []byte) ([]byte, error) {
	var c ctx
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, err
	}
	type to struct {
		Email string `json:"email"`
	}
	return json.Marshal(map[string]any{"message": map[string]any{
		"from_email": "hello@example.org", "to": []to{{c.Identity.Traits.Email}}, "subject": "Hi", "text": "Hi",
	}})
}

// welcome is about what the template welcome does, in Go: the same decoding, escaping and encoding of as much text.
func welcome(body []byte) ([]byte, error) {
	var c ctx
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, err
	}
	full := strings.TrimSpace(c.Identity.Traits.Name.First + " " + c.Identity.Traits.Name.Last)
	var mail strings.Builder
	mail.WriteString("<p>Hello " + escaper.Replace(full) + ",</p>\n" +
		"<p>thank you for joining. Your account was made on " + c.Identity.StateChangedAt[:10] +
		" with the method <b>" + escaper.Replace(c.RequestMethod) + "</b>.</p>\n<table role=\"presentation\">")
	for _, row := range [][2]string{
		{"E-Mail", c.Identity.Traits.Email},
		{"Plan", c.Identity.Traits.Plan},
		{"Account", c.Identity.ID},
		{"State", c.Identity.State},
	} {
		mail.WriteString(`<tr><td style="padding:4px 12px 4px 0;color:#5f6368">` + escaper.Replace(row[0]) +
			`</td><td style="padding:4px 0">` + escaper.Replace(row[1]) + `</td></tr>`)
	}
	mail.WriteString("</table>")
	subject := "Welcome to Example Club, " + c.Identity.Traits.Name.First + "!"
	html := strings.NewReplacer("TITLE", escaper.Replace(subject), "BODY", mail.String()).Replace(layout)
	variables := []map[string]string{
		{"name": "FNAME", "content": c.Identity.Traits.Name.First},
		{"name": "LNAME", "content": c.Identity.Traits.Name.Last},
		{"name": "PLAN", "content": c.Identity.Traits.Plan},
	}
	return json.Marshal(map[string]any{"async": true, "message": map[string]any{
		"subject": subject, "from_email": "hello@example.org", "from_name": "Example Club", "html": html,
		"to": []map[string]string{{"email": c.Identity.Traits.Email, "name": full, "type": "to"}},
		"text": "Hello " + full + ",\n\nthank you for joining.\n" +
			"E-Mail:  " + c.Identity.Traits.Email + "\nAccount: " + c.Identity.ID,
		"headers":   map[string]string{"Reply-To": "support@example.org", "X-Flow": c.Flow.ID},
		"important": false, "track_opens": true, "tags": []string{"welcome"}, "merge": true,
		"metadata":       map[string]string{"identity_id": c.Identity.ID, "schema": c.Identity.SchemaID},
		"merge_language": "handlebars", "merge_vars": []map[string]any{{"rcpt": c.Identity.Traits.Email, "vars": variables}},
	}})
}

var layout = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<title>TITLE</title>\n" +
	strings.Repeat("<style>.wrap { width: 100%; max-width: 600px; margin: 0 auto; }</style>\n", 25) +
	"</head>\n<body>\nBODY\n</body>\n</html>\n"
