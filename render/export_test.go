package render

import "context"

// For tests.
var Library = library

const PollInterval = pollInterval

// Compile compiles files that are in memory, the first one of which is the template.
func Compile(main string, files map[string][]byte) error {
	_, err := compile(&source{Main: main, Files: files, sealed: true})
	return err
}

// Bounded reports whether a text is within the bounds of what is parsed.
func Bounded(text string) bool { return new(bounder).check("t.jsonnet", text) == nil }

func Await(ctx context.Context, f func() int) (int, error) { return await(ctx, f) }
