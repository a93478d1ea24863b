package artifacts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// licences are those that may be deployed, each with words that no other licence
// has. All let anybody use and pass on what is under them, with its notice.
var licences = map[string][]string{
	"Apache-2.0":   {"Apache License Version 2.0, January 2004"},
	"BSD-3-Clause": {"Redistribution and use in source and binary forms, with or without modification, are permitted", "Neither the name of"},
	"MIT":          {granted, "The above copyright notice and this permission notice shall be included"},
	"MIT-0":        {granted + " (the \"Software\"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so. THE SOFTWARE IS PROVIDED"},
}

const granted = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files"

// Licences returns the licences of the modules from which the packages are built
// for Lambda, by the modules' paths; of the standard library under std. A module
// that holds code of others under another licence has both, joined by AND. Its
// error names the file that is none of the known licences.
//
// Packages are import paths or patterns such as ./functions/...; dir is where the
// go command runs. It is what says which packages there are.
func Licences(ctx context.Context, dir string, packages ...string) (map[string]string, error) {
	arguments := append([]string{"list", "-deps", "-tags", "lambda.norpc", "-json=ImportPath,Dir,Standard,Module,Root"}, packages...)
	cmd := exec.CommandContext(ctx, "go", arguments...) //nolint:gosec // The arguments are those of the command and of tests.
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	found := map[string][]string{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath, Dir, Root string
			Standard              bool
			Module                *struct {
				Path, Dir string
				Main      bool
			}
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("list packages: %w", err)
		}
		// The licences further down in Go's own tree are of BoringCrypto's objects,
		// which only an experiment links.
		module, from, top := "std", p.Root, p.Root
		if !p.Standard {
			module, from, top = p.Module.Path, p.Dir, p.Module.Dir
		}
		if !p.Standard && p.Module.Main {
			continue
		}
		more, err := above(from, top)
		if err != nil {
			return nil, fmt.Errorf("find the licence of %s: %w", p.ImportPath, err)
		}
		found[module] = append(found[module], more...)
	}
	return joined(found), nil
}

// joined makes one expression of the licences of each module.
func joined(found map[string][]string) map[string]string {
	expressions := map[string]string{}
	for module, all := range found {
		slices.Sort(all)
		expressions[module] = strings.Join(slices.Compact(all), " AND ")
	}
	return expressions
}

// above returns the licences of the files in a package's folder and the folders
// above it, up to that of its module.
func above(dir, top string) ([]string, error) {
	var all []string
	for {
		files, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if !named(f) {
				continue
			}
			path := filepath.Join(dir, f.Name())
			licence, err := identify(path)
			if err != nil {
				return nil, err
			}
			all = append(all, licence)
		}
		if dir == top || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	if len(all) == 0 {
		return nil, errors.New("it has none")
	}
	return all, nil
}

// named reports whether a file is a licence by its name.
func named(f fs.DirEntry) bool {
	name := strings.ToUpper(strings.TrimSuffix(strings.TrimSuffix(f.Name(), ".md"), ".txt"))
	return !f.IsDir() && (strings.HasPrefix(name, "LICEN") || strings.HasPrefix(name, "COPYING")) && !strings.HasSuffix(name, "-SUMMARY")
}

// identify returns the SPDX name of the licence in a file.
func identify(path string) (string, error) {
	content, err := os.ReadFile(path) //nolint:gosec // The go command names the folders.
	if err != nil {
		return "", err
	}
	text := strings.Join(strings.Fields(string(content)), " ")
	for name, words := range licences {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			return name, nil
		}
	}
	return "", fmt.Errorf("%s is no licence of which somebody has said that it may be deployed", path)
}
