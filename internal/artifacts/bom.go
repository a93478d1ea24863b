// Package artifacts makes the software bill of materials of the built functions:
// which modules are in the bytes that are deployed, by what sum, under which
// licence. Its tests hold that two clean builds are the same bytes.
//
// The list comes from the bootstraps themselves, where the Go linker has written
// it, not from go.mod: what only tests and the command use is not in it. The
// licences are those of the packages' own source. It is not a scanner for
// vulnerabilities; such scanners read what it makes.
//
// A licence that is new to the project is an error until someone has read it and
// put it into licences. Only the command below it and tests import this package.
package artifacts

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// A BOM is a CycloneDX 1.6 document (cyclonedx.org/docs/1.6/json), as far as it
// is used here. It has neither time nor serial number: two builds of one source
// have the same one.
type BOM struct {
	Format       string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	Version      int          `json:"version"`
	Metadata     Metadata     `json:"metadata"`
	Components   []Component  `json:"components"`
	Dependencies []Dependency `json:"dependencies"`
}

// Metadata names what a BOM is of.
type Metadata struct {
	Component Component `json:"component"`
}

// A Component is the bundle, one function, a Go module or Go's standard library.
type Component struct {
	Ref      string    `json:"bom-ref"`
	Type     string    `json:"type"` // application or library
	Name     string    `json:"name"`
	Version  string    `json:"version,omitempty"`
	PURL     string    `json:"purl,omitempty"`
	Hashes   []Hash    `json:"hashes,omitempty"`
	Licences []Licence `json:"licenses,omitempty"`
	// Properties holds go:sum, the sum of a module in go.sum, and go:build:NAME,
	// the settings of a function's build.
	Properties []Property `json:"properties,omitempty"`
}

// A Hash is of a function's bootstrap: Content is in lower-case hex.
type Hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

// A Licence is an SPDX expression, such as Apache-2.0.
type Licence struct {
	Expression string `json:"expression"`
}

// A Property is a name and a value that CycloneDX does not know.
type Property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A Dependency says what is in a component, by Ref.
type Dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

// Make returns the BOM of the bootstraps, which are paths by the function's name,
// such as AuthorizeFunction. Licences has an SPDX expression for each module that
// is in one of them, by its path, and for std.
func Make(bootstraps map[string]string, licences map[string]string) (BOM, error) {
	bundle := Component{Ref: "evergrant", Type: "application", Name: "evergrant", Licences: []Licence{{"Apache-2.0"}}}
	b := BOM{Format: "CycloneDX", SpecVersion: "1.6", Version: 1, Metadata: Metadata{bundle}}
	b.Dependencies = []Dependency{{bundle.Ref, slices.Sorted(maps.Keys(bootstraps))}}
	libraries := map[string]Component{}
	for _, name := range b.Dependencies[0].DependsOn {
		function, info, err := application(name, bootstraps[name])
		if err != nil {
			return BOM{}, fmt.Errorf("list the modules of %s: %w", name, err)
		}
		within := Dependency{Ref: name}
		for _, m := range append(info.Deps, &debug.Module{Path: "std", Version: info.GoVersion}) {
			c, err := library(m, licences[m.Path])
			if err != nil {
				return BOM{}, fmt.Errorf("list the modules of %s: %w", name, err)
			}
			libraries[c.Ref] = c
			within.DependsOn = append(within.DependsOn, c.Ref)
		}
		slices.Sort(within.DependsOn)
		b.Components = append(b.Components, function)
		b.Dependencies = append(b.Dependencies, within)
	}
	for _, ref := range slices.Sorted(maps.Keys(libraries)) {
		b.Components = append(b.Components, libraries[ref])
	}
	return b, nil
}

// application describes one bootstrap.
func application(name, path string) (Component, *debug.BuildInfo, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return Component{}, nil, err
	}
	content, err := os.ReadFile(path) //nolint:gosec // The command names the path; nothing else calls this.
	if err != nil {
		return Component{}, nil, err
	}
	sum := sha256.Sum256(content)
	c := Component{
		Ref: name, Type: "application", Name: info.Path, Licences: []Licence{{"Apache-2.0"}},
		Hashes: []Hash{{"SHA-256", hex.EncodeToString(sum[:])}},
	}
	for _, s := range info.Settings {
		c.Properties = append(c.Properties, Property{"go:build:" + s.Key, s.Value})
	}
	return c, info, nil
}

// library describes one module.
func library(m *debug.Module, licence string) (Component, error) {
	if m.Replace != nil {
		return Component{}, fmt.Errorf("%s is replaced by %s, which nobody else has", m.Path, m.Replace.Path)
	}
	if licence == "" {
		return Component{}, fmt.Errorf("%s has no licence", m.Path)
	}
	c := Component{
		Type: "library", Name: m.Path, Version: m.Version, PURL: "pkg:golang/" + m.Path + "@" + m.Version, Licences: []Licence{{licence}},
	}
	if m.Path == "std" {
		c.Version = strings.TrimPrefix(m.Version, "go")
		c.PURL = "pkg:golang/std@" + c.Version
	}
	c.Ref = c.PURL
	if m.Sum != "" {
		c.Properties = []Property{{"go:sum", m.Sum}}
	}
	return c, nil
}

// Write stores the BOM at path.
func (b BOM) Write(path string) error {
	document, err := json.MarshalIndent(b, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755) //nolint:gosec // What is built may be read by everybody.
	}
	if err == nil {
		err = os.WriteFile(path, append(document, '\n'), 0o644) //nolint:gosec // The same.
	}
	if err != nil {
		return fmt.Errorf("write the bill of materials: %w", err)
	}
	return nil
}
