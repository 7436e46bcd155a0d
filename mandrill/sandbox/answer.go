package sandbox

import (
	"encoding/json"
	"net/http"
)

func respond(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the client is gone
}

// documentedErrors are Mandrill's errors with the statuses and the codes of Mailchimp's description.
// For a status without a name, the first match is used.
var documentedErrors = []struct {
	name         string
	status, code int
}{
	{"Invalid_Key", http.StatusUnauthorized, 401},
	{"PaymentRequired", http.StatusPaymentRequired, 10},
	{"Unknown_Template", http.StatusNotFound, 5},
	{"Unknown_Subaccount", http.StatusNotFound, 12},
	{"Unknown_Message", http.StatusNotFound, 11},
	{"Unknown_Sender", http.StatusNotFound, 2},
	{"Unknown_Webhook", http.StatusNotFound, 3},
	{"Unknown_Domain", http.StatusNotFound, 8},
	{"Unknown_MetadataField", http.StatusNotFound, 24},
	{"ValidationError", http.StatusUnprocessableEntity, -2},
	{"RequestLimitExceeded", http.StatusTooManyRequests, 429},
	{"GeneralError", http.StatusInternalServerError, -1},
	{"ServiceUnavailable", http.StatusServiceUnavailable, -2},
}

// respondError answers with Mandrill's error body. A status of 0 and an empty name stand for what
// goes with the other.
func respondError(w http.ResponseWriter, status int, name, message string) {
	code := -1
	for _, documented := range documentedErrors {
		if documented.name == name || name == "" && documented.status == status {
			name, code = documented.name, documented.code
			if status == 0 {
				status = documented.status
			}
			break
		}
	}
	if name == "" {
		name = "GeneralError"
	}
	if status == 0 {
		status = http.StatusInternalServerError
	}
	respond(w, status, map[string]any{"status": "error", "code": code, "name": name, "message": message})
}
