package caddymodule

import "testing"

func TestMasked(t *testing.T) {
	const message = `{"message":{"from_email":"hello@example.com","subject":"Welcome, Grace",` +
		`"to":[{"email":"grace@example.net","name":"Grace Hopper"}],` +
		`"text":"Dear Grace, please confirm your account by the code 123456 that only you know.",` +
		`"tags":["welcome"]}}`
	const unmasked = `Validation error: {"subject":"Please enter a subject"}`
	for words, want := range map[string]string{
		unmasked: unmasked,
		`The recipient grace@example.net is not valid`:                   `The recipient … is not valid`,
		`"Grace Hopper" is no name`:                                      `"… …" is no name`,
		`grace is unknown, and so is ADA@elsewhere.example`:              `… is unknown, and so is …`,
		`You must specify a key value`:                                   `You must specify a key value`,
		`forbidden text "confirm your account by the code 123456" found`: `forbidden text "… … … … … … …" found`,
		`code 123456 that is bad`:                                        `… … … is bad`,
		``:                                                               ``,
	} {
		if got := masked(words, []byte(message)); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", words, got, want)
		}
	}
	if got := masked("plain words", []byte("no JSON")); got != "" {
		t.Errorf("got %s", got)
	}
}
