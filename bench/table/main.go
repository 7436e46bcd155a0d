// Command table prints how fast templates are evaluated: by go-jsonnet as Ory does it, by this module, and
// the welcome mail written by hand in Go, in one interleaved run. Usage: go run ./bench/table [rounds]
//
// go run ./bench/table memory prints the resident memory of a million evaluations, on Linux.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-jsonnet"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/ory"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/render"
)

func main() {
	rounds, argument := 9, strings.Join(os.Args[1:], " ")
	if n, err := strconv.Atoi(argument); err == nil {
		rounds = n
	}
	work := func() error { return run(rounds) }
	if argument == "memory" {
		work = memory
	}
	if err := work(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type subject struct {
	name, file string
	ctx        []byte
	// byHand is the same mail without an interpreter, where somebody wrote it.
	byHand func(ctx []byte) ([]byte, error)
}

func run(rounds int) error {
	folder, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	list, err := subjects(folder)
	if err != nil {
		return err
	}
	fmt.Println("| template | plain | here | faster | by hand in Go | here, of that |\n" +
		"| --- | --- | --- | --- | --- | --- |")
	for _, s := range list {
		if err := s.measure(rounds); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func subjects(folder string) ([]subject, error) {
	var list []subject
	add := func(name, file, ctxFile string, byHand func([]byte) ([]byte, error)) error {
		ctx, err := os.ReadFile(ctxFile)
		list = append(list, subject{name, file, ctx, byHand})
		return err
	}
	const shared = "../shared/bench/"
	if _, err := os.Stat(shared); err == nil {
		for _, name := range []string{"welcome", "welcome_plus", "minimal"} {
			byHand := welcome
			if name == "minimal" {
				byHand = minimal
			}
			if err := add(name, shared+name+".jsonnet", shared+"ctx.json", byHand); err != nil {
				return nil, err
			}
		}
	}
	examples, _ := filepath.Glob("examples/*.jsonnet") // the pattern is well-formed
	if len(examples) == 0 {
		return nil, errors.New("no examples are here: run this from the root of the repository")
	}
	for _, file := range examples {
		name := strings.TrimSuffix(file, ".jsonnet")
		if err := add(name, file, name+".ctx.json", nil); err != nil {
			return nil, err
		}
	}
	// A letter of 24 KB, filled by name.
	paragraph := "  <p style=\"margin:0\">Dear %(name)s, your order %(order)s of %(day)s is on its way: 100%% of it.</p>\n"
	letter := "function(ctx) { message: { html: |||\n" + strings.Repeat("  "+paragraph, 24<<10/len(paragraph)) +
		"  ||| % ctx } }\n"
	file := filepath.Join(folder, "letter.jsonnet")
	if err := os.WriteFile(file, []byte(letter), 0o600); err != nil {
		return nil, err
	}
	list = append(list, subject{"24 KB text block", file, []byte(`{"name":"Ada","order":"A-17","day":"Monday"}`), nil})
	return list, nil
}

// measure takes turns, and prints the medians.
func (s *subject) measure(rounds int) error {
	template, err := render.Load(s.file, render.Options{Timeout: time.Minute})
	if err != nil {
		return err
	}
	ways := []func() error{
		func() error {
			vm := jsonnet.MakeVM()
			vm.Importer(&jsonnet.FileImporter{JPaths: []string{"render"}}) // mail.libsonnet
			vm.TLACode("ctx", string(s.ctx))
			_, err := vm.EvaluateFile(s.file)
			return err
		},
		func() error {
			data, problem := ory.DecodeCtx(string(s.ctx))
			if problem != nil {
				return problem
			}
			message, err := template.Render(context.Background(), data)
			if err != nil {
				return err
			}
			encoder := json.NewEncoder(io.Discard)
			encoder.SetEscapeHTML(false)
			return encoder.Encode(message)
		},
	}
	if s.byHand != nil {
		ways = append(ways, func() error {
			_, err := s.byHand(s.ctx)
			return err
		})
	}
	took := make([][]time.Duration, len(ways))
	for range rounds {
		for i, way := range ways {
			// As often as fills a moment.
			times, started := 0, time.Now()
			for time.Since(started) < 20*time.Millisecond {
				if err := way(); err != nil {
					return err
				}
				times++
			}
			took[i] = append(took[i], time.Since(started)/time.Duration(times))
		}
	}
	median := make([]float64, len(ways))
	for i := range took {
		slices.Sort(took[i])
		median[i] = took[i][len(took[i])/2].Seconds() * 1e3
	}
	row := fmt.Sprintf("| %s | %.2f ms | %.3f ms | %.1f × |", s.name, median[0], median[1], median[0]/median[1])
	if s.byHand != nil {
		row += fmt.Sprintf(" %.3f ms | %.1f × |", median[2], median[1]/median[2])
	} else {
		row += " | |"
	}
	fmt.Println(row)
	return nil
}

func memory() error {
	template, err := render.Load("examples/welcome.jsonnet", render.Options{Timeout: time.Minute})
	if err != nil {
		return err
	}
	ctx, err := os.ReadFile("examples/welcome.ctx.json")
	if err != nil {
		return err
	}
	for n := range 1_000_001 {
		var data any
		if err := json.Unmarshal(ctx, &data); err != nil {
			return err
		}
		if _, err := template.Render(context.Background(), data); err != nil {
			return err
		}
		if n%100_000 != 0 {
			continue
		}
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			return err
		}
		_, resident, _ := strings.Cut(string(status), "VmRSS:")
		resident, _, _ = strings.Cut(resident, "\n")
		fmt.Println(n, strings.TrimSpace(resident))
	}
	return nil
}
