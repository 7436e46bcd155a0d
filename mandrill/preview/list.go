package preview

import (
	"cmp"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const (
	templateSuffix = ".jsonnet"
	ctxSuffix      = ".ctx.json"
	// maxFiles is how many templates and ctx files are looked for.
	maxFiles = 2000
)

// listed is a template in the list. Names are paths below the folder, with slashes.
type listed struct {
	Name string      `json:"name"`
	Ctx  []listedCtx `json:"ctx"`
}

type listedCtx struct {
	Name string `json:"name"`
	// Variant is what stands between the template's name and .ctx.json.
	Variant string `json:"variant"`
}

// list finds the templates, those of a folder before those below it, each with its ctx files. Those without one
// come last: many of them are no templates of mails.
func (p *Preview) list() ([]listed, error) {
	var templates []listed
	var ctxs []string
	found := 0
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	err = filepath.WalkDir(p.dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil && file == p.dir {
			return err
		}
		if err != nil {
			return nil //nolint:nilerr // what can't be read isn't shown
		}
		name := entry.Name()
		switch {
		case entry.IsDir() && file != p.dir && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "vendor"):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, templateSuffix) && !strings.HasSuffix(name, ctxSuffix):
			return nil
		}
		below, err := filepath.Rel(p.dir, file)
		if err != nil {
			return err
		}
		// A link counts as what it leads to, within the folder.
		if info, err := root.Stat(below); err != nil || !info.Mode().IsRegular() {
			return nil //nolint:nilerr // it isn't shown
		}
		if found++; found > maxFiles {
			return fs.SkipAll
		}
		below = filepath.ToSlash(below)
		if strings.HasSuffix(name, ctxSuffix) {
			ctxs = append(ctxs, below)
		} else {
			templates = append(templates, listed{Name: below, Ctx: []listedCtx{}})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, ctx := range ctxs {
		assign(templates, ctx)
	}
	slices.SortStableFunc(templates, func(a, b listed) int {
		if none := len(a.Ctx) == 0; none != (len(b.Ctx) == 0) {
			if none {
				return 1
			}
			return -1
		}
		return cmp.Or(strings.Compare(path.Dir(a.Name), path.Dir(b.Name)), strings.Compare(a.Name, b.Name))
	})
	return templates, nil
}

// assign gives a ctx to the template with the longest name that fits.
func assign(templates []listed, ctx string) {
	stem := strings.TrimSuffix(ctx, ctxSuffix)
	best, length := -1, -1
	for i, template := range templates {
		name := strings.TrimSuffix(template.Name, templateSuffix)
		if (stem == name || strings.HasPrefix(stem, name+".")) && len(name) > length {
			best, length = i, len(name)
		}
	}
	if best < 0 {
		return
	}
	variant := strings.TrimPrefix(stem[length:], ".")
	templates[best].Ctx = append(templates[best].Ctx, listedCtx{ctx, variant})
	slices.SortFunc(templates[best].Ctx, func(a, b listedCtx) int { return strings.Compare(a.Variant, b.Variant) })
}

// hasTemplate reports whether a template is listed.
func hasTemplate(templates []listed, name string) bool {
	return slices.ContainsFunc(templates, func(t listed) bool { return t.Name == name })
}

// hasCtx reports whether a ctx file is listed.
func hasCtx(templates []listed, name string) bool {
	return slices.ContainsFunc(templates, func(t listed) bool {
		return slices.ContainsFunc(t.Ctx, func(c listedCtx) bool { return c.Name == name })
	})
}

// path is where a listed file lies.
func (p *Preview) path(name string) string { return filepath.Join(p.dir, filepath.FromSlash(name)) }

// read reads a listed file, and follows no link out of the folder.
func (p *Preview) read(name string) ([]byte, error) {
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.ReadFile(filepath.FromSlash(name))
}
